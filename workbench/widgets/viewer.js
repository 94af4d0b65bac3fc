// The viewer's browser side: frames arrive as binary buffers, are windowed here and drawn on a canvas.
// Image coordinates are (column, row) with the origin at the top-left corner of the top-left pixel (PS3.3 C.10.5.1.2).

const ARRAYS = { int16: Int16Array, uint16: Uint16Array, uint8: Uint8Array, float32: Float32Array };
const CACHE_BYTES = 192 * 1024 * 1024;
const STALE_MS = 8000;
const SVG = "http" + "://www.w3.org/2000/svg"; // a name space, not an address

// ---------------------------------------------------------------- pure functions

/** The fraction 0..1 of the grey range that a window gives to x: the three functions of PS3.3 C.11.2.1.2 and C.11.2.1.3. */
export function fraction(x, { center, width, shape = "LINEAR" }) {
  if (shape === "SIGMOID") return 1 / (1 + Math.exp((-4 * (x - center)) / width));
  const exact = shape === "LINEAR_EXACT";
  const c = exact ? center : center - 0.5;
  const w = exact ? width : Math.max(width, 1) - 1;
  if (w === 0) return x > c ? 1 : 0;
  return Math.min(1, Math.max(0, (x - c) / w + 0.5));
}

/** The nearest whole number, halves to the even one. */
export function rounded(x) {
  const y = Math.round(x);
  return y - x === 0.5 && y % 2 !== 0 ? y - 1 : y;
}

/** Grey levels 0..255 of `values` in a window, into RGBA bytes. */
export function windowed(values, { center, width, shape = "LINEAR", inverse = false }, rgba) {
  const chosen = { center, width, shape };
  for (let i = 0, o = 0; i < values.length; i += 1, o += 4) {
    const f = fraction(values[i], chosen);
    const y = rounded((inverse ? 1 - f : f) * 255);
    rgba[o] = y;
    rgba[o + 1] = y;
    rgba[o + 2] = y;
    rgba[o + 3] = 255;
  }
  return rgba;
}

/** RGB bytes into RGBA bytes. */
export function coloured(values, rgba, inverse = false) {
  const flip = inverse ? 255 : 0;
  for (let i = 0, o = 0; i + 2 < values.length; i += 3, o += 4) {
    rgba[o] = values[i] ^ flip;
    rgba[o + 1] = values[i + 1] ^ flip;
    rgba[o + 2] = values[i + 2] ^ flip;
    rgba[o + 3] = 255;
  }
  return rgba;
}

/** The next window when the pointer was dragged by (dx, dy) pixels: right widens, down lowers the centre. */
export function draggedWindow({ center, width }, dx, dy) {
  const step = Math.max(width, 1) / 256;
  return { center: center + dy * step, width: Math.max(width >= 1 ? 1 : width / 2, width + dx * step) };
}

/** `index` kept inside 0..count-1. */
export function clamped(index, count) {
  return Math.max(0, Math.min(count - 1, index));
}

/** Where a point of the screen lies in the image; `view` has scale, left and top in screen pixels, aspect row/column height. */
export function toImage([x, y], view) {
  return [(x - view.left) / view.scale, (y - view.top) / (view.scale * view.aspect)];
}

/** Where an image point lies on the screen: the inverse of toImage. */
export function toScreen([column, row], view) {
  return [column * view.scale + view.left, row * view.scale * view.aspect + view.top];
}

/** The view that shows a whole image in the middle of a canvas. */
export function fitted({ rows, columns, aspect }, width, height) {
  const scale = Math.min(width / columns, height / (rows * aspect));
  return { scale, aspect, left: (width - columns * scale) / 2, top: (height - rows * scale * aspect) / 2 };
}

/** The view zoomed by `factor` about a screen point, which stays where it is. */
export function zoomed(view, factor, [x, y]) {
  const scale = Math.max(0.05, Math.min(64, view.scale * factor));
  const f = scale / view.scale;
  return { ...view, scale, left: x - (x - view.left) * f, top: y - (y - view.top) * f };
}

/** The mark that a drag from `a` to `b` (image points) draws with a tool. */
export function drawn(tool, a, b) {
  if (tool === "line") return { kind: "polyline", vertices: [a, b] };
  if (tool === "ellipse") {
    const radii = [Math.abs(b[0] - a[0]) / 2, Math.abs(b[1] - a[1]) / 2];
    return { kind: "ellipse", center: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], radii };
  }
  return { kind: "polyline", vertices: [a, [b[0], a[1]], b, [a[0], b[1]], a] };
}

/** The SVG attributes of an ellipse, or of a circle: an ellipse with equal radii. */
export function oval(mark, view) {
  const [cx, cy] = toScreen(mark.center, view);
  const transform = `rotate(${mark.angle_deg || 0} ${cx} ${cy})`;
  return { cx, cy, rx: mark.radii[0] * view.scale, ry: mark.radii[1] * view.scale * view.aspect, transform };
}

/** Frames kept up to a number of bytes; the longest unused go first. */
export class FrameCache {
  constructor(limit = CACHE_BYTES) {
    this.limit = limit;
    this.bytes = 0;
    this.frames = new Map();
  }

  get(index) {
    const frame = this.frames.get(index);
    if (frame) {
      this.frames.delete(index);
      this.frames.set(index, frame);
    }
    return frame;
  }

  has(index) {
    return this.frames.has(index);
  }

  set(index, frame) {
    const old = this.frames.get(index);
    if (old) this.bytes -= old.values.byteLength;
    this.frames.delete(index);
    this.frames.set(index, frame);
    this.bytes += frame.values.byteLength;
    for (const [key, value] of this.frames) {
      if (this.bytes <= this.limit || key === index) break;
      this.frames.delete(key);
      this.bytes -= value.values.byteLength;
    }
  }
}

/** A frame from a message and its buffer (a DataView or an ArrayBuffer). */
export function unpacked(message, buffer) {
  const raw = buffer.buffer ? buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength) : buffer;
  return { ...message, values: new ARRAYS[message.dtype](raw) };
}

// ---------------------------------------------------------------- elements

function element(name, className, text = "") {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

function vector(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function shape(mark, view) {
  if (mark.kind === "ellipse" || mark.kind === "circle") return vector("ellipse", oval(mark, view));
  if (mark.kind === "polyline") {
    return vector("polyline", { points: mark.vertices.map((v) => toScreen(v, view).join(",")).join(" ") });
  }
  const [x, y] = toScreen(mark.at, view);
  if (mark.kind === "text") {
    const node = vector("text", { x: x + 4, y: y - 4 });
    node.textContent = mark.text;
    return node;
  }
  return vector("circle", { cx: x, cy: y, r: 4 });
}

// ---------------------------------------------------------------- the widget

const TOOLS = [
  ["window", "◐", "Window: drag right to widen, down to darken (W)"],
  ["pan", "✥", "Pan: drag the image (P)"],
  ["zoom", "⌕", "Zoom: drag up or down, or Ctrl + wheel (Z)"],
  ["line", "╱", "Line: drag from end to end (L)"],
  ["ellipse", "◯", "Ellipse: drag its box (E)"],
  ["rectangle", "▭", "Rectangle: drag from corner to corner (B)"],
];

function render({ model, el }) {
  const cache = new FrameCache();
  const waiting = new Set();
  let view = null;
  let manual = false;
  let shown = -1;
  let drag = null;
  let draft = null;
  let queued = false;
  let staleTimer = 0;

  const root = element("div", "workbench-viewer");
  root.tabIndex = 0;
  root.setAttribute("role", "application");
  root.setAttribute("aria-label", "DICOM image viewer. Arrow keys change the frame.");
  const bar = element("div", "wb-bar");
  const stage = element("div", "wb-stage");
  const canvas = element("canvas", "wb-canvas");
  const overlay = vector("svg", { class: "wb-overlay" });
  const corner = element("div", "wb-corner");
  const readout = element("div", "wb-readout");
  const stale = element("div", "wb-stale", "This viewer has lost its kernel: run its cell again to go on.");
  const slider = element("input", "wb-slider");
  slider.type = "range";
  slider.min = 0;
  slider.setAttribute("aria-label", "Frame");
  stale.hidden = true;
  stage.append(canvas, overlay, corner, readout, stale);
  root.append(bar, stage, slider);
  el.append(root);

  const image = document.createElement("canvas");
  const tools = new Map();
  for (const [name, sign, title] of TOOLS) {
    const button = element("button", "wb-tool", sign);
    button.title = title;
    button.setAttribute("aria-label", title);
    button.addEventListener("click", () => save({ tool: name }));
    tools.set(name, button);
    bar.append(button);
  }
  for (const [sign, title, act] of [
    ["◑", "Invert (I)", () => save({ inverse: !model.get("inverse") })],
    ["⌫", "Remove the last mark (Backspace)", () => save({ marks: model.get("marks").slice(0, -1) })],
    ["⟲", "Reset window and view (R)", reset],
  ]) {
    const button = element("button", "wb-tool", sign);
    button.title = title;
    button.setAttribute("aria-label", title);
    button.addEventListener("click", act);
    bar.append(button);
  }
  const status = element("span", "wb-status");
  bar.append(status);

  function save(changes) {
    for (const [key, value] of Object.entries(changes)) model.set(key, value);
    model.save_changes();
  }

  function reset() {
    manual = false;
    const frame = cache.get(shown);
    save({ center: frame ? frame.center : model.get("center"), width: frame ? frame.width : model.get("width"), inverse: false });
    draw();
  }

  // frames: ask for the one wanted and its neighbours, once each; the newest wish is the one shown
  function want(index) {
    if (index < 0 || index >= model.get("frame_count") || cache.has(index) || waiting.has(index)) return;
    waiting.add(index);
    try {
      model.send({ kind: "want", index });
    } catch {
      stale.hidden = false; // no kernel is connected
    }
    if (!staleTimer) staleTimer = setTimeout(() => { stale.hidden = waiting.size === 0; }, STALE_MS);
  }

  function received(message, buffers) {
    if (message.kind === "trouble") {
      waiting.delete(message.index);
      if (message.index === model.get("frame")) status.textContent = message.text;
    }
    if (message.kind === "frame") {
      waiting.delete(message.index);
      cache.set(message.index, unpacked(message, buffers[0]));
      if (message.index === model.get("frame")) draw();
    }
    clearTimeout(staleTimer);
    staleTimer = 0;
    stale.hidden = true;
  }

  function draw() {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => { queued = false; paint(); });
  }

  function paint() {
    const index = model.get("frame");
    const count = model.get("frame_count");
    slider.max = count - 1;
    slider.value = index;
    slider.hidden = count < 2;
    const tool = model.get("tool");
    for (const [name, button] of tools) button.classList.toggle("wb-active", name === tool);
    const frame = cache.get(index);
    want(index);
    if (!frame) return;
    for (const step of [1, -1, 2, 3]) want(index + step);
    const width = stage.clientWidth || 512;
    const height = stage.clientHeight || 512;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    if (!view || !manual) view = fitted(frame, width, height);
    image.width = frame.columns;
    image.height = frame.rows;
    const context = image.getContext("2d");
    const pixels = context.createImageData(frame.columns, frame.rows);
    const inverse = model.get("inverse") !== frame.inverse;
    if (frame.channels === 3) coloured(frame.values, pixels.data, model.get("inverse"));
    else windowed(frame.values, { center: model.get("center"), width: model.get("width"), shape: frame.shape, inverse }, pixels.data);
    context.putImageData(pixels, 0, 0);
    const target = canvas.getContext("2d");
    target.setTransform(ratio, 0, 0, ratio, 0, 0);
    target.fillStyle = "#000";
    target.fillRect(0, 0, width, height);
    target.imageSmoothingEnabled = view.scale < 4;
    target.drawImage(image, view.left, view.top, frame.columns * view.scale, frame.rows * view.scale * view.aspect);
    shown = index;
    canvas.dataset.frame = String(shown);
    overlay.replaceChildren(...model.get("marks").filter((m) => m.frame === index).concat(draft ? [draft] : []).map((m) => shape(m, view)));
    corner.textContent = frame.label;
    const windowText = frame.channels === 3 ? "" : ` · C ${format(model.get("center"))} W ${format(model.get("width"))} ${frame.units}`;
    status.textContent = `${index + 1} / ${count}${windowText}`;
  }

  function format(value) {
    return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
  }

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  function point(event) {
    const frame = cache.get(shown);
    const [c, r] = toImage(at(event), view);
    return [Math.max(0, Math.min(frame.columns, c)), Math.max(0, Math.min(frame.rows, r))];
  }

  function probe(event) {
    const frame = cache.get(shown);
    if (!frame || !view) return;
    const [c, r] = toImage(at(event), view).map(Math.floor);
    const inside = c >= 0 && r >= 0 && c < frame.columns && r < frame.rows;
    const start = (r * frame.columns + c) * frame.channels;
    const value = inside ? Array.from(frame.values.subarray(start, start + frame.channels), format).join(" ") : "";
    readout.textContent = inside ? `column ${c}, row ${r}: ${value} ${frame.units}` : "";
  }

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
      manual = true;
      view = zoomed(view, event.deltaY < 0 ? 1.1 : 1 / 1.1, at(event));
      draw();
    } else save({ frame: clamped(model.get("frame") + Math.sign(event.deltaY), model.get("frame_count")) });
  }, { passive: false });

  stage.addEventListener("pointerdown", (event) => {
    const frame = cache.get(shown);
    if (!frame) return;
    root.focus({ preventScroll: true });
    stage.setPointerCapture(event.pointerId);
    const tool = event.button === 1 || event.shiftKey ? "pan" : event.button === 2 ? "zoom" : model.get("tool");
    const window_ = { center: model.get("center"), width: model.get("width") };
    drag = { tool, x: event.clientX, y: event.clientY, window: window_, view: { ...view }, from: point(event), at: at(event) };
  });

  stage.addEventListener("pointermove", (event) => {
    probe(event);
    if (!drag) return;
    const dx = event.clientX - drag.x;
    const dy = event.clientY - drag.y;
    if (drag.tool === "window") {
      const next = draggedWindow(drag.window, dx, dy);
      model.set("center", next.center);
      model.set("width", next.width);
    } else if (drag.tool === "pan") {
      manual = true;
      view = { ...view, left: drag.view.left + dx, top: drag.view.top + dy };
    } else if (drag.tool === "zoom") {
      manual = true;
      view = zoomed(drag.view, Math.exp(-dy / 150), drag.at);
    } else draft = { ...drawn(drag.tool, drag.from, point(event)), frame: shown };
    draw();
  });

  stage.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const moved = Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 3;
    if (draft && moved) save({ marks: [...model.get("marks"), draft] });
    draft = null;
    drag = null;
    model.save_changes();
    draw();
  });
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("dblclick", reset);

  slider.addEventListener("input", () => save({ frame: Number(slider.value) }));

  const keys = { w: "window", p: "pan", z: "zoom", l: "line", e: "ellipse", b: "rectangle" };
  root.addEventListener("keydown", (event) => {
    const last = model.get("frame_count") - 1;
    const steps = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -last, End: last };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === slider && event.key in steps) return;
    if (event.key in steps) save({ frame: clamped(model.get("frame") + steps[event.key], last + 1) });
    else if (event.key in keys) save({ tool: keys[event.key] });
    else if (event.key === "i") save({ inverse: !model.get("inverse") });
    else if (event.key === "r") reset();
    else if (event.key === "Backspace") save({ marks: model.get("marks").slice(0, -1) });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  const watched = ["frame", "center", "width", "inverse", "tool", "marks", "frame_count"];
  for (const name of watched) model.on(`change:${name}`, draw);
  model.on("msg:custom", received);
  const resized = new ResizeObserver(draw);
  resized.observe(stage);
  stage.style.height = `${model.get("height_px")}px`;
  draw();

  return () => {
    for (const name of watched) model.off(`change:${name}`, draw);
    model.off("msg:custom", received);
    resized.disconnect();
    clearTimeout(staleTimer);
  };
}

export default { render };

// The viewer's pure functions: node --test tests/widgets
import assert from "node:assert/strict";
import test from "node:test";
import {
  FrameCache, clamped, coloured, draggedWindow, drawn, fitted, fraction, oval, rounded, toImage, toScreen, unpacked, windowed, zoomed,
} from "../../workbench/widgets/viewer.js";

test("the linear window is that of PS3.3 C.11.2.1.2.1", () => {
  // Window Center 2048, Width 4096: an identity of the 12-bit range, as the standard's own note says
  assert.equal(fraction(0, { center: 2048, width: 4096 }), 0);
  assert.equal(fraction(4095, { center: 2048, width: 4096 }), 1);
  assert.ok(Math.abs(fraction(2047.5, { center: 2048, width: 4096 }) - 0.5) < 1e-12);
  // a width of 1 is a threshold
  assert.equal(fraction(99.5, { center: 100, width: 1 }), 0);
  assert.equal(fraction(99.51, { center: 100, width: 1 }), 1);
});

test("LINEAR_EXACT and SIGMOID are those of C.11.2.1.3", () => {
  assert.equal(fraction(50, { center: 50, width: 100, shape: "LINEAR_EXACT" }), 0.5);
  assert.equal(fraction(100, { center: 50, width: 100, shape: "LINEAR_EXACT" }), 1);
  assert.equal(fraction(50, { center: 50, width: 100, shape: "SIGMOID" }), 0.5);
  assert.ok(Math.abs(fraction(75, { center: 50, width: 100, shape: "SIGMOID" }) - 1 / (1 + Math.exp(-1))) < 1e-12);
});

test("halves go to the even number, as numpy rounds", () => {
  assert.deepEqual([0.5, 1.5, 2.5, 127.5, 0.49].map(rounded), [0, 2, 2, 128, 0]);
});

test("a window fills RGBA, inverse turns it over", () => {
  const rgba = new Uint8ClampedArray(8);
  windowed(Int16Array.of(-100, 300), { center: 50, width: 100 }, rgba);
  assert.deepEqual([...rgba], [0, 0, 0, 255, 255, 255, 255, 255]);
  windowed(Int16Array.of(-100, 300), { center: 50, width: 100, inverse: true }, rgba);
  assert.deepEqual([...rgba], [255, 255, 255, 255, 0, 0, 0, 255]);
});

test("colours pass, or are turned over", () => {
  const rgba = new Uint8ClampedArray(4);
  assert.deepEqual([...coloured(Uint8Array.of(1, 2, 3), rgba)], [1, 2, 3, 255]);
  assert.deepEqual([...coloured(Uint8Array.of(1, 2, 3), rgba, true)], [254, 253, 252, 255]);
});

test("dragging right widens, down raises the centre so that the image darkens; a width never falls below 1", () => {
  assert.deepEqual(draggedWindow({ center: 0, width: 256 }, 10, 5), { center: 5, width: 266 });
  assert.equal(draggedWindow({ center: 0, width: 256 }, -9999, 0).width, 1);
});

test("screen and image coordinates are each other's inverse, also when zoomed and with oblong pixels", () => {
  let view = fitted({ rows: 320, columns: 512, aspect: 0.3 }, 700, 500);
  view = zoomed(view, 2.5, [100, 200]);
  for (const p of [[0, 0], [511.5, 3.25], [-4, 900]]) {
    const [c, r] = toImage(toScreen(p, view), view);
    assert.ok(Math.abs(c - p[0]) < 1e-9 && Math.abs(r - p[1]) < 1e-9);
  }
});

test("zooming keeps the point under the pointer", () => {
  const view = fitted({ rows: 100, columns: 100, aspect: 1 }, 400, 300);
  const before = toImage([123, 45], view);
  const after = toImage([123, 45], zoomed(view, 1.7, [123, 45]));
  assert.ok(Math.hypot(before[0] - after[0], before[1] - after[1]) < 1e-9);
});

test("a drag draws what the tool says", () => {
  assert.deepEqual(drawn("line", [1, 2], [3, 4]), { kind: "polyline", vertices: [[1, 2], [3, 4]] });
  assert.deepEqual(drawn("ellipse", [2, 2], [8, 4]), { kind: "ellipse", center: [5, 3], radii: [3, 1] });
  assert.deepEqual(drawn("rectangle", [0, 0], [2, 1]).vertices, [[0, 0], [2, 0], [2, 1], [0, 1], [0, 0]]);
});

test("a circle is an ellipse with equal radii, oblong pixels make it as tall as they are", () => {
  const view = { scale: 2, aspect: 0.5, left: 10, top: 20 };
  const circle = { kind: "circle", center: [4, 6], radii: [3, 3] };
  assert.deepEqual(oval(circle, view), { cx: 18, cy: 26, rx: 6, ry: 3, transform: "rotate(0 18 26)" });
  assert.deepEqual(oval({ ...circle, kind: "ellipse", angle_deg: 0 }, view), oval(circle, view));
  assert.equal(oval({ ...circle, angle_deg: 30 }, view).transform, "rotate(30 18 26)");
});

test("the cache drops what was longest unused, never the newest", () => {
  const cache = new FrameCache(250);
  for (const i of [0, 1]) cache.set(i, { values: new Uint8Array(100) });
  cache.get(0);
  cache.set(2, { values: new Uint8Array(100) });
  assert.deepEqual([cache.has(0), cache.has(1), cache.has(2), cache.bytes], [true, false, true, 200]);
  cache.set(3, { values: new Uint8Array(999) });
  assert.deepEqual([cache.has(3), cache.bytes], [true, 999]);
});

test("a parcel is unpacked from an unaligned buffer", () => {
  const raw = new Uint8Array([9, 1, 0, 255, 255]);
  const frame = unpacked({ dtype: "int16", rows: 1 }, new DataView(raw.buffer, 1, 4));
  assert.deepEqual([...frame.values], [1, -1]);
});

test("an index stays inside the stack", () => {
  assert.deepEqual([clamped(-3, 5), clamped(9, 5), clamped(2, 5)], [0, 4, 2]);
});

"""A viewer for image stacks: scroll, window, zoom, draw.

Knows: which frames there are, how a frame travels to the browser, marks in image coordinates.
Does not know: where images come from; the browser side is viewer.js.
"""

import base64
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from workbench.entities import Circle, Ellipse, Mark, Point, Polyline, Text, plain
from workbench.errors import AttributeUnusable, InputError, WorkbenchError
from workbench.files import given
from workbench.rendering import RenderPlan, Window, modality_values, render, resolve, units

__all__ = ["Viewer"]

_LOG = logging.getLogger(__name__)
_IDENTITY = Window(128.0, 256.0)  # grey levels 0 to 255 as they are


@dataclass(frozen=True, slots=True)
class _Place:
    """One frame of one image."""

    plan: RenderPlan
    frame: int
    label: str


class Viewer(anywidget.AnyWidget):
    """A widget that shows a stack of frames and lets marks be drawn on them.

    Wheel or arrow keys change the frame, dragging changes the window (right widens, down darkens), Ctrl and the wheel zoom,
    Shift and dragging pan, and lines, ellipses and rectangles can be drawn. Frames are decoded when they are wanted.

    Parameters
    ----------
    images : Dataset or sequence of Dataset
        Single-frame or multi-frame images, grayscale or colour, in the order of the stack.
    frame : int
        Index of the first frame to show, from 0.
    window : (center, width), optional
        In modality values; by default that of the first image.
    height_px : int
        Height of the picture in the notebook, in CSS pixels.

    Raises
    ------
    InputError
        If they are not datasets.
    AttributeUnusable
        If there are no images, or there is no such frame.
    PixelDataUnusable
        If an image has no usable pixel data.
    """

    _esm = Path(__file__).with_name("viewer.js")
    _css = Path(__file__).with_name("viewer.css")

    frame = traitlets.Int(0).tag(sync=True)
    frame_count = traitlets.Int(0).tag(sync=True)
    center = traitlets.Float(128.0).tag(sync=True)
    width = traitlets.Float(256.0).tag(sync=True)
    inverse = traitlets.Bool(False).tag(sync=True)
    tool = traitlets.Enum(["window", "pan", "zoom", "line", "ellipse", "rectangle"], "window").tag(sync=True)
    marks: Any = traitlets.List().tag(sync=True)
    height_px = traitlets.Int(512).tag(sync=True)

    def __init__(
        self,
        images: Dataset | Sequence[Dataset],
        *,
        frame: int = 0,
        window: tuple[float, float] | None = None,
        height_px: int = 512,
    ) -> None:
        stack = given.several(images, what="images")
        self._places = _places(stack, window)
        if not self._places:
            raise AttributeUnusable("A viewer needs at least one image.")
        if not 0 <= frame < len(self._places):
            raise AttributeUnusable(f"There is no frame {frame}: the stack has {len(self._places)}, counted from 0.")
        first = _window(self._places[frame].plan)
        super().__init__(
            frame=frame, frame_count=len(self._places), center=first.center, width=first.width, marks=[], height_px=height_px
        )
        self.on_msg(self._answer)

    @traitlets.validate("frame")
    def _frame_inside(self, proposal: Any) -> int:
        return max(0, min(len(self._places) - 1, int(proposal["value"])))

    @property
    def image(self) -> Dataset:
        """The image whose frame is shown."""
        return self._places[self.frame].plan.image

    @property
    def image_frame(self) -> int:
        """Index of the shown frame within its image, from 0."""
        return self._places[self.frame].frame

    @property
    def window(self) -> tuple[float, float]:
        """(center, width) as it is set now, in modality values."""
        return float(self.center), float(self.width)

    def drawn(self, frame: int | None = None) -> tuple[Mark, ...]:
        """Return the marks of a frame of the stack, by default of the one shown, as frozen values in image coordinates."""
        wanted = self.frame if frame is None else frame
        return tuple(_mark(m) for m in self.marks if m.get("frame") == wanted)

    def draw(self, mark: Mark, *, frame: int | None = None) -> None:
        """Add a mark to a frame of the stack, by default to the one shown.

        Raises
        ------
        InputError
            If it is not a mark.
        """
        if not isinstance(mark, Mark):
            raise InputError("Wanted is a mark: Circle, Ellipse, Polyline, Point or Text of workbench.entities.")
        self.marks = [*self.marks, {**_message(mark), "frame": self.frame if frame is None else frame}]

    def snapshot(self) -> NDArray[np.uint8]:
        """Return the shown frame in its window, shape (rows, columns) or (rows, columns, 3), without marks."""
        place = self._places[self.frame]
        plan = place.plan
        if _is_windowed(plan):
            plan = plan.with_window(Window(self.center, self.width, _window(plan).function))
        seen = render(plan, frame=place.frame, is_displayed=False)
        return np.asarray(255 - seen) if self.inverse else seen

    def _answer(self, _widget: object, content: object, _buffers: object) -> None:
        """Answer a wish for a frame; trouble is told, not raised, since nobody would see it."""
        wish = cast("dict[str, Any]", content if isinstance(content, dict) else {})
        index = wish.get("index")
        if wish.get("kind") != "want" or not isinstance(index, int) or not 0 <= index < len(self._places):
            return
        try:
            message, values = _parcel(self._places[index])
        except WorkbenchError as error:
            self.send({"kind": "trouble", "index": index, "text": plain(error)})
            return
        self.send({"kind": "frame", "index": index, **message}, buffers=[np.ascontiguousarray(values).tobytes()])

    def __repr__(self) -> str:
        return f"Viewer({self.frame_count} frames, showing {self.frame})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Add a still picture, for places without a kernel such as exported reports."""
        bundle = super()._repr_mimebundle_(**kwargs)
        picture = io.BytesIO()
        still = Image.fromarray(self.snapshot())
        still.resize((still.width, max(1, round(still.height * _aspect(self.image))))).save(picture, "PNG")
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**(data or {}), "image/png": base64.b64encode(picture.getvalue()).decode()}, metadata


def _places(stack: Sequence[Dataset], window: tuple[float, float] | None) -> tuple[_Place, ...]:
    places = []
    for number, image in enumerate(stack):
        plan = resolve(image, window=None if _in_color(image) else window)
        name = " · ".join(plain(p) for p in (image.get("Modality"), image.get("SeriesDescription")) if p)
        count = f"image {number + 1} of {len(stack)}" if len(stack) > 1 else ""
        for frame in range(plan.layout.frames):
            within = f"frame {frame + 1} of {plan.layout.frames}" if plan.layout.frames > 1 else ""
            places.append(_Place(plan, frame, "\n".join(p for p in (name, count, within) if p)))
    return tuple(places)


def _in_color(image: Dataset) -> bool:
    return int(image.get("SamplesPerPixel") or 1) == 3 or image.get("PhotometricInterpretation") == "PALETTE COLOR"


def _is_windowed(plan: RenderPlan) -> bool:
    """Whether the browser can do all that the plan asks for: a window, and perhaps the inverse of it."""
    return plan.window is not None and not plan.is_color and plan.presentation.table is None and plan.shutter is None


def _window(plan: RenderPlan) -> Window:
    return plan.window if _is_windowed(plan) and plan.window else _IDENTITY


def _parcel(place: _Place) -> tuple[dict[str, Any], NDArray[Any]]:
    """Return a frame as it travels: a description, and values that the browser windows or RGB bytes."""
    plan = place.plan
    window = _window(plan)
    windowed = _is_windowed(plan)
    if windowed:
        values = _compact(modality_values(plan.image, frame=place.frame))
        settled = plan.frame(place.frame).voi
        window = settled if isinstance(settled, Window) else window
    else:
        values = render(plan, frame=place.frame, is_displayed=False)
    rows, columns = values.shape[:2]
    message = {
        "rows": rows,
        "columns": columns,
        "channels": 3 if values.ndim == 3 else 1,
        "dtype": values.dtype.name,
        "center": window.center,
        "width": window.width,
        "shape": window.function,
        "inverse": windowed and plan.presentation.is_inverse,
        "aspect": _aspect(plan.image),
        "units": units(plan.image, frame=place.frame) if windowed else "",
        "label": place.label,
    }
    return message, values


def _compact(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return the values in the smallest type that holds them: whole numbers as 16 bits, others as 32-bit floats."""
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    whole = np.array_equal(values, np.rint(values))
    if whole and low >= -32768 and high <= 32767:
        return values.astype(np.int16)
    if whole and low >= 0 and high <= 65535:
        return values.astype(np.uint16)
    return values.astype(np.float32)


def _aspect(image: Dataset) -> float:
    """Height of a pixel over its width (PS3.3 C.7.6.3.1.7, 10.7.1.3)."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        value = image.get(keyword)
        if value is not None and not isinstance(value, str) and len(value) == 2 and float(value[1]) > 0 and float(value[0]) > 0:
            return float(value[0]) / float(value[1])
    for group in image.get("SharedFunctionalGroupsSequence") or ():
        for item in group.get("PixelMeasuresSequence") or ():
            spacing = item.get("PixelSpacing")
            if spacing is not None and float(spacing[1]) > 0:
                return float(spacing[0]) / float(spacing[1])
    return 1.0


def _message(mark: Mark) -> dict[str, Any]:
    if isinstance(mark, Polyline):
        return {"kind": "polyline", "vertices": [list(v) for v in mark.vertices]}
    if isinstance(mark, Ellipse):
        return {"kind": "ellipse", "center": list(mark.center), "radii": list(mark.radii), "angle_deg": mark.angle_deg}
    if isinstance(mark, Circle):
        return {"kind": "circle", "center": list(mark.center), "radii": [mark.radius, mark.radius]}
    if isinstance(mark, Text):
        return {"kind": "text", "at": list(mark.at), "text": mark.text}
    return {"kind": "point", "at": list(mark.at)}


def _mark(message: dict[str, Any]) -> Mark:
    kind = message.get("kind")
    if kind == "polyline":
        return Polyline(tuple((float(c), float(r)) for c, r in message["vertices"]))
    if kind in {"circle", "ellipse"}:
        (c, r), (a, b) = message["center"], message["radii"]
        if kind == "circle" and a == b:
            return Circle((float(c), float(r)), float(a))
        return Ellipse((float(c), float(r)), (float(a), float(b)), float(message.get("angle_deg") or 0.0))
    c, r = message["at"]
    return Text(str(message["text"]), (float(c), float(r))) if kind == "text" else Point((float(c), float(r)))

"""Graphics and text of a presentation state as frozen values.

Knows: Graphic Annotation and Graphic Layer (PS3.3 C.10.5, C.10.7).
Does not know: how they are drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from workbench.entities import Finding, Severity, plain
from workbench.errors import AttributeUnusable
from workbench.rendering._reading import attribute, floats, integer, items, text
from workbench.rendering._referring import refers_to
from workbench.rendering.displayed_area import Spatial

__all__ = ["Annotation", "GraphicObject", "Layer", "TextObject", "annotations"]

Point = tuple[float, float]
_POINTS = {"POINT": (1, 1), "POLYLINE": (2, None), "INTERPOLATED": (2, None), "CIRCLE": (2, 2), "ELLIPSE": (4, 4)}
_LIMIT_POINTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Layer:
    """A graphic layer.

    Parameters
    ----------
    name : str
        Graphic Layer (0070,0002).
    order : int
        The layer with the lowest order is drawn first.
    rgb : tuple of float, optional
        Recommended colour, each 0 to 1.
    """

    name: str
    order: int = 0
    rgb: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class GraphicObject:
    """A graphic in image pixel coordinates.

    Parameters
    ----------
    kind : str
        POINT, POLYLINE, INTERPOLATED, CIRCLE (centre, point on it) or ELLIPSE (ends of the major, then of the minor axis).
    points : tuple of (column, row)
        (0, 0) is the top left corner of the top left pixel.
    is_filled : bool
        Graphic Filled (0070,0024).
    layer : Layer
        Where it belongs.
    """

    kind: str
    points: tuple[Point, ...]
    is_filled: bool
    layer: Layer


@dataclass(frozen=True, slots=True)
class TextObject:
    """A text in image pixel coordinates.

    Parameters
    ----------
    text : str
        Unformatted Text Value (0070,0006), lines separated by a line feed, control characters made visible.
    box : tuple of (column, row), optional
        Corners of its bounding box as displayed top left and bottom right.
    anchor : (column, row), optional
        What it is about.
    is_anchor_visible : bool
        A line from text to anchor is wanted.
    justification : str
        LEFT, CENTER or RIGHT.
    layer : Layer
        Where it belongs.
    """

    text: str
    box: tuple[Point, Point] | None
    anchor: Point | None
    is_anchor_visible: bool
    justification: str
    layer: Layer


Annotation = GraphicObject | TextObject


def annotations(
    state: Dataset, image: Dataset, *, area: Spatial, frame: int = 0
) -> tuple[tuple[Annotation, ...], tuple[Finding, ...]]:
    """Return the graphics and texts for a frame of an image in drawing order, and what was left out.

    Parameters
    ----------
    state : Dataset
        A softcopy presentation state.
    image : Dataset
        An image that it refers to.
    area : Spatial
        The displayed area, in which points of DISPLAY units are.
    frame : int
        Index of the frame, from 0.
    """
    layers = {layer.name: layer for layer in map(_layer, items(state, "GraphicLayerSequence"))}
    found: list[Annotation] = []
    findings: list[Finding] = []
    for index, part in enumerate(items(state, "GraphicAnnotationSequence")):
        if not refers_to(part, image, frame=frame):
            continue
        layer = layers.get(text(part, "GraphicLayer"), Layer(text(part, "GraphicLayer")))
        for path, item in _objects(part):
            try:
                found.append(_text(item, layer, area) if path.startswith("Text") else _graphic(item, layer, area))
            except AttributeUnusable as error:
                where = f"GraphicAnnotationSequence[{index}].{path}"
                findings.append(Finding(Severity.WARNING, where, "PS3.3 C.10.5", f"Left out: {error}"))
        if items(part, "CompoundGraphicSequence"):
            message = "Compound graphics are shown by the simple graphics that stand for them, where there are any."
            where = f"GraphicAnnotationSequence[{index}].CompoundGraphicSequence"
            findings.append(Finding(Severity.NOTE, where, "PS3.3 C.10.5.1.6", message))
    return tuple(sorted(found, key=lambda a: a.layer.order)), tuple(findings)


def _objects(part: Dataset) -> Iterator[tuple[str, Dataset]]:
    for keyword in ("GraphicObjectSequence", "TextObjectSequence"):
        for index, item in enumerate(items(part, keyword)):
            yield f"{keyword}[{index}]", item


def _layer(item: Dataset) -> Layer:
    order = integer(item, "GraphicLayerOrder", 0) or 0
    name = text(item, "GraphicLayer")
    lab = floats(item, "GraphicLayerRecommendedDisplayCIELabValue")
    if len(lab) == 3:
        return Layer(name, order, _rgb(*lab))
    rgb = floats(item, "GraphicLayerRecommendedDisplayRGBValue")
    if len(rgb) == 3:
        return Layer(name, order, (rgb[0] / 65535, rgb[1] / 65535, rgb[2] / 65535))
    gray = integer(item, "GraphicLayerRecommendedDisplayGrayscaleValue")
    return Layer(name, order, None if gray is None else (gray / 65535,) * 3)


def _rgb(lightness: float, a: float, b: float) -> tuple[float, float, float]:
    """PCS-Values of CIELab (PS3.3 C.10.7.1.1), D50, as sRGB."""
    fy = (lightness / 65535 * 100 + 16) / 116
    fx, fz = fy + (a / 65535 * 255 - 128) / 500, fy - (b / 65535 * 255 - 128) / 200
    cube = np.array([t**3 if t > 6 / 29 else 3 * (6 / 29) ** 2 * (t - 4 / 29) for t in (fx, fy, fz)]) * [0.9642, 1.0, 0.8251]
    matrix = np.array(
        [[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]]
    )  # XYZ (D50) to linear sRGB
    linear = np.clip(matrix @ cube, 0, 1)
    red, green, blue = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return round(float(red), 4), round(float(green), 4), round(float(blue), 4)


def _graphic(item: Dataset, layer: Layer, area: Spatial) -> GraphicObject:
    kind = text(item, "GraphicType")
    least, most = _POINTS.get(kind, (0, 0))
    if not least:
        raise AttributeUnusable(f"Graphic Type (0070,0023) is one of {', '.join(_POINTS)} (PS3.3 C.10.5.1.2).")
    flat = floats(item, "GraphicData")
    count = len(flat) // 2
    if len(flat) % 2 or count < least or (most and count > most) or count > _LIMIT_POINTS:
        raise AttributeUnusable(f"Graphic Data (0070,0022) has {len(flat)} numbers, which is no {kind} (PS3.3 C.10.5.1.2).")
    points = _points(flat, text(item, "GraphicAnnotationUnits"), area)
    return GraphicObject(kind, points, text(item, "GraphicFilled") == "Y", layer)


def _text(item: Dataset, layer: Layer, area: Spatial) -> TextObject:
    lines = str(attribute(item, "UnformattedTextValue") or "").replace("\r\n", "\n").replace("\r", "\n")
    corners = (*floats(item, "BoundingBoxTopLeftHandCorner"), *floats(item, "BoundingBoxBottomRightHandCorner"))
    anchor = floats(item, "AnchorPoint")
    box = None
    if len(corners) == 4:
        first, second = _points(corners, text(item, "BoundingBoxAnnotationUnits"), area)
        box = (first, second)
    if box is None and len(anchor) != 2:
        raise AttributeUnusable("A text needs a bounding box or an anchor point (PS3.3 C.10.5).")
    return TextObject(
        text=plain(lines).rstrip(),
        box=box,
        anchor=_points(anchor, text(item, "AnchorPointAnnotationUnits"), area)[0] if len(anchor) == 2 else None,
        is_anchor_visible=text(item, "AnchorPointVisibility") == "Y",
        justification=text(item, "BoundingBoxTextHorizontalJustification") or "LEFT",
        layer=layer,
    )


def _points(flat: tuple[float, ...], units: str, area: Spatial) -> tuple[Point, ...]:
    if units not in {"PIXEL", "DISPLAY"}:
        raise AttributeUnusable("Annotation units other than PIXEL and DISPLAY are not known here (PS3.3 C.10.5.1.1).")
    points = np.array(flat, np.float64).reshape(-1, 2)
    if units == "DISPLAY":  # fractions of what is displayed
        points = area.image(points * [area.shape[1], area.shape[0]])
    return tuple((float(x), float(y)) for x, y in points)

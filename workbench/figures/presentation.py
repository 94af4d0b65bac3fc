"""An image with what was drawn on it: graphics and text of a presentation state, or marks.

Knows: how the graphic types look (PS3.3 C.10.5.1.2).
Does not know: how a state is read; rendering does.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.interpolate import CubicSpline

from workbench.entities import Mark, plain
from workbench.entities.marks import Text
from workbench.figures._drawing import families, settled
from workbench.figures.images import panel
from workbench.files import given
from workbench.rendering import GraphicObject, Spatial, TextObject, Window, resolve

__all__ = ["marks", "presentation"]

_COLORS = ("#ffd23f", "#3fd0ff", "#ff7f6e", "#8ce07a", "#d9a5ff")
_OUTLINE = [withStroke(linewidth=2.4, foreground="black", alpha=0.55)]


def presentation(image: Dataset, state: Dataset, *, frame: int = 0, title: str | None = None) -> Figure:
    """Return a figure of a frame as a presentation state wants it, its graphics and text drawn.

    Parameters
    ----------
    image : Dataset
        An image.
    state : Dataset
        A softcopy presentation state that refers to it.
    frame : int
        Index of the frame, from 0.
    title : str, optional
        Instead of modality and description.

    Raises
    ------
    InputError
        If image or state is not a dataset.
    AttributeUnusable
        If the state does not refer to the image.
    PixelDataUnusable
        If the image can't be decoded.
    """
    plan = resolve(image, state=given.one(state, what="a presentation state"))
    figure, axes = panel(image, plan, frame=frame, title=title)
    planned = plan.frame(frame)
    layers = list(dict.fromkeys(a.layer.name for a in planned.annotations))
    for item in planned.annotations:
        color: Any = item.layer.rgb or _COLORS[layers.index(item.layer.name) % len(_COLORS)]
        if isinstance(item, GraphicObject):
            _draw(axes, item.kind, np.array(item.points), planned.spatial, color=color, is_filled=item.is_filled)
        else:
            _write(axes, item, planned.spatial, color=color)
    return settled(figure)


def marks(
    image: Dataset,
    marks: Mark | Iterable[Mark],
    *,
    frame: int = 0,
    window: tuple[float, float] | Window | None = None,
    title: str | None = None,
) -> Figure:
    """Return a figure of a frame with marks, each in a colour of its own.

    Parameters
    ----------
    image : Dataset
        An image.
    marks : Mark or iterable of Mark
        Points, polylines, circles, ellipses and texts in image coordinates (column, row).
    frame : int
        Index of the frame, from 0.
    window : (center, width) or Window, optional
        In modality values.
    title : str, optional
        Instead of modality and description.
    """
    plan = resolve(image, window=window)
    figure, axes = panel(image, plan, frame=frame, title=title)
    area = plan.frame(frame).spatial
    for index, mark in enumerate([marks] if isinstance(marks, Mark) else marks):
        color = _COLORS[index % len(_COLORS)]
        points = np.array(mark.vertices, np.float64)
        if isinstance(mark, Text):
            x, y = area.displayed(points)[0]
            _words(axes, (x, y), mark.text, color=color)
        else:
            _draw(axes, mark.graphic_type, points, area, color=color)
    return settled(figure)


def _draw(axes: Axes, kind: str, points: NDArray[np.float64], area: Spatial, *, color: Any, is_filled: bool = False) -> None:
    outline = area.displayed(_outline(kind, points))
    if kind == "POINT":
        axes.plot(*outline.T, marker="+", ms=11, mew=1.8, color=color, path_effects=_OUTLINE)
        return
    if is_filled:
        axes.fill(*outline.T, color=color, alpha=0.3, lw=0)
    axes.plot(*outline.T, color=color, lw=1.6, path_effects=_OUTLINE, solid_joinstyle="round")


def _outline(kind: str, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vertices to draw, shape (n, 2), in image coordinates."""
    turn = np.linspace(0, 2 * np.pi, 181)
    if kind == "CIRCLE":
        radius = np.hypot(*(points[1] - points[0]))
        return np.asarray(points[0] + radius * np.column_stack([np.cos(turn), np.sin(turn)]))
    if kind == "ELLIPSE":
        center = points[:2].mean(axis=0)
        return np.asarray(center + np.outer(np.cos(turn), points[1] - center) + np.outer(np.sin(turn), points[3] - center))
    if kind == "INTERPOLATED" and len(points) > 2:
        return _smooth(points)
    return points


def _smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    moves = np.any(np.diff(points, axis=0) != 0, axis=1)
    kept: NDArray[np.float64] = points[np.append(np.array([True]), moves)]
    if len(kept) < 3:
        return kept
    along = np.append(0, np.cumsum(np.hypot(*np.diff(kept, axis=0).T)))
    is_closed = np.array_equal(kept[0], kept[-1])
    curve = CubicSpline(along, kept, bc_type="periodic" if is_closed else "natural")
    return np.asarray(curve(np.linspace(0, along[-1], 20 * len(kept))), np.float64)


def _write(axes: Axes, item: TextObject, area: Spatial, *, color: Any) -> None:
    anchor = area.displayed(np.array([item.anchor]))[0] if item.anchor else None
    if item.box is None:
        if anchor is not None:
            _words(axes, (anchor[0], anchor[1]), item.text, color=color)
        return
    corners = area.displayed(np.array(item.box))
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    align = {"LEFT": "left", "RIGHT": "right"}.get(item.justification, "center")
    x = {"left": left, "right": right, "center": (left + right) / 2}[align]
    if anchor is not None and item.is_anchor_visible:
        near = np.clip(anchor, (left, top), (right, bottom))
        axes.plot(*np.array([near, anchor]).T, color=color, lw=1, path_effects=_OUTLINE)
    _words(axes, (x, (top + bottom) / 2), item.text, color=color, align=align)


def _words(axes: Axes, at: tuple[float, float], words: str, *, color: Any, align: str = "") -> None:
    """Write beside a place; with `align`, at the place itself and centred in height."""
    axes.annotate(
        plain(words), at, xytext=(0, 0) if align else (5, 5), textcoords="offset points", fontsize=10,
        fontweight="bold", color=color, ha=align or "left", va="center" if align else "bottom",
        path_effects=_OUTLINE, fontfamily=families(), parse_math=False, annotation_clip=True,
    )  # fmt: skip

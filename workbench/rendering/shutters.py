"""What is hidden: display shutters.

Knows: rectangular, circular and polygonal shutters (PS3.3 C.7.6.11) and their value.
Does not know: bitmap shutters, which are overlays.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering._reading import floats, integer, words

__all__ = ["Shutter", "shutter"]


@dataclass(frozen=True, slots=True)
class Shutter:
    """What is left open: all shapes that are given apply together.

    Parameters
    ----------
    rectangle : tuple of float, optional
        Left, upper, right and lower edge, as pixel numbers from 1 (0 and beyond the image are allowed).
    circle : tuple of float, optional
        Row, column and radius, in pixels.
    polygon : tuple of tuple of float
        Vertices (row, column).
    value : int
        P-Value of what is hidden, 0 (black) to 65535.
    """

    rectangle: tuple[float, float, float, float] | None = None
    circle: tuple[float, float, float] | None = None
    polygon: tuple[tuple[float, float], ...] = ()
    value: int = 0

    def hidden(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """Return a mask, shape (rows, columns), that is true where pixels are hidden."""
        row, column = np.arange(1, rows + 1)[:, None], np.arange(1, columns + 1)[None, :]
        mask = np.zeros((rows, columns), np.bool_)
        if self.rectangle:
            left, upper, right, lower = self.rectangle
            mask |= (column < left) | (column > right) | (row < upper) | (row > lower)
        if self.circle:
            center_row, center_column, radius = self.circle
            mask |= (row - center_row) ** 2 + (column - center_column) ** 2 > radius**2
        if self.polygon:
            mask |= ~_inside(self.polygon, row, column)
        return mask


def _inside(polygon: tuple[tuple[float, float], ...], row: NDArray[Any], column: NDArray[Any]) -> NDArray[np.bool_]:
    """Even-odd rule, edges included on the left and top."""
    inside = np.zeros(np.broadcast_shapes(row.shape, column.shape), np.bool_)
    for (r1, c1), (r2, c2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if r1 != r2:
            crosses = (r1 > row) != (r2 > row)
            inside ^= crosses & (column < c1 + (row - r1) * (c2 - c1) / (r2 - r1))
    return inside


def shutter(source: Dataset) -> Shutter | None:
    """Return the shutter of a presentation state or an image; None where it has none.

    Raises
    ------
    AttributeUnusable
        If a shape is named whose edges are absent or no numbers (PS3.3 C.7.6.11).
    """
    shapes = set(words(source, "ShutterShape"))
    if not shapes & {"RECTANGULAR", "CIRCULAR", "POLYGONAL"}:
        return None
    rectangle = circle = None
    polygon: tuple[tuple[float, float], ...] = ()
    if "RECTANGULAR" in shapes:
        edges = ("LeftVertical", "UpperHorizontal", "RightVertical", "LowerHorizontal")
        left, upper, right, lower = (_values(source, f"Shutter{e}Edge", 1)[0] for e in edges)
        rectangle = (left, upper, right, lower)
    if "CIRCULAR" in shapes:
        row, column = _values(source, "CenterOfCircularShutter", 2)
        circle = (row, column, _values(source, "RadiusOfCircularShutter", 1)[0])
    if "POLYGONAL" in shapes:
        flat = floats(source, "VerticesOfThePolygonalShutter")
        if len(flat) < 6 or len(flat) % 2:
            raise AttributeUnusable("A polygonal shutter needs three vertices or more (PS3.3 C.7.6.11).")
        polygon = tuple(zip(flat[::2], flat[1::2], strict=True))
    value = integer(source, "ShutterPresentationValue", 0) or 0
    return Shutter(rectangle, circle, polygon, min(max(value, 0), 65535))


def _values(source: Dataset, keyword: str, count: int) -> tuple[float, ...]:
    values = floats(source, keyword)
    if len(values) != count:
        raise AttributeUnusable(f"{keyword} needs {count} value(s) for the Shutter Shape that is named (PS3.3 C.7.6.11).")
    return values

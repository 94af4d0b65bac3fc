"""Which part of an image is shown, and how it is turned.

Knows: Displayed Area (PS3.3 C.10.4), Spatial Transformation (C.10.6).
Does not know: screens and zoom.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering._reading import floats, integer, items, text
from workbench.rendering._referring import refers_to
from workbench.rendering.geometry import spacing

__all__ = ["Spatial", "spatial"]


@dataclass(frozen=True, slots=True)
class Spatial:
    """The way from image pixels to displayed pixels: cut out, turn, flip.

    Parameters
    ----------
    left, top, right, bottom : int
        Displayed area in image pixels, from 0; right and bottom are excluded. It may reach beyond the image.
    rotation_deg : int
        0, 90, 180 or 270, clockwise.
    is_flipped : bool
        Left and right are exchanged, after the rotation.
    pixel_aspect : float
        Height of an image pixel divided by its width.
    """

    left: int
    top: int
    right: int
    bottom: int
    rotation_deg: int = 0
    is_flipped: bool = False
    pixel_aspect: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of what is displayed."""
        size = (self.bottom - self.top, self.right - self.left)
        return size if self.rotation_deg % 180 == 0 else size[::-1]

    def __call__(self, array: NDArray[Any], *, fill: int = 0) -> NDArray[Any]:
        """Return the displayed part of an image array, shape (rows, columns[, samples])."""
        rows, columns = array.shape[:2]
        part = array[max(self.top, 0) : max(min(self.bottom, rows), 0), max(self.left, 0) : max(min(self.right, columns), 0)]
        before = (max(-self.top, 0), max(-self.left, 0))
        size = (self.bottom - self.top, self.right - self.left)
        if part.shape[:2] != size:
            whole = np.full((*size, *array.shape[2:]), fill, array.dtype)
            if part.size:
                whole[before[0] : before[0] + part.shape[0], before[1] : before[1] + part.shape[1]] = part
            part = whole
        part = np.rot90(part, -self.rotation_deg // 90)
        return np.ascontiguousarray(part[:, ::-1] if self.is_flipped else part)

    def displayed(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return image points (column, row), shape (n, 2), as points of the displayed array."""
        x, y = points[:, 0] - self.left, points[:, 1] - self.top
        width, height = self.right - self.left, self.bottom - self.top
        turned = {0: (x, y), 90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}[self.rotation_deg]
        across = self.shape[1] - turned[0] if self.is_flipped else turned[0]
        return np.column_stack([across, turned[1]])

    def image(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (column, row) of the displayed array as image points: the inverse of :meth:`displayed`."""
        across = self.shape[1] - points[:, 0] if self.is_flipped else points[:, 0]
        down = points[:, 1]
        width, height = self.right - self.left, self.bottom - self.top
        x, y = {
            0: (across, down),
            90: (down, height - across),
            180: (width - across, height - down),
            270: (width - down, across),
        }[self.rotation_deg]
        return np.column_stack([x + self.left, y + self.top])


def spatial(state: Dataset | None, image: Dataset, *, rows: int, columns: int, frame: int = 0) -> Spatial:
    """Return what of an image is displayed and how, by a presentation state or without one.

    Raises
    ------
    AttributeUnusable
        If the rotation is not a multiple of 90, or the displayed area is empty or absurdly large (PS3.3 C.10.4, C.10.6).
    """
    size = spacing(image, frame=frame)
    aspect = size.row_mm / size.column_mm if size else _aspect(image)
    if state is None:
        return Spatial(0, 0, columns, rows, pixel_aspect=aspect)
    turn = integer(state, "ImageRotation", 0)
    if turn is None or turn % 90:
        raise AttributeUnusable("Image Rotation (0070,0042) must be 0, 90, 180 or 270 (PS3.3 C.10.6).")
    flip = text(state, "ImageHorizontalFlip") == "Y"
    box = (0, 0, columns, rows)
    for item in items(state, "DisplayedAreaSelectionSequence"):
        if refers_to(item, image, frame=frame):
            box, aspect = _box(item), _aspect(item) if "PresentationPixelSpacing" in item or not size else aspect
            break
    return Spatial(*box, turn % 360, flip, aspect)


def _box(item: Dataset) -> tuple[int, int, int, int]:
    first = floats(item, "DisplayedAreaTopLeftHandCorner")
    second = floats(item, "DisplayedAreaBottomRightHandCorner")
    if len(first) != 2 or len(second) != 2:
        raise AttributeUnusable("A displayed area needs its top left and bottom right corners (PS3.3 C.10.4).")
    (left, right), (top, bottom) = (sorted((int(a), int(b))) for a, b in zip(first, second, strict=True))
    if max(abs(left), abs(top), right, bottom) > 65535 * 4 or (right - left + 1) * (bottom - top + 1) > 2**30:
        raise AttributeUnusable("The displayed area is larger than any image (PS3.3 C.10.4).")
    return left - 1, top - 1, right, bottom


def _aspect(source: Dataset) -> float:
    for keyword in ("PresentationPixelSpacing", "PresentationPixelAspectRatio", "PixelAspectRatio"):
        values = floats(source, keyword)
        if len(values) == 2 and min(values) > 0:
            return values[0] / values[1]
    return 1.0

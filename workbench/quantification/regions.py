"""Regions of images and volumes, and what can be said of the values in them.

Knows: circles, ellipses, polygons and spheres as masks; mean, deviation, extremes, area, volume.
Does not know: where the shapes come from, or how they are stored.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.errors import AttributeUnusable
from workbench.quantification.volumes import Volume

__all__ = ["RegionStatistics", "ellipse", "polygon", "polygon_area_mm2", "sphere", "statistics"]


@dataclass(frozen=True, slots=True)
class RegionStatistics:
    """What can be said of the values in a region.

    Parameters
    ----------
    mean, std, min, max, median : float
        In `units`; `std` divides by n - 1 and is NaN for a single value.
    n : int
        Pixels or voxels.
    units : str
        UCUM code.
    area_mm2, volume_ml : float or None
        n times the size of a pixel or voxel, where that was given.
    formula, provenance : str
        How the numbers came to be, for people and reports.
    """

    mean: float
    std: float
    min: float
    max: float
    median: float
    n: int
    units: str
    area_mm2: float | None = None
    volume_ml: float | None = None
    formula: str = ""
    provenance: str = ""


def statistics(
    values: ArrayLike,
    mask: ArrayLike,
    *,
    units: str = "1",
    pixel_spacing_mm: tuple[float, float] | None = None,
    voxel_volume_ml: float | None = None,
    provenance: str = "",
) -> RegionStatistics:
    """Return statistics of the values in a region.

    Parameters
    ----------
    values : ndarray, any shape
        Real-world values, such as Hounsfield units or SUV.
    mask : ndarray of bool, the same shape
        True inside.
    units : str
        UCUM code of the values.
    pixel_spacing_mm : tuple of float, optional
        (between rows, between columns); gives the area.
    voxel_volume_ml : float, optional
        Gives the volume.
    provenance : str
        From what the values come.

    Raises
    ------
    AttributeUnusable
        If the shapes differ, the region is empty, a value in it is not finite, or a size is not greater than 0.

    Examples
    --------
    >>> statistics([[1.0, 2.0], [3.0, 9.0]], [[True, True], [True, False]], units="g/ml").mean
    2.0
    """
    array, inside = np.asarray(values, dtype=np.float64), np.asarray(mask)
    if inside.dtype != np.bool_ or array.shape != inside.shape:
        raise AttributeUnusable(
            f"A region needs a bool mask of the shape of the values: {array.shape}, not {inside.dtype} {inside.shape}."
        )
    chosen = array[inside]
    if chosen.size == 0:
        raise AttributeUnusable("The region is empty: no pixel center lies inside. Draw it larger.")
    if not np.all(np.isfinite(chosen)):
        raise AttributeUnusable(
            f"{int(np.sum(~np.isfinite(chosen)))} of {chosen.size} values in the region are not finite: "
            "it reaches beyond the data. Draw it smaller."
        )
    sizes = [*(pixel_spacing_mm or ()), *([] if voxel_volume_ml is None else [voxel_volume_ml])]
    if not all(size > 0 and math.isfinite(size) for size in sizes):
        raise AttributeUnusable("pixel_spacing_mm and voxel_volume_ml must be greater than 0 (PS3.3 10.7).")
    return RegionStatistics(
        mean=float(chosen.mean()),
        std=float(chosen.std(ddof=1)) if chosen.size > 1 else float("nan"),
        min=float(chosen.min()),
        max=float(chosen.max()),
        median=float(np.median(chosen)),
        n=int(chosen.size),
        units=units,
        area_mm2=chosen.size * pixel_spacing_mm[0] * pixel_spacing_mm[1] if pixel_spacing_mm else None,
        volume_ml=chosen.size * voxel_volume_ml if voxel_volume_ml is not None else None,
        formula="over pixels whose centers are inside; deviation with n - 1; area and volume by counting",
        provenance=provenance,
    )


def ellipse(
    shape: tuple[int, int], *, center: tuple[float, float], radii: tuple[float, float], angle_deg: float = 0.0
) -> NDArray[np.bool_]:
    """Return the mask of an ellipse; with equal radii, of a circle.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns).
    center : tuple of float
        (column, row); the origin is the top-left corner of the top-left pixel (PS3.3 C.10.5).
    radii : tuple of float
        Semi-axes in pixels: along the columns' direction, then across, before rotation.
    angle_deg : float
        Rotation from the columns' direction towards the rows' (clockwise as seen).

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        True where the center of the pixel is inside or on the line.

    Raises
    ------
    AttributeUnusable
        If a radius is not greater than 0.
    """
    if not (radii[0] > 0 and radii[1] > 0):
        raise AttributeUnusable("Both radii of an ellipse must be greater than 0.")
    row, column = np.ogrid[0 : shape[0], 0 : shape[1]]
    across, down = column + 0.5 - center[0], row + 0.5 - center[1]
    cosine, sine = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    first, second = across * cosine + down * sine, down * cosine - across * sine
    return np.asarray((first / radii[0]) ** 2 + (second / radii[1]) ** 2 <= 1)


def polygon(shape: tuple[int, int], points: Sequence[tuple[float, float]] | NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the mask of a closed polygon by the even-odd rule.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns).
    points : array, shape (n, 2)
        (column, row) of the corners; the last is joined to the first. May cross itself: what is enclosed twice is
        outside.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        True where the center of the pixel is inside. A center exactly on a line belongs to the polygon on its right
        or below it, so that polygons that share a side share no pixel and leave none out.

    Raises
    ------
    AttributeUnusable
        If there are fewer than three points or one is not finite.
    """
    corners = _corners(points)
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), dtype=np.int64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        (xa, ya), (xb, yb) = ((x0, y0), (x1, y1)) if y0 < y1 else ((x1, y1), (x0, y0))
        centers = np.arange(max(0, math.ceil(ya - 0.5)), min(rows, math.ceil(yb - 0.5)))
        x = xa + (centers + 0.5 - ya) * (xb - xa) / (yb - ya)
        first = np.clip(np.ceil(x - 0.5), 0, columns).astype(np.int64)
        np.add.at(crossings, (centers, first), 1)
    return np.asarray(np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1)


def polygon_area_mm2(
    points: Sequence[tuple[float, float]] | NDArray[np.floating], *, pixel_spacing_mm: tuple[float, float]
) -> float:
    """Return the area of a polygon that does not cross itself, by the shoelace formula.

    Parameters
    ----------
    points : array, shape (n, 2)
        (column, row) of the corners.
    pixel_spacing_mm : tuple of float
        (between rows, between columns).

    Examples
    --------
    >>> polygon_area_mm2([(0, 0), (4, 0), (4, 3)], pixel_spacing_mm=(0.5, 0.5))
    1.5
    """
    x, y = _corners(points).T
    row_mm, column_mm = pixel_spacing_mm
    return float(abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2 * row_mm * column_mm)


def _corners(points: Sequence[tuple[float, float]] | NDArray[np.floating]) -> NDArray[np.float64]:
    corners = np.asarray(points, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.all(np.isfinite(corners)):
        raise AttributeUnusable("A polygon needs three or more points (column, row), all finite.")
    return corners


def sphere(volume: Volume, *, center_mm: Sequence[float], diameter_mm: float) -> NDArray[np.bool_]:
    """Return the mask of a sphere in a volume.

    Parameters
    ----------
    volume : Volume
        Whose grid is used.
    center_mm : sequence of float
        (x, y, z) in the patient's coordinates.
    diameter_mm : float
        Diameter.

    Returns
    -------
    ndarray of bool, shape (slices, rows, columns)
        True where the center of the voxel is inside or on the surface.

    Raises
    ------
    AttributeUnusable
        If the diameter is not greater than 0.
    """
    if not diameter_mm > 0:
        raise AttributeUnusable("The diameter of a sphere must be greater than 0.")
    center, radius = np.asarray(center_mm, dtype=np.float64), diameter_mm / 2
    reach = radius * np.linalg.norm(np.linalg.inv(volume.affine_mm[:3, :3]), axis=1)[::-1]
    middle = volume.voxel(center_mm)
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, volume.shape).astype(int)
    mask = np.zeros(volume.shape, dtype=np.bool_)
    if np.all(low < high):
        index = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij")[::-1], axis=-1)
        away = index @ volume.affine_mm[:3, :3].T + (volume.affine_mm[:3, 3] - center)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        mask[box] = np.einsum("...i,...i", away, away) <= radius**2 * (1 + 1e-9)
    return mask

"""PET as one reads it: three planes through a place, the maximum projection, fused on CT.

Knows: radiological convention, SUV colour scales, how volumes of different voxels lie over each other.
Does not know: how SUV is computed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from workbench.entities import plain
from workbench.errors import AttributeUnusable, InputError
from workbench.figures._drawing import (
    ACCENT,
    FAINT,
    INK,
    add_axes,
    families,
    group_bar,
    heading,
    letters,
    paper,
    scale_bar,
    settled,
)
from workbench.quantification import Volume, resample
from workbench.rendering import Sides, Spacing, Window

__all__ = ["pet"]

_PLANES = (
    ("Axial", 2, Sides("R", "L", "A", "P")),
    ("Coronal", 1, Sides("R", "L", "H", "F")),
    ("Sagittal", 0, Sides("A", "P", "H", "F")),
)
_CT_WINDOW = Window(40, 400)
_MARGIN_MM = 20.0
_FINEST = 400  # voxels along the longest side of a volume that has to be turned
_OBLIQUE = 0.985  # cosine of ten degrees
_INVERSE = ListedColormap(np.repeat(np.linspace(1, 0, 256)[:, None], 3, axis=1), name="inverse gray")


@dataclass(frozen=True, slots=True, eq=False)
class _Upright:
    """A volume turned so that its axes (z, y, x) run to head, back and left of the patient.

    `first_mm` and `step_mm` are (x, y, z): the centre of the first voxel and the distance to the next.
    """

    values: NDArray[np.float32]
    first_mm: NDArray[np.float64]
    step_mm: NDArray[np.float64]

    @property
    def size(self) -> NDArray[np.int64]:
        """Voxels along x, y and z."""
        return np.array(self.values.shape[::-1])

    def index(self, at_mm: NDArray[np.float64], axis: int) -> int:
        """Return the nearest voxel along an axis (0 is x), -1 outside."""
        at = round(float((at_mm[axis] - self.first_mm[axis]) / self.step_mm[axis]))
        return at if 0 <= at < self.size[axis] else -1

    def cut(self, at_mm: NDArray[np.float64], axis: int) -> NDArray[np.float32] | None:
        """Return the slice across an axis as it is drawn (rows downwards), or None outside."""
        at = self.index(at_mm, axis)
        if at < 0:
            return None
        plane: NDArray[np.float32] = np.take(self.values, at, axis=2 - axis)
        return plane if axis == 2 else plane[::-1]  # head up

    def extent(self, axis: int) -> tuple[float, float, float, float]:
        """Return left, right, bottom and top in mm of such a slice."""
        low = self.first_mm - self.step_mm / 2
        high = low + self.size * self.step_mm
        x, y = {2: (0, 1), 1: (0, 2), 0: (1, 2)}[axis]
        return (low[x], high[x], high[y], low[y]) if axis == 2 else (low[x], high[x], low[y], high[y])


def _check(suv: object, ct: object) -> None:
    if not isinstance(suv, Volume):
        raise InputError("A PET figure is of a volume, not of datasets: pass quantification.suv(datasets).")
    if ct is not None and not isinstance(ct, Volume):
        raise InputError("What lies beneath a PET is a volume: pass ct=quantification.volume(datasets).")


def pet(
    suv: Volume,
    ct: Volume | None = None,
    *,
    vmax: float | None = None,
    at_mm: tuple[float, float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Return a figure with axial, coronal and sagittal planes and the maximum intensity projection of a PET volume in SUV.

    Parameters
    ----------
    suv : Volume
        SUV, or activity. A volume that is tilted by more than ten degrees is resampled upright first.
    ct : Volume, optional
        In HU, in the same frame of reference: it lies beneath the three planes, with its own voxels.
    vmax : float, optional
        Value of the strongest colour. The default is the 99.9th percentile of values above 0, rounded up to a half, 2 at least.
    at_mm : (x, y, z), optional
        Where the planes meet, in LPS; the hottest voxel where it is not given.
    title : str, optional
        Above all panels.

    Returns
    -------
    Figure
        Not known to pyplot. Radiological convention: the patient's right is at the left, the head is up.

    Raises
    ------
    InputError
        If datasets are passed in place of volumes.
    AttributeUnusable
        If a volume holds no finite value, the two are of different frames of reference, or `vmax` is not greater than 0.
    """
    _check(suv, ct)
    if ct is not None and ct.frame_of_reference_uid != suv.frame_of_reference_uid:
        raise AttributeUnusable(
            "PET and CT have different Frame of Reference UIDs (0020,0052), so it is not known how they lie over each other "
            "(PS3.3 C.7.4.1). Register them first."
        )
    warm = _upright(suv)
    below = _upright(ct) if ct is not None else None
    top = _default_top(warm.values) if vmax is None else vmax
    if not top > 0:
        raise AttributeUnusable(f"vmax must be greater than 0, not {vmax!r}.")
    place = _hottest(warm) if at_mm is None else np.array(at_mm, np.float64)
    box = _body(warm, top)
    label = "SUVbw (g/ml)" if suv.units in {"GML", "g/ml"} or "suv" in suv.units.lower() else suv.units
    sizes = [(abs(e[1] - e[0]), abs(e[3] - e[2])) for e in [_view(box, axis) for axis in (2, 1, 0, 1)]]
    widths, height = [w for w, _ in sizes], max(h for _, h in sizes)
    scale = min(13.0 / sum(widths), 5.2 / height)
    figure = paper(sum(widths) * scale + 0.6, height * scale + (1.45 if title else 1.2))
    if title:
        figure.suptitle(
            plain(title), x=0.008, ha="left", fontsize=11.5, fontweight="bold", color=INK, fontfamily=families(), parse_math=False
        )
    grid = figure.add_gridspec(1, 4, width_ratios=widths)
    planes = [add_axes(figure, grid[0, index], face="black" if below else "white") for index in range(3)]
    for axes, (name, axis, sides) in zip(planes, _PLANES, strict=True):
        _plane(axes, warm, below, place, axis=axis, top=top)
        _frame(axes, _view(box, axis), is_scaled=axis == 2, color="white" if below else INK)
        heading(axes, name, f"{'xyz'[axis]} = {place[axis]:.0f} mm")
        letters(axes, sides, color=ACCENT if below else INK)
    projection = add_axes(figure, grid[0, 3], face="white")
    _projection(projection, warm, top=top)
    _frame(projection, _view(box, 1))
    _bars(figure, planes, projection, is_fused=below is not None, top=top, label=label)
    return settled(figure)


def _upright(volume: Volume) -> _Upright:
    values, affine = np.asarray(volume.values, np.float32), np.asarray(volume.affine_mm, np.float64)
    if values.ndim != 3 or affine.shape != (4, 4) or not np.isfinite(values).any():
        raise AttributeUnusable("A volume needs finite values of shape (slices, rows, columns) and a 4 × 4 affine.")
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, :3] / steps
    order = [int(np.argmax(np.abs(cosines[axis]))) for axis in range(3)]  # which voxel axis runs along x, y and z
    along = np.array([cosines[axis, order[axis]] for axis in range(3)])
    if sorted(order) != [0, 1, 2] or np.abs(along).min() < _OBLIQUE:
        return _upright(resample(volume, like=_grid(volume)))
    upright = values.transpose([2 - order[axis] for axis in (2, 1, 0)])
    corner = np.zeros(3)
    for axis in range(3):
        if along[axis] < 0:
            upright = np.flip(upright, 2 - axis)
            corner[order[axis]] = upright.shape[2 - axis] - 1
    first = affine[:3, :3] @ corner + affine[:3, 3]
    return _Upright(upright, first, steps[order])


def _grid(volume: Volume) -> Volume:
    """Return an empty upright volume around a tilted one, with cubic voxels of its finest spacing."""
    slices, rows, columns = volume.values.shape
    corners = (
        np.array([(c, r, s, 1) for c in (0, columns - 1) for r in (0, rows - 1) for s in (0, slices - 1)]) @ volume.affine_mm.T
    )
    low, high = corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)
    step = max(min(volume.spacing_mm), float((high - low).max()) / _FINEST)
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = low
    size = np.ceil((high - low) / step).astype(int) + 1
    return volume.but(values=np.zeros(size[::-1]), affine_mm=affine)


def _default_top(values: NDArray[np.float32]) -> float:
    warm = values[np.isfinite(values) & (values > 0)]
    return max(2.0, float(np.ceil(np.percentile(warm, 99.9) * 2) / 2)) if warm.size else 2.0


def _hottest(volume: _Upright) -> NDArray[np.float64]:
    z, y, x = np.unravel_index(int(np.nanargmax(volume.values)), volume.values.shape)
    return np.asarray(volume.first_mm + np.array([x, y, z]) * volume.step_mm)


def _plane(axes: Axes, warm: _Upright, below: _Upright | None, place: NDArray[np.float64], *, axis: int, top: float) -> None:
    extent = warm.extent(axis)
    plane = warm.cut(place, axis)
    under = below.cut(place, axis) if below else None
    if below is not None and under is not None:
        gray = _CT_WINDOW.fraction(np.nan_to_num(under, nan=-1024))
        axes.imshow(gray, cmap="gray", vmin=0, vmax=1, extent=below.extent(axis), interpolation="bilinear")
    if plane is not None and below is not None:
        axes.imshow(_glow(plane, top), extent=extent, interpolation="bilinear")
    elif plane is not None:
        axes.imshow(np.nan_to_num(plane), cmap=_INVERSE, vmin=0, vmax=top, extent=extent, interpolation="bilinear")
    x, y = {2: (0, 1), 1: (0, 2), 0: (1, 2)}[axis]
    line: dict[str, Any] = {"color": ACCENT if below else FAINT, "lw": 0.7, "alpha": 0.65, "ls": (0, (6, 4))}
    axes.axvline(place[x], **line)
    axes.axhline(place[y], **line)


def _body(volume: _Upright, top: float) -> NDArray[np.float64]:
    """Return the box around what takes up activity, shape (2, 3), in mm: full height, with a margin at the sides."""
    is_warm = np.nan_to_num(volume.values) > 0.03 * top
    low, high = volume.first_mm - volume.step_mm / 2, volume.first_mm + (volume.size - 0.5) * volume.step_mm
    box = np.array([low, high])
    for axis in (0, 1):
        share = is_warm.mean(axis=tuple(a for a in range(3) if a != 2 - axis))
        found = np.flatnonzero(share > 0.003)
        if found.size:
            edges = volume.first_mm[axis] + (found[[0, -1]] + [-0.5, 0.5]) * volume.step_mm[axis] + [-_MARGIN_MM, _MARGIN_MM]
            box[:, axis] = np.clip(edges, low[axis], high[axis])
    return box


def _view(box: NDArray[np.float64], axis: int) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of what is shown across an axis."""
    x, y = {2: (0, 1), 1: (0, 2), 0: (1, 2)}[axis]
    left, right, low, high = (float(v) for v in (box[0, x], box[1, x], box[0, y], box[1, y]))
    return (left, right, high, low) if axis == 2 else (left, right, low, high)


def _frame(axes: Axes, view: tuple[float, float, float, float], *, is_scaled: bool = False, color: str = INK) -> None:
    axes.set_xlim(view[:2])
    axes.set_ylim(view[2:])
    axes.set_aspect("equal", anchor="N")
    if is_scaled:
        scale_bar(axes, Spacing(1.0, 1.0), columns=round(view[1] - view[0]), color=color)


def _glow(plane: NDArray[np.float32], top: float) -> NDArray[np.float64]:
    """Return the colours of a plane; what is cold lets the CT through."""
    fraction = np.clip(np.nan_to_num(plane) / top, 0, 1)
    colors = np.asarray(colormaps["hot"](fraction), np.float64)
    colors[..., 3] = np.clip((fraction - 0.08) * 2.6, 0, 0.88)
    return colors


def _projection(axes: Axes, warm: _Upright, *, top: float) -> None:
    """Draw the maximum along the line of sight from the front."""
    flat = np.nan_to_num(warm.values, nan=0.0).max(axis=1)[::-1]
    extent = warm.extent(1)
    axes.imshow(flat, cmap=_INVERSE, vmin=0, vmax=top, extent=extent, interpolation="bilinear")
    heading(axes, "Maximum projection", "from the front")
    letters(axes, _PLANES[1][2], color=INK)


def _bars(figure: Figure, planes: list[Axes], projection: Axes, *, is_fused: bool, top: float, label: str) -> None:
    if is_fused:
        group_bar(figure, planes, "hot", low=0, high=top, label=f"{label} on CT")
        group_bar(figure, [projection], _INVERSE, low=0, high=top, label=label)
    else:
        group_bar(figure, [*planes, projection], _INVERSE, low=0, high=top, label=label)

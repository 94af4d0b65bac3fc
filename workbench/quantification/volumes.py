"""Volumes of parallel slices: assembly, resampling, projection.

Knows: PS3.3 C.7.6.2 (image plane), C.7.6.16 (frames of enhanced images) and arithmetic in LPS millimetres.
Does not know: files, the network, colour maps, figures.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy import ndimage

from workbench.entities import counted
from workbench.errors import AttributeUnusable, PixelDataUnusable
from workbench.files import given
from workbench.quantification._attributes import named, number, numbers

__all__ = ["Volume", "mip", "resample", "volume"]

_PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SPACING_TOLERANCE = 0.01
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on a regular grid in the patient's coordinates.

    Parameters
    ----------
    values : ndarray, shape (slices, rows, columns)
        Quantity in `units`; slices are ordered along the normal (cross product of row and column direction).
    affine_mm : ndarray, shape (4, 4)
        Takes (column, row, slice, 1), counted from 0 at the center of the first voxel, to (x, y, z, 1) in mm, LPS.
    frame_of_reference_uid : str
        Frame of Reference UID (0020,0052).
    units : str
        UCUM code, such as ``[hnsf'U]``, ``Bq/ml`` or ``g/ml``; empty where it is unknown.
    sop_instance_uids : tuple of str
        The instances it is made of, in the order of the slices.
    formula, provenance : str
        How the values were computed and from what; no patient's value.
    """

    values: NDArray[np.float64] = field(repr=False)
    affine_mm: NDArray[np.float64] = field(repr=False)
    frame_of_reference_uid: str
    units: str = ""
    sop_instance_uids: tuple[str, ...] = field(default=(), repr=False)
    formula: str = ""
    provenance: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        slices, rows, columns = self.values.shape
        return slices, rows, columns

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along (slices, rows, columns), in the order of the array's axes."""
        column, row, plane = np.linalg.norm(self.affine_mm[:3, :3], axis=0)
        return float(plane), float(row), float(column)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine_mm[:3, :3])) / 1000)

    def points_mm(self) -> NDArray[np.float64]:
        """Return the centers of all voxels, shape (slices, rows, columns, 3), as (x, y, z) in mm."""
        index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float64) for n in self.shape), indexing="ij")[::-1], axis=-1)
        return np.asarray(index @ self.affine_mm[:3, :3].T + self.affine_mm[:3, 3])

    def voxel(self, point_mm: Sequence[float]) -> NDArray[np.float64]:
        """Return (slice, row, column), fractional, of a point (x, y, z) in mm."""
        index = np.linalg.solve(self.affine_mm, np.array([*point_mm, 1.0]))
        return np.asarray(index[2::-1])

    def but(self, **changes: Any) -> "Volume":
        """Return this volume with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class _Plane:
    """One slice: where it is, and how to get its values."""

    dataset: Dataset
    frame: int | None
    position_mm: NDArray[np.float64]
    along: tuple[float, ...]
    spacing_mm: tuple[float, float]
    slope: float
    intercept: float


def volume(
    datasets: Dataset | Iterable[Dataset],
    *,
    values: Callable[[Dataset], NDArray[Any]] | None = None,
    units: str = "",
) -> Volume:
    """Return the volume that parallel slices make, sorted by their position along the normal.

    Parameters
    ----------
    datasets : Dataset or iterable of Dataset
        Single-frame images in any order, or one image with functional groups.
    values : callable, optional
        Takes an image and returns its values, shape (rows, columns) or (frames, rows, columns). Without it they are
        Rescale Slope · stored + Rescale Intercept (PS3.3 C.7.6.16.2.9, C.11.1), or as stored where there is no slope.
    units : str
        UCUM code of the values. Without it, it follows Rescale Type HU or PET Units.

    Raises
    ------
    InputError
        If `datasets` are not datasets.
    AttributeUnusable
        If an image has no plane, if orientation, spacing, size or frame of reference differ, if two slices are at the
        same place, or if slices are missing.
    PixelDataUnusable
        If pixels are missing, can't be decoded or have more than one sample.
    """
    images = given.several(datasets, what="images")
    if not images:
        raise AttributeUnusable("A volume needs images; none were given.")
    planes = [plane for image in images for plane in _planes(image)]
    _refuse_differences(planes)
    normal = np.cross(planes[0].along[:3], planes[0].along[3:])
    planes.sort(key=lambda p: float(p.position_mm @ normal))
    step_mm = _step(planes, normal)
    first = planes[0]
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.along[:3]) * first.spacing_mm[1]
    affine[:3, 1] = np.array(first.along[3:]) * first.spacing_mm[0]
    affine[:3, 2], affine[:3, 3] = step_mm, first.position_mm
    return Volume(
        values=_stacked(planes, values),
        affine_mm=affine,
        frame_of_reference_uid=str(first.dataset.get("FrameOfReferenceUID") or ""),
        units=units or _units(first.dataset),
        sop_instance_uids=tuple(str(p.dataset.get("SOPInstanceUID") or "") for p in planes),
        formula="" if values else "slope * stored + intercept (PS3.3 C.11.1)",
        provenance=f"{counted(len(planes), 'slice')} of {counted(len(images), 'instance')}",
    )


def _planes(image: Dataset) -> list[_Plane]:
    """Return the planes of an image: one, or one a frame."""
    if "PerFrameFunctionalGroupsSequence" not in image:
        if int(image.get("NumberOfFrames") or 1) > 1:
            raise AttributeUnusable("A multi-frame image needs functional groups to make a volume (PS3.3 C.7.6.16).")
        return [_plane(image, None, [image])]
    shared = list(image.get("SharedFunctionalGroupsSequence") or [])
    return [
        _plane(image, i, [item for group in (frame, *shared) for item in _macros(group)] + [image])
        for i, frame in enumerate(image.PerFrameFunctionalGroupsSequence)
    ]


def _macros(group: Dataset) -> list[Dataset]:
    names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "PixelValueTransformationSequence")
    return [group[name].value[0] for name in names if group.get(name)]


def _plane(image: Dataset, frame: int | None, places: list[Dataset]) -> _Plane:
    def first(keyword: str) -> tuple[float, ...]:
        return next((found for place in places if (found := numbers(place, keyword))), ())

    def exactly(keyword: str, count: int) -> tuple[float, ...]:
        if len(found := first(keyword)) != count:
            raise AttributeUnusable(
                f"A volume needs {keyword} with {count} numbers, which {named(image)} does not have (PS3.3 C.7.6.2)."
            )
        return found

    along = exactly("ImageOrientationPatient", 6)
    lengths = np.linalg.norm(np.reshape(along, (2, 3)), axis=1)
    if np.any(np.abs(lengths - 1) > _UNIT_TOLERANCE) or abs(np.dot(along[:3], along[3:])) > _UNIT_TOLERANCE:
        raise AttributeUnusable(
            f"Image Orientation (Patient) of {named(image)} is not two unit vectors at a right angle (PS3.3 C.7.6.2.1.1)."
        )
    row_mm, column_mm = exactly("PixelSpacing", 2)
    if not (row_mm > 0 and column_mm > 0):
        raise AttributeUnusable(f"Pixel Spacing (0028,0030) of {named(image)} is not greater than 0 (PS3.3 10.7).")
    return _Plane(
        dataset=image,
        frame=frame,
        position_mm=np.array(exactly("ImagePositionPatient", 3)),
        along=along,
        spacing_mm=(row_mm, column_mm),
        slope=next(iter(first("RescaleSlope")), 1.0),
        intercept=next(iter(first("RescaleIntercept")), 0.0),
    )


def _refuse_differences(planes: list[_Plane]) -> None:
    first = planes[0]
    for plane in planes[1:]:
        same = {
            "Image Orientation (Patient)": np.allclose(plane.along, first.along, atol=_UNIT_TOLERANCE),
            "Pixel Spacing": np.allclose(plane.spacing_mm, first.spacing_mm, rtol=1e-4),
            "Rows and Columns": all(plane.dataset.get(k) == first.dataset.get(k) for k in ("Rows", "Columns")),
            "Frame of Reference UID": plane.dataset.get("FrameOfReferenceUID") == first.dataset.get("FrameOfReferenceUID"),
        }
        if not all(same.values()):
            what = next(name for name, equal in same.items() if not equal)
            raise AttributeUnusable(
                f"{what} of {named(plane.dataset)} differs from that of {named(first.dataset)}: "
                "they make no volume. Pass the slices of one orientation and one frame of reference."
            )


def _step(planes: list[_Plane], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vector from one slice to the next in mm."""
    if len(planes) == 1:
        place = planes[0].dataset
        thickness = number(place, "SpacingBetweenSlices") or number(place, "SliceThickness") or 1.0
        return np.asarray(normal * thickness)
    gaps = np.diff([float(p.position_mm @ normal) for p in planes])
    usual = float(np.median(gaps))
    tolerance_mm = max(_SPACING_TOLERANCE * usual, 1e-3)
    if gaps.min() <= min(tolerance_mm, 1e-3):
        at = int(np.argmin(gaps))
        raise AttributeUnusable(
            f"Two slices are at the same place: {named(planes[at].dataset)} and {named(planes[at + 1].dataset)} "
            "(Image Position (Patient) (0020,0032)). Pass one series and one time point."
        )
    if np.any(np.abs(gaps - usual) > tolerance_mm):
        at = int(np.argmax(np.abs(gaps - usual)))
        raise AttributeUnusable(
            f"Slices are missing or not equidistant: {gaps[at]:.4g} mm between slices {at + 1} and {at + 2} of {len(planes)}, "
            f"elsewhere {usual:.4g} mm (PS3.3 C.7.6.2.1.1). Retrieve the whole series."
        )
    step = (planes[-1].position_mm - planes[0].position_mm) / (len(planes) - 1)
    strays = [float(np.linalg.norm(p.position_mm - planes[0].position_mm - i * step)) for i, p in enumerate(planes)]
    if max(strays) > max(tolerance_mm, 0.01):
        raise AttributeUnusable(
            f"{named(planes[int(np.argmax(strays))].dataset)} is beside the line of the other slices (PS3.3 C.7.6.2.1.1)."
        )
    return np.asarray(step)


def _stacked(planes: list[_Plane], values: Callable[[Dataset], NDArray[Any]] | None) -> NDArray[np.float64]:
    decoded: dict[int, NDArray[Any]] = {}
    slices = []
    for plane in planes:
        key = id(plane.dataset)
        if key not in decoded:
            if plane.frame is None:
                decoded.clear()
            decoded[key] = np.asarray(values(plane.dataset) if values else _stored(plane.dataset))
        array = decoded[key] if plane.frame is None or decoded[key].ndim == 2 else decoded[key][plane.frame]
        if array.shape != (plane.dataset.Rows, plane.dataset.Columns):
            raise PixelDataUnusable(
                f"A volume needs one value a pixel; {named(plane.dataset)} gave an array of shape {array.shape}."
            )
        slices.append(array.astype(np.float64) if values else array * plane.slope + plane.intercept)
    return np.stack(slices)


def _stored(image: Dataset) -> NDArray[Any]:
    if not any(image.get(keyword) for keyword in _PIXELS):
        raise PixelDataUnusable(
            f"Pixel Data (7FE0,0010) is missing or empty in {named(image)} (PS3.3 C.7.6.3): was it read without its pixels?"
        )
    try:
        return image.pixel_array
    except Exception as error:
        raise PixelDataUnusable(f"Pixels of {named(image)} can't be decoded: {type(error).__name__} (PS3.5 8, Annex A).") from error


def _units(image: Dataset) -> str:
    pet = {"BQML": "Bq/ml", "GML": "g/ml", "CM2ML": "cm2/ml", "CNTS": "{counts}"}
    if image.get("Units"):
        return pet.get(str(image.Units), "")
    is_ct = image.get("Modality") == "CT" and image.get("RescaleType", "HU") == "HU"
    return "[hnsf'U]" if is_ct else ""


def resample(source: Volume, *, like: Volume, order: Literal[0, 1, 2, 3] = 1, outside: float = float("nan")) -> Volume:
    """Return the values of `source` at the voxel centers of `like`.

    Parameters
    ----------
    source, like : Volume
        In one frame of reference.
    order : int
        Of the spline: 0 nearest neighbour, 1 linear, 2, 3 cubic (``scipy.ndimage.map_coordinates``).
    outside : float
        The value beyond the outer voxel centers of `source`; no extrapolation takes place.

    Raises
    ------
    AttributeUnusable
        If the frames of reference differ (PS3.3 C.7.4.1): they need a registration first.
    """
    if source.frame_of_reference_uid != like.frame_of_reference_uid:
        raise AttributeUnusable(
            "The two volumes have different Frame of Reference UIDs (PS3.3 C.7.4.1): their coordinates can't be compared. "
            "Register them first."
        )
    mapping = np.asarray(np.linalg.solve(source.affine_mm, like.affine_mm), dtype=np.float64)
    coefficients = ndimage.spline_filter(source.values, order, mode="mirror") if order > 1 else source.values
    values = np.stack([_resampled(source, coefficients, mapping, like.shape, k, order, outside) for k in range(like.shape[0])])
    return like.but(
        values=values,
        units=source.units,
        sop_instance_uids=source.sop_instance_uids,
        formula=source.formula,
        provenance=f"{source.provenance}; resampled with order {order}",
    )


def _resampled(
    source: Volume,
    coefficients: NDArray[np.float64],
    mapping: NDArray[np.float64],
    shape: tuple[int, int, int],
    plane: int,
    order: Literal[0, 1, 2, 3],
    outside: float,
) -> NDArray[np.float64]:
    """Return one slice: memory stays that of a slice."""
    row, column = np.indices(shape[1:], dtype=np.float64).reshape(2, -1)
    index = np.stack([column, row, np.full(row.size, float(plane))])
    at = (mapping[:3, :3] @ index + mapping[:3, 3:])[::-1]
    at = np.where(np.abs(at - np.rint(at)) < 1e-6, np.rint(at), at)  # rounding must not push an edge voxel outside
    values = ndimage.map_coordinates(coefficients, at, order=order, mode="mirror", prefilter=False)
    beyond = np.any((at < 0) | (at > np.array(source.shape)[:, None] - 1), axis=0)
    return np.asarray(np.where(beyond, outside, values), dtype=np.float64).reshape(shape[1:])


def mip(source: Volume, axis: int | str = "coronal") -> NDArray[np.float64]:
    """Return the maximum intensity projection.

    Parameters
    ----------
    source : Volume
        What is projected.
    axis : int or str
        Axis of the array (0 slices, 1 rows, 2 columns), or the plane of the result: ``axial``, ``coronal`` or
        ``sagittal``; then it is projected along the axis that is nearest to that plane's normal.

    Returns
    -------
    ndarray, shape (2 axes that remain, in the array's order)
        NaN counts as nothing. The first row of a coronal projection is the first slice, in transverse series the
        one nearest to the feet.

    Raises
    ------
    AttributeUnusable
        If `axis` is none of these.
    """
    if isinstance(axis, str):
        if axis not in _PLANES:
            raise AttributeUnusable(f"axis is 0, 1, 2, 'axial', 'coronal' or 'sagittal', not {axis!r}.")
        along = np.abs(source.affine_mm[_PLANES[axis], :3]) / np.linalg.norm(source.affine_mm[:3, :3], axis=0)
        axis = 2 - int(np.argmax(along))
    if axis not in (0, 1, 2):
        raise AttributeUnusable(f"axis is 0, 1, 2, 'axial', 'coronal' or 'sagittal', not {axis!r}.")
    return np.asarray(np.fmax.reduce(source.values, axis=axis))

"""A PET/CT pair of a body phantom with six hot spheres, after NEMA NU 2.

Knows: the PET image IOD (PS3.3 A.21) and the geometry of the body phantom.
Does not know: how SUVs are computed from it, or how it is shown.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, PositronEmissionTomographyImageStorage

from workbench.entities import Code
from workbench.phantoms import _identities as people
from workbench.phantoms import _modules as modules
from workbench.phantoms.ct import ct_image
from workbench.standard import coded

__all__ = ["PetCt", "Sphere", "pet_ct"]

SLICES, SPACING_MM, PET_SIDE, CT_SIDE = 47, 4.0, 128, 256
DOSE_BQ, HALF_LIFE_S = 370e6, 6586.2
INJECTED, SCANNED, BED_S = "083000", "093000", 180
BACKGROUND, SPHERE_SUV, LUNG_SUV = 1.0, 8.0, 0.3
_DIAMETERS_MM = (10.0, 13.0, 17.0, 22.0, 28.0, 37.0)
_RING_MM, _SPHERE_Z_MM, _RING_Y_MM = 57.2, 24.0, -8.0
_CORE_MM = 2.0
_SHELL_MM = 5.0


@dataclass(frozen=True, slots=True)
class Sphere:
    """A sphere of known uptake.

    Parameters
    ----------
    center_mm : tuple of float
        (x, y, z) in the patient's coordinates (LPS).
    diameter_mm : float
        As in NEMA NU 2.
    suv : float
        Body-weight SUV, g/ml.
    """

    center_mm: tuple[float, float, float]
    diameter_mm: float
    suv: float


@dataclass(frozen=True, slots=True)
class PetCt:
    """A PET and a CT series of one study in one frame of reference, and what is true of them.

    Parameters
    ----------
    pet, ct : tuple of Dataset
        47 slices each, 4 mm apart, from feet to head; PET 128 x 128 of 4 mm, CT 256 x 256 of 2 mm.
    spheres : tuple of Sphere
        From the smallest to the largest.
    background : Sphere
        A sphere in the uniform part of the background. In it, and in each of `spheres`, the voxels whose
        centers are at least 2 mm inside have the stated SUV as their mean within 0.001.
    """

    pet: tuple[Dataset, ...] = field(repr=False)
    ct: tuple[Dataset, ...] = field(repr=False)
    spheres: tuple[Sphere, ...]
    background: Sphere


def pet_ct(seed: int = 0) -> PetCt:
    """Return a PET/CT of a body phantom: 370 MBq F-18 FDG, 75 kg, BQML, decay corrected to the series' start.

    Parameters
    ----------
    seed : int
        Another seed, another noise and other UIDs; the truth stays.

    Returns
    -------
    PetCt
        The two series and their truth.
    """
    visit = modules.Visit(people.WHOLE_BODY, "20260304", "091500", "ACC20260304", "PET/CT whole body", f"pet/{seed}")
    spheres, background = _spheres(), Sphere((2.0, -6.0, -48.0), 36.0, BACKGROUND)
    suv = _uptake(spheres, background, seed)
    density = _density(spheres, seed)
    return PetCt(
        pet=tuple(_pet_slice(visit, suv[i], i) for i in range(SLICES)),
        ct=tuple(_ct_slice(visit, density[i], i) for i in range(SLICES)),
        spheres=spheres,
        background=background,
    )


def _spheres() -> tuple[Sphere, ...]:
    angles = [math.radians(30 + 60 * i) for i in range(6)]
    return tuple(
        Sphere(
            (_at_voxel(_RING_MM * math.cos(a)), _at_voxel(_RING_Y_MM + _RING_MM * math.sin(a)), _SPHERE_Z_MM),
            d,
            SPHERE_SUV,
        )
        for a, d in zip(angles, _DIAMETERS_MM, strict=True)
    )


def _at_voxel(position_mm: float) -> float:
    """Return the nearest center of a PET voxel, so that the smallest sphere has a core too."""
    return SPACING_MM * (math.floor(position_mm / SPACING_MM) + 0.5)


def _axes(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Voxel centers as broadcastable z, y, x in mm; the field of view is 512 mm."""
    x = np.linspace(-256, 256, 2 * side + 1)[1::2]
    z = np.linspace(-1, 1, SLICES) * (SPACING_MM * (SLICES - 1) / 2)
    return z[:, None, None], x[None, :, None], x[None, None, :]


def _ball(side: int, center_mm: tuple[float, float, float], semi_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Depth in mm below the surface of an ellipsoid with semi-axes (x, y, z); exact for a sphere."""
    z, y, x = _axes(side)
    radius = np.sqrt(sum(((p - c) / s) ** 2 for p, c, s in zip((x, y, z), center_mm, semi_mm, strict=True)))
    return np.asarray((1 - radius) * min(semi_mm))


def _body(side: int) -> NDArray[np.float64]:
    """Depth in mm below the surface of the body: an elliptic cylinder that narrows at both ends."""
    z, y, x = _axes(side)
    width = 1 - 0.5 * np.clip((np.abs(z) - 60) / 60, 0, 1) ** 2
    return np.asarray((1 - np.hypot(x / (152 * width), y / (112 * width))) * 112 * width)


def _blend(values: NDArray[np.float64], depth_mm: NDArray[np.float64], value: float, voxel_mm: float) -> None:
    """Set `value` where `depth_mm` is positive, with a ramp of one voxel across the surface."""
    near = np.flatnonzero(depth_mm.max(axis=(1, 2)) > -voxel_mm / 2)
    slices = slice(near[0], near[-1] + 1)
    share = np.clip(depth_mm[slices] / voxel_mm + 0.5, 0, 1)
    values[slices] += share * (value - values[slices])


def _noise(shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Smooth noise with standard deviation 1."""
    noise = np.random.default_rng(seed).normal(size=shape)
    for axis in range(3):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return np.asarray(noise / noise.std())


def _uptake(spheres: tuple[Sphere, ...], background: Sphere, seed: int) -> NDArray[np.float64]:
    suv = np.zeros((SLICES, PET_SIDE, PET_SIDE))
    _blend(suv, _body(PET_SIDE), BACKGROUND, SPACING_MM)
    _blend(suv, _ball(PET_SIDE, (0, _RING_Y_MM, 24), (22, 22, 62)), LUNG_SUV, SPACING_MM)
    for center, semi, value in (
        ((0.0, 8.0, -84.0), (30.0, 24.0, 18.0), 11.0),
        ((-62.0, 48.0, -32.0), (17.0, 20.0, 26.0), 4.0),
        ((62.0, 48.0, -28.0), (17.0, 20.0, 26.0), 4.0),
    ):
        _blend(suv, _ball(PET_SIDE, center, semi), value, SPACING_MM)
    depths = [_ball(PET_SIDE, s.center_mm, (s.diameter_mm / 2,) * 3) for s in (*spheres, background)]
    for sphere, depth in zip((*spheres, background), depths, strict=True):
        _blend(suv, depth, sphere.suv, SPACING_MM)
    suv = np.clip(suv + _noise(suv.shape, seed) * 0.06 * np.sqrt(suv), 0, None)
    for sphere, depth in zip((*spheres, background), depths, strict=True):
        core = depth >= _CORE_MM - 1e-6  # beyond the ramp of the surface: noise must not move its mean
        suv[core] += sphere.suv - suv[core].mean()
    return suv


def _density(spheres: tuple[Sphere, ...], seed: int) -> NDArray[np.float64]:
    voxel_mm = 512 / CT_SIDE
    values = np.full((SLICES, CT_SIDE, CT_SIDE), -1000.0)
    _, y, x = _axes(CT_SIDE)
    body = _body(CT_SIDE)
    table = np.abs(y - 120 + 0.0008 * x**2) - 4
    _blend(values, np.broadcast_to(np.where(np.abs(x) < 200, -table, -9.0), values.shape), 60, voxel_mm)
    _blend(values, body, 115, voxel_mm)
    _blend(values, body - _SHELL_MM, 5, voxel_mm)
    _blend(values, _ball(CT_SIDE, (0, _RING_Y_MM, 24), (25, 25, 65)), 110, voxel_mm)
    _blend(values, _ball(CT_SIDE, (0, _RING_Y_MM, 24), (22, 22, 62)), -680, voxel_mm)
    vertebra = np.broadcast_to((1 - np.hypot(x / 19, (y - 76) / 15)) * 15, values.shape)
    _blend(values, vertebra, 420, voxel_mm)
    _blend(values, vertebra - 4, 230, voxel_mm)
    for center in ((-62.0, 48.0, -32.0), (62.0, 48.0, -28.0)):
        _blend(values, _ball(CT_SIDE, center, (17, 20, 26)), 45, voxel_mm)
    _blend(values, _ball(CT_SIDE, (0, 8, -84), (30, 24, 18)), 20, voxel_mm)
    for sphere in spheres:
        depth = _ball(CT_SIDE, sphere.center_mm, (sphere.diameter_mm / 2,) * 3)
        _blend(values, depth + 1, 110, voxel_mm)
        _blend(values, depth, 30, voxel_mm)
    return values + np.random.default_rng(seed + 1).normal(0, 8, values.shape)


def _common(visit: modules.Visit, model: str) -> Dataset:
    module = modules.equipment(model)
    module.update(modules.frame_of_reference(visit.key))
    module.AcquisitionDate = module.ContentDate = visit.date
    module.BodyPartExamined = "WHOLEBODY"
    return module


def _plane(side: int, index: int) -> Dataset:
    spacing_mm = 512 / side
    edge = -spacing_mm * (side - 1) / 2
    z = SPACING_MM * (index - (SLICES - 1) / 2)
    return modules.image_plane(position_mm=(edge, edge, z), spacing_mm=spacing_mm, thickness_mm=SPACING_MM)


def _ct_slice(visit: modules.Visit, values: NDArray[np.float64], index: int) -> Dataset:
    series = modules.Series(visit, 2, "CT for attenuation correction", "CT", "092800", "ct")
    image = ct_image(np.rint(values).astype(np.int16), time="092815")
    image.PatientPosition = "HFS"
    parts = (_common(visit, "Tomograph PET 64"), image, _plane(CT_SIDE, index))
    return modules.instance(series, sop_class=CTImageStorage, number=index + 1, modules=parts)


def _pet_slice(visit: modules.Visit, suv: NDArray[np.float64], index: int) -> Dataset:
    series = modules.Series(visit, 3, "PET WB corrected", "PT", SCANNED, "pet")
    parts = (
        _common(visit, "Tomograph PET 64"),
        pet_series(),
        pet_isotope(visit.date),
        orientation(),
        _pet_image(suv * _bq_ml_per_suv(visit.person.weight_kg), index),
        _plane(PET_SIDE, index),
    )
    return modules.instance(series, sop_class=PositronEmissionTomographyImageStorage, number=index + 1, modules=parts)


def _bq_ml_per_suv(weight_kg: float) -> float:
    elapsed_s = 3600.0  # from INJECTED to SCANNED
    return float(DOSE_BQ * 2 ** (-elapsed_s / HALF_LIFE_S) / (weight_kg * 1000))


def pet_series() -> Dataset:
    """PET series module (PS3.3 C.8.9.1)."""
    module = Dataset()
    module.Units, module.CountsSource, module.SeriesType = "BQML", "EMISSION", ["WHOLE BODY", "IMAGE"]
    module.CorrectedImage = ["NORM", "DTIM", "ATTN", "SCAT", "RAN", "DECY"]
    module.DecayCorrection, module.CollimatorType = "START", "NONE"
    module.RandomsCorrectionMethod, module.ScatterCorrectionMethod = "DLYD", "Model based"
    module.AttenuationCorrectionMethod, module.ReconstructionMethod = "Measured, CT", "OSEM 3i21s"
    module.NumberOfSlices = SLICES
    return module


def pet_isotope(date: str) -> Dataset:
    """PET isotope module (PS3.3 C.8.9.2)."""
    item = Dataset()
    item.RadiopharmaceuticalStartTime = INJECTED
    item.RadiopharmaceuticalStartDateTime = date + INJECTED
    item.Radiopharmaceutical = "FDG"
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = f"{DOSE_BQ:.0f}", HALF_LIFE_S
    item.RadionuclidePositronFraction = 0.9673
    item.RadionuclideCodeSequence = modules.items(coded(Code("77004003", "SCT", "^18^Fluorine")))
    item.RadiopharmaceuticalCodeSequence = modules.items(coded(Code("35321007", "SCT", "Fluorodeoxyglucose F^18^")))
    module = Dataset()
    module.RadiopharmaceuticalInformationSequence = modules.items(item)
    return module


def orientation() -> Dataset:
    """NM/PET patient orientation module (PS3.3 C.8.4.6): head first, supine."""
    recumbent = coded(Code("102538003", "SCT", "Recumbent"))
    recumbent.PatientOrientationModifierCodeSequence = modules.items(coded(Code("40199007", "SCT", "Supine")))
    module = Dataset()
    module.PatientOrientationCodeSequence = modules.items(recumbent)
    module.PatientGantryRelationshipCodeSequence = modules.items(coded(Code("102540008", "SCT", "Headfirst")))
    return module


def _pet_image(bq_ml: NDArray[np.float64], index: int) -> Dataset:
    """PET image module (PS3.3 C.8.9.4): a slope of its own for each slice, two bed positions."""
    slope = float(f"{max(float(bq_ml.max()), 1.0) / 32767:.10g}")
    module = modules.image_pixel(np.rint(np.clip(bq_ml / slope, 0, 32767)).astype(np.int16))
    module.ImageType = ["ORIGINAL", "PRIMARY"]
    module.RescaleIntercept, module.RescaleSlope = 0, slope
    start_s = 0 if index < SLICES // 2 else BED_S + 10
    decay = math.log(2) / HALF_LIFE_S
    average = decay * BED_S / (1 - math.exp(-decay * BED_S))
    module.AcquisitionTime = module.ContentTime = f"{int(SCANNED) + 100 * (start_s // 60) + start_s % 60:06d}"
    module.ActualFrameDuration = BED_S * 1000
    module.FrameReferenceTime = f"{1000 * (start_s + math.log(average) / decay):.2f}"
    module.DecayFactor = f"{average * math.exp(decay * start_s):.6f}"
    module.ImageIndex, module.LossyImageCompression = index + 1, "00"
    module.WindowCenter, module.WindowWidth = 12500, 25000
    module.BurnedInAnnotation = "NO"
    return module

"""An optical coherence tomography volume of the macula and the infrared image that locates it.

Knows: the ophthalmic tomography IOD (PS3.3 A.52), its functional groups, and the layers of a retina.
Does not know: how layers are found, or how it is shown.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import OphthalmicPhotography8BitImageStorage, OphthalmicTomographyImageStorage

from workbench.entities import Code
from workbench.phantoms import _modules as modules
from workbench.phantoms import _ophthalmic as ophthalmic
from workbench.phantoms.fundus import eye_visit
from workbench.standard import coded

__all__ = ["Oct", "oct"]

FRAMES, ROWS, COLUMNS = 25, 320, 512
WIDTH_MM, HEIGHT_MM, DEPTH_MM = 6.0, 6.0, 0.0038
_SIDE, _FIELD_DEG = 512, 30.0
_LOCALIZER_MM = 8.8 / _SIDE
_FOVEA = (256.0, 260.0)
_SCANNER = Code("392012008", "SCT", "Optical Coherence Tomography Scanner")
_LOCALIZER = Code("121311", "DCM", "Localizer")
_SLO = Code("392001008", "SCT", "Scanning Laser Ophthalmoscope")
# thickness in the periphery and in the fovea (micrometres), brightness; from the vitreous to the choroid
_LAYERS = (
    ("RNFL", 34.0, 3.0, 205.0),
    ("GCL+IPL", 78.0, 12.0, 128.0),
    ("INL", 36.0, 10.0, 74.0),
    ("OPL", 28.0, 14.0, 132.0),
    ("ONL", 72.0, 108.0, 52.0),
    ("EZ", 22.0, 26.0, 196.0),
    ("OS", 26.0, 34.0, 100.0),
    ("RPE", 20.0, 20.0, 228.0),
)


@dataclass(frozen=True, slots=True)
class Oct:
    """An OCT volume, its localizer, and what is true of them.

    Parameters
    ----------
    volume : Dataset
        Ophthalmic Tomography Image Storage, 25 B-scans of 320 x 512 pixels over 6 x 6 mm, from superior to inferior.
    localizer : Dataset
        The infrared photograph that the volume's frames refer to.
    thickness_um : ndarray, shape (25, 512)
        Retinal thickness from the inner limiting membrane to the outer border of the pigment epithelium.
    surface_px, base_px : ndarray, shape (25, 512)
        Rows (origin at the top edge of the first pixel) of these two borders.
    fovea : tuple of int
        Frame and column (from 0) where the retina is thinnest.
    """

    volume: Dataset = field(repr=False)
    localizer: Dataset = field(repr=False)
    thickness_um: NDArray[np.float64] = field(repr=False)
    surface_px: NDArray[np.float64] = field(repr=False)
    base_px: NDArray[np.float64] = field(repr=False)
    fovea: tuple[int, int] = (0, 0)


def oct(eye: str = "R", *, seed: int = 0) -> Oct:  # noqa: A001 - the word of the trade
    r"""Return a macular volume of 25 B-scans with its localizer and its true thickness.

    Parameters
    ----------
    eye : str
        ``R`` or ``L``: on which side of the localizer the optic disc lies.
    seed : int
        Another seed, other speckle, vessels and UIDs.

    Returns
    -------
    Oct
        Each frame's Ophthalmic Frame Location gives the row and column of its two ends in the localizer, with
        0\0 at the top-left corner (PS3.3 C.8.17.10).

    Raises
    ------
    BuildRefused
        If `eye` is neither R nor L.
    """
    laterality = ophthalmic.eye_checked(eye)
    visit = eye_visit(seed)
    localizer = _localizer(visit, laterality, seed)
    borders = _borders()
    thickness = (borders[-1] - borders[0]) * DEPTH_MM * 1000
    pixels = _speckled(seed)
    frame, column = np.unravel_index(int(np.argmin(thickness)), thickness.shape)
    volume = _volume(visit, laterality, localizer, pixels)
    return Oct(volume, localizer, thickness, borders[0], borders[-1], (int(frame), int(column)))


def _localizer(visit: modules.Visit, eye: ophthalmic.Eye, seed: int) -> Dataset:
    series = modules.Series(visit, 3 if eye == "R" else 4, f"Infrared, {eye}", "OP", "141000", f"slo/{eye}")
    parts = (
        modules.equipment("Tomograph OCT"),
        modules.synchronization(visit.key),
        ophthalmic.photography(_SLO, date=visit.date, time="141005", spacing_mm=_rounded(_LOCALIZER_MM), colour=False),
        ophthalmic.acquisition_parameters(field_deg=_FIELD_DEG, dilated=False),
        ophthalmic.ocular_region(eye, ophthalmic.RETINA),
        modules.image_pixel(ophthalmic.as_seen(_infrared(seed), eye)),
    )
    return modules.instance(series, sop_class=OphthalmicPhotography8BitImageStorage, number=1, modules=parts)


@lru_cache(maxsize=2)
def _infrared(seed: int) -> NDArray[np.uint8]:
    """Return the pixels of a right eye's infrared image."""
    random = np.random.default_rng(seed + 40)
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] + 0.5
    disc = (_FOVEA[0] + 225, _FOVEA[1] - 18)
    image = 128 - 50 * (np.hypot(x - 256, y - 256) / 360) ** 2
    texture = ophthalmic.smooth(random.normal(size=(_SIDE, _SIDE)), 2)
    image += 5 * texture / texture.std()
    image -= 34 * np.exp(-((np.hypot(x - _FOVEA[0], y - _FOVEA[1]) / 55) ** 2))
    radius = np.hypot((x - disc[0]) / 46, (y - disc[1]) / 52)
    image += np.clip((1 - radius) / 0.1 + 0.5, 0, 1) * (82 - image) + 26 * np.exp(-(((radius - 1.05) / 0.12) ** 2))
    blood = ophthalmic.vessel_map(_SIDE, disc, _FOVEA, scale=1.42, seed=seed + 9)
    image *= 1 - 0.55 * blood
    image += random.normal(0, 5, image.shape)
    return np.asarray(np.clip(np.rint(image), 0, 255), np.uint8)


def _borders() -> NDArray[np.float64]:
    """Return the rows of the nine borders, shape (9, frames, columns)."""
    x = (np.arange(COLUMNS) + 0.5) / COLUMNS * WIDTH_MM - WIDTH_MM / 2
    y = np.arange(FRAMES) / (FRAMES - 1) * HEIGHT_MM - HEIGHT_MM / 2
    distance = np.hypot(x[None, :] - 0.04, y[:, None])
    pit = np.exp(-((distance / 0.62) ** 2))
    rim = 0.14 * np.exp(-(((distance - 1.15) / 0.55) ** 2))
    base = ROWS * 0.74 - 2.6 * x[None, :] ** 2 + 1.6 * x[None, :] - 1.2 * y[:, None] ** 2
    borders = np.empty((len(_LAYERS) + 1, FRAMES, COLUMNS))
    borders[-1] = base
    for i in reversed(range(len(_LAYERS))):
        _, outside, fovea, _ = _LAYERS[i]
        swell = 1 + rim if i < 4 else 1.0
        borders[i] = borders[i + 1] - (outside * swell * (1 - pit) + fovea * pit) / (DEPTH_MM * 1000)
    return borders


@lru_cache(maxsize=2)
def _speckled(seed: int) -> NDArray[np.uint8]:
    """Return B-scans, shape (frames, rows, columns), with speckle that grows with the signal: the same for both eyes."""
    borders = _borders()
    random = np.random.default_rng(seed + 41)
    row = (np.arange(ROWS) + 0.5)[:, None]
    frames = np.empty((FRAMES, ROWS, COLUMNS), np.uint8)
    levels = np.array([16.0, *(brightness for *_, brightness in _LAYERS)])
    for f in range(FRAMES):
        signal = np.full((ROWS, COLUMNS), levels[0])
        for border, below, above in zip(borders[:, f], [*levels[1:], 150.0], levels, strict=True):
            signal += np.clip(row - border + 0.5, 0, 1) * (below - above)
        depth = np.maximum(row - borders[-1, f], 0)
        signal *= np.where(depth > 0, 0.22 + 0.78 * np.exp(-depth / 34), 1.0)
        for at in (0.13, 0.24, 0.71, 0.86):  # shadows of vessels
            column = (at + 0.012 * math.sin(f * 0.6 + 9 * at)) * COLUMNS
            shade = np.exp(-(((np.arange(COLUMNS) - column) / 4.5) ** 2))
            signal *= 1 - 0.5 * shade * (row > borders[1, f])
        speckle = random.gamma(9.0, 1 / 9.0, (ROWS, COLUMNS))
        frames[f] = np.clip(np.rint(signal * speckle + random.normal(0, 5, signal.shape)), 0, 255)
    return frames


def _volume(visit: modules.Visit, eye: ophthalmic.Eye, localizer: Dataset, pixels: NDArray[np.uint8]) -> Dataset:
    series = modules.Series(visit, 5 if eye == "R" else 6, f"OCT macula 6 x 6 mm, {eye}", "OPT", "141000", f"oct/{eye}")
    parts = (
        modules.equipment("Tomograph OCT"),
        modules.frame_of_reference(visit.key + eye),
        modules.synchronization(visit.key),
        modules.image_pixel(pixels),
        tomography(visit.date),
        _functional_groups(visit, eye, localizer),
        ophthalmic.acquisition_parameters(field_deg=_FIELD_DEG, dilated=False),
        ophthalmic.ocular_region(eye, ophthalmic.RETINA),
        _referenced(localizer),
    )
    return modules.instance(series, sop_class=OphthalmicTomographyImageStorage, number=1, modules=parts)


def tomography(date: str) -> Dataset:
    """Ophthalmic tomography image and parameters, acquisition context (PS3.3 C.8.17.7, C.8.17.9, C.7.6.14)."""
    module = Dataset()
    module.ImageType = ["ORIGINAL", "PRIMARY"]
    module.AcquisitionDateTime, module.AcquisitionDuration, module.AcquisitionNumber = f"{date}141010", 1.4, 1
    module.ContentDate, module.ContentTime = date, "141012"
    module.ConcatenationFrameOffsetNumber, module.InConcatenationNumber, module.InConcatenationTotalNumber = 0, 1, 1
    module.PresentationLUTShape, module.BurnedInAnnotation, module.LossyImageCompression = "IDENTITY", "NO", "00"
    module.AxialLengthOfTheEye = 23.75
    module.DetectorType = "CCD"
    module.AcquisitionDeviceTypeCodeSequence = modules.items(coded(_SCANNER))
    module.LightPathFilterTypeStackCodeSequence = modules.items()
    module.IlluminationWaveLength, module.IlluminationPower, module.IlluminationBandwidth = 870.0, 1200.0, 50.0
    module.DepthSpatialResolution, module.MaximumDepthDistortion = 7.0, 1.0
    module.AlongScanSpatialResolution, module.MaximumAlongScanDistortion = 14.0, 1.0
    module.AcrossScanSpatialResolution, module.MaximumAcrossScanDistortion = 250.0, 1.0
    module.AcquisitionContextSequence = modules.items()
    return module


def _functional_groups(visit: modules.Visit, eye: ophthalmic.Eye, localizer: Dataset) -> Dataset:
    """Multi-frame functional groups and dimension modules (PS3.3 C.7.6.16, C.7.6.17): one stack of parallel scans."""
    organization = modules.uid(visit.key, eye, "dimensions")
    module = Dataset()
    module.NumberOfFrames = FRAMES
    module.SharedFunctionalGroupsSequence = modules.items(_shared(eye, localizer))
    module.PerFrameFunctionalGroupsSequence = modules.items(*(_per_frame(visit, localizer, f) for f in range(FRAMES)))
    item = Dataset()
    item.DimensionOrganizationUID = organization
    module.DimensionOrganizationSequence = modules.items(item)
    module.DimensionOrganizationType = "3D"
    indexes = []
    for pointer, label in ((0x00209056, "Stack"), (0x00209057, "Position in stack")):
        index = Dataset()
        index.DimensionOrganizationUID, index.DimensionDescriptionLabel = organization, label
        index.DimensionIndexPointer, index.FunctionalGroupPointer = pointer, 0x00209111
        indexes.append(index)
    module.DimensionIndexSequence = modules.items(*indexes)
    return module


def _shared(eye: ophthalmic.Eye, localizer: Dataset) -> Dataset:
    """Pixel measures, plane orientation, frame anatomy, referenced image (PS3.3 C.7.6.16.2.1, .2.4, .2.8, .2.5)."""
    measures, plane, anatomy, group = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [DEPTH_MM, _rounded(WIDTH_MM / COLUMNS)]
    measures.SliceThickness = measures.SpacingBetweenSlices = _rounded(HEIGHT_MM / (FRAMES - 1))
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]  # columns go to the patient's left, rows from front to back
    anatomy.FrameLaterality = eye
    anatomy.AnatomicRegionSequence = modules.items(coded(ophthalmic.RETINA))
    group.PixelMeasuresSequence, group.PlaneOrientationSequence = modules.items(measures), modules.items(plane)
    group.FrameAnatomySequence = modules.items(anatomy)
    located_by = modules.reference(localizer)
    located_by.PurposeOfReferenceCodeSequence = modules.items(coded(_LOCALIZER))
    group.ReferencedImageSequence = modules.items(located_by)
    return group


def _per_frame(visit: modules.Visit, localizer: Dataset, frame: int) -> Dataset:
    """Frame content, plane position and frame location (PS3.3 C.7.6.16.2.2, .2.3, C.8.17.10)."""
    content, position, group = Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = "1", frame + 1
    content.DimensionIndexValues = [1, frame + 1]
    content.FrameAcquisitionDateTime = content.FrameReferenceDateTime = f"{visit.date}141010.{frame * 40000:06d}"
    content.FrameAcquisitionDuration = 40.0
    left = -WIDTH_MM / 2 + WIDTH_MM / COLUMNS / 2
    from_above_mm = HEIGHT_MM / (FRAMES - 1) * frame - HEIGHT_MM / 2
    position.ImagePositionPatient = [_rounded(left), 0, _rounded(-from_above_mm)]
    location = modules.reference(localizer)
    row = _FOVEA[1] + from_above_mm / _LOCALIZER_MM
    half = WIDTH_MM / 2 / _LOCALIZER_MM
    location.ReferenceCoordinates = np.array([row, 256 - half, row, 256 + half], np.float32).tolist()  # VR FL
    location.OphthalmicImageOrientation = "LINEAR"
    location.PurposeOfReferenceCodeSequence = modules.items(coded(_LOCALIZER))
    group.FrameContentSequence, group.PlanePositionSequence = modules.items(content), modules.items(position)
    group.OphthalmicFrameLocationSequence = modules.items(location)
    return group


def _referenced(localizer: Dataset) -> Dataset:
    """Build the common instance reference module (PS3.3 C.12.2)."""
    series, module = Dataset(), Dataset()
    series.SeriesInstanceUID = localizer.SeriesInstanceUID
    series.ReferencedInstanceSequence = modules.items(modules.reference(localizer))
    module.ReferencedSeriesSequence = modules.items(series)
    return module


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")

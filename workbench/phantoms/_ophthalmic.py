"""Modules that ophthalmic phantoms share, and the drawing of a retina.

Knows: PS3.3 C.8.17 modules; optic disc, macula and vessels as functions of position.
Does not know: which instance they become.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.entities import Code
from workbench.errors import BuildRefused
from workbench.phantoms import _modules as modules
from workbench.standard import coded

Eye = Literal["R", "L"]
RETINA = Code("5665001", "SCT", "Retina")
CORNEA = Code("28726007", "SCT", "Cornea")


def eye_checked(eye: str) -> Eye:
    """Return `eye` if it is R or L (PS3.3 C.8.17.5)."""
    if eye not in {"R", "L"}:
        raise BuildRefused("eye is 'R' or 'L': Image Laterality (0020,0062) of a phantom (PS3.3 C.8.17.5).")
    return "R" if eye == "R" else "L"


def ocular_region(eye: Eye, region: Code) -> Dataset:
    """Ocular region imaged module (PS3.3 C.8.17.5)."""
    module = Dataset()
    module.ImageLaterality = eye
    module.AnatomicRegionSequence = modules.items(coded(region))
    return module


def acquisition_parameters(*, field_deg: float, dilated: bool) -> Dataset:
    """Ophthalmic photography acquisition parameters (PS3.3 C.8.17.4), without eye movement."""
    module = Dataset()
    module.RefractiveStateSequence = modules.items()
    module.EmmetropicMagnification = module.IntraOcularPressure = None
    module.HorizontalFieldOfView = field_deg
    module.PupilDilated = "YES" if dilated else "NO"
    if dilated:
        module.DegreeOfDilation = 7.0
        module.MydriaticAgentSequence = modules.items()
    return module


def photography(device: Code, *, date: str, time: str, spacing_mm: float, colour: bool) -> Dataset:
    """Ophthalmic photography image, photographic parameters and multi-frame (PS3.3 C.8.17.2, C.8.17.3, C.7.6.6)."""
    module = Dataset()
    module.ImageType = ["ORIGINAL", "PRIMARY", "", "COLOR"] if colour else ["ORIGINAL", "PRIMARY"]
    module.ContentDate, module.ContentTime, module.AcquisitionDateTime = date, time, date + time
    module.AcquisitionDate, module.AcquisitionTime = date, time
    module.PixelSpacing = [spacing_mm, spacing_mm]
    module.BurnedInAnnotation, module.LossyImageCompression = "NO", "00"
    if not colour:
        module.PresentationLUTShape = "IDENTITY"
    module.NumberOfFrames, module.FrameIncrementPointer, module.FrameTime = 1, 0x00181063, 0
    module.PatientEyeMovementCommanded = "NO"
    module.DetectorType = "CMOS"
    module.AcquisitionDeviceTypeCodeSequence = modules.items(coded(device))
    for keyword in ("IlluminationType", "LightPathFilterTypeStack", "ImagePathFilterTypeStack", "Lenses"):
        setattr(module, f"{keyword}CodeSequence", modules.items())
    module.PatientOrientation = ["L", "F"]  # seen from the front: the image's right is the patient's left
    return module


def smooth(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Return `values` after three box means of 2 · radius + 1 pixels along each axis; edges are mirrored."""
    size = 2 * radius + 1
    for axis in range(values.ndim):
        along = np.moveaxis(values, axis, 0)
        for _ in range(3):
            mirrored = np.concatenate([along[radius + 1 : 0 : -1], along, along[-2 : -radius - 2 : -1]])
            sums = np.cumsum(mirrored, axis=0)
            along = (sums[size:] - sums[:-size]) / size
        values = np.moveaxis(along, 0, axis)
    return values


def as_seen(pixels: NDArray[np.uint8], eye: Eye) -> NDArray[np.uint8]:
    """Return pixels that were drawn for a right eye, mirrored for a left one."""
    return pixels if eye == "R" else np.ascontiguousarray(pixels[:, ::-1])


def vessel_map(side: int, disc: tuple[float, float], fovea: tuple[float, float], *, scale: float, seed: int) -> NDArray[np.float64]:
    """Return how much blood lies over each pixel of a square image, from 0 to 1.

    Parameters
    ----------
    side : int
        Rows and columns.
    disc, fovea : tuple of float
        (column, row) of their centers.
    scale : float
        Pixels between disc and fovea divided by 160.
    seed : int
        For the tortuosity.
    """
    blood = np.zeros((side, side))
    random = np.random.default_rng(seed)
    temporal = math.copysign(1.0, fovea[0] - disc[0])
    for vertical in (-1, 1):
        for width, spread in ((5.2, 1.0), (3.6, 0.86)):  # vein and artery
            _arcade(blood, disc, (temporal, vertical * spread), width * scale, scale, random)
            _branch(blood, disc, math.atan2(vertical * spread, -0.75 * temporal), width * 0.8 * scale, 210 * scale, random, 3)
        for angle in (1.35, 1.75):
            start = math.atan2(vertical * math.sin(angle), temporal * math.cos(angle))
            _branch(blood, disc, start, 2.0 * scale, 130 * scale, random, 2)
    return blood


def _arcade(
    blood: NDArray[np.float64],
    disc: tuple[float, float],
    side: tuple[float, float],
    width: float,
    scale: float,
    random: np.random.Generator,
) -> None:
    """Draw one temporal arcade, a half ellipse around the macula, with branches outwards and inwards."""
    t = np.linspace(0.0, 1.0, 900) ** 1.8  # dense where it rises steeply from the disc
    along = 300 * scale * t**0.95
    across = 118 * scale * np.sin(np.pi * np.minimum(0.92 * t, 1) ** 0.62)
    wave = 4 * scale * np.sin(9 * t + random.uniform(0, 6)) * t
    column, row = disc[0] + side[0] * along, disc[1] + side[1] * (across + wave)
    _stroke(blood, column, row, width * (1 - 0.8 * t))
    for number, at in enumerate(np.searchsorted(t, np.arange(0.14, 0.96, 0.116))):
        heading = math.atan2(row[at + 10] - row[at], column[at + 10] - column[at])
        outwards = side[0] * side[1] * (-1 if number % 2 == 0 else 1)
        here = (float(column[at]), float(row[at]))
        length = (105 if outwards * side[0] * side[1] > 0 else 62) * scale
        _branch(blood, here, heading + 0.75 * outwards, width * (1 - 0.8 * t[at]) * 0.6, length, random, 2)


def _branch(
    blood: NDArray[np.float64],
    start: tuple[float, float],
    heading: float,
    width: float,
    length: float,
    random: np.random.Generator,
    depth: int,
) -> None:
    """Draw a vessel that wanders and forks `depth` times."""
    steps = max(int(length), 8)
    turns = np.cumsum(smooth(random.normal(0, 0.16, steps + 40), 6)[20:-20] * 0.55)
    column = start[0] + np.cumsum(np.cos(heading + turns))
    row = start[1] + np.cumsum(np.sin(heading + turns))
    _stroke(blood, column, row, width * np.linspace(1, 0.55, steps))
    if depth and width > 0.7:
        for fork, angle in ((0.45, 0.55), (0.75, -0.5), (1.0, 0.35)):
            at = min(int(steps * fork), steps - 1)
            side = angle * random.choice([-1, 1])
            here = (float(column[at]), float(row[at]))
            _branch(blood, here, heading + turns[at] + side, width * 0.6, length * 0.5, random, depth - 1)


def _stroke(blood: NDArray[np.float64], column: NDArray[np.float64], row: NDArray[np.float64], width: NDArray[np.float64]) -> None:
    """Draw a line with a soft edge: at each point the pixels around it take the larger value."""
    side = blood.shape[0]
    reach = width.astype(int) + 3
    is_inside = (reach <= column) & (column < side - reach) & (reach <= row) & (row < side - reach)
    for size in np.unique(reach[is_inside]):
        drawn = is_inside & (reach == size)
        c, r, w = (values[drawn, None, None] for values in (column, row, width))
        around = np.arange(-size, size + 1)
        x, y = c.astype(int) + around, r.astype(int) + around[:, None]
        spots = np.exp(-((np.hypot(x + 0.5 - c, y + 0.5 - r) / np.maximum(w * 0.62, 0.7)) ** 2)) * np.minimum(1.0, 0.25 + w / 4)
        np.maximum.at(blood.reshape(-1), (y * side + x).reshape(-1), spots.reshape(-1))

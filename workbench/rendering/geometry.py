"""How large a pixel is, and which way the patient lies in the image.

Knows: the places where spacing is said and what it is worth there; orientation as letters (PS3.3 C.7.6.1.1.1, C.7.6.2.1.1).
Does not know: volumes, figures.
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering._reading import floats, functional_groups, integer, items, text, words

__all__ = ["Sides", "Spacing", "orientation", "spacing"]

_OPPOSITE = str.maketrans("RLAPHF", "LRPAFH")
_CALIBRATED = {"GEOMETRY": "at the calibrated depth", "FIDUCIAL": "by a fiducial"}


@dataclass(frozen=True, slots=True)
class Spacing:
    """Distances between pixel centres.

    Parameters
    ----------
    row_mm, column_mm : float
        Between rows (downwards) and between columns (to the right), in mm.
    caveat : str
        What the millimetres are measured in, where it is not plainly the patient; empty otherwise.
    """

    row_mm: float
    column_mm: float
    caveat: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """What of the patient each side of the image points to, in letters R, L, A, P, H, F; empty where unknown.

    Parameters
    ----------
    left, right, top, bottom : str
        One or two letters, the stronger first.
    """

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""

    def turned(self, *, rotation_deg: int, is_flipped: bool) -> "Sides":
        """Return the sides after a clockwise rotation and then a horizontal flip (PS3.3 C.10.6)."""
        around = [self.top, self.right, self.bottom, self.left]
        top, right, bottom, left = around[-(rotation_deg // 90) % 4 :] + around[: -(rotation_deg // 90) % 4]
        return Sides(right, left, top, bottom) if is_flipped else Sides(left, right, top, bottom)


def spacing(image: Dataset, *, frame: int = 0) -> Spacing | None:
    """Return the spacing of a frame's pixels; None where the image does not say, or says it without sense.

    Pixel Spacing counts first, then what holds at the detector or on film, then a single calibrated region of an ultrasound image.
    """
    try:
        return _spacing(image, frame)
    except AttributeUnusable:
        return None


def _spacing(image: Dataset, frame: int) -> Spacing | None:
    measures = [i for g in functional_groups(image, frame) for i in items(g, "PixelMeasuresSequence")]
    for source in (*measures, image):
        if pair := _pair(source, "PixelSpacing"):
            return Spacing(*pair, _CALIBRATED.get(text(image, "PixelSpacingCalibrationType"), ""))
    if pair := _pair(image, "ImagerPixelSpacing"):
        factor = _magnification(image)
        return Spacing(pair[0] / factor, pair[1] / factor, "at the detector" if factor == 1 else "by estimated magnification")
    if pair := _pair(image, "NominalScannedPixelSpacing"):
        return Spacing(*pair, "on the scanned medium")
    return _ultrasound(image)


def _pair(source: Dataset, keyword: str) -> tuple[float, float] | None:
    values = floats(source, keyword)
    return (values[0], values[1]) if len(values) == 2 and min(values) > 0 else None


def _magnification(image: Dataset) -> float:
    values = floats(image, "EstimatedRadiographicMagnificationFactor")
    return values[0] if len(values) == 1 and values[0] > 0 else 1.0


def _ultrasound(image: Dataset) -> Spacing | None:
    regions = [r for r in items(image, "SequenceOfUltrasoundRegions") if integer(r, "RegionSpatialFormat") == 1]
    if (
        len(regions) != 1
        or integer(regions[0], "PhysicalUnitsXDirection") != 3
        or integer(regions[0], "PhysicalUnitsYDirection") != 3
    ):
        return None
    across, down = floats(regions[0], "PhysicalDeltaX"), floats(regions[0], "PhysicalDeltaY")
    if len(across) != 1 or len(down) != 1 or not across[0] or not down[0]:
        return None
    return Spacing(abs(down[0]) * 10, abs(across[0]) * 10, "in the ultrasound region")


def orientation(image: Dataset, *, frame: int = 0) -> Sides:
    """Return what the sides of a frame point to, from direction cosines or from Patient Orientation (0020,0020)."""
    try:
        return _orientation(image, frame)
    except AttributeUnusable:
        return Sides()


def _orientation(image: Dataset, frame: int) -> Sides:
    planes = [i for g in functional_groups(image, frame) for i in items(g, "PlaneOrientationSequence")]
    for source in (*planes, image):
        cosines = floats(source, "ImageOrientationPatient")
        if len(cosines) == 6:
            right, bottom = _letters(cosines[:3]), _letters(cosines[3:])
            return Sides(right.translate(_OPPOSITE), right, bottom.translate(_OPPOSITE), bottom)
    named = [w.strip() for w in words(image, "PatientOrientation")]
    if len(named) != 2 or any(set(w) - set("RLAPHF") for w in named):
        return Sides()
    right, bottom = named[0][:2], named[1][:2]
    return Sides(right.translate(_OPPOSITE), right, bottom.translate(_OPPOSITE), bottom)


def _letters(direction: tuple[float, ...]) -> str:
    """Name the main directions of a vector in the patient system (x to L, y to P, z to H)."""
    named = sorted(((abs(v), pair[v < 0]) for v, pair in zip(direction, ("LR", "PA", "HF"), strict=True)), reverse=True)
    return "".join(letter for size, letter in named[:2] if size > 0.3)

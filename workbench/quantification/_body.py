"""From other kinds of SUV to body-weight SUV.

Knows: lean body mass, ideal weight and body surface by the formulas that SUV Type (0054,1006) names.
Does not know: images.
"""

from collections.abc import Callable

from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.quantification._attributes import number


def grams_per_unit(image: Dataset, units: str, weight: Callable[[], float]) -> tuple[float, str]:
    """Return the factor from SUV of the image's type to SUVbw, and its formula (PS3.3 C.8.9.1.1.3).

    Raises
    ------
    AttributeUnusable
        If the type does not go with the units, is not defined enough, or size or sex are missing.
    """
    kind = str(image.get("SUVType") or ("BSA" if units == "CM2ML" else "BW"))
    if (kind == "BSA") != (units == "CM2ML"):
        raise AttributeUnusable("SUV Type (0054,1006) does not go with Units (0054,1001): CM2ML is for BSA (PS3.3 C.8.9.1).")
    if kind == "BW":
        return 1.0, "SUVbw as stored (Units GML)"
    if kind not in {"BSA", "LBMJAMES128", "LBMJANMA", "IBW"}:
        raise AttributeUnusable(
            "SUV Type (0054,1006) is not BW, BSA, IBW, LBMJAMES128 or LBMJANMA (PS3.3 C.8.9.1): without its formula "
            "it can't be turned into body-weight SUV."
        )
    kilograms, centimetres = weight(), _size_cm(image)
    if kind == "BSA":
        surface_cm2 = 71.84 * kilograms**0.425 * centimetres**0.725  # DuBois and DuBois, 1916
        return kilograms * 1000 / surface_cm2, "SUVbw = SUVbsa * weight / body surface (DuBois)"
    lean = _lean_kg(kind, str(image.get("PatientSex") or ""), kilograms, centimetres)
    if not lean > 0:
        raise AttributeUnusable(f"Lean or ideal mass by {kind} is not greater than 0: weight or size can't be right.")
    return kilograms / lean, f"SUVbw = SUV * weight / mass by {kind}"


def _size_cm(image: Dataset) -> float:
    size_m = number(image, "PatientSize") or 0.0
    if not 0 < size_m < 3:
        raise AttributeUnusable("Patient's Size (0010,1020) in m is needed for this SUV Type (PS3.3 C.7.2.2).")
    return size_m * 100


def _lean_kg(kind: str, sex: str, kilograms: float, centimetres: float) -> float:
    if sex not in {"M", "F"}:
        raise AttributeUnusable("Patient's Sex (0010,0040) must be M or F for this SUV Type (PS3.3 C.8.9.1).")
    male = sex == "M"
    if kind == "IBW":
        return 48.0 + 1.06 * (centimetres - 152) if male else 45.5 + 0.91 * (centimetres - 152)
    if kind == "LBMJANMA":
        index = kilograms / (centimetres / 100) ** 2
        return 9270 * kilograms / ((6680 + 216 * index) if male else (8780 + 244 * index))
    squared = (kilograms / centimetres) ** 2
    return 1.10 * kilograms - 128 * squared if male else 1.07 * kilograms - 148 * squared

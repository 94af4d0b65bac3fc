"""Standardized uptake value of PET images.

Knows: PS3.3 C.8.9 (PET series, isotope and image modules), the makers' private ways, and arithmetic.
Does not know: files, the network, colour maps, figures.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.quantification import _scan as scan
from workbench.quantification._attributes import named, number
from workbench.quantification._body import grams_per_unit
from workbench.quantification.volumes import Volume, volume

__all__ = ["Injection", "injection", "suv", "suv_by_weight"]

_SMALLEST_DOSE_BQ = 1e4
_LARGEST_WEIGHT_KG = 700.0
_MOST_HALF_LIVES = 20.0


@dataclass(frozen=True, slots=True)
class Injection:
    """What was administered, and to which moment the images are decay corrected.

    Parameters
    ----------
    total_dose_bq : float
        Radionuclide Total Dose (0018,1074) at `administered`.
    half_life_s : float
        Radionuclide Half Life (0018,1075).
    administered : datetime
        Radiopharmaceutical Start DateTime or Time; local time without a zone.
    reference : datetime
        The moment at which the images give the activity: the start of the scan where Decay Correction is START.
    radiopharmaceutical, radionuclide : str
        As named in the dataset.
    """

    total_dose_bq: float
    half_life_s: float
    administered: datetime = field(repr=False)
    reference: datetime = field(repr=False)
    radiopharmaceutical: str = ""
    radionuclide: str = ""

    @property
    def elapsed_s(self) -> float:
        """Seconds from the injection to the reference."""
        return (self.reference - self.administered).total_seconds()

    @property
    def activity_bq(self) -> float:
        """What is left at the reference: dose · 2^(-elapsed / half-life)."""
        return self.total_dose_bq * 2 ** (-self.elapsed_s / self.half_life_s)


def injection(datasets: Dataset | Iterable[Dataset], *, dose_bq: float | None = None) -> Injection:
    """Return the injection of a PET series.

    Parameters
    ----------
    datasets : Dataset or iterable of Dataset
        The images of one series. The start of the scan is only sure with all of them: with one bed position alone,
        pass the series.
    dose_bq : float, optional
        Instead of Radionuclide Total Dose (0018,1074).

    Raises
    ------
    AttributeUnusable
        If dose, half-life or times are missing or can't be true: a dose below 10 kBq (probably in MBq), an injection
        after the scan.

    Notes
    -----
    The reference for START is Series Date and Time unless that is later than an acquisition; then it is GE's private
    scan time (0009,xx0D) or else the earliest acquisition less its Frame Reference Time (PS3.3 C.8.9.1, C.8.9.4;
    the rule of the QIBA FDG-PET/CT profile). A Start Time without a date that is later than the scan is of the day before.
    """
    images = scan.images(datasets)
    item = scan.radiopharmaceutical(images)
    if dose_bq is None:
        dose_bq = scan.positive(item, "RadionuclideTotalDose", "(0018,1074)", images[0])
    half_life_s = scan.positive(item, "RadionuclideHalfLife", "(0018,1075)", images[0])
    if not _SMALLEST_DOSE_BQ <= dose_bq < math.inf:
        raise AttributeUnusable(
            "Radionuclide Total Dose (0018,1074) is below 10 kBq: it is in Bq (PS3.3 C.8.9.2), and this looks like MBq. "
            "If you know the dose, pass injection=injection(datasets, dose_bq=...)."
        )
    start = scan.start(images, half_life_s)
    administered = scan.administered(item, images[0], start)
    made = Injection(
        total_dose_bq=dose_bq,
        half_life_s=half_life_s,
        administered=administered,
        reference=administered if images[0].get("DecayCorrection") == "ADMIN" else start,
        radiopharmaceutical=str(item.get("Radiopharmaceutical") or scan.meaning(item, "RadiopharmaceuticalCodeSequence")),
        radionuclide=scan.meaning(item, "RadionuclideCodeSequence"),
    )
    if not 0 <= made.elapsed_s <= _MOST_HALF_LIVES * half_life_s:
        raise AttributeUnusable(
            "Radiopharmaceutical Start DateTime (0018,1078) or Time (0018,1072) is after the scan, or more than 20 half-lives "
            "before it (PS3.3 C.8.9.2): dates may have been shifted apart. Pass injection= if you know the times."
        )
    return made


def suv_by_weight(concentration_bq_ml: NDArray[Any], *, weight_kg: float, injection: Injection) -> NDArray[np.float64]:
    """Return body-weight SUV for decay-corrected activity concentrations.

    Parameters
    ----------
    concentration_bq_ml : ndarray, shape (frames, rows, columns) or (rows, columns)
        Stored values after the modality transformation, where Units (0054,1001) is ``BQML``.
    weight_kg : float
        Patient's Weight (0010,1030), in kg.
    injection : Injection
        Dose, half-life, and the moment to which the concentrations are corrected.

    Returns
    -------
    ndarray of float64, the same shape
        In g/ml.

    Raises
    ------
    AttributeUnusable
        If `weight_kg` is not greater than 0, or greater than 700.

    Notes
    -----
    SUVbw = C · W / A(t), with A(t) = dose · 2^(-(t - t0) / half-life), W in g (PS3.3 C.8.9.1.1.3).

    Examples
    --------
    >>> noon = datetime(2026, 3, 4, 12)
    >>> given = Injection(350e6, 6586.2, administered=noon, reference=noon)
    >>> float(suv_by_weight(np.array(5000.0), weight_kg=70, injection=given))
    1.0
    """
    return np.asarray(np.asarray(concentration_bq_ml, np.float64) * _factor(weight_kg, injection))


def _factor(weight_kg: float, given: Injection) -> float:
    if not 0 < weight_kg <= _LARGEST_WEIGHT_KG:  # refuses NaN too
        raise AttributeUnusable("weight_kg must be greater than 0 and in kg, at most 700 (PS3.3 C.7.2.2).")
    return weight_kg * 1000 / given.activity_bq


def suv(
    datasets: Dataset | Iterable[Dataset],
    *,
    weight_kg: float | None = None,
    injection: Injection | None = None,
    values: Callable[[Dataset], NDArray[Any]] | None = None,
) -> Volume:
    """Return body-weight SUV of a PET series.

    Parameters
    ----------
    datasets : Dataset or iterable of Dataset
        The images of one series and one time point, in any order.
    weight_kg : float, optional
        Instead of Patient's Weight (0010,1030).
    injection : Injection, optional
        Instead of what the images say.
    values : callable, optional
        Takes an image and returns stored values after the modality transformation.

    Returns
    -------
    Volume
        Units ``g/ml``.

    Raises
    ------
    AttributeUnusable
        If anything that the formula needs is missing, contradictory or not understood; a number is never guessed.

    Notes
    -----
    By Units (0054,1001): ``BQML`` by the formula of :func:`suv_by_weight`, with Decay Correction START, ADMIN (no decay
    before the images) or NONE (decay to the mean moment of each frame); ``GML`` and ``CM2ML`` as they are, or from
    other SUV types (0054,1006) by the ratio of weight to lean mass, ideal weight or body surface; ``CNTS`` by Philips'
    private factors (7053,xx00) to SUV or (7053,xx09) to Bq/ml.
    """
    images = scan.images(datasets)
    scan.refuse_uncorrected(images)
    if values is None:
        scan.refuse_unscaled(images)
    scale = _scales(images, weight_kg, injection)
    by_uid = dict(zip((str(i.get("SOPInstanceUID")) for i in images), scale, strict=True))
    if len(by_uid) != len(images):
        raise AttributeUnusable("SOP Instance UID (0008,0018) is missing or the same in two images (PS3.3 C.12.1).")
    made = volume(images, values=values)
    factors = np.array([by_uid[uid][0] for uid in made.sop_instance_uids])
    return made.but(values=made.values * factors[:, None, None], units="g/ml", formula=scale[0][1])


def _scales(images: list[Dataset], weight_kg: float | None, given: Injection | None) -> list[tuple[float, str]]:
    """Return for each image the factor from its values to SUVbw, and its formula."""
    head = images[0]
    units = str(head.get("Units") or "")
    if units in {"GML", "CM2ML"}:
        ratio, formula = grams_per_unit(head, units, lambda: _weight(head, weight_kg))
        return [(ratio, formula)] * len(images)
    if units == "CNTS":
        factors = [scan.philips(image) for image in images]
        if all(kind == "SUV" for kind, _ in factors):
            return [(factor, "SUVbw = value * (7053,xx00), Philips") for _, factor in factors]
        if any(kind == "SUV" for kind, _ in factors):
            raise AttributeUnusable("Only some images have Philips' SUV factor (7053,xx00): the series is not consistent.")
    elif units != "BQML":
        raise AttributeUnusable(
            f"SUV needs Units (0054,1001) BQML, GML, CM2ML or Philips' CNTS, which {named(head)} does not have (PS3.3 C.8.9.1.1.3)."
        )
    else:
        factors = [("BQML", 1.0)] * len(images)
    base, kilograms = given or _injection(images), _weight(head, weight_kg)
    per_image = _references(images, base)
    formula = f"SUVbw = C * weight / (dose * 2^(-t / half-life)), Decay Correction {head.get('DecayCorrection')} (PS3.3 C.8.9.1)"
    return [(f * _factor(kilograms, i), formula) for (_, f), i in zip(factors, per_image, strict=True)]


_injection = injection


def _references(images: list[Dataset], base: Injection) -> list[Injection]:
    """Return the injection as each image refers to it: START and ADMIN all alike, NONE each to its own mean moment."""
    correction = images[0].get("DecayCorrection")
    if correction in {"START", "ADMIN"}:
        return [base] * len(images)
    if correction == "NONE":
        offsets = [scan.mean_moment(image, base.half_life_s) for image in images]
        return [replace(base, reference=acquired + timedelta(seconds=s)) for acquired, s in offsets]
    raise AttributeUnusable(
        "Decay Correction (0054,1102) is not START, ADMIN or NONE (PS3.3 C.8.9.1): to which moment the values are "
        "corrected is not known."
    )


def _weight(image: Dataset, weight_kg: float | None) -> float:
    if weight_kg is not None:
        return weight_kg
    weight = number(image, "PatientWeight")
    if weight is None:
        raise AttributeUnusable(
            f"Body-weight SUV needs Patient's Weight (0010,1030), which {named(image)} does not have "
            "(PS3.3 C.7.2.2). Pass weight_kg= if you know it from elsewhere."
        )
    if not 0 < weight <= _LARGEST_WEIGHT_KG:
        raise AttributeUnusable("Patient's Weight (0010,1030) is not between 0 and 700 kg (PS3.3 C.7.2.2). Pass weight_kg=.")
    return weight

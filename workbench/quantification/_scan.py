"""When the scan began, when the tracer was given, and other things that PET headers say in several ways.

Knows: PS3.3 C.8.9, and the private attributes of GE and Philips that matter here.
Does not know: pixels.
"""

import math
import re
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.files import given
from workbench.quantification._attributes import named, number

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(?:\.(\d{1,6}))?")
_ZONE = re.compile(r"([+-])(\d{2})(\d{2})")


def images(datasets: Dataset | Iterable[Dataset]) -> list[Dataset]:
    """Return the images of one PET series.

    Raises
    ------
    InputError
        If they are not datasets.
    AttributeUnusable
        If there are none, or they are not PET, of several series, or contradict each other.
    """
    found = given.several(datasets, what="the images of a PET series")
    if not found:
        raise AttributeUnusable("SUV needs the images of a PET series; none were given.")
    for image in found:
        if image.get("Modality") != "PT" or "PerFrameFunctionalGroupsSequence" in image:
            raise AttributeUnusable(
                f"SUV needs single-frame PET images (Modality (0008,0060) PT, PS3.3 A.21); {named(image)} is something else."
            )
    for keyword in ("SeriesInstanceUID", "Units", "DecayCorrection", "PatientWeight", "PatientID", "SUVType"):
        if len({str(image.get(keyword)) for image in found}) > 1:
            raise AttributeUnusable(f"{keyword} differs between the images: pass those of one PET series (PS3.3 C.8.9.1).")
    return found


def refuse_uncorrected(found: list[Dataset]) -> None:
    """Refuse images whose Corrected Image (0028,0051) says that attenuation or the decay that is claimed is missing."""
    for image in found:
        value = image.get("CorrectedImage")
        said = {value} if isinstance(value, str) else set(value or ())
        needed = {"ATTN"} | ({"DECY"} if image.get("DecayCorrection") in {"START", "ADMIN"} else set())
        if said and not needed <= said:
            raise AttributeUnusable(
                f"Corrected Image (0028,0051) lacks {' and '.join(sorted(needed - said))}: values that are not corrected "
                "give no SUV (PS3.3 C.8.9.1)."
            )


def refuse_unscaled(found: list[Dataset]) -> None:
    """Refuse images without Rescale Slope (0028,1053), which every PET image has (PS3.3 C.8.9.4)."""
    for image in found:
        slope = number(image, "RescaleSlope")
        if slope is None or slope <= 0:
            raise AttributeUnusable(
                f"SUV needs Rescale Slope (0028,1053) greater than 0, which {named(image)} does not have (PS3.3 C.8.9.4)."
            )


def radiopharmaceutical(found: list[Dataset]) -> Dataset:
    """Return the one item of Radiopharmaceutical Information Sequence (0054,0016), the same in all images."""
    wanted = ("RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartDateTime", "RadiopharmaceuticalStartTime")
    seen: dict[tuple[str, ...], Dataset] = {}
    for image in found:
        sequence = image.get("RadiopharmaceuticalInformationSequence") or []
        if len(sequence) != 1:
            raise AttributeUnusable(
                f"SUV needs Radiopharmaceutical Information Sequence (0054,0016) with one item; "
                f"{named(image)} has {len(sequence)} (PS3.3 C.8.9.2)."
            )
        seen[tuple(str(sequence[0].get(keyword)) for keyword in wanted)] = sequence[0]
    if len(seen) > 1:
        raise AttributeUnusable("Dose, half-life or injection time differ between the images of the series (PS3.3 C.8.9.2).")
    return next(iter(seen.values()))


def positive(item: Dataset, keyword: str, tag: str, image: Dataset) -> float:
    """Return a number greater than 0."""
    value = number(item, keyword)
    if value is None or value <= 0:
        raise AttributeUnusable(
            f"SUV needs {keyword} {tag} greater than 0, which {named(image)} does not have "
            "(PS3.3 C.8.9.2). Pass injection= if you know it from elsewhere."
        )
    return value


def meaning(item: Dataset, keyword: str) -> str:
    """Return the Code Meaning of a code sequence, or nothing."""
    codes = item.get(keyword) or [Dataset()]
    return str(codes[0].get("CodeMeaning") or "")


def start(found: list[Dataset], half_life_s: float) -> datetime:
    """Return the start of the scan, to which START refers."""
    series = min(_moment(image, "Series") for image in found)
    acquired = [_moment(image, "Acquisition") for image in found]
    if series <= min(acquired):
        return series
    private = [moment for image in found if (moment := _ge_scan(image))]
    if private:
        return min(private)
    return min(_scan_from_frame(image, when, half_life_s) for image, when in zip(found, acquired, strict=True))


def _scan_from_frame(image: Dataset, acquired: datetime, half_life_s: float) -> datetime:
    """Frame Reference Time (0054,1300) is from the scan's start to the mean moment of the frame (PS3.3 C.8.9.4)."""
    reference_ms, duration_ms = number(image, "FrameReferenceTime"), number(image, "ActualFrameDuration")
    if not reference_ms or not duration_ms or min(reference_ms, duration_ms) <= 0:
        return acquired
    return acquired - timedelta(seconds=reference_ms / 1000 - mean_offset_s(duration_ms / 1000, half_life_s))


def mean_offset_s(duration_s: float, half_life_s: float) -> float:
    """Return the moment of a frame at which the activity equals its mean: ln(λT / (1 - e^-λT)) / λ."""
    decay = math.log(2) / half_life_s
    return math.log(decay * duration_s / -math.expm1(-decay * duration_s)) / decay


def mean_moment(image: Dataset, half_life_s: float) -> tuple[datetime, float]:
    """Return when a frame began, and the seconds from then to its mean moment."""
    duration_ms = number(image, "ActualFrameDuration")
    if not duration_ms or duration_ms <= 0:
        raise AttributeUnusable(
            "Decay Correction NONE needs Actual Frame Duration (0018,1242) to know the mean moment of a frame (PS3.3 C.8.9.4)."
        )
    return _moment(image, "Acquisition"), mean_offset_s(duration_ms / 1000, half_life_s)


def administered(item: Dataset, image: Dataset, scan: datetime) -> datetime:
    """Return when the tracer was given: the DateTime, or the Time on the day of the scan or the day before."""
    whole = str(item.get("RadiopharmaceuticalStartDateTime") or "")
    if whole:
        return _date_time(whole, image)
    time = str(item.get("RadiopharmaceuticalStartTime") or "")
    if not time:
        raise AttributeUnusable(
            f"SUV needs Radiopharmaceutical Start DateTime (0018,1078) or Time (0018,1072), which "
            f"{named(image)} does not have (PS3.3 C.8.9.2). Pass injection= if you know it."
        )
    given = _combined(scan.strftime("%Y%m%d"), time, "Radiopharmaceutical Start Time (0018,1072)")
    return given if given <= scan else given - timedelta(days=1)


def philips(image: Dataset) -> tuple[str, float]:
    """Return ("SUV", factor) or ("BQML", factor) from Philips' private group 7053."""
    for kind, element in (("SUV", 0x00), ("BQML", 0x09)):
        value = _private(image, 0x7053, element, "Philips PET Private Group", maker="philips")
        factor = _factor(value)
        if factor > 0:
            return kind, factor
    raise AttributeUnusable(
        f"Units (0054,1001) is CNTS and {named(image)} has no Philips factor to SUV (7053,xx00) or "
        "Bq/ml (7053,xx09): counts give no SUV (PS3.3 C.8.9.1.1.3)."
    )


def _factor(value: object) -> float:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value if value is not None else "")
    try:
        factor = float(text.strip(" \x00") or "nan")
    except ValueError:
        return math.nan
    return factor if math.isfinite(factor) else math.nan


def _ge_scan(image: Dataset) -> datetime | None:
    value = _private(image, 0x0009, 0x0D, "GEMS_PETD_01")
    text = (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")).strip(" \x00")
    return _date_time(text, image) if text else None


def _private(image: Dataset, group: int, element: int, creator: str, *, maker: str = "") -> object:
    """Return a private value of `creator`; where the creator was stripped, of a maker who always uses block 10."""
    try:
        block = image.private_block(group, creator)
    except KeyError:
        stripped = maker and maker in str(image.get("Manufacturer") or "").lower() and (group, 0x0010) not in image
        return image[group, 0x1000 + element].value if stripped and (group, 0x1000 + element) in image else None
    return block[element].value if element in block else None


def _moment(image: Dataset, level: str) -> datetime:
    date, time = str(image.get(f"{level}Date") or ""), str(image.get(f"{level}Time") or "")
    if level == "Acquisition" and not (date and time) and image.get("AcquisitionDateTime"):
        return _date_time(str(image.AcquisitionDateTime), image)
    if not (date and time):
        raise AttributeUnusable(f"SUV needs {level} Date and Time, which {named(image)} does not have (PS3.3 C.8.9.1, C.8.9.4).")
    return _combined(date, time, f"{level} Date and Time")


def _combined(date: str, time: str, name: str) -> datetime:
    day, hour = _DATE.fullmatch(date.strip()), _TIME.fullmatch(time.strip())
    try:
        if day and hour:
            micro = int((hour[4] or "0").ljust(6, "0"))
            second = min(int(hour[3] or 0), 59)  # 60 is a leap second
            year, month, date_of_month = (int(d) for d in day.groups())
            return datetime(year, month, date_of_month, int(hour[1]), int(hour[2] or 0), second, micro)  # noqa: DTZ001 - local
    except ValueError:
        pass
    raise AttributeUnusable(f"{name} is not a date and time by PS3.5 6.2 (DA, TM, DT).")


def _date_time(text: str, image: Dataset) -> datetime:
    """Return a DT in the local time of the images; an offset counts where theirs is known (PS3.3 C.12.1.1.8)."""
    zone = _ZONE.search(text[8:])
    bare = text[: 8 + zone.start()] if zone else text
    moment = _combined(bare[:8], bare[8:] or "00", "Radiopharmaceutical Start DateTime (0018,1078)")
    local = _ZONE.fullmatch(str(image.get("TimezoneOffsetFromUTC") or ""))
    if zone and local:
        return moment.replace(tzinfo=_offset(zone)).astimezone(_offset(local)).replace(tzinfo=None)
    return moment


def _offset(match: re.Match[str]) -> timezone:
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))

"""What an action code does to one value.

Knows: dummy values for each value representation, dates that are moved, ages that are capped (PS3.15 E.1, E.3).
Does not know: which attribute gets which action.
"""

import re
from collections.abc import Callable
from copy import deepcopy
from datetime import date, timedelta

from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from workbench.deid.keys import Keys

__all__ = ["DUMMY_TEXT", "capped_age", "dummy", "moved", "replaced_uid", "with_value"]

DUMMY_TEXT = "REMOVED"
_DUMMIES: dict[str, object] = {
    "AS": "000Y", "DA": "19000101", "DT": "19000101000000", "TM": "000000", "DS": "0", "IS": "0", "FD": 0.0, "FL": 0.0,
    "SL": 0, "SS": 0, "SV": 0, "UL": 0, "US": 0, "UV": 0, "AT": 0, "PN": "REMOVED^REMOVED",
    "OB": b"\0\0", "OW": b"\0\0", "OD": b"\0" * 8, "OF": b"\0" * 4, "OL": b"\0" * 4, "OV": b"\0" * 8, "UN": b"\0\0",
}  # fmt: skip
_PAGE_OBJECTS = (
    b"<</Type/Catalog/Pages 2 0 R>>",
    b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
    b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",
)
_DATE = re.compile(r"(\d{4})(?:(\d{2})(?:(\d{2}))?)?(.*)", re.DOTALL)
_AGE = re.compile(r"(\d{3})([DWMY])")
_IN_YEARS = {"D": 365.25, "W": 52.18, "M": 12.0, "Y": 1.0}


def with_value(element: DataElement, value: object) -> DataElement:
    """Return the element with another value and the same tag and VR."""
    return DataElement(element.tag, element.VR, value)


def dummy(element: DataElement) -> DataElement:
    """Return the element with a dummy of its VR (action D); what is empty stays empty."""
    if element.is_empty:
        return deepcopy(element)
    if element.keyword == "EncapsulatedDocument":
        is_pdf = bytes(element.value[:5]) == b"%PDF-"
        return with_value(element, _empty_page() if is_pdf else b"\0\0")
    value = _DUMMIES.get(element.VR, DUMMY_TEXT)
    value = {"CodingSchemeDesignator": "99REMOVED", "TimezoneOffsetFromUTC": "+0000"}.get(element.keyword, value)
    return with_value(element, value)


def _empty_page() -> bytes:
    """Return a PDF of one empty page, of even length."""
    made, places = b"%PDF-1.4\n", []
    for number, content in enumerate(_PAGE_OBJECTS, start=1):
        places.append(len(made))
        made += b"%d 0 obj%sendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    made += b"xref\n0 4\n0000000000 65535 f \n%strailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (table, len(made))
    return made + b"\n" * (len(made) % 2)


def replaced_uid(element: DataElement, keys: Keys) -> DataElement:
    """Return the element with its UIDs replaced (action U); those of the standard's registry (PS3.6 A) stay."""
    if element.is_empty:
        return deepcopy(element)
    if element.VR != "UI":
        return dummy(element)
    return _each(element, lambda uid: uid if not uid or uid in UID_dictionary else keys.uid(uid))


def moved(element: DataElement, days: int) -> DataElement | None:
    """Return a DA or DT element moved by a number of days, or None if its value is not a date; times stay.

    A date-time keeps its precision, time of day and offset from UTC.
    """
    if element.VR not in {"DA", "DT"} or element.is_empty:
        return deepcopy(element)
    try:
        return _each(element, lambda text: _moved(text, days, is_time_too=element.VR == "DT"))
    except (ValueError, OverflowError):
        return None


def _moved(text: str, days: int, *, is_time_too: bool) -> str:
    match = _DATE.fullmatch(text.strip().replace(".", "", 0 if is_time_too else -1))
    if not match or (not is_time_too and (not match[3] or match[4])) or (match[4] and not match[3] and match[4][0] not in "+-"):
        raise ValueError
    year, month, day, rest = match.groups()
    there = date(int(year), int(month or 1), int(day or 1)) + timedelta(days=days)
    length = 4 + 2 * bool(month) + 2 * bool(day)
    return f"{there.year:04d}{there.month:02d}{there.day:02d}"[:length] + (rest or "")


def capped_age(element: DataElement) -> DataElement:
    """Return a Patient's Age of over 89 years as 090Y (45 CFR 164.514(b)(2)(i)(C)), others as they are."""
    match = _AGE.fullmatch(str(element.value or "").strip())
    if element.is_empty or (match and int(match[1]) / _IN_YEARS[match[2]] < 90):
        return deepcopy(element)
    return with_value(element, "090Y" if match else "")


def _each(element: DataElement, change: Callable[[str], str]) -> DataElement:
    value = element.value
    if isinstance(value, (MultiValue, list, tuple)) and not isinstance(value, Sequence):
        return with_value(element, [change(str(v)) for v in value])
    return with_value(element, change(str(value)))

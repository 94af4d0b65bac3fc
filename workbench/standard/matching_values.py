"""Values that can be matched in a query, by value representation (PS3.4 C.2.2.2, PS3.5 6.2).

Knows: single value, wildcard, range, list of UIDs, universal matching.
Does not know: which keys there are.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from workbench.entities import uid_checked
from workbench.errors import QueryKeyInvalid, UidInvalid

__all__ = ["matching_value", "named_keys"]

_WILD = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))  # PS3.4 C.2.2.2.4
_LONGEST: Mapping[str, int] = MappingProxyType(
    {"AE": 16, "AS": 4, "CS": 16, "LO": 64, "SH": 16, "PN": 3 * 64 + 2, "IS": 12, "DS": 16}
)
_LONGEST_KEY = 1024
_NUMBERS = frozenset(("IS", "DS", "US", "UL", "SS", "SL", "FD", "FL"))
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d|60)?(\.\d{1,6})?)?")
_DATE_TIME = re.compile(r"\d{4}(\d{2}(\d{2}([01]\d|2[0-3])?([0-5]\d)?([0-5]\d|60)?(\.\d{1,6})?)?)?([+-]\d{4})?")
_OFFSET = re.compile(r"[+-]\d{4}$")  # from UTC, at the end of a DT
_SHAPES: Mapping[str, str] = MappingProxyType({"DA": "YYYYMMDD", "TM": "HHMMSS.FFFFFF", "DT": "YYYYMMDDHHMMSS.FFFFFF&ZZXX"})


def matching_value(keyword: str, representation: str, value: object) -> str:
    """Return `value` as the text of a query key.

    Parameters
    ----------
    keyword : str
        Named in errors.
    representation : str
        Value representation of the key.
    value : object
        Text, None, a date or time, a number, a (first, last) tuple, or a list of UIDs.

    Raises
    ------
    QueryKeyInvalid
        If no attribute of this value representation can match it; the message does not repeat the value.

    Examples
    --------
    >>> matching_value("StudyDate", "DA", (dt.date(2024, 1, 1), None))
    '20240101-'
    """
    if value is None or value == "":
        return ""
    if representation == "SQ":
        raise QueryKeyInvalid(f"{keyword} is a sequence: name an attribute in it, as {keyword}.CodeValue (PS3.4 C.2.2.2.6).")
    if isinstance(value, list | set | frozenset):
        if representation != "UI":
            raise _invalid(keyword, representation, "can't match a list; only UIDs can (PS3.4 C.2.2.2.2). Make one query a value")
        value = "\\".join(str(v) for v in (value if isinstance(value, list) else sorted(map(str, value))))
    if representation in _SHAPES:
        return _range(keyword, representation, value)
    if isinstance(value, bool | bytes | tuple) or not isinstance(value, str | int | float):
        raise _invalid(keyword, representation, f"can't match a value of type {type(value).__name__}")
    text = str(value)
    _check_text(keyword, representation, text)
    if representation == "UI":
        return _uids(keyword, text)
    if representation in _NUMBERS:
        return _number(keyword, representation, text)
    return text


def named_keys(keys: object) -> Mapping[str, Any]:
    """Return the keys of a query, which are a mapping of keywords to values.

    Raises
    ------
    QueryKeyInvalid
        If they are something else.
    """
    if keys is None:
        return {}
    if not isinstance(keys, Mapping):
        kind = type(keys).__name__
        raise QueryKeyInvalid(
            f"Keys are a mapping of keywords to values, such as {{'Modality': 'CT'}}, not a {kind} (PS3.4 C.2.2.2)."
        )
    return keys


def _invalid(keyword: str, representation: str, what: str) -> QueryKeyInvalid:
    section = "" if "PS3.4" in what else " (PS3.5 6.2)"
    return QueryKeyInvalid(f"{keyword} ({representation}) {what}{section}.")


def _check_text(keyword: str, representation: str, text: str) -> None:
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise _invalid(keyword, representation, "can't have control characters")
    if representation == "UI":
        return
    if "\\" in text:
        raise _invalid(keyword, representation, "can't have a backslash, which separates values")
    is_wild = bool(set(text) & set("*?"))
    if is_wild and representation not in _WILD:
        raise _invalid(keyword, representation, "can't match wildcards (PS3.4 C.2.2.2.4)")
    longest = _LONGEST_KEY if is_wild else _LONGEST.get(representation, _LONGEST_KEY)
    if len(text) > longest:
        raise _invalid(keyword, representation, f"can't match more than {longest} characters")
    if representation == "CS" and not re.fullmatch(r"[A-Z0-9 _*?]*", text):
        raise _invalid(keyword, representation, "has only upper-case letters, digits, space and underscore")
    if representation == "AE" and not text.isascii():
        raise _invalid(keyword, representation, "has only ASCII characters")


def _uids(keyword: str, text: str) -> str:
    try:
        return "\\".join(uid_checked(part.strip(" \0"), name=keyword, strict=False) for part in text.split("\\"))
    except UidInvalid as error:
        raise QueryKeyInvalid(f"{error} UIDs match single values and lists, no wildcards (PS3.4 C.2.2.2.2).") from None


def _number(keyword: str, representation: str, text: str) -> str:
    try:
        number = float(text) if representation in ("DS", "FD", "FL") else int(text)
    except ValueError:
        raise _invalid(keyword, representation, "can match only a number") from None
    if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN differs from itself
        raise _invalid(keyword, representation, "can match only a finite number")
    limits = {
        "US": (0, 0xFFFF),
        "UL": (0, 0xFFFFFFFF),
        "SS": (-0x8000, 0x7FFF),
        "SL": (-0x80000000, 0x7FFFFFFF),
        "IS": (-(2**31), 2**31 - 1),
    }
    low, high = limits.get(representation, (number, number))
    if not low <= number <= high:
        raise _invalid(keyword, representation, f"can match only a number from {low} to {high}")
    return text.strip()


# ---------------------------------------------------------------- dates and times
def _range(keyword: str, representation: str, value: object) -> str:
    if isinstance(value, tuple):
        if len(value) != 2:
            raise _invalid(keyword, representation, "matches a range of two values, (first, last)")
        first, last = ("" if v is None else _one(keyword, representation, v) for v in value)
        return _ordered(keyword, first, last)
    if not isinstance(value, str):
        return _one(keyword, representation, value)
    parts = _split(representation, value.strip())
    if len(parts) == 1:
        return _one(keyword, representation, parts[0])
    return _ordered(keyword, *(p and _one(keyword, representation, p) for p in parts[:2]))


def _split(representation: str, text: str) -> list[str]:
    """Return one value or the two ends of a range; a hyphen in a date-time may begin its offset from UTC."""
    if "-" not in text or (representation == "DT" and _DATE_TIME.fullmatch(text) and _offset(text)):
        return [text]
    cuts = [i for i, c in enumerate(text) if c == "-"]
    check = _CHECKS[representation]
    for cut in cuts:
        first, last = text[:cut].strip(), text[cut + 1 :].strip()
        if (first or last) and (not first or check(first)) and (not last or check(last)):
            return [first, last]
    return [text]


def _offset(text: str) -> bool:
    """Whether the end is an offset that exists (PS3.5 6.2: -1200 to +1400) rather than a year."""
    return len(text) > 8 and (text[-5] == "+" or (text[-5] == "-" and int(text[-4:]) <= 1200))


def _ordered(keyword: str, first: str, last: str) -> str:
    if not first and not last:
        return ""
    ends = [_OFFSET.sub("", end) for end in (first, last)]
    size = min(map(len, ends))
    offsets = [first[len(ends[0]) :], last[len(ends[1]) :]]
    is_comparable = offsets[0] == offsets[1] or not all(offsets)  # else who is asked compares the instants
    if size and is_comparable and ends[0][:size] > ends[1][:size]:
        raise QueryKeyInvalid(f"{keyword} has a range whose end is before its begin (PS3.4 C.2.2.2.5).")
    return f"{first}-{last}"


def _one(keyword: str, representation: str, value: object) -> str:
    text = _formatted(representation, value)
    if representation == "DA" and re.fullmatch(r"\d{8}", text, re.ASCII) and not _is_date(text):
        raise QueryKeyInvalid(f"{keyword} (DA) has the form YYYYMMDD but is no date: there is no such month or day (PS3.5 6.2).")
    if not _CHECKS[representation](text):
        shape = _SHAPES[representation]
        raise QueryKeyInvalid(
            f"{keyword} ({representation}) matches {shape} or a range such as {shape[:8]}-{shape[:8]}, no wildcards "
            "(PS3.4 C.2.2.2.5); dates and times of Python can be passed as well."
        )
    return text


def _formatted(representation: str, value: object) -> str:
    if isinstance(value, dt.datetime) and representation == "DT":
        return value.strftime("%Y%m%d%H%M%S.%f") + (value.strftime("%z")[:5] if value.tzinfo else "")
    if isinstance(value, dt.date) and representation in ("DA", "DT"):
        return f"{value.year:04d}{value.month:02d}{value.day:02d}"
    if isinstance(value, dt.time | dt.datetime) and representation == "TM":
        return value.strftime("%H%M%S.%f")
    return value if isinstance(value, str) else ""


def _is_date(text: str) -> bool:
    if not re.fullmatch(r"\d{8}", text, re.ASCII):
        return False
    try:
        dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    return bool(_TIME.fullmatch(text))


def _is_date_time(text: str) -> bool:
    return bool(_DATE_TIME.fullmatch(text)) and (len(text) < 8 or not text[:8].isdigit() or _is_date(text[:8]))


_CHECKS: Mapping[str, Callable[[str], bool]] = MappingProxyType({"DA": _is_date, "TM": _is_time, "DT": _is_date_time})

r"""Attribute matching of queries (PS3.4 C.2.2.2).

Knows: single value, universal, wildcard, UID list, range, empty value, several values and sequence matching.
Does not know: SQL, files, networks.

What is matched is text: a value as it stands in an index, decoded, without padding, several values separated
by a backslash. So a query in one character set finds what was stored in another.
"""

import calendar
import contextlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from pydicom import Dataset
from pydicom.datadict import dictionary_VM, keyword_for_tag
from pydicom.sequence import Sequence as DataSequence

from workbench.archive._names import fuzzy_test
from workbench.archive._text import ONE_TEXT, dataset_text, dictionary_vr
from workbench.errors import AttributeUnusable, QueryKeyInvalid

__all__ = ["Criterion", "criteria", "folded", "matches", "sequence_items"]

#: Value representations in which ``*`` and ``?`` are wildcards (PS3.4 C.2.2.2.4).
WILDCARD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_RANGE_VRS = frozenset({"DA", "DT", "TM"})
_NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_NOT_KEYS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "AT"})
#: No key but a list of UIDs is longer than this.
KEY_LIMIT = 1024
UID_LIMIT = 100_000
_EMPTY = '""'  # C.2.2.2.7
_DEPTH_LIMIT = 16
#: They say how to read the others, or who answers (PS3.4 C.4.1.1.3).
_CONTROL = frozenset({0x00080005, 0x00080052, 0x00080053, 0x00080054})

#: Timezone Offset From UTC with a value says how to read dates and times (PS3.4 C.4.1.1.3.1).
_TIME_ZONE = 0x00080201
#: Which date each time belongs to.
DATE_OF: Mapping[str, str] = {
    "StudyTime": "StudyDate", "SeriesTime": "SeriesDate", "AcquisitionTime": "AcquisitionDate", "ContentTime": "ContentDate",
    "InstanceCreationTime": "InstanceCreationDate", "PerformedProcedureStepStartTime": "PerformedProcedureStepStartDate",
    "ScheduledProcedureStepStartTime": "ScheduledProcedureStepStartDate",
}  # fmt: skip

_DATE = re.compile(r"\d{8}|\d{4}\.\d{2}\.\d{2}")
_TIME = re.compile(r"(?P<digits>\d{2}|\d{4}|\d{6})(?:\.(?P<fraction>\d{1,6}))?")
_OLD_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2}(?:\.\d{1,6})?))?")
_DATETIME = re.compile(
    r"(?P<digits>\d{4}|\d{6}|\d{8}|\d{10}|\d{12}|\d{14})(?:\.(?P<fraction>\d{1,6}))?(?P<offset>[+-](?:0\d|1[0-4])[0-5]\d)?"
)


def folded(name: str) -> str:
    """Return a person name as it is compared: without case, and without what is left empty at the end of a group.

    A letter with its accent is one character, also where it is written as two.

    Examples
    --------
    >>> folded("Doe^Jane^^=山田^花子")
    'doe^jane=山田^花子'
    """
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return "=".join(group.strip().rstrip("^").rstrip() for group in name.casefold().split("=")).rstrip("=")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One key of a query.

    Parameters
    ----------
    keyword, tag, vr : str, int, str
        Which attribute; `keyword` is empty where the dictionary has none.
    values : tuple of str
        What it is to match; empty for universal matching.
    items : tuple of Criterion
        Keys inside the item of a sequence.
    single : bool
        Whether the attribute has one value only (PS3.6), so that no backslash separates values in it.
    fuzzy : bool
        Whether it is matched by meaning rather than by spelling.
    """

    keyword: str
    tag: int
    vr: str
    values: tuple[str, ...] = ()
    items: tuple["Criterion", ...] = ()
    single: bool = False
    fuzzy: bool = False
    _accepts: Callable[[str], bool] = field(default=lambda _: True, repr=False, compare=False)

    @property
    def universal(self) -> bool:
        """Whether everything matches it (PS3.4 C.2.2.2.3)."""
        return not self.values and all(item.universal for item in self.items)

    def accepts(self, text: str | None) -> bool:
        """Whether a value matches; None stands for an attribute that is absent."""
        if not self.values:
            return True
        if not text:
            return _EMPTY in self.values
        parts = [text] if self.single else [part.strip() for part in text.split("\\")]
        return any(map(self._accepts, parts))

    def accepts_in(self, dataset: Dataset) -> bool:
        """Whether the attribute of a dataset matches; a sequence matches if one of its items does (C.2.2.2.6)."""
        if self.vr != "SQ":
            with contextlib.suppress(ValueError):
                return self.accepts(dataset_text(dataset, self.tag, self.vr))
            return self.universal
        if self.universal:
            return True
        return any(all(key.accepts_in(item) for key in self.items) for item in sequence_items(dataset, self.tag))


def criteria(identifier: Dataset, *, depth: int = 0, fuzzy: bool = False, date_time: bool = False) -> tuple[Criterion, ...]:
    """Return the keys of an identifier, checked.

    Private attributes, group lengths and bulk data are no keys and are left out, as are Query/Retrieve Level
    and Specific Character Set, which say how to read the others.

    Parameters
    ----------
    identifier : Dataset
        The query.
    depth : int
        How many sequences it is in.
    fuzzy : bool
        Whether names of persons are matched by their words: without accents, in any order.
    date_time : bool
        Whether a range of times belongs to its range of dates, so that it may run backwards.

    Raises
    ------
    AttributeUnusable
        If a value can't be matched: a wildcard where none is allowed, a malformed date or time, a range that
        runs backwards, a value longer than a key may be.
    QueryKeyInvalid
        If a sequence has more than one item (PS3.4 C.2.2.2.6) or sequences are nested more than 16 deep.
    """
    if depth > _DEPTH_LIMIT:
        raise QueryKeyInvalid(f"Sequences in a query are nested more than {_DEPTH_LIMIT} deep.")
    keys = []
    for tag in identifier.keys():  # noqa: SIM118 - no element is converted by looking at it
        is_none = tag.is_private or tag.element == 0 or tag in _CONTROL or tag.group <= 6
        keyword = "" if is_none or (tag == _TIME_ZONE and _text(identifier, tag, "SH", "")) else keyword_for_tag(tag)
        vr = dictionary_vr(tag) if keyword else "UN"
        if vr == "SQ":
            keys.append(_sequence_key(identifier, tag, keyword, depth, fuzzy=fuzzy))
        elif vr not in _NOT_KEYS:
            is_of_date = date_time and bool(identifier.get(DATE_OF.get(keyword, "")))
            keys.append(_key(keyword, int(tag), vr, _text(identifier, tag, vr, keyword), fuzzy=fuzzy, ordered=not is_of_date))
    return tuple(keys)


def matches(dataset: Dataset, identifier: Dataset) -> bool:
    """Whether a dataset matches all keys of an identifier.

    Raises
    ------
    AttributeUnusable, QueryKeyInvalid
        See :func:`criteria`.

    Examples
    --------
    >>> dataset, identifier = Dataset(), Dataset()
    >>> dataset.PatientName, dataset.StudyDate = "Doe^Jane", "20240229"
    >>> identifier.PatientName, identifier.StudyDate = "DOE*", "20240101-"
    >>> matches(dataset, identifier)
    True
    """
    return all(key.accepts_in(dataset) for key in criteria(identifier))


def sequence_items(dataset: Dataset, tag: int) -> Sequence[Dataset]:
    """Return the items of a sequence; none where it is absent or no sequence."""
    if tag not in dataset:
        return ()
    try:
        value = dataset[tag].value
    except Exception:  # noqa: BLE001 - what can't be parsed has no items
        return ()
    return value if isinstance(value, DataSequence) else ()


def _text(identifier: Dataset, tag: int, vr: str, keyword: str) -> str:
    try:
        return dataset_text(identifier, tag, vr) or ""
    except ValueError:
        raise AttributeUnusable(
            f"The value of {keyword} {_shown(tag)} does not fit its value representation (PS3.5 6.2)."
        ) from None


def _shown(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _sequence_key(identifier: Dataset, tag: int, keyword: str, depth: int, *, fuzzy: bool) -> Criterion:
    items = sequence_items(identifier, tag)
    if len(items) > 1:
        raise QueryKeyInvalid(f"{keyword} {_shown(tag)} in a query has at most one item, not {len(items)} (PS3.4 C.2.2.2.6).")
    return Criterion(keyword, int(tag), "SQ", items=criteria(items[0], depth=depth + 1, fuzzy=fuzzy) if items else ())


def _key(keyword: str, tag: int, vr: str, text: str, *, fuzzy: bool, ordered: bool) -> Criterion:
    where = f"{keyword} {_shown(tag)}"
    if vr == "UI":
        return _uid_key(keyword, tag, text, where)
    if vr in WILDCARD_VRS:
        text = re.sub(r"\*{2,}", "*", text)
    if len(text) > KEY_LIMIT:
        raise AttributeUnusable(f"The value of {where} is longer than {KEY_LIMIT} characters: no key of a query is.")
    values = tuple(
        dict.fromkeys(
            v for part in ([text] if vr in ONE_TEXT else text.split("\\")) if (v := part.strip()) and (vr != "PN" or folded(v))
        )
    )
    if not values or "*" in values:
        return Criterion(keyword, tag, vr)
    fuzzy = fuzzy and vr == "PN"
    if fuzzy:
        tests = [fuzzy_test(value, _pattern) for value in values]
    elif vr in _RANGE_VRS and not ordered:
        tests = [_range_test(value, vr, where, ordered=False) for value in values]
    else:
        tests = [_test(value, vr, where) for value in values]
    single = vr in ONE_TEXT or dictionary_VM(tag) == "1"
    accepts = tests[0] if len(tests) == 1 else _any_of(tests)
    return Criterion(keyword, tag, vr, values, single=single, fuzzy=fuzzy, _accepts=accepts)


def _any_of(tests: Iterable[Callable[[str], bool]]) -> Callable[[str], bool]:
    kept = tuple(tests)
    return lambda text: any(test(text) for test in kept)


def _uid_key(keyword: str, tag: int, text: str, where: str) -> Criterion:
    values = tuple(dict.fromkeys(part for part in (p.strip() for p in text.split("\\")) if part))
    if not values or values == ("*",):
        return Criterion(keyword, tag, "UI")
    if len(values) > UID_LIMIT:
        raise AttributeUnusable(f"{where} lists {len(values)} UIDs; {UID_LIMIT} is the most that one query may have.")
    if any(len(v) > 64 or "*" in v or "?" in v for v in values if v != _EMPTY):
        raise AttributeUnusable(f"{where} has a value that is no UID: a wildcard, or more than 64 characters (PS3.4 C.2.2.2.2).")
    return Criterion(keyword, tag, "UI", values, _accepts=frozenset(values).__contains__)


def _test(value: str, vr: str, where: str) -> Callable[[str], bool]:
    if value == _EMPTY:
        return lambda _: False
    if vr in _RANGE_VRS:
        return _range_test(value, vr, where)
    if vr in _NUMBER_VRS:
        return _number_test(value, where)
    if vr == "PN":
        return _name_test(value)
    if vr in WILDCARD_VRS and ("*" in value or "?" in value):
        return _pattern(value)
    if "*" in value or "?" in value:
        raise AttributeUnusable(f"{where} allows no wildcard, because its value representation is {vr} (PS3.4 C.2.2.2.4).")
    return value.__eq__


def _number_test(value: str, where: str) -> Callable[[str], bool]:
    wanted = _number(value)
    if wanted is None:
        raise AttributeUnusable(f"{where} is to be a number: it allows single value matching only (PS3.4 C.2.2.2.1).")
    return lambda text: _number(text) == wanted


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


# ---------------------------------------------------------------- names and patterns
def _name_test(value: str) -> Callable[[str], bool]:
    """Compare person names without case; a key of one group is sought in every group (PS3.4 C.2.2.2.1, PS3.5 6.2.1)."""
    groups = [_pattern(group) if group else None for group in folded(value).split("=")]

    if len(groups) == 1:
        one = groups[0]
        return lambda text: one is None or any(one(group) for group in folded(text).split("="))

    def accepts(text: str) -> bool:
        found = folded(text).split("=")
        found += [""] * (len(groups) - len(found))
        return all(test is None or test(group) for test, group in zip(groups, found, strict=False))

    return accepts


def _pattern(pattern: str) -> Callable[[str], bool]:
    """Return a test for a pattern with ``*`` and ``?``, whose time grows with the length of the text only."""
    pieces = [_Piece(piece) for piece in pattern.split("*")]
    first, *rest = pieces
    if not rest:
        return lambda text: len(text) == first.size and first.at(text, 0)
    *middle, last = rest

    def accepts(text: str) -> bool:
        end = len(text) - last.size
        if end < first.size or not first.at(text, 0) or not last.at(text, end):
            return False
        position = first.size
        for piece in middle:
            position = piece.find(text, position, end)
            if position < 0:
                return False
            position += piece.size
        return True

    return accepts


class _Piece:
    """What stands between two asterisks."""

    __slots__ = ("_expression", "_text", "size")

    def __init__(self, text: str) -> None:
        self.size, self._text = len(text), text
        self._expression = re.compile(".".join(map(re.escape, text.split("?"))), re.DOTALL) if "?" in text else None

    def at(self, text: str, position: int) -> bool:
        if self._expression is None:
            return text.startswith(self._text, position)
        return self._expression.match(text, position) is not None

    def find(self, text: str, start: int, end: int) -> int:
        if self._expression is None:
            return text.find(self._text, start, end)
        found = self._expression.search(text, start, end)
        return found.start() if found else -1


# ---------------------------------------------------------------- dates and times
def moment(date_text: str, time_text: str) -> str | None:
    """Return a date and its time as one text that sorts; None where one of them is none."""
    day, at = _interval(date_text, "DA"), _interval(time_text, "TM")
    return day[0] + at[0] if day and at else None


def _range_test(value: str, vr: str, where: str, *, ordered: bool = True) -> Callable[[str], bool]:
    first, last = bounds(value, vr, where, ordered=ordered)

    def accepts(text: str) -> bool:
        found = _interval(text, vr)
        return found is not None and not (first and _is_before(found[0], first)) and not (last and _is_before(last, found[0]))

    return accepts


@lru_cache(maxsize=256)
def bounds(value: str, vr: str, where: str = "The key", *, ordered: bool = True) -> tuple[str | None, str | None]:
    """Return the first and last moment that a DA, TM or DT key allows, in full length; None where it is open.

    A value that is given to the hour, minute, month or year stands for all of it, at both ends of a range (PS3.4 C.2.2.2.5).
    An offset from UTC stays at the end of a DT moment; two moments that both have one are compared as instants, any others as
    they are written (PS3.5 6.2).

    Raises
    ------
    AttributeUnusable
        If it is malformed, or runs backwards although it is to be `ordered`.

    Examples
    --------
    >>> bounds("10-1159", "TM")
    ('100000.000000', '115959.999999')
    """
    whole = _interval(value, vr)
    if whole is not None:
        return whole
    for position in (m.start() for m in re.finditer("-", value)):
        before, after = value[:position].strip(), value[position + 1 :].strip()
        first = _interval(before, vr) if before else (None, None)
        last = _interval(after, vr) if after else (None, None)
        if first is None or last is None or not (before or after):
            continue
        if ordered and first[0] is not None and last[1] is not None and _is_before(last[1], first[0]):
            raise AttributeUnusable(f"The range of {where} runs backwards (PS3.4 C.2.2.2.5): put the earlier value first.")
        return first[0], last[1]
    raise AttributeUnusable(f"{where} is neither a {vr} value nor a range of two, such as {_EXAMPLES[vr]} (PS3.4 C.2.2.2.5).")


_EXAMPLES: Mapping[str, str] = {"DA": "20240101-20241231", "TM": "0800-1200", "DT": "20240101-202406"}


def _interval(text: str, vr: str) -> tuple[str, str] | None:
    """Return the first and last moment that a value stands for, or None if it is malformed."""
    if vr == "DA":
        plain = text.replace(".", "") if _DATE.fullmatch(text) else None
        return None if plain is None else (plain, plain)
    if vr == "TM":
        if old := _OLD_TIME.fullmatch(text):
            text = "".join(part or "" for part in old.groups())
        return _padded(_TIME.fullmatch(text), 6, "000000", "235959")
    return _padded(_DATETIME.fullmatch(text), 14, "00000101000000", "99991231235959")


def _padded(match: re.Match[str] | None, size: int, low: str, high: str) -> tuple[str, str] | None:
    if match is None:
        return None
    digits, fraction = match["digits"], match["fraction"]
    if fraction and len(digits) != size:
        return None
    offset = match.groupdict().get("offset") or ""
    start = digits + low[len(digits) :] + "." + (fraction or "").ljust(6, "0")
    end = digits + high[len(digits) :] + "." + (fraction or "").ljust(6, "9")
    return start + offset, end + offset


_MOMENT_SIZE = len("YYYYMMDDHHMMSS.FFFFFF")


def _is_before(one: str, other: str) -> bool:
    """Whether a moment of full length is earlier than another one of the same value representation."""
    if len(one) > _MOMENT_SIZE and len(other) > _MOMENT_SIZE:
        return _instant(one) < _instant(other)
    return one[:_MOMENT_SIZE] < other[:_MOMENT_SIZE]


def _instant(moment: str) -> tuple[int, str]:
    """Return minutes in UTC, and the seconds, of a moment that has an offset from UTC; day 31 is the last of any month."""
    year, month = max(1, int(moment[:4])), min(max(1, int(moment[4:6])), 12)
    day = min(max(1, int(moment[6:8])), calendar.monthrange(year, month)[1])
    hours, minutes = int(moment[-4:-2]), int(moment[-2:])
    offset = (hours * 60 + minutes) * (-1 if moment[-5] == "-" else 1)
    return date(year, month, day).toordinal() * 1440 + int(moment[8:10]) * 60 + int(moment[10:12]) - offset, moment[12:_MOMENT_SIZE]

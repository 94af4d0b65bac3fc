"""Constraints of a statement on values that a machine can check: ranges, roots of UIDs, values of other attributes, and defaults.

Knows: how a constraint and a default are written, whether a value fulfils them, which value would.
Does not know: which attribute has which (claims), what follows from it (conformance), how objects are made (department).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import RE_VALID_UID, generate_uid

from workbench.devices.conditions import Condition, condition
from workbench.errors import ProfileInvalid

__all__ = ["Constraint", "Default", "constraint", "default"]

_TAG = r"\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)"
_TEST = re.compile(rf"(?P<sign>==|>=|<=|under|like|count ==) (?P<wanted>{_TAG}(?: \+ {_TAG})*|\S.*)")
_TIME = "<YYYYMMDDhhmmssff>"
_DEFAULTS = re.compile(rf"<(?:empty|operator|generated|uid [0-9.]+)>|{re.escape(_TIME)}")


@dataclass(frozen=True, slots=True)
class _Test:
    """What is asked of a value."""

    sign: str
    wanted: str

    @property
    def tags(self) -> tuple[int, ...]:
        """The attributes whose values it is compared with, joined; empty where it is compared with text."""
        found = re.findall(_TAG, self.wanted) if re.fullmatch(rf"{_TAG}(?: \+ {_TAG})*", self.wanted) else []
        return tuple(int(tag[1:5] + tag[6:10], 16) for tag in found)

    def meant(self, datasets: Sequence[Dataset]) -> str | None:
        """Return what it is compared with as text; None where the object does not tell."""
        if not self.tags:
            return self.wanted
        found = [next((str(d[tag].value) for d in datasets if tag in d and not d[tag].is_empty), None) for tag in self.tags]
        return None if None in found else "".join(filter(None, found))

    def holds(self, dataset: Dataset, tag: int, around: Sequence[Dataset]) -> bool:
        element, meant = dataset[tag], self.meant((dataset, *around))
        if meant is None:
            return True
        if self.sign == "count ==":
            many = len(element.value or ()) if element.VR == "SQ" else element.VM
            return _is_same(str(many), meant)
        if element.is_empty:
            return True  # whether it may be empty is a matter of its presence
        values = [str(v).strip() for v in element.value] if element.VM > 1 else [str(element.value).strip()]
        return _is_same("\\".join(values), meant) if self.sign == "==" else all(self._admits(v, meant) for v in values)

    def _admits(self, value: str, meant: str) -> bool:
        if self.sign == "under":
            return value.startswith(f"{meant}.")
        if self.sign == "like":
            return re.fullmatch(meant, value) is not None
        number, bound = _number(value), _number(meant)
        return number is not None and bound is not None and (number >= bound if self.sign == ">=" else number <= bound)


@dataclass(frozen=True, slots=True)
class _Clause:
    tests: tuple[_Test, ...]
    when: Condition | None


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a value has to be; made by :func:`constraint`."""

    text: str
    clauses: tuple[_Clause, ...]

    def holds(self, dataset: Dataset, tag: int, *around: Dataset) -> bool:
        """Whether an attribute that is there fulfils it.

        Parameters
        ----------
        dataset : Dataset
            In which the attribute stands.
        tag : int
            Which one.
        *around : Dataset
            Where this one is an item of a sequence: what it does not have is looked for there, in this order.
        """
        return all(test.holds(dataset, tag, around) for test in self._due(dataset, around))

    def wanted(self, dataset: Dataset, tag: int, *around: Dataset) -> str | None:
        """Return the value that fulfils it; None where there are many of them.

        A UID below the root that is wanted is the same for the same UID in its place, so that objects of one series or study stay
        together.
        """
        for test in self._due(dataset, around):
            if test.sign == "==":
                return test.meant((dataset, *around))
            if test.sign == "under":
                return str(generate_uid(prefix=f"{test.wanted}.", entropy_srcs=[test.wanted, str(dataset[tag].value)]))
        return None

    @property
    def least(self) -> int:
        """The smallest number that it admits where it gives one; otherwise 0."""
        return max((int(t.wanted) for c in self.clauses for t in c.tests if t.sign == ">=" and c.when is None), default=0)

    def is_same_as(self, tag: int) -> bool:
        """Whether it wants the value of another attribute."""
        return any(t.sign == "==" and t.tags == (tag,) for c in self.clauses for t in c.tests if c.when is None)

    def _due(self, dataset: Dataset, around: Sequence[Dataset]) -> list[_Test]:
        return [t for c in self.clauses if c.when is None or c.when.holds(dataset, *around) for t in c.tests]


@dataclass(frozen=True, slots=True)
class Default:
    """What stands there where worklist or image have nothing; made by :func:`default`."""

    text: str

    def made(self, *, began: datetime, operator: str, old: str = "") -> Any:
        """Return the value; None where it is empty.

        Parameters
        ----------
        began : datetime
            When the step began, which is what the system makes identifiers from.
        operator : str
            Who works with the system.
        old : str
            For a UID: one that stands for the same study, or series, elsewhere.
        """
        if self.text.startswith("<uid "):
            return str(generate_uid(prefix=f"{self._root}.", entropy_srcs=[self._root, old or f"{began:%Y%m%d%H%M%S%f}"]))
        return {
            "<empty>": None,
            "<operator>": operator,
            "<generated>": f"{began:%H%M%S}",
            _TIME: f"{began:%Y%m%d%H%M%S%f}"[:16],
        }.get(self.text, self.text)

    def holds(self, value: Any) -> bool:
        """Whether a value is, or may be, this one."""
        text = "" if value is None else str(value).strip()
        if self.text == "<empty>":
            return not text
        if self.text.startswith("<uid "):
            return text.startswith(f"{self._root}.")
        if self.text == _TIME:
            return re.fullmatch(r"\d{16}", text) is not None
        return bool(text) if self.text in {"<operator>", "<generated>"} else _is_same(text, self.text)

    @property
    def _root(self) -> str:
        return self.text[5:-1]


def constraint(text: str) -> Constraint:
    r"""Return a constraint from its text.

    Parameters
    ----------
    text : str
        Clauses joined by ``; ``, each of tests joined by `` and ``, with `` if `` and a condition after them where it does not
        always count (see :func:`workbench.devices.condition`). Tests are ``== A`` or ``== (0028,0011)``, the value of another
        attribute, several of them joined by `` + ``; ``>= 512``, ``<= 512``; ``under 1.2.3``, a UID below this root; ``like A\d``,
        a regular expression; ``count == 1`` or ``count == (0028,0008)``, how many items or values there are.

    Raises
    ------
    ProfileInvalid
        If it is not written so.

    Examples
    --------
    >>> dataset = Dataset()
    >>> dataset.Rows, dataset.Columns = 512, 256
    >>> constraint(">= 512").holds(dataset, 0x00280010), constraint("== (0028,0011)").holds(dataset, 0x00280010)
    (True, False)
    """
    clauses = []
    for part in text.split("; "):
        said, _, when = part.partition(" if ")
        tests = tuple(_test(one.strip(), text) for one in said.split(" and "))
        clauses.append(_Clause(tests, condition(when) if when else None))
    return Constraint(text, tuple(clauses))


def _test(text: str, whole: str) -> _Test:
    match = _TEST.fullmatch(text)
    test = _Test(match["sign"], match["wanted"]) if match else None
    if test is None or not _is_written(test):
        raise ProfileInvalid(
            f"'{whole}' is no constraint: it is ==, >=, <=, under, like or count == and what is wanted, then perhaps if and a "
            "condition; 'and' joins tests, a semicolon joins clauses."
        )
    return test


def _is_written(test: _Test) -> bool:
    if test.sign in {">=", "<="}:
        return bool(re.fullmatch(r"-?\d{1,9}", test.wanted))
    if test.sign == "under":
        return len(test.wanted) <= 48 and bool(re.fullmatch(RE_VALID_UID, test.wanted))
    if test.sign == "count ==":
        return bool(test.tags) or test.wanted.isdecimal()
    try:
        return test.sign != "like" or bool(re.compile(test.wanted))
    except (re.error, OverflowError, RecursionError):
        return False


def default(text: str) -> Default:
    """Return what stands in an attribute where worklist or image have nothing, from its text.

    Parameters
    ----------
    text : str
        The value itself, or ``<empty>``, ``<operator>`` (the name of who works with the system), ``<generated>``,
        ``<YYYYMMDDhhmmssff>`` (the time, to hundredths of a second), ``<uid 1.2.3>`` (a UID below this root).

    Raises
    ------
    ProfileInvalid
        If it is in angle brackets and none of these.

    Examples
    --------
    >>> default("<YYYYMMDDhhmmssff>").made(began=datetime(2026, 11, 21, 10, 30), operator="")
    '2026112110300000'
    """
    if text.startswith("<") and not _DEFAULTS.fullmatch(text):
        raise ProfileInvalid(f"'{text}' is no default: there are <empty>, <operator>, <generated>, {_TIME} and <uid 1.2.3>.")
    return Default(text)


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _is_same(one: str, other: str) -> bool:
    first = _number(one)
    return one == other or (first is not None and first == _number(other))

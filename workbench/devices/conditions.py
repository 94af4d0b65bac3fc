"""Conditions of a statement that a machine can check: on presence or values of other attributes of the same object.

Knows: how a condition is written, and whether an object fulfils it.
Does not know: which attribute has which condition (claims), what follows from it (conformance).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from pydicom.dataset import Dataset

from workbench.errors import ProfileInvalid

__all__ = ["Condition", "condition"]

_TEST = re.compile(
    r"\((?P<group>[0-9A-Fa-f]{4}),(?P<element>[0-9A-Fa-f]{4})\)(?:\[(?P<number>[1-9]\d?)\])?"
    r" (?:(?P<state>present|absent)|(?P<sign>==|!=|>|<|in) (?P<values>\S.*))"
)


@dataclass(frozen=True, slots=True)
class _Test:
    """One attribute, or one of its values, and what is asked of it."""

    tag: int
    number: int  # from 1; 0 is the attribute as a whole
    sign: str
    values: tuple[str, ...]

    def holds(self, datasets: Sequence[Dataset]) -> bool:
        found = next((dataset[self.tag] for dataset in datasets if self.tag in dataset), None)
        if self.sign in {"present", "absent"}:
            return (found is None) == (self.sign == "absent")
        if found is None or found.is_empty:
            return False
        values = [str(v) for v in found.value] if found.VM > 1 else [str(found.value)]
        if self.number > len(values):
            return False
        value = (values[self.number - 1] if self.number else "\\".join(values)).strip()
        if self.sign in {">", "<"}:
            return _is_more(value, self.values[0]) if self.sign == ">" else _is_more(self.values[0], value)
        return any(_is_same(value, listed) for listed in self.values) != (self.sign == "!=")


@dataclass(frozen=True, slots=True)
class Condition:
    """When an attribute is there; made by :func:`condition`."""

    text: str
    tests: tuple[_Test, ...]

    def holds(self, dataset: Dataset, *around: Dataset) -> bool:
        """Whether an object fulfils it.

        Parameters
        ----------
        dataset : Dataset
            In which the attribute would stand.
        *around : Dataset
            Where this one is an item of a sequence: what it does not have is looked for there, in this order.
        """
        return all(test.holds((dataset, *around)) for test in self.tests)


def condition(text: str) -> Condition:
    """Return a condition from its text.

    Parameters
    ----------
    text : str
        Tests joined by `` and ``. A test is a tag, with ``[2]`` the second of its values, and what is asked of it: ``present``,
        ``absent``, ``== A``, ``!= A``, ``in A | B``, ``> 1``, ``< 1``. Of an attribute that is absent or empty nothing but
        ``absent`` or ``present`` can be true; numbers are compared as numbers.

    Raises
    ------
    ProfileInvalid
        If it is not written so.

    Examples
    --------
    >>> dataset = Dataset()
    >>> dataset.ImageType = ["ORIGINAL", "PRIMARY", "", "FA"]
    >>> condition("(0008,0008)[4] in FA | ICG").holds(dataset)
    True
    >>> condition("(0028,0008) > 1 and (0008,0008) present").holds(dataset)
    False
    """
    tests = []
    for part in text.split(" and "):
        match = _TEST.fullmatch(part.strip())
        if match is None:
            raise ProfileInvalid(
                f"'{part}' is no condition: it is a tag such as (0008,0008) or (0008,0008)[4], then present, absent, == A, != A, "
                "in A | B, > 1 or < 1."
            )
        sign, listed = match["state"] or match["sign"], match["values"] or ""
        values = tuple(value.strip() for value in listed.split(" | ")) if sign == "in" else (listed,)
        if sign in {">", "<"} and _number(listed) is None:
            raise ProfileInvalid(f"'{part}' is no condition: {sign} wants a number.")
        tests.append(_Test(int(match["group"] + match["element"], 16), int(match["number"] or 0), sign, values))
    return Condition(text, tuple(tests))


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _is_more(one: str, other: str) -> bool:
    first, second = _number(one), _number(other)
    return first is not None and second is not None and first > second


def _is_same(one: str, other: str) -> bool:
    first = _number(one)
    return one == other or (first is not None and first == _number(other))

"""What differs between two datasets, at any depth.

Knows: which values are equal.
Does not know: which differences matter.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from workbench.entities import Rows, plain
from workbench.files import given
from workbench.inspection._walk import element, multiple, path_of, text_of

__all__ = ["Difference", "Differences", "differences"]

_SHOWN = 200

# written as text: a date object and the text of the same date, or a number before and after it was cut to 16 characters, are equal
_AS_TEXT = frozenset({"DA", "DS", "DT", "IS", "TM"})


@dataclass(frozen=True, slots=True)
class Difference:
    """One element, or one item of a sequence, that is not the same.

    Parameters
    ----------
    path : str
        Such as ``ReferencedSeriesSequence[0].SeriesInstanceUID``.
    tag, name : str
        Of the element; empty for an item.
    kind : str
        ``added`` (only the second has it), ``removed`` (only the first), ``changed`` or ``vr changed`` (same value).
    left, right : str
        The values as text, bytes as their length and SHA-256, shortened.
    """

    path: str
    tag: str
    name: str
    kind: str
    left: str
    right: str


class Differences(Rows[Difference]):
    """Differences in order of tag; empty (and so false) where there are none."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Difference

    def __repr__(self) -> str:  # values may be a patient's: they are shown on request only
        return f"<Differences: {len(self)}; .table() shows them>"


def differences(a: Dataset, b: Dataset, *, ignore: Iterable[str] = (), meta: bool = False) -> Differences:
    """Return what differs between two datasets.

    Sequences are compared item by item in their order, numbers without tolerance (``1.0`` and ``1.00`` are the same
    number), bytes and pixel data byte by byte.

    Parameters
    ----------
    a, b : pydicom.Dataset
        The first and the second.
    ignore : iterable of str
        Keywords, tags (``00100010``), or paths without indexes (``ReferencedSeriesSequence.SeriesInstanceUID``) that are
        passed over together with everything in them. A keyword is passed over at every depth.
    meta : bool
        Whether the file meta information (group 0002) is compared too.

    Raises
    ------
    InputError
        If one of them is not a dataset.

    Examples
    --------
    >>> a, b = Dataset(), Dataset()
    >>> a.Rows, b.Rows, b.Columns = 512, 256, 256
    >>> [(d.path, d.kind, d.left, d.right) for d in differences(a, b)]
    [('Rows', 'changed', '512', '256'), ('Columns', 'added', '', '256')]
    """
    passed = frozenset([ignore] if isinstance(ignore, str) else ignore)
    rows: list[Difference] = []
    stack = [_steps(_Pair(given.one(a), given.one(b)))]
    if meta:
        stack.append(_steps(_Pair(_meta(a), _meta(b))))
    while stack:  # nesting costs no recursion
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, _Pair):
            stack.append(_steps(step))
        elif passed.isdisjoint({step.bare, path_of("", step.tag), f"{int(step.tag):08X}", f"{int(step.tag):08x}"}):
            found, items = _compared(step)
            rows += found
            stack.append(iter(items))
    return Differences(rows)


def _meta(dataset: Dataset) -> Dataset:
    return getattr(dataset, "file_meta", None) or Dataset()


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two datasets or items that stand at the same place; `bare` is the path without indexes."""

    left: Dataset
    right: Dataset
    path: str = ""
    bare: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    """A tag that one or both of a pair have."""

    pair: _Pair
    tag: BaseTag

    @property
    def bare(self) -> str:
        return path_of(self.pair.bare, self.tag)


def _steps(pair: _Pair) -> Iterator[_Pair | _Step]:
    for tag in sorted({Tag(k) for k in (*pair.left.keys(), *pair.right.keys())}):
        yield _Step(pair, tag)


def _compared(step: _Step) -> tuple[list[Difference], list[_Pair]]:
    """Return the differences of one element, and the pairs of items that are to be compared next."""
    left, right, tag, path = step.pair.left, step.pair.right, step.tag, path_of(step.pair.path, step.tag)
    label = f"({tag.group:04X},{tag.element:04X})"
    if tag not in right or tag not in left:
        kind, owner = ("removed", left) if tag in left else ("added", right)
        _, name, value = element(owner, tag)
        shown = _shown(value)
        return [Difference(path, label, name, kind, *((shown, "") if kind == "removed" else ("", shown)))], []
    left_vr, name, one = element(left, tag)
    right_vr, _, other = element(right, tag)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        pairs = [_Pair(x, y, f"{path}[{i}]", step.bare) for i, (x, y) in enumerate(zip(one, other, strict=False))]
        return [_item(f"{path}[{i}]", "removed", one[i]) for i in range(len(other), len(one))] + [
            _item(f"{path}[{i}]", "added", other[i]) for i in range(len(one), len(other))
        ], pairs
    same = _equal(one, other) or (_AS_TEXT.issuperset({left_vr, right_vr}) and _texts(one) == _texts(other))
    if not same:
        return [Difference(path, label, name, "changed", _shown(one), _shown(other))], []
    same_vr = left_vr == right_vr
    return ([] if same_vr else [Difference(path, label, name, "vr changed", left_vr, right_vr)]), []


def _item(path: str, kind: str, item: Dataset) -> Difference:
    text = f"item with {len(item)} attributes"
    return Difference(path, "", "", kind, *((text, "") if kind == "removed" else ("", text)))


def _equal(one: object, other: object) -> bool:
    if multiple(one) or multiple(other):
        left, right = _listed(one), _listed(other)
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other):
        return True
    if one is None or other is None or one == "" or other == "":
        return one in (None, "", b"") and other in (None, "", b"")
    return bool(one == other)


def _texts(value: object) -> list[str]:
    return [str(part) for part in _listed(value)]


def _listed(value: object) -> list[object]:
    if value is None:
        return []
    return list(value) if multiple(value) else [value]  # type: ignore[call-overload]


def _shown(value: object) -> str:
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value):,} bytes, SHA-256 {hashlib.sha256(value).hexdigest()[:16]}…"
    text = plain(text_of(value))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"

"""A structured report read aloud: each content item with its relationship, its concept, its value and its unit.

Knows: content items of every value type (PS3.3 C.17.3, C.18).
Does not know: templates, or what a measurement is good for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from workbench.entities import html_safe, plain
from workbench.errors import AttributeUnusable
from workbench.files import given
from workbench.inspection._walk import element, multiple, text_of, uid_name

__all__ = ["Content", "ContentItem", "report"]

_LONGEST = 400
_SIMPLE = {
    "TEXT": "TextValue", "DATETIME": "DateTime", "DATE": "Date", "TIME": "Time", "PNAME": "PersonName", "UIDREF": "UID",
}  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class ContentItem:
    """One content item: how deep it stands, how it is related to the item above it, and what it says."""

    depth: int
    relationship: str
    value_type: str
    concept: str
    value: str

    @property
    def label(self) -> str:
        """What stands before the value: the relationship, where it is more than being contained, and the concept."""
        related = f"({self.relationship.lower()}) " if self.relationship not in ("", "CONTAINS") else ""
        concept = self.concept or ("" if self.value else self.value_type)
        return related + concept + (" = " if concept and self.value else "")

    def __str__(self) -> str:
        return "  " * self.depth + self.label + self.value

    def __repr__(self) -> str:  # what a report says does not belong in a log
        return f"<ContentItem {self.value_type} at depth {self.depth}>"


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """The content of a structured report: ``print()`` shows text, a notebook shows HTML.

    Parameters
    ----------
    items : tuple of ContentItem
        Each content item before those below it.
    more : bool
        Whether there are items beyond them.
    """

    items: tuple[ContentItem, ...]
    more: bool = False

    def __str__(self) -> str:
        return "\n".join([*map(str, self.items), *self._rest()])

    def __repr__(self) -> str:
        return f"<Content of {len(self.items)} content items: print() shows it>"

    def _repr_html_(self) -> str:
        lines = [
            f"<div style='padding-left:{1.4 * item.depth:.1f}em'>{html_safe(item.label)}<b>{html_safe(item.value)}</b></div>"
            for item in self.items
        ]
        return "<div style='text-align:left;max-height:36em;overflow:auto'>" + "".join([*lines, *self._rest()]) + "</div>"

    def _rest(self) -> list[str]:
        return [f"… and more than {len(self.items):,} content items: max_items= shows more"] if self.more else []


def report(dataset: Dataset, *, max_items: int = 2000) -> Content:
    """Return what a structured report or a key object selection says, item by item.

    Parameters
    ----------
    dataset : pydicom.Dataset
        An instance with a content tree (PS3.3 C.17.3), of any template.
    max_items : int
        What is beyond them is told, not shown.

    Raises
    ------
    InputError
        If it is not a dataset.
    AttributeUnusable
        If it has no content tree.

    Examples
    --------
    >>> document, name = Dataset(), Dataset()
    >>> name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121071", "DCM", "Finding"
    >>> document.ValueType, document.TextValue, document.ConceptNameCodeSequence = "TEXT", "Clear.", [name]
    >>> print(report(document))
    Finding = Clear.
    """
    if not _text(given.one(dataset, what="a structured report"), "ValueType"):
        raise AttributeUnusable("There is no content tree to read: Value Type (0040,A040) is absent (PS3.3 C.17.3).")
    found = list(islice(_walked(dataset), max_items + 1))
    return Content(tuple(found[:max_items]), len(found) > max_items)


def _walked(dataset: Dataset) -> Iterator[ContentItem]:
    """Yield the items of a content tree without recursion, each before those below it."""
    stack = [(dataset, 0)]
    while stack:
        item, depth = stack.pop()
        kind = plain(_text(item, "ValueType"))
        concept = _concept(item, "ConceptNameCodeSequence")
        yield ContentItem(depth, plain(_text(item, "RelationshipType")), kind, concept, _said(item, kind))
        stack += [(below, depth + 1) for below in reversed(_items(item, "ContentSequence"))]


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = element(dataset, Tag(keyword))[2] if keyword in dataset else None
    return list(value) if isinstance(value, Sequence) else []


def _text(dataset: Dataset, keyword: str) -> str:
    return text_of(element(dataset, Tag(keyword))[2]) if keyword in dataset else ""


def _concept(item: Dataset, keyword: str) -> str:
    """Return the meaning of a code, or the code itself where it has none (PS3.3 8.8)."""
    names = ("CodeMeaning", "CodeValue", "LongCodeValue", "URNCodeValue")
    return ", ".join(plain(next((text for n in names if (text := _text(code, n))), "")) for code in _items(item, keyword))


def _said(item: Dataset, kind: str) -> str:
    """Return the value of a content item in words, on one line."""
    said: dict[str, Callable[[Dataset], str]] = {
        "NUM": _number,
        "CODE": lambda i: _concept(i, "ConceptCodeSequence"),
        "SCOORD": _coordinates,
        "SCOORD3D": _coordinates,
        "TCOORD": lambda i: _text(i, "TemporalRangeType"),
        "IMAGE": _reference,
        "COMPOSITE": _reference,
        "WAVEFORM": _reference,
    }
    if position := _text(item, "ReferencedContentItemIdentifier"):  # a relationship by reference (PS3.3 C.17.3.2.5)
        return "item " + position.replace("\\", ".")
    text = _text(item, _SIMPLE[kind]) if kind in _SIMPLE else said[kind](item) if kind in said else ""
    line = " ".join(plain(text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _number(item: Dataset) -> str:
    values = []
    for value in _items(item, "MeasuredValueSequence"):
        units = [_text(unit, "CodeValue") for unit in _items(value, "MeasurementUnitsCodeSequence")]
        values.append(" ".join([_text(value, "NumericValue"), *(unit for unit in units if unit != "1")]))  # 1 is UCUM for no unit
    qualifier = _concept(item, "NumericValueQualifierCodeSequence")
    return ", ".join([*values, *([qualifier] if qualifier else [])])


def _coordinates(item: Dataset) -> str:
    value = element(item, Tag("GraphicData"))[2] if "GraphicData" in item else None
    numbers = [f"{v:.5g}" if isinstance(v, float) else text_of(v) for v in (value if multiple(value) else ())]  # type: ignore[attr-defined]
    shown = " ".join(numbers[:12]) + (f" … ({len(numbers)} numbers)" if len(numbers) > 12 else "")
    return f"{_text(item, 'GraphicType')} {shown}".strip()


def _reference(item: Dataset) -> str:
    """Return class, UID and frames of what is referred to (PS3.3 Table 10-11)."""
    told = []
    for reference in _items(item, "ReferencedSOPSequence"):
        frames = _text(reference, "ReferencedFrameNumber").replace("\\", ", ")
        told.append(
            f"{uid_name(_text(reference, 'ReferencedSOPClassUID'))} {_text(reference, 'ReferencedSOPInstanceUID')}"
            + (f" frame {frames}" if frames else "")
        )
    return "; ".join(told)

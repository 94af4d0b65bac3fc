"""Every element of a dataset, in order, without recursion and without falling over a bad value.

Knows: pydicom's elements.
Does not know: how they are shown.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom import config
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from workbench.entities import counted

__all__ = ["BULK", "Node", "element", "multiple", "path_of", "text_of", "uid_name", "walk"]

#: value representations whose values are bytes (PS3.5 6.2)
BULK = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW"})


@dataclass(frozen=True, slots=True)
class Node:
    """An element, or an item of a sequence (then `tag` is None), at its depth and path."""

    path: str
    depth: int
    tag: BaseTag | None
    vr: str
    name: str
    value: object
    children: int = 0


def element(dataset: Dataset, tag: BaseTag) -> tuple[str, str, object]:
    """Return VR, name and value; a value that can't be decoded is returned as its bytes."""
    known: object = dataset.get_item(tag)
    if isinstance(known, DataElement):
        return str(known.VR), _named(tag, known.name), known.value
    with warnings.catch_warnings(), config.disable_value_validation():  # pydicom's warnings and log lines quote values
        warnings.simplefilter("ignore")
        try:
            found = dataset[tag]
            return str(found.VR), _named(tag, found.name), found.value
        except Exception:  # noqa: BLE001 - whatever a bad value raises, its bytes can still be shown
            raw: object = dataset.get_item(tag)
            if isinstance(raw, RawDataElement):
                return raw.VR or "UN", _name(tag), raw.value or b""
            return "UN", _name(tag), b""


def _named(tag: BaseTag, name: str) -> str:
    """Return `name`, or what PS3.5 7.2 and 7.8 call elements that no dictionary can name: group lengths, private creators."""
    if not tag.is_private:
        return name
    return "Group Length" if tag.element == 0 else "Private Creator" if tag.is_private_creator else name


def _name(tag: BaseTag) -> str:
    try:
        return _named(tag, DataElement(tag, "UN", b"").name)
    except Exception:  # noqa: BLE001 - a name is only a help
        return ""


def path_of(parent: str, tag: BaseTag) -> str:
    """Return the path of an element: its keyword, or ``(gggg,eeee)`` where it has none."""
    name = keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"
    return f"{parent}.{name}" if parent else name


def walk(dataset: Dataset, *, max_depth: int = 64) -> Iterator[Node]:
    """Yield elements in order of tag, sequences before their items and items before their elements.

    Sequences at `max_depth` are yielded, their items are not.
    """
    stack: list[Iterator[Node | tuple[Dataset, str, int]]] = [_elements(dataset, "", 0)]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, Node):
            yield step
            if isinstance(step.value, Sequence) and step.depth < max_depth:
                stack.append(_items(step))
        else:
            stack.append(_elements(*step))


def _elements(dataset: Dataset, parent: str, depth: int) -> Iterator[Node | tuple[Dataset, str, int]]:
    for key in sorted(dataset.keys()):
        tag = Tag(key)
        vr, name, value = element(dataset, tag)
        count = len(value) if isinstance(value, Sequence) else 0
        yield Node(path_of(parent, tag), depth, tag, vr, name, value, count)


def _items(sequence: Node) -> Iterator[Node | tuple[Dataset, str, int]]:
    if isinstance(sequence.value, Sequence):
        for index, item in enumerate(sequence.value):
            path = f"{sequence.path}[{index}]"
            yield Node(path, sequence.depth + 1, None, "", f"item {index + 1}", "", len(item))
            yield item, path, sequence.depth + 2


def multiple(value: object) -> bool:
    """Whether a value has several values."""
    return isinstance(value, (MultiValue, list, tuple)) and not isinstance(value, Sequence)


def text_of(value: object) -> str:
    r"""Return a value as one line of text: values joined by a backslash, bytes counted, sequences counted."""
    if value is None:
        return ""
    if isinstance(value, Sequence):
        return counted(len(value), "item")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value):,} bytes"
    if isinstance(value, (MultiValue, list, tuple)):
        return "\\".join(text_of(v) for v in value)
    if isinstance(value, BaseTag):
        return f"({value.group:04X},{value.element:04X})"
    return str(value)


def uid_name(uid: str) -> str:
    """Return the registered name of a UID, or the UID; a malformed one is nobody's concern here."""
    return UID(uid, validation_mode=config.IGNORE).name

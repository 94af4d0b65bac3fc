"""Every element of a dataset with its path, walked without recursion.

Knows: sequences, raw elements, specific character sets that items replace.
Does not know: what is wrong with any of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import BaseTag

__all__ = ["Place", "places"]


@dataclass(frozen=True, slots=True)
class Place:
    """An element and where it is.

    Parameters
    ----------
    path : str
        Such as ``ContentSequence[0].TextValue``.
    tag : BaseTag
        Group and element.
    representation : str
        Value representation; ``UN`` where it is not known.
    element : DataElement or RawDataElement
        Raw where nobody has asked for its value yet.
    character_sets : tuple of str
        Specific Character Set (0008,0005) in force here, as written.
    """

    path: str
    tag: BaseTag
    representation: str
    element: DataElement | RawDataElement
    character_sets: tuple[str, ...]


def places(dataset: Dataset, *, parent: str = "", character_sets: tuple[str, ...] = ()) -> Iterator[Place]:
    """Yield every element but sequences, in order of tags, then the items of the sequences."""
    stack: list[tuple[Dataset, str, tuple[str, ...]]] = [(dataset, parent, character_sets)]
    while stack:
        current, prefix, inherited = stack.pop()
        declared = _character_sets(current) if "SpecificCharacterSet" in current else inherited
        deeper: list[tuple[Dataset, str, tuple[str, ...]]] = []
        for tag in sorted(current.keys()):
            element = current.get_item(tag)
            assert element is not None
            name = keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"
            representation = element.VR or _known(tag)
            if representation == "SQ":
                items: Any = current[tag].value or ()
                deeper += [(item, f"{prefix}{name}[{i}].", declared) for i, item in enumerate(items)]
            else:
                yield Place(prefix + name, tag, representation, element, declared)
        stack += reversed(deeper)


def _known(tag: BaseTag) -> str:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


def _character_sets(dataset: Dataset) -> tuple[str, ...]:
    value = dataset.SpecificCharacterSet
    values = [value] if isinstance(value, str) else list(value or ())
    return tuple(str(v) for v in values)

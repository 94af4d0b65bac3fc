"""Worklist items encoded for answers: each element once, however often it is asked for.

Knows: which keys of a sequence were asked for, how an answer is put together.
Does not know: which items match.
"""

import struct
from collections.abc import Iterator
from typing import Any

from pydicom.charset import python_encoding
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from workbench.files import character_sets

__all__ = ["ItemEncoder", "Remembered"]

_CHARACTER_SET = 0x00080005
_UNICODE = "ISO_IR 192"

#: Encoded elements by item, syntax and place.
Remembered = dict[tuple[int, str, int], bytes]


class ItemEncoder:
    """Encodes what an identifier asks for.

    Parameters
    ----------
    identifier : Dataset
        The keys.
    syntax : str
        Transfer syntax.
    remembered : dict
        What was encoded before; the caller empties it when an item changes.
    """

    def __init__(self, identifier: Dataset, *, syntax: str, remembered: Remembered) -> None:
        self._plan, self._remembered = _plan(identifier), remembered
        self._syntax = UID(syntax)
        self._is_implicit, self._order = self._syntax.is_implicit_VR, "<" if self._syntax.is_little_endian else ">"
        self._encoding = python_encoding[_UNICODE]

    def __call__(self, item: Dataset) -> bytes:
        """Return an item encoded, with Specific Character Set where it has other than ASCII characters: its own, or ISO_IR 192."""
        term = self._term(item)
        self._encoding = python_encoding[term]
        body = self._picked(item, self._plan)
        if body.isascii() or character_sets.is_ascii(item):
            return body
        term += " " * (len(term) % 2)
        return self._header(_CHARACTER_SET, "CS", len(term)) + term.encode() + body

    def _picked(self, item: Dataset, plan: list[tuple[int, str, Any]]) -> bytes:
        return b"".join(self._element(item, tag, vr, inner) for tag, vr, inner in plan)

    def _element(self, item: Dataset, tag: int, vr: str, inner: Any) -> bytes:
        if tag not in item:
            return self._header(tag, vr, 0)
        if inner:
            parts = [self._picked(part, inner) for part in item[tag].value]
            content = b"".join(struct.pack(f"{self._order}HHL", 0xFFFE, 0xE000, len(part)) + part for part in parts)
            return self._header(tag, vr, len(content)) + content
        place = (id(item), self._syntax, tag)
        if (found := self._remembered.get(place)) is None:
            single = Dataset()
            single.add(item[tag])
            found = self._remembered[place] = self._encoded(single)
        return found

    def _term(self, item: Dataset) -> str:
        place = (id(item), self._syntax, _CHARACTER_SET)
        if (found := self._remembered.get(place)) is None:
            found = self._remembered[place] = (_own_term(item) or _UNICODE).encode()
        return found.decode()

    def _encoded(self, dataset: Dataset) -> bytes:
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = self._is_implicit, self._syntax.is_little_endian
        write_dataset(buffer, dataset, parent_encoding=self._encoding)
        return buffer.getvalue()

    def _header(self, tag: int, vr: str, size: int) -> bytes:
        head = struct.pack(f"{self._order}HH", tag >> 16, tag & 0xFFFF)
        if self._is_implicit:
            return head + struct.pack(f"{self._order}L", size)
        if vr in {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}:
            return head + vr.encode() + struct.pack(f"{self._order}HL", 0, size)
        return head + vr.encode() + struct.pack(f"{self._order}H", size)


def _plan(keys: Dataset) -> list[tuple[int, str, Any]]:
    """Return tag, VR and, of a sequence of which some keys are asked for, those."""
    return [
        (int(key.tag), key.VR, _plan(key.value[0]) if key.VR == "SQ" and key.value and len(key.value[0]) else None)
        for key in keys
        if key.tag != _CHARACTER_SET and key.tag.element
    ]


def _own_term(item: Dataset) -> str | None:
    """Return an item's own character set where that is one, without code extensions, and has all of its characters."""
    term = item.get("SpecificCharacterSet")
    if not isinstance(term, str) or term not in python_encoding:
        return None
    try:
        "".join(_texts(item)).encode(python_encoding[term])
    except UnicodeEncodeError:
        return None
    return term


def _texts(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _texts(item)
        else:
            yield str(element.value)

"""Answers to queries, encoded straight from rows of the index.

Knows: the encoding of elements (PS3.5 7.1) in little endian, with and without value representations.
Does not know: what a row means, or who asked.
"""

import contextlib
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

__all__ = ["RowEncoder", "encoded_dataset"]

_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_LONG = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_SHORT_LIMIT_BYTES = 65_534
_CHARACTER_SET, _UNICODE = 0x00080005, b"ISO_IR 192"


def encoded_dataset(dataset: Dataset, *, is_implicit: bool) -> bytes:
    """Return a dataset in little endian."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = is_implicit, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def _numbers(text: str, vr: str) -> bytes:
    code = _NUMBERS[vr]
    convert = float if vr in {"FL", "FD"} else int
    with contextlib.suppress(ValueError, struct.error):
        values = [convert(part) for part in text.split("\\")]
        return struct.pack(f"<{len(values)}{code}", *values)
    return b""


def _is_numeric(text: str) -> bool:
    try:
        return all(part == "" or float(part) is not None for part in text.split("\\"))
    except ValueError:
        return False


class RowEncoder:
    """Encodes rows: a sequence of values for the columns, and others that are the same in each.

    Parameters
    ----------
    columns : sequence of tag and VR
        What the first values of a row are; any beyond are ignored.
    fixed : mapping of keyword to text
        The same in every answer; empty for a value that is none.
    is_implicit : bool
        Whether without value representations.

    Examples
    --------
    >>> RowEncoder([(0x00100020, "LO")], {}, is_implicit=True)(("A1",)).hex(" ")
    '10 00 20 00 02 00 00 00 41 31'
    """

    def __init__(self, columns: Sequence[tuple[int, str]], fixed: Mapping[str, str], *, is_implicit: bool) -> None:
        self._is_implicit = is_implicit
        parts: list[tuple[int, int, Callable[[Any], bytes] | bytes]] = [
            (tag, place, self._column(tag, vr)) for place, (tag, vr) in enumerate(columns)
        ]
        for keyword, text in fixed.items():
            tag = tag_for_keyword(keyword) or 0
            parts.append((tag, -1, self._column(tag, dictionary_VR(tag).split(" ")[0])(text)))
        parts = sorted({tag: (tag, place, part) for tag, place, part in parts}.values(), key=lambda part: part[0])
        self._before = [(place, part) for tag, place, part in parts if tag < _CHARACTER_SET]
        self._after = [(place, part) for tag, place, part in parts if tag > _CHARACTER_SET]
        self._character_set = self._column(_CHARACTER_SET, "CS")(_UNICODE.decode())
        self._texts = [place for place, (_, vr) in enumerate(columns) if vr in _TEXT]

    def __call__(self, row: Sequence[Any]) -> bytes:
        """Return a row encoded."""
        found = [part if isinstance(part, bytes) else part(row[place]) for place, part in self._before]
        if not all(str(row[place] or "").isascii() for place in self._texts):
            found.append(self._character_set)
        found += [part if isinstance(part, bytes) else part(row[place]) for place, part in self._after]
        return b"".join(found)

    def _column(self, tag: int, vr: str) -> Callable[[Any], bytes]:
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if self._is_implicit:
            heads = struct.Struct("<L")
        elif vr in _LONG:
            head, heads = head + vr.encode() + b"\0\0", struct.Struct("<L")
        else:
            head, heads = head + vr.encode(), struct.Struct("<H")
        empty = head + heads.pack(0)
        is_short = heads.size == struct.calcsize("<H")
        padding = b"\0" if vr == "UI" else b" "
        encoding = "utf-8" if vr in _TEXT else "latin-1"

        def encode(value: Any) -> bytes:
            if value is None or value == "":
                return empty
            text = str(value)
            if vr in _NUMBERS:
                raw = _numbers(text, vr)
            elif vr in {"IS", "DS"} and not _is_numeric(text):  # told as empty, its file has it still
                raw = b""
            else:
                raw = text.encode(encoding, "replace")
                raw += padding * (len(raw) % 2)
            if is_short and len(raw) > _SHORT_LIMIT_BYTES:
                raw = b""
            return head + heads.pack(len(raw)) + raw

        return encode

"""A quick look whether an encoded dataset is whole, before it is sent as it is.

Knows: element headers (PS3.5 7.1); what is not plain is left to the full walk of `files`.
Does not know: values, but for the two UIDs that a C-STORE names.
"""

import io
import struct
import zlib
from dataclasses import dataclass

from workbench.errors import DatasetIncomplete
from workbench.files.encoding import encoding_of, open_source
from workbench.files.inflating import inflated
from workbench.files.walker import Ending, walk

__all__ = ["Glance", "glance"]

_HEAD_BYTES = 65_536
_LONG = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"))


@dataclass(frozen=True, slots=True)
class Glance:
    """The UIDs that the dataset itself has (empty where not found), and how many bytes its elements take."""

    sop_class_uid: str
    sop_instance_uid: str
    size: int


def glance(source: bytes | io.FileIO, offset: int, size: int, transfer_syntax_uid: str) -> Glance:
    """Return what a look at the dataset of `size` bytes at `offset` shows.

    Raises
    ------
    DatasetIncomplete
        If it is empty or ends within an element.
    """
    if not size:
        raise DatasetIncomplete("There is no dataset after the file meta information (PS3.10 7.2).")
    encoding = encoding_of(transfer_syntax_uid)
    head = _piece(source, offset, offset + size)
    if encoding.is_deflated:
        return _deflated(source, offset, size)
    if encoding.is_little_endian:
        uids = _plain(head, size, is_explicit=encoding.is_explicit)
        if uids is not None:
            return Glance(*uids, size)
    return _walked(source, offset, size, transfer_syntax_uid)


def _plain(head: bytes, size: int, *, is_explicit: bool) -> tuple[str, str] | None:
    """Return the UIDs if every element has a length and the last one ends where the dataset does; otherwise None."""
    found, position, end = {}, 0, len(head)
    explicit, implicit = struct.Struct("<HH2sH"), struct.Struct("<HHL")
    while position + 12 <= end:
        if is_explicit:
            group, number, representation, length = explicit.unpack_from(head, position)
            start = position + 8
            if representation in _LONG:
                length = int.from_bytes(head[start : start + 4], "little")
                start += 4
            elif not representation.isalpha():
                return None
        else:
            group, number, length = implicit.unpack_from(head, position)
            start = position + 8
        if length == 0xFFFFFFFF:
            return None
        position = start + length
        if group == 8 and (number in (0x16, 0x18)):
            found[number] = head[start:position].rstrip(b"\0 ").decode("ascii", "replace")
    return (found.get(0x16, ""), found.get(0x18, "")) if position == size else None


def _walked(source: bytes | io.FileIO, offset: int, size: int, transfer_syntax_uid: str) -> Glance:
    structure = walk(open_source(source), offset, encoding_of(transfer_syntax_uid))
    if structure.ending in {Ending.CUT, Ending.BROKEN}:
        raise DatasetIncomplete(
            f"The dataset {'ends too early' if structure.ending is Ending.CUT else 'is malformed'}, {structure.where}: "
            f"after {structure.end - offset} good bytes of {size} (PS3.5 7.1). Nothing was sent of it."
        )
    found = {element.tag: element.value.rstrip(b"\0 ").decode("ascii", "replace") for element in structure.top[:20]}
    return Glance(found.get(0x00080016, ""), found.get(0x00080018, ""), structure.end - offset)


def _deflated(source: bytes | io.FileIO, offset: int, size: int) -> Glance:
    """Inflate piece by piece, keeping only the beginning."""
    end, head = offset + size, b""
    try:
        for piece in inflated(_piece(source, position, end) for position in range(offset, end, _HEAD_BYTES)):
            head = head or piece[:_HEAD_BYTES]
    except DatasetIncomplete:
        raise DatasetIncomplete(
            f"The deflated dataset ends too early, after {size} bytes (PS3.5 A.5). Nothing was sent of it."
        ) from None
    except zlib.error:
        raise DatasetIncomplete("The dataset can't be inflated (PS3.5 A.5). Nothing was sent of it.") from None
    found = walk(open_source(head), 0, encoding_of("1.2.840.10008.1.2.1")).top[:20]
    values = {element.tag: element.value.rstrip(b"\0 ").decode("ascii", "replace") for element in found}
    return Glance(values.get(0x00080016, ""), values.get(0x00080018, ""), size)


def _piece(source: bytes | io.FileIO, position: int, end: int) -> bytes:
    """Return what stands from `position` on, up to `end`."""
    count = min(_HEAD_BYTES, end - position)
    if isinstance(source, bytes):
        return source[position : position + count]
    source.seek(position)
    return source.read(count) or b""

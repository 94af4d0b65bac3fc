"""How datasets are encoded: byte order, value representations, compression (PS3.5 7 and A).

Knows: transfer syntaxes by UID, and how to guess when none is named.
Does not know: files, elements.
"""

import io
import os
import struct
from dataclasses import dataclass
from typing import BinaryIO, Protocol

__all__ = ["Encoding", "Source", "encoding_of", "guess_encoding", "open_source", "what_it_looks_like"]

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
#: Deflated Explicit VR Little Endian; the deflated JPIP syntaxes are encoded alike (PS3.5 A.5, A.6, A.7)
DEFLATED = frozenset(("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"))

_REPRESENTATIONS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the elements of a dataset are written."""

    is_explicit: bool
    is_little_endian: bool
    is_deflated: bool
    transfer_syntax_uid: str


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return the encoding of a transfer syntax; what is not known is Explicit VR Little Endian (PS3.5 A.4)."""
    return Encoding(
        is_explicit=transfer_syntax_uid != IMPLICIT_LITTLE,
        is_little_endian=transfer_syntax_uid != EXPLICIT_BIG,
        is_deflated=transfer_syntax_uid in DEFLATED,
        transfer_syntax_uid=transfer_syntax_uid,
    )


def guess_encoding(first: bytes) -> Encoding | None:
    """Return the encoding that the first eight bytes of a dataset show, or None if they begin no dataset.

    A dataset begins with a group from 0008 on (0004 in a DICOMDIR) and an element of plausible length.
    """
    if len(first) < 8:
        return None
    is_explicit = first[4:6] in _REPRESENTATIONS
    for order, uid in (("<", EXPLICIT_LITTLE if is_explicit else IMPLICIT_LITTLE), (">", EXPLICIT_BIG)):
        group, _ = struct.unpack(f"{order}HH", first[:4])
        (length,) = struct.unpack(f"{order}I", first[4:8])
        if group in (4, 8) and (is_explicit or (order == "<" and length <= 0xFFFF)):
            return encoding_of(uid)
    return None


_LOOKS = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"\x5c\x01\x00\x00", "a NIfTI volume"),
    (b"{", "JSON, perhaps the DICOM JSON Model of PS3.18 F"),
    (b"<", "XML or HTML"),
)


def what_it_looks_like(head: bytes) -> str:
    """Return why `head` is taken for something else than DICOM, in words."""
    if not head:
        return "it is empty"
    if not any(head):
        return "it holds only zeros"
    lacking = "no 'DICM' prefix at byte 128 and no dataset at byte 0"
    looks = next((name for magic, name in _LOOKS if head.startswith(magic)), "")
    return f"{lacking}; it looks like {looks}" if looks else lacking


class Source(Protocol):
    """Bytes that are read in place."""

    size: int

    def at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`."""


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def at(self, offset: int, count: int) -> bytes:
        return self._data[offset : offset + count]


class _File:
    """A file through one block that moves along: values between are skipped, not read."""

    _block_bytes = 1 << 16

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self.size = descriptor, os.fstat(descriptor).st_size
        self._start, self._block = 0, b""

    def at(self, offset: int, count: int) -> bytes:
        begin = offset - self._start
        if begin < 0 or begin + count > len(self._block):
            self._start = offset
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            self._block = os.read(self._descriptor, max(count, self._block_bytes))
            begin = 0
        return self._block[begin : begin + count]


def open_source(source: bytes | BinaryIO) -> Source:
    """Return `source` for reading in place; a stream without a file beneath is read whole."""
    if isinstance(source, bytes | bytearray | memoryview):
        return _Bytes(bytes(source))
    try:
        return _File(source.fileno())
    except (OSError, AttributeError, io.UnsupportedOperation):
        source.seek(0)
        return _Bytes(source.read())

"""What the index needs from an encoded dataset, read without building one.

Knows: the encodings of PS3.5 (7.1, 7.5, A.4) well enough to walk over every element to the end.
Does not know: what most elements mean, or where the bytes came from.
"""

import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian

from workbench.archive._attributes import BY_KEYWORD, BY_TAG
from workbench.archive._text import CHARACTER_SET, decoded, encodings_of
from workbench.errors import DatasetIncomplete, FileError, LimitExceeded, NotDicom
from workbench.files.inflating import inflated

__all__ = ["INFLATED_LIMIT_BYTES", "Beginning", "Header", "NotWalkable", "read_header", "read_some"]

#: A deflated dataset may not grow beyond this (PS3.5 A.5).
INFLATED_LIMIT_BYTES = 1 << 30
#: So much of it is walked through; what is longer is only inflated to its end.
_INFLATED_KEPT_BYTES = 64 << 20
_PIECE_BYTES = 1 << 16
_DEPTH_LIMIT = 64
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END, _PIXEL_DATA = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD, 0x7FE00010
_SHORT = frozenset((b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS",
                    b"ST", b"TM", b"UI", b"UL", b"US"))  # fmt: skip
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_VALUE_LIMIT_BYTES = 65_536  # a longer text is not a key
_STRUCTS = tuple((struct.Struct(order + "HH2sH"), struct.Struct(order + "I"), struct.Struct(order + "HHI")) for order in "<>")
_IMPLICIT, _BIG = str(ImplicitVRLittleEndian), str(ExplicitVRBigEndian)
_NUMBERS = frozenset(tag for tag, attribute in BY_TAG.items() if attribute.vr in {"US", "SS", "UL", "SL", "FL", "FD"})

Buffer = bytes | bytearray | memoryview


class NotWalkable(Exception):
    """The bytes do not follow the transfer syntax: a more patient reader has to decide."""


@dataclass(frozen=True, slots=True)
class Header:
    """What was read.

    Parameters
    ----------
    values : mapping
        Text by keyword, decoded, without padding; several values are separated by a backslash. An attribute
        that is absent is absent here, an empty one is an empty text.
    """

    values: Mapping[str, str]


class Beginning:
    """The elements that stand in the first bytes of a dataset; mostly that is all but the end of the pixels.

    Parameters
    ----------
    head : bytes-like
        The first bytes; they may be overwritten afterwards.
    transfer_syntax_uid : str
        How the dataset is encoded.
    """

    __slots__ = ("end", "found", "order", "position")

    def __init__(self, head: Buffer, transfer_syntax_uid: str) -> None:
        self.position, self.end = 0, -1
        self.found: dict[int, bytes] = {}
        if _is_deflated(transfer_syntax_uid):
            return
        walk = _walk_over(head, transfer_syntax_uid)
        self.order = "<>"[walk.big]
        try:
            walk.dataset()
        except (NotWalkable, FileError, struct.error, IndexError):
            pass  # the walk over all of it will tell
        else:
            walk.position = walk.end
        self.position, self.end, self.found = walk.position, walk.beyond, walk.found

    def header(self, size_bytes: int) -> Header | None:
        """Return the header of a dataset of `size_bytes`, or None where that needs a walk to its end."""
        return Header(_texts(self.found, self.order)) if self.end == size_bytes else None


def read_header(dataset: Buffer, transfer_syntax_uid: str, *, beginning: Beginning | None = None) -> Header:
    """Return the indexed attributes of an encoded dataset, after walking over all of it.

    Parameters
    ----------
    dataset : bytes-like
        The whole dataset (a memory map will do), without file meta information.
    transfer_syntax_uid : str
        How it is encoded; any syntax that is not known is taken for Explicit VR Little Endian, as all encapsulated ones are.
    beginning : Beginning, optional
        What was already walked over.

    Raises
    ------
    DatasetIncomplete
        If an element says that it is longer than what is left, or a delimiter is missing. A dataset that is cut
        exactly between two elements of its top level is complete by its structure.
    LimitExceeded
        If sequences of undefined length are nested more than 64 deep, or a deflated dataset inflates beyond 1 GiB.
    NotWalkable
        If the bytes do not look like that transfer syntax.
    """
    partial = False
    if _is_deflated(transfer_syntax_uid):
        dataset, partial = _inflated(dataset)
    walk = _walk_over(dataset, transfer_syntax_uid)
    if beginning is not None:
        walk.position, walk.found = beginning.position, beginning.found
    try:
        walk.dataset()
    except DatasetIncomplete:
        if not partial:
            raise
    except (struct.error, IndexError):
        raise DatasetIncomplete(_TOO_SHORT) from None
    return Header(_texts(walk.found, "<>"[walk.big]))


def read_some(head: Buffer, transfer_syntax_uid: str, tags: Collection[int]) -> dict[int, bytes] | None:
    """Return some attributes of the top level that are no sequences, as they are encoded, from the beginning of a dataset.

    Returns
    -------
    dict or None
        What is there; None where the beginning is too short to tell, or a more patient reader is wanted.
    """
    if _is_deflated(transfer_syntax_uid):
        return None
    walk = _walk_over(head, transfer_syntax_uid)
    try:
        return walk.found if walk.some(tags) else None
    except (NotWalkable, FileError, struct.error, IndexError):
        return None


_TOO_SHORT = "The dataset ends in the middle of an element (PS3.5 7.1): it is incomplete. Send it again."


@lru_cache(maxsize=256)
def _is_deflated(transfer_syntax_uid: str) -> bool:
    uid = UID(transfer_syntax_uid)
    return uid.is_transfer_syntax and not uid.is_private and uid.is_deflated


def _inflated(dataset: Buffer) -> tuple[bytes, bool]:
    """Inflate to the end of the stream; return the first part of it and whether there was more."""
    # copies, so that a memory map can be closed whatever happens
    pieces = (bytes(dataset[start : start + _PIECE_BYTES]) for start in range(0, len(dataset), _PIECE_BYTES))
    kept, total = bytearray(), 0
    try:
        for piece in inflated(pieces, limit_bytes=INFLATED_LIMIT_BYTES):
            total += len(piece)
            if len(kept) < _INFLATED_KEPT_BYTES:
                kept += piece
    except zlib.error:
        raise NotDicom("The dataset is not a deflate stream, though its transfer syntax says so (PS3.5 A.5).") from None
    return bytes(kept), total > len(kept)


def _walk_over(buffer: Buffer, transfer_syntax_uid: str) -> "_Walk":
    return _Walk(buffer, implicit=transfer_syntax_uid == _IMPLICIT, big=transfer_syntax_uid == _BIG)


class _Walk:
    """One way through the elements of a dataset.

    `position` is where the element begins that could not be walked over, and `beyond` where it would end.
    """

    __slots__ = ("beyond", "big", "buffer", "end", "explicit", "found", "implicit", "long", "position", "size")

    def __init__(self, buffer: Buffer, *, implicit: bool, big: bool) -> None:
        self.buffer, self.end, self.implicit, self.big = buffer, len(buffer), implicit, big
        self.explicit, self.long, self.size = _STRUCTS[big]
        self.position, self.beyond = 0, -1
        self.found: dict[int, bytes] = {}

    def some(self, wanted: Collection[int]) -> bool:
        """Walk no further than the last that is wanted; False where the buffer ends before that."""
        position, last = 0, max(wanted)
        while position < self.end:
            start = position
            tag, vr, length, position = self._element(position)
            if tag > last:
                return True
            if length == _UNDEFINED:
                position = self._undefined(tag, vr, position, 1)
            elif length > self.end - position:
                return False
            else:
                if tag in wanted:
                    self.found[tag] = bytes(self.buffer[position : position + length])
                position += length
            if position <= start:
                return False
        return False

    def dataset(self) -> None:
        """Walk over the top level; keep the elements that are wanted."""
        position, buffer, found, end = self.position, self.buffer, self.found, self.end
        unpack, is_plain = self.explicit.unpack_from, not self.implicit
        while position < end:
            self.position = position
            if is_plain and end - position >= 8:
                group, element, vr, length = unpack(buffer, position)
                if vr in _SHORT:
                    tag = group << 16 | element
                    position += 8
                else:
                    tag, vr, length, position = self._element(position)
            else:
                tag, vr, length, position = self._element(position)
            if length == _UNDEFINED:
                position = self._undefined(tag, vr, position, 1)
                continue
            if length > end - position:
                self.beyond = -1 if tag in BY_TAG or tag == CHARACTER_SET else position + length
                raise DatasetIncomplete(_TOO_SHORT)
            if (tag in BY_TAG or tag == CHARACTER_SET) and length <= _VALUE_LIMIT_BYTES and tag not in found:
                found[tag] = bytes(buffer[position : position + length])
            position += length

    def _element(self, position: int) -> tuple[int, bytes, int, int]:
        """Return tag, VR, length and where the value begins."""
        if self.implicit:
            group, element, length = self.size.unpack_from(self.buffer, position)
            return group << 16 | element, b"", length, position + 8
        group, element, vr, length = self.explicit.unpack_from(self.buffer, position)
        if vr in _SHORT:
            return group << 16 | element, vr, length, position + 8
        if vr in _LONG:
            return group << 16 | element, vr, self.long.unpack_from(self.buffer, position + 8)[0], position + 12
        if group == 0xFFFE:
            return group << 16 | element, b"", self.long.unpack_from(self.buffer, position + 4)[0], position + 8
        raise NotWalkable

    def _undefined(self, tag: int, vr: bytes, position: int, depth: int) -> int:
        """Return where a value of undefined length ends: fragments, or items (PS3.5 7.5, A.4)."""
        if depth > _DEPTH_LIMIT:
            raise LimitExceeded(f"Sequences are nested more than {_DEPTH_LIMIT} deep: the dataset is refused.")
        if vr not in {b"SQ", b"UN", b""} and not (tag == _PIXEL_DATA or vr in {b"OB", b"OW"}):
            raise NotWalkable
        was_implicit = self.implicit
        self.implicit = was_implicit or vr == b"UN"  # PS3.5 6.2.2: a sequence of unknown VR is Implicit VR
        try:
            return self._items(position, depth)
        finally:
            self.implicit = was_implicit

    def _items(self, position: int, depth: int) -> int:
        while True:
            group, element, length = self.size.unpack_from(self.buffer, position)
            tag = group << 16 | element
            position += 8
            if tag == _SEQUENCE_END:
                return position
            if tag != _ITEM:
                raise NotWalkable
            if length != _UNDEFINED:
                position += length
                if position > self.end:
                    raise DatasetIncomplete(_TOO_SHORT)
                continue
            position = self._item(position, depth)

    def _item(self, position: int, depth: int) -> int:
        while True:
            tag, vr, length, position = self._element(position)
            if tag == _ITEM_END:
                return position
            if length == _UNDEFINED:
                position = self._undefined(tag, vr, position, depth + 1)
            else:
                position += length
            if position > self.end:
                raise DatasetIncomplete(_TOO_SHORT)


def _texts(found: dict[int, bytes], order: str) -> Mapping[str, str]:
    """Return what was found as text by keyword; plain ASCII is decoded as it is asked for, most of it never."""
    encodings = encodings_of(found.get(CHARACTER_SET, b""))
    texts = _Texts(found, order, encodings)
    raw = b"".join([value for tag, value in found.items() if tag not in _NUMBERS])
    return texts if raw.isascii() and b"\x1b" not in raw else dict(texts)


class _Texts(Mapping[str, str]):
    """Encoded values as text by keyword. A number that is none is no key; its bytes are kept in the file all the same."""

    __slots__ = ("_encodings", "_found", "_order")

    def __init__(self, found: Mapping[int, bytes], order: str, encodings: tuple[str, ...]) -> None:
        self._found, self._order, self._encodings = found, order, encodings

    def __getitem__(self, keyword: str) -> str:
        attribute = BY_KEYWORD[keyword]
        try:
            return decoded(self._found[attribute.tag], attribute.vr, self._encodings, self._order)
        except ValueError:
            raise KeyError(keyword) from None

    def __iter__(self) -> Iterator[str]:
        return (BY_TAG[tag].keyword for tag in self._found if tag in BY_TAG and BY_TAG[tag].keyword in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

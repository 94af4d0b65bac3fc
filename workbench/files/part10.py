"""Where the dataset begins in a file of PS3.10, found without reading the dataset.

Knows: the preamble and the file meta information (PS3.10 7.1).
Does not know: what stands in the dataset, unless there is no file meta information.
"""

import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import UID

from workbench.entities import ae_title_checked, uid_checked
from workbench.errors import DatasetIncomplete, NotDicom
from workbench.files.encoding import guess_encoding, open_source, what_it_looks_like
from workbench.files.walker import walk

__all__ = ["IMPLEMENTATION_CLASS_UID", "IMPLEMENTATION_VERSION_NAME", "Part10", "meta_bytes"]

#: UUID-derived (PS3.5 B.2): names this library as the writer of a file.
IMPLEMENTATION_CLASS_UID = UID("2.25.262282594698013515716057628452232411722")
IMPLEMENTATION_VERSION_NAME = "WORKBENCH_01"

_PEEK_BYTES = 1024
_META_LIMIT_BYTES = 4 << 20
_LONG = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"))


@dataclass(frozen=True, slots=True)
class Part10:
    """What the file meta information says, and where the dataset stands.

    Parameters
    ----------
    path : Path or None
        The file, or None where bytes were given.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : str
        As written there; empty where missing. Not yet checked: a UID may be malformed.
    dataset_offset, dataset_bytes : int
        First byte of the encoded dataset and how many follow to the end.
    """

    path: Path | None
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int
    dataset_bytes: int

    @classmethod
    def locate(cls, source: Path | str | bytes) -> "Part10":
        """Return where the dataset of a file or byte string begins; only the file meta information is read.

        Raises
        ------
        NotDicom
            If there is neither a file meta information nor a dataset.
        DatasetIncomplete
            If it ends within the file meta information.
        """
        if isinstance(source, bytes | bytearray | memoryview):
            return _located(bytes(source[:_PEEK_BYTES]), io.BytesIO(source), len(source), None)
        path = Path(source)
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            return _located(file.read(_PEEK_BYTES), file, size, path)


def _located(head: bytes, file: io.BytesIO | io.FileIO, size: int, path: Path | None) -> Part10:
    start = meta_start(head)
    if start < 0:
        return _without_meta(head, file, size, path)
    values, end = parse_meta(head, start, is_all=len(head) >= size)
    while end < 0:  # the information is longer than what was read
        if len(head) >= min(size, _META_LIMIT_BYTES):
            raise DatasetIncomplete(f"{_name(path)} ends within its file meta information (PS3.10 7.1), after {size} bytes.")
        file.seek(0)
        head = file.read(len(head) * 8)
        values, end = parse_meta(head, start, is_all=len(head) >= size)
    return Part10(path, _uid(values, 2), _uid(values, 3), _uid(values, 16), dataset_offset=end, dataset_bytes=size - end)


def is_prefixed(head: bytes) -> bool:
    """Whether `head` begins with a preamble and the prefix 'DICM', which a bare dataset may have at byte 128 by chance."""
    return head[128:132] == b"DICM" and (head[132:134] == b"\x02\x00" or guess_encoding(head[:8]) is None)


def meta_start(head: bytes) -> int:
    """Return where group 2 begins: after the prefix, or at byte 0 where the preamble is missing; -1 if nowhere."""
    if is_prefixed(head):
        return 132 if head[132:134] == b"\x02\x00" or len(head) == 132 else -1
    return 0 if head[0:2] == b"\x02\x00" and head[3:4] == b"\x00" else -1


def parse_meta(head: bytes, offset: int, *, is_all: bool) -> tuple[dict[int, bytes], int]:
    """Return the values of group 2 by element number and where the dataset begins, or -1 if `head` is too short.

    `is_all` says that nothing follows `head`.
    Elements without a value representation are read as Implicit VR, which some old writers used here.
    """
    values: dict[int, bytes] = {}
    size = len(head)
    while size - offset >= 8:
        group, element, representation = struct.unpack_from("<HH2s", head, offset)
        if group != 2:
            return values, offset
        if representation in _LONG:
            if size - offset < 12:
                return values, -1
            (length,) = struct.unpack_from("<I", head, offset + 8)
            offset += 12
        elif representation.isalpha():
            (length,) = struct.unpack_from("<H", head, offset + 6)
            offset += 8
        else:
            (length,) = struct.unpack_from("<I", head, offset + 4)
            offset += 8
        if length > size - offset:
            return values, -1
        values[element] = head[offset : offset + length]
        offset += length
    is_meta = head[offset : offset + 2] == b"\x02\x00" or not is_all
    return values, -1 if is_meta and offset != size else offset


def _name(path: Path | None) -> str:
    return f"File {path.name!r}" if path else "The byte string"


def _uid(values: Mapping[int, bytes], element: int) -> str:
    return values.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace")


def _without_meta(head: bytes, file: io.BytesIO | io.FileIO, size: int, path: Path | None) -> Part10:
    """Find the UIDs in a dataset that has no file meta information before it."""
    offset = 132 if is_prefixed(head) else 0
    encoding = guess_encoding(head[offset : offset + 8])
    if encoding is None:
        raise NotDicom(f"{_name(path)} is not DICOM: {what_it_looks_like(head)} (PS3.10 7.1).")
    file.seek(0)
    found = {}
    for element in walk(open_source(file.read(_META_LIMIT_BYTES)), offset, encoding).top:
        if element.tag > 0x00080018:
            break
        found[element.tag & 0xFFFF] = element.value
    return Part10(
        path, _uid(found, 0x16), _uid(found, 0x18), encoding.transfer_syntax_uid, dataset_offset=offset, dataset_bytes=size - offset
    )


def meta_bytes(
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    *,
    source_ae_title: str = "",
    implementation: tuple[str, str] = (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME),
) -> bytes:
    """Return preamble, prefix and file meta information, ready to be followed by the bytes of a dataset.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : str
        Of the dataset that will follow.
    source_ae_title : str
        Who sent it (0002,0016); left out where empty.
    implementation : tuple of str
        Implementation Class UID and Version Name (0002,0012), (0002,0013) of who writes the file; a name that is empty is left out.

    Raises
    ------
    UidInvalid
        If one of them is not a UID.

    Examples
    --------
    >>> head = meta_bytes("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1")
    >>> Part10.locate(head + b"dataset").dataset_bytes
    7
    """
    body = _element(0x0001, b"OB", b"\x00\x01")
    body += _element(0x0002, b"UI", _uid_bytes(sop_class_uid, "Media Storage SOP Class UID (0002,0002)"))
    body += _element(0x0003, b"UI", _uid_bytes(sop_instance_uid, "Media Storage SOP Instance UID (0002,0003)"))
    body += _element(0x0010, b"UI", _uid_bytes(transfer_syntax_uid, "Transfer Syntax UID (0002,0010)"))
    body += _element(0x0012, b"UI", _uid_bytes(implementation[0], "Implementation Class UID (0002,0012)"))
    if name := implementation[1]:
        body += _element(0x0013, b"SH", name.encode().ljust(len(name) + 1 & ~1))
    if source_ae_title:
        title = ae_title_checked(source_ae_title).encode()
        body += _element(0x0016, b"AE", title + b" " * (len(title) % 2))
    return bytes(128) + b"DICM" + _element(0x0000, b"UL", struct.pack("<I", len(body))) + body


def _uid_bytes(value: str, name: str) -> bytes:
    text = uid_checked(value, name=name).encode()
    return text + b"\0" * (len(text) % 2)


def _element(number: int, representation: bytes, value: bytes) -> bytes:
    head = struct.pack("<HH2s", 2, number, representation)
    length = struct.pack("<HI", 0, len(value)) if representation in _LONG else struct.pack("<H", len(value))
    return head + length + value

"""The header of a whole file or buffer, by the fast way or the patient one.

Knows: memory maps, and which reader to fall back on.
Does not know: what is done with the header.
"""

import contextlib
import mmap
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian

from workbench.archive._attributes import BY_KEYWORD
from workbench.archive._header import Beginning, Header, NotWalkable, read_header, read_some
from workbench.archive._text import CHARACTER_SET, dataset_text, dictionary_vr
from workbench.errors import DatasetIncomplete, WorkbenchError
from workbench.files import Part10, read

__all__ = ["buffer_header", "file_header", "some_attributes", "source_header"]

#: Attributes that a query may ask for mostly stand within so much.
_HEAD_BYTES = 1 << 16


def some_attributes(path: Path, tags: Sequence[int]) -> Dataset | None:
    """Return some attributes of a stored instance, not yet converted; None where its file is gone or can't be read."""
    try:
        part = Part10.locate(path)
        if not any(dictionary_vr(tag) == "SQ" for tag in tags):
            with path.open("rb", buffering=0) as file:
                file.seek(part.dataset_offset)
                found = read_some(file.read(_HEAD_BYTES), part.transfer_syntax_uid, {CHARACTER_SET, *tags})
            if found is not None:
                return _raw_dataset(found, little=part.transfer_syntax_uid != ExplicitVRBigEndian)
        return dcmread(path, specific_tags=list(tags), stop_before_pixels=True)
    except (OSError, ValueError, WorkbenchError, RecursionError):
        return None


def _raw_dataset(found: Mapping[int, bytes], *, little: bool) -> Dataset:
    dataset = Dataset()
    for number, value in found.items():
        tag = Tag(number)
        dataset[tag] = RawDataElement(
            tag, dictionary_vr(number), len(value), value, 0, is_implicit_VR=True, is_little_endian=little
        )
    return dataset


def source_header(source: bytes | Path, offset: int, transfer_syntax_uid: str) -> Header:
    """Return the header of a file given by its bytes or its path; see :func:`file_header`."""
    if isinstance(source, Path):
        return file_header(source, offset, transfer_syntax_uid)
    return buffer_header(source, offset, transfer_syntax_uid)


def buffer_header(whole: bytes | bytearray, offset: int, transfer_syntax_uid: str) -> Header:
    """Return the header of a file in memory; see :func:`file_header`."""
    with memoryview(whole) as view, view[offset:] as dataset:
        return _read(dataset, transfer_syntax_uid, lambda: bytes(view))


def file_header(path: Path, offset: int, transfer_syntax_uid: str, *, beginning: Beginning | None = None) -> Header:
    """Return the header of a file, through a memory map: a file of any size takes the same memory.

    What `beginning` has seen is not looked at again.

    Raises
    ------
    DatasetIncomplete, LimitExceeded, NotDicom
        See :func:`read_header`.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= offset:
            raise DatasetIncomplete("The file has no dataset.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view, view[offset:] as dataset:
            return _read(dataset, transfer_syntax_uid, lambda: path, beginning)


def _read(
    dataset: memoryview, transfer_syntax_uid: str, whole: Callable[[], bytes | Path], beginning: Beginning | None = None
) -> Header:
    try:
        return read_header(dataset, transfer_syntax_uid, beginning=beginning)
    except NotWalkable:
        return _patient_header(whole())


def _patient_header(source: bytes | Path) -> Header:
    """Read what does not follow its transfer syntax with the reader that copes with more."""
    reading = read(source, stop_before_pixels=True)
    if not reading.is_complete:
        raise DatasetIncomplete(
            "The dataset ends too early, and it does not follow its transfer syntax (PS3.5 7.1). Send it again."
        )
    values = {}
    for keyword, attribute in BY_KEYWORD.items():
        with contextlib.suppress(ValueError):  # a number that is none is no key; the bytes are kept all the same
            text = dataset_text(reading.dataset, attribute.tag, attribute.vr)
            if text is not None:
                values[keyword] = text
    return Header(values)

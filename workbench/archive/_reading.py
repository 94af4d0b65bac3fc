"""The header of a whole file or buffer, by the fast way or the patient one.

Knows: memory maps, and which reader to fall back on.
Does not know: what is done with the header.
"""

import logging
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.archive._attributes import BY_KEYWORD
from workbench.archive._header import Header, NotWalkable, read_header, tidy
from workbench.archive.matching import element_text
from workbench.errors import DatasetIncomplete
from workbench.files import read

__all__ = ["buffer_header", "file_header"]

_logger = logging.getLogger(__name__)


def buffer_header(whole: bytearray, offset: int, transfer_syntax_uid: str) -> Header:
    """Return the header of a file in memory; see :func:`file_header`."""
    with memoryview(whole) as view, view[offset:] as dataset:
        return _read(dataset, transfer_syntax_uid, lambda: bytes(view))


def file_header(path: Path, offset: int, transfer_syntax_uid: str) -> Header:
    """Return the header of a file, through a memory map: a file of any size takes the same memory.

    Raises
    ------
    DatasetIncomplete, LimitExceeded, NotDicom
        See :func:`read_header`.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= offset:
            raise DatasetIncomplete("The file has no dataset.")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view, view[offset:] as dataset:
            return _read(dataset, transfer_syntax_uid, lambda: path)


def _read(dataset: memoryview, transfer_syntax_uid: str, whole: Callable[[], bytes | Path]) -> Header:
    try:
        return read_header(dataset, transfer_syntax_uid)
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
        try:
            element: Any = reading.dataset.get(attribute.tag)
            if element is not None and element.VR != "SQ":
                values[keyword] = tidy(element_text(element), attribute.vr)
        except Exception:  # noqa: BLE001 - a value that can't be converted is not indexed; the bytes are kept all the same
            _logger.warning("an attribute could not be read for the index: %s", keyword)
    return Header(values)

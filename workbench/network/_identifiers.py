"""Identifiers of responses as datasets, read without building a stream: there may be thousands.

Knows: elements of defined length in little endian (PS3.5 7.1), and pydicom's elements that are not yet converted.
Does not know: anything unusual; that is left to pydicom's reader.
"""

import struct
from copy import copy
from functools import lru_cache
from io import BytesIO
from typing import cast

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from workbench.files.byte_order import with_little_endian_unknowns

__all__ = ["identifier"]

_EXPLICIT, _IMPLICIT, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<HHL"), struct.Struct("<L")
_SHORT = {
    vr.encode(): vr
    for vr in ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI",
               "UL", "US")
}  # fmt: skip
_LONG = {vr.encode(): vr for vr in ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")}
_CHARACTER_SET, _DELIMITERS = BaseTag(0x00080005), 0xFFFE
_tag = lru_cache(maxsize=4096)(BaseTag)
_DEFAULTS = tuple(RawDataElement._field_defaults.values())  # the fields behind the seven that are given
#: What an empty dataset has, and which of that it shares with no other: setting each anew takes longer than the elements do.
_EMPTY = vars(Dataset(parent_encoding=default_encoding))
_OWN = tuple(name for name, value in _EMPTY.items() if not isinstance(value, str | bool | int | None))


@lru_cache(maxsize=64)
def _empty(vr: str | None) -> bytes | None:
    return cast("bytes | None", empty_value_for_VR(vr, raw=True))


def identifier(encoded: bytes, *, is_implicit: bool, is_little_endian: bool = True) -> Dataset:
    """Return an encoded identifier as a dataset whose elements are converted when they are asked for.

    Raises
    ------
    Exception
        Whatever pydicom raises for bytes that are no dataset.
    """
    if not is_little_endian:
        return with_little_endian_unknowns(read_dataset(BytesIO(encoded), is_implicit, is_little_endian=False))
    elements = _elements(encoded, is_implicit=is_implicit)
    if elements is None:
        return read_dataset(BytesIO(encoded), is_implicit, is_little_endian=True)
    dataset = Dataset.__new__(Dataset)
    state = vars(dataset)
    state.update(_EMPTY)
    state.update({name: copy(_EMPTY[name]) for name in _OWN})
    state["_dict"] = elements
    declared = elements.get(_CHARACTER_SET)
    encoding = list(_encodings(cast("bytes", declared.value))) if declared is not None and declared.value else default_encoding
    dataset.set_original_encoding(is_implicit, True, encoding)
    return dataset


@lru_cache(maxsize=64)
def _encodings(declared: bytes) -> tuple[str, ...]:
    names = declared.decode("ascii", "replace").rstrip(" \0").split("\\")
    return tuple(convert_encodings([name.strip() for name in names]))


def _elements(encoded: bytes, *, is_implicit: bool) -> dict[BaseTag, DataElement | RawDataElement] | None:
    """Return the elements; None where another reader has to look."""
    found: dict[BaseTag, DataElement | RawDataElement] = {}
    position, size, last, new = 0, len(encoded), -1, tuple.__new__
    try:
        while position < size:
            vr: str | None = None
            if is_implicit:
                group, element, length = _IMPLICIT.unpack_from(encoded, position)
                start = position + 8
            else:
                group, element, raw, length = _EXPLICIT.unpack_from(encoded, position)
                start = position + 8
                if (vr := _SHORT.get(raw)) is None:
                    vr = _LONG[raw]
                    (length,) = _LENGTH.unpack_from(encoded, start)
                    start += 4
            number = group << 16 | element
            position = start + length
            if position > size or number <= last or group == _DELIMITERS:
                return None
            last, tag = number, _tag(number)
            value = encoded[start:position] if length else _empty(vr)
            found[tag] = new(RawDataElement, (tag, vr, length, value, start, is_implicit, True, *_DEFAULTS))
    except (struct.error, KeyError):
        return None
    return found

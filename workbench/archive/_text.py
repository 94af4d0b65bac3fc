"""Encoded values as text: decoded, without padding, several values separated by a backslash.

Knows: character sets (PS3.5 6.1), the binary numbers of PS3.5 6.2, elements that pydicom has not yet converted.
Does not know: which attributes matter.

Values are converted here and not by pydicom's elements, whose warnings quote the value.
"""

import struct
from collections.abc import Iterable, MutableSequence, Sequence
from functools import lru_cache
from typing import Any

from pydicom import Dataset
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement

__all__ = ["CHARACTER_SET", "ONE_TEXT", "dataset_text", "decoded", "dictionary_vr", "encodings_of", "tidy"]

CHARACTER_SET = 0x00080005
#: A backslash is a character there (PS3.5 6.2).
ONE_TEXT = frozenset({"LT", "ST", "UR", "UT"})
#: Value representations whose characters are those of Specific Character Set (PS3.5 6.1.2.3).
_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_DEFAULT = "iso8859"  # as pydicom has it for ISO_IR 6
_DELIMITERS = {0x09, 0x0A, 0x0C, 0x0D}  # they reset code extensions (PS3.5 6.1.2.5.3)
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}


@lru_cache(maxsize=256)
def encodings_of(declared: bytes) -> tuple[str, ...]:
    """Return the Python encodings for the value of Specific Character Set (0008,0005), all of them fit to decode any bytes."""
    return _fit(convert_encodings(declared.decode("ascii", "replace").replace("\0", "").strip().split("\\")))


def _fit(names: Iterable[str]) -> tuple[str, ...]:
    """Return the encodings, with the default repertoire in place of what only has the name of a codec, as ``hex`` has."""
    return tuple(name if _is_fit(name) else _DEFAULT for name in names) or (_DEFAULT,)


@lru_cache(maxsize=256)
def _is_fit(name: str) -> bool:
    try:
        return isinstance(b"A\xe9\xff".decode(name, "replace"), str)
    except (LookupError, ValueError):
        return False


def decoded(raw: bytes, vr: str, encodings: Sequence[str], order: str = "<") -> str:
    """Return an encoded value as text.

    Parameters
    ----------
    raw : bytes
        As it stands in the dataset.
    vr : str
        How it is to be read.
    encodings : sequence of str
        Of the dataset; see :func:`encodings_of`.
    order : {"<", ">"}
        Of the bytes.

    Raises
    ------
    ValueError
        If binary numbers are cut.
    """
    if code := _NUMBERS.get(vr):
        size = struct.calcsize("=" + code)
        if len(raw) % size:
            raise ValueError(f"{vr} has {size} bytes a value")
        return "\\".join(map(str, struct.unpack(f"{order}{len(raw) // size}{code}", raw)))
    if raw.isascii() and b"\x1b" not in raw and encodings[0] != "shift_jis":
        return tidy(raw.decode("ascii"), vr)
    return tidy(decode_bytes(raw, encodings, _DELIMITERS) if vr in _TEXT else raw.decode("latin-1"), vr)


def tidy(text: str, vr: str) -> str:
    """Return `text` without padding, and a date in the form of PS3.5 6.2 where it is written with dots."""
    text = text.replace("\0", "").strip()
    if "\\" in text and vr not in ONE_TEXT:
        text = "\\".join(part.strip() for part in text.split("\\"))
    if vr == "DA" and len(text) == 10 and text[4::3] == "..":
        return text.replace(".", "")
    return text


def dictionary_vr(tag: int) -> str:
    """Return the value representation of a standard attribute; the first where there is a choice."""
    return dictionary_VR(tag).split(" ")[0]


def dataset_text(dataset: Dataset, tag: int, vr: str) -> str | None:
    """Return the value of an attribute that is no sequence, read as `vr`; None where it is absent.

    Raises
    ------
    ValueError
        If it can't be read so.
    """
    if tag not in dataset:
        return None
    element: Any = dataset.get_item(tag)
    if isinstance(element, RawDataElement):
        # a sequence's item has the character set of its dataset, unless it has its own (PS3.5 7.5.3)
        encodings: Any = dataset.original_character_set or _DEFAULT
        own: Any = dataset.get_item(CHARACTER_SET) if CHARACTER_SET in dataset else None
        if isinstance(own, RawDataElement):
            encodings = encodings_of(own.value or b"")
        elif own is not None:
            encodings = convert_encodings(own.value)
        names = _fit([encodings] if isinstance(encodings, str) else encodings)
        return decoded(element.value or b"", vr, names, "<" if element.is_little_endian else ">")
    value = None if element is None else element.value
    if value is None or isinstance(value, bytes):
        return ""
    several = isinstance(value, list | tuple | MutableSequence)
    text = tidy("\\".join(map(_one, value)) if several else _one(value), vr)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()  # no lone surrogates


def _one(value: Any) -> str:
    original = getattr(value, "original_string", None)  # of a number: as it was written
    return original if isinstance(original, str) and original else str(value)

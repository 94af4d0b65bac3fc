"""Encoded values as text: decoded, without padding, several values separated by a backslash.

Knows: character sets (PS3.5 6.1), the binary numbers of PS3.5 6.2, elements that pydicom has not yet converted.
Does not know: which attributes matter.

Values are converted here and not by pydicom's elements, whose warnings quote the value.
"""

import struct
from collections.abc import MutableSequence, Sequence
from functools import lru_cache
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement

from workbench.files import character_sets

__all__ = ["CHARACTER_SET", "ONE_TEXT", "dataset_text", "decoded", "dictionary_vr", "encodings_of", "tidy"]

CHARACTER_SET = 0x00080005
#: A backslash is a character there (PS3.5 6.2).
ONE_TEXT = frozenset({"LT", "ST", "UR", "UT"})
#: Value representations whose characters are those of Specific Character Set (PS3.5 6.1.2.3).
_TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_DEFAULT = "iso8859"  # as pydicom has it for ISO_IR 6
_NUMBERS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}


@lru_cache(maxsize=256)
def encodings_of(declared: bytes) -> tuple[str, ...]:
    """Return the Python encodings for the value of Specific Character Set (0008,0005)."""
    terms = declared.decode("ascii", "replace").replace("\0", "").split("\\")
    return tuple(character_sets.encodings_of_terms([term.strip() for term in terms]))


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
    if raw.isascii() and b"\x1b" not in raw:
        return tidy(raw.decode("ascii"), vr)
    if vr not in _TEXT:
        return tidy(raw.decode("latin-1"), vr)
    return tidy(character_sets.spelled(character_sets.decoded(raw, encodings, vr=vr)), vr)


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
            encodings = character_sets.encodings_of_terms(own.value)
        names = (encodings,) if isinstance(encodings, str) else tuple(encodings)
        return decoded(element.value or b"", vr, names, "<" if element.is_little_endian else ">")
    value = None if element is None else element.value
    if value is None or isinstance(value, bytes):
        return ""
    several = isinstance(value, list | tuple | MutableSequence)
    text = tidy("\\".join(map(_one, value)) if several else _one(value), vr)
    return text if text.isascii() else character_sets.spelled(text).encode("utf-8", "replace").decode()  # no lone surrogates


def _one(value: Any) -> str:
    original = getattr(value, "original_string", None)  # of a number: as it was written
    return original if isinstance(original, str) and original else str(value)

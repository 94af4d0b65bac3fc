"""What is to be said about the text of a dataset: terms that are not defined, bytes that can't be decoded.

Knows: Specific Character Set (PS3.3 C.12.1.1.2) and how items inherit it (PS3.5 7.5.3).
Does not know: what the text says; no value is part of what is said.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.values import convert_SQ

from workbench.entities import counted
from workbench.files.character_sets import TERMS, TEXT_VRS, decoded, encodings_of_terms, escaped_bytes

__all__ = ["text_findings"]

#: How many bytes, by tag and character set.
_Bad = Counter[tuple[int, str]]

_CHARACTER_SET = 0x00080005
_DEFAULT = ["iso8859"]
#: Terms for the default repertoire, which the standard does not list, but everybody writes.
_HARMLESS = frozenset({"", "ISO_IR 6"})
_DEPTH_LIMIT = 16
_EXPLICIT_TEXT = re.compile(rb"(?:LO|LT|PN|SH|ST)(..)|(?:UC|UT)\0\0(....)", re.DOTALL)
_IMPLICIT_SUSPECT = re.compile(rb"[\x20-\x7e][\xa0-\xfd]|[\xa0-\xfd][\x20-\xfd]")


def text_findings(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    """Yield section, message and remedy of what is odd about the text of a dataset as it was read; it is not changed.

    Of a sequence that was not parsed yet, only what looks like text that is not ASCII is looked at.
    """
    unknown, bad = Counter[str](), Counter[tuple[int, str]]()
    _look(dataset, [""], unknown, bad, 0)
    for term in unknown:
        shown = term if term.isascii() and term.isprintable() else "that is not ASCII"
        yield (
            "PS3.3 C.12.1.1.2",
            f"Specific Character Set (0008,0005) has the term {shown[:16]!r}, which is not defined.",
            "Correct it if you know what was meant; see files.character_sets.TERMS.",
        )
    for (tag, terms), count in bad.items():
        name = f"{keyword_for_tag(tag) or 'Private element'} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        bytes_are = f"{counted(count, 'byte')} {'is' if count == 1 else 'are'}"
        if terms in _HARMLESS:
            text = f"{name}: {bytes_are} outside the default repertoire; read as ISO_IR 100, which may be wrong."
        else:
            text = rf"{name}: {bytes_are} not text in {terms}; kept as they are, and shown as \x with two digits."
        yield "PS3.5 6.1", text, "Set Specific Character Set (0008,0005) to what was meant, and read the file again."


def _look(dataset: Dataset, terms: list[str], unknown: Counter[str], bad: _Bad, depth: int) -> None:
    own: Any = dataset.get_item(_CHARACTER_SET) if _CHARACTER_SET in dataset else None
    if own is not None:
        value = own.value
        text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
        terms = [part.strip(" \0") for part in (text.split("\\") if isinstance(text, str) else text or [""])]
        unknown.update(term for term in terms if term not in TERMS and term not in _HARMLESS)
    encodings = encodings_of_terms(terms)
    for tag in dataset.keys():  # noqa: SIM118 - no element is converted by looking at it
        element: Any = dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            _look_at(element, terms, encodings, unknown, bad, depth)
        elif isinstance(element.value, Sequence) and depth < _DEPTH_LIMIT:
            for item in element.value:
                _look(item, terms, unknown, bad, depth + 1)


def _look_at(element: RawDataElement, terms: list[str], encodings: list[str], unknown: Counter[str], bad: _Bad, depth: int) -> None:
    value = element.value
    if not value or (value.isascii() and b"\x1b" not in value):
        return
    vr = element.VR or _dictionary_vr(element.tag)
    if vr == "SQ":
        if depth < _DEPTH_LIMIT and _is_suspect(value, is_implicit=element.is_implicit_VR):
            for item in convert_SQ(value, element.is_implicit_VR, element.is_little_endian, encodings):
                _look(item, terms, unknown, bad, depth + 1)
    elif vr in TEXT_VRS:
        found = (sum(b >= 0x80 for b in value) if encodings == _DEFAULT else 0) or escaped_bytes(decoded(value, encodings, vr=vr))
        if found:
            bad[int(element.tag), "\\".join(terms)] += found


def _dictionary_vr(tag: int) -> str:
    try:
        return dictionary_VR(tag).split(" ")[0]
    except KeyError:
        return "UN"


def _is_suspect(raw: bytes, *, is_implicit: bool) -> bool:
    if is_implicit:
        return _IMPLICIT_SUSPECT.search(raw) is not None
    return any(
        not raw[match.end() : match.end() + int.from_bytes(match[1] or match[2], "little")].isascii()
        for match in _EXPLICIT_TEXT.finditer(raw)
    )

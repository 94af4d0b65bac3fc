"""UIDs and text: what every dataset must get right whatever its SOP class.

Knows: PS3.5 9.1 (UIDs), PS3.5 6.1 and PS3.3 C.12.1.1.2 (character sets), PS3.10 7.1 (file meta information).
Does not know: modules, references.
"""

import re
import warnings
from collections.abc import Iterator
from typing import Any

from pydicom import Dataset
from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.valuerep import TEXT_VR_DELIMS

from workbench.conformance.elements import Place, places
from workbench.entities import Finding, Severity, uid_checked
from workbench.errors import UidInvalid

__all__ = ["file_meta_findings", "text_findings", "uid_findings"]

_TEXT = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_REPLACED = "�"
_ESCAPE = b"\x1b"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"


def uid_findings(dataset: Dataset) -> Iterator[Finding]:
    """Yield an error for each value of VR UI that is no UID."""
    for place in places(dataset):
        if place.representation != "UI":
            continue
        for value in _uids(place):
            try:
                uid_checked(value)
            except UidInvalid:
                message = f"{place.path.rpartition('.')[2]} is not a valid UID."
                remedy = "Replace it in every object that refers to it."
                yield Finding(Severity.ERROR, place.path, "PS3.5 9.1", message, remedy)
                break


def _uids(place: Place) -> list[str]:
    value = place.element.value
    if isinstance(value, bytes):
        text = value.decode("ascii", "replace").rstrip("\0")
        return [part for part in text.split("\\") if part]
    if value is None or value == "":
        return []
    return [str(value)] if isinstance(value, str) else [str(v) for v in value]


def file_meta_findings(dataset: Dataset) -> Iterator[Finding]:
    """Yield an error where file meta information and dataset name different things, a note for a retired transfer syntax."""
    meta = getattr(dataset, "file_meta", None) or Dataset()
    for own, other in (("SOPInstanceUID", "MediaStorageSOPInstanceUID"), ("SOPClassUID", "MediaStorageSOPClassUID")):
        if meta.get(other) and dataset.get(own) and str(meta[other].value) != str(dataset[own].value):
            yield Finding(
                Severity.ERROR, other, "PS3.10 7.1", f"{other} differs from {own} of the dataset.",
                "Save the dataset with files.save, which sets it.",
            )  # fmt: skip
    if str(meta.get("TransferSyntaxUID") or "") == _BIG_ENDIAN:
        yield Finding(
            Severity.NOTE, "TransferSyntaxUID", "PS3.5 A.3", "Explicit VR Big Endian is retired since 2016b.",
            "workbench.files.in_syntax turns the dataset into Explicit VR Little Endian, without loss.",
        )  # fmt: skip


def text_findings(dataset: Dataset) -> Iterator[Finding]:
    """Yield an error for each text that its Specific Character Set can't have written, and for sets that don't exist."""
    judged: set[tuple[str, ...]] = set()
    for place in places(dataset):
        sets = place.character_sets
        if sets not in judged:
            judged.add(sets)
            yield from _set_findings(place, sets)
        if place.representation in _TEXT and not _is_readable(place):
            name = place.path.rpartition(".")[2]
            declared = "\\".join(sets) or "no Specific Character Set (0008,0005)"
            message = f"{name} has bytes or characters that are not of its character set: {declared}."
            remedy = "Find out in which set it was written and declare that; do not save the text as it shows."
            yield Finding(Severity.ERROR, place.path, "PS3.5 6.1", message, remedy)


def _set_findings(place: Place, sets: tuple[str, ...]) -> Iterator[Finding]:
    parent = place.path.rpartition(".")[0]
    path = f"{parent}.SpecificCharacterSet" if parent else "SpecificCharacterSet"
    for position, term in enumerate(sets):
        if term not in python_encoding or (not term and position):
            message = "Specific Character Set (0008,0005) has a value that is no defined term."
            yield Finding(Severity.ERROR, path, "PS3.3 C.12.1.1.2", message, "Use a defined term, such as ISO_IR 192 for UTF-8.")
    if len(sets) > 1 and any(term and not term.startswith("ISO 2022") for term in sets):
        message = "Specific Character Set (0008,0005) has several values, of which one allows no code extensions."
        yield Finding(Severity.ERROR, path, "PS3.3 C.12.1.1.2", message, "Use ISO 2022 terms, or ISO_IR 192 alone.")


def _is_readable(place: Place) -> bool:
    value = place.element.value
    known = tuple(term for term in place.character_sets if term in python_encoding)
    if isinstance(place.element, RawDataElement) or isinstance(value, bytes):
        return _decodes(value or b"", known)
    texts: list[Any] = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value or ())
    return all(_encodes(str(text), known) for text in texts if text)


def _decodes(value: bytes, sets: tuple[str, ...]) -> bool:
    if value.isascii() and _ESCAPE not in value:
        return True
    if not any(sets):
        return False
    encodings = convert_encodings(list(sets))
    if len(encodings) == 1 and _ESCAPE not in value:
        try:
            value.decode(encodings[0])
        except (UnicodeDecodeError, LookupError):
            return False
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that is what the finding says
        try:
            return _REPLACED not in decode_bytes(value, encodings, TEXT_VR_DELIMS)
        except (UnicodeDecodeError, LookupError):
            return False


def _encodes(text: str, sets: tuple[str, ...]) -> bool:
    if _REPLACED in text or re.search("[\ud800-\udfff]", text):
        return False
    if text.isascii():
        return True
    if not any(sets):
        return False
    return all(any(_fits(c, encoding) for encoding in convert_encodings(list(sets))) for c in set(text))


def _fits(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True

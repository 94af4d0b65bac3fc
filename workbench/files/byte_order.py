"""Datasets turned from little to big endian and back, with the words of their bulk values (PS3.5 7.3).

Knows: which value representations are words, which pydicom leaves in the order in which they were read.
Does not know: files, compression; which transfer syntax is the right one.
"""

import copy
import logging
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.uid import UID
from pydicom.valuerep import AMBIGUOUS_VR

from workbench.errors import AttributeUnusable

__all__ = ["in_syntax", "order_checked", "turn", "turn_words", "with_little_endian_unknowns"]

#: Bytes of a word by value representation (PS3.5 6.2); numbers of other ones are numbers in memory too.
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_UNKNOWN = "UN"
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"
_LOG = logging.getLogger(__name__)


def in_syntax(dataset: Dataset, *, to: str) -> Dataset:
    """Return a dataset without compression for another transfer syntax without compression, ready to be saved in it.

    Parameters
    ----------
    dataset : Dataset
        With the Transfer Syntax UID of its values in its ``file_meta``; it stays as it is.
    to : str
        Explicit or Implicit VR Little Endian, deflated or not, or Explicit VR Big Endian.

    Returns
    -------
    Dataset
        Words of OW, OF, OL, OD and OV are in the byte order of `to`, also in sequences; UN stays as it is, which is in little
        endian in all transfer syntaxes (PS3.5 6.2.2).

    Raises
    ------
    AttributeUnusable
        If one of the two is compressed, or a value can't be read.

    Notes
    -----
    To name another transfer syntax in ``file_meta`` turns no words: pydicom writes numbers in the new order, but these as they
    are, so that Pixel Data of 16 bits would be wrong. :func:`workbench.files.save` refuses that.
    """
    own, other = _syntax(dataset), UID(to)
    for uid in (own, other):
        if uid.is_private or not uid.is_transfer_syntax or uid.is_encapsulated:
            name = uid.name or "no transfer syntax"
            raise AttributeUnusable(f"Byte order is changed between transfer syntaxes without compression (PS3.5 A), not {name}.")
    made = copy.deepcopy(dataset)
    if own.is_little_endian != other.is_little_endian:
        turn(made, is_little_endian=own.is_little_endian)
    meta = FileMetaDataset()
    meta.update(getattr(made, "file_meta", None) or {})
    meta.TransferSyntaxUID = other
    made.file_meta = meta
    return made


def _syntax(dataset: Dataset) -> UID:
    named = (getattr(dataset, "file_meta", None) or FileMetaDataset()).get("TransferSyntaxUID")
    if named:
        return UID(named)
    is_implicit, is_little = dataset.original_encoding
    return UID("1.2.840.10008.1.2" if is_implicit else "1.2.840.10008.1.2.2" if is_little is False else "1.2.840.10008.1.2.1")


def turn(dataset: Dataset, *, is_little_endian: bool) -> None:
    """Change the byte order of a dataset that is the caller's own; `is_little_endian` is the order that it has.

    Raises
    ------
    AttributeUnusable
        If a value can't be read.
    """
    try:
        _decode(dataset)
        correct_ambiguous_vr(dataset, is_little_endian)
    except Exception as error:  # noqa: BLE001 - the parser beneath meets bytes that nobody foresaw; its text may hold a value
        raise AttributeUnusable(
            f"The dataset can't be brought into another byte order: a value can't be read ({type(error).__name__}; PS3.5 7.3)."
        ) from None
    turn_words(dataset)
    for each in _all(dataset):
        each.set_original_encoding(False, not is_little_endian, each.original_character_set)


def turn_words(dataset: Dataset) -> None:
    """Turn the words of a dataset that is the caller's own, whose numbers are read; values of one byte stay."""
    for part in _all(dataset):
        for element in part:
            if element.VR in AMBIGUOUS_VR and element.VR.endswith("OW") and isinstance(element.value, bytes):
                element.VR = "OW"  # as in Implicit VR (PS3.5 A.1)
            size = _WORD_BYTES.get(element.VR, 0)
            if size and element.value is not None and not isinstance(element.value, int | str):
                element.value = _turned(element.value.read() if element.is_buffered else bytes(element.value), size)


def _turned(value: bytes, size: int) -> bytes:
    """Return the words the other way round; what is less than a word at the end stays."""
    value += b"\0" * (len(value) % 2)
    whole = len(value) // size * size
    made = bytearray(value)
    for place in range(size):
        made[place:whole:size] = value[size - 1 - place : whole : size]
    return bytes(made)


def _all(dataset: Dataset) -> list[Dataset]:
    found = [dataset]
    for part in found:  # which grows
        found += [item for element in part if element.VR == "SQ" for item in element.value or ()]
    return found


def _decode(dataset: Dataset) -> None:
    """Read every value in the order in which it was written, but those of UN."""
    for tag in list(dataset.keys()):
        raw: Any = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.VR == _UNKNOWN and raw.value is not None:
            element = DataElement(tag, "OB", raw.value, raw.value_tell, already_converted=True)
            element.VR = _UNKNOWN  # pydicom would look up another one
            dataset[tag] = element
            continue
        element = dataset[tag]
        if element.VR == "SQ":
            for item in element.value or ():
                _decode(item)


def with_little_endian_unknowns(dataset: Dataset) -> Dataset:
    """Have UN of a dataset that was just read in big endian read in little endian (PS3.5 6.2.2), and return the dataset.

    What is a sequence in it is in Implicit VR Little Endian, and has its words in big endian afterwards, as all of the dataset.
    """
    for tag in list(dataset.keys()):
        raw: Any = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.VR == _UNKNOWN and raw.value:
            if (size := _WORD_BYTES.get(_known(raw), 0)) and len(raw.value) % 2 == 0:
                dataset[tag] = raw._replace(VR=_known(raw), value=_turned(raw.value, size))
            elif _is_sequence(raw):
                _turn_sequence(dataset, raw)
            else:
                dataset[tag] = raw._replace(is_implicit_VR=True, is_little_endian=True)
        elif raw is not None and raw.VR == "SQ":
            for item in dataset[tag].value or ():
                with_little_endian_unknowns(item)
    return dataset


def _is_sequence(raw: RawDataElement) -> bool:
    value = raw.value or b""
    return _known(raw) == "SQ" or (value.startswith(_ITEM) and value.endswith(_SEQUENCE_END))


def _turn_sequence(dataset: Dataset, raw: RawDataElement) -> None:
    """Read an unknown value as the sequence that it is, in the order of the dataset; what is none stays as it is."""
    raw = raw._replace(is_implicit_VR=True, is_little_endian=True)
    try:
        dataset[raw.tag] = raw._replace(VR="SQ")
        for item in dataset[raw.tag].value:
            turn(item, is_little_endian=True)
    except Exception as error:  # noqa: BLE001 - the parser beneath meets bytes that nobody foresaw
        _LOG.debug("UN that should be a sequence is left as it is (%s)", type(error).__name__)
        dataset[raw.tag] = raw


def _known(raw: RawDataElement) -> str:
    try:
        return "" if raw.tag.is_private else str(dictionary_VR(raw.tag))
    except KeyError:
        return ""


def order_checked(dataset: Dataset, transfer_syntax_uid: str) -> None:
    """Check that a dataset is not to be written in another byte order than the one in which its words are.

    Raises
    ------
    AttributeUnusable
        If it was read in the one and is to be written in the other.
    """
    uid, is_little = UID(transfer_syntax_uid), dataset.original_encoding[1]
    if is_little is None or uid.is_private or not uid.is_transfer_syntax or uid.is_little_endian == is_little:
        return
    for part in _all(dataset):
        found = next((element for element in part if element.VR in _WORD_BYTES or element.VR.endswith("OW")), None)
        if found is not None and not found.is_empty:
            raise AttributeUnusable(
                f"{found.name} {found.tag} has its words in {'little' if is_little else 'big'} endian, and {uid.name} wants them "
                "in the other order (PS3.5 7.3). workbench.files.in_syntax(dataset, to=...) turns them."
            )

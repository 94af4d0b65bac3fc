"""Datasets read with every doubt said aloud: cut short, too deep, too large, not quite DICOM.

Knows: files of PS3.10 and bare datasets; pydicom makes the Dataset.
Does not know: whether the content conforms to its IOD.
"""

import contextlib
import io
import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from workbench.entities import Finding, Findings, Severity
from workbench.errors import DatasetIncomplete, LimitExceeded, NotDicom
from workbench.files._contents import missing_content
from workbench.files._text_findings import text_findings
from workbench.files.byte_order import with_little_endian_unknowns
from workbench.files.character_sets import encodings_of_terms
from workbench.files.encoding import Encoding, Source, encoding_of, guess_encoding, open_source, what_it_looks_like
from workbench.files.inflating import inflated
from workbench.files.part10 import is_prefixed, meta_start, parse_meta
from workbench.files.walker import Element, Ending, Structure, walk

__all__ = ["Limits", "Reading", "read"]

_LOG = logging.getLogger(__name__)
_META_UIDS = (0x00020002, 0x00020003, 0x00020010)
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_ACTING_PREAMBLES = (
    (b"MZ", "a Windows program"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"II+\0", "a BigTIFF image"),
    (b"MM\0+", "a BigTIFF image"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a dataset may ask for before it is refused.

    Parameters
    ----------
    nesting : int
        Levels of sequences in sequences.
    inflated_bytes : int
        Size of a deflated dataset once inflated, in bytes.
    """

    nesting: int = 64
    inflated_bytes: int = 128 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """A dataset and what is to be said about how it was read.

    Parameters
    ----------
    dataset : pydicom.FileDataset
        Only elements that are whole; its `file_meta` holds at least Transfer Syntax UID.
    findings : Findings
        Errors where something is lost, warnings where something is odd.
    is_complete : bool
        Whether nothing is missing at the end, as far as that can be told.
    transfer_syntax_uid : str
        As named, or as guessed where none is named.
    """

    dataset: Dataset
    findings: Findings
    is_complete: bool
    transfer_syntax_uid: str

    def __repr__(self) -> str:  # a dataset's own holds the patient's values
        state = "complete" if self.is_complete else "incomplete"
        return f"Reading({state}, {len(self.dataset)} attributes, {self.transfer_syntax_uid}, findings={len(self.findings)})"


@dataclass(slots=True)
class _Job:
    """What is known so far about one source."""

    name: str
    source: Source
    limits: Limits
    findings: list[Finding] = field(default_factory=list)
    is_complete: bool = True

    def say(self, severity: Severity, section: str, message: str, remedy: str = "") -> None:
        self.findings.append(Finding(severity, self.name, section, message, remedy))

    def incomplete(self, section: str, message: str, severity: Severity = Severity.ERROR) -> None:
        self.is_complete = False
        self.say(severity, section, message, "Get the instance again from where it came from.")


def read(source: Path | str | bytes | BinaryIO, *, limits: Limits | None = None, stop_before_pixels: bool = False) -> Reading:
    """Read a dataset from a file, a byte string or a binary stream.

    Parameters
    ----------
    source : Path, str, bytes or binary file
        A file of PS3.10, or a bare dataset. A stream is read from its beginning and stays open.
    limits : Limits, optional
        What is refused as too deep or too large.
    stop_before_pixels : bool
        Whether Pixel Data and what follows is left out of the dataset; its place in the file is checked all the same.

    Returns
    -------
    Reading
        Dataset, findings, whether it is complete.

    Raises
    ------
    NotDicom
        If there is no dataset.
    LimitExceeded
        If sequences are nested too deeply or a deflated dataset grows too large.
    OSError
        If the file can't be opened.

    Notes
    -----
    A file that is cut exactly between two elements of its top level is complete by its structure; it is
    recognized where an attribute is lacking that every instance of its SOP class has, such as Pixel Data.
    """
    limits = limits or Limits()
    with _stream(source) as (stream, name):
        job = _Job(name, open_source(stream), limits)
        meta, preamble, offset, has_prefix = _file_meta(job)
        encoding = _encoding(job, meta, offset, has_prefix=has_prefix)
        data: BinaryIO = stream
        if encoding.is_deflated:
            inflated = _inflate(job, offset)
            job.source, data, offset = open_source(inflated), io.BytesIO(inflated), 0
            del inflated
        structure = walk(job.source, offset, encoding, nesting_limit=limits.nesting)
        _judge(job, structure, meta)
        if structure.unknowns:
            data = _with_known_lengths(data, structure)
        dataset = _parsed(job, data, structure, encoding, offset, stop_before_pixels=stop_before_pixels)
        if not encoding.is_little_endian:
            _read_unknowns(job, dataset)
        _judge_text(job, dataset)
    whole = FileDataset(
        str(source) if isinstance(source, Path | str) else io.BytesIO(), dataset, preamble, meta,
        is_implicit_VR=not encoding.is_explicit, is_little_endian=encoding.is_little_endian,
    )  # fmt: skip
    whole.set_original_encoding(not encoding.is_explicit, encoding.is_little_endian, dataset._character_set)  # noqa: SLF001 - as pydicom's dcmread does
    if job.findings:
        _LOG.debug("read: %d findings, complete: %s", len(job.findings), job.is_complete)
    return Reading(whole, Findings(job.findings), job.is_complete, encoding.transfer_syntax_uid)


@contextlib.contextmanager
def _stream(source: Path | str | bytes | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(bytes(source)), "bytes"
    elif isinstance(source, Path | str):
        with Path(source).open("rb") as file:
            yield file, Path(source).name
    elif source.seekable():
        yield source, "stream"
    else:
        yield io.BytesIO(source.read()), "stream"


def _file_meta(job: _Job) -> tuple[FileMetaDataset, bytes | None, int, bool]:
    """Return file meta information, preamble, where the dataset begins, and whether there is a prefix."""
    head = job.source.at(0, 1024)
    has_prefix = is_prefixed(head)
    preamble = head[:128] if has_prefix else None
    start = meta_start(head)
    if has_prefix:
        _judge_preamble(job, head)
    else:
        if start < 0 and guess_encoding(head[:8]) is None:
            raise NotDicom(f"{job.name} is not DICOM: {what_it_looks_like(head)} (PS3.10 7.1).")
        job.say(Severity.WARNING, "PS3.10 7.1", "The file has no preamble and no 'DICM' prefix.", "Save it again with files.save.")
    if start < 0:
        job.say(Severity.WARNING, "PS3.10 7.1", "The file has no file meta information.", "Save it again with files.save.")
        return FileMetaDataset(), preamble, 132 if has_prefix else 0, has_prefix
    values, end = parse_meta(head, start, is_all=len(head) >= job.source.size)
    while end < 0 and len(head) < min(job.source.size, 4 << 20):
        head = job.source.at(0, len(head) * 8)
        values, end = parse_meta(head, start, is_all=len(head) >= job.source.size)
    if end < 0:
        end = job.source.size
        job.incomplete("PS3.10 7.1", f"The file ends within its file meta information, after {end} bytes.")
    meta = FileMetaDataset()
    if job.is_complete:
        length = int.from_bytes(values.get(0, b""), "little")
        if 0 not in values or length != end - start - 12:
            job.say(Severity.WARNING, "PS3.10 7.1", "File Meta Information Group Length (0002,0000) is missing or wrong.")
        is_implicit = not head[start + 4 : start + 6].isalpha()
        try:
            raw = read_dataset(io.BytesIO(head[start:end]), is_implicit, is_little_endian=True, bytelength=end - start)
        except Exception as error:  # noqa: BLE001 - the parser beneath meets bytes that nobody foresaw
            job.say(
                Severity.WARNING,
                "PS3.10 7.1",
                f"The file meta information can't be parsed ({type(error).__name__}) and is left out.",
            )
        else:
            _keep_readable(job, raw, meta)
    return meta, preamble, end, has_prefix


def _keep_readable(job: _Job, raw: Dataset, meta: FileMetaDataset) -> None:
    """Put into `meta` what can be read and has the value representation that it must have."""
    for tag in raw.keys():  # noqa: SIM118 - iterating would make the values
        try:
            element = raw[tag]
            is_sound = tag.group == 2 and (tag not in _META_UIDS or (element.VR == "UI" and element.VM <= 1))
        except Exception:  # noqa: BLE001 - the parser beneath meets bytes that nobody foresaw
            is_sound = False
        if is_sound:
            meta.add(element)
        else:
            job.say(Severity.WARNING, "PS3.10 7.1", f"({tag.group:04X},{tag.element:04X}) can't be read and is left out.")


def _judge_preamble(job: _Job, head: bytes) -> None:
    for magic, name in _ACTING_PREAMBLES:
        if head.startswith(magic):
            job.say(
                Severity.WARNING, "PS3.10 7.5", f"The preamble makes the file {name} as well.",
                "Do not start or open it as such; files.save writes an empty preamble.",
            )  # fmt: skip


def _encoding(job: _Job, meta: FileMetaDataset, offset: int, *, has_prefix: bool) -> Encoding:
    """Return the encoding that the file names, or that its first element shows where that differs."""
    uid = str(meta.get("TransferSyntaxUID") or "").strip()
    first = job.source.at(offset, 8)
    guess = guess_encoding(first)
    if uid:
        named = encoding_of(uid)
        if named.is_deflated or guess is None or _same(guess, named):
            return named
        job.say(
            Severity.WARNING, "PS3.10 7.1",
            f"The file names transfer syntax {UID(uid).name}, but its dataset is in {UID(guess.transfer_syntax_uid).name}.",
            "Save it again with files.save.",
        )  # fmt: skip
        meta.TransferSyntaxUID = UID(guess.transfer_syntax_uid)
        return guess
    if job.is_complete and first:
        if guess is None:
            if not has_prefix:
                raise NotDicom(f"{job.name} is not DICOM: no dataset follows its file meta information (PS3.10 7.1).")
            guess = encoding_of("1.2.840.10008.1.2")
        job.say(
            Severity.WARNING,
            "PS3.10 7.1",
            f"Transfer Syntax UID (0002,0010) is missing; {UID(guess.transfer_syntax_uid).name} is assumed.",
        )
    guess = guess or encoding_of("1.2.840.10008.1.2")
    meta.TransferSyntaxUID = UID(guess.transfer_syntax_uid)
    return guess


def _same(a: Encoding, b: Encoding) -> bool:
    return (a.is_explicit, a.is_little_endian) == (b.is_explicit, b.is_little_endian)


def _inflate(job: _Job, offset: int) -> bytes:
    """Return the inflated dataset, bounded (PS3.5 A.5)."""
    limit, parts = job.limits.inflated_bytes, []
    pieces = (job.source.at(start, 1 << 16) for start in range(offset, job.source.size, 1 << 16))
    try:
        for part in inflated(pieces, limit_bytes=limit):
            parts.append(part)  # noqa: PERF402 - what came before an error is kept
    except LimitExceeded:
        raise LimitExceeded(
            f"{job.name} inflates to more than {limit} bytes (PS3.5 A.5). "
            "Pass limits=Limits(inflated_bytes=...) if that is what it should be."
        ) from None
    except (zlib.error, DatasetIncomplete) as error:
        what = "damaged" if isinstance(error, zlib.error) else "cut short"
        job.incomplete("PS3.5 A.5", f"The deflated dataset is {what}; {sum(map(len, parts))} bytes could be inflated.")
    return b"".join(parts)


def _judge(job: _Job, structure: Structure, meta: FileMetaDataset) -> None:
    if structure.ending is Ending.CUT:
        job.incomplete(
            "PS3.5 7.1",
            f"The dataset is cut short in {structure.where or 'its last element'}: {structure.wanted} bytes are wanted and "
            f"{structure.found} are there; the element is left out.",
        )
    elif structure.ending is Ending.BROKEN:
        job.incomplete("PS3.5 7.1", f"What stands at {structure.where} is no element; it and what follows is left out.")
    elif structure.ending is Ending.PADDED:
        job.say(
            Severity.WARNING, "PS3.10 7.2", f"{job.source.size - structure.end} bytes follow the last element and are left out."
        )
    for note in structure.notes:
        job.say(Severity.WARNING, "PS3.5 7.1", f"{note}.")
    if job.is_complete:
        lacking = missing_content({e.tag: e.value for e in structure.top}, str(meta.get("MediaStorageSOPClassUID") or ""))
        if lacking:
            text = f"{lacking} is missing, which every instance of its SOP class has: cut between two elements, or a header only."
            job.incomplete("PS3.3 A", text, Severity.WARNING)


def _with_known_lengths(stream: BinaryIO, structure: Structure) -> BinaryIO:
    """Return the bytes with UN of undefined length in big endian as UN of its length: pydicom can't turn within a dataset.

    What it holds is in Implicit VR Little Endian, its delimiter too (PS3.5 6.2.2, note 2).
    """
    stream.seek(0)
    held = bytearray(stream.read())
    for start, length in structure.unknowns:
        held[start - 4 : start] = length.to_bytes(4, "big")
    return io.BytesIO(held)


def _read_unknowns(job: _Job, dataset: Dataset) -> None:
    try:
        with_little_endian_unknowns(dataset)
    except Exception as error:  # noqa: BLE001 - the parser beneath meets bytes that nobody foresaw
        job.say(Severity.WARNING, "PS3.5 6.2.2", f"Not all values of UN could be looked at ({type(error).__name__}).")


def _judge_text(job: _Job, dataset: Dataset) -> None:
    """Say which text can't be decoded; nothing of it is lost."""
    try:
        for section, message, remedy in text_findings(dataset):
            job.say(Severity.WARNING, section, message, remedy)
    except Exception as error:  # noqa: BLE001 - the parser beneath meets bytes that nobody foresaw
        job.say(Severity.WARNING, "PS3.5 6.1", f"The text could not be looked at ({type(error).__name__}).")


def _parsed(
    job: _Job, stream: BinaryIO, structure: Structure, encoding: Encoding, offset: int, *, stop_before_pixels: bool
) -> Dataset:
    stop = _at_pixels if stop_before_pixels else None
    arguments = (not encoding.is_explicit, encoding.is_little_endian)
    stream.seek(offset)
    try:
        length = structure.end - offset if structure.end < job.source.size else None  # which is faster
        return read_dataset(stream, *arguments, bytelength=length, stop_when=stop)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the parser beneath meets bytes that nobody foresaw; one by one shows which
        _LOG.debug("read: the parser failed; elements are read one by one")
    dataset = Dataset()
    for element, end in _ends(structure):
        if stop_before_pixels and element.tag in _PIXELS:
            break
        stream.seek(element.offset)
        try:
            dataset.update(read_dataset(stream, *arguments, bytelength=end - element.offset))
        except Exception as error:  # noqa: BLE001 - as above
            name = f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X})"
            job.incomplete("PS3.5 7", f"{name} can't be parsed ({type(error).__name__}) and is left out.")
    dataset.set_original_encoding(*arguments, encodings_of_terms(dataset.get("SpecificCharacterSet")))
    return dataset


def _ends(structure: Structure) -> Iterator[tuple[Element, int]]:
    ends = [element.offset for element in structure.top[1:]] + [structure.end]
    return zip(structure.top, ends, strict=False)  # without elements there is an end all the same


def _at_pixels(tag: BaseTag, representation: str | None, length: int) -> bool:
    del representation, length
    return tag in _PIXELS

"""What is to be stored, looked at before it is sent: identity, transfer syntax, and whether it is whole.

Knows: files, byte strings and datasets as sources of one instance each.
Does not know: peers, associations.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import UID

from workbench.entities import uid_checked
from workbench.errors import AttributeUnusable, InputError, WorkbenchError
from workbench.files import Part10
from workbench.files.encoding import encoding_of
from workbench.network._glance import glance
from workbench.network.bulk import Content, FileContent, MemoryContent, PaddedContent
from workbench.network.transcode import can_leave, encoded, recoded

__all__ = ["Outgoing", "Source", "look_at", "opened"]

Source = Path | str | bytes | Dataset | Part10

_NAMES = {0x00080016: "SOP Class UID (0008,0016)", 0x00080018: "SOP Instance UID (0008,0018)"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One instance to be sent.

    Parameters
    ----------
    index : int
        Its place among the sources.
    name : str
        What the report calls it: a path, or which of the sources it is.
    sop_class_uid, sop_instance_uid, transfer_syntax_uid : str
        As it says itself.
    source : Part10 or Dataset
        Where its bytes are.
    data : bytes
        The whole file, where bytes were given.
    """

    index: int
    name: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source: Part10 | Dataset = field(repr=False)  # it holds an identity
    data: bytes = field(default=b"", repr=False)

    @property
    def size_bytes(self) -> int:
        """Bytes of the encoded dataset; 0 where it is not encoded yet."""
        return self.source.dataset_bytes if isinstance(self.source, Part10) else 0

    @property
    def can_change(self) -> bool:
        """Whether it can be recoded without loss."""
        return can_leave(self.transfer_syntax_uid)


def look_at(sources: Iterable[Source]) -> tuple[list[Outgoing], list[tuple[int, str, str]]]:
    """Return what can be sent, and for what can't: its place, its name and the reason."""
    good, bad = [], []
    for index, source in enumerate(sources):
        name = _name(source, index)
        try:
            good.append(_looked_at(source, index, name))
        except FileNotFoundError:
            bad.append((index, name, "There is no such file."))
        except OSError as error:
            bad.append((index, name, f"The file can't be read: {error.strerror}."))
        except WorkbenchError as error:
            bad.append((index, name, str(error)))
    return good, bad


def _name(source: Source, index: int) -> str:
    if isinstance(source, Part10):
        return str(source.path) if source.path else f"source {index}"
    return str(source) if isinstance(source, Path | str) else f"source {index}"


def _looked_at(source: Source, index: int, name: str) -> Outgoing:
    if isinstance(source, Dataset):
        return _of_dataset(source, index, name)
    if isinstance(source, Part10) and source.path is None:
        raise InputError("A Part10 as a source needs its path; pass the bytes themselves instead.")
    if not isinstance(source, Path | str | bytes | Part10):
        raise InputError(f"A source is a path, bytes, a dataset or the Part10 of a file, not {type(source).__name__}.")
    if isinstance(source, Path | str | bytes):
        data = source if isinstance(source, bytes) else b""
        place = Part10.locate(source)
    else:
        data, place = b"", source
    if UID(place.sop_class_uid).keyword == "MediaStorageDirectoryStorage":
        raise InputError("A DICOMDIR is not an instance and is not sent (PS3.10 8.6); pass the files that it lists.")
    for keyword, value in (("Class", place.sop_class_uid), ("Instance", place.sop_instance_uid)):
        if not value:
            raise AttributeUnusable(f"Storing needs a SOP {keyword} UID, which neither file meta nor dataset has (PS3.4 B.2.1).")
        uid_checked(value, name=f"SOP {keyword} UID")
    if not place.transfer_syntax_uid:
        raise AttributeUnusable("Its file meta information has no Transfer Syntax UID (0002,0010) (PS3.10 7.1).")
    syntax = uid_checked(place.transfer_syntax_uid, name="Transfer Syntax UID (0002,0010)")
    return Outgoing(index, name, place.sop_class_uid, place.sop_instance_uid, syntax, place, data)


def _of_dataset(dataset: Dataset, index: int, name: str) -> Outgoing:
    for tag, text in _NAMES.items():
        if tag not in dataset or not dataset[tag].value:
            raise AttributeUnusable(f"Storing needs {text}, which the dataset does not have (PS3.4 B.2.1).")
        uid_checked(dataset[tag].value, name=text)
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", ""))
    if not syntax:
        implicit, little = dataset.original_encoding
        syntax = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.2" if little is False else "1.2.840.10008.1.2.1"
    return Outgoing(index, name, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), syntax, dataset)


def opened(item: Outgoing, *, transfer_syntax_uid: str) -> tuple[Outgoing, Content]:
    """Return `item` as its dataset names it, and its encoded bytes, verbatim where the transfer syntax is its own.

    Raises
    ------
    DatasetIncomplete
        If it ends too early.
    AttributeUnusable
        If its SOP class is not the one of its file meta information.
    PixelDataUnusable
        If it can't be recoded.
    OSError
        If the file can't be read.
    """
    item, content = _opened(item, transfer_syntax_uid)
    if content.size % 2 == 0:
        return item, content
    if encoding_of(transfer_syntax_uid).is_deflated:
        return item, PaddedContent(content)
    content.close()
    raise AttributeUnusable(
        "Its dataset has an odd number of bytes, so that some value in it is not padded (PS3.5 7.1), and no peer need take "
        "that. Read it and save it again with workbench.files, which pads it."
    )


def _opened(item: Outgoing, transfer_syntax_uid: str) -> tuple[Outgoing, Content]:
    source, is_verbatim = item.source, transfer_syntax_uid == item.transfer_syntax_uid
    if isinstance(source, Dataset):
        data = encoded(source, transfer_syntax_uid) if is_verbatim else recoded(source, to=transfer_syntax_uid)
        return item, MemoryContent(data)
    if source.path is None:
        item, size = _checked(item, source, item.data)
        if is_verbatim:
            return item, MemoryContent(item.data, offset=source.dataset_offset, size=size)
        return item, MemoryContent(recoded(item.data, to=transfer_syntax_uid))
    content = FileContent(source.path, offset=source.dataset_offset, size=source.dataset_bytes)
    try:
        item, content.size = _checked(item, source, content.file)
        if is_verbatim:
            return item, content
        recoded_bytes = recoded(source.path.read_bytes(), to=transfer_syntax_uid)
    except BaseException:
        content.close()
        raise
    content.close()
    return item, MemoryContent(recoded_bytes)


def _checked(item: Outgoing, place: Part10, source: bytes | io.FileIO) -> tuple[Outgoing, int]:
    """Return `item` with the SOP Instance UID of its dataset, and how many bytes of it to send."""
    result = glance(source, place.dataset_offset, place.dataset_bytes, item.transfer_syntax_uid)
    if result.sop_class_uid and result.sop_class_uid != item.sop_class_uid:
        raise AttributeUnusable("Its file meta information names another SOP class than its dataset (PS3.10 7.1).")
    if result.sop_instance_uid and result.sop_instance_uid != item.sop_instance_uid:
        item = replace(item, sop_instance_uid=uid_checked(result.sop_instance_uid, name=_NAMES[0x00080018]))
    return item, result.size

"""Files that are written whole or not at all.

Knows: temporary names, fsync, rename, what a full disk looks like.
Does not know: what stands in the file, apart from `save`, which writes a Part 10 file.
"""

import contextlib
import copy
import errno
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from workbench.errors import AttributeUnusable, StorageFull
from workbench.files.byte_order import order_checked
from workbench.files.character_sets import NotEncodable
from workbench.files.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

__all__ = ["INCOMPLETE_FILES", "UnfinishedFile", "is_full", "name_once", "save", "sync_folder", "write_whole"]

#: What :func:`write_whole` calls a file before it is complete; a start-up sweep may remove what matches.
INCOMPLETE_FILES = ".wb-*.part"

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def write_whole(
    path: Path | str,
    content: bytes | Callable[[BinaryIO], None],
    *,
    durable: bool = True,
    exist_ok: bool = True,
    mode: int = 0o666,
) -> Path:
    """Write a file so that anyone sees either what was there before or all of the new content.

    Parameters
    ----------
    path : Path or str
        Where; folders that are lacking are made. A symbolic link there is replaced, not followed.
    content : bytes or callable
        The bytes, or a function that writes them to the binary file it is given.
    durable : bool
        Whether the file also survives a loss of power when this returns (fsync of file and folder).
    exist_ok : bool
        Whether a file that is already there is replaced.
    mode : int
        Permissions before the process's umask.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    StorageFull
        If there is no space left or a quota is reached.
    FileExistsError
        If there is a file already and `exist_ok` is False.
    OSError
        If the folder can't be written to.

    Notes
    -----
    Whatever is raised, also by `content`, nothing is left behind and the old file stays. Only a process that
    is killed leaves a temporary file, whose name matches `INCOMPLETE_FILES`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".wb-{secrets.token_hex(8)}.part")
    try:
        _fill(temporary, content, durable=durable, mode=mode)
        _publish(temporary, target, exist_ok=exist_ok)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if is_full(error):
            raise StorageFull(
                f"No space is left to write {target.name!r} in {str(target.parent)!r}; nothing was kept of it."
            ) from error
        raise
    if durable:
        sync_folder(target.parent)
    return target


class UnfinishedFile:
    """A file that is written piece by piece under a temporary name (`INCOMPLETE_FILES`), and named when it is whole.

    Parameters
    ----------
    folder : Path or str
        Where it grows: on the file system to which it shall go. Made where it is lacking.
    mode : int
        Permissions before the process's umask.

    Notes
    -----
    Whatever :meth:`write` or :meth:`publish` raises, nothing is left behind. StorageFull is raised where there is no space.
    """

    def __init__(self, folder: Path | str, *, mode: int = 0o666) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        #: The temporary name, at which it can be read once `complete` has returned.
        self.path = Path(folder) / f".wb-{secrets.token_hex(8)}.part"
        with self._cleaning():
            self._file = os.fdopen(_created(self.path, mode), "wb")

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes."""
        with self._cleaning():
            self._file.write(chunk)

    def complete(self, *, durable: bool = True) -> Path:
        """Have everything written that was taken; return the temporary name."""
        with self._cleaning():
            if not self._file.closed:
                self._file.flush()
                if durable:
                    os.fsync(self._file.fileno())
                self._file.close()
        return self.path

    def publish(self, path: Path | str, *, durable: bool = True, exist_ok: bool = True) -> Path:
        """Give the file its name; parameters and errors are those of :func:`write_whole`.

        Where FileExistsError is raised the file stays at its temporary name, to be looked at or discarded.
        """
        target = Path(path)
        self.complete(durable=durable)
        with self._cleaning(but=FileExistsError):
            target.parent.mkdir(parents=True, exist_ok=True)
            _publish(self.path, target, exist_ok=exist_ok)
        if durable:
            sync_folder(target.parent)
        return target

    def discard(self) -> None:
        """Remove it, unless it was published."""
        with contextlib.suppress(OSError):  # what is still to be written has no room
            if hasattr(self, "_file"):
                self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    @contextlib.contextmanager
    def _cleaning(self, *, but: type[Exception] | tuple[()] = ()) -> Iterator[None]:
        try:
            yield
        except but:
            raise
        except BaseException as error:
            self.discard()
            if is_full(error):
                raise StorageFull(f"No space is left in {str(self.path.parent)!r}; nothing was kept of the file.") from error
            raise


def _created(temporary: Path, mode: int) -> int:
    return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)


def is_full(error: BaseException) -> bool:
    """Whether an error means that there is no space left, or that a quota or the longest file is reached."""
    return _errno(error) in _FULL


def name_once(temporary: Path | str, target: Path | str, *, without_links: Callable[[], None]) -> None:
    """Give a complete file its name if that is free; the temporary name is gone then.

    Parameters
    ----------
    without_links : callable
        Does it where the file system has no hard links.

    Raises
    ------
    FileExistsError
        If the name is taken; nothing has changed then.
    """
    try:
        os.link(temporary, target)  # fails where a name is taken, unlike rename
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        without_links()
    else:
        os.unlink(temporary)  # noqa: PTH108 - text paths on the fast way


def _errno(error: BaseException | None) -> int:
    """Return what the system said, or 0: encoders wrap what the file raised."""
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        error = error.__cause__ or error.__context__
    return 0


def _fill(temporary: Path, content: bytes | Callable[[BinaryIO], None], *, durable: bool, mode: int) -> None:
    with os.fdopen(_created(temporary, mode), "wb") as file:
        if callable(content):
            content(file)
        else:
            file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _publish(temporary: Path, target: Path, *, exist_ok: bool) -> None:
    if exist_ok:
        temporary.replace(target)
        return
    try:
        name_once(temporary, target, without_links=lambda: _reserve_and_replace(temporary, target))
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, "There is a file already, and exist_ok is False", str(target)) from None


def _reserve_and_replace(temporary: Path, target: Path) -> None:
    """Take the name first, for file systems without hard links."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    temporary.replace(target)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    with contextlib.suppress(OSError):  # some systems open no folders; there the rename is as durable as it gets
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def save(
    dataset: Dataset,
    path: Path | str,
    *,
    durable: bool = True,
    exist_ok: bool = True,
    implementation: Literal["ours", "kept"] = "ours",
) -> Path:
    """Write `dataset` as a file of PS3.10: preamble, file meta information, dataset.

    Parameters
    ----------
    dataset : pydicom.Dataset
        With SOP Class UID and SOP Instance UID; it is encoded in the Transfer Syntax UID of its `file_meta`,
        which is completed in the file but not in `dataset`.
    path : Path or str
        Where; see :func:`write_whole`.
    durable, exist_ok : bool
        See :func:`write_whole`.
    implementation : {"ours", "kept"}
        Whose Implementation Class UID and Version Name (0002,0012), (0002,0013) the file has: of this library, which writes it, or
        those of `file_meta`, for files of a system that is played.

    Raises
    ------
    AttributeUnusable
        If an attribute that every file needs is missing, or the dataset can't be encoded: also where words of it are in another
        byte order than that of the transfer syntax (:func:`workbench.files.in_syntax` turns them).
    StorageFull
        If there is no space left.

    Notes
    -----
    The preamble is written as zeros, so that no program hidden in it travels on (PS3.10 7.1).
    """
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if not dataset.get(keyword):
            raise AttributeUnusable(f"A DICOM file needs {keyword}, which the dataset does not have (PS3.10 7.1).")
    shallow = _with_encoding(dataset, implementation=implementation)
    order_checked(dataset, shallow.file_meta.TransferSyntaxUID)

    def encode(file: BinaryIO) -> None:
        try:
            dcmwrite(file, shallow, enforce_file_format=True)
        except Exception as error:
            if _errno(error):
                raise
            # the library's text repeats the value, so only its kind and the tag are told
            tag = re.search(r"\([0-9A-F]{4},[0-9A-F]{4}\)", str(error))
            if isinstance(error, NotEncodable):
                raise AttributeUnusable(
                    f"Instance {dataset.SOPInstanceUID} can't be encoded: {tag[0] if tag else 'an attribute'} has characters that "
                    "its Specific Character Set (0008,0005) does not have (PS3.5 6.1). 'ISO_IR 192' has all."
                ) from None
            raise AttributeUnusable(
                f"Instance {dataset.SOPInstanceUID} can't be encoded: {tag[0] if tag else 'an attribute'} has a value that "
                f"does not fit its value representation ({type(error).__name__}; PS3.5 6.2)."
            ) from None

    return write_whole(path, encode, durable=durable, exist_ok=exist_ok)


def _with_encoding(dataset: Dataset, *, implementation: str) -> Dataset:
    """Return a shallow copy with a transfer syntax and an empty preamble."""
    shallow = copy.copy(dataset)
    meta = FileMetaDataset()
    meta.update(copy.deepcopy(getattr(dataset, "file_meta", FileMetaDataset())))
    if not meta.get("TransferSyntaxUID"):
        meta.TransferSyntaxUID = _transfer_syntax(dataset)
    if implementation != "kept" or not meta.get("ImplementationClassUID"):
        meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
        meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    shallow.file_meta = meta
    shallow.preamble = bytes(128)
    return shallow


def _transfer_syntax(dataset: Dataset) -> UID:
    if "PixelData" in dataset and getattr(dataset["PixelData"], "is_undefined_length", False):
        raise AttributeUnusable("A dataset with encapsulated Pixel Data needs TransferSyntaxUID in its file_meta (PS3.5 A.4).")
    implicit, little = dataset.original_encoding
    if little is False:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian

"""Files that a command reads, and the folder into which it retrieves.

Knows: folders, files that are odd, names made of UIDs.
Does not know: commands, what a dataset means.
"""

import filecmp
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import workbench as wb
from workbench.cli._console import say
from workbench.entities import plain
from workbench.errors import FileError, InputError, InstanceConflict

__all__ = ["Folder", "files_below", "read", "readable", "room_in"]


def files_below(paths: Iterable[Path]) -> list[Path]:
    files = [f for path in paths for f in (sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path])]
    if not files:
        raise InputError("There are no files there.")
    return files


def read(path: Path) -> tuple[Any, bool]:
    """Read a dataset; what was odd about it is said on standard error. Return it, and whether it was whole."""
    reading = wb.files.read(path)
    for finding in reading.findings:
        say(f"{finding.severity}: {path}: {finding.message}")
    return reading.dataset, reading.is_complete


def readable(files: Iterable[Path], unusable: list[Path], *, whole: bool = True) -> Iterator[tuple[Path, Any]]:
    """Give files with their datasets; what is no DICOM, or not whole, is said and kept in `unusable`."""
    for path in files:
        try:
            dataset, is_whole = read(path)
        except (FileError, OSError) as error:
            say(f"error: {error}" if path.name in str(error) else f"error: {path}: {error}")
            unusable.append(path)
            continue
        if not is_whole:
            unusable.append(path)
        if is_whole or not whole:
            yield path, dataset


def room_in(folder: Path, what: str) -> None:
    """Write in a folder once and leave nothing behind, not even the folder: what can't be kept should not be asked for.

    Parameters
    ----------
    folder : Path
        Which need not be there yet.
    what : str
        What it is for, such as ``films``.

    Raises
    ------
    InputError
        If nothing can be written there.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{plain(str(folder))!r} can't be used for {what}: {error.strerror}.") from None
    finally:
        for each in made:
            with suppress(OSError):
                each.rmdir()


class Folder:
    """Files of retrieved instances, each written as it comes and named when it is whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def receiving(
        self, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = ""
    ) -> "_Arriving":
        """Begin to receive an instance whose dataset comes in pieces."""
        meta = wb.files.meta_bytes(sop_class_uid, sop_instance_uid, transfer_syntax_uid, source_ae_title=source_ae_title)
        return _Arriving(self.root, meta)


class _Arriving:
    """An instance that comes: its study and series are known when its dataset is there."""

    def __init__(self, root: Path, meta: bytes) -> None:
        self._root, self._file = root, wb.files.UnfinishedFile(root)
        self._file.write(meta)

    def write(self, chunk: bytes | memoryview) -> None:
        self._file.write(chunk)

    def commit(self) -> Any:
        try:
            header = wb.files.read(self._file.complete(), stop_before_pixels=True).dataset
            return self._placed(wb.entities.InstanceRef.of(header))
        finally:
            self._file.discard()

    def _placed(self, ref: Any) -> Any:
        uids = [
            wb.entities.uid_checked(uid, strict=False)
            for uid in (ref.study_instance_uid, ref.series_instance_uid, ref.sop_instance_uid)
        ]
        target = self._root.joinpath(*uids[:2], f"{uids[2]}.dcm")
        try:
            self._file.publish(target, exist_ok=False)
        except FileExistsError:
            if not filecmp.cmp(self._file.path, target, shallow=False):
                message = f"{target} is there already and has other content; it was left as it is, and this one was not written."
                raise InstanceConflict(message) from None
        return ref

    def discard(self) -> None:
        self._file.discard()

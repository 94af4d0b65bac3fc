"""The files of an archive: where they lie, how they come there whole, and what dead processes leave behind.

Knows: names derived from UIDs, temporary names, links, fsync, which process is alive.
Does not know: SQL, what stands in a dataset.
"""

import contextlib
import hashlib
import itertools
import logging
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from workbench.errors import ArchiveError, StorageFull
from workbench.files import is_full, name_once, sync_folder

__all__ = ["Durability", "Store", "digest", "same_bytes", "space_checked"]

_logger = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 20

Durability = Literal["process", "power"]


class Store:
    """Folders ``objects``, ``quarantine`` and ``incoming`` under one root.

    While a store is open its process holds a lock in ``incoming``; a lock that can be taken belongs to a
    process that died, and what it left unfinished is removed.
    """

    def __init__(self, root: Path, *, durability: Durability) -> None:
        self.root = root
        self.durable = durability == "power"
        self.objects, self.quarantine, self._incoming = (root / n for n in ("objects", "quarantine", "incoming"))
        for folder in (root, self.quarantine, self._incoming, *(self.objects / f"{n:02x}" for n in range(256))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._objects_text = str(self.objects)
        name = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._folder = self._incoming / name
        self._lock_path = self._incoming / f"{name}.lock"
        self._lock: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._naming = threading.Lock()
        self._number = itertools.count()

    def begin(self) -> bool:
        """Take our lock, sweep what dead processes left; return whether there were any.

        To be called while no other process does the same.
        """
        self._lock = _locked(self._lock_path)
        self._folder.mkdir(mode=0o700)
        if self.durable:
            sync_folder(self._incoming)
        dead = [path for path in self._incoming.glob("*.lock") if path != self._lock_path and self._sweep(path)]
        return bool(dead)

    def _sweep(self, lock_path: Path) -> bool:
        lock = _locked(lock_path)
        if lock is None:
            return False
        folder = lock_path.with_suffix("")
        left = len(list(folder.glob("*"))) if folder.is_dir() else 0
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()
        lock_path.unlink(missing_ok=True)
        _logger.warning("a process that used the archive ended without closing it; %d unfinished files were removed", left)
        return True

    def end(self, *, in_order: bool = True) -> None:
        """Remove our folder and give the lock back; if not `in_order` its file stays, as that of a process that died."""
        if os.getpid() != self._process:  # a fork that ends: the folder is its parent's
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock is not None:
            if in_order:
                with contextlib.suppress(OSError):
                    self._lock_path.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None
            if in_order:
                with contextlib.suppress(OSError):  # some systems remove no file that is open
                    self._lock_path.unlink(missing_ok=True)

    # ------------------------------------------------------------ names
    def path(self, sop_instance_uid: str) -> Path:
        """Return where the instance lies or would lie; no character of the UID gets into the name."""
        return Path(self.name(sop_instance_uid))

    def name(self, sop_instance_uid: str) -> str:
        """Return the same as text."""
        digits = hashlib.sha256(sop_instance_uid.encode()).hexdigest()
        return f"{self._objects_text}/{digits[:2]}/{digits}.dcm"

    def quarantine_path(self, sop_instance_uid: str, dataset_sha256: str) -> Path:
        """Return where other bytes with the same UID lie."""
        return self.quarantine / f"{hashlib.sha256(sop_instance_uid.encode()).hexdigest()}-{dataset_sha256[:16]}.dcm"

    def files(self) -> Iterator[Path]:
        """Yield every stored instance."""
        for folder in sorted(self.objects.iterdir()):
            with os.scandir(folder) as entries:
                yield from (Path(e.path) for e in entries if e.name.endswith(".dcm"))

    # ------------------------------------------------------------ writing
    def temporary(self) -> tuple[int, str]:
        """Return a new file in our part of ``incoming``, open for writing, and its name."""
        name = f"{self._folder}/{next(self._number)}"
        return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), name

    def publish(self, temporary: str, target: str) -> bool:
        """Give a complete file its name; False where the name is taken. The temporary name is gone if True."""
        try:
            name_once(temporary, target, without_links=lambda: self._rename(temporary, target))
        except FileExistsError:
            return False
        if self.durable:
            sync_folder(Path(target).parent)
        return True

    def _rename(self, temporary: str, target: str) -> None:
        """Do so without hard links: threads of this process wait for each other instead."""
        with self._naming:
            if Path(target).exists():
                raise FileExistsError
            Path(temporary).rename(target)

    def sync(self, path: Path) -> None:
        """Wait until a stored file is on the disk, and its name too."""
        with space_checked(path.stem), path.open("rb") as file:
            os.fsync(file.fileno())
            sync_folder(path.parent)

    def put_aside(self, damaged: Path) -> None:
        """Move a file that can't be read any more out of the way; what is left of it is kept."""
        _logger.warning("a stored file is damaged and makes way for the instance that came again: %s", damaged.name)
        damaged.replace(self.quarantine / f"{damaged.stem}.damaged-{secrets.token_hex(4)}")


def _locked(path: Path) -> sqlite3.Connection | None:
    """Return a connection that holds the lock on `path` until it is closed or its process ends; None if another has it."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=MEMORY")  # nothing is ever written, so no journal needs a file
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        connection.close()
        return None
    return connection


@contextlib.contextmanager
def space_checked(what: str) -> Iterator[None]:
    """Turn a full device into `StorageFull`, and other trouble of the device into `ArchiveError`."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise StorageFull(
                f"No space is left to store {what}; nothing was kept of it. Free some space and send it again."
            ) from error
        raise ArchiveError(f"{what} can't be stored: {os.strerror(error.errno or 0)}.") from error


def same_bytes(a: BinaryIO, b: BinaryIO) -> bool:
    """Whether two files are equal from where they stand to their ends."""
    while True:
        one, other = a.read(_CHUNK_BYTES), b.read(_CHUNK_BYTES)
        if one != other:
            return False
        if not one:
            return True


def digest(path: Path, *, offset: int) -> str:
    """Return the SHA-256 of a file from `offset` to its end."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()

"""One instance on its way into the archive.

Knows: how bytes are gathered, checked, given their name, and what is done when the name is taken.
Does not know: who sends them, SQL.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from workbench.archive._header import Beginning, Header
from workbench.archive._index import Row
from workbench.archive._reading import buffer_header, file_header
from workbench.archive._shelf import Shelf
from workbench.archive._store import digest, same_bytes, space_checked
from workbench.entities import InstanceRef, ae_title_checked, uid_checked
from workbench.errors import ArchiveError, AttributeUnusable, DatasetIncomplete, InstanceConflict, NotDicom
from workbench.files import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Part10, meta_bytes

__all__ = ["Receiving"]


#: A smaller instance is written by one call when it is complete; a larger one is written as it comes, while more is on its way.
GATHERED_BYTES = 1 << 16


class Receiving:
    """An instance that is being received; made by :meth:`Archive.receiving`.

    Used as a context manager, it is discarded when the block ends without :meth:`commit`.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        source_ae_title: str = "",
        implementation: tuple[str, str] = (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME),
    ) -> None:
        self._shelf = shelf
        self._class = uid_checked(sop_class_uid, name="SOP Class UID (0008,0016)")
        self._uid = uid_checked(sop_instance_uid, name="SOP Instance UID (0008,0018)")
        self._syntax = uid_checked(transfer_syntax_uid, name="Transfer Syntax UID (0002,0010)")
        self._source = _ae_title(source_ae_title)
        names = (self._class, self._uid, self._syntax)
        self._buffer = bytearray(meta_bytes(*names, source_ae_title=self._source, implementation=implementation))
        self._offset = self.size_bytes = len(self._buffer)
        self._descriptor = -1
        self._temporary = ""
        self._beginning: Beginning | None = None
        self._ended = False
        self._digest = hashlib.sha256() if shelf.keeps_digests else None
        self.was_there = False  # set by commit() where the same bytes were

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes of the dataset; `chunk` may be used again when this returns.

        Raises
        ------
        StorageFull
            If there is no space left; nothing is kept then.
        """
        if self._ended:
            raise ArchiveError("This instance was already committed or discarded.")
        self.size_bytes += len(chunk)
        if self._digest is not None:
            self._digest.update(chunk)
        if len(self._buffer) + len(chunk) <= GATHERED_BYTES:
            self._buffer += chunk
            return
        try:
            if len(chunk) < GATHERED_BYTES:
                self._write_out(self._buffer)
                self._begin(memoryview(self._buffer)[self._offset :])
                self._buffer = bytearray(chunk)
            else:
                self._write_out(self._buffer, chunk)
                self._begin(chunk if len(self._buffer) == self._offset else self._buffer[self._offset :] + chunk[:GATHERED_BYTES])
                self._buffer = bytearray()
        except BaseException:
            self.discard()
            raise

    def commit(self) -> InstanceRef:
        """Check the instance, give it its place and its row; return its reference.

        When this returns the instance survives the end of this process, however it ends; with
        ``durability="power"`` it survives a loss of power too.

        Raises
        ------
        AttributeUnusable
            If the dataset's own SOP Class or Instance UID is not the one that was announced.
        DatasetIncomplete
            If the dataset ends in the middle of an element.
        InstanceConflict
            If an instance with this UID and other bytes is there. Both are kept; see :meth:`Archive.conflicts`.
        NotDicom, LimitExceeded
            If it can't be read as its transfer syntax says.
        StorageFull
            If there is no space left.
        """
        if self._ended:
            raise ArchiveError("This instance was already committed or discarded.")
        try:
            return self._committed()
        finally:
            self.discard()

    def _committed(self) -> InstanceRef:
        if self.size_bytes == self._offset:
            raise DatasetIncomplete(f"Instance {self._uid} came without a dataset. Send it again.")
        header = self._header()
        for keyword, announced in (("SOPClassUID", self._class), ("SOPInstanceUID", self._uid)):
            if header.values.get(keyword) != announced:
                raise AttributeUnusable(
                    f"{keyword} of the dataset is not the one announced for instance {self._uid} (PS3.4 B.2.3): nothing was kept."
                )
        with space_checked(f"instance {self._uid}"):
            self._write_out(self._buffer)
            if self._shelf.store.durable:
                os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            published = self._publish()
        if not published:
            self._meet(self._shelf.store.path(self._uid))
            self.was_there = True
        sha256 = self._digest.hexdigest() if self._digest is not None else ""
        self._shelf.take(Row(header.values, self._syntax, self._source, self.size_bytes, sha256=sha256))
        return _reference(header.values)

    def _publish(self) -> bool:
        """Give the file its name; a damaged one that stands there makes way, a sound one does not."""
        store = self._shelf.store
        target = store.name(self._uid)
        published = store.publish(self._temporary, target)
        if not published and not _is_sound(Path(target)):
            store.put_aside(Path(target))
            published = store.publish(self._temporary, target)
        if published:
            self._temporary = ""
        return published

    def _begin(self, head: bytes | bytearray | memoryview) -> None:
        """Walk over what has come first, while the rest is on its way."""
        if self._beginning is None:
            self._beginning = Beginning(head, self._syntax)

    def _header(self) -> Header:
        if not self._temporary:
            return buffer_header(self._buffer, self._offset, self._syntax)
        begun = self._beginning and self._beginning.header(self.size_bytes - self._offset)
        if begun:
            return begun
        self._write_out(self._buffer)
        self._buffer = bytearray()
        return file_header(Path(self._temporary), self._offset, self._syntax, beginning=self._beginning)

    def _write_out(self, *pieces: bytes | bytearray | memoryview) -> None:
        with space_checked(f"instance {self._uid}"):
            if not self._temporary:
                self._descriptor, self._temporary = self._shelf.store.temporary()
            if len(pieces) > 1 and hasattr(os, "writev"):
                written = os.writev(self._descriptor, pieces)
            else:
                written = os.write(self._descriptor, pieces[0]) if pieces[0] else 0
            for piece in pieces:
                with memoryview(piece) as view:
                    while written < len(view):  # a device that is almost full takes a part
                        written += os.write(self._descriptor, view[written:])
                    written -= len(view)

    def _meet(self, kept: Path) -> None:
        """Return if the instance that is there has the same dataset; otherwise keep this one apart and say so."""
        there = Part10.locate(kept)
        with kept.open("rb") as one, Path(self._temporary).open("rb") as other:
            one.seek(there.dataset_offset)
            other.seek(self._offset)
            if there.transfer_syntax_uid == self._syntax and same_bytes(one, other):
                return
        store = self._shelf.store
        digests = digest(kept, offset=there.dataset_offset), digest(Path(self._temporary), offset=self._offset)
        apart = store.quarantine_path(self._uid, digests[1])
        with space_checked(f"instance {self._uid}"):
            if store.publish(self._temporary, str(apart)):
                self._temporary = ""
        self._shelf.note_conflict(
            uid=self._uid, path=apart, digests=digests, transfer_syntax_uid=self._syntax, source_ae_title=self._source
        )
        raise InstanceConflict(
            f"Instance {self._uid} is in the archive with other bytes: the first stays (SHA-256 {digests[0][:16]}…), "
            f"the second (SHA-256 {digests[1][:16]}…) is kept in quarantine; Archive.conflicts() lists both."
        )

    def discard(self) -> None:
        """Forget what was received; nothing stays on disk. Does nothing after :meth:`commit`."""
        self._ended = True
        self._buffer = bytearray()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._temporary:
            Path(self._temporary).unlink(missing_ok=True)
            self._temporary = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.discard()


def _ae_title(value: str) -> str:
    """Return the sender's AE title, or nothing where it is none: no reason to lose an instance."""
    try:
        return ae_title_checked(value) if value else ""
    except AttributeUnusable:
        return ""


def _is_sound(path: Path) -> bool:
    try:
        part = Part10.locate(path)
        file_header(path, part.dataset_offset, part.transfer_syntax_uid)
    except (DatasetIncomplete, NotDicom):
        return False
    return True


def _reference(values: Mapping[str, str]) -> InstanceRef:
    """Return the reference to the instance whose header was read."""
    return InstanceRef(
        values.get("StudyInstanceUID", ""), values.get("SeriesInstanceUID", ""), values["SOPClassUID"], values["SOPInstanceUID"]
    )

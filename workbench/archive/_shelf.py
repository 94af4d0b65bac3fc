"""Files and index together: what keeps the two in step.

Knows: that every file has a row and every row a file, and how to get back there.
Does not know: queries, who adds or reads.
"""

import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.archive._index import Index, Row
from workbench.archive._reading import file_header
from workbench.archive._store import Durability, Store, digest
from workbench.entities import Finding, Severity
from workbench.errors import ArchiveError, WorkbenchError
from workbench.files import Part10

__all__ = ["Shelf"]

_logger = logging.getLogger(__name__)
# Own texts only: values are parameters.
# ruff: noqa: S608
_AMONG = "IN (SELECT value FROM json_each(?))"
_STUDIES_OF = f"SELECT DISTINCT StudyInstanceUID FROM instances WHERE SOPInstanceUID {_AMONG}"
_INSERT_CONFLICT = "INSERT OR IGNORE INTO conflicts VALUES (?, ?, ?, ?, ?, ?, ?)"


class Shelf:
    """The store and the index of one archive."""

    def __init__(self, root: Path, *, durability: Durability) -> None:
        with _folder_errors(root):
            self.store = Store(root, durability=durability)
        self.index = Index(root / "index.sqlite", every_commit_durable=durability == "power")
        try:
            some_died = self.index.change(lambda _: self.store.begin())
            self.keeps_digests = self.index.has_digests
            if some_died or self.index.is_unfilled:
                self._index_again()
        except BaseException:  # the next one who opens it has to begin again
            self.close(in_order=False)
            raise

    def take(self, row: Row) -> None:
        """Put a stored instance into the index."""
        self.index.add(row)

    def keep_digests(self) -> None:
        """Keep the digest of every dataset that comes from now on."""
        if not self.keeps_digests:
            self.index.keep_digests()
            self.keeps_digests = True

    def is_intact(self, uid: str) -> bool:
        """Whether the file of an instance can be read to its end and is what its row, and its digest if one is kept, say."""
        self.index.flush()
        path = self.store.path(uid)
        try:
            found = self._row_of(path)
            sizes = [size for (size,) in self.index.rows("SELECT file_bytes FROM instances WHERE SOPInstanceUID = ?", (uid,))]
            known = []
            if self.keeps_digests:
                known = [text for (text,) in self.index.rows("SELECT sha256 FROM digests WHERE SOPInstanceUID = ?", (uid,))]
            is_same = not known or known == [digest(path, offset=Part10.locate(path).dataset_offset)]
        except (WorkbenchError, OSError) as error:
            _logger.warning("instance %s is damaged: %s", uid, type(error).__name__)
            return False
        return is_same and sizes in ([], [found.file_bytes])

    def note_conflict(
        self, *, uid: str, path: Path, digests: tuple[str, str], transfer_syntax_uid: str, source_ae_title: str
    ) -> None:
        """Remember that other bytes came under the UID of a stored instance."""
        row = (path.name, uid, *digests, transfer_syntax_uid, source_ae_title, time.time())
        self.index.change(lambda connection: connection.execute(_INSERT_CONFLICT, row))
        _logger.warning("instance %s came with other bytes: kept %s, quarantined %s", uid, *digests)

    def forget(self, uids: Sequence[str]) -> None:
        """Remove instances: first their rows, then their files."""
        self.index.change(lambda connection: _forget(connection, uids))
        for uid in uids:
            self.store.path(uid).unlink(missing_ok=True)

    def close(self, *, in_order: bool = True) -> None:
        """Write what waits, give the lock back; if it can't or is not `in_order`, leave word to index the files again."""
        try:
            self.index.close()
        except BaseException:
            self.store.end(in_order=False)
            raise
        self.store.end(in_order=in_order)

    def verify(self) -> list[Finding]:
        """Compare every row with its file and every file with its row."""
        self.index.flush()
        findings: list[Finding] = []
        rows = {
            self.store.path(uid): (uid, size) for uid, size in self.index.rows("SELECT SOPInstanceUID, file_bytes FROM instances")
        }
        for path in self.store.files():
            findings += self._checked(path, rows.pop(path, None))
        for uid, _ in rows.values():
            findings.append(
                Finding(Severity.ERROR, uid, "", "The index has this instance, but its file is gone.", "Store it again.")
            )
        return findings

    def _checked(self, path: Path, row: tuple[str, int] | None) -> list[Finding]:
        name = row[0] if row else path.name
        try:
            found = self._row_of(path)
        except (WorkbenchError, OSError) as error:
            message = f"The file can't be read ({type(error).__name__})."
            return [Finding(Severity.ERROR, name, "PS3.10 7.1", message, "Remove the instance and store it again.")]
        if row is None:
            self.index.add(found)
            message = "The file was not in the index; it is now."
            return [Finding(Severity.WARNING, found.values["SOPInstanceUID"], "", message)]
        if found.file_bytes != row[1]:
            message = f"The file has {found.file_bytes} bytes, the index says {row[1]}."
            return [Finding(Severity.ERROR, name, "", message, "Remove the instance and store it again.")]
        return []

    def _row_of(self, path: Path) -> Row:
        part = Part10.locate(path)
        header = file_header(path, part.dataset_offset, part.transfer_syntax_uid)
        uid = header.values.get("SOPInstanceUID", "")
        if self.store.path(uid) != path:
            raise ArchiveError("The file has another SOP Instance UID than its name says.")
        stat = path.stat()
        return Row(header.values, part.transfer_syntax_uid, "", stat.st_size, stat.st_mtime)

    def _index_again(self) -> None:
        """Read every file that has no row: the index is new, or a process ended without closing the archive."""
        known = {self.store.path(uid) for (uid,) in self.index.rows("SELECT SOPInstanceUID FROM instances")}
        number = 0
        for path in self.store.files():
            if path not in known:
                try:
                    self.index.add(self._row_of(path))
                    number += 1
                except (WorkbenchError, OSError) as error:
                    _logger.warning("a stored file can't be read: %s: %s", path.name, type(error).__name__)
        self.index.flush()
        self._note_again()
        self.index.filled()
        if number:
            _logger.info("%d stored instances were indexed again", number)

    def _note_again(self) -> None:
        """Give every file in quarantine its row."""
        known = {name for (name,) in self.index.rows("SELECT file FROM conflicts")}
        for path in self.store.quarantine.glob("*.dcm"):
            with contextlib.suppress(WorkbenchError, OSError):
                if path.name not in known:
                    self._note_file(path)

    def _note_file(self, path: Path) -> None:
        other = Part10.locate(path)
        uid = other.sop_instance_uid
        kept = Part10.locate(self.store.path(uid))
        digests = digest(self.store.path(uid), offset=kept.dataset_offset), digest(path, offset=other.dataset_offset)
        self.note_conflict(uid=uid, path=path, digests=digests, transfer_syntax_uid=other.transfer_syntax_uid, source_ae_title="")


@contextlib.contextmanager
def _folder_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"{str(root)!r} can't be used as an archive: {error.strerror}.") from error


def _forget(connection: sqlite3.Connection, uids: Sequence[str]) -> None:
    wanted = json.dumps(list(uids))
    studies = json.dumps([row[0] for row in connection.execute(_STUDIES_OF, (wanted,))])
    connection.execute(f"DELETE FROM instances WHERE SOPInstanceUID {_AMONG}", (wanted,))
    if connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'digests'").fetchone()[0]:
        connection.execute(f"DELETE FROM digests WHERE SOPInstanceUID {_AMONG}", (wanted,))
    connection.execute(
        f"DELETE FROM series WHERE StudyInstanceUID {_AMONG} AND NOT EXISTS (SELECT 1 FROM instances i "
        "WHERE i.StudyInstanceUID = series.StudyInstanceUID AND i.SeriesInstanceUID = series.SeriesInstanceUID)",
        (studies,),
    )
    connection.execute(
        f"DELETE FROM studies WHERE StudyInstanceUID {_AMONG} AND NOT EXISTS (SELECT 1 FROM series s "
        "WHERE s.StudyInstanceUID = studies.StudyInstanceUID)",
        (studies,),
    )

"""The SQLite index of an archive.

Knows: the schema, transactions, which thread and process may write when; the only module that speaks SQL errors.
Does not know: files, what matches a query.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from workbench.archive._attributes import columns
from workbench.archive.matching import folded
from workbench.errors import ArchiveError, StorageFull

__all__ = ["Index", "Row"]

_logger = logging.getLogger(__name__)
_VERSION = 1
_UNFILLED = 1  # stands in the header of the database (application_id) until every stored file has been looked at
_BUSY_S = 30.0
_GATHER_S = 0.02  # rows that come within this time share a transaction
_FETCH = 512

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Row:
    """One instance as it goes into the index."""

    values: Mapping[str, str]
    transfer_syntax_uid: str
    source_ae_title: str
    file_bytes: int
    received_at: float = field(default_factory=time.time)
    sha256: str = ""  # of the dataset, where the archive keeps that


_STUDY = ("StudyInstanceUID", *columns("PATIENT"), *(c for c in columns("STUDY") if c != "StudyInstanceUID"))
_SERIES = ("StudyInstanceUID", *columns("SERIES"))
_IMAGE = columns("IMAGE")


def _insert(table: str, names: Sequence[str]) -> str:
    return f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - own names


_INSERT_STUDY = _insert("studies", (*_STUDY, "PatientNameFolded"))
_INSERT_SERIES = _insert("series", _SERIES)
_SYSTEM = ("StudyInstanceUID", "SeriesInstanceUID", "AvailableTransferSyntaxUID", "SourceApplicationEntityTitle", "file_bytes",
           "received_at")  # fmt: skip
_INSERT_INSTANCE = _insert("instances", (*_IMAGE, *_SYSTEM))
#: Made when an index is opened, so that archives of before have them, too.
_LATER = (
    "CREATE INDEX IF NOT EXISTS studies_by_name ON studies (PatientNameFolded)",
    "CREATE INDEX IF NOT EXISTS studies_by_grouped_name ON studies (PatientNameFolded) WHERE instr(PatientNameFolded, '=')",
)
_DIGESTS = "CREATE TABLE IF NOT EXISTS digests (SOPInstanceUID TEXT PRIMARY KEY, sha256 TEXT NOT NULL)"
_INSERT_DIGEST = "INSERT OR REPLACE INTO digests VALUES (?, ?)"


class Index:
    """Rows of instances; several threads and processes may read and write.

    Rows are written by a thread of its own, several in one transaction. Whoever reads calls :meth:`flush`
    first and so reads what it wrote. A row that is not yet written when the process is killed is made again
    from its file.
    """

    def __init__(self, path: Path, *, every_commit_durable: bool) -> None:
        self._path = path
        self._durable = every_commit_durable
        self._idle: deque[sqlite3.Connection] = deque()
        self._pending: list[Row] = []
        self._pending_changed = threading.Condition()
        self._writing = threading.Lock()
        self._closed = False
        with _translated(path):
            self._writer = self._connect()
            self._prepare()
        self._thread = threading.Thread(target=self._write_on, name="archive-index", daemon=True)
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
        return connection

    def _prepare(self) -> None:
        self._writer.execute("PRAGMA journal_mode=WAL")
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, _VERSION}:
            raise ArchiveError(
                f"The index {str(self._path)!r} has version {version}, this library writes version {_VERSION}. "
                "Remove the file while nothing uses the archive: it is built again from the stored instances."
            )
        if version == 0:
            schema = files("workbench.archive").joinpath("_schema.sql").read_text(encoding="utf-8")
            marks = f"PRAGMA application_id={_UNFILLED};\nPRAGMA user_version={_VERSION};"
            self._writer.executescript(f"BEGIN IMMEDIATE;\n{schema}\n{marks}\nCOMMIT;")
        for statement in _LATER:
            self._writer.execute(statement)

    @property
    def is_unfilled(self) -> bool:
        """Whether the index is new, and nobody has yet looked through all stored files."""
        with self._writing, _translated(self._path):
            return bool(self._writer.execute("PRAGMA application_id").fetchone()[0] == _UNFILLED)

    @property
    def has_digests(self) -> bool:
        """Whether digests of datasets are kept: from then on when some process asked for it."""
        return bool(next(self.rows("SELECT COUNT(*) FROM sqlite_master WHERE name = 'digests'"))[0])

    def keep_digests(self) -> None:
        """Make the table of digests, if it is not there."""
        self.change(lambda connection: connection.execute(_DIGESTS))

    def filled(self) -> None:
        """Note that every stored file has been looked at."""
        self.change(lambda connection: connection.execute("PRAGMA application_id=0"))

    # ------------------------------------------------------------ writing
    def add(self, row: Row) -> None:
        """Take a row; it is in the database after the next :meth:`flush` or a little later by itself."""
        with self._pending_changed:
            if self._closed:
                raise ArchiveError("The archive is closed.")
            self._pending.append(row)
            self._pending_changed.notify()

    def flush(self) -> None:
        """Write all rows that were taken before.

        Raises
        ------
        StorageFull
            If there is no space; the rows are kept and written later.
        """
        with self._writing:
            with self._pending_changed:
                batch, self._pending = self._pending, []
            if not batch:
                return
            try:
                with _translated(self._path), self._transaction() as connection:
                    _insert_rows(connection, batch)
            except BaseException:
                with self._pending_changed:
                    self._pending = batch + self._pending
                raise

    def change(self, act: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Run `act` in one write transaction, after all rows that were taken before."""
        self.flush()
        with self._writing, _translated(self._path), self._transaction() as connection:
            return act(connection)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
        except BaseException:
            self._writer.rollback()
            raise
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self._writer.rollback()
            raise

    def _write_on(self) -> None:
        while True:
            with self._pending_changed:
                self._pending_changed.wait_for(lambda: self._pending or self._closed)
                if self._closed:
                    return
            time.sleep(_GATHER_S)
            try:
                self.flush()
            except ArchiveError as error:
                _logger.warning("index rows wait to be written: %s", type(error).__name__)
                time.sleep(1)

    # ------------------------------------------------------------ reading
    def rows(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a SELECT."""
        with self._reader() as connection:
            cursor = connection.execute(sql, parameters)
            try:
                while batch := cursor.fetchmany(_FETCH):
                    yield from batch
            finally:
                cursor.close()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with _translated(self._path):
            if self._closed:
                raise ArchiveError("The archive is closed.")
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            finally:
                self._idle.append(connection)

    def close(self) -> None:
        """Take no more rows, end the thread, write what waits, close every connection."""
        with self._pending_changed:
            if self._closed:
                return
            self._closed = True
            self._pending_changed.notify_all()
        self._thread.join(10)
        try:
            self.flush()
        finally:
            while self._idle:
                self._idle.pop().close()
            self._writer.close()


def _insert_rows(connection: sqlite3.Connection, batch: Sequence[Row]) -> None:
    studies, series, instances = {}, {}, []
    for row in batch:
        get = row.values.get
        study, one_series = get("StudyInstanceUID", ""), get("SeriesInstanceUID", "")
        if study not in studies:
            studies[study] = (study, *map(get, _STUDY[1:]), folded(get("PatientName", "")))
        if (study, one_series) not in series:
            series[study, one_series] = (study, one_series, *map(get, _SERIES[2:]))
        instances.append(
            (*map(get, _IMAGE), study, one_series, row.transfer_syntax_uid, row.source_ae_title, row.file_bytes, row.received_at)
        )
    connection.executemany(_INSERT_STUDY, studies.values())
    connection.executemany(_INSERT_SERIES, series.values())
    connection.executemany(_INSERT_INSTANCE, instances)
    if digests := [(row.values.get("SOPInstanceUID", ""), row.sha256) for row in batch if row.sha256]:
        connection.executemany(_INSERT_DIGEST, digests)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into those of the workbench; their text may hold no value of a dataset."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}:
            raise StorageFull(
                f"No space is left for the index {str(path)!r}, or its device fails; what was stored stays and is indexed later."
            ) from error
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise ArchiveError(f"The index {str(path)!r} was locked by another process for {_BUSY_S:.0f} s. Try again.") from error
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise ArchiveError(
                f"The index {str(path)!r} is damaged. Remove it and its -wal and -shm files while nothing uses the archive: "
                "it is built again from the stored instances."
            ) from error
        raise ArchiveError(f"The index {str(path)!r} can't be used ({type(error).__name__}, SQLite code {code}).") from error

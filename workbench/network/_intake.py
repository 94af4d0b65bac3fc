"""Where retrieved instances go, and what came of each.

Knows: sinks (anything with write, commit and discard), callables that take the bytes of a file.
Does not know: networks.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import MethodType
from typing import Any, Protocol, Self

from workbench.entities import InstanceRef
from workbench.errors import InputError, InstanceConflict, StorageFull, WorkbenchError
from workbench.files import meta_bytes
from workbench.network.receiving import Sink

__all__ = ["ArchiveLike", "Arrival", "Intake"]

log = logging.getLogger(__name__)

_RANKS = ("failed", "already there", "retrieved", "conflict")  # of what came twice the latter of these is told
_MOST_WAITING = 8  # instances that have come and are not yet kept


class ArchiveLike(Protocol):
    """What streams instances to where they stay."""

    def receiving(self, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = "") -> Sink:
        """Return a sink for the bytes of one dataset."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came of an instance that the peer sent."""

    sop_class_uid: str
    outcome: str
    message: str
    size_bytes: int
    ref: InstanceRef | None = None


class Intake:
    """Gives a sink for every instance that comes, and remembers what came of it.

    Parameters
    ----------
    into : archive or callable
        Something with `receiving`, or a callable that takes the bytes of a file of PS3.10.
    progress : callable, optional
        Called with how many have come and how many are expected.
    """

    def __init__(self, into: ArchiveLike | Callable[[bytes], Any], *, progress: Callable[[int, int], None] | None = None) -> None:
        self._open = _opener(into)
        self._progress, self._lock = progress, threading.Lock()
        self._keeper = ThreadPoolExecutor(1, "keeper") if isinstance(self._open, MethodType) else None
        self._waiting = threading.Semaphore(_MOST_WAITING)
        self.arrivals: dict[str, Arrival] = {}
        self.total = 0
        self.size_bytes = 0
        self.is_full = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._keeper is not None:
            self._keeper.shutdown()

    @property
    def is_archive(self) -> bool:
        """Whether what is kept is known by its reference."""
        return self._keeper is not None

    def so_far(self) -> int:
        """Return how many bytes have come, of instances that are kept or not."""
        return self.size_bytes

    def settle(self) -> None:
        """Wait until everything that came is kept."""
        if self._keeper is not None:
            self._keeper.submit(lambda: None).result()

    def aside(self, keep: Callable[[], None]) -> None:
        """Have an instance kept while the next one comes; a callable of the caller is called at once, in this thread."""
        if self._keeper is None:
            keep()
            return
        self._waiting.acquire()
        self._keeper.submit(keep).add_done_callback(lambda _: self._waiting.release())

    def receiving(
        self, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str = ""
    ) -> "Parcel":
        """Return a sink for one instance."""
        try:
            sink = self._open(
                sop_class_uid=sop_class_uid,
                sop_instance_uid=sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
                source_ae_title=source_ae_title,
            )
        except Exception as error:
            self.note(sop_instance_uid, sop_class_uid, *_outcome(error), 0)
            raise
        return Parcel(self, sink, sop_class_uid, sop_instance_uid)

    def note(
        self, sop_instance_uid: str, sop_class_uid: str, outcome: str, message: str, size_bytes: int, ref: InstanceRef | None = None
    ) -> None:
        """Remember what came of an instance; where it comes again, a conflict stays one, and what was kept stays kept."""
        with self._lock:
            before = self.arrivals.get(sop_instance_uid)
            if before is not None and _RANKS.index(outcome) <= _RANKS.index(before.outcome):
                return
            self.arrivals[sop_instance_uid] = Arrival(sop_class_uid, outcome, message, size_bytes, ref)
            done = len(self.arrivals)
        if self._progress is not None:
            self._progress(done, max(done, self.total))


class Parcel:
    """The sink of one instance."""

    __slots__ = ("_class", "_intake", "_is_open", "_sink", "_uid", "size_bytes")

    def __init__(self, intake: Intake, sink: Sink, sop_class_uid: str, sop_instance_uid: str) -> None:
        self._intake, self._sink, self._class, self._uid = intake, sink, sop_class_uid, sop_instance_uid
        self._is_open, self.size_bytes = True, 0

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the dataset."""
        self.size_bytes += len(chunk)
        self._intake.size_bytes += len(chunk)  # only to be seen to grow
        try:
            self._sink.write(chunk)
        except Exception as error:
            self._failed(error)
            raise

    def commit(self) -> None:
        """Have the instance kept, aside where that is an archive's work; what comes of it is noted then."""
        self._is_open = False
        self._intake.aside(self._keep)

    def _keep(self) -> None:
        try:
            kept = self._sink.commit()
        except Exception as error:  # noqa: BLE001 - whatever it is becomes a row
            self._failed(error)
            return
        outcome = "already there" if getattr(self._sink, "was_there", False) else "retrieved"
        ref = kept if isinstance(kept, InstanceRef) else None
        self._intake.note(self._uid, self._class, outcome, "", self.size_bytes, ref)

    def discard(self) -> None:
        """Forget it: it did not come whole."""
        if self._is_open:
            self._is_open = False
            self._intake.note(
                self._uid, self._class, "failed", f"It was cut off after {self.size_bytes} bytes; nothing of it was kept.", 0
            )
        with suppress(WorkbenchError, OSError):
            self._sink.discard()

    def _failed(self, error: Exception) -> None:
        self._is_open = False
        self._intake.is_full |= isinstance(error, StorageFull)
        outcome, message = _outcome(error)
        self._intake.note(self._uid, self._class, outcome, message, self.size_bytes if outcome == "conflict" else 0)


class _Gathered:
    """Gathers a file in memory for a callable."""

    def __init__(self, into: Callable[[bytes], Any], **names: Any) -> None:
        self._into = into
        self._content = bytearray(meta_bytes(**names))

    def write(self, chunk: bytes | memoryview) -> None:
        self._content += chunk

    def commit(self) -> Any:
        return self._into(bytes(self._content))

    def discard(self) -> None:
        self._content = bytearray()


def _opener(into: Any) -> Callable[..., Sink]:
    owner = getattr(into, "__self__", None)
    if getattr(into, "__name__", "") == "add" and hasattr(owner, "receiving"):
        into = owner  # the same place, but as a stream
    if hasattr(into, "receiving"):
        opener: Callable[..., Sink] = into.receiving
        return opener
    if not callable(into):
        raise InputError(f"into must be an archive, or a callable that takes the bytes of a file, not {type(into).__name__}.")
    return lambda *, source_ae_title="", **names: _Gathered(into, source_ae_title=source_ae_title, **names)


def _outcome(error: Exception) -> tuple[str, str]:
    if isinstance(error, InstanceConflict):
        return "conflict", str(error)
    if isinstance(error, WorkbenchError):
        return "failed", str(error)
    log.error("keeping an instance failed with %s", type(error).__name__)
    return "failed", f"It could not be kept: {type(error).__name__}."

"""Storing instances at a peer: verbatim where it takes them so, losslessly recoded otherwise.

Knows: presentation contexts for sending, the statuses of C-STORE (PS3.4 B.2.3), when another attempt makes sense.
Does not know: how bytes are framed (`bulk`), what a source looks like inside (`_outgoing`).
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from workbench.entities import Peer, Rows
from workbench.errors import (
    AssociationRejected,
    Cancelled,
    ContextRejected,
    DatasetIncomplete,
    InputError,
    NetworkError,
    WorkbenchError,
)
from workbench.network._outgoing import Outgoing, Source, look_at, opened
from workbench.network.association import MAX_CONTEXTS, associate, take_over
from workbench.network.bulk import Channel, Content, Response, store_request
from workbench.network.statuses import words
from workbench.network.transcode import TARGETS

__all__ = ["Retry", "StoreOutcome", "StoreReport", "StoreRow", "store"]

log = logging.getLogger(__name__)


class StoreOutcome(StrEnum):
    """What became of an instance."""

    STORED = "stored"
    WARNING = "warning"  # stored, and the peer has a reservation
    FAILED = "failed"  # not stored
    UNKNOWN = "unknown"  # sent, wholly or in part, and no answer came
    REFUSED = "refused"  # not sent: it can't be, or the peer takes it in no lossless form


@dataclass(frozen=True, slots=True)
class StoreRow:
    """What became of one source.

    Parameters
    ----------
    source : str
        A path, or which of the sources it was.
    sop_class_uid, sop_instance_uid : str
        Empty where the source is no instance.
    outcome : StoreOutcome
        See there.
    status : int or None
        As the peer sent it (PS3.4 B.2.3).
    message : str
        In words.
    transfer_syntax_uid, sent_transfer_syntax_uid : str
        Its own, and the one in which it was sent.
    size_bytes : int
        Bytes of the dataset that was sent.
    """

    source: str
    sop_class_uid: str
    sop_instance_uid: str
    outcome: StoreOutcome
    status: int | None
    message: str
    transfer_syntax_uid: str
    sent_transfer_syntax_uid: str
    size_bytes: int


class StoreReport(Rows[StoreRow]):
    """One row a source, in the order of the sources."""

    __slots__ = ()
    row_type: ClassVar[type | None] = StoreRow

    @property
    def complete(self) -> bool:
        """Whether the peer has said of every one that it is stored."""
        return all(row.outcome in {StoreOutcome.STORED, StoreOutcome.WARNING} for row in self)

    @property
    def troubles(self) -> "StoreReport":
        """Only the rows that failed, were refused, or whose outcome is unknown."""
        return StoreReport(row for row in self if row.outcome not in {StoreOutcome.STORED, StoreOutcome.WARNING})


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again after trouble with an association (never after a status that says no).

    Parameters
    ----------
    attempts : int
        Associations in a row that may end without any answer to a C-STORE.
    first_wait_s, factor, longest_wait_s : float
        The wait after the first one, how it grows, and its limit.
    jitter : float
        Part of each wait that is left to chance, so that many clients do not come back at once.

    Examples
    --------
    >>> Retry(jitter=0).wait_s(1), Retry(jitter=0).wait_s(3)
    (0.5, 2.0)
    """

    attempts: int = 3
    first_wait_s: float = 0.5
    factor: float = 2.0
    longest_wait_s: float = 30.0
    jitter: float = 0.5

    def wait_s(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row."""
        wait = min(self.longest_wait_s, self.first_wait_s * self.factor ** (failures - 1))
        return wait * (1 - self.jitter * random.random())  # noqa: S311 - not a secret


def store(
    peer: Peer,
    sources: Iterable[Source],
    *,
    associations: int = 1,
    transcode: str = "lossless",
    retry: Retry | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> StoreReport:
    """Store instances at a peer with C-STORE (PS3.4 B).

    Parameters
    ----------
    peer : Peer
        Where to.
    sources : iterable of Path, str, bytes, Dataset or Part10
        One instance each: a file's path or content, a dataset, or a file that was located already.
    associations : int
        How many to hold at once; a peer may allow fewer, which is no failure.
    transcode : str
        ``lossless``: what the peer does not take as it is, is sent uncompressed. ``never``: it is refused.
    retry : Retry, optional
        How often and when to try again.
    progress : callable, optional
        Called with how many are done and how many there are, never by two threads at once.
    cancel : callable, optional
        Polled; where it returns True, what was not sent is reported as failed.

    Returns
    -------
    StoreReport
        One row a source, whatever happened to it.

    Raises
    ------
    InputError
        If an argument is not one of those above.

    Notes
    -----
    An instance goes out byte for byte in its own transfer syntax if the peer accepts that, else decompressed in
    Explicit or Implicit VR Little Endian. Nothing is ever compressed, so nothing is lost. Where no answer comes
    the outcome is unknown; the instance is offered again in the next attempt, which is safe since a C-STORE of
    the same instance changes nothing.

    File preambles are not sent. Trailing padding after the last element (PS3.10 7.2) is not sent either.
    """
    if transcode not in {"lossless", "never"}:
        raise InputError(f"transcode is 'lossless' or 'never', not {transcode!r}.")
    if associations < 1:
        raise InputError(f"associations is 1 or more, not {associations}.")
    items, bad = look_at(sources)
    job = _Job(peer, len(items) + len(bad), transcode == "lossless", retry or Retry(), progress, cancel)
    for index, name, reason in bad:
        job.settle(index, StoreRow(name, "", "", StoreOutcome.REFUSED, None, reason, "", "", 0))
    for contexts, batch in _batches(items, recode=job.recode):
        job.start(batch)
        _run(job, contexts, min(associations, len(batch)))
        job.finish()
    return StoreReport(row for _, row in sorted(job.rows.items()))


def _batches(items: Sequence[Outgoing], *, recode: bool) -> Iterator[tuple[list[PresentationContext], list[Outgoing]]]:
    """Yield what can go through one association: 128 contexts at most, one a pair of SOP class and transfer syntax."""
    groups: dict[tuple[str, str], list[Outgoing]] = {}
    for item in items:
        groups.setdefault((item.sop_class_uid, item.transfer_syntax_uid), []).append(item)
    wanted: dict[tuple[str, str], None] = {}
    batch: list[Outgoing] = []
    for (sop_class_uid, syntax), group in groups.items():
        targets = TARGETS if recode and group[0].can_change else ()
        more = dict.fromkeys((sop_class_uid, each) for each in (syntax, *targets))
        if len(wanted | more) > MAX_CONTEXTS:
            yield [build_context(UID(uid), one) for uid, one in wanted], batch
            wanted, batch = {}, []
        wanted |= more
        batch += group
    if batch:
        yield [build_context(UID(uid), one) for uid, one in wanted], batch


def _run(job: "_Job", contexts: list[PresentationContext], associations: int) -> None:
    if associations == 1:
        _Sender(job, contexts).run()
        return
    with ThreadPoolExecutor(associations, thread_name_prefix="store") as pool:
        runs = [pool.submit(_Sender(job, contexts).run) for _ in range(associations)]
        try:
            for run in runs:
                run.result()
        except BaseException:
            job.stopped.set()
            raise


@dataclass
class _Job:
    """What all senders share: what is left to do, and what has become of the rest."""

    peer: Peer
    total: int
    recode: bool
    retry: Retry
    progress: Callable[[int, int], None] | None
    cancel: Callable[[], bool] | None
    rows: dict[int, StoreRow] = field(default_factory=dict)
    waiting: deque[Outgoing] = field(default_factory=deque)
    unanswered: dict[int, str] = field(default_factory=dict)
    trouble: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def start(self, items: list[Outgoing]) -> None:
        self.waiting.extend(items)

    def take(self) -> Outgoing | None:
        if self.is_cancelled():
            return None
        with suppress(IndexError):
            return self.waiting.popleft()
        return None

    def is_cancelled(self) -> bool:
        if not self.stopped.is_set() and self.cancel is not None and self.cancel():
            self.stopped.set()
        return self.stopped.is_set()

    def settle(self, index: int, row: StoreRow) -> None:
        with self.lock:
            self.rows[index] = row
            if self.progress is not None:
                self.progress(len(self.rows), self.total)

    def row(
        self, item: Outgoing, outcome: StoreOutcome, message: str, *, status: int | None = None, sent: str = "", size: int = 0
    ) -> None:
        """Settle `item`."""
        self.settle(item.index, StoreRow(
            item.name, item.sop_class_uid, item.sop_instance_uid, outcome, status, message, item.transfer_syntax_uid, sent,
            size,
        ))  # fmt: skip

    def finish(self) -> None:
        """Settle what is still waiting when no sender is left."""
        reason = "the transfer was cancelled." if self.stopped.is_set() else self.trouble
        while self.waiting:
            item = self.waiting.popleft()
            if item.index in self.unanswered:
                self.row(item, StoreOutcome.UNKNOWN, self.unanswered[item.index])
            else:
                self.row(item, StoreOutcome.FAILED, f"Not sent: {reason}")

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than there is a reason to."""
        end = time.monotonic() + seconds
        while self.waiting and not self.is_cancelled() and (left := end - time.monotonic()) > 0:
            self.stopped.wait(min(left, 0.05))


class _Sender:
    """One association after the other until nothing waits any more."""

    def __init__(self, job: _Job, contexts: list[PresentationContext]) -> None:
        self.job, self.contexts = job, contexts
        self.answered = 0
        self.message_id = 0

    def run(self) -> None:
        """Send what waits; return when there is nothing left, or no reason to try again."""
        job, failures = self.job, 0
        while job.waiting and not job.is_cancelled():
            self.answered = 0
            try:
                with associate(job.peer, self.contexts) as association:
                    self._send_all(association)
            except NetworkError as error:
                job.trouble = str(error)
                if isinstance(error, ContextRejected):
                    self._refuse_all(error)
                    return
                failures = 1 if self.answered else failures + 1
                if failures >= job.retry.attempts or (isinstance(error, AssociationRejected) and not error.transient):
                    return
                wait = job.retry.wait_s(failures)
                log.info("trying again in %.2f s: %d instances wait", wait, len(job.waiting))
                job.pause(wait)

    def _refuse_all(self, error: ContextRejected) -> None:
        while item := self.job.take():
            self.job.row(item, StoreOutcome.REFUSED, str(error))

    def _send_all(self, association: Association) -> None:
        """Send through one association; the next instance is opened while the peer works on the last one."""
        accepted = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0])): int(context.context_id or 0)
            for context in association.accepted_contexts
        }
        maximum = int(association.acceptor.maximum_length or 0)
        channel = Channel(take_over(association), maximum_bytes=maximum, timeouts=self.job.peer.timeouts)
        ready = self._next(accepted)
        try:
            while ready:
                sent, ready = ready, None
                if not self._send(channel, sent):
                    return
                ready = self._next(accepted)
                self._settle(channel, sent)
            channel.release()
        finally:
            if ready:
                ready.content.close()
                self.job.waiting.appendleft(ready.item)
            if channel.is_open:
                channel.abort()

    def _next(self, accepted: dict[tuple[str, str], int]) -> "_Ready | None":
        """Return the next instance that can be sent, opened."""
        while item := self.job.take():
            syntaxes = (item.transfer_syntax_uid, *(TARGETS if self.job.recode and item.can_change else ()))
            syntax = next((syntax for syntax in syntaxes if (item.sop_class_uid, syntax) in accepted), "")
            if not syntax:
                self.job.row(item, StoreOutcome.REFUSED, _no_context(self.job, item))
                continue
            try:
                named, content = opened(item, transfer_syntax_uid=syntax)
            except OSError as error:
                self.job.row(item, StoreOutcome.REFUSED, f"The file can't be read: {error.strerror}.")
            except WorkbenchError as error:
                self.job.row(item, StoreOutcome.REFUSED, str(error))
            else:
                return _Ready(named, content, syntax, accepted[item.sop_class_uid, syntax])
        return None

    def _send(self, channel: Channel, ready: "_Ready") -> bool:
        """Send one instance; return whether the association can go on."""
        item, self.message_id = ready.item, self.message_id % 65_535 + 1
        command = store_request(item.sop_class_uid, item.sop_instance_uid, message_id=self.message_id)
        try:
            channel.send(ready.context_id, command, ready.content, cancel=self.job.is_cancelled)
        except Cancelled:
            self.job.row(item, StoreOutcome.FAILED, "Cancelled while it was sent; the association was aborted.")
            return False
        except (DatasetIncomplete, OSError) as error:
            self.job.row(item, StoreOutcome.REFUSED, f"It could not be read to its end: {error}")
            return False
        except NetworkError as error:
            self._no_answer(item, error)
            raise
        finally:
            ready.content.close()
        return True

    def _settle(self, channel: Channel, sent: "_Ready") -> None:
        try:
            response = channel.response(self.message_id)
        except NetworkError as error:
            self._no_answer(sent.item, error)
            raise
        self.answered += 1
        outcome, message = _judged(response)
        if sent.syntax != sent.item.transfer_syntax_uid:
            message += f" Sent in {UID(sent.syntax).name}, since the peer does not take {UID(sent.item.transfer_syntax_uid).name}."
        self.job.row(sent.item, outcome, message, status=response.status, sent=sent.syntax, size=sent.content.size)

    def _no_answer(self, item: Outgoing, error: NetworkError) -> None:
        """Put it behind the others: one instance that no peer survives must not keep the rest from being sent."""
        self.job.unanswered[item.index] = f"No answer came: {error} It may or may not be stored; query for it."
        self.job.waiting.append(item)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An instance that can be sent."""

    item: Outgoing
    content: Content
    syntax: str
    context_id: int


def _judged(response: Response) -> tuple[StoreOutcome, str]:
    """Return outcome and words for a response (PS3.4 B.2.3); an empty status proves nothing."""
    status = response.status
    said = f" The peer says: {response.comment!r}." if response.comment else ""
    if status is None:
        return StoreOutcome.UNKNOWN, f"The response has no status (PS3.7 9.3.1.2): it may or may not be stored.{said}"
    if status == 0:
        return StoreOutcome.STORED, f"Stored.{said}"
    is_warning = status >> 12 == 0xB or status in {0x0001, 0x0107, 0x0116}
    text = f"Status 0x{status:04X}, {words(status)} (PS3.4 B.2.3).{said}"
    return (StoreOutcome.WARNING, f"Stored, with a warning. {text}") if is_warning else (StoreOutcome.FAILED, text)


def _no_context(job: _Job, item: Outgoing) -> str:
    name, syntax = UID(item.sop_class_uid).name, UID(item.transfer_syntax_uid)
    text = f"{job.peer} takes {name} in no transfer syntax in which it can be sent without loss; its own is {syntax.name}."
    if not job.recode:
        return f"{text} Pass transcode='lossless' to send it uncompressed where that loses nothing."
    if not item.can_change:
        return f"{text} That one can't be left without a decoder, and is sent verbatim or not at all (PS3.5 A)."
    return text

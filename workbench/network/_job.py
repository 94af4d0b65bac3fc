"""The work of storing, whichever way it goes: what waits, what became of each instance, when to try again.

Knows: rows, attempts and waits.
Does not know: DIMSE, HTTP.
"""

import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

from workbench.devices import Event, Policy, Status, happening, reaction
from workbench.entities import Peer, Rows, plain
from workbench.errors import AssociationAborted, AssociationRejected, ContextRejected, InputError, NetworkError, StatusFailure
from workbench.network._outgoing import Outgoing
from workbench.network._troubles import stranger

__all__ = ["Job", "Retry", "Sender", "Sending", "StoreOutcome", "StoreReport", "StoreRow"]

log = logging.getLogger(__name__)

_WORDS = {
    "per": ("job", "instance"), "on_failure": ("continue", "stop", "abort"), "warning_is": ("success", "failure"),
    "no_context": ("continue", "abort"),
}  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Sending:
    """How a system stores, where the standard leaves it open (PS3.2 calls it the association policy and error handling).

    Parameters
    ----------
    per : str
        ``job``: one association for all instances, or for as many as its 128 presentation contexts have room for;
        ``instance``: one for each.
    on_failure : str
        ``continue`` with the others after an instance that was not stored, or ``stop``; what was on its way by then is finished.
        ``abort``: stop, and abort the association instead of releasing it.
    warning_is : str
        Whether a warning status (PS3.4 B.2.3) counts as ``success`` or ``failure``.
    no_context : str
        What becomes of an association whose contexts have none for an instance that is to go over it: ``continue`` with the
        others, or ``abort`` it before anything is sent; the others then go over the next one.
    retry : Retry
        How often and when to try again.
    statuses : tuple of Status
        What a system does about single statuses; where its table has no row for one, the above holds.

    Raises
    ------
    InputError
        If a word is another one.

    Examples
    --------
    >>> Sending(per="instance", on_failure="stop").warning_is
    'success'
    """

    per: str = "job"
    on_failure: str = "continue"
    warning_is: str = "success"
    no_context: str = "continue"
    retry: Retry = field(default_factory=Retry)
    statuses: tuple[Status, ...] = ()

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise InputError(f"{name} is {' or '.join(map(repr, words))}, not {plain(str(getattr(self, name)))!r}.")

    @classmethod
    def of(cls, policy: Policy, statuses: Iterable[Status] = (), events: Iterable[Event] = ()) -> "Sending":
        """Return what a device profile says of it; where the statement does not say, what is usual here.

        Parameters
        ----------
        policy : Policy
            Of the entity that sends.
        statuses : iterable of Status
            Its table of statuses of C-STORE.
        events : iterable of Event
            What it does where a context is not accepted, and where no data comes for the service time-out.

        Examples
        --------
        >>> Sending.of(Policy(on_failure="stop", attempts=5, wait_s=60.0)).retry.wait_s(1)
        60.0
        """
        given = {"per": policy.associations_per, "on_failure": policy.on_failure, "warning_is": policy.warning_is}
        retry, rows = Retry(), list(events)
        refused, silent = happening(rows, "context", "not accepted"), happening(rows, "service time-out")
        if refused is not None and refused.action == "abort":
            given["no_context"] = "abort"
        if policy.attempts is not None or (silent is not None and silent.action == "stop"):
            retry = replace(retry, attempts=max(1, policy.attempts or 1))
        if policy.wait_s is not None:
            retry = replace(retry, first_wait_s=policy.wait_s, factor=1.0, longest_wait_s=policy.wait_s, jitter=0.0)
        return cls(**{name: word for name, word in given.items() if word is not None}, retry=retry, statuses=tuple(statuses))

    def judged(self, outcome: "StoreOutcome", status: int | None) -> tuple["StoreOutcome", str, str]:
        """Return what an outcome counts as here, why where it is another one, and how to go on: continue, stop or abort."""
        row = None if status is None else reaction(self.statuses, status)
        action, why = row.action if row else "", ""
        is_good = outcome in {StoreOutcome.STORED, StoreOutcome.WARNING}
        if is_good and (action in _BAD or (not action and outcome is StoreOutcome.WARNING and self.warning_is == "failure")):
            outcome, is_good = StoreOutcome.FAILED, False
            why = " Here a warning counts as failure." if not row else f" Here that counts as failure ({row.source})."
        elif not is_good and status is not None and action in _GOOD:
            outcome, is_good = StoreOutcome.WARNING, True
            why = f" Here that counts as stored ({row.source if row else ''})."
        return outcome, why, "continue" if is_good else action if action in {"stop", "abort"} else self.on_failure


_GOOD, _BAD = frozenset({"success", "warning", "continue", "ignore", "log"}), frozenset({"failure", "abort", "stop"})


@dataclass
class Job:
    """What all senders share: what is left to do, and what has become of the rest."""

    peer: Peer
    total: int
    recode: bool
    policy: Sending
    progress: Callable[[int, int], None] | None
    cancel: Callable[[], bool] | None
    rows: dict[int, StoreRow] = field(default_factory=dict)
    waiting: deque[Outgoing] = field(default_factory=deque)
    unanswered: dict[int, str] = field(default_factory=dict)
    trouble: str = ""
    halted: bool = False
    aborts: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def start(self, items: list[Outgoing]) -> None:
        self.waiting.extend(items)

    def take(self) -> Outgoing | None:
        if self.halted or self.is_cancelled():
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
        """Settle `item`; stop after it, where the policy says so."""
        outcome, why, then = self.policy.judged(outcome, status)
        message += why
        self.halted = self.halted or then != "continue"
        self.aborts = self.aborts or then == "abort"
        self.settle(item.index, StoreRow(
            item.name, item.sop_class_uid, item.sop_instance_uid, outcome, status, message, item.transfer_syntax_uid, sent,
            size,
        ))  # fmt: skip

    def finish(self) -> None:
        """Settle what is still waiting when no sender is left."""
        if self.stopped.is_set():
            reason = "the transfer was cancelled."
        else:
            reason = "another instance was not stored before, and the policy is to stop then." if self.halted else self.trouble
        while self.waiting:
            item = self.waiting.popleft()
            if item.index in self.unanswered:
                self.row(item, StoreOutcome.UNKNOWN, self.unanswered[item.index])
            else:
                self.row(item, StoreOutcome.FAILED, f"Not sent: {reason}")

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than there is a reason to."""
        end = time.monotonic() + seconds
        while self.waiting and not self.halted and not self.is_cancelled() and (left := end - time.monotonic()) > 0:
            self.stopped.wait(min(left, 0.05))


class Sender(ABC):
    """One attempt after the other until nothing waits any more."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.answered = 0

    @abstractmethod
    def attempt(self) -> None:
        """Send what waits, through one association or connection.

        Raises
        ------
        NetworkError
            If it can't go on; what was not settled waits again.
        """

    def run(self) -> None:
        """Send what waits; return when there is nothing left, or no reason to try again."""
        job, failures = self.job, 0
        while job.waiting and not job.halted and not job.is_cancelled():
            self.answered = 0
            try:
                self.attempt()
            except NetworkError as error:
                job.trouble = str(error)
                if isinstance(error, ContextRejected):
                    self.refuse_all(str(error))
                    return
                failures = 1 if self.answered else failures + 1
                if failures >= job.policy.retry.attempts or _is_permanent(error):
                    return
                wait = job.policy.retry.wait_s(failures)
                log.info("trying again in %.2f s: %d instances wait", wait, len(job.waiting))
                job.pause(wait)

    def refuse_all(self, reason: str) -> None:
        """Settle what waits: the peer takes none of it."""
        while item := self.job.take():
            self.job.row(item, StoreOutcome.REFUSED, reason)

    def no_answer(self, item: Outgoing, error: NetworkError) -> None:
        """Put it behind the others: one instance that no peer survives must not keep the rest from being sent."""
        is_stranger = isinstance(error, AssociationAborted) and error.by_peer and not self.answered
        advice = f" {stranger(self.job.peer)}" if is_stranger else ""
        self.job.unanswered[item.index] = f"No answer came: {error}{advice} It may or may not be stored; query for it."
        self.job.waiting.append(item)


def _is_permanent(error: NetworkError) -> bool:
    if isinstance(error, AssociationRejected):
        return not error.transient
    return isinstance(error, StatusFailure)

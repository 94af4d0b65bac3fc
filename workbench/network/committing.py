"""Answering for instances: a provider of storage commitment over an archive (PS3.4 J.3).

Knows: what it takes to answer for an instance, failure reasons, where and how often a report is sent.
Does not know: how an archive keeps instances, how one asks (`commitment` does).
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext

from workbench.entities import Peer, html_table
from workbench.errors import InputError, InstanceNotFound, NetworkError, UidInvalid, WorkbenchError
from workbench.files import Part10
from workbench.network import contexts
from workbench.network._guard import Acceptor
from workbench.network._suboperations import encode
from workbench.network.association import associate, lost
from workbench.network.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from workbench.network.providing import Refused, answer, dataset_of
from workbench.network.statuses import words
from workbench.standard import storage_classes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Commitment"]

log = logging.getLogger(__name__)

_FAILED, _UNKNOWN, _OTHER_CLASS, _NO_CLASS, _DUPLICATE = 0x0110, 0x0112, 0x0119, 0x0122, 0x0131
_GRACE_S = 0.3  # the requestor may be about to release; a report would cross that
_POLL_S = 0.05
_MOST_WAITING, _MOST_REFERENCES, _MOST_KEPT = 1_000, 100_000, 100_000
_LONGEST_PAUSE_S = 300.0


class Kept(Protocol):
    """What is needed of an archive."""

    def keep_digests(self) -> None:
        """Keep the digest of what comes from now on."""

    def path(self, ref: str, /) -> Path:
        """Return where an instance lies."""

    def intact(self, ref: str, /, *, synced: bool = False) -> bool:
        """Return whether it is as it was stored."""


@dataclass(eq=False, slots=True)
class _Job:
    """A request, what the archive says to it, and whether that was reported."""

    uid: str
    refs: tuple[tuple[str, str], ...]
    requestor: str
    ours: str
    association: Acceptor | None
    is_duplicate: bool = False
    reasons: dict[str, int] = field(default_factory=dict)
    is_checked: bool = False
    is_taken: bool = False
    reported: str = "waits"
    since: float = field(default_factory=time.monotonic)
    context: Context = field(default_factory=copy_context)  # whoever records the request records the report

    @property
    def failed(self) -> int:
        return sum(reason != 0 for reason in self.reasons.values())

    @property
    def event_type(self) -> int:
        return 2 if self.failed else 1

    def information(self) -> Dataset:
        """Return the Event Information (PS3.4 Table J.3-2)."""
        event = Dataset()
        good: list[Dataset] = []
        bad: list[Dataset] = []
        event.TransactionUID = self.uid
        for sop_class_uid, uid in self.refs:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, uid
            if reason := self.reasons[uid]:
                item.FailureReason = reason
            (bad if reason else good).append(item)
        if good:
            event.RetrieveAETitle, event.ReferencedSOPSequence = self.ours, good
        if bad:
            event.FailedSOPSequence = bad
        return event


class Commitment:
    """Storage commitment: a provider for :class:`workbench.network.Server`.

    Parameters
    ----------
    archive : Archive
        What is answered for. From now on it keeps the digest of each instance that comes.
    known_peers : mapping of str to Peer, or iterable of Peer
        Where a report can go on a new association, by the AE title that asked; beside those that the server knows.
    report : {"auto", "same", "new"}
        On which association: ``"auto"`` on that of the request while its requestor keeps it open, otherwise on a new one.
    attempts : int
        How often a new association is tried.
    pause_s : float
        How long to wait before the second attempt, then twice as long each time.

    Notes
    -----
    An instance is answered for when its file is on the disk, can be read to its end and has the digest with which it came.
    Otherwise the report has a reason: 0x0110 damaged, 0x0112 not here, 0x0119 here under another SOP class, 0x0122 not here and
    of a class that is not stored, 0x0131 in all of a request whose Transaction UID was used before.

    Examples
    --------
    >>> import tempfile
    >>> from workbench.archive import Archive
    >>> with tempfile.TemporaryDirectory() as folder, Archive(folder) as archive:
    ...     len(Commitment(archive))
    0
    """

    sop_classes = (PUSH_MODEL,)

    def __init__(
        self,
        archive: Kept,
        *,
        known_peers: Mapping[str, Peer] | Iterable[Peer] = (),
        report: Literal["auto", "same", "new"] = "auto",
        attempts: int = 3,
        pause_s: float = 2.0,
    ) -> None:
        if report not in {"auto", "same", "new"} or attempts < 1 or not pause_s >= 0:
            raise InputError("report is 'auto', 'same' or 'new', attempts 1 or more, pause_s 0 or more.")
        archive.keep_digests()
        self._archive, self._report, self._attempts, self._pause_s = archive, report, attempts, pause_s
        self._known = known_peers if isinstance(known_peers, Mapping) else {peer.name: peer for peer in known_peers}
        self._classes = frozenset(each.uid for each in storage_classes())
        self._jobs: dict[str, _Job] = {}
        self._repeats: list[_Job] = []
        self._known_as: Callable[[str], Peer | None] = lambda _title: None
        self._waiting: set[_Job] = set()
        self._lock = threading.Lock()
        self._to_check: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._checker: threading.Thread | None = None

    # ------------------------------------------------------------ requests
    def serve(self, association: Acceptor, request: Any, context: PresentationContext) -> bool:
        """Serve an N-ACTION request: take it, and see to it in a thread of its own."""
        if str(context.abstract_syntax) != PUSH_MODEL or not isinstance(request, N_ACTION):
            return False
        if str(request.RequestedSOPInstanceUID) != PUSH_MODEL_INSTANCE:
            raise Refused(0x0112, "the SOP instance is not that of the push model")
        if request.ActionTypeID != 1:
            raise Refused(0x0123, "the action type is not 1")
        uid, refs = _asked(dataset_of(request, context))
        ours, theirs = str(association.acceptor.ae_title).strip(), str(association.requestor.ae_title).strip()
        job = _Job(uid, refs, theirs, ours, association)
        with self._lock:
            if len(self._waiting) >= _MOST_WAITING:
                raise Refused(0x0213, f"{_MOST_WAITING} requests wait")
            job.is_duplicate = uid in self._jobs
            while len(self._jobs) >= _MOST_KEPT:
                del self._jobs[next(iter(self._jobs))]
            self._jobs.setdefault(uid, job)
            self._waiting.add(job)
            if job.is_duplicate:
                self._repeats = [*self._repeats[-_MOST_WAITING:], job]
        answer(association, request, context, 0x0000)
        log.info("%s: transaction %s asks for %d instances", association.caller, uid, len(refs))
        association.poll_s = _POLL_S
        self._to_check.put(job)
        self._begin_checking()
        return True

    def _begin_checking(self) -> None:
        with self._lock:
            if self._checker is None or not self._checker.is_alive():
                self._checker = threading.Thread(target=self._check_on, name="workbench-commitment", daemon=True)
                self._checker.start()

    def _check_on(self) -> None:
        while True:
            job = self._to_check.get()
            job.reasons = {uid: _DUPLICATE if job.is_duplicate else self._reason(of, uid) for of, uid in job.refs}
            with self._lock:
                job.is_checked = True
                is_new = (self._report == "new" or job.association is None) and not job.is_taken
                job.is_taken |= is_new
            log.info("transaction %s: %d of %d instances fail", job.uid, job.failed, len(job.refs))
            if is_new:
                self._elsewhere(job)

    def _reason(self, sop_class_uid: str, uid: str) -> int:
        """Return 0 where the archive can answer for an instance, the failure reason otherwise."""
        try:
            path = self._archive.path(uid)
            if not self._archive.intact(uid, synced=True):
                return _FAILED
            return 0 if Part10.locate(path).sop_class_uid == sop_class_uid else _OTHER_CLASS
        except (InstanceNotFound, UidInvalid):
            return _UNKNOWN if sop_class_uid in self._classes else _NO_CLASS
        except Exception as error:  # noqa: BLE001 - whatever it is, the instance can't be answered for
            log.warning("instance %s can't be checked (%s)", uid, type(error).__name__)
            return _FAILED

    # ------------------------------------------------------------ reports
    def idle(self, association: Acceptor) -> None:
        """Report on the association of the requests, in its own thread, when its requestor waits."""
        with self._lock:
            waiting = [job for job in self._waiting if job.association is association and not job.is_taken]
            ready = [job for job in waiting if job.is_checked and time.monotonic() - job.since > _GRACE_S]
            for job in ready if self._report != "new" else ():
                job.is_taken = True
        for job in ready if self._report != "new" else ():
            status = _report_here(association, job)
            if status == 0:
                self._told(job, "same association")
            elif self._report == "auto" and self._peer(job) is not None:
                self._elsewhere(job)
            else:
                self._told(job, f"refused, 0x{status:04X}" if status is not None else "no answer")
        association.poll_s = _POLL_S if waiting else 1.0

    def ended(self, association: Acceptor) -> None:
        """Report on new associations what was not reported on this one."""
        with self._lock:
            left = [job for job in self._waiting if job.association is association and not job.is_taken]
            for job in left:
                job.association = None
                job.is_taken = job.is_checked
        for job in left:
            if job.is_taken:
                self._elsewhere(job)

    def meet(self, known_as: Callable[[str], Peer | None]) -> None:
        """Learn of the peers that the server knows."""
        self._known_as = known_as

    def _peer(self, job: _Job) -> Peer | None:
        own = next((peer for peer in self._known.values() if peer.ae_title == job.requestor), None)
        return own or self._known_as(job.requestor)

    def _elsewhere(self, job: _Job) -> None:
        job.association = None
        peer = self._peer(job)
        if self._report == "same" or peer is None:
            no_address = "no address of the requestor is known"
            self._told(job, f"not reported: {'the association ended' if self._report == 'same' else no_address}")
            return
        peer = peer.but(calling_ae_title=job.ours)  # the same as on the association of the request (PS3.4 J.3.3.1.2)
        threading.Thread(target=job.context.run, args=(self._deliver, peer, job), name="workbench-report", daemon=True).start()

    def _deliver(self, peer: Peer, job: _Job) -> None:
        trouble = ""
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(min(self._pause_s * 2 ** (attempt - 1), _LONGEST_PAUSE_S))
            try:
                status = _report_to(peer, job)
            except (NetworkError, WorkbenchError, OSError) as error:
                trouble = type(error).__name__
                log.warning("transaction %s: report to %s failed (%s)", job.uid, peer, trouble)
                continue
            self._told(job, "new association" if status == 0 else f"refused, 0x{status:04X}")
            return
        self._told(job, f"not reported: {trouble}")

    def _told(self, job: _Job, how: str) -> None:
        job.reported, job.association = how, None
        with self._lock:
            self._waiting.discard(job)
        log.info("transaction %s: %s", job.uid, how)

    # ------------------------------------------------------------ looking at them
    def __len__(self) -> int:
        return len(self._jobs)

    def records(self) -> list[dict[str, object]]:
        """Return one dictionary a request."""
        with self._lock:
            jobs = [*self._jobs.values(), *self._repeats]
        return [
            {"transaction_uid": job.uid, "requestor": job.requestor, "instances": len(job.refs),
             "committed": len(job.reasons) - job.failed, "failed": job.failed, "reported": job.reported}
            for job in jobs
        ]  # fmt: skip

    def table(self) -> "pd.DataFrame":
        """Return a DataFrame with one row a request: how many instances are answered for, and how that was reported."""
        import pandas as pd  # noqa: PLC0415 - half a second, and only wanted here

        columns = ("transaction_uid", "requestor", "instances", "committed", "failed", "reported")
        return pd.DataFrame.from_records(self.records(), columns=list(columns)).convert_dtypes()

    def _repr_html_(self) -> str:
        return html_table(self.records(), caption=f"Storage commitment: {len(self)} requests")


def _asked(information: Dataset) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return Transaction UID and references of an Action Information (PS3.4 Table J.3-1), each instance once."""
    uid = str(information.get("TransactionUID") or "")
    items = information.get("ReferencedSOPSequence") or ()
    pairs = [(str(item.get("ReferencedSOPClassUID") or ""), str(item.get("ReferencedSOPInstanceUID") or "")) for item in items]
    if not uid or not pairs or not all(map(all, pairs)):
        raise Refused(0x0115, "Transaction UID or a reference is missing")
    if len(pairs) > _MOST_REFERENCES:
        raise Refused(0x0213, f"more than {_MOST_REFERENCES} instances at once")
    return uid, tuple({instance: (sop_class, instance) for sop_class, instance in pairs}.values())


def _report_here(association: Acceptor, job: _Job) -> int | None:
    """Send the report on the association of the request; return the status of the answer, None where there is none."""
    context = next(c for c in association.accepted_contexts if str(c.abstract_syntax) == PUSH_MODEL)
    request = N_EVENT_REPORT()
    request.MessageID, request.EventTypeID = 1, job.event_type
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = UID(PUSH_MODEL), UID(PUSH_MODEL_INSTANCE)
    request.EventInformation = encode(job.information(), str(context.transfer_syntax[0]))
    with association.turn:
        association.dimse.send_msg(request, cast("int", context.context_id))
    end, status = time.monotonic() + (association.dimse_timeout or 0), None
    messages: Any = association.dimse.msg_queue
    aside = []  # what comes in between is served afterwards
    while status is None and time.monotonic() < end:
        is_alive = association.is_alive_and_well
        try:
            context_id, message = messages.get(timeout=0.2 if is_alive else 0)
        except queue.Empty:
            if not is_alive:  # only now: the answer may have come right before the end
                break
            continue
        if isinstance(message, N_EVENT_REPORT) and context_id == context.context_id and message.MessageIDBeingRespondedTo:
            status = int(message.Status or 0)
        elif message is not None:
            aside.append((context_id, message))
    for each in aside:
        messages.put(each)
    return status


def _report_to(peer: Peer, job: _Job) -> int:
    """Send the report on a new association, in which we are the SCP (PS3.7 D.3.3.4); return the status of the answer."""
    with associate(peer, contexts.service(PUSH_MODEL), roles={PUSH_MODEL: (False, True)}) as association:
        status, _ = association.send_n_event_report(job.information(), job.event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        if "Status" not in status:
            raise lost(association, peer, "N-EVENT-REPORT")
        if status.Status:
            log.warning("transaction %s: %s refused the report, %s", job.uid, peer, words(status.Status))
        return int(status.Status)

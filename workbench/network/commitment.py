"""Storage commitment: asking a peer to answer for instances, and hearing what it says (PS3.4 J.3).

Knows: N-ACTION and N-EVENT-REPORT as the one who asks, on one association or two, and what a report means for each instance.
Does not know: how instances got to the peer, how one answers for them (`committing` does).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext

from workbench.entities import InstanceRef, Peer, Rows, html_table, uid_checked
from workbench.errors import AssociationAborted, InputError
from workbench.network import contexts
from workbench.network._guard import Acceptor
from workbench.network._hearing import ReportPolicy, silence, waiting
from workbench.network._suboperations import encode
from workbench.network._talking import conversation, local_host
from workbench.network._troubles import stranger
from workbench.network.addressbook import as_peer
from workbench.network.association import associate, was_aborted
from workbench.network.providing import Refused, answer, dataset_of
from workbench.network.server import Server
from workbench.network.statuses import words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FAILURE_REASONS", "PUSH_MODEL", "PUSH_MODEL_INSTANCE", "CommitmentOutcome", "CommitmentReport",
           "CommitmentReports", "CommitmentRow", "ReportPolicy", "commit"]  # fmt: skip

log = logging.getLogger(__name__)

PUSH_MODEL, PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"

#: Failure Reason (0008,1197), PS3.3 C.14.1.1.
FAILURE_REASONS = {
    0x0110: "processing failure",
    0x0112: "no such instance is there",
    0x0119: "the instance is there under another SOP class",
    0x0122: "the SOP class is not supported",
    0x0131: "the transaction UID is in use already",
    0x0213: "not enough resources",
}
_HOLD_S = 5.0  # how long the association of the request stays open where the report can come on another one
_QUIET_S = 0.5  # how long a wait is not worth a word
_MOST_TRANSACTIONS = 10_000


class CommitmentOutcome(StrEnum):
    """What a peer says about an instance."""

    COMMITTED = "committed"
    FAILED = "failed"
    UNCOMMITTED = "uncommitted"


@dataclass(frozen=True, slots=True)
class CommitmentRow:
    """What is known of one instance.

    Parameters
    ----------
    sop_instance_uid, sop_class_uid : str
        Which one.
    outcome : CommitmentOutcome
        ``committed``: the peer answers for it. ``failed``: it says that it does not. ``uncommitted``: it says nothing.
    reason : int or None
        Failure Reason (0008,1197), or the status that refused the request.
    message : str
        The same in words.
    transaction_uid : str
        Of the request.
    """

    sop_instance_uid: str
    sop_class_uid: str
    outcome: CommitmentOutcome
    reason: int | None
    message: str
    transaction_uid: str


class CommitmentReport(Rows[CommitmentRow]):
    """One row an instance; the local copy of whatever is not committed must be kept."""

    __slots__ = ()
    row_type: ClassVar[type | None] = CommitmentRow

    @property
    def complete(self) -> bool:
        """Whether there are rows and the peer answers for each."""
        return bool(self) and all(row.outcome is CommitmentOutcome.COMMITTED for row in self)

    def counts(self) -> dict[str, int]:
        """Return how many instances have which outcome."""
        outcomes = [str(row.outcome) for row in self]
        return {outcome: outcomes.count(outcome) for outcome in dict.fromkeys(outcomes)}

    def __repr__(self) -> str:
        return f"CommitmentReport({', '.join(f'{number} {outcome}' for outcome, number in self.counts().items())})"


@dataclass(slots=True)
class _Transaction:
    """A request, and what came of it."""

    uid: str
    refs: tuple[tuple[str, str], ...]
    peer: str
    outcomes: dict[str, tuple[CommitmentOutcome, int | None, str]] = field(default_factory=dict)
    state: str = "open"  # then unsent, unanswered, refused or reported
    since: float = field(default_factory=time.monotonic)

    def rows(self, otherwise: str) -> Iterable[CommitmentRow]:
        for sop_class_uid, uid in self.refs:
            outcome, reason, message = self.outcomes.get(uid, (CommitmentOutcome.UNCOMMITTED, None, otherwise))
            yield CommitmentRow(uid, sop_class_uid, outcome, reason, message, self.uid)


class CommitmentReports:
    """What peers report about our requests: a provider for :class:`workbench.network.Server`.

    A peer that sends its report on a new association (PS3.4 J.3.3.1.2) must find a server of ours with this in `providers`; it
    knows where by our AE title.

    Parameters
    ----------
    policy : ReportPolicy, optional
        By which status a report is answered that is not taken over, and how strictly it is read.

    Examples
    --------
    >>> len(CommitmentReports())
    0
    """

    sop_classes = reversible = (PUSH_MODEL,)

    def __init__(self, *, policy: ReportPolicy | None = None) -> None:
        self.policy = policy or ReportPolicy()
        self._changed = threading.Condition()
        self._transactions: dict[str, _Transaction] = {}
        self._expired: dict[str, None] = {}

    def expect(self, refs: Iterable[tuple[str, str]], *, peer: str = "") -> "_Transaction":
        """Note a request that is about to be sent: SOP class and instance UIDs, and of whom."""
        transaction = _Transaction(generate_uid(), tuple(refs), peer)
        with self._changed:
            while len(self._transactions) >= _MOST_TRANSACTIONS:
                self._expire(next(iter(self._transactions)))
            self._transactions[transaction.uid] = transaction
        return transaction

    def _expire(self, uid: str) -> None:
        del self._transactions[uid]
        while len(self._expired) >= _MOST_TRANSACTIONS:
            del self._expired[next(iter(self._expired))]
        self._expired[uid] = None

    def refuse(self, transaction: "_Transaction", status: int | None, message: str, *, is_sent: bool = True) -> None:
        """Note that the peer does not process a request, or that it is not known whether it does."""
        with self._changed:
            if transaction.state == "open":
                transaction.state = "refused" if status is not None else "unanswered" if is_sent else "unsent"
                transaction.outcomes = {uid: (CommitmentOutcome.UNCOMMITTED, status, message) for _, uid in transaction.refs}
            self._changed.notify_all()

    def take(self, event_type: int | None, information: Dataset) -> None:
        """Take a report.

        Raises
        ------
        Refused
            With a status of the policy; nothing changes then.
        """
        self.policy.check_event(event_type)
        with self._changed:
            transaction = self._of(str(information.get("TransactionUID") or ""))
            if transaction.state == "reported":  # it comes again where our answer did not arrive
                return
            self.policy.check_names(information, {uid for _, uid in transaction.refs})
            transaction.outcomes, transaction.state = _judged(transaction.refs, information), "reported"
            log.info("transaction %s was reported on, %d instances", transaction.uid, len(transaction.refs))
            self._changed.notify_all()

    def _of(self, uid: str) -> _Transaction:
        """Return the request of a report."""
        transaction = self._transactions.get(uid)
        if transaction is None:
            if uid in self._expired:
                raise Refused(self.policy.expired, "too many requests have come since")
            raise Refused(self.policy.unknown, "no request has this Transaction UID")
        if self.policy.keep_s is not None and time.monotonic() - transaction.since > self.policy.keep_s:
            raise Refused(self.policy.expired, "the request is too old")
        return transaction

    def hear(self, request: N_EVENT_REPORT, context: PresentationContext) -> None:
        """Take the report that a request brings.

        Raises
        ------
        Refused
            With a status of the policy, whatever is wrong with it; nothing changes then.
        """
        try:
            self.take(request.EventTypeID, dataset_of(request, context))
        except Refused as refused:
            log.warning("a report is answered with status 0x%04X: %s", refused.status, refused.comment)
            raise
        except Exception as error:  # noqa: BLE001 - what a peer sends must end no conversation, and its text may hold a value
            log.warning("a report can't be read (%s)", type(error).__name__)
            raise Refused(self.policy.trouble, "the report can't be read") from None

    @property
    def awaited(self) -> frozenset[str]:
        """The Transaction UIDs of requests that were sent, not refused and not reported on."""
        with self._changed:
            return frozenset(uid for uid, t in self._transactions.items() if t.state in {"open", "unanswered"})

    def is_settled(self, transactions: Iterable["_Transaction"]) -> bool:
        """Whether nothing more is to be expected."""
        return all(transaction.state != "open" for transaction in transactions)

    def wait(self, transactions: Iterable["_Transaction"], until: float, cancel: Callable[[], bool]) -> None:
        """Wait until all are settled, or the moment `until` of the monotonic clock."""
        waiting = list(transactions)
        with self._changed:
            while not self.is_settled(waiting) and not cancel() and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(0.2, left))

    # ------------------------------------------------------------ the service
    def serve(self, association: Acceptor, request: Any, context: PresentationContext) -> bool:
        """Serve an N-EVENT-REPORT request."""
        if str(context.abstract_syntax) != PUSH_MODEL or not isinstance(request, N_EVENT_REPORT):
            return False
        self.hear(request, context)
        answer(association, request, context, 0x0000, EventTypeID=request.EventTypeID)
        return True

    def ended(self, association: Acceptor) -> None:
        """Nothing belongs to an association."""

    def __len__(self) -> int:
        return len(self._transactions)

    def report(self) -> CommitmentReport:
        """Return what is known now of all instances that were asked about, also what was reported late."""
        with self._changed:
            return CommitmentReport(r for t in self._transactions.values() for r in t.rows("No report has come."))

    def table(self) -> "pd.DataFrame":
        """Return a DataFrame with one row an instance."""
        return self.report().table()

    def _repr_html_(self) -> str:
        with self._changed:
            rows: list[dict[str, object]] = [
                {"transaction": t.uid, "peer": t.peer, "state": t.state, "instances": len(t.refs)}
                for t in self._transactions.values()
            ]
        return html_table(rows, caption=f"Storage commitment: {len(rows)} requests")


def commit(
    peer: Peer | str,
    refs: Iterable[InstanceRef | Dataset | tuple[str, str]],
    *,
    wait_s: float = 60.0,
    listen: CommitmentReports | int | None = None,
    reports: CommitmentReports | None = None,
    at_once: int = 1000,
    cancel: Callable[[], bool] | None = None,
    progress: Callable[[str], object] | None = None,
) -> CommitmentReport:
    """Ask a peer to answer for the safekeeping of instances (storage commitment push model, PS3.4 J.3).

    Parameters
    ----------
    peer : Peer or str
        Whom: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    refs : iterable of InstanceRef, Dataset or tuple of str
        Which instances; a tuple is SOP Class UID and SOP Instance UID.
    wait_s : float
        How long to wait for the report, counted from the answer to the last request.
    listen : CommitmentReports or int, optional
        Where a report can come that the peer sends on a new association: the provider of a server of ours that runs, or a port at
        which one is started meanwhile, under our calling AE title. By default only the association of the request is held open.
    reports : CommitmentReports, optional
        What takes the reports, where `listen` does not name it: its policy holds, and it can be asked later.
    at_once : int
        How many instances one request names at most; several requests go over one association.
    cancel : callable, optional
        Polled; when it is true, nothing more is waited for.
    progress : callable, optional
        Called with a sentence when a report does not come at once: how long it is waited for, and where it can come.

    Returns
    -------
    CommitmentReport
        One row an instance. No report in time, a request that is refused, a lost connection: ``uncommitted``, and the message
        says why. A report that comes later is still taken by a provider that was passed.

    Raises
    ------
    InputError
        If a reference has no SOP class or instance UID, or an argument is out of range.
    NetworkError
        If no association comes about; the leaf says why. :class:`workbench.errors.ContextRejected` where the peer does not offer
        storage commitment.
    """
    if at_once < 1 or not wait_s >= 0:
        raise InputError(f"at_once is 1 or more and wait_s 0 or more, not {at_once} and {wait_s}.")
    peer, wanted = as_peer(peer), _pairs(refs)
    if isinstance(listen, CommitmentReports) or reports is None:
        reports = listen if isinstance(listen, CommitmentReports) else CommitmentReports()
    stop = cancel or (lambda: False)
    with ExitStack() as listening:
        with associate(peer, contexts.service(PUSH_MODEL)) as association:
            if isinstance(listen, int):
                host = local_host(association)
                ours = Server(None, ae_title=peer.calling_ae_title, host=host, port=listen, providers=[reports])
                listening.enter_context(ours)
            asked = [reports.expect(wanted[k : k + at_once], peer=peer.name) for k in range(0, len(wanted), at_once)]
            hold_s = wait_s if listen is None else min(wait_s, _HOLD_S)
            waits = partial(progress or log.info, waiting(wait_s, has_ear=listen is not None))
            exchange = _Exchange(association, peer, reports)
            begun = exchange.run(asked, hold_s, stop, waits)
        if listen is not None:
            reports.wait(asked, begun + wait_s, stop)
    waited_s = min(wait_s, time.monotonic() - begun)
    said = silence(waited_s, has_ear=listen is not None, over_s=exchange.over_s, is_cancelled=stop())
    report = CommitmentReport(row for transaction in asked for row in transaction.rows(said))
    log.info("%s answers for %d of %d instances", peer, report.counts().get("committed", 0), len(report))
    return report


class _Exchange:
    """The association of the requests, on which reports may come as well, in between and afterwards.

    Attributes
    ----------
    over_s : float or None
        How long after the answer to the last request the peer ended it; None where it did not.
    """

    def __init__(self, association: Association, peer: Peer, reports: CommitmentReports) -> None:
        self._association, self._peer, self._reports = association, peer, reports
        self.over_s: float | None = None
        self._contexts = {context.context_id: context for context in association.accepted_contexts}

    def run(self, asked: list[_Transaction], hold_s: float, cancel: Callable[[], bool], waits: Callable[[], object]) -> float:
        """Send the requests; take reports until all have come, or for `hold_s`. Return when the last request was answered."""
        begun, unsent = 0.0, list(asked)
        try:
            with conversation(self._association) as take:
                while unsent:
                    self._request(len(asked) - len(unsent) + 1, unsent.pop(0), take)
                begun = time.monotonic()
                for seconds in (min(_QUIET_S, hold_s), hold_s):
                    end = begun + seconds
                    while not self._reports.is_settled(asked) and not cancel() and (left := end - time.monotonic()) > 0:
                        self._take(take(min(0.2, left)))
                    if seconds < hold_s and not self._reports.is_settled(asked):
                        waits()
        except AssociationAborted:
            log.warning("the association with %s ended before all was reported", self._peer)
            self._association.abort()
            self.over_s = time.monotonic() - begun if begun else None
            for transaction in unsent:
                self._reports.refuse(transaction, None, "The association ended before the request was sent.", is_sent=False)
        return begun or time.monotonic()

    def _request(self, number: int, transaction: _Transaction, take: Callable[[float], tuple[int, Any] | None]) -> None:
        context_id, context = next(iter(self._contexts.items()))
        request = N_ACTION()
        request.MessageID, request.ActionTypeID = number, 1
        request.RequestedSOPClassUID, request.RequestedSOPInstanceUID = UID(PUSH_MODEL), UID(PUSH_MODEL_INSTANCE)
        request.ActionInformation = encode(_information(transaction), str(context.transfer_syntax[0]))
        self._association.dimse.send_msg(request, int(context_id or 0))
        end = time.monotonic() + self._peer.timeouts.dimse_s
        try:
            while (left := end - time.monotonic()) > 0:
                message = self._take(take(left))
                if isinstance(message, N_ACTION) and message.MessageIDBeingRespondedTo == number:
                    if message.Status:
                        said = f"The peer refused the request: status 0x{message.Status:04X}, {words(message.Status)} (PS3.7 C)."
                        self._reports.refuse(transaction, message.Status, said)
                    return
        except AssociationAborted:
            advice = f" {stranger(self._peer)}" if number == 1 and was_aborted(self._association) else ""
            self._reports.refuse(transaction, None, f"The association ended before the request was answered.{advice}")
            raise
        self._reports.refuse(transaction, None, f"The request was not answered within {self._peer.timeouts.dimse_s:g} s.")

    def _take(self, came: tuple[int, Any] | None) -> Any:
        """Return a response; take a report and answer it."""
        if came is None:
            return None
        context_id, message = came
        context = self._contexts.get(context_id)
        if context is None or not isinstance(message, N_EVENT_REPORT):
            return message
        status, comment = 0x0000, ""
        try:
            self._reports.hear(message, context)
        except Refused as refused:
            status, comment = refused.status, refused.comment
        self._answer(message, context_id, status, comment)
        return None

    def _answer(self, report: N_EVENT_REPORT, context_id: int, status: int, comment: str) -> None:
        response: Any = N_EVENT_REPORT()
        response.MessageIDBeingRespondedTo, response.Status = report.MessageID, status
        response.AffectedSOPClassUID, response.AffectedSOPInstanceUID = UID(PUSH_MODEL), UID(PUSH_MODEL_INSTANCE)
        response.EventTypeID = report.EventTypeID
        if comment:
            response.ErrorComment = comment
        self._association.dimse.send_msg(response, context_id)


def _pairs(refs: Iterable[InstanceRef | Dataset | tuple[str, str]]) -> list[tuple[str, str]]:
    """Return SOP class and instance UIDs, each instance once (PS3.4 J.3.2.1.1.3)."""
    found: dict[str, tuple[str, str]] = {}
    for ref in refs:
        if isinstance(ref, Dataset):
            ref = InstanceRef.of(ref)  # noqa: PLW2901 - the same in other words
        pair = (ref.sop_class_uid, ref.sop_instance_uid) if isinstance(ref, InstanceRef) else _pair(ref)
        found.setdefault(pair[1], pair)
    if not found:
        raise InputError("There is no instance to commit.")
    return list(found.values())


def _pair(given: Any) -> tuple[str, str]:
    try:
        sop_class_uid, sop_instance_uid = given
    except (TypeError, ValueError):
        text = "An instance is an InstanceRef, a dataset, or a tuple of SOP Class UID and SOP Instance UID."
        raise InputError(text) from None
    return uid_checked(sop_class_uid, name="SOP Class UID"), uid_checked(sop_instance_uid, name="SOP Instance UID")


def _information(transaction: _Transaction) -> Dataset:
    """Return the Action Information of a request (PS3.4 Table J.3-1)."""
    information = Dataset()
    information.TransactionUID = transaction.uid
    items = []
    for sop_class_uid, uid in transaction.refs:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, uid
        items.append(item)
    information.ReferencedSOPSequence = items
    return information


def _judged(refs: Iterable[tuple[str, str]], information: Dataset) -> dict[str, tuple[CommitmentOutcome, int | None, str]]:
    """Return what a report says of each instance; what it names as failed is failed, whatever else it says."""
    good = {(str(i.get("ReferencedSOPInstanceUID")), str(i.get("ReferencedSOPClassUID")))
            for i in information.get("ReferencedSOPSequence") or ()}  # fmt: skip
    bad = {str(i.get("ReferencedSOPInstanceUID")): i.get("FailureReason") for i in information.get("FailedSOPSequence") or ()}
    named = {uid for uid, _ in good}
    found: dict[str, tuple[CommitmentOutcome, int | None, str]] = {}
    for sop_class_uid, uid in refs:
        if uid in bad:
            reason = bad[uid] if isinstance(bad[uid], int) else 0x0110
            text = FAILURE_REASONS.get(reason) or words(reason)
            found[uid] = (CommitmentOutcome.FAILED, reason, f"Failure reason 0x{reason:04X}: {text} (PS3.3 C.14.1.1).")
        elif (uid, sop_class_uid) in good:
            found[uid] = (CommitmentOutcome.COMMITTED, None, "The peer answers for it.")
        elif uid in named:
            found[uid] = (CommitmentOutcome.FAILED, 0x0119, "The report names it under another SOP class.")
        else:
            found[uid] = (CommitmentOutcome.UNCOMMITTED, None, "The report does not name it.")
    return found

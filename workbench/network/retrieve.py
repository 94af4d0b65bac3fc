"""Retrieval by C-GET, C-MOVE or WADO-RS, with one row for every instance that was to come.

Knows: which way to take, what is still missing, what a final status means (PS3.4 C.4.2, C.4.3).
Does not know: PDUs, multipart, where the instances go.
"""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from pydicom.dataset import Dataset

from workbench.entities import InstanceRef, PatientRef, Peer, Reference, Rows, SeriesRef, ae_title_checked, html_safe, uid_checked
from workbench.errors import Cancelled, ContextRejected, InputError, NetworkError, StatusFailure, UidInvalid
from workbench.network import _expected, contexts
from workbench.network._conversation import Conversation, Response
from workbench.network._expected import Counted, Expected, Wanted, conversing, refusal
from workbench.network._intake import ArchiveLike, Intake
from workbench.network._landing import landing
from workbench.network._wado import Stopped, fetch
from workbench.network.addressbook import as_peer
from workbench.network.find import find
from workbench.network.negotiation import QueryOptions, proposal
from workbench.network.security import tls_of
from workbench.network.statuses import CANCELLED, words
from workbench.standard import UNIQUE_KEYS, storage_classes

__all__ = ["RetrieveReport", "Retrieved", "retrieve"]

log = logging.getLogger(__name__)

Method = Literal["auto", "get", "move", "web"]
_GET, _MOVE = contexts.query_model("STUDY", "GET"), contexts.query_model("STUDY", "MOVE")
_RELATIONAL = QueryOptions(relational=True)
_KEPT = {"retrieved", "already there"}
_DESTINATION_UNUSABLE = frozenset({0xA702, 0xA801, 0xC000})  # unknown, or known at another place: peers differ in which they say


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What came of one instance.

    Parameters
    ----------
    sop_instance_uid, sop_class_uid : str
        Which one.
    outcome : str
        ``retrieved``, ``already there`` (the same bytes were), ``conflict`` (the archive has other bytes under its UID and
        keeps both), ``failed`` (it came, or the peer tried, and it could not be kept), ``missing`` (it did not come).
    status : int or None
        The final status of the operation that should have brought it, where it did not come.
    message : str
        Why not.
    size_bytes : int
        Of its dataset.
    """

    sop_instance_uid: str
    sop_class_uid: str
    outcome: str
    status: int | None
    message: str
    size_bytes: int


class RetrieveReport(Rows[Retrieved]):
    """One row for every instance that was expected or came.

    Attributes
    ----------
    method : str
        ``get``, ``move`` or ``web``.
    seconds : float
        How long it took.
    cancelled : bool
        Whether the caller stopped it.
    notes : tuple of str
        What is in doubt, or was not there.
    granted : frozenset of str
        What the peer granted beyond the baseline: relational, or nothing.
    status : int or None
        With what the peer ended; of several operations the last one that was not a success. None on the web, or where it did
        not answer.
    """

    row_type: ClassVar[type | None] = Retrieved
    method: str = ""
    seconds: float = 0.0
    cancelled: bool = False
    notes: tuple[str, ...] = ()
    granted: frozenset[str] = frozenset()
    status: int | None = None

    @classmethod
    def of(cls, rows: Iterable[Retrieved], *, method: str, seconds: float, cancelled: bool, notes: Iterable[str]) -> Self:
        """Return a report with what belongs to it."""
        report = cls(rows)
        report.method, report.seconds, report.cancelled, report.notes = method, seconds, cancelled, tuple(notes)
        return report

    @property
    def complete(self) -> bool:
        """Whether everything that was expected is here, and it was known what to expect."""
        return bool(self) and not self.cancelled and not self.notes and all(row.outcome in _KEPT for row in self)

    @property
    def troubles(self) -> "RetrieveReport":
        """Only the rows of instances that are not here as they should be."""
        rows = (row for row in self if row.outcome not in _KEPT)
        return RetrieveReport.of(rows, method=self.method, seconds=self.seconds, cancelled=self.cancelled, notes=self.notes)

    @property
    def size_bytes(self) -> int:
        """How much came."""
        return sum(row.size_bytes for row in self)

    def counts(self) -> dict[str, int]:
        """Return how many rows have each outcome."""
        found: dict[str, int] = {}
        for row in self:
            found[row.outcome] = found.get(row.outcome, 0) + 1
        return found

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.counts().items()) or "nothing"
        state = "complete" if self.complete else "cancelled" if self.cancelled else "NOT COMPLETE"
        return f"RetrieveReport({counts}; {self.size_bytes / 1e6:.1f} MB in {self.seconds:.2f} s by {self.method}; {state})"

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html_safe(note)}</li>" for note in self.notes)
        return f"<p>{html_safe(self)}</p>" + (f"<ul>{notes}</ul>" if notes else "") + super()._repr_html_()


def retrieve(  # noqa: PLR0913 - each is a choice of its own
    peer: Peer | str,
    refs: Reference | Iterable[Reference],
    *,
    into: ArchiveLike | Callable[[bytes], Any],
    method: Method | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: Callable[[], bool] | None = None,
    move_port: int = 0,
    relational: bool = False,
    expect: Iterable[InstanceRef] | None = None,
    destination: str = "",
) -> RetrieveReport:
    """Fetch instances from a peer.

    Parameters
    ----------
    peer : Peer or str
        Who has them: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    refs : reference or iterable of references
        Patients, studies, series or instances.
    into : archive or callable
        An archive, to which each dataset is streamed as it comes; or a callable that takes the bytes of a file (PS3.10)
        with the dataset as the peer has sent it.
    method : str, optional
        ``get``, ``move`` or ``web``; by default what ``peer.retrieve_by`` says. ``auto`` takes the web where the peer has
        a `web_url`, else C-GET, and C-MOVE where the peer offers no C-GET.
    progress : callable, optional
        Called with how many instances have come and how many are expected.
    cancel : callable, optional
        Polled; when it is true the peer is asked to stop (C-CANCEL). The rows say what was kept until then.
    move_port : int
        The port at which C-MOVE brings instances to us: the one that the peer knows for `destination`.
    relational : bool
        Whether a reference may lack the UIDs of the levels above. They are asked for, by a relational query or level by level;
        relational retrieval is proposed (PS3.4 C.5.2.1, C.5.3.1), and where it is granted instances of several series are
        asked for together.
    expect : iterable of InstanceRef, optional
        What the peer has of them, for C-GET and C-MOVE: then it is not asked what there is, which by default it is.
    destination : str
        The AE title to which C-MOVE sends, by default ``peer.calling_ae_title``: where storage has a title of its own.

    Returns
    -------
    RetrieveReport
        One row an instance; see `complete`.

    Raises
    ------
    InputError
        If a reference lacks a unique key, or `into` takes nothing.
    NetworkError
        If nothing could be asked for at all; StatusFailure where the peer refuses everything. Once instances have come,
        trouble is told by the rows.
    """
    if method not in {None, "auto", "get", "move", "web"}:
        raise InputError(f"method is get, move, web or auto, not {method!r}.")
    peer = as_peer(peer)
    asked = _expected.checked(refs, relational=relational)
    way = method or peer.retrieve_by
    if way == "auto":
        way = "web" if peer.web_url else "get"
        may_move = way == "get"
    else:
        may_move = False
    title = ae_title_checked(destination or peer.calling_ae_title, name="destination")
    start = time.monotonic()
    with Intake(into, progress=progress) as intake:
        told = None if expect is None else Expected.told(asked, expect)
        task = _Task(peer, intake, cancel or _never, move_port, relational, told=told, title=title)
        if relational:
            asked = task.completed(asked, via="web" if way == "web" else "dimse")
        way = task.run(way, asked, may_move=may_move)
        if task.refused and not task.here and (task.expected.instances or not task.expected.is_known):
            raise task.refused
        report = task.report(way, time.monotonic() - start)
    log.info("retrieved from %s by %s: %s", peer.name, way, report.counts())
    return report


def _never() -> bool:
    return False


def _reference(kind: type[SeriesRef | InstanceRef], answer: Dataset) -> Reference:
    told = {name: str(answer.get(name) or "") for name in (*UNIQUE_KEYS.values(), "SOPClassUID")}
    if kind is SeriesRef:
        return SeriesRef(told["StudyInstanceUID"], told["SeriesInstanceUID"])
    return InstanceRef(told["StudyInstanceUID"], told["SeriesInstanceUID"], told["SOPClassUID"], told["SOPInstanceUID"])


@dataclass(slots=True)
class _Task:
    """One retrieval under way."""

    peer: Peer
    intake: Intake
    caller_cancels: Callable[[], bool]
    move_port: int
    relational: bool = False
    told: Expected | None = None
    title: str = ""
    is_granted: bool = False
    unknown: list[str] = field(default_factory=list)
    expected: Expected = field(default_factory=Expected)
    cancelled: bool = False
    final: Response | None = None
    failed_uids: set[str] = field(default_factory=set)
    trouble: NetworkError | None = None
    refused: StatusFailure | None = None
    broken: int = 0

    def cancel(self) -> bool:
        """Whether to stop: the caller says so, or there is no space left."""
        self.cancelled = self.cancelled or self.caller_cancels()
        return self.cancelled or self.intake.is_full

    def completed(self, refs: list[Reference], *, via: Literal["dimse", "web"]) -> list[Reference]:
        """Return references with the UIDs of the levels above, as the peer tells them."""
        found: list[Reference] = []
        for kind in (SeriesRef, InstanceRef):
            lacking = {list(ref.keys().values())[-1]: ref for ref in refs if isinstance(ref, kind) and not all(ref.keys().values())}
            uids = list(lacking)
            for start in range(0, len(uids), _expected.AT_ONCE):
                keys = {UNIQUE_KEYS[kind.level]: uids[start : start + _expected.AT_ONCE]}
                for answer in find(
                    self.peer, level=kind.level, keys=keys, options=_RELATIONAL, via=via, cancel=self.cancel
                ):  # fmt: skip
                    ref = _reference(kind, answer)
                    lacking.pop(list(ref.keys().values())[-1], None)
                    found.append(ref)
            self.unknown += [f"{kind.level.lower()} {uid}" for uid in lacking]
        return [ref for ref in refs if all(ref.keys().values())] + found

    @property
    def extended(self) -> QueryOptions:
        """What to propose."""
        return QueryOptions(relational=self.relational)

    def _requests(self, wanted: list[Wanted], conversation: Conversation, sop_class_uid: str) -> list[Wanted]:
        """Return what to ask for: instances of several series at once where relational retrieval was granted."""
        answer = conversation.extended.get(sop_class_uid, b"")
        self.is_granted = self.relational and QueryOptions.of(answer).relational
        if not self.is_granted:
            return wanted
        uids = [uid for one in wanted for uid in one.sop_instance_uids]
        together = [Wanted("", "", tuple(uids[k : k + _expected.AT_ONCE])) for k in range(0, len(uids), _expected.AT_ONCE)]
        return [one for one in wanted if not one.sop_instance_uids] + together

    def run(self, way: str, refs: list[Reference], *, may_move: bool) -> str:
        """Fetch; return which way was gone."""
        if way == "web":
            self.by_web(refs)
            return way
        self.expected = self.told or _expected.by_dimse(self.peer, refs, cancel=self.cancel)
        self.intake.total = len(self.expected.instances)
        if way == "get":
            try:
                self.by_get()
            except ContextRejected:
                if not may_move:
                    raise
                way = "move"
        if way == "move":
            self.by_move()
        return way

    @property
    def here(self) -> set[str]:
        """What has come, kept or not."""
        self.intake.settle()
        return set(self.intake.arrivals)

    def by_get(self) -> None:
        """C-GET, in as many associations as the presentation contexts need; each asks for what is missing still."""
        classes = sorted(self.expected.sop_class_uids)
        if self.expected.is_known and not self.expected.instances:
            return
        classes = classes or [storage.uid for storage in storage_classes()]
        for proposed in contexts.rounds(classes, reserved=1):
            wanted = self._askable(proposed, classes)
            if not wanted:
                continue
            self._get(wanted, proposed)
            if self.trouble or self.cancel():
                return
            if self.expected.is_known and not self.expected.missing(self.here):
                return
            if not self.expected.is_known and self.final is not None and not self.final.failed:
                return

    def _askable(self, proposed: list[Any], classes: list[str]) -> list[Wanted]:
        """Return what to ask for with these contexts: without any of a class, a peer might give up or decode."""
        offered = {str(context.abstract_syntax) for context in proposed}
        if not self.expected.is_known or (offered.issuperset(classes) and not self.here):
            return self.expected.wanted
        return self.expected.missing(self.here, sop_class_uids=offered)

    def _get(self, wanted: list[Wanted], proposed: list[Any]) -> None:
        self.final = None  # what an association could not bring another may
        roles = sorted({str(context.abstract_syntax) for context in proposed})
        with (
            self._rows_tell(),
            conversing(
                self.peer,
                [*contexts.service(_GET), *proposed],
                roles=roles,
                receive=self.intake.receiving,
                extended=proposal(_GET, self.extended),
            ) as conversation,
        ):
            if not conversation.offers(_GET):
                raise ContextRejected(f"{self.peer} does not offer C-GET in the Study Root model (PS3.4 C.4.3). Use method='move'.")
            for one in self._requests(wanted, conversation, _GET):
                for response in conversation.ask("C-GET", _GET, one.identifier(), cancel=self.cancel):
                    self._note("C-GET", response)

    def by_move(self) -> None:
        """C-MOVE to a server of our own, which listens for as long as this takes."""
        if self.expected.is_known and not self.expected.instances:
            return
        extended = proposal(_MOVE, self.extended)
        with self._rows_tell(), conversing(self.peer, contexts.service(_MOVE), extended=extended) as conversation:
            known = frozenset(self.expected.instances) if self.expected.is_known else None
            title, tls = self.title, tls_of(self.peer)
            host = conversation.local_host
            with landing(self.intake, title=title, host=host, port=self.move_port, known=known, tls=tls) as port:
                for one in self._requests(self.expected.wanted, conversation, _MOVE):
                    asked = one.identifier()
                    came = self.intake.so_far
                    for response in conversation.ask("C-MOVE", _MOVE, asked, destination=title, cancel=self.cancel, came=came):
                        self._note("C-MOVE", response, port=port)

    def by_web(self, refs: list[Reference]) -> None:
        """WADO-RS, and QIDO-RS at the same time: a server can take as long to tell what there is as to send it.

        Where the peer says how many instances each series has and so many came, it is not asked which.
        """
        with ThreadPoolExecutor(1, "expected") as aside:
            telling = aside.submit(self._told_by_web, refs)  # not cancelled: the rows need it
            if any(isinstance(ref, PatientRef) for ref in refs):
                wanted = telling.result().wanted
            else:
                wanted = _expected.wanted_of(ref for ref in refs if not isinstance(ref, PatientRef))
            with self._rows_tell():
                self._fetch(path for one in wanted for path in one.paths())
            try:
                self.expected = self._met(telling.result()) or _expected.by_web(self.peer, refs)
            except NetworkError as error:
                if not self.here:
                    raise
                so_many = (
                    f"{self.intake.total} instances to expect, which of them" if self.intake.total else "Which instances to expect"
                )
                self.expected.notes.append(f"{so_many} is not known: {error}")
        if self.expected.is_known and not self.expected.missing(self.here):
            self.refused = None  # of what the server does not have

    def _told_by_web(self, refs: list[Reference]) -> Expected | Counted:
        counted = _expected.counted_by_web(self.peer, refs) if self.intake.is_archive else None
        self.intake.total = sum(counted.instances.values()) if counted else 0
        return counted or _expected.by_web(self.peer, refs)

    def _met(self, told: Expected | Counted) -> Expected | None:
        if isinstance(told, Expected):
            return told
        self.intake.settle()
        return told.met(arrival.ref for arrival in self.intake.arrivals.values() if arrival.ref)

    def _fetch(self, paths: Iterable[str]) -> None:
        for path in paths:
            try:
                self.broken += fetch(self.peer, path, receive=self.intake.receiving, cancel=self.cancel)
            except Stopped:
                return
            except StatusFailure as refused:
                self.refused = self.refused or refused

    def _note(self, operation: str, response: Response, *, port: int = 0) -> None:
        """Take a response; that a request was refused is remembered, the others are still made."""
        if not response.is_final:
            return
        if response.status or self.final is None:
            self.final = response
        self.failed_uids.update(response.failed_uids)
        status = response.status
        if status in {0, CANCELLED} or status >> 12 == 0xB:
            return
        remedy = ""
        if operation == "C-MOVE" and status in _DESTINATION_UNUSABLE:
            remedy = (
                f"For C-MOVE the peer must know our AE title {self.title!r} at this machine's address and port "
                f"{port}: ask its administrator to add that, or set calling_ae_title and move_port= to what it knows."
            )
        self.refused = self.refused or refusal(self.peer, operation, response, remedy=remedy)

    def _rows_tell(self) -> "_RowsTell":
        return _RowsTell(self)

    def report(self, method: str, seconds: float) -> RetrieveReport:
        """Return the rows: what was expected, in the order of the peer, and what came besides."""
        self.intake.settle()
        arrivals = self.intake.arrivals
        rows = [self._row(uid, ref.sop_class_uid) for uid, ref in self.expected.instances.items()]
        rows += [self._row(uid, a.sop_class_uid) for uid, a in arrivals.items() if uid not in self.expected.instances]
        notes = [*self.expected.notes, *(f"The peer has nothing of {what}." for what in [*self.expected.absent, *self.unknown])]
        if self.broken:
            notes.append(f"{self.broken} parts of the answer were not DICOM.")
        if self.trouble and not any(row.outcome == "missing" for row in rows):
            notes.append(str(self.trouble))
        if not self.expected.is_known and self.final is not None and self.final.failed:
            notes.append(f"The peer says that {self.final.failed} sub-operations failed.")
        report = RetrieveReport.of(rows, method=method, seconds=seconds, cancelled=self.cancelled, notes=notes)
        report.granted = frozenset({"relational"} if self.is_granted else ())
        report.status = self.final.status if self.final else None
        return report

    def _row(self, uid: str, sop_class_uid: str) -> Retrieved:
        arrival = self.intake.arrivals.get(uid)
        if arrival is not None:
            return Retrieved(uid, arrival.sop_class_uid, arrival.outcome, None, arrival.message, arrival.size_bytes)
        status = self.final.status if self.final else None
        if self.trouble:
            return Retrieved(uid, sop_class_uid, "missing", None, str(self.trouble), 0)
        if self.refused:
            return Retrieved(uid, sop_class_uid, "missing", self.refused.status, str(self.refused), 0)
        if self.cancelled:
            return Retrieved(uid, sop_class_uid, "missing", status, "It was cancelled before this one came.", 0)
        try:
            uid_checked(uid, name="Its SOP Instance UID")
        except UidInvalid as error:  # it was refused when it came
            return Retrieved(uid, sop_class_uid, "failed", status, f"{error} An instance can't be kept under it.", 0)
        outcome = "failed" if uid in self.failed_uids else "missing"
        said = f"; the peer ended with status 0x{status:04X}, {words(status)}" if status else ""
        said += f" and says {self.final.comment!r}" if self.final and self.final.comment else ""
        return Retrieved(uid, sop_class_uid, outcome, status, f"The peer has it by its own word, but did not send it{said}.", 0)


class _RowsTell:
    """Lets trouble in the block be told by the rows where something has come already."""

    def __init__(self, task: _Task) -> None:
        self._task = task

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, Cancelled):
            self._task.cancelled = True
            return True
        if isinstance(error, NetworkError) and (self._task.here or self._task.cancelled):
            self._task.trouble = None if self._task.cancelled else error
            return True
        return False

"""Exchange: check, push, ask for it back, compare; what is not proven is not done.

Knows: what counts as proof that a peer has an instance.
Does not know: DIMSE, DICOMweb, validators.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydicom.dataset import Dataset

from workbench.conformance import check
from workbench.entities import Findings, InstanceRef, Peer, Rows
from workbench.errors import ContextRejected, InputError, NetworkError
from workbench.files import read
from workbench.flows.audit import Audit
from workbench.inspection import Differences, differences
from workbench.network import CommitmentOutcome, CommitmentReports, Server, StoreOutcome, StoreRow, as_peer, find, retrieve, store
from workbench.network import commit as ask_to_commit

__all__ = ["Push", "Pushed", "push"]

log = logging.getLogger(__name__)

# it has no meaning, and whoever keeps a dataset may leave it out (PS3.10 7.2)
_MEANINGLESS = ("DataSetTrailingPadding",)
_COMMIT = ("auto", "always", "never")
_WAIT_S = 10.0  # for a report that can come on a new association, or must come
_HERE_S, _HERE_EACH_S = 2.0, 0.01  # for one that can only come on the association of the request; an archive reads each file first
_STORED = frozenset({StoreOutcome.STORED, StoreOutcome.WARNING})


@dataclass(frozen=True, slots=True)
class Pushed:
    """What is known of one instance that was pushed.

    Parameters
    ----------
    sop_instance_uid, sop_class : str
        Which one.
    errors : int
        How many errors the check found before it was sent; with errors it is not sent unless that was asked for.
    stored : str
        What the peer said.
    found : bool
        Whether the peer lists it.
    differences : int or None
        How many attributes differ in what the peer gives back; None where it gave nothing back.
    verified : bool
        Whether it was stored, found and came back equal; with `errors`, it is the faulty object that came back equal.
    message : str
        What is in the way.
    committed : str
        Whether the peer answers for it (storage commitment): ``yes``, ``no`` with the reason, ``no report`` where none came in
        time, ``not offered``, ``not asked``.
    """

    sop_instance_uid: str
    sop_class: str
    errors: int
    stored: str
    found: bool
    differences: int | None
    verified: bool
    message: str = ""
    committed: str = "not asked"


class Push(Rows[Pushed]):
    """One row an instance that was to be pushed."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Pushed

    @property
    def verified(self) -> bool:
        """Whether there are rows and each is verified."""
        return bool(self) and all(row.verified for row in self)

    def __repr__(self) -> str:
        return f"Push({sum(row.verified for row in self)} of {len(self)} verified)"


def push(  # noqa: PLR0913 - each is a choice of its own
    peer: Peer | str,
    datasets: Iterable[Dataset],
    *,
    via: Literal["dimse", "web"] = "dimse",
    even_with_errors: bool = False,
    audit: Audit | None = None,
    commit: Literal["auto", "always", "never"] = "auto",
    listen: CommitmentReports | int | None = None,
    wait_s: float | None = None,
    progress: Callable[[str], object] | None = None,
) -> Push:
    """Check instances, store them at a peer, find them there, get them back and compare.

    Parameters
    ----------
    peer : Peer or str
        Where to: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    datasets : iterable of Dataset
        Complete instances; they are not changed.
    via : str
        ``dimse`` or ``web``, for all of it.
    even_with_errors : bool
        Whether what the check finds fault with is sent too, as images of real devices may need. Its row keeps the number
        of errors; `verified` says what it always does: stored, found and back equal, not that the object is right.
    audit : Audit, optional
        Where the step is written down: verified when each instance came back equal.
    commit : str
        Whether to ask the peer to answer for what it stored (storage commitment, PS3.4 J). ``auto``: over DIMSE, where it offers
        that; what it says it does not keep is not verified, a report that does not come takes nothing away. ``always``: only what
        it answers for is verified. ``never``: it is not asked.
    listen : CommitmentReports or int, optional
        Where a report can come that the peer sends on a new association, as in :func:`workbench.network.commit`. Some archives
        always do; from them nothing is heard without it, and the row says so.
    wait_s : float, optional
        How long to wait for the report. By default 10 s with `listen` or ``always``. Otherwise it can come on the association of
        the request only and nothing depends on it: then 2 s, and 10 ms more for each instance. A peer that does not offer storage
        commitment costs no wait, and one that reports at once none beyond that.
    progress : callable, optional
        Called with a sentence when something begins that takes time: what is done, or what is waited for.

    Returns
    -------
    Push
        One row an instance. An instance with errors is not sent unless `even_with_errors`; what the peer refuses, does not
        list or gives back changed is not verified, nor is anything where the peer can't be asked for it: then the rows say
        why. Data Set Trailing Padding (FFFC,FFFC) is not compared, since it has no meaning (PS3.10 7.2).

    Raises
    ------
    AttributeUnusable, UidInvalid
        If a dataset has no SOP Class UID or no SOP Instance UID; then nothing is sent.
    InputError, PeerUnknown
        If it is not known where to, or an argument is out of range; then nothing is sent either.
    """
    if commit not in _COMMIT:
        raise InputError(f"commit is 'auto', 'always' or 'never', not {commit!r}.")
    if wait_s is not None and not wait_s >= 0:
        raise InputError(f"wait_s is 0 or more, not {wait_s}.")
    if isinstance(listen, int):  # a port that can't be had is told before anything is stored
        Server(None, ae_title="WORKBENCH", port=listen).start().stop()
    peer, tell = as_peer(peer), progress or log.info
    waiting = [(InstanceRef.of(dataset), dataset) for dataset in datasets]
    with (audit or Audit()).step("push") as step:
        errors: dict[str, Findings] = {}
        for ref, dataset in waiting:  # one with errors keeps another of its UID back too: the peer can't tell them apart
            errors[ref.sop_instance_uid] = max(errors.get(ref.sop_instance_uid, Findings()), check(dataset).errors, key=len)
        going = {uid for uid, found in errors.items() if even_with_errors or not found}
        tell(f"Storing {len(going)} of {len(errors)} instances.")
        rows = iter(store(peer, [dataset for ref, dataset in waiting if ref.sop_instance_uid in going], via=via))
        answers = [next(rows) if ref.sop_instance_uid in going else None for ref, _ in waiting]
        there = [ref for (ref, _), answer in zip(waiting, answers, strict=True) if answer and answer.outcome in _STORED]
        tell("Finding them and getting them back.")
        proof = _proof(peer, list(dict.fromkeys(there)), via=via)
        proof.must_commit = commit == "always"
        if there and (commit == "always" or (commit == "auto" and via == "dimse")):
            _ask_to_commit(peer, list(dict.fromkeys(there)), wait_s, listen, tell, into=proof)
        result = Push(
            _row(ref, dataset, errors[ref.sop_instance_uid], answer, proof)
            for (ref, dataset), answer in zip(waiting, answers, strict=True)
        )
        step.count, step.verified = len(result), result.verified
        step.note = f"{sum(row.verified for row in result)} of {len(result)} checked, stored, found and back equal"
    return result


@dataclass(slots=True)
class _Proof:
    """What the peer lists, gives back and answers for; why it could not be asked, or did not say."""

    listed: set[str] = field(default_factory=set)
    back: dict[str, Dataset] = field(default_factory=dict)
    trouble: str = ""
    committed: dict[str, str] = field(default_factory=dict)
    unheard: str = ""
    must_commit: bool = False

    def is_answered_for(self, uid: str) -> bool:
        """Whether nothing that the peer says, or must say, about keeping an instance is in the way."""
        said = self.committed.get(uid, "")
        return said == "yes" if self.must_commit else not said.startswith("no:")


def _proof(peer: Peer, refs: list[InstanceRef], *, via: Literal["dimse", "web"]) -> _Proof:
    proof = _Proof()
    try:
        proof.listed = _listed(peer, refs, via=via)
        _fetch(peer, [ref for ref in refs if ref.sop_instance_uid in proof.listed], into=proof.back, via=via)
    except NetworkError as error:
        proof.trouble = str(error)
    return proof


def _ask_to_commit(
    peer: Peer,
    refs: list[InstanceRef],
    wait_s: float | None,
    listen: CommitmentReports | int | None,
    tell: Callable[[str], object],
    *,
    into: _Proof,
) -> None:
    """Ask the peer to answer for the instances, and note what it says of each."""
    if wait_s is None:
        wait_s = _WAIT_S if into.must_commit or listen is not None else _HERE_S + _HERE_EACH_S * len(refs)
    said = {CommitmentOutcome.COMMITTED: "yes", CommitmentOutcome.UNCOMMITTED: "no report"}
    try:
        report = ask_to_commit(peer, refs, wait_s=wait_s, listen=listen, progress=tell)
    except ContextRejected:
        into.committed = dict.fromkeys((ref.sop_instance_uid for ref in refs), "not offered")
    except NetworkError as error:
        into.committed = dict.fromkeys((ref.sop_instance_uid for ref in refs), f"not asked: {error}")
    else:
        into.committed = {row.sop_instance_uid: said.get(row.outcome) or f"no: {row.message}" for row in report}
        into.unheard = next((row.message for row in report if row.outcome is CommitmentOutcome.UNCOMMITTED), "")


def _listed(peer: Peer, refs: list[InstanceRef], *, via: Literal["dimse", "web"]) -> set[str]:
    """Ask the peer which of the instances it lists, series by series."""
    series = {(ref.study_instance_uid, ref.series_instance_uid) for ref in refs}
    wanted = {ref.sop_instance_uid for ref in refs}
    listed: set[str] = set()
    for study, uid in sorted(series):
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": uid, "SOPInstanceUID": ""}
        listed |= {str(answer.SOPInstanceUID) for answer in find(peer, level="IMAGE", keys=keys, via=via)}
    return listed & wanted


def _fetch(peer: Peer, refs: list[InstanceRef], *, into: dict[str, Dataset], via: Literal["dimse", "web"]) -> None:
    """Fetch the instances again, the way they went."""

    def take(content: bytes) -> None:
        dataset = read(content).dataset
        into[InstanceRef.of(dataset).sop_instance_uid] = dataset

    if not refs:
        return
    if via == "web":
        retrieve(peer, refs, into=take, method="web")
    else:
        retrieve(peer.but(web_url="", retrieve_by="move" if peer.retrieve_by == "move" else "auto"), refs, into=take)


def _row(ref: InstanceRef, dataset: Dataset, errors: Findings, answer: StoreRow | None, proof: _Proof) -> Pushed:
    uid, kind, count = ref.sop_instance_uid, ref.sop_class_name, len(errors)
    if answer is None:
        return Pushed(uid, kind, count, "not sent", False, None, False, _fault(errors))
    if answer.outcome not in _STORED:
        return Pushed(uid, kind, count, str(answer.outcome), False, None, False, answer.message)
    found = uid in proof.listed
    changed = differences(dataset, proof.back[uid], ignore=_MEANINGLESS) if uid in proof.back else None
    committed = proof.committed.get(uid, "not asked")
    verified = found and changed is not None and not changed and proof.is_answered_for(uid)
    if verified:
        message = f"{answer.message} {proof.unheard if committed == 'no report' else ''}".strip()
    elif changed:
        message = _change(changed)
    elif found and changed is not None:
        message = f"It came back equal, but the peer does not answer for it: {committed}. {proof.unheard}".rstrip()
    else:
        message = "The peer does not list it." if not found else "It did not come back."
        message = f"Not proven: {proof.trouble}" if proof.trouble else message
    number = None if changed is None else len(changed)
    return Pushed(uid, kind, count, str(answer.outcome), found, number, verified, message, committed)


def _fault(errors: Findings) -> str:
    first = errors[0]
    place = f"{first.path}: " if first.path else ""
    more = f" And {len(errors) - 1} more." if len(errors) > 1 else ""
    return f"The check found errors: {place}{first.message}{more} See conformance.check; even_with_errors=True sends it as it is."


def _change(changed: Differences) -> str:
    """Return where it changed, without the values."""
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"It came back changed: {changed[0].path}{more}."

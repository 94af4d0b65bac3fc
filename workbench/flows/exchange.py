"""Exchange: check, push, ask for it back, compare; what is not proven is not done.

Knows: what counts as proof that a peer has an instance.
Does not know: DIMSE, DICOMweb, validators.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydicom.dataset import Dataset

from workbench.conformance import check
from workbench.entities import InstanceRef, Peer, Rows
from workbench.errors import NetworkError
from workbench.files import read
from workbench.flows.audit import Audit
from workbench.inspection import differences
from workbench.network import StoreOutcome, StoreRow, find, retrieve, store

__all__ = ["Push", "Pushed", "push"]

_STORED = frozenset({StoreOutcome.STORED, StoreOutcome.WARNING})


@dataclass(frozen=True, slots=True)
class Pushed:
    """What is known of one instance that was pushed.

    Parameters
    ----------
    sop_instance_uid, sop_class : str
        Which one.
    errors : int
        What the check found before it was sent; with errors it is not sent.
    stored : str
        What the peer said.
    found : bool
        Whether the peer lists it.
    differences : int or None
        How many attributes differ in what the peer gives back; None where it gave nothing back.
    verified : bool
        Whether it was stored, found and came back equal.
    message : str
        What is in the way.
    """

    sop_instance_uid: str
    sop_class: str
    errors: int
    stored: str
    found: bool
    differences: int | None
    verified: bool
    message: str = ""


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


def push(
    peer: Peer,
    datasets: Iterable[Dataset],
    *,
    via: Literal["dimse", "web"] = "dimse",
    audit: Audit | None = None,
) -> Push:
    """Check instances, store them at a peer, find them there, get them back and compare.

    Parameters
    ----------
    peer : Peer
        Where to.
    datasets : iterable of Dataset
        Complete instances; they are not changed.
    via : str
        ``dimse`` or ``web``, for all of it.
    audit : Audit, optional
        Where the step is written down: verified when each instance came back equal.

    Returns
    -------
    Push
        One row an instance. An instance with errors is not sent; what the peer refuses, does not list or gives back
        changed is not verified, nor is anything where the peer can't be asked for it: then the rows say why.

    Raises
    ------
    AttributeUnusable, UidInvalid
        If a dataset has no SOP Class UID or no SOP Instance UID; then nothing is sent.
    """
    waiting = [(InstanceRef.of(dataset), dataset) for dataset in datasets]
    with (audit or Audit()).step("push") as step:
        errors: dict[str, int] = {}
        for ref, dataset in waiting:  # one with errors keeps another of its UID back too: the peer can't tell them apart
            errors[ref.sop_instance_uid] = max(errors.get(ref.sop_instance_uid, 0), len(check(dataset).errors))
        sound = [(ref, dataset) for ref, dataset in waiting if not errors[ref.sop_instance_uid]]
        rows = iter(store(peer, [dataset for _, dataset in sound], via=via))
        answers = [next(rows) if not errors[ref.sop_instance_uid] else None for ref, _ in waiting]
        there = [ref for (ref, _), answer in zip(waiting, answers, strict=True) if answer and answer.outcome in _STORED]
        proof = _proof(peer, list(dict.fromkeys(there)), via=via)
        result = Push(
            _row(ref, dataset, errors[ref.sop_instance_uid], answer, proof)
            for (ref, dataset), answer in zip(waiting, answers, strict=True)
        )
        step.count, step.verified = len(result), result.verified
        step.note = f"{sum(row.verified for row in result)} of {len(result)} checked, stored, found and back equal"
    return result


@dataclass(slots=True)
class _Proof:
    """What the peer lists and gives back, and why it could not be asked."""

    listed: set[str] = field(default_factory=set)
    back: dict[str, Dataset] = field(default_factory=dict)
    trouble: str = ""


def _proof(peer: Peer, refs: list[InstanceRef], *, via: Literal["dimse", "web"]) -> _Proof:
    proof = _Proof()
    try:
        proof.listed = _listed(peer, refs, via=via)
        _fetch(peer, [ref for ref in refs if ref.sop_instance_uid in proof.listed], into=proof.back, via=via)
    except NetworkError as error:
        proof.trouble = str(error)
    return proof


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


def _row(ref: InstanceRef, dataset: Dataset, errors: int, answer: StoreRow | None, proof: _Proof) -> Pushed:
    uid, kind = ref.sop_instance_uid, ref.sop_class_name
    if answer is None:
        return Pushed(uid, kind, errors, "not sent", False, None, False, "The check found errors: see conformance.check.")
    if answer.outcome not in _STORED:
        return Pushed(uid, kind, 0, str(answer.outcome), False, None, False, answer.message)
    found = uid in proof.listed
    changed = len(differences(dataset, proof.back[uid])) if uid in proof.back else None
    verified = found and changed == 0
    if verified:
        message = answer.message
    elif changed:
        message = "It came back changed."
    else:
        message = "The peer does not list it." if not found else "It did not come back."
        message = f"Not proven: {proof.trouble}" if proof.trouble else message
    return Pushed(uid, kind, 0, str(answer.outcome), found, changed, verified, message)

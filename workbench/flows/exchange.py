"""Exchange: check, push, ask for it back, compare; what is not proven is not done.

Knows: what counts as proof that a peer has an instance.
Does not know: DIMSE, DICOMweb, validators.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydicom.dataset import Dataset

from workbench.conformance import check
from workbench.entities import InstanceRef, Peer, Rows
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
        changed is not verified.

    Raises
    ------
    NetworkError
        If the peer can't be asked at all after storing; a leaf says why.
    """
    waiting = list(datasets)
    waiting = list(datasets)
    with (audit or Audit()).step("push") as step:
        errors = {str(d.SOPInstanceUID): len(check(d).errors) for d in waiting}
        sound = [d for d in waiting if not errors[str(d.SOPInstanceUID)]]
        said = {row.sop_instance_uid: row for row in store(peer, sound, via=via)}
        there = [InstanceRef.of(d) for d in sound if said[str(d.SOPInstanceUID)].outcome in _STORED]
        listed = _listed(peer, there, via=via)
        back = _back(peer, [ref for ref in there if ref.sop_instance_uid in listed], via=via)
        result = Push(_row(d, errors[str(d.SOPInstanceUID)], said, listed, back) for d in waiting)
        step.count, step.verified = len(result), result.verified
        step.note = f"{sum(row.verified for row in result)} of {len(result)} checked, stored, found and back equal"
    return result


def _listed(peer: Peer, refs: list[InstanceRef], *, via: Literal["dimse", "web"]) -> set[str]:
    """Ask the peer which of the instances it lists, series by series."""
    series = {(ref.study_instance_uid, ref.series_instance_uid) for ref in refs}
    wanted = {ref.sop_instance_uid for ref in refs}
    listed: set[str] = set()
    for study, uid in sorted(series):
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": uid, "SOPInstanceUID": ""}
        listed |= {str(answer.SOPInstanceUID) for answer in find(peer, level="IMAGE", keys=keys, via=via)}
    return listed & wanted


def _back(peer: Peer, refs: list[InstanceRef], *, via: Literal["dimse", "web"]) -> dict[str, Dataset]:
    """Fetch the instances again."""
    came: dict[str, Dataset] = {}

    def take(content: bytes) -> None:
        dataset = read(content).dataset
        came[str(dataset.SOPInstanceUID)] = dataset

    if refs:
        retrieve(peer, refs, into=take, method="web" if via == "web" else None if peer.retrieve_by != "web" else "get")
    return came


def _row(dataset: Dataset, errors: int, said: Mapping[str, StoreRow], listed: set[str], back: Mapping[str, Dataset]) -> Pushed:
    uid = str(dataset.SOPInstanceUID)
    kind = InstanceRef.of(dataset).sop_class_name
    if errors:
        return Pushed(uid, kind, errors, "not sent", False, None, False, "The check found errors: see conformance.check.")
    answer, found = said[uid], uid in listed
    changed = len(differences(dataset, back[uid])) if uid in back else None
    verified = answer.outcome in _STORED and found and changed == 0
    message = answer.message
    if answer.outcome in _STORED and not verified:
        message = (
            "The peer does not list it." if not found else "It did not come back." if changed is None else "It came back changed."
        )
    return Pushed(uid, kind, 0, str(answer.outcome), found, changed, verified, message)

"""Modality Performed Procedure Step: telling that a step has begun, goes on, has ended (PS3.4 F.7).

Knows: what is copied from a worklist item, how instances become performed series, N-CREATE and N-SET.
Does not know: how a worklist is asked, who keeps the steps (`procedure_steps` does).
"""

import copy
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench.entities import InstanceRef, Peer, counted, html_safe, plain, uid_checked
from workbench.errors import AttributeUnusable, InputError
from workbench.files import character_sets
from workbench.network import contexts
from workbench.network._normalized import Answer, Conversation
from workbench.network._step_rules import (
    FINAL,
    IN_PROGRESS,
    SCHEDULED,
    Fault,
    fault_at_end,
    fault_in_creation,
    fault_in_setting,
)
from workbench.network.addressbook import as_peer
from workbench.network.association import associate

__all__ = ["PERFORMED_STEP", "ProcedureStep", "begin", "finish", "performed_series", "progress"]

log = logging.getLogger(__name__)

PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"

_PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "ReferencedPatientSequence")
_OPTIONAL = ("IssuerOfPatientID", "OtherPatientIDsSequence", "AdmissionID")
_EMPTY = ("PerformedStationName", "PerformedLocation", "PerformedProcedureStepDescription", "PerformedProcedureTypeDescription",
          "PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime", "StudyID")  # fmt: skip
_EMPTY_SEQUENCES = ("ReferencedPatientSequence", "ProcedureCodeSequence", "PerformedProtocolCodeSequence",
                    "PerformedSeriesSequence", "PerformedProcedureStepDiscontinuationReasonCodeSequence")  # fmt: skip
_SERIES = "PerformedSeriesSequence"
_WITHOUT_FRAMES = ("SR", "PR", "KO", "RTPLAN", "RTSTRUCT", "REG", "SEG", "PLAN", "DOC", "RTRECORD", "FID")


@dataclass(frozen=True, slots=True)
class ProcedureStep:
    """A performed procedure step as its modality knows it.

    Parameters
    ----------
    sop_instance_uid : str
        By which it is known.
    status : str
        ``IN PROGRESS``, ``COMPLETED`` or ``DISCONTINUED``.
    attributes : Dataset
        What the peer was told so far.
    """

    sop_instance_uid: str
    status: str
    attributes: Dataset = field(repr=False)

    @property
    def study_instance_uid(self) -> str:
        """Study to which its instances belong (the first, where several requests are answered by one step)."""
        return str(self.attributes.ScheduledStepAttributesSequence[0].StudyInstanceUID)

    @property
    def instances(self) -> int:
        """How many instances it names."""
        return sum(
            len(series.get("ReferencedImageSequence") or ())
            + len(series.get("ReferencedNonImageCompositeSOPInstanceSequence") or ())
            for series in self.attributes.get("PerformedSeriesSequence") or ()
        )

    def _repr_html_(self) -> str:
        series = len(self.attributes.get("PerformedSeriesSequence") or ())
        has = f"{counted(series, 'series')}, {counted(self.instances, 'instance')}"
        return (
            f"<p><b>Performed procedure step</b> {html_safe(self.status)}: {has}<br>"
            f"<code>{html_safe(self.sop_instance_uid)}</code></p>"
        )


def begin(
    peer: Peer | str,
    item: Dataset | Iterable[Dataset] | None = None,
    *,
    attributes: Mapping[str, Any] | None = None,
    sop_instance_uid: str | None = None,
    started: datetime | None = None,
    only: bool = False,
) -> ProcedureStep:
    """Tell a peer that a procedure step has begun (N-CREATE, PS3.4 F.7.2.1).

    Parameters
    ----------
    peer : Peer or str
        Whom: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    item : Dataset or iterable of Dataset, optional
        The worklist items that are performed, from which patient, request and codes are copied. Without one, for what was not
        scheduled, `attributes` says what is known.
    attributes : mapping, optional
        More, or other values: keywords of the step, or of its scheduled step (such as ``AccessionNumber``).
    sop_instance_uid : str, optional
        Of the new step; made where it is not given. To ask again after a time-out, pass the same.
    started : datetime, optional
        When; by default now.
    only : bool
        Send `attributes` and nothing else: a system that tells less, or more, than what is usual.

    Returns
    -------
    ProcedureStep
        To pass to :func:`progress` and :func:`finish`.

    Raises
    ------
    AttributeUnusable
        If something is lacking that a step must have (PS3.4 Table F.7.2-1), such as ``Modality``; nothing is sent then.
    StatusFailure
        With status 0x0111 where the peer has a step of this UID, and others.
    NetworkError
        The leaf that says what went wrong.
    """
    peer = as_peer(peer)
    items = [item] if isinstance(item, Dataset) else list(item or ())
    if only:
        dataset = _changes(None, attributes)
    else:
        dataset = _created(items, peer.calling_ae_title, started or datetime.now())  # noqa: DTZ005 - DICOM has local times
        scheduled = dataset.ScheduledStepAttributesSequence
        for keyword, value in (attributes or {}).items():
            for each in scheduled if keyword in SCHEDULED else (dataset,):
                _put(each, keyword, value)
    _check(fault_in_creation(dataset, strict=True))
    _with_character_set(dataset)
    uid = uid_checked(sop_instance_uid or generate_uid(), name="SOP Instance UID")
    with associate(peer, contexts.service(PERFORMED_STEP)) as association, Conversation(association, peer) as talk:
        _judge(peer, "N-CREATE", talk.create(PERFORMED_STEP, PERFORMED_STEP, dataset, instance_uid=uid))
    log.info("performed procedure step %s began at %s", uid, peer)
    return ProcedureStep(uid, IN_PROGRESS, dataset)


def progress(
    peer: Peer | str, step: ProcedureStep, *, series: Iterable[Dataset] | None = None, attributes: Mapping[str, Any] | None = None
) -> ProcedureStep:
    """Tell a peer what has come about in a step that goes on (N-SET, PS3.4 F.7.2.2).

    Parameters
    ----------
    series : iterable of Dataset, optional
        All performed series so far, as :func:`performed_series` makes them: they replace what was told before.
    attributes : mapping, optional
        What else changes, by keyword.

    Returns
    -------
    ProcedureStep
        As it is now.

    Raises
    ------
    AttributeUnusable
        If an attribute may not change any more, or what is told is not whole; nothing is sent then.
    NetworkError
        StatusFailure 0x0112 where the peer does not know the step, 0x0110 where it is final.
    """
    return _set(as_peer(peer), step, _changes(series, attributes))


def finish(
    peer: Peer | str,
    step: ProcedureStep,
    *,
    status: str = "COMPLETED",
    series: Iterable[Dataset] | None = None,
    attributes: Mapping[str, Any] | None = None,
    ended: datetime | None = None,
) -> ProcedureStep:
    """Tell a peer that a step has ended (N-SET, PS3.4 F.7.2.2).

    Parameters
    ----------
    status : str
        ``COMPLETED`` or ``DISCONTINUED``; nothing may change afterwards.
    series : iterable of Dataset, optional
        All performed series, as :func:`performed_series` makes them; they may be left out where :func:`progress` told them, and
        where a step is discontinued that has made nothing: a series must exist for every step (PS3.4 Table F.7.2-1, note 2), so
        one without instances is told then.
    attributes : mapping, optional
        What else changes, by keyword.
    ended : datetime, optional
        When; by default now.

    Returns
    -------
    ProcedureStep
        Final.

    Raises
    ------
    AttributeUnusable
        If the status is not one of the two, or something is lacking that a final step must have; nothing is sent then.
    NetworkError
        StatusFailure 0x0112 where the peer does not know the step, 0x0110 where it is final already.
    """
    if status not in FINAL:
        raise AttributeUnusable(f"A step ends as {' or '.join(FINAL)}, not {plain(status)!r} (PS3.4 F.7.2.2).")
    end = ended or datetime.now()  # noqa: DTZ005 - DICOM has local times
    changes = _changes(series, attributes)
    if status == "DISCONTINUED" and not (changes.get(_SERIES) or step.attributes.get(_SERIES)):
        setattr(changes, _SERIES, [_empty_series(step)])
    changes.PerformedProcedureStepStatus = status
    changes.PerformedProcedureStepEndDate, changes.PerformedProcedureStepEndTime = f"{end:%Y%m%d}", f"{end:%H%M%S}"
    return _set(as_peer(peer), step, changes)


def performed_series(
    datasets: Iterable[Dataset], *, step: ProcedureStep | None = None, protocol: str = "", retrieve_ae_title: str = ""
) -> list[Dataset]:
    """Return the items of Performed Series Sequence (0040,0340) that name instances, one a series, in order of appearance.

    Parameters
    ----------
    datasets : iterable of Dataset
        The instances of the step.
    step : ProcedureStep, optional
        The step that made them: instances of another patient or study are refused then.
    protocol : str
        Protocol Name (0018,1030), which each series must have; by default the instances', or else their Series Description or
        Modality.
    retrieve_ae_title : str
        From whom they can be retrieved, where that is known.

    Raises
    ------
    InputError
        If an instance is not of the step's studies and patient.

    Examples
    --------
    >>> image = Dataset()
    >>> image.SOPClassUID, image.SOPInstanceUID, image.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2"
    >>> image.Modality, image.Rows = "CT", 64
    >>> (series,) = performed_series([image])
    >>> series.ProtocolName, series.ReferencedImageSequence[0].ReferencedSOPInstanceUID
    ('CT', '1.2.3')
    """
    found: dict[str, Dataset] = {}
    for dataset in datasets:
        ref = InstanceRef.of(dataset)
        if step is not None:
            _belongs(dataset, ref, step)
        item = found.get(ref.series_instance_uid)
        if item is None:
            item = found[ref.series_instance_uid] = _series_item(dataset, ref, protocol, retrieve_ae_title)
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = ref.sop_class_uid, ref.sop_instance_uid
        is_image = "Rows" in dataset and str(dataset.get("Modality") or "") not in _WITHOUT_FRAMES
        (item.ReferencedImageSequence if is_image else item.ReferencedNonImageCompositeSOPInstanceSequence).append(reference)
    return list(found.values())


def _belongs(dataset: Dataset, ref: InstanceRef, step: ProcedureStep) -> None:
    studies = {str(each.StudyInstanceUID) for each in step.attributes.ScheduledStepAttributesSequence}
    ours, theirs = str(step.attributes.get("PatientID") or ""), str(dataset.get("PatientID") or "")
    if ref.study_instance_uid not in studies or (ours and theirs and ours != theirs):
        raise InputError(
            f"Instance {ref.sop_instance_uid} is of another study or patient than the performed step (PS3.4 F.7.2.1): "
            "a step tells of its own instances only. Begin it with their StudyInstanceUID and PatientID."
        )


def _series_item(dataset: Dataset, ref: InstanceRef, protocol: str, retrieve_ae_title: str) -> Dataset:
    names = (str(dataset.get(keyword) or "") for keyword in ("ProtocolName", "SeriesDescription", "Modality"))
    item = Dataset()
    item.SeriesInstanceUID = uid_checked(ref.series_instance_uid, name="Series Instance UID (0020,000E)")
    item.ProtocolName = protocol or next(filter(None, names), "")
    item.SeriesDescription = str(dataset.get("SeriesDescription") or "")
    item.PerformingPhysicianName, item.OperatorsName = dataset.get("PerformingPhysicianName"), dataset.get("OperatorsName")
    item.RetrieveAETitle = retrieve_ae_title
    item.ReferencedImageSequence = []
    item.ReferencedNonImageCompositeSOPInstanceSequence = []
    return item


def _empty_series(step: ProcedureStep) -> Dataset:
    """Return the item of Performed Series Sequence (0040,0340) of a step that has made no instance."""
    names = (str(step.attributes.get(keyword) or "") for keyword in ("PerformedProcedureStepDescription", "Modality"))
    nothing = Dataset()
    nothing.SeriesInstanceUID = generate_uid()
    ref = InstanceRef(step.study_instance_uid, nothing.SeriesInstanceUID, "", "")
    return _series_item(nothing, ref, next(filter(None, names), ""), "")


# ------------------------------------------------------------ what is sent
def _created(items: list[Dataset], station: str, start: datetime) -> Dataset:
    """Return the attributes of an N-CREATE, with what the worklist items say."""
    first = items[0] if items else Dataset()
    planned = _planned(first)
    dataset = Dataset()
    for keyword in _EMPTY:
        setattr(dataset, keyword, "")
    for keyword in _EMPTY_SEQUENCES:
        setattr(dataset, keyword, [])
    for keyword in (*_PATIENT, *_OPTIONAL):
        if keyword in first or keyword in _PATIENT:
            setattr(dataset, keyword, _copied(first, keyword))
    dataset.ScheduledStepAttributesSequence = [_scheduled(item) for item in items or [Dataset()]]
    dataset.Modality = str(planned.get("Modality") or "")
    dataset.PerformedStationAETitle = station
    dataset.PerformedProcedureStepStatus = IN_PROGRESS
    dataset.PerformedProcedureStepStartDate, dataset.PerformedProcedureStepStartTime = f"{start:%Y%m%d}", f"{start:%H%M%S}"
    known = (str(first.get("RequestedProcedureID") or ""), str(planned.get("ScheduledProcedureStepID") or ""))
    dataset.PerformedProcedureStepID = next(filter(None, known), f"PPS{start:%y%m%d%H%M%S}")
    dataset.PerformedProcedureStepDescription = str(planned.get("ScheduledProcedureStepDescription") or "")
    codes = _copied(first, "RequestedProcedureCodeSequence")
    dataset.ProcedureCodeSequence = codes
    dataset.PerformedProtocolCodeSequence = _copied(planned, "ScheduledProtocolCodeSequence") or copy.deepcopy(codes)
    return dataset


def _scheduled(item: Dataset) -> Dataset:
    """Return the item of Scheduled Step Attributes Sequence for a worklist item."""
    planned, found = _planned(item), Dataset()
    for keyword in SCHEDULED:
        source = planned if keyword in planned else item
        setattr(found, keyword, _copied(source, keyword))
    if not found.StudyInstanceUID:
        found.StudyInstanceUID = generate_uid()
    return found


def _planned(item: Dataset) -> Dataset:
    steps = item.get("ScheduledProcedureStepSequence")
    return steps[0] if steps else Dataset()


def _copied(source: Dataset, keyword: str) -> Any:
    value = source.get(keyword)
    return copy.deepcopy(value) if value else ([] if keyword.endswith("Sequence") else "")


def _put(dataset: Dataset, keyword: str, value: Any) -> None:
    if tag_for_keyword(keyword) is None:
        raise AttributeUnusable(f"{plain(keyword)!r} is no keyword of an attribute (PS3.6).")
    try:
        setattr(dataset, keyword, value)
    except (TypeError, ValueError):
        raise AttributeUnusable(f"{keyword} can't have a value of this kind ({type(value).__name__}).") from None


def _changes(series: Iterable[Dataset] | None, attributes: Mapping[str, Any] | None) -> Dataset:
    changes = Dataset()
    if series is not None:
        changes.PerformedSeriesSequence = list(series)
    for keyword, value in (attributes or {}).items():
        _put(changes, keyword, value)
    return changes


def _set(peer: Peer, step: ProcedureStep, changes: Dataset) -> ProcedureStep:
    if step.status != IN_PROGRESS:
        raise AttributeUnusable(f"The step is {step.status}: nothing may change any more (PS3.4 F.7.2.2.2). Begin a new one.")
    _check(fault_in_setting(changes, strict=True))
    now = copy.deepcopy(step.attributes)
    now.update(changes)
    if now.PerformedProcedureStepStatus in FINAL:
        _check(fault_at_end(now))
    _with_character_set(changes)
    with associate(peer, contexts.service(PERFORMED_STEP)) as association, Conversation(association, peer) as talk:
        _judge(peer, "N-SET", talk.set(PERFORMED_STEP, PERFORMED_STEP, step.sop_instance_uid, changes))
    log.info("performed procedure step %s is %s at %s", step.sop_instance_uid, now.PerformedProcedureStepStatus, peer)
    return ProcedureStep(step.sop_instance_uid, str(now.PerformedProcedureStepStatus), now)


def _check(fault: Fault | None) -> None:
    if fault is None:
        return
    said, remedy = _FAULTS[fault.status]
    where = ", ".join(fault.where)
    raise AttributeUnusable(f"The performed procedure step {said} {where} (PS3.4 Table F.7.2-1). {remedy}")


def _judge(peer: Peer, operation: str, answer: Answer) -> None:
    if not answer.is_done:
        raise answer.refusal(peer, operation, remedy=_REMEDIES.get(answer.status, ""))


_FAULTS = {
    0x0105: ("has begun and can't change", "Discontinue it and begin a new one."),
    0x0106: ("can't have this value of", f"It begins {IN_PROGRESS} and ends {' or '.join(FINAL)}."),
    0x0120: ("lacks", "Pass it in attributes= or series=."),
    0x0121: ("needs a value for", "Pass it in attributes= or series=."),
}
_REMEDIES = {
    0x0111: "It has a step of this UID: if an earlier attempt had no answer, that one has arrived.",
    0x0112: "It does not know this step: it may have been begun at another peer, or be long over.",
}


def _with_character_set(dataset: Dataset) -> None:
    """Say UTF-8 where a value is not ASCII, unless the caller says something else."""
    if "SpecificCharacterSet" not in dataset and not character_sets.is_ascii(dataset):
        dataset.SpecificCharacterSet = "ISO_IR 192"

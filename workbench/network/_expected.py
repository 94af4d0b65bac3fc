"""Which instances a retrieval should bring, and how they are asked for.

Knows: the hierarchy of the Study Root model (PS3.4 C.6.2), the resources of DICOMweb (PS3.18 10.4).
Does not know: how instances come.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pynetdicom.presentation import PresentationContext

from workbench.entities import InstanceRef, PatientRef, Peer, Reference, SeriesRef, StudyRef, uid_checked
from workbench.errors import AssociationAborted, ContextRejected, InputError, NetworkError, StatusFailure
from workbench.network import contexts
from workbench.network._conversation import Conversation, Response
from workbench.network.association import associate, take_over
from workbench.network.receiving import Context, Sink
from workbench.network.statuses import CANCELLED, failure
from workbench.network.web import entries, first
from workbench.standard import UNIQUE_KEYS

__all__ = [
    "AT_ONCE",
    "Counted",
    "Expected",
    "Wanted",
    "by_dimse",
    "by_web",
    "checked",
    "conversing",
    "counted_by_web",
    "refusal",
    "wanted_of",
]

FIND = contexts.query_model("STUDY", "FIND")
_NAMES = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_TAGS = {keyword: tag_for_keyword(keyword) or 0 for keyword in _NAMES}
_UID_TAGS = frozenset(tag for keyword, tag in _TAGS.items() if keyword != "PatientID")
MOST_ANSWERS = 1_000_000  # a study has fewer instances
AT_ONCE = 200  # UIDs in one list
Answer = dict[str, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one request asks for: a study, a series, or some instances of a series."""

    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uids: tuple[str, ...] = ()

    @property
    def level(self) -> str:
        """STUDY, SERIES or IMAGE."""
        return "IMAGE" if self.sop_instance_uids else "SERIES" if self.series_instance_uid else "STUDY"

    def identifier(self, level: str = "", **keys: None) -> Dataset:
        """Return the identifier with the unique keys; `level` is that of the answers where it is below."""
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level or self.level
        if self.study_instance_uid:
            identifier.StudyInstanceUID = self.study_instance_uid
        if self.series_instance_uid:
            identifier.SeriesInstanceUID = self.series_instance_uid
        if self.sop_instance_uids:
            identifier.SOPInstanceUID = list(self.sop_instance_uids)
        for keyword, value in keys.items():
            if keyword not in identifier:
                setattr(identifier, keyword, value)
        return identifier

    def paths(self) -> Iterator[str]:
        """Yield the DICOMweb resources (PS3.18 10.4.1)."""
        path = f"studies/{self.study_instance_uid}"
        if self.series_instance_uid:
            path += f"/series/{self.series_instance_uid}"
        yield from (f"{path}/instances/{uid}" for uid in self.sop_instance_uids) if self.sop_instance_uids else (path,)


@dataclass(slots=True)
class Expected:
    """What a retrieval should bring: requests, and the instances that the peer says it has."""

    wanted: list[Wanted] = field(default_factory=list)
    instances: dict[str, InstanceRef] = field(default_factory=dict)
    sop_class_uids: set[str] = field(default_factory=set)
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def told(cls, refs: Iterable[Reference], instances: Iterable[InstanceRef]) -> "Expected":
        """Return what the caller knows: nobody is asked."""
        refs = list(refs)
        if any(isinstance(ref, PatientRef) for ref in refs):
            raise InputError("expect goes with references to studies, series or instances, not to patients.")
        wanted = wanted_of(ref for ref in refs if not isinstance(ref, PatientRef))
        by_uid = {ref.sop_instance_uid: ref for ref in instances}
        return cls(wanted, by_uid, {ref.sop_class_uid for ref in by_uid.values()} - {""})

    @property
    def is_known(self) -> bool:
        """Whether the peer has said which instances there are."""
        return not self.notes

    def add(self, answers: Iterable[Answer], wanted: Wanted) -> None:
        """Take the answers of a query at IMAGE level."""
        for answer in answers:
            uid = answer["SOPInstanceUID"]
            if uid and (not wanted.sop_instance_uids or uid in wanted.sop_instance_uids):
                series = wanted.series_instance_uid or answer["SeriesInstanceUID"]
                self.sop_class_uids |= {answer["SOPClassUID"]} - {""}
                self.instances[uid] = InstanceRef(wanted.study_instance_uid, series, answer["SOPClassUID"], uid)

    def missing(self, here: Iterable[str], *, sop_class_uids: Collection[str] | None = None) -> list[Wanted]:
        """Return requests for the instances that are not `here`; only for those of some classes, or of none that is known."""
        absent = set(self.instances) - set(here)
        refs = (ref for uid, ref in self.instances.items() if uid in absent)
        wanted = {*sop_class_uids, ""} if sop_class_uids is not None else None
        return wanted_of([ref for ref in refs if wanted is None or ref.sop_class_uid in wanted])


def checked(refs: Reference | Iterable[Reference], *, relational: bool = False) -> list[Reference]:
    """Return the references as a list, each with what a retrieval needs; a `relational` one is its own unique key alone.

    Raises
    ------
    InputError, UidInvalid
        If one is no reference, lacks a UID or has one that is none.
    """
    if isinstance(refs, PatientRef | StudyRef | SeriesRef | InstanceRef):
        refs = [refs]
    found = list(refs)
    for ref in found:
        if not isinstance(ref, PatientRef | StudyRef | SeriesRef | InstanceRef):
            raise InputError(f"retrieve needs references to patients, studies, series or instances, not {type(ref).__name__}.")
        for keyword, value in ref.keys().items():
            if not value and relational and keyword != UNIQUE_KEYS[ref.level]:
                continue
            if not value:
                raise InputError(
                    f"A reference at {ref.level} level needs {keyword} (PS3.4 C.4.2.2.1). Find it at that level first."
                )
            if keyword != "PatientID":
                uid_checked(value, name=keyword, strict=False)
    return found


def wanted_of(refs: Iterable[StudyRef | SeriesRef | InstanceRef]) -> list[Wanted]:
    """Return the requests for some references, the instances of a series together."""
    found, instances = [], []
    for ref in refs:
        if isinstance(ref, InstanceRef):
            instances.append(ref)
        else:
            found.append(Wanted(ref.study_instance_uid, getattr(ref, "series_instance_uid", "")))
    instances.sort()
    for (study, series), group in groupby(instances, key=lambda ref: (ref.study_instance_uid, ref.series_instance_uid)):
        uids = list(dict.fromkeys(ref.sop_instance_uid for ref in group))
        found += [Wanted(study, series, tuple(uids[k : k + AT_ONCE])) for k in range(0, len(uids), AT_ONCE)]
    return found


@contextmanager
def conversing(
    peer: Peer,
    proposed: list[PresentationContext],
    *,
    roles: Collection[str] = (),
    receive: Callable[..., Sink] | None = None,
    extended: Mapping[str, bytes] | None = None,
) -> Iterator[Conversation]:
    """Associate, and converse over the connection by hand for as long as the block lasts.

    In `roles` are the storage classes of C-GET; `extended` is what is proposed beyond the baseline.
    """
    with associate(peer, proposed, roles=roles, extended=extended) as association:
        accepted = {
            int(context.context_id or 0): Context(
                str(context.abstract_syntax), str(context.transfer_syntax[0]), str(context.abstract_syntax) in roles
            )
            for context in association.accepted_contexts
        }
        maximum = int(association.acceptor.maximum_length or 0)
        told = {str(uid): bytes(information) for uid, information in association.acceptor.sop_class_extended.items()}
        conversation = Conversation(
            peer, take_over(association), contexts=accepted, maximum_bytes=maximum, receive=receive or _nowhere, extended=told
        )  # fmt: skip
        try:
            yield conversation
        except StatusFailure:  # that is an answer too: nothing is open between us
            conversation.release()
            raise
        conversation.release()


def _nowhere(**_: str) -> Sink:
    raise StatusFailure("No instance was asked for.")


def refusal(peer: Peer, operation: str, response: Response, *, remedy: str = "") -> StatusFailure:
    """Return the error for a response whose status says no."""
    answer = Dataset()
    answer.Status = response.status
    if response.comment:
        answer.ErrorComment = response.comment
    return failure(peer, operation, answer, remedy=remedy)


def by_dimse(peer: Peer, refs: list[Reference], *, cancel: Callable[[], bool]) -> Expected:
    """Ask by C-FIND, level by level; where the peer refuses, its instances stay unknown and a note says so."""
    expected = Expected()
    try:
        with conversing(peer, contexts.service(FIND)) as conversation:
            _asked(expected, refs, _Queries(peer, conversation, cancel, expected))
    except (ContextRejected, StatusFailure) as error:
        if any(isinstance(ref, PatientRef) for ref in refs):
            raise
        expected.wanted = wanted_of(ref for ref in refs if not isinstance(ref, PatientRef))
        expected.notes.append(f"Which instances to expect is not known: {error}")
    return expected


class _Queries:
    """Queries on one association.

    The SOP class of each instance is asked for only where the peer does not say which the study has: it can cost
    the peer more than all else, since it has to open every file.
    """

    def __init__(self, peer: Peer, conversation: Conversation, cancel: Callable[[], bool], expected: Expected) -> None:
        self._peer, self._conversation, self._cancel, self._expected = peer, conversation, cancel, expected
        self._classes: dict[str, tuple[str, ...]] = {}

    def __call__(self, wanted: "Wanted | _OfPatient", level: str, **keys: None) -> Iterator[Answer]:
        """Yield the answers."""
        known: tuple[str, ...] = ()
        if level == "IMAGE" and isinstance(wanted, Wanted):
            known = self._of_study(wanted.study_instance_uid)
            if known:
                keys.pop("SOPClassUID", None)
        for response in self._ask(wanted.identifier(level, **keys)):
            answer = _answer(response, is_image=level == "IMAGE")
            if len(known) == 1:
                answer["SOPClassUID"] = known[0]
            yield answer

    def _of_study(self, study_instance_uid: str) -> tuple[str, ...]:
        if study_instance_uid not in self._classes:
            self._classes[study_instance_uid] = ()
            for response in self._ask(Wanted(study_instance_uid).identifier("STUDY", SOPClassesInStudy=None)):
                value = response.dataset.get("SOPClassesInStudy") or ()
                self._classes[study_instance_uid] = (str(value),) if isinstance(value, str) else tuple(map(str, value))
            self._expected.sop_class_uids.update(self._classes[study_instance_uid])
        return self._classes[study_instance_uid]

    def _ask(self, identifier: Dataset) -> Iterator[Response]:
        for count, response in enumerate(self._conversation.ask("C-FIND", FIND, identifier, cancel=self._cancel)):
            if count > MOST_ANSWERS:
                raise AssociationAborted(
                    f"{self._peer} sends more than {MOST_ANSWERS} answers to one C-FIND; the association was aborted."
                )
            if not response.is_final:
                yield response
            elif response.status not in {0, CANCELLED}:
                raise refusal(self._peer, "C-FIND", response)


def _answer(response: Response, *, is_image: bool) -> Answer:
    """Return the unique keys of an answer; at IMAGE level there may be thousands, of which only the UIDs matter."""
    uids = response.uids(_UID_TAGS) if is_image else None
    if uids is not None:
        return {keyword: uids.get(tag, "") for keyword, tag in _TAGS.items()}
    found = response.dataset
    return {keyword: str(found.get(keyword) or "") for keyword in _NAMES}


@dataclass(slots=True)
class Counted:
    """How many instances a peer says to have of each series that is wanted."""

    wanted: list[Wanted]
    instances: dict[tuple[str, str], int] = field(default_factory=dict)

    def met(self, here: Iterable[InstanceRef]) -> Expected | None:
        """Return what was expected, if that is what is `here`: of each series so many, and of no other."""
        instances = {ref.sop_instance_uid: ref for ref in here}
        found = Counter((ref.study_instance_uid, ref.series_instance_uid) for ref in instances.values())
        if not found or found != self.instances:
            return None
        return Expected(self.wanted, instances, {ref.sop_class_uid for ref in instances.values()})


def counted_by_web(peer: Peer, refs: list[Reference]) -> Counted | None:
    """Ask by QIDO-RS how many instances there are, which costs a server little; None where it does not say.

    The instances themselves cost some servers more than sending them, since they open every file for the answer.
    """
    counted = Counted(wanted_of(ref for ref in refs if isinstance(ref, StudyRef | SeriesRef)))
    if len(counted.wanted) != len(refs):
        return None
    try:
        for wanted in counted.wanted:
            before = len(counted.instances)
            question = wanted.identifier("SERIES", SeriesInstanceUID=None, NumberOfSeriesRelatedInstances=None)
            for entry in entries(peer, question, level="SERIES", limit=MOST_ANSWERS):
                series = wanted.study_instance_uid, first(entry, "SeriesInstanceUID")
                number = first(entry, "NumberOfSeriesRelatedInstances")
                if not re.fullmatch("[0-9]{1,9}", number) or wanted.series_instance_uid not in {"", series[1]}:
                    return None
                counted.instances[series] = int(number)
            if len(counted.instances) == before:
                return None
    except NetworkError:
        return None
    return counted


def by_web(peer: Peer, refs: list[Reference]) -> Expected:
    """Ask by QIDO-RS."""
    expected = Expected()

    def ask(wanted: Wanted, level: str, **keys: None) -> Iterator[Answer]:
        for entry in entries(peer, wanted.identifier(level, **keys), level=level, limit=MOST_ANSWERS):
            yield {keyword: first(entry, keyword) for keyword in _NAMES}

    _asked(expected, refs, ask, is_relational=True)
    return expected


def _asked(expected: Expected, refs: list[Reference], ask: Callable[..., Iterable[Answer]], *, is_relational: bool = False) -> None:
    for patient in (ref for ref in refs if isinstance(ref, PatientRef)):
        studies = [
            answer["StudyInstanceUID"]
            for answer in ask(_OfPatient(patient.patient_id), "STUDY", StudyInstanceUID=None)
            if answer["PatientID"].strip() == patient.patient_id.strip() and answer["StudyInstanceUID"]
        ]  # a peer takes * and ? in a Patient ID for wild cards
        refs = [*refs, *(StudyRef(uid) for uid in studies)]
        if not studies:
            expected.absent.append("a patient")
    for wanted in wanted_of(ref for ref in refs if not isinstance(ref, PatientRef)):
        before = len(expected.instances)
        parts = [wanted]
        if wanted.level == "STUDY" and not is_relational:
            answers = ask(wanted, "SERIES", SeriesInstanceUID=None)
            parts = [Wanted(wanted.study_instance_uid, answer["SeriesInstanceUID"]) for answer in answers]
        for part in parts:
            expected.add(ask(part, "IMAGE", SeriesInstanceUID=None, SOPInstanceUID=None, SOPClassUID=None), part)
        if len(expected.instances) > before:
            expected.wanted.append(wanted)
        else:
            expected.absent.append(f"{wanted.level.lower()} {wanted.series_instance_uid or wanted.study_instance_uid}")


class _OfPatient:
    """The question for the studies of a patient."""

    def __init__(self, patient_id: str) -> None:
        self._patient_id = patient_id

    def identifier(self, level: str, **keys: None) -> Dataset:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        identifier.PatientID = self._patient_id
        if not self._patient_id.isascii():
            identifier.SpecificCharacterSet = "ISO_IR 192"
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        return identifier

"""What a performed procedure step must have, and what may change (PS3.4 Table F.7.2-1).

Knows: types of attributes at N-CREATE, in N-SET and in a final state; the states.
Does not know: who asks, what becomes of a fault.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.dataset import Dataset

__all__ = ["FINAL", "IN_PROGRESS", "SCHEDULED", "Fault", "fault_at_end", "fault_in_creation", "fault_in_setting"]

IN_PROGRESS = "IN PROGRESS"
#: No way leads out of these (PS3.4 F.7.2.2.3).
FINAL = ("COMPLETED", "DISCONTINUED")

MISSING, EMPTY, INVALID, NOT_HERE = 0x0120, 0x0121, 0x0106, 0x0105

_STEPS, _SERIES = "ScheduledStepAttributesSequence", "PerformedSeriesSequence"
_REFERENCE = {"ReferencedSOPClassUID": 1, "ReferencedSOPInstanceUID": 1}
#: Attributes of an item of Scheduled Step Attributes Sequence (0040,0270), with their types.
SCHEDULED: Mapping[str, int] = MappingProxyType({
    "StudyInstanceUID": 1, "ReferencedStudySequence": 2, "AccessionNumber": 2, "RequestedProcedureID": 2,
    "RequestedProcedureDescription": 2, "ScheduledProcedureStepID": 2, "ScheduledProcedureStepDescription": 2,
    "ScheduledProtocolCodeSequence": 2,
})  # fmt: skip
_OF_SERIES = {
    "PerformingPhysicianName": 2, "ProtocolName": 1, "OperatorsName": 2, "SeriesInstanceUID": 1, "SeriesDescription": 2,
    "RetrieveAETitle": 2, "ReferencedImageSequence": 2, "ReferencedNonImageCompositeSOPInstanceSequence": 2,
}  # fmt: skip
_INSIDE: Mapping[str, Mapping[str, int]] = MappingProxyType({
    _STEPS: SCHEDULED, _SERIES: _OF_SERIES, "ReferencedPatientSequence": _REFERENCE, "ReferencedStudySequence": _REFERENCE,
    "ReferencedImageSequence": _REFERENCE, "ReferencedNonImageCompositeSOPInstanceSequence": _REFERENCE,
})  # fmt: skip
#: What is said once, at N-CREATE.
_FIXED = {
    _STEPS: 1, "PatientName": 2, "PatientID": 2, "PatientBirthDate": 2, "PatientSex": 2, "ReferencedPatientSequence": 2,
    "PerformedProcedureStepID": 1, "PerformedStationAETitle": 1, "PerformedStationName": 2, "PerformedLocation": 2,
    "PerformedProcedureStepStartDate": 1, "PerformedProcedureStepStartTime": 1, "Modality": 1, "StudyID": 2,
}  # fmt: skip
_CHANGING = {
    "PerformedProcedureStepStatus": 1, "PerformedProcedureStepDescription": 2, "PerformedProcedureTypeDescription": 2,
    "ProcedureCodeSequence": 2, "PerformedProcedureStepEndDate": 2, "PerformedProcedureStepEndTime": 2,
    "PerformedProtocolCodeSequence": 2, _SERIES: 2,
}  # fmt: skip
#: Optional at N-CREATE, and not allowed in N-SET either.
_FIXED_OPTIONS = frozenset({
    "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "OtherPatientIDsSequence", "AdmissionID",
    "IssuerOfAdmissionIDSequence", "ServiceEpisodeID", "IssuerOfServiceEpisodeIDSequence", "ServiceEpisodeDescription",
})  # fmt: skip
#: Type 1 in N-SET and in a final state.
_LAST = ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime", _SERIES)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an attribute list: a status of PS3.7 C and the attributes, by keyword or path."""

    status: int
    where: tuple[str, ...]


def fault_in_creation(attributes: Dataset, *, strict: bool) -> Fault | None:
    """Return what is wrong with the attributes of an N-CREATE; `strict` looks at those of type 2 too."""
    found = _fault(attributes, _FIXED | _CHANGING, strict=strict)
    if found is None and attributes.PerformedProcedureStepStatus != IN_PROGRESS:
        return Fault(INVALID, ("PerformedProcedureStepStatus",))
    return found


def fault_in_setting(changes: Dataset, *, strict: bool) -> Fault | None:
    """Return what is wrong with the attributes of an N-SET."""
    fixed = tuple(e.keyword for e in changes if e.keyword in _FIXED or e.keyword in _FIXED_OPTIONS)
    if fixed:
        return Fault(NOT_HERE, fixed)
    kinds = {name: 1 if name in _LAST else kind for name, kind in _CHANGING.items() if name in changes}
    found = _fault(changes, kinds, strict=strict)
    if found is None and changes.get("PerformedProcedureStepStatus", IN_PROGRESS) not in {IN_PROGRESS, *FINAL}:
        return Fault(INVALID, ("PerformedProcedureStepStatus",))
    return found


def fault_at_end(attributes: Dataset) -> Fault | None:
    """Return what a step lacks that is about to become final."""
    return _fault(attributes, dict.fromkeys(_LAST, 1), strict=False)


def _fault(attributes: Dataset, kinds: Mapping[str, int], *, strict: bool) -> Fault | None:
    lacks = list(_lacks(attributes, kinds, strict=strict))
    for status in (MISSING, EMPTY):
        if where := tuple(path for path, found in lacks if found == status):
            return Fault(status, where)
    return None


def _lacks(attributes: Dataset, kinds: Mapping[str, int], *, strict: bool, above: str = "") -> Iterator[tuple[str, int]]:
    for keyword, kind in kinds.items():
        if keyword not in attributes:
            if kind == 1 or strict:
                yield above + keyword, MISSING
            continue
        value = attributes[keyword].value
        if kind == 1 and (value is None or not str(value).strip() or (attributes[keyword].VR == "SQ" and not value)):
            yield above + keyword, EMPTY
        elif keyword in _INSIDE and attributes[keyword].VR == "SQ":
            for item in value:
                yield from _lacks(item, _INSIDE[keyword], strict=strict, above=f"{above}{keyword}.")

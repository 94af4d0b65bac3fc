"""What is done, for whom: a performed step, and where its patient, study and request are found.

Knows: under which name an attribute of a worklist item stands in an image (IHE RAD TF-2, Appendix A; the statement's mapping).
Does not know: which attributes an object has.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench.devices import Attribute, Profile
from workbench.standard import module_keywords

__all__ = ["SUBJECT", "Step", "Subject"]

_STEP, _REQUEST = "ScheduledProcedureStepSequence", "RequestAttributesSequence"
_PERFORMED, _PERFORMED_STEP = "ReferencedPerformedProcedureStepSequence", "1.2.840.10008.3.1.2.3.3"
#: Attributes of patient and study: they are of one subject in all objects (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2, and retired ones).
SUBJECT = module_keywords("patient", "general-study", "patient-study") | {"OtherPatientIDs", "EthnicGroup"}
#: Attributes of the worklist that stand under another name in an image.
_ELSEWHERE: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "StudyID": ("RequestedProcedureID",), "StudyDescription": ("RequestedProcedureDescription",),
    "ProcedureCodeSequence": ("RequestedProcedureCodeSequence",), "ReasonForStudy": ("ReasonForTheRequestedProcedure",),
    "PerformedProcedureStepDescription": (_STEP, "ScheduledProcedureStepDescription"),
    "PerformedProtocolCodeSequence": (_STEP, "ScheduledProtocolCodeSequence"),
    "PerformingPhysicianName": (_STEP, "ScheduledPerformingPhysicianName"),
})  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One performed step: what objects of one study share.

    Parameters
    ----------
    item : Dataset
        The worklist item, or an empty dataset where nothing was scheduled.
    began : datetime
        When it began.
    sources : tuple of Dataset
        Images that derived objects are made from.
    procedure_step_uid : str, optional
        SOP Instance UID of the Modality Performed Procedure Step that objects refer to; without it they refer to none.
    study_uid : str, optional
        Study Instance UID where the worklist item has none.
    modality : str, optional
        Modality (0008,0060) to which the system is set; without it the one that is ordered counts.
    """

    item: Dataset
    began: datetime
    sources: tuple[Dataset, ...] = ()
    procedure_step_uid: str = ""
    study_uid: str = field(default_factory=generate_uid)
    modality: str = ""


class Subject:
    """Patient, study and request of one object.

    They are those of the first source where the statement copies its Patient ID from another object, else those of the
    worklist item.
    """

    def __init__(self, profile: Profile, rows: Sequence[Attribute], step: Step) -> None:
        copies = any({"COPY", "IMAGE"} & set(row.origins) for row in rows if row.path == "(0010,0020)")
        self._copied = step.sources[0] if step.sources and (copies or not len(step.item)) else None
        self._step, self._mapped = step, _mapping(profile)
        self._request = [row for row in rows if len(row.tags) == 2 and keyword_for_tag(row.tags[0]) == _REQUEST]

    @property
    def is_known(self) -> bool:
        """Whether there is one: without it the phantom is its own patient."""
        return self._copied is not None or bool(len(self._step.item))

    @property
    def is_scheduled(self) -> bool:
        """Whether there is a worklist item."""
        return bool(len(self._step.item))

    @property
    def wanted_modality(self) -> str:
        """Modality (0008,0060) to which the system is set, else that of the scheduled step; empty where there is none."""
        return self._step.modality or str(_found(self._step.item, (_STEP, "Modality")) or "")

    @property
    def character_set(self) -> tuple[str, ...]:
        """Terms of Specific Character Set (0008,0005) in which its text came; nothing where it says none."""
        value = (self._step.item if self._copied is None else self._copied).get("SpecificCharacterSet") or ()
        return (value,) if isinstance(value, str) else tuple(value)

    def value(self, keyword: str, path: str = "") -> Any:
        """Return a copy of what is known of an attribute of an object; None where nothing is."""
        found = self._value(keyword, path)
        return None if found is None else deepcopy(found)

    def copied(self, keyword: str) -> Any:
        """Return a copy of what the first source has of an attribute; None where there is nothing."""
        return deepcopy(_found(self._step.sources[0], (keyword,))) if self._step.sources else None

    def _value(self, keyword: str, path: str) -> Any:
        step = self._step
        if keyword == _PERFORMED:
            return _reference(_PERFORMED_STEP, step.procedure_step_uid) if step.procedure_step_uid else None
        if self._copied is not None and keyword in SUBJECT | {_REQUEST}:
            is_same = self._copied.get("StudyInstanceUID") == step.item.get("StudyInstanceUID")
            return _found(self._copied, (keyword,)) or (self._requested() if keyword == _REQUEST and is_same else None)
        made = {
            "StudyDate": lambda: f"{step.began:%Y%m%d}",
            "StudyTime": lambda: f"{step.began:%H%M%S}",
            "StudyInstanceUID": lambda: _found(step.item, (keyword,)) or step.study_uid,
            "PatientAge": lambda: _age(_found(step.item, ("PatientBirthDate",)), step.began),
            _REQUEST: self._requested,
        }.get(keyword)
        return made() if made else self._scheduled(keyword, path)

    def _scheduled(self, keyword: str, path: str) -> Any:
        """Return what the worklist item has of an attribute: where the statement finds it, or else where IHE does."""
        item = self._step.item
        if path in self._mapped:
            return _found(item, self._mapped[path])
        return _found(item, _ELSEWHERE.get(keyword, (keyword,))) or _found(item, (_STEP, keyword))

    def _requested(self) -> list[Dataset] | None:
        """Return the item of the Request Attributes Sequence (PS3.3 Table 10-9) with what the statement has of it."""
        made = Dataset()
        for row in self._request:
            keyword = keyword_for_tag(row.tags[1])
            value = self.value(keyword, row.path)
            if value is not None:
                setattr(made, keyword, value)
        return [made] if len(made) else None


def _reference(sop_class_uid: str, sop_instance_uid: str) -> list[Dataset]:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return [item]


def _found(item: Dataset, path: Sequence[str]) -> Any:
    for number, keyword in enumerate(path):
        value = item.get(keyword)
        if value is None or (not value and value != 0):
            return None
        if number == len(path) - 1:
            return value
        item = value[0]
    return None


def _age(birth_date: Any, began: datetime) -> str | None:
    """Return Patient's Age (0010,1010) in years, or in months below two years (PS3.5 6.2, AS)."""
    try:
        born = datetime.strptime(str(birth_date), "%Y%m%d")  # noqa: DTZ007 - as DICOM has it, without a zone
    except ValueError:
        return None
    months = (began.year - born.year) * 12 + began.month - born.month - (began.day < born.day)
    return (f"{months // 12:03d}Y" if months >= 24 else f"{months:03d}M") if 0 <= months < 12000 else None


def _mapping(profile: Profile) -> Mapping[str, tuple[str, ...]]:
    """Return where in the worklist the statement finds each attribute: path of tags to keywords."""
    found: dict[str, tuple[str, ...]] = {}
    for table in profile.of_kind("mapping"):
        for row in table.records():
            if row.get("source_tag"):
                tags = str(row["source_tag"]).split(".")
                found[str(row.get("target_tag") or row["tag"])] = tuple(
                    keyword_for_tag(int(tag.strip("()").replace(",", ""), 16)) for tag in tags if "x" not in tag
                )
    return found

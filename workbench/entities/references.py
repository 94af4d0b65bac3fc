"""Which patient, study, series, instance or frame is meant.

Knows: the four levels of the query models (PS3.4 C.6) and the rules for UIDs (PS3.5 9.1).
Does not know: where a thing is, or how to get it.
"""

import re
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID

from workbench.errors import AttributeUnusable, UidInvalid

__all__ = ["InstanceRef", "PatientRef", "Reference", "SeriesRef", "StudyRef", "uid_checked"]

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)*")


def uid_checked(value: object, *, name: str = "UID", strict: bool = True) -> str:
    """Return `value` as text if it is a UID by PS3.5 9.1: digits and dots, no leading zeros, 64 characters at most.

    Parameters
    ----------
    value : object
        What is to be one.
    name : str
        Of the attribute.
    strict : bool
        If False, leading zeros and a single number are let through: others have such objects, and they can be asked for.
        No text of this kind is a path.

    Raises
    ------
    UidInvalid
        With the name of the attribute, never with a value that could be a path.

    Examples
    --------
    >>> uid_checked("1.2.840.10008.1.1")
    '1.2.840.10008.1.1'
    """
    text = str(value)
    if len(text) > 64 or not (_UID if strict else _NUMBERS).fullmatch(text):
        rule = "no leading zeros, " if strict else ""
        raise UidInvalid(f"{name} is not a valid UID: digits and dots, {rule}64 characters at most (PS3.5 9.1).")
    return text


@dataclass(frozen=True, slots=True, order=True)
class PatientRef:
    """A patient by Patient ID (0010,0020)."""

    patient_id: str
    level = "PATIENT"

    def keys(self) -> dict[str, str]:
        """Return the unique keys of this level (PS3.4 C.6.1.1.1)."""
        return {"PatientID": self.patient_id}

    def __repr__(self) -> str:  # an identity does not belong in a log
        return "PatientRef(patient_id=…)"


@dataclass(frozen=True, slots=True, order=True)
class StudyRef:
    """A study by Study Instance UID (0020,000D)."""

    study_instance_uid: str
    level = "STUDY"

    def keys(self) -> dict[str, str]:
        """Return the unique keys of this level (PS3.4 C.6.2.1.2)."""
        return {"StudyInstanceUID": self.study_instance_uid}


@dataclass(frozen=True, slots=True, order=True)
class SeriesRef:
    """A series by Study and Series Instance UID (0020,000E)."""

    study_instance_uid: str
    series_instance_uid: str
    level = "SERIES"

    def keys(self) -> dict[str, str]:
        """Return the unique keys down to this level (PS3.4 C.6.1.1.4)."""
        return {"StudyInstanceUID": self.study_instance_uid, "SeriesInstanceUID": self.series_instance_uid}


@dataclass(frozen=True, slots=True, order=True)
class InstanceRef:
    """An instance by its four UIDs; study and series may be empty where they are not known."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    level = "IMAGE"

    @classmethod
    def of(cls, dataset: Any) -> "InstanceRef":
        """Return the reference to `dataset`.

        Parameters
        ----------
        dataset : pydicom.Dataset
            With SOP Class UID and SOP Instance UID (PS3.3 C.12.1).

        Raises
        ------
        AttributeUnusable
            If either UID is missing.
        UidInvalid
            If the SOP Instance UID is not a UID.
        """
        for keyword in ("SOPClassUID", "SOPInstanceUID"):
            if not dataset.get(keyword):
                raise AttributeUnusable(f"A reference needs {keyword}, which the dataset does not have (PS3.3 C.12.1).")
        return cls(
            study_instance_uid=str(dataset.get("StudyInstanceUID") or ""),
            series_instance_uid=str(dataset.get("SeriesInstanceUID") or ""),
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=uid_checked(dataset.SOPInstanceUID, name="SOP Instance UID (0008,0018)"),
        )

    def keys(self) -> dict[str, str]:
        """Return the unique keys down to this level (PS3.4 C.6.1.1.5)."""
        return {
            "StudyInstanceUID": self.study_instance_uid,
            "SeriesInstanceUID": self.series_instance_uid,
            "SOPInstanceUID": self.sop_instance_uid,
        }

    @property
    def sop_class_name(self) -> str:
        """The SOP class in words, or its UID where it is not a standard one."""
        return UID(self.sop_class_uid).name


Reference = PatientRef | StudyRef | SeriesRef | InstanceRef

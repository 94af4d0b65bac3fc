"""Which attributes the index holds, and at which level of the query models.

Knows: keywords, tags and value representations (PS3.6), and the levels of PS3.4 C.6.
Does not know: how they are read or stored.
"""

from dataclasses import dataclass

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword

__all__ = ["BY_KEYWORD", "BY_TAG", "COMPUTED", "INDEXED", "LEVELS", "Attribute", "columns"]

LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")

_KEYWORDS = {
    "PATIENT": """PatientName PatientID IssuerOfPatientID PatientBirthDate PatientBirthTime PatientSex OtherPatientIDs
        OtherPatientNames EthnicGroup PatientComments""",
    "STUDY": """StudyInstanceUID StudyDate StudyTime AccessionNumber StudyID StudyDescription ReferringPhysicianName
        NameOfPhysiciansReadingStudy AdmittingDiagnosesDescription PatientAge PatientSize PatientWeight Occupation""",
    "SERIES": """SeriesInstanceUID Modality SeriesNumber SeriesDescription SeriesDate SeriesTime BodyPartExamined Laterality
        ProtocolName InstitutionName StationName Manufacturer ManufacturerModelName OperatorsName PerformingPhysicianName
        PerformedProcedureStepStartDate PerformedProcedureStepStartTime FrameOfReferenceUID""",
    "IMAGE": """SOPInstanceUID SOPClassUID InstanceNumber ContentDate ContentTime AcquisitionDate AcquisitionTime
        AcquisitionDateTime AcquisitionNumber InstanceCreationDate InstanceCreationTime ImageType ImageLaterality NumberOfFrames
        Rows Columns BitsAllocated SliceLocation ImageComments""",
}

#: Answered by counting, never read from a dataset (PS3.4 C.3.4), with the level at which they stand.
COMPUTED = {
    "NumberOfPatientRelatedStudies": "PATIENT",
    "NumberOfPatientRelatedSeries": "PATIENT",
    "NumberOfPatientRelatedInstances": "PATIENT",
    "NumberOfStudyRelatedSeries": "STUDY",
    "NumberOfStudyRelatedInstances": "STUDY",
    "ModalitiesInStudy": "STUDY",
    "SOPClassesInStudy": "STUDY",
    "NumberOfSeriesRelatedInstances": "SERIES",
    "InstanceAvailability": "PATIENT",
    "AvailableTransferSyntaxUID": "IMAGE",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of the index: its column bears its keyword."""

    keyword: str
    tag: int
    vr: str
    level: str
    #: whether the dictionary allows one value only, so that the whole text of the column is one value
    single: bool


def _attribute(keyword: str, level: str) -> Attribute:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise LookupError(f"{keyword} is not in the data dictionary (PS3.6).")
    return Attribute(keyword, tag, dictionary_VR(tag).split(" ")[0], level, single=dictionary_VM(tag) == "1")


INDEXED = tuple(_attribute(keyword, level) for level, text in _KEYWORDS.items() for keyword in text.split())
BY_TAG = {a.tag: a for a in INDEXED}
BY_KEYWORD = {a.keyword: a for a in INDEXED}


def columns(level: str) -> tuple[str, ...]:
    """Return the keywords that stand at `level` alone."""
    return tuple(a.keyword for a in INDEXED if a.level == level)

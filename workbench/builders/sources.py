"""What a derived object inherits from the instances it speaks of: patient, study and references.

Knows: PS3.3 C.7.1.1, C.7.2.1: attributes that all instances of a patient and study share.
Does not know: what is built of it.
"""

from collections.abc import Sequence

from pydicom import Dataset

from workbench.errors import BuildRefused

__all__ = ["inheritable"]

# type 2 in the Patient and General Study modules: present, if only empty (PS3.3 Tables C.7-1 and C.7-3)
_TYPE_2 = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName",
)  # fmt: skip
_TYPE_1 = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_BULK = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "WaveformSequence", "EncapsulatedDocument")


def inheritable(instances: Sequence[Dataset]) -> list[Dataset]:
    """Return light copies of `instances` from which a derived object can inherit: no bulk data, no type 2 attribute absent.

    Parameters
    ----------
    instances : sequence of Dataset
        One or more instances of one patient and one study.

    Raises
    ------
    BuildRefused
        If there are none, a UID is missing, or they belong to several patients or studies.
    """
    if not instances:
        raise BuildRefused("A derived object needs at least one instance to refer to (PS3.3 C.17.2).")
    for instance in instances:
        for keyword in _TYPE_1:
            if not instance.get(keyword):
                raise BuildRefused(f"A derived object needs {keyword} of each instance it refers to; one has none (PS3.3 C.12.1).")
    for keyword, section in (("StudyInstanceUID", "C.7.2.1"), ("PatientID", "C.7.1.1")):
        if len({str(i.get(keyword) or "") for i in instances}) > 1:
            raise BuildRefused(
                f"The instances differ in {keyword}: one derived object speaks of one patient and study (PS3.3 {section})."
            )
    return [_light(instance) for instance in instances]


def _light(instance: Dataset) -> Dataset:
    copy = Dataset({tag: element for tag, element in instance.items() if tag.group % 2 == 0})
    for keyword in _BULK:
        if keyword in copy:
            del copy[keyword]
    for keyword in _TYPE_2:
        if keyword not in copy:
            setattr(copy, keyword, "")
    if hasattr(instance, "file_meta"):
        copy.file_meta = instance.file_meta
    return copy

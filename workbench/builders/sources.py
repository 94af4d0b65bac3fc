"""What a derived object takes from the instances it speaks of: patient, study, geometry and references.

Knows: PS3.3 C.7.1.1, C.7.2.1, C.7.2.2: attributes that all instances of a patient and study share; PS3.5 6.2: what a value may be.
Does not know: what is built of it.
"""

import copy
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from highdicom.base import SOPClass
from pydicom import DataElement, Dataset
from pydicom.config import RAISE
from pydicom.valuerep import STR_VR, validate_value

from workbench.errors import BuildRefused
from workbench.files import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

__all__ = ["inherit", "inheritable", "is_multi_frame", "plain"]

_logger = logging.getLogger(__name__)

# type 2 in the Patient and General Study modules: present, if only empty (PS3.3 Tables C.7-1 and C.7-3)
_TYPE_2 = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex",
    "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName",
)  # fmt: skip
_TYPE_1 = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
# who it is: rather no object than one that is filed under somebody else
_IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientName", "AccessionNumber")
_SEXES = ("", "M", "F", "O")
# what an image says of its pixels' places: for references and the image library
_GEOMETRY = (
    "Modality", "FrameOfReferenceUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "PixelSpacing", "ImagerPixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient",
    "PatientOrientation", "TotalPixelMatrixRows", "TotalPixelMatrixColumns",
)  # fmt: skip
UNICODE = "ISO_IR 192"
_HEADER_GROUPS = {0x0008, 0x0010, 0x0012, 0x0020, 0x0032, 0x0040}  # where patient, trial and study attributes are


def inheritable(instances: Sequence[Dataset]) -> list[Dataset]:
    """Return stand-ins for `instances`: their UIDs and geometry, and a patient and study without values.

    A builder works on stand-ins, so that no value of a patient can come into its messages; :func:`inherit` then gives
    the result its patient and study.

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
    return [_stand_in(instance) for instance in instances]


def _stand_in(instance: Dataset) -> Dataset:
    light = Dataset()
    light.SpecificCharacterSet = UNICODE
    for keyword in _TYPE_2:
        setattr(light, keyword, "")
    for keyword in (*_TYPE_1, *_GEOMETRY):
        if keyword in instance:
            light.add(copy.deepcopy(instance[keyword]))
    return light


def inherit(document: SOPClass, source: Dataset) -> None:
    """Give a new object the patient and study of `source`, in Unicode.

    Parameters
    ----------
    document : SOPClass
        What was built on stand-ins; it is changed.
    source : Dataset
        An instance of the same patient and study; it is not changed.

    Raises
    ------
    BuildRefused
        If Patient ID, Patient's Name or Accession Number has a value that no conformant object may have.

    Notes
    -----
    Other values that PS3.5 6.2 forbids, such as a birth date that is no date, are not taken over: what must be there is
    left empty.
    """
    carrier = _header(source)
    carrier.SOPClassUID, carrier.SOPInstanceUID = document.SOPClassUID, source.SOPInstanceUID
    carrier.SpecificCharacterSet = document.SpecificCharacterSet = UNICODE
    document.copy_patient_and_study_information(carrier)
    for element in [e for e in carrier if e.tag in document and document[e.tag] is e and not _is_valid(e)]:
        if element.keyword in _IDENTITY:
            raise BuildRefused(
                f"{element.name} {element.tag} of instance {source.SOPInstanceUID} is not valid for its value representation "
                f"{element.VR} (PS3.5 6.2), so no object can inherit it. Correct it in a copy of the instance first."
            )
        if element.keyword in _TYPE_2:
            document[element.tag] = DataElement(element.tag, element.VR, "")
        else:
            del document[element.tag]
        _logger.warning("%s of instance %s is not valid and was not inherited", element.keyword, source.SOPInstanceUID)


def _header(source: Dataset) -> Dataset:
    """Return a copy of what may belong to patient and study, its text decoded; what can't be read is left out."""
    elements = {tag: element for tag, element in source.items() if tag.group in _HEADER_GROUPS}
    header = copy.deepcopy(Dataset(elements))
    is_implicit, is_little = source.original_encoding
    header.set_original_encoding(is_implicit, is_little, source.original_character_set)
    with warnings.catch_warnings():  # their words would hold values
        warnings.simplefilter("ignore")
        for tag in list(header.keys()):
            try:
                element = header[tag]
                if element.VR == "SQ":
                    for item in element.value:
                        item.decode()
            except (ValueError, TypeError, AttributeError, NotImplementedError, LookupError):
                del header[tag]
    return header


def _is_valid(element: DataElement) -> bool:
    if element.keyword == "PatientSex":
        return str(element.value or "") in _SEXES
    try:
        for value in element.value if element.VM > 1 else [element.value]:
            validate_value(element.VR, _plain(element.VR, value), RAISE)
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def _plain(representation: str, value: Any) -> Any:
    """Return `value` as `validate_value` knows it: as text where it is written as text."""
    if value is None or representation not in STR_VR:
        return value
    return getattr(value, "original_string", None) or str(value)


def plain(document: SOPClass) -> Dataset:
    """Return a new object as it would be read from a file: a dataset and no more, its values as they are written."""
    for element in document.iterall():
        if element.VR == "FL" and element.value is not None:
            element.value = np.atleast_1d(np.asarray(element.value, np.float32)).tolist()
        elif element.VR in STR_VR and element.value is None:
            element.value = ""
        elif element.VR in {"DA", "DT", "TM"} and element.value:
            element.value = str(element.value)
    dataset = Dataset(document)
    dataset.file_meta = document.file_meta
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID  # who writes the file (PS3.7 D.3.3.2), not who built it
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return dataset


def is_multi_frame(instance: Dataset) -> bool:
    """Whether references to one frame must name it (PS3.3 Table 10-3)."""
    return int(instance.get("NumberOfFrames") or 1) > 1

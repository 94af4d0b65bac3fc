"""What goes into a phantom: one function a PS3.3 module, and the assembly of an instance.

Knows: patient, study, series, equipment, frame-of-reference and pixel modules, UIDs made from names.
Does not know: what the pixels show.
"""

import uuid
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

_NAMESPACE = uuid.UUID("6f0d7c1e-2b51-5c0e-9d0b-3a5e6f1c7a42")
_IMPLEMENTATION = "2.25.147591730402713372281349926203151820098"


@dataclass(frozen=True, slots=True)
class Person:
    """A patient who does not exist."""

    name: str
    patient_id: str
    birth_date: str
    sex: str
    weight_kg: float
    size_m: float
    age: str
    character_set: str = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Visit:
    """A study of that patient."""

    person: Person
    date: str
    time: str
    accession: str
    description: str
    key: str


@dataclass(frozen=True, slots=True)
class Series:
    """A series of that study."""

    visit: Visit
    number: int
    description: str
    modality: str
    time: str
    key: str

    @property
    def uid(self) -> str:
        """Series Instance UID."""
        return uid(self.visit.key, self.key)


def uid(*names: object) -> str:
    """Return the UID that belongs to these names: UUID-derived, so below 2.25 (PS3.5 B.2), and always the same."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, names))).int}"


def instance(series: Series, *, sop_class: str, number: int, modules: tuple[Dataset, ...]) -> FileDataset:
    """Return a complete instance with its file meta information: patient, study, series, SOP common, and `modules` as they are."""
    instance_uid = uid(series.visit.key, series.key, number)
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(_IMPLEMENTATION)
    meta.ImplementationVersionName = "WORKBENCH"
    dataset = FileDataset("", Dataset(), file_meta=meta, preamble=b"\x00" * 128)
    dataset.SpecificCharacterSet = series.visit.person.character_set
    for module in (patient(series.visit.person), study(series.visit), series_module(series), *modules):
        dataset.update(module)
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID(sop_class), UID(instance_uid)
    dataset.InstanceNumber = number
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = series.visit.date, series.time
    return dataset


def patient(person: Person) -> Dataset:
    """Patient module (PS3.3 C.7.1.1)."""
    module = Dataset()
    module.PatientName, module.PatientID = person.name, person.patient_id
    module.PatientBirthDate, module.PatientSex = person.birth_date, person.sex
    return module


def study(visit: Visit) -> Dataset:
    """General study and patient study modules (PS3.3 C.7.2.1, C.7.2.2)."""
    module = Dataset()
    module.StudyInstanceUID = uid(visit.key)
    module.StudyDate, module.StudyTime = visit.date, visit.time
    module.ReferringPhysicianName = "Quill^Petra^^Dr."
    module.StudyID, module.AccessionNumber = visit.accession[-4:], visit.accession
    module.StudyDescription = visit.description
    module.PatientAge = visit.person.age
    module.PatientWeight, module.PatientSize = visit.person.weight_kg, visit.person.size_m
    return module


def series_module(series: Series) -> Dataset:
    """General series module (PS3.3 C.7.3.1)."""
    module = Dataset()
    module.Modality, module.SeriesInstanceUID = series.modality, series.uid
    module.SeriesNumber, module.SeriesDescription = series.number, series.description
    module.SeriesDate, module.SeriesTime = series.visit.date, series.time
    return module


def equipment(model: str) -> Dataset:
    """General and enhanced general equipment modules (PS3.3 C.7.5.1, C.7.5.2)."""
    module = Dataset()
    module.Manufacturer, module.ManufacturerModelName = "Phantom Works", model
    module.DeviceSerialNumber, module.SoftwareVersions = "PW-0001", "1.0"
    module.InstitutionName, module.StationName = "Hospital of Nowhere", model.upper().replace(" ", "")[:16]
    return module


def frame_of_reference(key: str) -> Dataset:
    """Frame of reference module (PS3.3 C.7.4.1)."""
    module = Dataset()
    module.FrameOfReferenceUID, module.PositionReferenceIndicator = uid(key, "frame of reference"), ""
    return module


def synchronization(key: str) -> Dataset:
    """Build the synchronization module (PS3.3 C.7.4.2)."""
    module = Dataset()
    module.SynchronizationFrameOfReferenceUID = uid(key, "clock")
    module.SynchronizationTrigger, module.AcquisitionTimeSynchronized = "NO TRIGGER", "N"
    return module


def image_plane(*, position_mm: tuple[float, float, float], spacing_mm: float, thickness_mm: float) -> Dataset:
    """Image plane module of a transverse slice (PS3.3 C.7.6.2)."""
    module = Dataset()
    module.PixelSpacing, module.SliceThickness = [spacing_mm, spacing_mm], thickness_mm
    module.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    module.ImagePositionPatient, module.SliceLocation = list(position_mm), position_mm[2]
    return module


def image_pixel(values: NDArray[np.generic], *, bits_stored: int | None = None) -> Dataset:
    """Image pixel module (PS3.3 C.7.6.3): (rows, columns), (frames, rows, columns), or RGB with a last axis of 3."""
    module = Dataset()
    colour = values.ndim > 2 and values.shape[-1] == 3
    bits = values.dtype.itemsize * 8
    module.Rows, module.Columns = values.shape[-3:-1] if colour else values.shape[-2:]
    module.SamplesPerPixel = 3 if colour else 1
    module.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        module.PlanarConfiguration = 0
    module.BitsAllocated, module.BitsStored = bits, bits_stored or bits
    module.HighBit = module.BitsStored - 1
    module.PixelRepresentation = int(values.dtype.kind == "i")
    data = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).tobytes()
    module.add_new("PixelData", "OB" if bits == 8 else "OW", data + b"\x00" * (len(data) % 2))
    return module


def reference(dataset: Dataset) -> Dataset:
    """SOP instance reference macro (PS3.3 10.8)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    return item


def items(*datasets: Dataset) -> Sequence:
    """Return a sequence of these items."""
    return Sequence(datasets)

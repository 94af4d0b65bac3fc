"""Instances to archive: small, of every encoding, and large ones made on the way."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from workbench.files import Part10


@dataclass(frozen=True)
class Encoded:
    """One instance as it would come over the network."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes

    @property
    def announced(self) -> dict[str, str]:
        return {
            "sop_class_uid": self.sop_class_uid,
            "sop_instance_uid": self.sop_instance_uid,
            "transfer_syntax_uid": self.transfer_syntax_uid,
        }


def instance(number: int = 1, *, series: int = 1, study: int = 1, patient: int = 1, **attributes: object) -> Dataset:
    """A small CT image."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"1.2.3.{study}.{series}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.{study}", f"1.2.3.{study}.{series}"
    dataset.PatientName, dataset.PatientID = f"Test^Number{patient}", f"P{patient}"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20240229", "101530", f"A{study}"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", series, number
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = bytes(range(32))
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def encode(dataset: Dataset, *, transfer_syntax_uid: str = ExplicitVRLittleEndian) -> Encoded:
    """The dataset without file meta information."""
    file = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    dcmwrite(file, dataset, enforce_file_format=True)
    whole = file.getvalue()
    return Encoded(
        str(dataset.SOPClassUID),
        str(dataset.SOPInstanceUID),
        str(transfer_syntax_uid),
        whole[Part10.locate(whole).dataset_offset :],
    )


@pytest.fixture(name="instance")
def _instance() -> Callable[..., Dataset]:
    return instance


@pytest.fixture(name="encode")
def _encode() -> Callable[..., Encoded]:
    return encode

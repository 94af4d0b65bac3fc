"""Archive: what goes in comes out byte for byte, once, and is found again."""

import copy
import warnings
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from workbench.archive import Archive
from workbench.entities import StudyRef
from workbench.errors import AttributeUnusable, DatasetIncomplete, InstanceConflict, NotDicom, UidInvalid
from workbench.files import Part10

CT = Path(get_testdata_file("CT_small.dcm"))


def test_the_dataset_is_stored_byte_for_byte_and_once(tmp_path):
    part = Part10.locate(CT)
    with Archive(tmp_path) as archive:
        ref = archive.add(CT)
        assert archive.add(CT.read_bytes()) == ref
        stored = archive.path(ref)
        assert stored.read_bytes()[Part10.locate(stored).dataset_offset :] == CT.read_bytes()[part.dataset_offset :]
        assert archive.open(ref) == dcmread(CT)
        assert list(archive) == archive.references(StudyRef(ref.study_instance_uid)) == [ref]


def test_other_bytes_with_the_same_uid_are_kept_apart(tmp_path):
    with Archive(tmp_path) as archive:
        ref = archive.add(CT)
        other = dcmread(CT)
        other.PatientName = "Another^One"
        with pytest.raises(InstanceConflict, match=r"kept in quarantine"):
            archive.add(other)
        (conflict,) = archive.conflicts()
        assert dcmread(conflict.path).PatientName == "Another^One"
        assert archive.open(ref).PatientName == dcmread(CT).PatientName
        assert len(archive) == 1


def test_find_answers_with_the_keys_that_were_asked_for(tmp_path):
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.PatientName, identifier.ModalitiesInStudy = "STUDY", "comp*", ""
    identifier.AdditionalPatientHistory = ""
    with Archive(tmp_path) as archive:
        archive.add(CT)
        (answer,) = archive.find(identifier)
    assert {e.keyword for e in answer} == {"QueryRetrieveLevel", "PatientName", "ModalitiesInStudy", "AdditionalPatientHistory"}
    assert (answer.PatientName, answer.ModalitiesInStudy) == ("CompressedSamples^CT1", "CT")


def test_a_dataset_is_encoded_as_its_file_meta_says_and_left_alone(tmp_path):
    for number, syntax in enumerate([ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]):
        dataset = dcmread(CT)
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        before = copy.deepcopy(dataset)
        with Archive(tmp_path) as archive:
            ref = archive.add(dataset, transfer_syntax_uid=syntax)
            assert dataset == before
            assert dataset.file_meta == before.file_meta
            assert archive.open(ref) == dataset
            assert archive.open(ref).file_meta.TransferSyntaxUID == syntax


def test_a_transfer_syntax_that_no_library_knows_is_stored_too(tmp_path):
    dataset = dcmread(get_testdata_file("JPEG2000.dcm"))
    dataset.file_meta.TransferSyntaxUID = "1.2.826.0.1.3680043.10.1.2.3"
    with Archive(tmp_path) as archive:
        opened = archive.open(archive.add(dataset))
    assert opened.PixelData == dataset.PixelData
    assert opened.file_meta.TransferSyntaxUID == "1.2.826.0.1.3680043.10.1.2.3"


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, JPEG2000Lossless])
def test_pixels_are_not_transcoded_by_adding(tmp_path, syntax):
    with Archive(tmp_path) as archive, pytest.raises(AttributeUnusable, match="would have to be transcoded"):
        archive.add(dcmread(CT), transfer_syntax_uid=syntax)


def test_what_can_not_be_added_says_why_and_leaves_nothing(tmp_path):
    nothing, no_syntax, malformed, unencodable = Dataset(), dcmread(CT), dcmread(CT), dcmread(CT)
    no_syntax.file_meta.TransferSyntaxUID = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        malformed.SOPInstanceUID = "1.2.03"
        unencodable.add_new("Rows", "US", 1)
    unencodable["Rows"]._value = "secret"
    text = tmp_path / "text.txt"
    text.write_text("This is no DICOM file, but it is long enough to look at." * 10)
    with Archive(tmp_path / "archive") as archive:
        for source, kind, message in [
            (nothing, AttributeUnusable, "needs SOPClassUID"),
            (no_syntax, AttributeUnusable, "pass transfer_syntax_uid="),
            (malformed, UidInvalid, r"PS3.5 9\.1"),
            (unencodable, AttributeUnusable, r"\(0028,0010\) has a value that does not fit"),
            (text, NotDicom, "is not DICOM"),
            (text.read_bytes(), NotDicom, "is not DICOM"),
            (CT.read_bytes()[:-100], DatasetIncomplete, "it is incomplete"),
        ]:
            with pytest.raises(kind, match=message) as caught:
                archive.add(source)
            assert "secret" not in str(caught.value)
        assert len(archive) == 0
        assert not [p for p in archive.root.rglob("*") if p.is_file() and "index" not in p.name and p.suffix != ".lock"]


def test_a_file_whose_meta_information_is_wrong_is_stored_under_its_own_uids(tmp_path):
    dataset = dcmread(CT)
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.save_as(tmp_path / "wrong.dcm")
    with Archive(tmp_path / "archive") as archive:
        ref = archive.add(str(tmp_path / "wrong.dcm"))
        assert ref.sop_instance_uid == dataset.SOPInstanceUID
        assert archive.open(ref).file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_no_patient_value_reaches_the_log(tmp_path, caplog):
    caplog.set_level("DEBUG", logger="workbench")
    dataset = dcmread(CT)
    dataset.PatientName, dataset.PatientID = "Planted^Identity", "PLANTED-ID"
    with Archive(tmp_path) as archive:
        ref = archive.add(dataset)
        dataset.PatientID = "PLANTED-OTHER"
        with pytest.raises(InstanceConflict) as caught:
            archive.add(dataset)
        archive.verify()
        archive.remove(ref)
        shown = caplog.text + str(caught.value) + repr(archive) + repr(archive.conflicts())
    assert "PLANTED" not in shown.upper()

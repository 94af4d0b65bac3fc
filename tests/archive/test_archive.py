"""Archive: what goes in comes out byte for byte, once, and is found again."""

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from workbench.archive import Archive
from workbench.entities import StudyRef
from workbench.errors import InstanceConflict
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

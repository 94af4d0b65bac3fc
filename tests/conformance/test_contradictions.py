"""What dciodvfy asks for and refuses at once is a note; everything else stays an error."""

import copy

import pytest
from pydicom.uid import OphthalmicTomographyImageStorage

from workbench import phantoms
from workbench.conformance import check
from workbench.entities import Severity

THREE = {"ConcatenationFrameOffsetNumber", "InConcatenationNumber", "InConcatenationTotalNumber"}


@pytest.fixture(scope="module")
def volume():
    return phantoms.oct().volume


def test_the_three_of_an_unsplit_tomography_are_notes_without_a_false_remedy(volume, tmp_path):
    assert volume.SOPClassUID == OphthalmicTomographyImageStorage
    volume.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    for source in (volume, tmp_path / "a.dcm"):
        findings = check(source)
        assert {f.path for f in findings} == THREE
        assert {f.severity for f in findings} == {Severity.NOTE}
        for finding in findings:
            assert finding.message.startswith(f"dciodvfy contradicts the module: {finding.path} is Type 1")
            assert finding.section == "PS3.3 C.8.17.7"
            assert finding.remedy == f"Leave {finding.path} as it is."


@pytest.mark.parametrize("keyword", sorted(THREE))
def test_without_one_of_them_it_is_an_error(volume, keyword):
    broken = copy.deepcopy(volume)
    delattr(broken, keyword)
    assert any(f.path == keyword and f.message.startswith("Missing attribute for Type 1 Required") for f in check(broken).errors)


@pytest.mark.parametrize("total", [0, 2, None])
def test_another_total_than_one_stays_an_error(volume, total):
    broken = copy.deepcopy(volume)
    broken.InConcatenationTotalNumber = total
    assert "InConcatenationTotalNumber" in {f.path for f in check(broken).errors}


def test_other_errors_of_a_tomography_stay(volume):
    broken = copy.deepcopy(volume)
    del broken.AcquisitionDateTime
    assert {f.path for f in check(broken).errors} == {"AcquisitionDateTime"}
    broken.ConcatenationUID = "1.2.826.0.1.3680043.10.7"
    assert {f.path for f in check(broken).errors} > {"AcquisitionDateTime", "ConcatenationUID"}


def test_other_classes_are_judged_as_before(volume):
    enhanced = copy.deepcopy(volume)
    enhanced.SOPClassUID = enhanced.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"  # Enhanced CT
    assert "InConcatenationTotalNumber" in {f.path for f in check(enhanced).errors}

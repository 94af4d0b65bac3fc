import copy
import random
import stat
import time
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from workbench import builders, phantoms
from workbench.conformance import _dciodvfy, check, check_many, objects
from workbench.entities import Findings, Severity
from workbench.errors import NotDicom, ToolMissing
from workbench.files import read, save

SECRET = "Canary^Zebra"


@pytest.fixture
def ct():
    return dcmread(get_testdata_file("CT_small.dcm"))


def _messages(findings):
    return " | ".join(f"{f.path} {f.message}" for f in findings)


# ---------------------------------------------------------------- dciodvfy
def test_a_sound_dataset_has_no_errors(ct):
    findings = check(ct)
    assert isinstance(findings, Findings)
    assert findings.errors == ()


def test_a_missing_attribute_is_an_error_with_module_and_remedy(ct):
    del ct.ImagePositionPatient
    (finding,) = check(ct).errors
    assert finding.path == "ImagePositionPatient"
    assert finding.section == "PS3.3, ImagePlane module"
    assert finding.message.startswith("Missing attribute for Type 1 Required")
    assert finding.remedy == "Set ImagePositionPatient; it must have a value."


def test_datasets_and_files_are_checked_alike_and_left_as_they_are(ct, tmp_path):
    del ct.FrameOfReferenceUID
    before = copy.deepcopy(ct)
    save(ct, tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    assert check(ct) == check(tmp_path / "a.dcm") == check(str(tmp_path / "a.dcm"))
    assert ct == before
    assert (tmp_path / "a.dcm").read_bytes() == content


def test_how_a_file_is_written_is_checked_too():
    findings = check(get_testdata_file("rtstruct.dcm"))
    assert "no preamble" in _messages(findings)
    cut = check(get_testdata_file("MR_truncated.dcm"))
    assert "cut short" in _messages(cut.errors)


def test_what_is_not_dicom_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(NotDicom):
        check(tmp_path / "a.txt")


def test_no_patient_value_reaches_a_finding(ct):
    ct.PatientName = f"{SECRET}=x=y=z"  # one component group too many
    ct.PatientID = SECRET + "9" * 80
    ct.StudyID = SECRET + "> - Length invalid <"
    ct.AccessionNumber = SECRET + " too long for SH"
    ct.InstitutionName = SECRET + "\nError - </PatientName(0010,0010)> - " + SECRET
    ct.StudyDescription = "Error - " + SECRET
    ct.DeviceSerialNumber = "x" * 70 + ">\nWarning - </StudyID(0020,0010)> - " + SECRET
    element = ct["PatientBirthDate"]
    element._value = SECRET
    findings = check(ct)
    assert len(findings) > 3
    text = _messages(findings) + repr(findings) + findings._repr_html_()
    assert "Canary" not in text
    assert "Zebra" not in text


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        (
            "Error - </PatientSex(0010,0040)[1]> - Unrecognized enumerated value = <ZEBRA>",
            "PatientSex",
            "Unrecognized enumerated value.",
        ),
        (
            "Warning - </SegmentationType(0062,0001)> - Unrecognized defined term = <FOO>",
            "SegmentationType",
            "Unrecognized defined term = <FOO>.",
        ),
        (
            (
                "Error - </A(0040,a730)[2]/PersonName(0040,a123)[1]> - Value invalid for this VR [PN] = <Ze<b>r> - <a> - Character "
                "invalid for this VR = 'Z' (0x5a)"
            ),
            "A[1].PersonName",
            "Value invalid for this VR [PN] - Character invalid for this VR.",
        ),
        (
            (
                "Error - </StudyID(0020,0010)[1]> - Value invalid for this VR [SH] = <Zebra> - Length invalid for this VR = <30> "
                "- expected <= 16"
            ),
            "StudyID",
            "Value invalid for this VR [SH] - Length invalid for this VR = <30> - expected <= 16.",
        ),
        (
            "Error - </Laterality(0020,0060)> - Missing attribute for Type 2C Conditional - Module=<GeneralSeries>",
            "Laterality",
            "Missing attribute for Type 2C Conditional - Module=<GeneralSeries>.",
        ),
        (
            "Warning - </PixelSpacing(0028,0030)> - PixelSpacing does not match <1\\1> - ImagerPixelSpacing <2\\2>",
            "PixelSpacing",
            "PixelSpacing does not match.",
        ),
        ('Warning - </(700d,100c,"ZEBRA")> - Private tag without owner', "(700D,100C)", "Private tag without owner."),
        ("Error - Dicom dataset read failed", "", "Dicom dataset read failed."),
    ],
)
def test_lines_become_findings_without_values(line, path, message):
    finding = _dciodvfy.line_to_finding(line)
    assert (finding.path, finding.message) == (path, message)
    assert finding.severity is (Severity.ERROR if line.startswith("Error") else Severity.WARNING)


@pytest.mark.parametrize("line", ["CTImage", "", "Error - Zebra", "Zebra Error - x", "Error"])
def test_other_lines_are_none(line):
    assert _dciodvfy.line_to_finding(line) is None


def test_an_absent_validator_is_told(ct, monkeypatch):
    monkeypatch.setattr(_dciodvfy, "find_spec", lambda name: None)
    with pytest.raises(ToolMissing, match=r"dciodvfy is not here: install it.*validator=False"):
        check(ct)
    assert check(ct, validator=False).errors == ()


def _program(tmp_path, monkeypatch, script):
    path = tmp_path / "program"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(_dciodvfy, "program", lambda: path)


def test_a_validator_that_hangs_is_ended(ct, tmp_path, monkeypatch):
    _program(tmp_path, monkeypatch, "exec sleep 60\n")
    begin = time.monotonic()
    (finding,) = check(ct, timeout_s=0.5)
    assert time.monotonic() - begin < 5
    assert "did not end within 0.5 s" in finding.message


def test_a_validator_that_crashes_is_told_with_what_it_said(ct, tmp_path, monkeypatch):
    _program(
        tmp_path,
        monkeypatch,
        "echo 'Error - </Rows(0028,0010)> - Missing attribute for Type 1 Required - Module=<ImagePixel>'\nkill -ABRT $$\n",
    )
    first, second = check(ct)
    assert first.path == "Rows"
    assert "ended with -6 before it was done" in second.message


def test_the_file_for_the_validator_is_private_and_removed(ct, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(objects.tempfile, "tempdir", None)
    seen = []

    def look(path, *, timeout_s, feigned):
        seen.append((path.exists(), stat.S_IMODE(path.parent.stat().st_mode)))
        return []

    monkeypatch.setattr(objects._dciodvfy, "findings_of", look)
    check(ct)
    assert seen == [(True, 0o700)]
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_can_not_be_a_file_is_a_finding():
    findings = check(Dataset())
    assert "can't be written as a file: A DICOM file needs SOPClassUID" in _messages(findings)


# ---------------------------------------------------------------- many
def test_many_are_named_counted_and_compared(ct, tmp_path):
    other = copy.deepcopy(ct)
    other.SOPInstanceUID += ".1"
    other.PatientID = "another"
    other.SeriesNumber = 77
    other.Modality = "MR"
    (tmp_path / "a.txt").write_text("hello")
    calls = []
    findings = check_many(
        [ct, other, ct, tmp_path / "a.txt", tmp_path / "none.dcm"], validator=False, progress=lambda *a: calls.append(a)
    )
    assert calls == [(n, 5) for n in range(1, 6)]
    text = _messages(findings)
    assert "PatientID differs between instances of one study" in text
    assert "SeriesNumber differs between instances of one series" in text
    assert f"{ct.SOPInstanceUID} SOP Instance UID (0008,0018) occurs 2 times" in text
    assert "a.txt is not DICOM" in text
    assert "none.dcm The file can't be read (FileNotFoundError)" in text
    assert "another" not in text


def test_many_sound_ones_have_no_errors(ct):
    other = copy.deepcopy(ct)
    other.SOPInstanceUID += ".1"
    other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
    findings = check_many([ct, other])
    assert findings.errors == ()
    assert any(f.path.startswith(f"{other.SOPInstanceUID}: ") for f in findings)


def test_the_corpus_is_checked_without_a_crash(corpus):
    for path in sorted(p for p in (corpus / "malformed").iterdir() if p.is_file()):
        try:
            findings = check(path, timeout_s=10)
        except Exception as error:  # noqa: BLE001
            assert type(error).__name__ in ("NotDicom", "LimitExceeded"), path.name  # noqa: PT017 - any other is a crash
        else:
            names = str(read(path).dataset.get("PatientName") or "")
            assert len(names) < 6 or names not in _messages(findings)


@pytest.mark.parametrize("seed", range(30))
def test_damaged_objects_are_checked_without_a_crash(seed):
    randomness = random.Random(seed)
    damaged = bytearray(Path(get_testdata_file(randomness.choice(["CT_small.dcm", "test-SR.dcm", "badVR.dcm"]))).read_bytes())
    for _ in range(8):
        damaged[randomness.randrange(400, 4_000)] = randomness.randrange(256)
    dataset = read(bytes(damaged)).dataset
    assert isinstance(check(dataset, validator=False), Findings)
    check_many([dataset], validator=False)


def test_a_message_begins_with_what_it_is_about():
    """An empty Laterality is right where nobody knows the side; the warning about it is a sentence of its own."""
    state = builders.grayscale(phantoms.ct_series(1, rows=64, columns=64))
    (said,) = [f.message for f in check(state) if f.path == "Laterality"]
    assert said.startswith("Laterality is only permitted to be empty when actually unknown")

"""Images in the transfer syntax to which a system is set; what DCMTK and dciodvfy say of them."""

import subprocess

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from workbench import files, phantoms
from workbench.conformance import check, check_claims
from workbench.department import Modality
from workbench.department._coding import coded_in
from workbench.department.performed import Outcome
from workbench.department.schedule import scheduled
from workbench.devices import profiles
from workbench.entities import Severity
from workbench.errors import BuildRefused, InputError
from workbench.rendering import pixels

LISTED = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit]
LOSSY = {"LossyImageCompression": "01", "LossyImageCompressionMethod": "ISO_10918_1"}


def topcon(syntax: str, **more) -> Modality:
    return Modality("topcon-sp1p", settings={"transfer syntax": syntax}, **more)


@pytest.mark.parametrize("syntax", LISTED, ids=lambda uid: uid.keyword)
def test_images_are_created_in_the_syntax_that_is_set(syntax, program, tmp_path):
    system = topcon(syntax)
    system.item = scheduled(profiles().values())[0]
    (made,) = system.acquire()
    assert made.file_meta.TransferSyntaxUID == syntax
    found = [*check_claims(made, system.profile, source="section 8.1.1"), *check(made)]
    assert {f.path for f in found if f.severity is Severity.ERROR} == set()
    path = files.save(made, tmp_path / "made.dcm")
    drawn, plain = tmp_path / "drawn.pgm", tmp_path / "plain.dcm"
    subprocess.run([program("dcmj2pnm"), "+op", str(path), str(drawn)], check=True, timeout=60)
    truth = pixels(topcon(ExplicitVRLittleEndian).acquire()[0]).astype(int)
    header, body = drawn.read_bytes().split(b"255\n", 1)
    assert header.startswith(b"P5")
    shown = np.frombuffer(body, np.uint8).reshape(truth.shape)
    if syntax == JPEGBaseline8Bit:
        assert {name: made.get(name) for name in LOSSY} == LOSSY
        assert 1 < made.LossyImageCompressionRatio < 50
        assert np.isclose(made.LossyImageCompressionRatio, truth.size / len(made.PixelData), rtol=0.05)
        subprocess.run([program("dcmdjpeg"), str(path), str(plain)], check=True, timeout=60)
        assert np.array_equal(pixels(dcmread(plain)), shown)
        assert 0 < np.abs(shown - truth).mean() < 3
    else:
        assert made.LossyImageCompression == "00"
        assert np.array_equal(shown, truth)


def test_by_default_it_is_the_one_of_the_statement():
    assert Modality("topcon-sp1p").acquire()[0].file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert Modality("optos-v2-vantage").acquire()[0].file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@pytest.mark.parametrize("syntax", LISTED, ids=lambda uid: uid.keyword)
def test_they_are_sent_in_it(syntax, storescp):
    running = storescp("+xa")
    system = topcon(syntax, archive=running.peer)
    (acquiring,) = (a for a in system.profile.activities if a.does == "acquire")
    (sending,) = (a for a in system.profile.activities if a.does == "store")
    assert system.perform(acquiring).outcome is Outcome.DONE
    assert system.perform(sending).outcome is Outcome.DONE
    (row,) = system.sent
    assert row.sent_transfer_syntax_uid == row.transfer_syntax_uid == syntax
    (came,) = (running.folder / "received").iterdir()
    assert files.Part10.locate(came).transfer_syntax_uid == syntax


@pytest.mark.parametrize("value", [RLELossless, ExplicitVRBigEndian, "", "JPEG"])
def test_a_value_that_the_statement_does_not_list_is_refused(value):
    with pytest.raises(InputError, match=r"statement lists .*JPEG Baseline.*4\.7\.2"):
        topcon(value)


def test_what_is_no_setting_is_refused():
    with pytest.raises(InputError, match=r"no setting 'colour'.*'transfer syntax'"):
        Modality("topcon-sp1p", settings={"colour": "red"})
    with pytest.raises(InputError, match="none that can be set here"):
        Modality("optos-v2-vantage", settings={"transfer syntax": JPEGBaseline8Bit})


@pytest.mark.parametrize("value", ["OP", "XC"])
def test_the_modality_that_is_set_stands_before_the_one_that_is_ordered(value):
    system = Modality("topcon-sp1p", settings={"modality": value})
    system.item = scheduled([system.profile])[0]
    system.item.ScheduledProcedureStepSequence[0].Modality = "OT"
    (made,) = system.acquire()
    assert made.Modality == value
    assert {f.path for f in check_claims(made, system.profile) if f.severity is Severity.ERROR} == set()
    with pytest.raises(InputError, match=r"modality 'PT': its statement lists SC, OP, XC, OT"):
        Modality("topcon-sp1p", settings={"modality": "PT"})


# ------------------------------------------------------------ how it is coded
def eye() -> Dataset:
    return phantoms.fundus("R")


def test_colour_in_jpeg_is_ybr_and_dcmtk_reads_it(program, tmp_path):
    truth = pixels(eye()).astype(int)
    made = coded_in(eye(), JPEGBaseline8Bit)
    assert made.PhotometricInterpretation == "YBR_FULL_422"
    path = files.save(made, tmp_path / "x.dcm")
    subprocess.run([program("dcmdjpeg"), str(path), str(tmp_path / "y.dcm")], check=True, timeout=60)
    came = dcmread(tmp_path / "y.dcm")
    assert came.PhotometricInterpretation == "RGB"
    assert np.abs(pixels(came) - truth).mean() < 3


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_without_loss_no_pixel_is_changed(syntax):
    made = coded_in(eye(), syntax)
    assert made.file_meta.TransferSyntaxUID == syntax
    assert made.get("LossyImageCompression") in {None, "00"}
    if made.PhotometricInterpretation == "RGB":
        assert np.array_equal(pixels(made), pixels(eye()))


def test_what_can_not_be_coded_so_is_refused():
    with pytest.raises(BuildRefused, match="no encoder for JPEG Lossless"):
        coded_in(eye(), JPEGLosslessSV1)
    with pytest.raises(BuildRefused, match=r"8 bits a sample.*not 16"):
        coded_in(phantoms.ct_series(1, rows=16, columns=16)[0], JPEGBaseline8Bit)
    with pytest.raises(BuildRefused, match="created in JPEG Baseline"):
        coded_in(coded_in(eye(), JPEGBaseline8Bit), ExplicitVRLittleEndian)
    tall = phantoms.ct_series(1, rows=16, columns=16)[0]
    del tall.PixelData
    assert coded_in(tall, RLELossless).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian

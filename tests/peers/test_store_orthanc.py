"""Storing at Orthanc, by C-STORE and by STOW-RS, and what comes back."""

import csv
import json
import urllib.request
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from workbench import files, phantoms
from workbench.entities import Timeouts
from workbench.errors import InputError
from workbench.network.store import Retry, store

ONCE = Retry(attempts=1)


def paths_of(datasets, folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [files.save(dataset, folder / f"{k}.dcm") for k, dataset in enumerate(datasets)]


def dataset_bytes(data: bytes) -> bytes:
    return data[files.Part10.locate(data).dataset_offset :]


def rest(running, path: str, body: bytes | None = None) -> bytes:
    base = running.peer.web_url.removesuffix("/dicom-web")
    with urllib.request.urlopen(base + path, data=body, timeout=20) as answer:
        return answer.read()


def kept(running, sop_instance_uid: str) -> bytes | None:
    """The file that Orthanc keeps for an instance."""
    found = json.loads(rest(running, "/tools/lookup", sop_instance_uid.encode()))
    instances = [item["ID"] for item in found if item["Type"] == "Instance"]
    return rest(running, f"/instances/{instances[0]}/file") if instances else None


@pytest.mark.parametrize("via", ["dimse", "web"])
def test_what_was_stored_is_there_byte_for_byte(via, orthanc, tmp_path):
    paths = paths_of(phantoms.ct_series(7, rows=64, columns=64), tmp_path / "ct")
    compressed = dcmread(paths[-1])
    compressed.compress(JPEG2000Lossless, generate_instance_uid=False)
    compressed.save_as(paths[-1])
    report = store(orthanc.peer, paths, via=via)
    assert report.complete, report.troubles
    assert [row.source for row in report] == [str(path) for path in paths]
    for path, row in zip(paths, report, strict=True):
        assert dataset_bytes(kept(orthanc, row.sop_instance_uid)) == dataset_bytes(path.read_bytes())


@pytest.mark.parametrize("via", ["dimse", "web"])
def test_storing_again_changes_nothing(via, orthanc, tmp_path):
    """S06: the same instances are stored again -> success, and one instance each at Orthanc."""
    paths = paths_of(phantoms.ct_series(3, rows=32, columns=32), tmp_path / "ct")
    assert store(orthanc.peer, paths, via=via).complete
    assert store(orthanc.peer, paths, via=via, associations=2).complete
    assert json.loads(rest(orthanc, "/statistics"))["CountInstances"] == 3


def test_a_preamble_does_not_travel(orthanc, tmp_path):
    (path,) = paths_of(phantoms.ct_series(1, rows=32, columns=32), tmp_path / "ct")
    data = path.read_bytes()
    path.write_bytes(b"MZ" + b"\x90" * 126 + data[128:])
    for via in ("dimse", "web"):
        report = store(orthanc.peer, [path], via=via)
        assert report.complete
    assert kept(orthanc, report[0].sop_instance_uid)[:128] == bytes(128)


def test_the_wrong_ae_title_is_rejected_in_words(orthanc, tmp_path):
    paths = paths_of(phantoms.ct_series(2, rows=32, columns=32), tmp_path / "ct")
    report = store(orthanc.peer.but(ae_title="SOMEONE"), paths)
    assert [row.outcome for row in report] == ["failed", "failed"]
    assert "called AE title not recognized" in report[0].message


def test_web_trouble_is_told_for_each_instance(orthanc, tmp_path, free_port):
    paths = paths_of(phantoms.ct_series(2, rows=32, columns=32), tmp_path / "ct")
    nobody = orthanc.peer.but(web_url=f"http://127.0.0.1:{free_port()}/dicom-web", timeouts=Timeouts(connect_s=1))
    report = store(nobody, paths, via="web", retry=ONCE)
    assert [row.outcome for row in report] == ["failed", "failed"]
    assert "Not sent: Nothing answers" in report[0].message
    elsewhere = orthanc.peer.but(web_url=orthanc.peer.web_url + "/nowhere")
    report = store(elsewhere, paths, via="web", retry=ONCE)
    assert [(row.outcome, row.status) for row in report] == [("failed", 404)] * 2
    with pytest.raises(InputError, match="no web_url"):
        store(orthanc.peer.but(web_url=""), paths, via="web")


@pytest.mark.parametrize("via", ["dimse", "web"])
def test_bad_sources_are_refused_and_the_others_go(via, orthanc, tmp_path):
    paths = paths_of(phantoms.ct_series(3, rows=32, columns=32), tmp_path / "ct")
    paths[1].write_bytes(paths[1].read_bytes()[:-7])
    report = store(orthanc.peer, paths, via=via)
    assert [row.outcome for row in report] == ["stored", "refused", "stored"]
    assert json.loads(rest(orthanc, "/statistics"))["CountInstances"] == 2


#: Folders of the corpus that hold no instances to store.
OTHER_FOLDERS = ("dicomdir/", "malformed/")
#: What is not stored, and the words that say why. An archive need not take what lacks the identifiers of its model.
EXCEPTIONS = {
    # they lack Patient ID, Study or Series Instance UID
    "pet/dicom__6.dcm": "0xC000",
    "rt/pydicom__rtdose_rle.dcm": "0xC000",
    "charset/pydicom__chrSQEncoding.dcm": "0xC000",
    "charset/orthanc-tests__issue49-latin1.wl": "0xC000",
    "charset/orthanc-tests__orig.7814.other.station.dump.wl": "0xC000",
    "modality/nibabel__decimal_rescale.dcm": "0xC000",
    "deid/visual-nlp-workshop__deidentify-medical-1.dcm": "0xC000",
    "deid/visual-nlp-workshop__example_out_2.dcm": "0xC000",
    "transfer_syntax/pydicom-data__HTJ2KLossless_08_RGB.dcm": "0xA700",
    "transfer_syntax/pydicom-data__HTJ2K_08_RGB.dcm": "0xA700",
    "transfer_syntax/pydicom__SC_rgb_jls_lossy_line.dcm": "0xA700",
    "transfer_syntax/pydicom-data__JLSL_08_07_0_1F.dcm": "0xA700",
    # they have no identity, or one that is no UID, or no transfer syntax
    "sr/dwv__squares.dcm": "SOP Class UID",
    "sr/dwv__sr-ellipse.dcm": "SOP Instance UID",
    "sr/dwv__sr-ruler_2.dcm": "SOP Instance UID",
    "transfer_syntax/pydicom-data__JLSL_RGB_ILV0.dcm": "SOP Class UID",
    "transfer_syntax/pydicom-data__JLSL_RGB_ILV1.dcm": "SOP Class UID",
    "transfer_syntax/pydicom-data__JLSL_RGB_ILV2.dcm": "SOP Class UID",
    "modality/dcm4che__NM-MONO2-16-13x-heart": "SOP Class UID",
    "rt/debian__rtstruct.dcm": "not a valid UID",
    "transfer_syntax/weasis-dicom-tools__jpeg2000-multiframe-multifragments.dcm": "not a valid UID",
    "registration/onkodicom__spatial_reg.dcm": "no Transfer Syntax UID",
    # non-patient objects, which this peer does not take
    "presentation/pydicom__hotiron.dcm": "Color Palette Storage",
    "presentation/pydicom__pet.dcm": "Color Palette Storage",
    "presentation/pydicom__fall.dcm": "Color Palette Storage",
    "presentation/pydicom__summer.dcm": "Color Palette Storage",
    "presentation/weasis-dicom-tools__NeurosurgeryPlan.dcm": "Hanging Protocol Storage",
    # newer than this peer, and there is no decoder here
    "seg/pydicom-data__liver_deflate.dcm": "verbatim or not at all",
    "transfer_syntax/dcm4che__will-jxl.dcm": "verbatim or not at all",
    "transfer_syntax/generated__jpegxl_lossless_110_gray16.dcm": "verbatim or not at all",
    # broken
    "spectroscopy/dcmjs__zero-length-US.dcm": "ends too early",
    "modality/fo-dicom__GH364.dcm": "malformed",
    "modality/highdicom__dx_image.dcm": "odd number of bytes",
    "deid/deid-data__ctbrain1.dcm": "odd number of bytes",
}


@pytest.mark.slow
def test_real_objects_are_taken_by_an_archive(corpus, orthanc):
    rows = csv.DictReader((corpus / "index.csv").open())
    names = [row["path"] for row in rows if row["sop_class_uid"] and not row["path"].startswith(OTHER_FOLDERS)]
    sources = [corpus / name for name in names if (corpus / name).is_file()]
    report = store(orthanc.peer, sources)
    assert len(report) == len(sources) > 300
    unsent = {str(Path(row.source).relative_to(corpus)): row.message for row in report.troubles}
    assert set(unsent) == set(EXCEPTIONS)
    assert {name: word for name, word in EXCEPTIONS.items() if word not in unsent[name]} == {}
    stored = {row.sop_instance_uid for row in report if row.outcome == "stored"}
    assert json.loads(rest(orthanc, "/statistics"))["CountInstances"] == len(stored)
    assert [uid for uid in sorted(stored)[::10] if kept(orthanc, uid) is None] == []

"""The embedded server with DCMTK's clients: echoscu, storescu, findscu, getscu and movescu with storescp."""

import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000, CTImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet

from workbench.entities import Peer
from workbench.files import Part10, save
from workbench.network import Server
from workbench.phantoms import ct_series, planted_ct

HOST = "127.0.0.1"


@pytest.fixture
def series(tmp_path):
    folder = tmp_path / "sent"
    folder.mkdir()
    return [save(dataset, folder / f"{k:03}.dcm") for k, dataset in enumerate(ct_series(5, rows=64, columns=64))]


@pytest.fixture
def run(program):
    def call(name, *arguments, server, check=True, title="WORKBENCH"):
        command = [program(name), *arguments[:-1], "-aec", title, HOST, str(server.port), *arguments[-1]]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    return call


def keys(level, **values):
    return [word for name, value in {"QueryRetrieveLevel": level, **values}.items() for word in ("-k", f"{name}={value}")]


def counts(text, operation="Suboperations"):
    return {name.lower(): int(n) for name, n in re.findall(rf"Number of (\w+) {operation}\s+: (\d+|none)", text) if n != "none"}


def dataset_bytes(path):
    part = Part10.locate(path)
    return Path(path).read_bytes()[part.dataset_offset :]


def test_echoscu(archive, run):
    with Server(archive) as server:
        run("echoscu", [], server=server)


def test_storescu_stores_byte_for_byte(archive, run, series, tmp_path):
    with Server(archive) as server:
        run("storescu", [str(p) for p in series], server=server)
    assert archive.counts().instances == 5
    for path in series:
        stored = archive.path(str(pydicom.dcmread(path).SOPInstanceUID))
        assert dataset_bytes(stored) == dataset_bytes(path)
        assert pydicom.dcmread(stored).file_meta.SourceApplicationEntityTitle == "STORESCU"


def test_compressed_and_big_endian_are_kept_as_they_are(archive, run, series, tmp_path, program):
    packed = tmp_path / "packed.dcm"
    subprocess.run([program("dcmcjpeg"), str(series[0]), str(packed)], check=True, timeout=30)
    big = tmp_path / "big.dcm"
    subprocess.run([program("dcmconv"), "+tb", str(series[1]), str(big)], check=True, timeout=30)
    with Server(archive) as server:
        run("storescu", "-xs", [str(packed)], server=server)
        run("storescu", "-xb", [str(big)], server=server)
    uid = str(pydicom.dcmread(packed).SOPInstanceUID)
    assert pydicom.dcmread(archive.path(uid)).file_meta.TransferSyntaxUID == JPEGLosslessSV1
    assert dataset_bytes(archive.path(uid)) == dataset_bytes(packed)
    assert len(archive) == 2


@pytest.mark.parametrize(
    ("model", "level", "asked", "expected"),
    [
        ("-S", "STUDY", {"StudyInstanceUID": "", "PatientID": ""}, 1),
        ("-P", "PATIENT", {"PatientID": "*"}, 1),
        ("-S", "SERIES", {"SeriesInstanceUID": "", "Modality": "CT"}, 1),
        ("-S", "SERIES", {"SeriesInstanceUID": "", "Modality": "MR"}, 0),
        ("-S", "IMAGE", {"SOPInstanceUID": "", "InstanceNumber": ""}, 5),
        ("-S", "IMAGE", {"SOPInstanceUID": "", "InstanceNumber": "2"}, 1),
    ],
)
def test_findscu(archive, run, series, model, level, asked, expected):
    for path in series:
        archive.add(path)
    with Server(archive) as server:
        done = run("findscu", "-v", model, *keys(level, **asked), [], server=server)
    assert (done.stdout + done.stderr).count("Find Response:") == expected, done.stderr


def test_getscu_brings_back_the_same_bytes(archive, run, series, tmp_path):
    ref, *_ = [archive.add(path) for path in series]
    got = tmp_path / "got"
    got.mkdir()
    with Server(archive) as server:
        done = run(
            "getscu", "-v", "-S", "-od", str(got), *keys("STUDY", StudyInstanceUID=ref.study_instance_uid), [], server=server
        )
    assert counts(done.stderr + done.stdout) == {"remaining": 0, "completed": 5, "failed": 0, "warning": 0}
    originals = {str(pydicom.dcmread(p).SOPInstanceUID): dataset_bytes(p) for p in series}
    assert {str(pydicom.dcmread(p).SOPInstanceUID): dataset_bytes(p) for p in got.iterdir()} == originals


@pytest.mark.parametrize(("packing", "is_lossy"), [((), False), (("+eb", "+un"), True)], ids=["lossless", "baseline"])
def test_getscu_without_the_stored_syntax_gets_what_dcmtk_decodes(archive, run, series, tmp_path, program, packing, is_lossy):
    """C-GET offers uncompressed syntaxes only -> decoded, nothing lost that was there; still marked where it was lossy."""
    packed, decoded = tmp_path / "packed.dcm", tmp_path / "decoded.dcm"
    subprocess.run([program("dcmcjpeg"), *packing, "+ua", str(series[0]), str(packed)], check=True, timeout=30)
    subprocess.run([program("dcmdjpeg"), str(packed), str(decoded)], check=True, timeout=30)
    ref = archive.add(packed)
    got = tmp_path / "got"
    got.mkdir()
    with Server(archive) as server:
        run("getscu", "-S", "-od", str(got), *keys("STUDY", StudyInstanceUID=ref.study_instance_uid), [], server=server)
    (file,) = got.iterdir()
    mine, theirs = pydicom.dcmread(file), pydicom.dcmread(decoded)
    assert mine.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    difference = np.abs(mine.pixel_array.astype(int) - theirs.pixel_array.astype(int))
    assert difference.max() <= is_lossy  # decoders of JPEG baseline may round differently
    assert mine.SOPInstanceUID == pydicom.dcmread(packed).SOPInstanceUID
    assert (mine.get("LossyImageCompression") == "01") is is_lossy
    if not is_lossy:
        np.testing.assert_array_equal(mine.pixel_array, pydicom.dcmread(series[0]).pixel_array)


def test_getscu_that_takes_only_another_compression_gets_nothing(archive, run, series, tmp_path, program):
    """C-GET offers JPEG 2000 only for an instance in JPEG Lossless -> a failed sub-operation; nothing is compressed anew."""
    packed = tmp_path / "packed.dcm"
    subprocess.run([program("dcmcjpeg"), str(series[0]), str(packed)], check=True, timeout=30)
    study = archive.add(packed).study_instance_uid
    entity = AE(ae_title="ASKS")
    entity.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    entity.add_requested_context(CTImageStorage, JPEG2000)
    role = build_role(CTImageStorage, scu_role=True, scp_role=True)
    came, asked = [], pydicom.Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", study
    handlers = [(evt.EVT_C_STORE, lambda event: came.append(event) or 0)]
    with Server(archive) as server:
        association = entity.associate(HOST, server.port, ae_title="WORKBENCH", ext_neg=[role], evt_handlers=handlers)
        *_, (final, _) = association.send_c_get(asked, StudyRootQueryRetrieveInformationModelGet)
        association.release()
    assert (final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations) == (0, 1)
    assert came == []


def test_movescu_sends_to_a_peer_that_the_server_knows(archive, run, series, storescp):
    refs = [archive.add(path) for path in series]
    receiver = storescp("-aet", "RECEIVER")
    known = {"ward": Peer("ward", "RECEIVER", port=receiver.peer.port)}
    wanted = keys("SERIES", StudyInstanceUID=refs[0].study_instance_uid, SeriesInstanceUID=refs[0].series_instance_uid)
    with Server(archive, known_peers=known) as server:
        done = run("movescu", "-d", "-S", "-aem", "RECEIVER", *wanted, [], server=server)
        assert re.search(r"Completed Suboperations\s+: 5", done.stderr + done.stdout)
        assert "DIMSE Status                  : 0x0000" in done.stderr + done.stdout
        refused = run("movescu", "-v", "-S", "-aem", "NOSUCH", *wanted, [], server=server, check=False)
        assert "MoveDestinationUnknown" in refused.stderr + refused.stdout
    received = list((receiver.folder / "received").iterdir())
    assert len(received) == 5
    assert {dataset_bytes(p) for p in received} == {dataset_bytes(p) for p in series}


def test_a_destination_that_is_not_there_fails_every_suboperation(archive, run, series, free_port):
    ref, *_ = [archive.add(path) for path in series]
    with Server(archive, known_peers={"gone": Peer("gone", "GONE", port=free_port())}) as server:
        wanted = keys("STUDY", StudyInstanceUID=ref.study_instance_uid)
        done = run("movescu", "-d", "-S", "-aem", "GONE", *wanted, [], server=server, check=False)
        said = done.stderr + done.stdout
        assert "UnableToPerformSuboperations" in said or "0xa702" in said
        assert re.search(r"Number of Failed Suboperations\s*: 5|Failed Suboperations\s+: 5", said), said[-2000:]


def test_echoscu_with_the_wrong_title(archive, run):
    """N07: echoscu calls for another title -> rejected 1/1/7."""
    with Server(archive) as server:
        done = run("echoscu", "-v", [], server=server, title="NOSUCH", check=False)
        assert "Called AE Title Not Recognized" in done.stderr + done.stdout
        run("echoscu", [], server=server)


def test_a_stop_frees_the_port_at_once(archive, run, free_port):
    port = free_port()
    for _ in range(3):
        with Server(archive, port=port) as server:
            run("echoscu", [], server=server)
            start = time.monotonic()
        assert time.monotonic() - start < 2.0


def test_the_planted_identity_is_in_no_log_record(archive, run, tmp_path, caplog):
    planted = planted_ct()
    path = save(planted.dataset, tmp_path / "planted.dcm")
    with caplog.at_level("DEBUG"), Server(archive) as server:
        run("storescu", [str(path)], server=server)
        name, number = str(planted.dataset.PatientName), str(planted.dataset.PatientID)
        run("findscu", "-S", *keys("STUDY", PatientName=name, PatientID=number, StudyInstanceUID=""), [], server=server)
        run(
            "findscu",
            "-S",
            *keys("STUDY", PatientID=(number * 10)[:70], PatientBirthDate=name, StudyInstanceUID=""),
            [],
            server=server,
        )
        run("findscu", "-S", *keys("STUDY", PatientName=name, StudyDate="x" + number, StudyInstanceUID=""), [], server=server)
        run(
            "getscu",
            "-S",
            "-od",
            str(tmp_path),
            *keys("STUDY", StudyInstanceUID=planted.dataset.StudyInstanceUID),
            [],
            server=server,
        )
    assert archive.counts().instances == 1
    assert len(caplog.records) > 10
    said = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    uids = {str(e.value) for e in planted.dataset.iterall() if e.VR == "UI"}  # UIDs are logged on purpose
    hidden = [text for text in planted.identities if not any(text in uid for uid in uids)]
    assert len(hidden) > 20
    assert [text for text in hidden if text in said] == []

"""Queries to Orthanc over DIMSE and DICOMweb, and to dcmqrscp: the same answers, the same columns."""

import statistics
import subprocess
import sys
import time

import pandas as pd
import pytest
from pydicom.dataset import Dataset

from workbench.errors import AssociationRejected, InputError, PeerUnreachable, StatusFailure
from workbench.network import Server, find
from workbench.phantoms import ct_series

WAYS = ["dimse", "web"]


def made(folder, *, patient, name, date, charset="", slices=3):
    """Write a small CT series and return its study UID and files."""
    files = []
    for dataset in ct_series(slices, rows=16):
        dataset.PatientID, dataset.PatientName, dataset.StudyDate = patient, name, date
        if charset:
            dataset.SpecificCharacterSet = charset
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            dataset[keyword].value = f"{dataset[keyword].value[:50]}.{sum(patient.encode())}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        files.append(folder / f"{patient}-{dataset.InstanceNumber}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return str(dataset.StudyInstanceUID), files


def send(program, peer, files):
    """Store with DCMTK's storescu, which is independent of what is tested."""
    command = [program("storescu"), "-aec", peer.ae_title, peer.host, str(peer.port), *map(str, files)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def full(orthanc_module, program, tmp_path_factory):
    """Orthanc with two patients."""
    folder = tmp_path_factory.mktemp("made")
    one, files = made(folder, patient="P1", name="DOE^JANE", date="20240115")
    two, more = made(folder, patient="P2", name="Müller^Jörg", date="20250630", charset="ISO_IR 192", slices=2)
    send(program, orthanc_module.peer, files + more)
    return orthanc_module.peer, one, two


def names(found):
    return sorted(found.table().PatientName)


@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, ["DOE^JANE", "Müller^Jörg"]),
        ({"PatientName": "DOE^JANE"}, ["DOE^JANE"]),
        ({"PatientName": "D*"}, ["DOE^JANE"]),
        ({"PatientName": "MÜLLER*"}, ["Müller^Jörg"]),
        ({"PatientID": "P?"}, ["DOE^JANE", "Müller^Jörg"]),
        ({"StudyDate": "20240101-20241231"}, ["DOE^JANE"]),
        ({"StudyDate": "20250101-"}, ["Müller^Jörg"]),
        ({"StudyDate": "-20240115"}, ["DOE^JANE"]),
        ({"PatientName": "MÖLLER*"}, []),
        ({"PatientName": "Müller^Jörg"}, ["Müller^Jörg"]),
        ({"PatientID": "nobody"}, []),
        ({"PatientName": None, "StudyDescription": None}, ["DOE^JANE", "Müller^Jörg"]),
    ],
)
def test_matching(full, via, keys, expected):
    peer, *_ = full
    assert names(find(peer, keys=keys, via=via)) == expected


@pytest.mark.parametrize("via", WAYS)
def test_a_list_of_uids(full, via):
    peer, one, two = full
    assert {d.StudyInstanceUID for d in find(peer, keys={"StudyInstanceUID": [one, two]}, via=via)} == {one, two}
    assert {d.StudyInstanceUID for d in find(peer, keys={"StudyInstanceUID": two}, via=via)} == {two}


@pytest.mark.parametrize("model", ["STUDY", "PATIENT"])
@pytest.mark.parametrize("via", WAYS)
def test_every_level(full, via, model):
    peer, one, _ = full
    above = {"PatientID": "P1"} if model == "PATIENT" else {}
    study = find(peer, level="STUDY", model=model, keys={**above, "StudyInstanceUID": one}, via=via)
    assert len(study) == 1
    series = find(peer, level="SERIES", model=model, keys={**above, "StudyInstanceUID": one}, via=via)
    assert series.table().Modality.tolist() == ["CT"]
    uid = series[0].SeriesInstanceUID
    keys = {**above, "StudyInstanceUID": one, "SeriesInstanceUID": uid, "InstanceNumber": None}
    images = find(peer, level="IMAGE", model=model, keys=keys, via=via).table()
    assert sorted(images.InstanceNumber) == [1, 2, 3]
    assert images.InstanceNumber.dtype == "Int64"
    assert set(images.SOPClassUID) == {"1.2.840.10008.5.1.4.1.1.2"}


@pytest.mark.parametrize("via", WAYS)
def test_patients(full, via):
    peer, *_ = full
    frame = find(peer, level="PATIENT", model="PATIENT", via=via).table()
    assert sorted(frame.PatientID) == ["P1", "P2"]


def test_both_ways_give_the_same_table(full):
    peer, *_ = full
    tables = [find(peer, via=via).table().sort_values("PatientID", ignore_index=True) for via in WAYS]
    pd.testing.assert_frame_equal(*tables, check_categorical=False)
    assert pd.api.types.is_datetime64_any_dtype(tables[0].StudyDate)
    assert tables[0].NumberOfStudyRelatedInstances.tolist() == [3, 2]


@pytest.mark.parametrize("via", WAYS)
def test_the_limit(full, via):
    peer, *_ = full
    found = find(peer, limit=1, via=via)
    assert (len(found), found.truncated) == (1, True)
    assert not find(peer, limit=2, via=via).truncated


def test_dcmqrscp(dcmqrscp, program, tmp_path):
    one, files = made(tmp_path, patient="P1", name="DOE^JANE", date="20240115")
    send(program, dcmqrscp.peer, files)
    found = find(dcmqrscp.peer, keys={"PatientName": "doe*"})
    assert [d.StudyInstanceUID for d in found] in ([one], [])  # its matching of case is its own
    assert [d.StudyInstanceUID for d in find(dcmqrscp.peer, keys={"PatientName": "DOE*"})] == [one]
    series = find(dcmqrscp.peer, level="SERIES", keys={"StudyInstanceUID": one})
    keys = {"StudyInstanceUID": one, "SeriesInstanceUID": series[0].SeriesInstanceUID}
    assert len(find(dcmqrscp.peer, level="IMAGE", keys=keys)) == 3
    limited = find(dcmqrscp.peer, level="IMAGE", keys=keys, limit=2)
    assert (len(limited), limited.truncated) == (2, True)


def test_refusals(full, free_port, monkeypatch):
    peer, *_ = full
    with pytest.raises(AssociationRejected, match="called AE title not recognized"):
        find(peer.but(ae_title="OTHER"))
    with pytest.raises(PeerUnreachable, match="refused"):
        find(peer.but(port=free_port()))
    with pytest.raises(PeerUnreachable, match="Check web_url"):
        find(peer.but(web_url=f"http://127.0.0.1:{free_port()}/dicom-web"), via="web")
    with pytest.raises(StatusFailure, match=r"404.*Check web_url") as caught:
        find(peer.but(web_url=peer.web_url + "-not"), via="web")
    assert caught.value.status == 404
    with pytest.raises(InputError, match="WB_NO_SUCH"):
        find(peer.but(web_secret="WB_NO_SUCH"), via="web")
    assert isinstance(find(peer)[0], Dataset)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems can't be told to acknowledge at once")
def test_who_sends_command_and_identifier_in_two_pieces_does_not_wait_for_our_acknowledgement(plain, archive):
    """As with dcmjs-dimse, and DCMTK as it comes: Nagle's algorithm holds the identifier until the command is acknowledged."""
    study_root, asked, seconds = "1.2.840.10008.5.1.4.1.2.2.1", Dataset(), []
    asked.QueryRetrieveLevel, asked.PatientID = "STUDY", "NOBODY"
    with Server(archive) as server:
        line = plain.call(server.peer, [study_root])
        for number in range(1, 31):
            began = time.perf_counter()
            line.send(study_root, {0x0002: study_root, 0x0100: 0x0020, 0x0110: number, 0x0700: 0}, asked)
            answer, _ = line.receive()
            seconds.append(time.perf_counter() - began)
            assert answer[0x0900] == 0
        line.release()
    assert statistics.median(seconds[10:]) < 0.03  # Linux acknowledges after 40 ms otherwise; a new connection's first at once

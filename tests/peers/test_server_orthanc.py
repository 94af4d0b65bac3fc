"""The embedded server with Orthanc as its client: it verifies, stores, queries and retrieves at its REST interface's wish."""

import json
import time
import urllib.request

import pytest

from workbench import files, phantoms
from workbench.archive import Archive
from workbench.entities import Peer
from workbench.network import Server


def rest(running, path, body=None):
    base = running.peer.web_url.removesuffix("/dicom-web")
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    with urllib.request.urlopen(base + path, data=data, timeout=30) as answer:
        return json.loads(answer.read() or "null")


def dataset_bytes(data):
    return data[files.Part10.locate(data).dataset_offset :]


@pytest.fixture
def series():
    return phantoms.ct_series(5, rows=64, columns=64)


@pytest.fixture
def door(orthanc, tmp_path):
    """A server where Orthanc expects its peer WORKBENCH."""
    known = {"orthanc": Peer("orthanc", "ORTHANC", port=orthanc.peer.port)}
    with Archive(tmp_path / "archive") as archive, Server(archive, port=orthanc.move_port, known_peers=known) as server:
        yield server


def sent(dataset, folder):
    return files.save(dataset, folder / "sent.dcm").read_bytes()


def test_orthanc_verifies_us(orthanc, door):
    assert rest(orthanc, "/modalities/workbench/echo", {}) == {}


def test_orthanc_stores_here_byte_for_byte(orthanc, door, series, tmp_path):
    originals = {str(d.SOPInstanceUID): sent(d, tmp_path) for d in series}
    ids = [rest(orthanc, "/instances", data)["ID"] for data in originals.values()]
    report = rest(orthanc, "/modalities/workbench/store", {"Resources": ids, "Synchronous": True})
    assert report["FailedInstancesCount"] == 0
    assert door.archive.counts().instances == 5
    for uid, data in originals.items():
        assert dataset_bytes(door.archive.path(uid).read_bytes()) == dataset_bytes(data)


@pytest.mark.parametrize(
    ("level", "query", "expected"),
    [
        ("Patient", {"PatientID": "*"}, 1),
        ("Study", {"StudyDate": "19000101-20991231"}, 1),
        ("Study", {"PatientName": "NOBODY*"}, 0),
        ("Series", {"Modality": "CT", "StudyInstanceUID": ""}, 1),
        ("Instance", {"InstanceNumber": "", "StudyInstanceUID": "", "SeriesInstanceUID": ""}, 5),
    ],
)
def test_orthanc_queries_here(orthanc, door, series, level, query, expected):
    for dataset in series:
        door.archive.add(dataset)
    made = rest(orthanc, "/modalities/workbench/query", {"Level": level, "Query": query})
    assert len(rest(orthanc, f"/queries/{made['ID']}/answers")) == expected


def test_orthanc_retrieves_from_here_by_move(orthanc, door, series):
    for dataset in series:
        door.archive.add(dataset)
    made = rest(orthanc, "/modalities/workbench/query", {"Level": "Study", "Query": {"StudyInstanceUID": ""}})
    rest(orthanc, f"/queries/{made['ID']}/answers/0/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    end = time.monotonic() + 5
    while rest(orthanc, "/statistics")["CountInstances"] < 5 and time.monotonic() < end:
        time.sleep(0.1)
    assert rest(orthanc, "/statistics")["CountInstances"] == 5

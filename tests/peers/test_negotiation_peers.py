"""Relational queries to peers that do not negotiate them: asked level by level, they give what ours give when asked at once."""

import subprocess

import pytest

from workbench.archive import Archive
from workbench.entities import InstanceRef
from workbench.network import QueryOptions, Server, find, retrieve
from workbench.phantoms import ct_series


@pytest.fixture
def instances(tmp_path):
    """Three studies of two images as files."""
    paths = []
    for study, name in enumerate(("DOE^JANE", "ROE^RITA", "DOE^JOHN"), start=1):
        for number, dataset in enumerate(ct_series(2, rows=16, columns=16), start=1):
            dataset.PatientID, dataset.PatientName, dataset.StudyID = f"R{study}", name, str(study)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.3.{study}", f"1.2.3.{study}.1"
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{study}.1.{number}"
            paths.append(tmp_path / f"{study}-{number}.dcm")
            dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def other(request, program, instances):
    """Orthanc or dcmqrscp with the three studies."""
    running = request.getfixturevalue(request.param)
    command = [program("storescu"), "-aec", running.peer.ae_title, running.peer.host, str(running.peer.port), *map(str, instances)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return running


KEYS = {"PatientName": "DOE*", "InstanceNumber": None}
NAMES = ("PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def rows(found):
    return sorted(tuple(str(answer[name].value) for name in NAMES) for answer in found)


def test_a_walk_gives_what_our_server_gives_at_once(other, archive, instances):
    for path in instances:
        archive.add(path)
    told = []
    walked = find(
        other.peer,
        level="IMAGE",
        keys=KEYS,
        options=QueryOptions(relational=True),
        progress=lambda *counts: told.append(counts),
    )
    with Server(archive) as server:
        at_once = find(server.peer, level="IMAGE", keys=KEYS, options=QueryOptions(relational=True))
    assert at_once.granted == {"relational"}
    assert "relational" not in walked.granted
    assert any("level by level" in note for note in walked.notes)
    assert rows(walked) == rows(at_once)
    assert len(walked) == 4
    assert told[-1][0] == told[-1][1] == 5


def test_an_instance_by_its_own_uid_alone(other, tmp_path):
    with Archive(tmp_path / "into") as into:
        report = retrieve(other.peer, InstanceRef("", "", "", "1.2.3.2.1.2"), into=into, relational=True, method="get")
        assert [row.sop_instance_uid for row in report] == ["1.2.3.2.1.2"]
        assert report.counts() == {"retrieved": 1}
        assert report.granted == frozenset()

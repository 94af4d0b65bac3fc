"""Associations with DCMTK and Orthanc, recorded: what they send is seen as they send it, in few or many PDUs."""

import subprocess

from workbench.files import save
from workbench.network import Server, Trace, find, store, trace
from workbench.phantoms import ct_series


def test_storescu_with_small_pdus_is_seen_by_the_server(archive, program, tmp_path):
    path = save(ct_series(1, rows=128, columns=128)[0], tmp_path / "ct.dcm")
    recorded = Trace()
    with Server(archive, ae_title="DOOR", trace=recorded) as server:
        command = [program("storescu"), "--max-send-pdu", "4096", "-aec", "DOOR", "127.0.0.1", str(server.port), str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    (request,) = (row for row in recorded.rows if row.name == "C-STORE-RQ")
    assert request.dataset_bytes > 128 * 128 * 2
    assert request.pdus >= request.dataset_bytes / 4096
    assert max(pdu.size_bytes for pdu in recorded.pdus if pdu.name == "P-DATA-TF") <= 4096 + 6
    assert [row.name for row in recorded.rows][-3:] == ["A-RELEASE-RQ", "A-RELEASE-RP", "connection"]
    assert {context.result for context in recorded.contexts} == {"accepted"}


def test_what_storescp_refuses_is_told(storescp, tmp_path):
    running = storescp("--refuse")
    with trace() as recorded:
        assert not store(running.peer, ct_series(1, rows=16)).complete
    assert {row.name for row in recorded.rows} >= {"A-ASSOCIATE-RQ", "A-ASSOCIATE-RJ"}


def test_an_abort_of_storescp_is_told(storescp):
    running = storescp("--abort-after")
    with trace() as recorded:
        assert not store(running.peer, ct_series(1, rows=16)).complete
    assert any(row.name == "A-ABORT" and row.direction == "received" for row in recorded.rows)


def test_orthanc_answers_are_seen(orthanc):
    with trace() as recorded:
        assert store(orthanc.peer, ct_series(3, rows=16)).complete
        assert len(find(orthanc.peer, keys={"PatientID": "*"})) == 1
    statuses = [(row.name, row.status) for row in recorded.rows if row.status is not None]
    assert statuses == [("C-STORE-RSP", 0)] * 3 + [("C-FIND-RSP", 0xFF00), ("C-FIND-RSP", 0)]
    assert not [row for row in recorded.rows if row.name == "violation"]

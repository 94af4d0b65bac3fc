"""Exchange: only what came back equal is verified."""

import copy
import time

import pytest
from pydicom import dcmread

from workbench import builders, phantoms
from workbench.department import Department
from workbench.entities import Polyline
from workbench.errors import AttributeUnusable, InputError, NetworkError, PeerUnknown
from workbench.flows import Audit, exchange
from workbench.inspection import differences
from workbench.network import AddressBook, Commitment, Server


@pytest.fixture(scope="module")
def derived():
    image = phantoms.ct_series(1, rows=64)[0]
    state = builders.grayscale([image], window=(40, 400), marks=[Polyline.rectangle(8, 8, 40, 40)])
    return [image, state, builders.selection([image, state], description="Two")]


@pytest.mark.parametrize("via", ["dimse", "web"])
def test_orthanc_gives_back_what_it_got(orthanc, derived, via):
    audit = Audit()
    before = copy.deepcopy(derived)
    pushed = exchange.push(orthanc.peer, derived, via=via, audit=audit)
    assert [(row.stored, row.found, row.differences, row.verified) for row in pushed] == [("stored", True, 0, True)] * 3
    assert pushed.verified
    assert repr(pushed) == "Push(3 of 3 verified)"
    assert derived == before
    (line,) = audit.lines
    assert (line.step, line.count, line.verified) == ("push", 3, True)
    assert exchange.push(orthanc.peer, derived, via=via).verified  # and again: nothing changes


def test_dcmqrscp(dcmqrscp, derived):
    assert exchange.push(dcmqrscp.peer, derived).verified


def test_by_move(dcmqrscp, derived):
    pushed = exchange.push(dcmqrscp.peer.but(retrieve_by="move"), derived[:1])
    assert pushed[0].stored == "stored"  # whether it can move depends on the port that it knows: it says so, or it is verified
    assert pushed[0].verified or pushed[0].message


def test_a_peer_that_refuses_the_association(storescp, derived):
    audit = Audit()
    pushed = exchange.push(storescp("--refuse").peer, derived, audit=audit)
    assert [(row.stored, row.found, row.verified) for row in pushed] == [("failed", False, False)] * 3
    assert all("rejected the association" in row.message for row in pushed)
    assert not audit.lines.verified


def test_a_peer_that_takes_it_and_can_not_be_asked(storescp, derived):
    running = storescp()
    pushed = exchange.push(running.peer, derived[:1])
    assert len(list((running.folder / "received").iterdir())) == 1
    (row,) = pushed
    assert (row.stored, row.found, row.differences, row.verified) == ("stored", False, None, False)
    assert row.message.startswith("Not proven: ")
    assert "C-FIND" in row.message or "context" in row.message


def test_nobody_there(free_port, derived):
    with Department(instances=[]) as department:
        peer = department.peer.but(port=free_port())
    pushed = exchange.push(peer, derived[:1])
    assert not pushed.verified
    assert "Nothing listens" in pushed[0].message


def test_an_instance_with_errors_is_not_sent(derived):
    wrong = copy.deepcopy(derived[0])
    del wrong.PhotometricInterpretation
    wrong.SOPInstanceUID = wrong.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.99"
    audit = Audit()
    with Department(instances=[]) as department:
        pushed = exchange.push(department.peer, [derived[0], wrong], audit=audit)
        assert [ref.sop_instance_uid for ref in department.archive] == [str(derived[0].SOPInstanceUID)]
    assert [(row.stored, row.verified) for row in pushed] == [("stored", True), ("not sent", False)]
    assert pushed[1].errors > 0
    assert pushed[1].message.startswith("The check found errors: PhotometricInterpretation: Missing attribute for Type 1 Required")
    assert "see conformance.check; even_with_errors=true" in pushed[1].message.lower()
    assert audit.lines[0].note.startswith("1 of 2 ")


def test_other_content_under_the_same_uid(derived):
    other = copy.deepcopy(derived[0])
    other.SeriesDescription = "Another"
    with Department(instances=[other]) as department:
        (row,) = exchange.push(department.peer, [derived[0]])
        assert not row.verified
        assert row.message
        assert len(department.archive.conflicts()) == 1


def test_no_instance_no_proof(derived):
    with Department(instances=[]) as department:
        assert not exchange.push(department.peer, []).verified
        nameless = copy.deepcopy(derived[0])
        del nameless.SOPInstanceUID
        with pytest.raises(AttributeUnusable, match="needs SOPInstanceUID"):
            exchange.push(department.peer, [derived[1], nameless])
        assert len(department.archive) == 0


@pytest.fixture
def faulty(derived):
    wrong = copy.deepcopy(derived[0])
    del wrong.ImagePositionPatient
    wrong.SOPInstanceUID = wrong.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.98"
    return wrong


@pytest.mark.parametrize("via", ["dimse", "web"])
def test_what_has_errors_is_sent_where_that_is_asked_for(orthanc, derived, faulty, via):
    pushed = exchange.push(orthanc.peer, [derived[0], faulty], via=via, even_with_errors=True)
    assert [(row.errors, row.stored, row.found, row.differences) for row in pushed] == [
        (0, "stored", True, 0),
        (1, "stored", True, 0),
    ]
    assert pushed.verified


def test_errors_are_told_of_what_a_peer_refuses_too(free_port, faulty):
    with Department(instances=[]) as department:
        peer = department.peer.but(port=free_port())
    (row,) = exchange.push(peer, [faulty], even_with_errors=True)
    assert (row.errors, row.stored, row.verified) == (1, "failed", False)


def test_a_tomography_can_be_pushed():
    scan = phantoms.oct()
    with Department(instances=[]) as department:
        pushed = exchange.push(department.peer, [scan.volume, scan.localizer])
    assert [(row.errors, row.verified) for row in pushed] == [(0, True), (0, True)]


def padded(dataset, folder):
    other = copy.deepcopy(dataset)
    other.add_new(0xFFFCFFFC, "OB", b"\0" * 126)
    other.save_as(folder / "padded.dcm", enforce_file_format=True)
    return dcmread(folder / "padded.dcm")


def test_trailing_padding_is_no_difference(derived, orthanc, tmp_path):
    assert exchange.push(orthanc.peer, [derived[0]]).verified  # Orthanc keeps this one, without padding
    other = padded(derived[0], tmp_path)
    assert [difference.kind for difference in differences(derived[0], other)] == ["added"]
    (row,) = exchange.push(orthanc.peer, [other])
    assert (row.errors, row.differences, row.verified) == (0, 0, True)


def test_the_first_attribute_that_changed_is_named_without_its_value(derived, orthanc):
    sent = exchange.push(orthanc.peer, [derived[0]])
    assert sent.verified
    other = copy.deepcopy(derived[0])
    other.StudyDate, other.SeriesDescription, other.PatientName = "19991231", "Canary", "CANARY^ONE"
    (row,) = exchange.push(orthanc.peer, [other])  # Orthanc keeps the one that it has
    assert not row.verified
    assert row.differences == 3
    assert row.message == "It came back changed: StudyDate and 2 more."
    one = copy.deepcopy(derived[0])
    one.SeriesDescription = "Canary"
    (row,) = exchange.push(orthanc.peer, [one])
    assert row.message == "It came back changed: SeriesDescription."


def test_a_peer_by_name(derived, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    with Department(instances=[]) as department:
        book = AddressBook.load()
        book.add(department.peer.but(name="pacs"))
        book.save()
        assert exchange.push("pacs", derived[:1]).verified
        with pytest.raises(InputError, match=r"not a Department: pass its \.peer"):
            exchange.push(department, derived[:1])
        with pytest.raises(PeerUnknown, match="it has 'pacs'"):
            exchange.push("packs", derived[:1])


# ------------------------------------------------------------ storage commitment as proof
def test_orthanc_answers_for_what_it_got(orthanc, derived):
    """S08: its report comes on a new association; without an ear for it, nothing is taken for granted."""
    pushed = exchange.push(orthanc.peer, derived, listen=orthanc.move_port, commit="always")
    assert [row.committed for row in pushed] == ["yes"] * 3
    assert pushed.verified
    deaf = exchange.push(orthanc.peer, derived[:1], wait_s=1)
    assert [(row.committed, row.verified) for row in deaf] == [("no report", True)]
    assert "No report came within 1 s. The peer may report on a new association: pass listen=" in deaf[0].message
    unproven = exchange.push(orthanc.peer, derived[:1], wait_s=1, commit="always")
    assert [(row.committed, row.verified) for row in unproven] == [("no report", False)]
    assert "does not answer for it: no report. No report came within 1 s." in unproven[0].message
    silent = exchange.push(orthanc.peer, derived[:1], commit="never", listen=orthanc.move_port)
    assert [(row.committed, row.verified) for row in silent] == [("not asked", True)]
    assert exchange.push(orthanc.peer, derived[:1], via="web", listen=orthanc.move_port)[0].committed == "not asked"
    assert exchange.push(orthanc.peer, derived[:1], via="web", listen=orthanc.move_port, commit="always")[0].committed == "yes"


def test_who_does_not_offer_it(dcmqrscp, derived):
    assert [(row.committed, row.verified) for row in exchange.push(dcmqrscp.peer, derived[:1])] == [("not offered", True)]
    (row,) = exchange.push(dcmqrscp.peer, derived[:1], commit="always")
    assert (row.committed, row.verified) == ("not offered", False)
    assert row.message == "It came back equal, but the peer does not answer for it: not offered."
    with pytest.raises(InputError, match="'auto', 'always' or 'never'"):
        exchange.push(dcmqrscp.peer, derived, commit="sometimes")


def test_who_reports_elsewhere_costs_little_and_what_is_waited_for_is_told(orthanc, derived):
    said: dict[str, float] = {}
    pushed = exchange.push(orthanc.peer, derived, progress=lambda text: said.update({text: time.monotonic()}))
    ended = time.monotonic()
    assert [(row.committed, row.verified) for row in pushed] == [("no report", True)] * 3
    assert "No report came within 2.03 s. The peer may report on a new association: pass listen=" in pushed[0].message
    storing, finding, waiting = said
    assert (storing, finding) == ("Storing 3 of 3 instances.", "Finding them and getting them back.")
    assert ended - said[waiting] < 5
    assert waiting.startswith("Waiting up to 2.03 s for the report of storage commitment on the association of the request.")
    assert "pass listen= with the port that it knows for us" in waiting


def test_what_must_be_answered_for_is_waited_for_longer(orthanc, derived):
    said: list[str] = []
    (row,) = exchange.push(orthanc.peer, derived[:1], commit="always", progress=said.append)
    assert (row.committed, row.verified) == ("no report", False)
    assert said[-1].startswith("Waiting up to 10 s")


def test_a_report_that_comes_at_once_is_not_waited_for_and_not_talked_about(derived):
    said: list[str] = []
    with Department(instances=[]) as department:
        assert [row.committed for row in exchange.push(department.peer, derived, progress=said.append)] == ["yes"] * 3
    assert said == ["Storing 3 of 3 instances.", "Finding them and getting them back."]


@pytest.mark.parametrize("wait_s", [-1, float("nan")])
def test_a_wait_that_is_none_is_told_before_anything_is_sent(archive, derived, wait_s):
    with Server(archive) as server, pytest.raises(InputError, match="wait_s is 0 or more"):
        exchange.push(server.peer, derived, wait_s=wait_s)
    assert len(archive) == 0


def test_who_does_not_offer_it_is_not_waited_for(dcmqrscp, derived):
    start = time.monotonic()
    exchange.push(dcmqrscp.peer, derived[:1], wait_s=60)
    assert time.monotonic() - start < 20


def test_what_is_equal_and_not_answered_for_is_not_verified(archive, derived):
    """S10: what the peer gives back from its cache may be right, and its file be damaged."""

    class Forgetful(Commitment):
        def _reason(self, sop_class_uid, uid):
            path = archive.path(uid)
            path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
            return super()._reason(sop_class_uid, uid)

    with Server(archive, providers=[Forgetful(archive)]) as server:
        (row,) = exchange.push(server.peer, derived[:1])
    assert row.committed.startswith("no: Failure reason 0x0110")
    assert (row.differences, row.verified) == (0, False)


@pytest.mark.parametrize("listen", ["taken", 70_000])
def test_a_port_at_which_nothing_can_be_heard_is_told_before_anything_is_stored(archive, derived, listen):
    with Server(archive) as server:
        with pytest.raises((InputError, NetworkError), match=r"in use|65535"):
            exchange.push(server.peer, derived[:1], listen=server.port if listen == "taken" else listen)
        assert archive.counts().instances == 0

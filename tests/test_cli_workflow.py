"""The commands of a modality's day, against servers that listen."""

import json
import re

import pytest
from typer.testing import CliRunner

from workbench.cli import _book, app
from workbench.cli._wording import in_options
from workbench.entities import Peer
from workbench.errors import InputError, ServerRefused
from workbench.network import AddressBook, Commitment, ProcedureSteps, Server, Worklist, store
from workbench.phantoms import ct_series

STUDY = "2.25.31415"
ROW = {
    "PatientName": "DOE^JANE", "PatientID": "P1", "Modality": "CT", "ScheduledStationAETitle": "CT1", "AccessionNumber": "A7",
    "ScheduledProcedureStepStartDate": "20261121", "StudyInstanceUID": STUDY,
}  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path):
    paths = []
    for number, dataset in enumerate(ct_series(2, rows=32, columns=32)):
        dataset.PatientID, dataset.StudyInstanceUID = "P1", STUDY
        paths.append(tmp_path / "images" / f"{number}.dcm")
        paths[-1].parent.mkdir(exist_ok=True)
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


@pytest.fixture
def department(archive):
    items = Worklist([ROW, ROW | {"AccessionNumber": "A8", "Modality": "MR"}])
    steps = ProcedureSteps(items)
    with Server(archive, providers=[items, steps, Commitment(archive)]) as server:
        yield f"WORKBENCH@127.0.0.1:{server.port}", items, steps


def test_worklist(department):
    peer, *_ = department
    done = run("worklist", peer, "Modality=CT", "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert (row["AccessionNumber"], row["Modality"], row["PatientID"]) == ("A7", "CT", "P1")
    text = run("worklist", peer).stdout
    assert text.startswith("2 items")
    assert "and there are more" in run("worklist", peer, "--limit", 1).stdout
    assert isinstance(run("worklist", peer, "Modality").exception, InputError)


def test_a_date_may_be_written_as_it_is_shown_and_sequences_say_how_many_items(department, tmp_path):
    peer, *_ = department
    done = run("worklist", peer, "ScheduledProcedureStepStartDate=2026-11-21", "AccessionNumber=A7")
    assert done.stdout.startswith("1 item")
    assert "2026-11-21" in done.stdout
    shown = run("worklist", peer).stdout.splitlines()
    assert not any(cell == "0" for line in shown for cell in line.split())
    path = tmp_path / "items.csv"
    path.write_text(",".join(ROW) + "\n" + ",".join(ROW.values()).replace("20261121", "2026-11-21") + "\n")
    (item,) = Worklist(path).items
    assert item.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate == "20261121"


@pytest.mark.parametrize("value", ["21.11.2026", "2026-11-31", "2026-11"])
def test_what_is_no_date_is_told_without_python(department, value):
    peer, *_ = department
    error = run("worklist", peer, f"ScheduledProcedureStepStartDate={value}").exception
    assert isinstance(error, InputError)
    assert "Python" not in in_options(str(error))


def test_an_echo_does_not_promise_other_services(department):
    said = run("echo", department[0]).stdout
    assert said.startswith("OK: ")
    assert "Other services, such as storage or query, may be allowed apart from it." in said


def test_what_is_meant_is_named_once(department):
    error = run("worklist", department[0], "Patient=x").exception
    named = re.findall(r"\w+", str(error).partition("Do you mean")[2])
    assert "PatientID" in named
    assert len([name for name in named if name != "or"]) == len({name for name in named if name != "or"})


def test_a_port_for_reports_that_is_taken(department):
    peer, *_ = department
    port = peer.rpartition(":")[2]
    error = run("commit", peer, "1.2.840.10008.5.1.4.1.1.2:1.2.3", "--listen", port).exception
    assert isinstance(error, ServerRefused)
    assert "0 for a free" not in str(error)
    assert "pass another port: the one that the peer knows" in str(error)


def test_a_step_from_the_worklist_to_its_end(department, files, tmp_path):
    peer, _, steps = department
    state = tmp_path / "step.json"
    begun = run(
        "step", "begin", peer, state, "PerformedLocation=Room 2", "--worklist", peer, "--match", "AccessionNumber=A7", "--json"
    )
    assert begun.exit_code == 0, begun.output
    uid = json.loads(begun.stdout)["sop_instance_uid"]
    assert (steps.status(uid), str(steps[uid].PatientName), steps[uid].PerformedLocation) == ("IN PROGRESS", "DOE^JANE", "Room 2")
    assert state.stat().st_mode & 0o777 == 0o600
    assert isinstance(run("step", "begin", peer, state, "Modality=CT").exception, InputError)
    ended = run("step", "finish", peer, state, *files)
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith(f"COMPLETED: performed procedure step {uid}, 2 instances")
    assert steps.status(uid) == "COMPLETED"
    assert not state.exists()
    gone = run("step", "finish", peer, state, *files).exception
    assert isinstance(gone, InputError)
    assert "begin a step first" in str(gone)


def test_a_step_that_was_not_scheduled_and_is_discontinued(department, files, tmp_path):
    peer, _, steps = department
    state = tmp_path / "step.json"
    assert run("step", "begin", peer, state, "Modality=CT", "PatientID=E1", f"StudyInstanceUID={STUDY}").exit_code == 0
    strange = run("step", "finish", peer, state, files[0]).exception
    assert "is of another study or patient" in str(strange)
    assert state.exists()
    state.unlink()
    assert run("step", "begin", peer, state, "Modality=CT", "PatientID=P1", f"StudyInstanceUID={STUDY}").exit_code == 0
    assert run("step", "finish", peer, state, files[0], "--discontinued").exit_code == 0
    assert steps.table().PerformedProcedureStepStatus.tolist() == ["IN PROGRESS", "DISCONTINUED"]


def test_a_step_that_has_made_nothing_is_discontinued_without_files(department, tmp_path):
    peer, items, steps = department
    state = tmp_path / "step.json"
    assert run("step", "begin", peer, state, "--worklist", peer, "--match", "AccessionNumber=A7").exit_code == 0
    assert "name their files, or pass --discontinued" in str(run("step", "finish", peer, state).exception)
    ended = run("step", "finish", peer, state, "--discontinued")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith("DISCONTINUED: performed procedure step ")
    assert (steps.table().PerformedProcedureStepStatus.tolist(), state.exists()) == (["DISCONTINUED"], False)
    assert items.items[0].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "DISCONTINUED"


def test_a_step_needs_one_item_and_a_sound_state(department, files, tmp_path):
    peer, *_ = department
    state = tmp_path / "step.json"
    several = run("step", "begin", peer, state, "--worklist", peer).exception
    assert "more than one item" in str(several)
    nothing = run("step", "begin", peer, state, "--worklist", peer, "--match", "AccessionNumber=XX").exception
    assert "has nothing" in str(nothing)
    assert not state.exists()
    for content in (b"", b"[]", b"{}", b'{"sop_instance_uid": "1.2", "status": "IN PROGRESS", "attributes": 7}'):
        state.write_bytes(content)
        assert "holds no step" in str(run("step", "finish", peer, state, *files).exception)


def test_commit(department, files):
    peer, *_ = department
    assert store(peer, files).complete
    done = run("commit", peer, files[0].parent, "--json")
    assert done.exit_code == 0, done.output
    assert [row["outcome"] for row in json.loads(done.stdout)] == ["committed"] * 2
    some = run("commit", peer, files[0], "1.2.840.10008.5.1.4.1.1.2:1.2.3")
    assert some.exit_code == 1
    assert "1 failed, 1 committed" in some.stdout
    assert "0x0112: no such instance is there" in some.stdout
    assert "no file and not" in str(run("commit", peer, "nothing.dcm").exception)


def test_what_a_commit_waits_for_is_told_with_its_option(orthanc, files):
    peer = f"ORTHANC@127.0.0.1:{orthanc.peer.port}"
    assert store(peer, files).complete
    deaf = run("commit", peer, files[0].parent, "--wait", 1)
    assert deaf.exit_code == 1
    assert deaf.stderr.startswith("Waiting up to 1 s for the report of storage commitment on the association of the request.")
    assert "pass --listen with the port that it knows for us" in deaf.stderr
    assert run("commit", peer, files[0].parent, "--listen", orthanc.move_port).exit_code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "items.csv is empty"),
        (b"PatientName,PatientID\nM\xfcller^J,1\n", "items.csv, line 2 is not UTF-8"),
        (b'PatientName,PatientID\n"Doe^Jane,1\n', "items.csv, line 2 is not CSV"),
        (b"PatientName,Room\nDoe^Jane,1\n", "items.csv: column 2 is headed by no key"),
        (b"PatientName,PatientID\nDoe^Jane,1\n", "items.csv, line 2 lacks ScheduledStationAETitle"),
    ],
)
def test_a_worklist_that_can_not_be_served(content, said, tmp_path):
    items = tmp_path / "items.csv"
    items.write_bytes(content)
    done = run("serve", "--worklist", items, "--port", 0, "--folder", tmp_path / "archive")
    assert isinstance(done.exception, InputError)
    assert said in str(done.exception)
    assert "Doe" not in str(done.exception)


def test_a_peer_that_is_added_while_the_address_book_is_read_is_not_missed(archive, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    monkeypatch.setattr(_book, "_EVERY_S", 0.0)
    AddressBook.load().save()

    class Overtaken(AddressBook):
        """An address book that another program changes right after it was read."""

        @classmethod
        def load(cls, path=None):
            read, now = AddressBook.load(path), AddressBook.load(path)
            now.add(Peer(f"late{len(list(now))}", f"LATE{len(list(now))}", "127.0.0.1", 11119))
            now.save()
            return read

    monkeypatch.setattr(_book, "AddressBook", Overtaken)
    known = _book.KnownPeers()
    assert not known.peers
    with Server(archive, known_peers=known.peers) as server:
        for number in range(3):
            known.tell(server)
            assert server._known_as(f"LATE{number}").port == 11119


def test_a_server_learns_of_peers_that_are_added_while_it_runs(archive, monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    monkeypatch.setattr(_book, "_EVERY_S", 0.0)
    known = _book.KnownPeers()
    with Server(archive, known_peers=known.peers) as server:
        assert server._known_as("LATE") is None
        book = AddressBook.load()
        book.add(Peer("late", "LATE", "127.0.0.1", 11119))
        book.save()
        known.tell(server)
        assert server._known_as("LATE").port == 11119
        (tmp_path / "peers.toml").write_text("[[[")
        known.tell(server)
        assert server._known_as("LATE").port == 11119

"""Every command that speaks with somebody can write what passed on the wire, and names nobody in it unless asked."""

import contextlib
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest
from pydicom.dataset import Dataset
from typer.main import get_command
from typer.testing import CliRunner

from workbench.cli import app
from workbench.department import Department
from workbench.entities import FilmImage
from workbench.errors import InputError, PeerUnreachable
from workbench.network import echo, find, print_images, store, worklist
from workbench.phantoms import ct_series

#: All commands, by whether they open or accept associations; `demo` and `lab` do so in other processes.
SPEAKS = {"commit", "device run", "device serve", "echo", "find", "print", "printer", "retrieve", "serve", "step begin",
          "step finish", "store", "worklist"}  # fmt: skip
SILENT = {"check", "deid", "demo", "device lint", "device list", "device show", "diff", "lab", "peers add", "peers list",
          "peers remove", "render", "show", "tree"}  # fmt: skip
PLANTED = ("Xqplanted^Zwname", "XQPATIENT77", "XQACCESS5")
ITEM = {"PatientName": PLANTED[0], "PatientID": PLANTED[1], "Modality": "CT", "ScheduledStationAETitle": "CT1",
        "AccessionNumber": PLANTED[2], "ScheduledProcedureStepStartDate": "20261121"}  # fmt: skip


def commands(node, *names):
    for name, child in getattr(node, "commands", {}).items():
        if hasattr(child, "commands"):
            yield from commands(child, *names, name)
        else:
            yield " ".join([*names, name]), {option for parameter in child.params for option in parameter.opts}


def test_the_commands_that_speak_with_others_are_those_that_can_be_traced():
    known = dict(commands(get_command(app)))
    assert known.keys() == SPEAKS | SILENT
    assert {name for name, options in known.items() if "--trace" in options} == SPEAKS
    assert {name for name, options in known.items() if "--trace-values" in options} == SPEAKS


@dataclass
class Desk:
    """A department whose patient is planted, and a folder with an image of that patient."""

    peers: dict[str, str]
    folder: object
    image: Dataset

    def run(self, *arguments):
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, (done.output, done.exception)
        return done


@pytest.fixture
def desk(tmp_path):
    (folder := tmp_path / "desk").mkdir()
    (image,) = ct_series(1, rows=32, columns=32)
    image.PatientName, image.PatientID, image.AccessionNumber = PLANTED
    (folder / "in").mkdir()
    image.save_as(folder / "in" / "image.dcm", enforce_file_format=True)
    items = [ITEM | {"StudyInstanceUID": str(image.StudyInstanceUID)}]
    with Department(instances=[image], items=items) as department:
        peers = {role: f"{peer.ae_title}@{peer.host}:{peer.port}" for role, peer in department.peers.items()}
        yield Desk(peers, folder, image)


def asking(desk):
    """Return each command that opens associations, what its page must hold, and whether that holds identifiers."""
    archive, ris, printer = (desk.peers[role] for role in ("archive", "ris", "printer"))
    files, state, uid = desk.folder / "in", desk.folder / "step.json", str(desk.image.StudyInstanceUID)
    key = f"PatientID={PLANTED[1]}"
    return {
        "echo": (["echo", archive], "C-ECHO-RQ", False),
        "find": (["find", archive, key], "C-FIND-RQ", True),
        "retrieve": (["retrieve", archive, "--study", uid, "--into", desk.folder / "out"], "C-STORE-RQ", False),
        "store": (["store", archive, files], "C-STORE-RQ", False),
        "worklist": (["worklist", ris, key], "C-FIND-RQ", True),
        "step begin": (["step", "begin", ris, state, "--worklist", ris, "--match", key], "N-CREATE-RQ", True),
        "step finish": (["step", "finish", ris, state, files], "N-SET-RQ", False),
        "commit": (["commit", archive, files], "N-EVENT-REPORT-RQ", False),
        "print": (["print", printer, files], "N-ACTION-RSP", False),
        "device run": (["device", "run", "philips-vereos", "--against", archive, "--ris", ris], "C-FIND-RQ", True),
    }


@pytest.mark.parametrize("values", [False, True], ids=["masked", "with values"])
def test_each_command_that_asks_writes_a_page_that_names_nobody_unless_asked(desk, tmp_path, values):
    for name, (arguments, said, has_identifiers) in asking(desk).items():
        page = tmp_path / f"{name}.html"
        done = desk.run(*arguments, "--trace", page, *(["--trace-values"] if values else []))
        assert f"The trace is in {page}." in done.stderr
        text = page.read_text("utf-8")
        assert f"<b>{said}</b>" in text, name
        assert "accepted" in text
        named = [value for value in PLANTED if value in text]
        assert bool(named) == (values and has_identifiers), name
        assert (page.stat().st_mode & 0o077 == 0) == values


def test_a_trace_that_can_not_be_written_costs_nothing_but_itself(desk, tmp_path):
    """A name that is longer than file systems have is found out when the page is written."""
    page = tmp_path / f"{'n' * 300}.html"
    archive, key = desk.peers["archive"], f"PatientID={PLANTED[1]}"
    plain = desk.run("find", archive, key)
    traced = desk.run("find", archive, key, "--trace", page)
    assert traced.stdout == plain.stdout
    assert "1 answer" in traced.stdout
    assert "error: the trace can't be written to" in traced.stderr
    assert "File name too long" in traced.stderr
    assert "The trace is in" not in traced.output
    failed = CliRunner().invoke(app, ["find", "NOBODY@127.0.0.1:1", key, "--trace", str(page)])
    assert isinstance(failed.exception, PeerUnreachable)


def test_a_system_in_an_embedded_department_is_seen_from_its_own_side(tmp_path):
    page = tmp_path / "day.html"
    done = CliRunner().invoke(app, ["device", "run", "topcon-sp1p", "--trace", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text("utf-8")
    assert "<b>C-ECHO-RQ</b>" in text
    heads = [part.partition("</h4>")[0] for part in text.split("<h4>")[1:]]
    assert heads
    assert all("→" in head for head in heads)


@contextlib.contextmanager
def serving(folder, *arguments):
    """Run a command that serves until it is stopped; give its port's line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench.cli", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process, process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()


def served(name, port, desk):
    """Speak with a server as its client, and return what its page must hold."""
    if name == "printer":
        assert print_images(f"PRINTER@127.0.0.1:{port}", [FilmImage(bytes(range(64)), 8, 8)]).is_printed
        return "N-ACTION-RQ"
    if name == "serve":
        assert store(f"WORKBENCH@127.0.0.1:{port}", [desk.image]).complete
        assert len(find(f"WORKBENCH@127.0.0.1:{port}", keys={"PatientID": PLANTED[1]})) == 1
        assert len(worklist(f"WORKBENCH@127.0.0.1:{port}", keys={"PatientID": PLANTED[1]})) == 1
        return "C-FIND-RSP"
    assert echo(f"VEREOS@127.0.0.1:{port}").layer
    return "A-ASSOCIATE-RQ"


@pytest.mark.parametrize("values", [False, True], ids=["masked", "with values"])
@pytest.mark.parametrize("name", ["serve", "printer", "device serve"])
def test_each_command_that_serves_writes_its_page_when_it_is_stopped(desk, tmp_path, free_port, name, values):
    port = free_port()
    (tmp_path / "items.csv").write_text(",".join(ITEM) + "\n" + ",".join(ITEM.values()) + "\n")
    options = {
        "serve": ["--worklist", "items.csv", "--folder", "a"],
        "printer": ["--folder", "f"],
        "device serve": ["philips-vereos"],
    }
    arguments = [*name.split(), *options[name], "--port", str(port), "--trace", "page.html"]
    with serving(tmp_path, *arguments, *(["--trace-values"] if values else [])) as (_, line):
        assert str(port) in line
        said = served(name, port, desk)
        assert not (tmp_path / "page.html").exists()
    text = (tmp_path / "page.html").read_text("utf-8")
    assert f"<b>{said}</b>" in text
    named = [value for value in PLANTED if value in text]
    assert bool(named) == (values and name == "serve")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trace", "nowhere/page.html"], "There is no folder 'nowhere' for the trace."),
        (["--trace-values"], "--trace-values goes with --trace FILE."),
    ],
)
def test_what_can_not_be_written_is_told_before_anything_is_done(tmp_path, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    for arguments in (["serve", "--port", "0"], ["printer", "--port", "0"], ["echo", "NOBODY@127.0.0.1:1"]):
        refused = CliRunner().invoke(app, [*arguments, *options]).exception
        assert isinstance(refused, InputError)
        assert said in str(refused)
    assert list(tmp_path.iterdir()) == []

"""The command as a user meets it: its output on a terminal and in a pipe, its messages, its exit codes, Ctrl-C."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import tomllib
from fcntl import ioctl
from pathlib import Path

import pytest

from tests.conftest import free_port
from workbench import builders, network, phantoms
from workbench.archive import Archive
from workbench.cli._disk import Folder
from workbench.department import Department
from workbench.entities import Polyline
from workbench.errors import WorkbenchError
from workbench.files import INCOMPLETE_FILES, read, save

WORKBENCH = str(Path(sys.executable).with_name("workbench"))
ROOT = Path(__file__).parents[1]


STABLE = """
import atexit, gc, json, os, sys, traceback
import workbench
from workbench.cli import main

for room in workbench.__all__:
    getattr(workbench, room)
gc.freeze()  # else each child spends a second on cleaning up what it did not make
print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(job["folder"])
        os.environ |= job["environment"]
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(job["out"], os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(os.open(job["err"], os.O_WRONLY | os.O_CREAT), 2)
        sys.argv = ["workbench", *job["arguments"]]
        code = 1
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        atexit._run_exitfuncs()
        os._exit(code)  # taking down every module that the parent made takes as long as most commands
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Stable:
    """A process that has imported everything and forks for each command: ten times faster than a new interpreter."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", STABLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"
        self.count = 0

    def run(self, arguments, folder, environment, scratch):
        self.count += 1
        out, err = scratch / f"out-{self.count}", scratch / f"err-{self.count}"
        job = {"arguments": arguments, "folder": str(folder), "environment": environment, "out": str(out), "err": str(err)}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture(scope="module", autouse=True)
def stable(tmp_path_factory):
    Desk.stable, Desk.scratch = Stable(), tmp_path_factory.mktemp("said")
    yield
    Desk.stable.close()


class Desk:
    """A folder to work in, with an address book of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = os.environ | {"WORKBENCH_PEERS": str(folder / "peers.toml"), "PYTHONWARNINGS": "default"}

    def begin(self, *arguments, **options):
        return subprocess.Popen(
            [WORKBENCH, *map(str, arguments)], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip

    def ask(self, *arguments, fresh=False):
        """Return what a command says: one in an interpreter of its own if it shall be `fresh`."""
        if not fresh:
            return self.stable.run([*map(str, arguments)], self.folder, self.environment, self.scratch)
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, *arguments, code=0, fresh=False):
        done = self.ask(*arguments, fresh=fresh)
        assert done.returncode == code, (arguments, done)
        assert "\x1b" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments, code=0, fresh=False):
        return json.loads(self.run(*arguments, "--json", code=code, fresh=fresh).stdout, parse_constant=pytest.fail)

    def on_terminal(self, *arguments, columns=80):
        """Return what a terminal of so many columns shows, to a command in an interpreter of its own."""
        ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([WORKBENCH, *map(str, arguments)], cwd=self.folder, env=self.environment | {"TERM": "xterm"},
                                   stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)  # fmt: skip
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):
            while more := os.read(ours, 65536):
                shown += more
        os.close(ours)
        assert process.wait(30) == 0
        return shown.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    desk = Desk(tmp_path_factory.mktemp("desk"))
    planted = phantoms.planted_ct().dataset
    save(phantoms.fundus(), desk.folder / "fundus.dcm")
    save(planted, desk.folder / "ct.dcm")
    content = (desk.folder / "ct.dcm").read_bytes()
    (desk.folder / "cut.dcm").write_bytes(content[: len(content) - 3000])
    (desk.folder / "text.txt").write_text("no DICOM\n")
    (desk.folder / "broken.toml").write_text("[peers\n")
    (desk.folder / "nothing").mkdir()
    image = phantoms.ct_series(1, rows=64)[0]
    save(image, desk.folder / "image.dcm")
    save(builders.grayscale([image], marks=[Polyline.rectangle(8, 8, 40, 40)], window=(40, 400)), desk.folder / "state.dcm")
    return desk


@pytest.fixture(scope="module")
def department(desk):
    body = phantoms.ct_series(4, rows=64)
    with Department(instances=[phantoms.planted_ct().dataset, phantoms.fundus(), *body]) as department:
        peer = department.peer
        desk.run("peers", "add", "demo", peer.ae_title, peer.host, peer.port)
        yield department


@pytest.fixture(scope="module")
def series(department):
    return next(ref for ref in department.archive if department.archive.open(ref).get("Rows") == 64 and "2.25.7985" not in str(ref))


# ------------------------------------------------------------ the wire
def test_a_command_writes_what_passed_on_the_wire(desk, department, tmp_path):
    page = tmp_path / "trace.html"
    assert "The trace is in" in desk.run("find", "demo", "PatientName=*", "--trace", page).stderr
    text = page.read_text(encoding="utf-8")
    assert "<b>C-FIND-RQ</b>" in text
    names = {str(department.archive.open(ref).PatientName) for ref in department.archive}
    assert names
    assert not [name for name in names if name in text]
    desk.run("echo", "WRONG@127.0.0.1:" + str(department.peer.port), "--trace", page, code=3)
    assert "called AE title not recognized" in page.read_text(encoding="utf-8")


# ------------------------------------------------------------ the way through the README
def test_the_main_way(desk, department, series, tmp_path):
    study = series.study_instance_uid
    assert "verified" in desk.run("echo", "demo", fresh=True).stdout
    found = desk.json("find", "demo", "PatientName=*", "--level", "STUDY", fresh=True)
    assert {answer["StudyInstanceUID"] for answer in found} == {ref.study_instance_uid for ref in department.archive}
    (answer,) = (a for a in found if a["StudyInstanceUID"] == study)
    assert answer["NumberOfStudyRelatedInstances"] == 4
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", answer["StudyDate"])

    images = tmp_path / "images"
    rows = desk.json("retrieve", "demo", "--study", study, "--into", images, fresh=True)
    assert [row["outcome"] for row in rows] == ["retrieved"] * 4
    files = sorted(images.rglob("*.dcm"))
    assert {f.relative_to(images).parts[0] for f in files} == {study}
    assert {f.stem for f in files} == {row["sop_instance_uid"] for row in rows}
    again = desk.json("retrieve", "demo", "--study", study, "--series", series.series_instance_uid, "--into", images)
    assert len(again) == 4

    released = tmp_path / "released"
    plan = desk.json("deid", images, released, "--key", tmp_path / "study.key", "--plan")
    assert {"path", "tag", "name", "action", "section", "reason"} <= plan[0].keys()
    assert not released.exists()
    rows = desk.json("deid", images, released, "--key", tmp_path / "study.key", fresh=True)
    assert [row["outcome"] for row in rows] == ["released"] * 4
    assert sorted(row["file"] for row in rows) == sorted(f.name for f in released.iterdir())
    assert (tmp_path / "study.key").stat().st_mode & 0o077 == 0
    assert not {str(read(f).dataset.PatientName) for f in released.iterdir()} & {str(read(f).dataset.PatientName) for f in files}

    findings = desk.json("check", released, fresh=True)
    assert {f["severity"] for f in findings} <= {"warning", "note"}
    stored = desk.json("store", "demo", released, "--associations", "2", fresh=True)
    assert [row["outcome"] for row in stored] == ["stored"] * 4
    assert {row["sop_instance_uid"] for row in stored} <= {ref.sop_instance_uid for ref in department.archive}


def test_the_commands_of_the_readme_exist(desk):
    readme = (ROOT / "README.md").read_text()
    lines = [
        line.removeprefix("$ workbench ").split("#")[0].split() for line in readme.splitlines() if line.startswith("$ workbench ")
    ]
    assert len(lines) >= 7
    for words in lines:
        shown = desk.run(*words[: 2 if words[0] in {"peers", "device", "step"} else 1], "--help").stdout
        assert [word for word in words if word.startswith("--") and word not in shown] == []


def test_datasets(desk):
    assert "CT Image Storage" in desk.run("show", "ct.dcm").stdout
    report = builders.selection(read(desk.folder / "ct.dcm").dataset, description="Why")
    save(report, desk.folder / "selection.dcm")
    assert "Key Object Description = Why" in desk.run("show", "selection.dcm").stdout
    assert "Key Object Description = Why" in desk.json("show", "selection.dcm")[0]["Report"]
    (summary,) = desk.json("show", "fundus.dcm")
    assert summary["file"] == "fundus.dcm"
    assert "(0010,0010) PN" in desk.run("tree", "ct.dcm").stdout
    assert desk.json("tree", "ct.dcm")["00080060"]["Value"] == ["CT"]
    assert desk.json("diff", "ct.dcm", "ct.dcm") == []
    changed = desk.json("diff", "ct.dcm", "fundus.dcm", code=1)
    assert {"SOPClassUID", "Modality"} <= {row["path"] for row in changed}
    for name, options in {
        "a.png": (),
        "b.svg": ("--window", "40", "400"),
        "c.pdf": ("--state", "state.dcm"),
        "d.png": ("--frame", "0"),
    }.items():
        assert desk.run("render", "image.dcm", name, *options).stdout == f"{name}\n"
        content = (desk.folder / name).read_bytes()
        assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[name[2:]])


def test_csv_is_safe_for_spreadsheets(desk, department):
    """B03: the table that a command writes goes through the same door as a notebook's."""
    done = desk.run("find", "demo", "--csv", "found.csv")
    assert "found.csv" in done.stderr
    header, *rows = (desk.folder / "found.csv").read_text().splitlines()
    assert "StudyInstanceUID" in header
    assert len(rows) == len({ref.study_instance_uid for ref in department.archive})


def test_address_book(tmp_path):
    desk = Desk(tmp_path)
    assert desk.json("peers", "list") == []
    desk.run(
        "peers",
        "add",
        "pacs",
        "PACS",
        "127.0.0.1",
        104,
        "--calling",
        "ME",
        "--web-url",
        "http://127.0.0.1/dicom-web",
        "--web-secret",
        "PACS_LOGIN",
    )
    (peer,) = desk.json("peers", "list")
    assert peer["calling_ae_title"] == "ME"
    assert tomllib.loads((tmp_path / "peers.toml").read_text())["peers"]["pacs"]["web_secret"] == "PACS_LOGIN"
    desk.run("peers", "remove", "pacs")
    assert desk.json("peers", "list") == []


# ------------------------------------------------------------ what it says when it can't
GONE = "CLOSED@127.0.0.1:{closed}"
REFUSALS = {
    "nothing named": ((), 2, "Usage: workbench"),
    "no such command": (("nosuch",), 2, "No such command 'nosuch'"),
    "no such peer": (("echo", "nobody"), 3, "PeerUnknown: .*no peer 'nobody'"),
    "half a peer": (("echo", "X@127.0.0.1"), 2, "AETITLE@HOST:PORT; 'X@127.0.0.1' is neither"),
    "no such port": (("echo", "X@127.0.0.1:99999"), 2, "^InputError: .*from 1 to 65535, which"),
    "title too long": (("echo", "SEVENTEEN_LETTERS@127.0.0.1:104"), 2, "1 to 16 printable ASCII .* not 'SEVENTEEN_LETTERS'"),
    "a folder where nothing can be kept": (
        ("retrieve", "demo", "--study", "{study}", "--into", "/proc/x"), 2, "'/proc/x' can't be used for what is retrieved: No such"
    ),
    "films where nothing can be kept": (("printer", "--folder", "/proc/x", "--port", "0"), 2, "'/proc/x' can't be used for films"),
    "a trace where nothing can be kept": (("find", "demo", "--trace", "/proc/x.html"), 2, "'/proc' can't be used for the trace"),
    "wrong title": (("echo", "WRONG@{open}"), 3, r"Failed at association: .*called AE title not recognized \(PS3.8 9.3.4\)"),
    "closed port": (("echo", GONE), 3, "Failed at tcp: Nothing listens"),
    "no such host": (("echo", "X@nowhere.invalid:104"), 3, "Failed at name"),
    "find at a closed port": (("find", GONE), 3, "PeerUnreachable: Nothing listens"),
    "retrieve from a closed port": (("retrieve", GONE, "--study", "1.2", "--into", "x"), 3, "PeerUnreachable"),
    "store at a closed port": (("store", GONE, "ct.dcm"), 1, "Nothing listens at"),
    "key without a value": (("find", "demo", "PatientName"), 2, "'PatientName' has no '='"),
    "no such key": (("find", "demo", "PatientNam=X"), 2, "Do you mean PatientName"),
    "key of another level": (("find", "demo", "Rows=3"), 2, "belongs to IMAGE level"),
    "no date": (("find", "demo", "StudyDate=yesterday"), 2, "YYYYMMDD"),
    "no level": (("find", "demo", "--level", "ROOM"), 2, "'ROOM' is not one of"),
    "no limit": (("find", "demo", "--limit", "0"), 2, "--limit"),
    "no web address": (("find", "demo", "--via", "web"), 2, "web_url"),
    "bad UID": (("retrieve", "demo", "--study", "../../x", "--into", "x"), 2, "UidInvalid: .*PS3.5 9.1"),
    "nothing to retrieve": (("retrieve", "demo", "--into", "x"), 2, "--study UID"),
    "a series of two studies": (
        ("retrieve", "demo", "--study", "1.2", "--study", "1.3", "--series", "1.4", "--into", "x"), 2, "one --study UID",
    ),
    "a move to nobody": (
        ("retrieve", "demo", "--study", "{study}", "--into", "x", "--method", "move"), 3, "move destination unknown",
    ),
    "a study that is not there": (("retrieve", "demo", "--study", "1.2.3", "--into", "x"), 1, "The peer has nothing of"),
    "a file for a folder": (("retrieve", "demo", "--study", "1.2.3", "--into", "text.txt"), 2, "is a file"),
    "no such file": (("store", "demo", "nofile.dcm"), 2, "'nofile.dcm' does not exist"),
    "an empty folder": (("store", "demo", "nothing"), 2, "no files there"),
    "storing text": (("store", "demo", "text.txt"), 1, "not DICOM"),
    "storing half a file": (("store", "demo", "cut.dcm"), 1, r"ends too early.*Nothing was sent of it"),
    "showing text": (("show", "text.txt"), 4, "text.txt is not DICOM"),
    "showing half a file": (("show", "cut.dcm"), 4, r"error: cut.dcm: The dataset is cut short in \(7FE0,0010\)"),
    "text as a tree": (("tree", "text.txt"), 4, "NotDicom: text.txt"),
    "half a file as a tree": (("tree", "cut.dcm"), 4, "cut short"),
    "checking text": (("check", "text.txt"), 1, "1 error among 1 finding in 1 file"),
    "checking half a file": (("check", "cut.dcm"), 1, "cut short"),
    "drawing text": (("render", "text.txt", "x.png"), 4, "NotDicom"),
    "drawing half a file": (("render", "cut.dcm", "x.png"), 2, "no pixel data"),
    "drawing into text": (("render", "image.dcm", "x.txt"), 2, ".png, .pdf or .svg"),
    "no such frame": (("render", "image.dcm", "x.png", "--frame", "7"), 2, "no frame 7"),
    "a window without width": (("render", "image.dcm", "x.png", "--window", "40", "0"), 2, "Window Width"),
    "an image as a state": (("render", "image.dcm", "x.png", "--state", "ct.dcm"), 2, "presentation state"),
    "a state and a window": (("render", "image.dcm", "x.png", "--state", "state.dcm", "--window", "1", "2"), 2, "not both"),
    "half a file to release": (("deid", "cut.dcm", "rel", "--key", "k"), 1, "0 released, 0 held back, 1 unusable"),
    "a key that others can read": (("deid", "ct.dcm", "rel", "--key", "text.txt"), 2, "KeyRefused: .*chmod 600"),
    "no such option": (("deid", "ct.dcm", "rel", "--key", "k", "--option", "retain-all"), 2, "no option 'retain_all'"),
    "copies among originals": (("deid", ".", "released", "--key", "k"), 2, "outside the source"),
    "a port that is taken": (("serve", "--port", "{taken}", "--folder", "a"), 3, "ServerRefused: Port .* is in use"),
    "an address of another": (("serve", "--port", "0", "--host", "203.0.113.9", "--folder", "a"), 3, "no address of this machine"),
    "a peer without a title": (("peers", "add", "x", "", "h", "104"), 2, "1 to 16 printable ASCII"),
    "a password in an address": (("peers", "add", "x", "A", "h", "104", "--web-url", "http://u:p@h/"), 2, "user or password"),
    "removing nobody": (("peers", "remove", "nobody"), 3, "no peer 'nobody' to remove; it has '[^.]*.$"),
}  # fmt: skip


@pytest.fixture(scope="module")
def refused(desk, department, series):
    """What each of the commands said, run a few at a time."""
    peer = department.peer
    places = {"open": f"{peer.host}:{peer.port}", "closed": free_port(), "taken": peer.port, "study": series.study_instance_uid}

    return {name: desk.ask(*(str(word).format(**places) for word in case[0])) for name, case in REFUSALS.items()}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_one_sentence_and_an_exit_code(refused, name):
    _, code, message = REFUSALS[name]
    done = refused[name]
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", done.stdout + done.stderr).split())
    assert re.search(message, said), said
    assert done.returncode == code
    assert "Traceback" not in said
    assert "\x1b" not in said


def test_refusals_leave_nothing_behind(refused, desk):
    assert not {"x", "x.png", "x.txt", "rel", "released"} & {
        p.name for p in desk.folder.iterdir() if p.is_file() or any(p.iterdir())
    }
    assert list(desk.folder.rglob(INCOMPLETE_FILES)) == []


def test_an_address_book_that_is_no_toml(desk):
    broken = Desk(desk.folder)
    broken.environment = desk.environment | {"WORKBENCH_PEERS": str(desk.folder / "broken.toml")}
    assert "is not a TOML file" in broken.run("peers", "list", code=2).stderr


def test_of_a_folder_all_that_is_readable_is_shown(desk, tmp_path):
    for name in ("ct.dcm", "text.txt", "fundus.dcm", "cut.dcm"):
        (tmp_path / name).write_bytes((desk.folder / name).read_bytes())
    done = desk.run("show", tmp_path, code=4)
    assert done.stdout.count("Kind ") == 3
    assert "text.txt is not DICOM" in done.stderr
    rows = desk.json("deid", tmp_path, tmp_path.with_name(tmp_path.name + "-out"), "--key", tmp_path.with_suffix(".key"), code=1)
    assert [(row["source"], row["outcome"]) for row in rows] == [("ct.dcm", "released"), ("fundus.dcm", "released")]


def test_another_instance_under_the_same_name_is_not_overwritten(desk, department, series, tmp_path):
    arguments = ("retrieve", "demo", "--study", series.study_instance_uid, "--into", tmp_path)
    desk.run(*arguments)
    victim = next(tmp_path.rglob("*.dcm"))
    victim.write_bytes(b"kept by its owner")
    outcomes = {row["sop_instance_uid"]: row["outcome"] for row in desk.json(*arguments, code=1)}
    assert outcomes.pop(victim.stem) == "conflict"
    assert set(outcomes.values()) == {"retrieved"}
    assert victim.read_bytes() == b"kept by its owner"


def test_what_is_no_whole_instance_leaves_no_file(series, tmp_path):
    names = {
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "sop_instance_uid": "1.2.3",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
    }
    cut = Folder(tmp_path).receiving(**names)
    cut.write(b"\x08\0\x18\0UI\x06\x001.2.3\0")
    assert [path.match(INCOMPLETE_FILES) for path in tmp_path.iterdir()] == [True]
    cut.discard()
    nameless = Folder(tmp_path).receiving(**names)
    nameless.write(b"\x08\0\x18\0UI\x06\x001.2.3\0")
    with pytest.raises(WorkbenchError, match="UID"):
        nameless.commit()
    assert list(tmp_path.iterdir()) == []


def test_a_large_instance_takes_little_memory(desk, tmp_path):
    """What the process holds at its most, and what it holds for a small instance."""
    most = {}
    for frames in (1, 150):
        image = phantoms.ct_series(1, rows=16)[0]
        image.NumberOfFrames, image.Rows, image.Columns, image.PixelData = frames, 1000, 1000, bytes(2_000_000 * frames)
        with Department(tmp_path / f"archive-{frames}", instances=[image]) as department:
            del image.PixelData
            title = f"{department.peer.ae_title}@127.0.0.1:{department.peer.port}"
            arguments = ("--study", image.StudyInstanceUID, "--into", tmp_path / f"files-{frames}", "--method", "get", "--json")
            process = desk.begin("retrieve", title, *arguments)
            status, peak = Path(f"/proc/{process.pid}/status"), 0
            while process.poll() is None:
                found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
                peak = max(peak, int(found[1]) if found else 0)
                time.sleep(0.01)
            out, err = process.communicate(timeout=60)
            assert process.returncode == 0, (out, err)
            (row,) = json.loads(out)
            assert row["outcome"] == "retrieved"
            (path,) = (tmp_path / f"files-{frames}").rglob("*.dcm")
            assert path.stat().st_size > 2_000_000 * frames
            assert [p for p in (tmp_path / f"files-{frames}").rglob("*") if p.is_file()] == [path]
            most[frames] = peak
    assert most[1] > 10_000
    assert most[150] - most[1] < 100_000, most


# ------------------------------------------------------------ what it looks like
def test_tables_fit_a_terminal_and_no_value_is_cut(desk, department, series):
    for arguments in (
        ("find", "demo"),
        ("find", "demo", f"StudyInstanceUID={series.study_instance_uid}", "--level", "series"),
        ("retrieve", "demo", "--study", series.study_instance_uid, "--into", "seen"),
        ("check", "image.dcm"),
        ("store", "demo", "ct.dcm"),
        ("deid", "ct.dcm", "seen-released", "--key", "seen.key"),
    ):
        shown = desk.on_terminal(*arguments)
        wide = [line for line in shown.splitlines() if len(line) > 80 and len(line.split()) > 2]
        assert wide == [], arguments
        assert "…" not in shown
        if arguments[0] in {"find", "retrieve"}:
            assert series.study_instance_uid in shown or series.sop_instance_uid in shown


def test_in_a_pipe_each_row_is_one_line(desk, department):
    lines = desk.run("find", "demo").stdout.splitlines()
    uids = {ref.study_instance_uid for ref in department.archive}
    assert {uid for line in lines for uid in uids if uid in line.split()} == uids
    assert len(lines) == 4 + len(uids)


def test_what_a_dataset_says_does_not_act_on_the_terminal(desk, tmp_path):
    dataset = phantoms.fundus()
    dataset.PatientName = "EVIL^\x1b[2J\x1b]0;title\x07"
    save(dataset, tmp_path / "evil.dcm")
    for arguments in (("show", "evil.dcm"), ("tree", "evil.dcm"), ("diff", "evil.dcm", desk.folder / "fundus.dcm")):
        assert "\x1b]0" not in Desk(tmp_path).run(*arguments, code=1 if arguments[0] == "diff" else 0).stdout


def test_a_reader_that_has_enough(desk):
    done = subprocess.run(
        f"{WORKBENCH} tree ct.dcm | head -1", shell=True, cwd=desk.folder, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("(0002,0000)")
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------ with others' programs
def test_with_orthanc(desk, orthanc_module, tmp_path):
    peer = orthanc_module.peer
    desk.run("peers", "add", "orthanc", peer.ae_title, peer.host, peer.port, "--web-url", peer.web_url)
    dataset = read(desk.folder / "image.dcm").dataset
    for via in ("dimse", "web"):
        assert [r["outcome"] for r in desk.json("store", "orthanc", "image.dcm", "state.dcm", "--via", via)] == ["stored"] * 2
        (found,) = desk.json("find", "orthanc", f"StudyInstanceUID={dataset.StudyInstanceUID}", "--via", via)
        assert found["NumberOfStudyRelatedInstances"] == 2
    for method in ("get", "web"):
        rows = desk.json(
            "retrieve", "orthanc", "--study", dataset.StudyInstanceUID, "--into", tmp_path / method, "--method", method
        )
        assert [row["outcome"] for row in rows] == ["retrieved"] * 2
        (back,) = (tmp_path / method).rglob(f"{dataset.SOPInstanceUID}.dcm")
        assert desk.json("diff", desk.folder / "image.dcm", back) == []


def test_by_c_move_with_dcmtk(desk, dcmqrscp, tmp_path):
    peer = dcmqrscp.peer
    title = f"{peer.ae_title}@{peer.host}:{peer.port}"
    desk.run("store", title, "image.dcm")
    study = read(desk.folder / "image.dcm").dataset.StudyInstanceUID
    arguments = ("retrieve", title, "--study", study, "--into", tmp_path, "--method", "move", "--move-port", dcmqrscp.move_port)
    assert [row["outcome"] for row in desk.json(*arguments)] == ["retrieved"]


def test_storing_at_storescp(desk, storescp):
    running = storescp()
    done = desk.run("store", f"ANY@127.0.0.1:{running.peer.port}", "image.dcm", "text.txt", code=1)
    assert "1 stored, 1 refused" in done.stdout
    assert len(list((running.folder / "received").iterdir())) == 1


# ------------------------------------------------------------ Ctrl-C
class SlowLine(threading.Thread):
    """A line between a command and a server on which everything takes its time."""

    def __init__(self, port, *, pause_s=0.01):
        super().__init__(daemon=True)
        self.target, self.pause_s = port, pause_s
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self.listener.accept()
                theirs = socket.create_connection(("127.0.0.1", self.target))
                for a, b in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(32768):
                time.sleep(self.pause_s)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.listener.close()


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


def interrupted(process, number=signal.SIGINT, *, within_s=15):
    process.send_signal(number)
    out, err = process.communicate(timeout=within_s)
    assert process.returncode == 128 + number, (process.returncode, out, err)
    assert "Traceback" not in err
    return out, err


@pytest.fixture(scope="module")
def slow_department():
    with Department(instances=phantoms.ct_series(40, rows=256)) as department, SlowLine(department.peer.port) as line:
        yield department, f"{department.peer.ae_title}@127.0.0.1:{line.port}"


def assert_whole(folder, fewer_than):
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert 0 < len(files) < fewer_than
    assert all(p.suffix == ".dcm" and read(p).is_complete for p in files)


def test_stopping_a_retrieval(desk, slow_department, tmp_path):
    department, title = slow_department
    study = next(iter(department.archive)).study_instance_uid
    process = desk.begin("retrieve", title, "--study", study, "--into", tmp_path, "--method", "get")
    until(lambda: list(tmp_path.rglob("*.dcm")))
    out, _ = interrupted(process)
    assert "retrieved" in out
    assert_whole(tmp_path, 40)


def test_stopping_a_store(desk, slow_department, tmp_path):
    for dataset in phantoms.ct_series(40, rows=256):
        save(dataset, tmp_path / "source" / f"{dataset.SOPInstanceUID}.dcm")
    with Department(tmp_path / "archive", instances=[]) as department, SlowLine(department.peer.port) as line:
        process = desk.begin("store", f"{department.peer.ae_title}@127.0.0.1:{line.port}", tmp_path / "source", "--json")
        until(lambda: len(department.archive) > 0)
        out, _ = interrupted(process)
        said = {row["sop_instance_uid"] for row in json.loads(out) if row["outcome"] == "stored"}
        until(lambda: len(department.archive) >= len(said))
        there = {ref.sop_instance_uid for ref in department.archive}
        assert said <= there
        assert 0 < len(said) < 40
        assert not department.archive.verify()


def test_stopping_a_release(desk, tmp_path):
    for dataset in phantoms.ct_series(60, rows=64):
        save(dataset, tmp_path / "source" / f"{dataset.SOPInstanceUID}.dcm")
    process = desk.begin("deid", tmp_path / "source", tmp_path / "out", "--key", tmp_path / "key")
    until(lambda: list((tmp_path / "out").rglob("*.dcm")) if (tmp_path / "out").exists() else False)
    interrupted(process)
    assert_whole(tmp_path / "out", 60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_a_server(desk, tmp_path, number):
    """B07: Ctrl-C and SIGTERM free the port."""
    port = free_port()
    process = desk.begin("serve", "--port", port, "--folder", tmp_path / "archive")
    until(lambda: listens(port))
    desk.run("store", f"WORKBENCH@127.0.0.1:{port}", "image.dcm")
    _, err = interrupted(process, number, within_s=4)
    assert not listens(port)
    assert "1 instances" in err
    again = desk.begin("serve", "--port", port, "--folder", tmp_path / "archive")
    assert "1 study, 1 instance" in again.stdout.readline()
    interrupted(again)


def test_a_day_goes_on_after_a_server_starts_again(desk, tmp_path):
    items = tmp_path / "items.csv"
    items.write_text(
        "PatientName,PatientID,AccessionNumber,Modality,ScheduledStationAETitle,ScheduledProcedureStepStartDate\n"
        "Doe^Jane,P1,A7,CT,CT1,20261121\nDoe^John,P2,A8,CT,CT1,20261121\n"
    )
    port = free_port()
    peer, serve = f"WORKBENCH@127.0.0.1:{port}", ("serve", "--port", port, "--folder", tmp_path / "rr", "--worklist", items)
    process = desk.begin(*serve)
    until(lambda: listens(port))
    studies = {row["AccessionNumber"]: row["StudyInstanceUID"] for row in desk.json("worklist", peer)}
    desk.run("step", "begin", peer, "step.json", "--worklist", peer, "--match", "AccessionNumber=A7")
    _, err = interrupted(process)
    assert "C-FIND of the worklist, 2 matches" in err
    process = desk.begin(*serve)
    until(lambda: listens(port))
    assert {row["AccessionNumber"]: row["StudyInstanceUID"] for row in desk.json("worklist", peer)} == studies
    desk.run("step", "finish", peer, "step.json", "--discontinued")
    interrupted(process)
    process = desk.begin(*serve)
    until(lambda: listens(port))
    assert [row["AccessionNumber"] for row in desk.json("worklist", peer)] == ["A8"]
    interrupted(process)


def test_serving_a_worklist_and_commitment_in_tls(desk, tmp_path):
    """N10: what has no certificate of ours gets no answer; what has one finds, stores and has it committed."""
    authority = network.security.test_authority(tmp_path / "certificates")
    server, client = authority.server, authority.client
    items = tmp_path / "items.csv"
    items.write_text(
        "PatientName,PatientID,Modality,ScheduledStationAETitle,ScheduledProcedureStepStartDate\nDoe^Jane,1,OP,CAMERA,20261121\n"
    )
    port = free_port()
    process = desk.begin(
        "serve", "--port", port, "--folder", tmp_path / "archive", "--worklist", items,
        "--tls", server.certificate, server.key, server.ca[0],
    )  # fmt: skip
    until(lambda: listens(port))
    desk.run("peers", "add", "safe", "WORKBENCH", "127.0.0.1", port, "--tls", client.certificate, client.key, client.ca[0])
    assert [row["PatientID"] for row in desk.json("worklist", "safe", "Modality=OP")] == ["1"]
    assert [row["outcome"] for row in desk.json("store", "safe", "image.dcm")] == ["stored"]
    assert [row["outcome"] for row in desk.json("commit", "safe", "image.dcm")] == ["committed"]
    desk.run("echo", f"WORKBENCH@127.0.0.1:{port}", code=3)
    interrupted(process)


def test_a_silent_peer_is_left_at_the_second_time(desk):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = desk.begin("find", f"SILENT@127.0.0.1:{silent.getsockname()[1]}")
        silent.settimeout(20)
        connection, _ = silent.accept()
        with connection:
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            assert "once more" in process.stderr.readline()
            interrupted(process, within_s=3)


def processes_in(folder):
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if place.readlink().is_relative_to(folder):
                found.append(place.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks for processes in /proc")
def test_stopping_the_demo_ends_its_kernel(desk, tmp_path):
    process = desk.begin("demo", "--output", tmp_path / "demo")
    until((tmp_path / "demo" / "audit.jsonl").exists, 60)
    assert processes_in(tmp_path / "demo") != []
    out, err = interrupted(process)
    assert "find study" in out
    assert "01_tour.html shows what was done until then" in err
    assert processes_in(tmp_path / "demo") == []
    assert (tmp_path / "demo" / "01_tour.html").exists()


def test_the_demo_in_json(desk, tmp_path):
    """B08: every step verified; the report that is left holds no key, place or login; and it was said beforehand what comes.

    It runs where an earlier one, of other phantoms, has left its originals.
    """
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "audit.jsonl").touch()
    with Archive(tmp_path / "demo" / "private" / "archive") as earlier:
        for other in phantoms.everything():
            other.PatientComments = "of an earlier version"
            earlier.add(other)
    done = desk.ask("demo", "--output", tmp_path / "demo", "--json")
    steps = json.loads(done.stdout, parse_constant=pytest.fail)
    assert done.returncode == 0, done.stderr
    assert {"step", "count", "verified", "seconds", "note"} <= steps[0].keys()
    assert {step["verified"] for step in steps} == {True}
    assert {"find study", "retrieve", "de-identify", "push"} <= {step["step"] for step in steps}
    began, *ended = done.stderr.splitlines()
    assert "an embedded department" in began
    assert "about" in began
    assert [line for line in ended if re.fullmatch(rf"{len(steps)} steps in \d+ s\. Open .*01_tour\.html", line)]
    report = re.sub(r"base64,[A-Za-z0-9+/=]+", "", (tmp_path / "demo" / "01_tour.html").read_text())
    body = report[report.index("<main") :]
    assert str(tmp_path) not in body
    assert "-----BEGIN" not in report
    assert not re.search(r"://[^/\s'\"<]+:[^/\s'\"<]+@", body)
    key = next((tmp_path / "demo").rglob("*.key")).read_bytes()
    assert key.hex() not in report
    assert len([p for p in (tmp_path / "demo" / "released").iterdir() if p.suffix == ".dcm"]) > 50
    assert (tmp_path / "demo" / "audit.jsonl").exists()


def test_stopping_jupyterlab(desk):
    port = free_port()
    process = desk.begin("lab", "--port", port)
    until(lambda: listens(port), 60)
    interrupted(process)
    assert not listens(port)

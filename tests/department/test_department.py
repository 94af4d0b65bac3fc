"""A department starts, answers others' programs, and leaves nothing behind."""

import contextlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from pydicom import Dataset

from workbench import phantoms
from workbench.department import Department
from workbench.errors import InputError, ServerRefused, WorkbenchError
from workbench.network import echo, find


@pytest.fixture(scope="module")
def department():
    with Department() as department:
        yield department


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_holds_every_phantom(department):
    assert len(department.archive) == len(phantoms.everything())
    assert len(find(department.peer, keys={"PatientName": "*"})) == department.archive.counts().studies
    assert "patients=" in repr(department)
    assert "127.0.0.1" in department._repr_html_()


def test_it_answers_dcmtk(department, program, tmp_path):
    peer = department.peer
    to = ["-aec", peer.ae_title, peer.host, str(peer.port)]
    subprocess.run([program("echoscu"), *to], check=True, timeout=30)
    found = subprocess.run(
        [program("findscu"), "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", *to],
        check=True, timeout=30, capture_output=True, text=True,
    )  # fmt: skip
    assert (found.stdout + found.stderr).count("StudyInstanceUID") >= department.archive.counts().studies
    study = next(ref for ref in department.archive if department.archive.open(ref).Modality == "CT").study_instance_uid
    subprocess.run(
        [program("getscu"), "-S", "-od", str(tmp_path), "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}", *to],
        check=True, timeout=60,
    )  # fmt: skip
    assert len(list(tmp_path.iterdir())) == sum(ref.study_instance_uid == study for ref in department.archive)


def test_it_stops_at_once_and_takes_its_temporary_folder_along():
    department = Department(instances=[phantoms.fundus()])
    port, folder = department.server.port, department.folder
    assert folder.exists()
    with socket.create_connection(("127.0.0.1", port)) as silent:
        began = time.monotonic()
        department.stop()
        assert time.monotonic() - began < 2
        assert is_free(port)
        silent.settimeout(2)
        with contextlib.suppress(ConnectionError):
            assert silent.recv(100)[:1] in {b"", b"\x07"}
    assert not folder.exists()
    department.stop()
    assert repr(department).endswith("stopped)")
    with pytest.raises(ServerRefused, match=r"The department is stopped: make a new one\."):
        _ = department.peer


def test_the_same_port_serves_the_next_department(tmp_path):
    with Department(tmp_path / "kept", instances=[phantoms.fundus()]) as first:
        port = first.server.port
        with pytest.raises(ServerRefused, match=rf"Port {port} of 127.0.0.1 is in use.*port=0"):
            Department(instances=[], port=port)
        assert echo(first.peer)
    with Department(tmp_path / "kept", instances=[], port=port) as second:
        assert len(second.archive) == 1
        assert echo(second.peer)
    assert (tmp_path / "kept").is_dir()


def test_a_department_that_can_not_be_made_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Department(instances=[]) as other:
        before = set(tmp_path.iterdir())
        with pytest.raises(ServerRefused):
            Department(instances=[], port=other.server.port)
        with pytest.raises(WorkbenchError):
            Department(instances=[Dataset()])
        assert set(tmp_path.iterdir()) == before
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import sys, time
from workbench.department import Department
department = Department(instances=[])
print(department.server.port, department.folder, flush=True)
{then}
"""


WAIT = "while True: time.sleep(0.05)"


@pytest.mark.parametrize(
    ("then", "number"),
    [("", None), ("sys.exit(3)", None), ("1 / 0", None), (WAIT, signal.SIGINT), (WAIT, signal.SIGKILL)],
)
def test_it_ends_with_its_process(then, number, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(then=then)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env={"TMPDIR": str(tmp_path), "PATH": ""},
    )  # fmt: skip
    port, folder = process.stdout.readline().split()
    assert folder.startswith(str(tmp_path))
    if number is not None:
        assert not is_free(int(port))
        process.send_signal(number)
    process.wait(20)
    ended = time.monotonic()
    while not is_free(int(port)):
        assert time.monotonic() - ended < 2
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []
    with Department(instances=[], port=int(port)) as next_one:
        assert echo(next_one.peer)
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"instances": "foo"}, "instances of a department are datasets, .* not a str"),
        ({"instances": [], "items": "nofile.csv"}, "nofile.csv can't be read: No such file"),
        ({"instances": [], "items": 5}, "A worklist is made of a DataFrame, the path of a CSV file, or several items"),
    ],
)
def test_what_no_department_is_made_of(given, said):
    with pytest.raises(InputError, match=said):
        Department(**given)

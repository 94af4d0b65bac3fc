"""Fixtures that every room's tests may use: free ports, real peers, the corpus.

A peer that is not installed skips its tests with the command that installs it;
with ``WORKBENCH_REQUIRE_PEERS=1`` (as in CI) it fails them instead.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from workbench.archive import Archive
from workbench.entities import Peer

PLUGINS = Path("/usr/share/orthanc/plugins")


def pytest_collection_modifyitems(items):
    """Give tests the markers that their fixtures and folders imply."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if names & {"orthanc", "dcmtk", "storescp", "dcmqrscp", "program"}:
            item.add_marker("peers")
        if "corpus" in names:
            item.add_marker("corpus")


def lacking(what: str, remedy: str) -> None:
    """Skip, or fail where peers are required."""
    message = f"{what} is not here: {remedy}"
    if os.environ.get("WORKBENCH_REQUIRE_PEERS") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """A function that gives the path of an installed program, or skips."""

    def find(name: str) -> str:
        # the bin folder of a virtual environment is left out: pynetdicom installs programs of the same names there
        path = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/usr/sbin", "/opt/homebrew/bin"])
        found = shutil.which(name, path=path)
        if not found:
            lacking(name, "run 'make peers'.")
        return str(found)

    return find


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An empty archive of its own for each test."""
    with Archive(tmp_path / "archive") as archive:
        yield archive


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of real objects from other makers."""
    folder = os.environ.get("WORKBENCH_CORPUS", "")
    if not folder:
        pytest.skip("WORKBENCH_CORPUS is unset: it names the folder of real objects.")
    path = Path(folder).resolve()
    assert path.is_dir(), f"WORKBENCH_CORPUS names no folder: {folder}"
    return path


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(name="free_port", scope="session")
def _free_port() -> Callable[[], int]:
    return free_port


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """Wait until something listens at `port`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode} before it listened.")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not listen at {port} after {seconds} s.")


@contextlib.contextmanager
def running(arguments: list[str], *, port: int, cwd: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for as long as the block lasts; it is ended by its own process group."""
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, cwd=cwd, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_for_port(port, process)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@dataclass(frozen=True)
class RunningPeer:
    """A real peer that listens on loopback."""

    peer: Peer
    folder: Path
    process: subprocess.Popen[bytes]
    #: port at which the peer expects AE title WORKBENCH to receive C-MOVE sub-operations
    move_port: int = 0

    @property
    def log(self) -> str:
        """What it printed so far."""
        return (self.folder / "log.txt").read_text(errors="replace")


@contextlib.contextmanager
def run_orthanc(orthanc: str, folder: Path, **settings: object) -> Iterator[RunningPeer]:
    """Run Orthanc with DICOM and DICOMweb on free ports; it knows WORKBENCH at `move_port`."""
    folder.mkdir(parents=True, exist_ok=True)
    port, web_port, move_port = free_port(), free_port(), free_port()
    configuration: dict[str, object] = {
        "Name": "test", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "HttpPort": web_port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC", "DicomPort": port, "DicomCheckCalledAet": True, "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowEcho": True, "DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True, "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True, "OverwriteInstances": False, "StableAge": 1,
        "DicomModalities": {
            "workbench": {
                "AET": "WORKBENCH", "Host": "127.0.0.1", "Port": move_port, "AllowEcho": True, "AllowFind": True, "AllowMove": True,
                "AllowGet": True, "AllowStore": True, "AllowStorageCommitment": True,
            }
        },
        "Plugins": [str(p) for p in (PLUGINS / "libOrthancDicomWeb.so", PLUGINS / "libOrthancGdcm.so") if p.exists()],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(configuration | settings))
    with running([orthanc, str(folder / "orthanc.json")], port=port, cwd=folder, log=folder / "log.txt") as process:
        wait_for_port(web_port, process)
        peer = Peer(name="orthanc", ae_title="ORTHANC", port=port, web_url=f"http://127.0.0.1:{web_port}/dicom-web")
        yield RunningPeer(peer, folder, process, move_port)


@pytest.fixture
def orthanc(program: Callable[[str], str], tmp_path: Path) -> Iterator[RunningPeer]:
    """An empty Orthanc of its own for each test (it starts in about a second)."""
    with run_orthanc(program("Orthanc"), tmp_path / "orthanc") as peer:
        yield peer


@pytest.fixture(scope="module")
def orthanc_module(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPeer]:
    """One Orthanc for all tests of a module."""
    with run_orthanc(program("Orthanc"), tmp_path_factory.mktemp("orthanc")) as peer:
        yield peer


@pytest.fixture
def dcmqrscp(program: Callable[[str], str], tmp_path: Path) -> Iterator[RunningPeer]:
    """DCMTK's query/retrieve server, AE title DCMQR; it knows WORKBENCH at `move_port`."""
    folder = tmp_path / "dcmqrscp"
    (folder / "qr").mkdir(parents=True)
    port, move_port = free_port(), free_port()
    (folder / "qr.cfg").write_text(
        f"NetworkTCPPort  = {port}\nMaxPDUSize      = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nwb = (WORKBENCH, 127.0.0.1, {move_port})\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nDCMQR {folder}/qr RW (1000, 4096mb) ANY\nAETable END\n"
    )
    arguments = [program("dcmqrscp"), "-v", "-c", str(folder / "qr.cfg")]
    with running(arguments, port=port, cwd=folder, log=folder / "log.txt") as process:
        yield RunningPeer(Peer(name="dcmqrscp", ae_title="DCMQR", port=port), folder, process, move_port)


@pytest.fixture
def storescp(program: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[..., RunningPeer]]:
    """A function that starts DCMTK's storescp with extra switches; received files are in ``folder / 'received'``."""
    with contextlib.ExitStack() as stack:

        def start(*switches: str) -> RunningPeer:
            port = free_port()
            folder = tmp_path / f"storescp-{port}"
            (folder / "received").mkdir(parents=True)
            arguments = [program("storescp"), "-v", "--fork", *switches, "-od", str(folder / "received"), str(port)]
            process = stack.enter_context(running(arguments, port=port, cwd=folder, log=folder / "log.txt"))
            return RunningPeer(Peer(name="storescp", ae_title="STORESCP", port=port), folder, process)

        yield start

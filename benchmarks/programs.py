"""The other programs: started on free loopback ports, ended by their process id."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from workbench.entities import Peer

#: Both ends send small segments at once, in PDUs of 128 kB: what an expert sets.
TUNED = {"TCP_NODELAY": "1"}
BOUND_S = 120


def program(name: str) -> str:
    """Return the path of an installed program; virtual environments have namesakes from pynetdicom."""
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/usr/sbin:/opt/homebrew/bin")
    if not found:
        sys.exit(f"{name} is not here: run 'make peers'.")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> None:
    """Run a client to its end, or fail.

    Its end is seen at the end of its output: waiting for a process with a time limit looks only every 50 ms.
    """
    subprocess.run(
        [program(str(arguments[0])), *map(str, arguments[1:])],
        env=os.environ | (env or {}), check=True, timeout=BOUND_S, stdout=subprocess.PIPE,
    )  # fmt: skip


@contextlib.contextmanager
def running(arguments: list[str], port: int, env: dict[str, str] | None = None, cwd: Path | None = None) -> Iterator[int]:
    """Run a server for as long as the block lasts; yield its process id."""
    process = subprocess.Popen(
        arguments, env=os.environ | (env or {}), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
                break
            time.sleep(0.05)
        else:
            sys.exit(f"{arguments[0]} does not listen at port {port}.")
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)


@contextlib.contextmanager
def storescp(folder: Path, *switches: str, env: dict[str, str] | None = None, port: int = 0) -> Iterator[Peer]:
    """Run DCMTK's receiver; what it takes lands in `folder`."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    with running([program("storescp"), "--fork", *switches, "-od", str(folder), str(port)], port, env):
        yield Peer(name="storescp", ae_title="STORESCP", port=port)


@contextlib.contextmanager
def orthanc(folder: Path, *, env: dict[str, str] | None = None, move_port: int = 0) -> Iterator[Peer]:
    """Run an empty Orthanc with DICOMweb that may send to AE title MOVESCU at `move_port`."""
    port, web_port = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    modalities = {"bench": ["MOVESCU", "127.0.0.1", move_port or free_port()]}
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    configuration = {
        "StorageDirectory": str(folder / "db"), "HttpPort": web_port, "DicomPort": port, "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomModalities": modalities,
        "DicomAlwaysAllowGet": True, "DicomAlwaysAllowMove": True, "DicomAlwaysAllowFind": True,
        "Plugins": [str(plugin)] if plugin.exists() else [], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with running([program("Orthanc"), str(folder / "orthanc.json")], web_port, env, folder):
        yield Peer(name="orthanc", ae_title="ORTHANC", port=port, web_url=f"http://127.0.0.1:{web_port}/dicom-web")


@contextlib.contextmanager
def embedded(folder: Path) -> Iterator[Peer]:
    """Run the workbench's own archive and server, in a process of its own."""
    port = free_port()
    with running([sys.executable, "-m", "benchmarks.serve", str(folder), str(port)], port):
        yield Peer(name="workbench", ae_title="WORKBENCH", port=port)

"""A series from Orthanc: C-GET, C-MOVE, WADO-RS, and the workbench into its indexed archive."""

import http.client
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pydicom import dcmread

from benchmarks import programs
from benchmarks.measure import Result, Way, compare
from benchmarks.storing import send
from workbench.archive import Archive
from workbench.entities import Peer, StudyRef
from workbench.network import retrieve


def getscu(peer: Peer, uid: str, target: Path, *switches: str, env: dict[str, str] | None = None) -> None:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={uid}")
    target.mkdir()
    programs.run("getscu", "-S", *switches, "-aec", peer.ae_title, "-od", target, *keys, "127.0.0.1", str(peer.port), env=env)


def movescu(peer: Peer, uid: str) -> None:
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={uid}")
    programs.run(
        "movescu", "-S", "-aet", "MOVESCU", "-aem", "MOVESCU", "-aec", peer.ae_title, *keys, "127.0.0.1", str(peer.port),
        env=programs.TUNED,
    )  # fmt: skip


def study_of(peer: Peer, uid: str) -> http.client.HTTPResponse:
    """Ask for a study by WADO-RS."""
    where = urlsplit(peer.web_url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=programs.BOUND_S)
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    connection.request("GET", f"{where.path}/studies/{uid}", headers={"Accept": accept})
    return connection.getresponse()


def undivided_web(peer: Peer, uid: str, target: Path) -> None:
    """Write the multipart body to one file: no instance can be read from it, but nothing in Python is faster."""
    with study_of(peer, uid) as response, target.open("wb") as file:
        shutil.copyfileobj(response, file, 1 << 20)


def plain_web(peer: Peer, uid: str, target: Path) -> None:
    """Write one file an instance, as a script of a few lines does that holds the whole answer in memory."""
    target.mkdir()
    with study_of(peer, uid) as response:
        boundary = re.search(r"boundary=\"?([^\";]+)", response.headers["Content-Type"])[1].encode()
        parts = response.read().split(b"\r\n--" + boundary)
    for number, part in enumerate(parts):
        _, _, content = part.partition(b"\r\n\r\n")
        if content:
            (target / f"{number}.dcm").write_bytes(content)


def fetch(peer: Peer, uid: str, target: Path, method: str) -> None:
    with Archive(target) as archive:
        report = retrieve(peer, StudyRef(uid), into=archive, method=method)
    if not report.complete:
        raise RuntimeError("not all was retrieved")


def comparisons(folder: Path, repetitions: int, *, tuned_only: bool = False) -> Iterator[Result]:  # noqa: ARG001 - all are
    """Yield each comparison when it is done."""
    paths = sorted(folder.iterdir())
    uid = str(dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID)
    root = Path(tempfile.mkdtemp(prefix="bench-"))
    port, received = programs.free_port(), root / "moved"
    target = root / "taken"

    def emptied() -> None:
        """Every way finds the memory that its files need free again, and as much of it in the page cache."""
        if target.is_file():
            target.unlink()
        shutil.rmtree(target, ignore_errors=True)
        for path in received.iterdir():
            path.unlink()

    try:
        with (
            programs.orthanc(root / "orthanc", env=programs.TUNED, move_port=port) as peer,
            programs.storescp(received, env=programs.TUNED, port=port),
        ):
            send(peer, paths)
            yield compare(
                "Retrieving from Orthanc, tuned; the workbench indexes what it takes",
                [
                    Way(name, do, emptied)
                    for name, do in {
                        "getscu, tuned": lambda: getscu(peer, uid, target, "-pdu", "131072", env=programs.TUNED),
                        "movescu + storescp, tuned": lambda: movescu(peer, uid),
                        "plain WADO-RS, one file an instance": lambda: plain_web(peer, uid, target),
                        "WADO-RS body, undivided": lambda: undivided_web(peer, uid, target),
                        "workbench, get into the archive": lambda: fetch(peer, uid, target, "get"),
                        "workbench, web into the archive": lambda: fetch(peer, uid, target, "web"),
                    }.items()
                ],
                repetitions=repetitions,
            )
    finally:
        shutil.rmtree(root, ignore_errors=True)

"""A series from Orthanc: C-GET, C-MOVE, WADO-RS, and the workbench into its indexed archive."""

import http.client
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


def plain_web(peer: Peer, uid: str, target: Path) -> None:
    """Write the multipart body of WADO-RS to one file, as fast as a client can that does nothing with it."""
    where = urlsplit(peer.web_url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=programs.BOUND_S)
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    connection.request("GET", f"{where.path}/studies/{uid}", headers={"Accept": accept})
    with target.open("wb") as file:
        shutil.copyfileobj(connection.getresponse(), file, 1 << 20)
    connection.close()


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
    fresh = iter(range(1_000_000))

    def target() -> Path:
        return root / str(next(fresh))

    try:
        with (
            programs.orthanc(root / "orthanc", env=programs.TUNED, move_port=port) as peer,
            programs.storescp(received, env=programs.TUNED, port=port),
        ):
            send(peer, paths)
            move = Way(
                "movescu + storescp, tuned", lambda: movescu(peer, uid), lambda: [path.unlink() for path in received.iterdir()]
            )
            yield compare(
                "Retrieving from Orthanc, tuned; the workbench indexes what it takes",
                [
                    Way("getscu, tuned", lambda: getscu(peer, uid, target(), "-pdu", "131072", env=programs.TUNED)),
                    move,
                    Way("WADO-RS into one file", lambda: plain_web(peer, uid, target())),
                    *(Way(f"workbench, {m} into the archive", lambda m=m: fetch(peer, uid, target(), m)) for m in ("get", "web")),
                ],
                repetitions=repetitions,
            )
    finally:
        shutil.rmtree(root, ignore_errors=True)

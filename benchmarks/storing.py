"""C-STORE to storescp, to Orthanc and to the embedded archive."""

import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from pydicom import dcmread
from pynetdicom import AE

from benchmarks import programs
from benchmarks.measure import Result, Way, compare
from workbench.entities import Peer
from workbench.network import store

TUNED_PDU = ("-pdu", "131072")
#: Name, environment and switches of the receiving program.
SETTINGS = [("as it comes", {}, ()), ("tuned", programs.TUNED, TUNED_PDU)]


def send(peer: Peer, paths: list[Path], associations: int = 1, via: str = "dimse") -> None:
    report = store(peer, paths, associations=associations, via=via)
    if not report.complete:
        raise RuntimeError(report.troubles[0].message)


def storescu(peer: Peer, folder: Path, *switches: str, env: dict[str, str] | None = None) -> None:
    programs.run("storescu", *switches, "-aec", peer.ae_title, "127.0.0.1", str(peer.port), "+sd", folder, env=env)


def plain_loop(peer: Peer, paths: list[Path]) -> None:
    """Send as the examples of pynetdicom do."""
    entity = AE()
    entity.dimse_timeout = 5  # it loses a response now and then on a busy machine, and waits for it
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", peer.port, ae_title=peer.ae_title)
    for path in paths:
        if association.send_c_store(dcmread(path)).get("Status") != 0:
            association.abort()
            raise RuntimeError("pynetdicom got no status of success")
    association.release()


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def forget(peer: Peer) -> None:
    """Delete everything from Orthanc."""
    base = peer.web_url.removesuffix("/dicom-web")
    for name in urllib.request.urlopen(f"{base}/patients", timeout=30).read().decode().strip('[]\n" ').split(","):
        if identifier := name.strip('\n" '):
            delete = urllib.request.Request(f"{base}/patients/{identifier}", method="DELETE")
            urllib.request.urlopen(delete, timeout=60).read()


def comparisons(folder: Path, repetitions: int, *, tuned_only: bool = False) -> Iterator[Result]:
    """Yield each comparison when it is done; DCMTK as it comes takes half a minute for 500 instances."""
    paths = sorted(folder.iterdir())
    root = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield from _to_storescp(folder, paths, root, repetitions, SETTINGS[tuned_only:])
        yield from _to_orthanc(folder, paths, root, repetitions, SETTINGS[tuned_only:])
        yield from _to_embedded(folder, paths, root, repetitions)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _to_storescp(folder: Path, paths: list[Path], root: Path, repetitions: int, settings: list) -> Iterator[Result]:
    for name, env, switches in settings:
        target = root / f"storescp-{name}"
        with programs.storescp(target, *switches, env=env) as peer:
            loop = ("pynetdicom, plain loop", lambda p=peer: plain_loop(p, paths))
            ways = [*_ways(peer, folder, paths), loop]
            yield _compared(
                f"C-STORE to storescp, {name}", ways[1:] if name == "tuned" else ways,
                prepare=lambda t=target: emptied(t), is_tuned=name == "tuned", repetitions=repetitions,
            )  # fmt: skip


def _to_orthanc(folder: Path, paths: list[Path], root: Path, repetitions: int, settings: list) -> Iterator[Result]:
    for name, env, _ in settings:
        with programs.orthanc(root / f"orthanc-{name}", env=env) as peer:
            ways = [*_ways(peer, folder, paths), ("workbench, STOW-RS", lambda p=peer: send(p, paths, via="web"))]
            yield _compared(
                f"Storing at Orthanc, {name}", ways[1:4] if name == "tuned" else ways,
                prepare=lambda p=peer: forget(p), is_tuned=name == "tuned", repetitions=repetitions,
            )  # fmt: skip


def _ways(peer: Peer, folder: Path, paths: list[Path]) -> list[tuple[str, Callable[[], None]]]:
    return [
        ("storescu, as it comes", lambda: storescu(peer, folder)),
        ("storescu, tuned", lambda: storescu(peer, folder, *TUNED_PDU, env=programs.TUNED)),
        ("workbench, 1 association", lambda: send(peer, paths)),
        ("workbench, 2 associations", lambda: send(peer, paths, 2)),
        ("workbench, 4 associations", lambda: send(peer, paths, 4)),
    ]


def _compared(
    title: str, ways: list[tuple[str, Callable[[], None]]], *, prepare: Callable[[], None], is_tuned: bool, repetitions: int
) -> Result:
    """Compare; other programs that are not tuned are so slow that once is enough."""
    return compare(
        title,
        [Way(name, do, prepare=prepare, once=not is_tuned and not name.startswith("workbench")) for name, do in ways],
        repetitions=repetitions,
    )


def _to_embedded(folder: Path, paths: list[Path], root: Path, repetitions: int) -> Iterator[Result]:
    """Each repetition meets an empty archive."""
    target, kept = root / "storescp-beside", root / "embedded"
    state: dict[str, tuple[object, Peer]] = {}

    def cleared() -> None:
        """Leave neither way the memory of the other's files to fill first."""
        stop()
        emptied(target)

    def fresh() -> None:
        cleared()
        context = programs.embedded(kept)
        state["now"] = (context, context.__enter__())

    def stop() -> None:
        if "now" in state:
            state.pop("now")[0].__exit__(None, None, None)
        shutil.rmtree(kept, ignore_errors=True)

    with programs.storescp(target, *TUNED_PDU, env=programs.TUNED) as scp:
        try:
            yield compare(
                "C-STORE to the embedded archive, beside storescp (both tuned)",
                [
                    Way(
                        "storescu to storescp",
                        lambda: storescu(scp, folder, *TUNED_PDU, env=programs.TUNED),
                        cleared,
                    ),
                    Way(
                        "storescu to the embedded archive",
                        lambda: storescu(state["now"][1], folder, *TUNED_PDU, env=programs.TUNED),
                        fresh,
                    ),
                    Way("workbench to the embedded archive, 1 association", lambda: send(state["now"][1], paths), fresh),
                    Way("workbench to the embedded archive, 2 associations", lambda: send(state["now"][1], paths, 2), fresh),
                ],
                repetitions=repetitions,
            )
        finally:
            stop()

"""The command line: every job of the workbench as one command.

Knows: arguments, tables on a terminal, exit codes, Ctrl-C.
Does not know: how anything is done.

Exit codes: 0 done · 1 done, but something was found or is missing · 2 wrong usage · 3 the network or the peer ·
4 a file, a dataset or a program · 130 stopped by Ctrl-C.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import rich
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import workbench as wb
from workbench.entities import Peer, SeriesRef, StudyRef, ae_title_checked, plain
from workbench.errors import FileError, InputError, NetworkError, WorkbenchError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Everything DICOM: query, retrieve, inspect, de-identify, render, check and push. PEER is a name from the address book "
    "(see 'workbench peers') or AETITLE@HOST:PORT.",
    epilog="Exit codes: 0 done, 1 something was found or is missing, 2 wrong usage, 3 network or peer, 4 file, 130 stopped.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
book = typer.Typer(help="The address book: peers by name, in a TOML file without secrets.", no_args_is_help=True)
app.add_typer(book, name="peers")
errors = Console(stderr=True, highlight=False, markup=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PeerName = Annotated[str, typer.Argument(metavar="PEER", help="Name in the address book, or AETITLE@HOST:PORT.")]
Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders with all files below them.", exists=True)]
OnePath = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)]


class Level(StrEnum):
    """Levels of the query models."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


class Model(StrEnum):
    """Query models."""

    STUDY = "STUDY"
    PATIENT = "PATIENT"


class Via(StrEnum):
    """How a peer is spoken to."""

    DIMSE = "dimse"
    WEB = "web"


class Method(StrEnum):
    """How instances are fetched."""

    AUTO = "auto"
    GET = "get"
    MOVE = "move"
    WEB = "web"


# ------------------------------------------------------------ seeing and running
@app.command()
def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the report, the derived objects, the released copies, the audit trail.")
    ] = Path("demo-output"),
    as_json: AsJson = False,
) -> None:
    """Run the main job end to end in an embedded department; fails if any step is not verified."""
    began = time.perf_counter()
    trail = output / "audit.jsonl"
    trail.unlink(missing_ok=True)
    notebook = wb.flows.notebook
    with _bar("running the tour") as tick:
        report = notebook.run(notebook.folder() / "01_tour.ipynb", output=output, progress=tick)
    lines = wb.flows.Audit.read(trail)
    _table(lines.records(), as_json, title="The main job, step by step", hide=("time",))
    if not as_json:
        rich.print(Text(f"{len(lines)} steps in {time.perf_counter() - began:.0f} s. Open {report.resolve()}"))
    if not lines.verified:
        raise typer.Exit(1)


@app.command()
def lab(port: Annotated[int, typer.Option(help="TCP port of JupyterLab.")] = 8888) -> None:
    """Open JupyterLab on the notebooks, on this machine only."""
    folder = wb.flows.notebook.folder()
    arguments = [sys.executable, "-m", "jupyterlab", f"--port={port}", "--ip=127.0.0.1", f"--ServerApp.root_dir={folder}"]
    raise typer.Exit(subprocess.run(arguments, check=False).returncode)


@app.command()
def serve(
    folder: Annotated[Path, typer.Option(help="Where the archive is kept.")] = Path("workbench-archive"),
    ae_title: Annotated[str, typer.Option(help="What it calls itself.")] = "WORKBENCH",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 11112,
    host: Annotated[str, typer.Option(help="Address to listen at; others than this machine need e.g. 0.0.0.0.")] = "127.0.0.1",
    phantoms: Annotated[bool, typer.Option("--phantoms", help="Put the phantoms in first.")] = False,
) -> None:
    """Run the embedded archive until Ctrl-C: verification, storage, query and retrieve. C-MOVE knows the address book."""
    known = {peer.name: peer for peer in wb.network.AddressBook.load()}
    with wb.archive.Archive(folder) as archive:
        for dataset in wb.phantoms.everything() if phantoms else ():
            archive.add(dataset)
        with wb.network.Server(archive, ae_title=ae_title, host=host, port=port, known_peers=known) as server:
            counts = archive.counts()
            rich.print(Text(f"{server.peer}: {counts.studies} studies, {counts.instances} instances. Ctrl-C stops."))
            with _stoppable() as stopped:
                while not stopped():
                    time.sleep(0.2)


# ------------------------------------------------------------ network
@app.command()
def echo(peer: PeerName, as_json: AsJson = False) -> None:
    """Verify a peer (C-ECHO); where it fails, say which layer failed and what to try."""
    report = wb.network.echo(_peer(peer))
    record = {name: getattr(report, name) for name in ("ok", "layer", "message", "remedy", "seconds")}
    if as_json:
        _table([record], as_json)
    else:
        rich.print(Text(plain(report)))
    if not report.ok:
        raise typer.Exit(3)


@app.command()
def find(
    peer: PeerName,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="e.g. PatientName='DOE*' StudyDate=20240101-")
    ] = None,
    level: Annotated[Level, typer.Option(case_sensitive=False)] = Level.STUDY,
    model: Annotated[Model, typer.Option(case_sensitive=False, help="Query/Retrieve root.")] = Model.STUDY,
    via: Annotated[Via, typer.Option(help="C-FIND or QIDO-RS.")] = Via.DIMSE,
    limit: Annotated[int | None, typer.Option(help="Stop after so many answers.", min=1)] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file, safe for spreadsheets.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a peer what it has (C-FIND or QIDO-RS)."""
    with _stoppable() as stopped:
        wanted = _keys(keys)
        found = wb.network.find(
            _peer(peer), level=level.value, keys=wanted, model=model.value, via=via.value, limit=limit, cancel=stopped
        )
    frame = found.table()
    if csv:
        wb.inspection.to_csv(frame, csv)
    _table(_records(frame), as_json, title=f"{len(found)} answers" + (", and there are more" if found.truncated else ""))
    _stop_if(found.cancelled)


@app.command()
def retrieve(
    peer: PeerName,
    into: Annotated[Path, typer.Option(help="Folder for the files: STUDY/SERIES/INSTANCE.dcm.")],
    study: Annotated[list[str] | None, typer.Option(help="Study Instance UID; may be repeated.")] = None,
    series: Annotated[str | None, typer.Option(help="Series Instance UID, with one --study.")] = None,
    method: Annotated[Method, typer.Option(help="C-GET, C-MOVE to a server of our own, or WADO-RS.")] = Method.AUTO,
    move_port: Annotated[int, typer.Option(help="Port at which the peer reaches us for C-MOVE; 0 takes a free one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Bring studies or a series from a peer into a folder, one row an instance."""
    if not study or (series and len(study) > 1):
        raise InputError("Name what is wanted: --study UID, or one --study UID with --series UID.")
    refs = [SeriesRef(study[0], series)] if series else [StudyRef(uid) for uid in study]
    with _stoppable() as stopped, _bar("retrieving") as tick:
        report = wb.network.retrieve(
            _peer(peer), refs, into=_Folder(into).take, method=method.value, progress=tick, cancel=stopped, move_port=move_port
        )
    _table(report.records(), as_json, title=repr(report))
    _stop_if(report.cancelled)
    if not report.complete:
        raise typer.Exit(1)


@app.command()
def store(
    peer: PeerName,
    paths: Paths,
    via: Annotated[Via, typer.Option(help="C-STORE or STOW-RS.")] = Via.DIMSE,
    associations: Annotated[int, typer.Option(help="How many at once.", min=1, max=16)] = 1,
    transcode: Annotated[str, typer.Option(help="'lossless' or 'never': for what the peer does not take as it is.")] = "lossless",
    as_json: AsJson = False,
) -> None:
    """Send files to a peer (C-STORE or STOW-RS), one row an instance; never silently lossy."""
    with _stoppable() as stopped, _bar("storing") as tick:
        report = wb.network.store(
            _peer(peer), _files(paths), via=via.value, associations=associations, transcode=transcode, progress=tick, cancel=stopped
        )
        was_stopped = stopped()
    _table(report.records(), as_json, title=f"{len(report)} instances")
    _stop_if(was_stopped)
    if not report.complete:
        raise typer.Exit(1)


# ------------------------------------------------------------ datasets
@app.command()
def show(paths: Paths, as_json: AsJson = False) -> None:
    """Say what files are, in plain words."""
    records = []
    for path in _files(paths):
        summary = wb.inspection.summary(_read(path))
        if as_json:
            records.append({"file": str(path), **{line.label: line.value for line in summary.lines}})
        else:
            rich.print(Text(plain(path), style="bold"), Text(str(summary)), sep="\n")
    if as_json:
        _table(records, as_json)


@app.command()
def tree(path: OnePath, as_json: AsJson = False) -> None:
    """Print every attribute of a file, sequences indented."""
    dataset = _read(path)
    if as_json:
        sys.stdout.write(
            json.dumps(dataset.to_json_dict(bulk_data_threshold=1024, bulk_data_element_handler=lambda _: ""), indent=1) + "\n"
        )
    else:
        sys.stdout.write(str(wb.inspection.tree(dataset)) + "\n")


@app.command()
def diff(left: OnePath, right: OnePath, as_json: AsJson = False) -> None:
    """Compare two files attribute by attribute; exit code 1 if they differ."""
    found = wb.inspection.differences(_read(left), _read(right))
    _table(found.records(), as_json, title=f"{len(found)} differences")
    if found:
        raise typer.Exit(1)


@app.command()
def deid(
    source: Annotated[Path, typer.Argument(help="A file, or a folder with all files below it.", exists=True)],
    output: Annotated[Path, typer.Argument(help="Folder for the de-identified copies.", file_okay=False)],
    key: Annotated[
        Path, typer.Option(help="Secret key file; made if it is not there. Keep it: it keeps UIDs and pseudonyms consistent.")
    ],
    option: Annotated[
        list[str] | None, typer.Option(help="An option of PS3.15 E.3, e.g. retain-device-identity; may be repeated.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print what would be done to the first file.")] = False,
    as_json: AsJson = False,
) -> None:
    """De-identify by PS3.15 Annex E, verify, and hold back what can't be proven."""
    files = _files([source])
    options = wb.deid.Options(**_options(option))
    if plan:
        _table(wb.deid.plan(_read(files[0]), options).records(), as_json, title="What will be done")
        return
    keys = wb.deid.Keys.load(key) if key.exists() else wb.deid.Keys.create(key)
    with _bar("de-identifying") as tick:
        unreadable: list[Path] = []
        readable = _whole(files, unreadable)
        result = wb.flows.release.release(
            readable, keys=keys, options=options, folder=output, progress=lambda done: tick(done, len(files))
        )
    _table(result.records(), as_json, title=repr(result) + (f", {len(unreadable)} files unreadable" if unreadable else ""))
    if not result.complete or unreadable:
        raise typer.Exit(1)


@app.command()
def render(
    path: OnePath,
    output: Annotated[Path, typer.Argument(help="Picture to write: .png, .pdf or .svg.")],
    frame: Annotated[int, typer.Option(help="Index of the frame, from 0.", min=0)] = 0,
    window: Annotated[tuple[float, float] | None, typer.Option(help="Center and width.")] = None,
    state: Annotated[Path | None, typer.Option(help="A presentation state that refers to the image.", exists=True)] = None,
) -> None:
    """Draw a frame with scale, orientation and units."""
    image = _read(path)
    plain_figure = wb.figures.image
    figure = wb.figures.presentation(image, _read(state), frame=frame) if state else plain_figure(image, frame, window=window)
    rich.print(Text(plain(wb.figures.save(figure, output))))


@app.command()
def check(paths: Paths, as_json: AsJson = False) -> None:
    """Hold files against the standard (dciodvfy and checks of our own); exit code 1 if there are errors."""
    files = _files(paths)
    with _bar("checking") as tick:
        findings = wb.conformance.check_many(files, progress=tick)
    _table(findings.records(), as_json, title=f"{len(findings.errors)} errors among {len(findings)} findings in {len(files)} files")
    if findings.errors:
        raise typer.Exit(1)


# ------------------------------------------------------------ address book
@book.command("list")
def list_peers(as_json: AsJson = False) -> None:
    """Print the address book."""
    fields = ("name", "ae_title", "host", "port", "calling_ae_title", "web_url", "retrieve_by")
    loaded = wb.network.AddressBook.load()
    _table([{f: getattr(peer, f) for f in fields} for peer in loaded], as_json, title=str(loaded.path))


@book.command("add")
def add_peer(
    name: str,
    ae_title: str,
    host: str,
    port: Annotated[int, typer.Argument(min=1, max=65535)],
    calling: Annotated[str, typer.Option(help="What we call ourselves towards it.")] = "WORKBENCH",
    web_url: Annotated[str, typer.Option(help="Base address of its DICOMweb services.")] = "",
    web_secret: Annotated[str, typer.Option(help="Name of the environment variable that holds user:password.")] = "",
) -> None:
    """Add a peer, or replace the one of that name."""
    loaded = wb.network.AddressBook.load()
    loaded.add(Peer(name, ae_title, host, port, calling_ae_title=calling, web_url=web_url, web_secret=web_secret))
    rich.print(Text(plain(loaded.save())))


@book.command("remove")
def remove_peer(name: str) -> None:
    """Remove a peer."""
    loaded = wb.network.AddressBook.load()
    loaded.remove(name)
    rich.print(Text(plain(loaded.save())))


# ------------------------------------------------------------ what the commands share
def _peer(name: str) -> Peer:
    """Return a peer by its name, or the one that AETITLE@HOST:PORT describes."""
    title, at, place = name.partition("@")
    host, colon, port = place.rpartition(":")
    if not at:
        return wb.network.AddressBook.load().get(name)  # type: ignore[no-any-return]
    if not colon or not host or not port.isdecimal():
        raise InputError(f"A peer is a name from the address book, or AETITLE@HOST:PORT; {plain(name)!r} is neither.")
    return Peer(name=ae_title_checked(title), ae_title=title, host=host.strip("[]"), port=int(port))


def _keys(keys: Iterable[str] | None) -> dict[str, str]:
    found = {}
    for pair in keys or ():
        keyword, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"A query key is written KEYWORD=VALUE, such as PatientName='DOE*'; {plain(keyword)!r} has no '='.")
        found[keyword] = value
    return found


def _options(names: Iterable[str] | None) -> dict[str, bool]:
    chosen = {name.strip().lower().replace("-", "_"): True for name in names or ()}
    known = wb.deid.Options.__dataclass_fields__
    for name in chosen:
        if name not in known:
            raise InputError(f"There is no option {plain(name)!r}; PS3.15 E.3 has {', '.join(known)}.")
    return chosen


def _files(paths: Iterable[Path]) -> list[Path]:
    files = [f for path in paths for f in (sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path])]
    if not files:
        raise InputError("There are no files there.")
    return files


def _read(path: Path) -> Any:
    """Read a dataset; what was odd about it is said on standard error."""
    reading = wb.files.read(path)
    for finding in reading.findings:
        errors.print(f"{finding.severity}: {plain(path)}: {plain(finding.message)}")
    return reading.dataset


def _whole(files: Iterable[Path], unreadable: list[Path]) -> Iterator[Any]:
    """Give the datasets of files; what is no DICOM, or not whole, is said and kept in `unreadable`."""
    for path in files:
        try:
            reading = wb.files.read(path)
        except (FileError, OSError) as error:
            errors.print(f"{plain(path)}: {plain(error)}")
            unreadable.append(path)
            continue
        if reading.is_complete:
            yield reading.dataset
        else:
            errors.print(f"{plain(path)}: it ends too early, so it is left out.")
            unreadable.append(path)


class _Folder:
    """Files of retrieved instances, each written whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def take(self, content: bytes) -> Any:
        ref = wb.entities.InstanceRef.of(wb.files.read(content, stop_before_pixels=True).dataset)
        uids = [wb.entities.uid_checked(uid) for uid in (ref.study_instance_uid, ref.series_instance_uid, ref.sop_instance_uid)]
        target = self.root.joinpath(*uids[:2], f"{uids[2]}.dcm")
        wb.files.write_whole(target, content)
        return ref


def _records(frame: Any) -> list[dict[str, Any]]:
    return [{k: "" if _absent(v) else v for k, v in row.items()} for row in frame.to_dict("records")]


def _absent(value: Any) -> bool:
    return value is None or str(value) in {"<NA>", "NaT", "nan"}


def _table(records: list[dict[str, Any]], as_json: bool, *, title: str = "", hide: Iterable[str] = ()) -> None:
    """Print records as JSON, or as a table in which nothing a dataset says can act on the terminal."""
    if as_json:
        sys.stdout.write(json.dumps(records, default=str, ensure_ascii=False, indent=1) + "\n")
        return
    table = Table(title=Text(plain(title)) if title else None, title_justify="left")
    for name in records[0] if records else ():
        if name not in hide:
            table.add_column(name.replace("_", " "), overflow="fold")
    for record in records:
        table.add_row(*(Text(plain(value)) for name, value in record.items() if name not in hide))
    rich.print(table if records else Text(plain(title or "nothing")))


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress on standard error, where someone is looking."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed; pressed twice, it ends the command at once."""
    pressed = [False]

    def press(_number: int, _frame: FrameType | None) -> None:
        if pressed[0]:
            raise KeyboardInterrupt
        pressed[0] = True
        errors.print("stopping…")

    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: pressed[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_if(stopped: bool) -> None:
    if stopped:
        raise typer.Exit(130)


def main() -> None:
    """Run the command line; every error of the workbench is one sentence and an exit code."""
    try:
        app()
    except WorkbenchError as error:
        errors.print(f"{type(error).__name__}: {plain(error)}")
        sys.exit(3 if isinstance(error, NetworkError) else 2 if isinstance(error, InputError) else 4)
    except OSError as error:
        errors.print(f"{type(error).__name__}: {error.strerror or error}{f' ({plain(error.filename)})' if error.filename else ''}")
        sys.exit(4)
    except KeyboardInterrupt:
        errors.print("stopped")
        sys.exit(130)


if __name__ == "__main__":
    main()

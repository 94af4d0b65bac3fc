"""The command line: every job of the workbench as one command.

Knows: arguments, tables on a terminal, exit codes, Ctrl-C.
Does not know: how anything is done.

Exit codes: 0 done · 1 done, but something was found or is missing · 2 wrong usage · 3 the network or the peer ·
4 a file, a dataset or a program · 130 stopped by Ctrl-C (143 by SIGTERM).
'device lint' ends with 0 whatever it finds: findings about a document of another are what was asked for.

What was asked for goes to standard output, everything else to standard error. On a terminal, tables fit its width; in a pipe
each row is one line. Values are never cut.
"""

import atexit
import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import workbench as wb
from workbench.cli._arguments import Relational, TlsFiles, identity_of, keys_of, references_of, tls_of
from workbench.cli._console import (
    frame_records,
    gathered,
    progress_bar,
    put,
    say,
    show_json,
    show_table,
    stop_if,
    stoppable,
    terminated,
)
from workbench.cli._disk import Folder, files_below, read, readable, room_in
from workbench.cli._trace import Tracing, traceable
from workbench.cli._wording import in_options
from workbench.cli.device import device
from workbench.cli.printing import print_files, printer
from workbench.cli.serving import serve
from workbench.cli.workflow import commit, step, worklist
from workbench.entities import Peer, counted, plain
from workbench.errors import AttributeUnusable, Cancelled, InputError, NetworkError, NotVerified, WorkbenchError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Everything DICOM: query, retrieve, inspect, de-identify, render, check and push. PEER is a name from the address book "
    "(see 'workbench peers') or AETITLE@HOST:PORT.",
    epilog="Exit codes: 0 done, 1 something was found or is missing, 2 wrong usage, 3 network or peer, 4 file, 130 stopped. "
    "'device lint' ends with 0 whatever it finds.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
book = typer.Typer(help="The address book: peers by name, in a TOML file without secrets.", no_args_is_help=True)
app.add_typer(book, name="peers")
app.add_typer(device, name="device")
app.command("print")(print_files)
app.command("printer")(printer)
app.command()(worklist)
app.command()(commit)
app.add_typer(step, name="step")
app.command()(serve)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PeerName = Annotated[str, typer.Argument(metavar="PEER", help="Name in the address book, or AETITLE@HOST:PORT.")]
Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders with all files below them.", exists=True)]
OnePath = Annotated[Path, typer.Argument(metavar="FILE", help="A DICOM file.", exists=True, dir_okay=False)]


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
    """Run the main job end to end in an embedded department; fails if any step is not verified.

    Makes phantoms, finds, retrieves, inspects, de-identifies, draws, measures, builds, checks and pushes back: about half a minute.
    Nothing leaves this machine. The report, 01_tour.html, opens in any browser. In the folder of an earlier run, its trail and the
    originals that it fetched are replaced.
    """
    began = time.perf_counter()
    trail = output / "audit.jsonl"
    if trail.exists():  # the originals go with the trail that tells of them: phantoms of another version have the same UIDs
        shutil.rmtree(output / "private" / "archive", ignore_errors=True)
        trail.unlink()
    notebook = wb.flows.notebook
    report = None
    say("The whole way from query to push, in an embedded department full of phantoms: about half a minute.")
    try:
        with progress_bar("running the tour") as tick:
            report = notebook.run(notebook.folder() / "01_tour.ipynb", output=output, progress=tick)
    finally:
        lines = wb.flows.Audit.read(trail) if trail.exists() else wb.flows.AuditLines()
        show_table(lines.records(), as_json, title="The main job, step by step", hide=("time",))
    say(f"{len(lines)} steps in {time.perf_counter() - began:.0f} s. Open {report.resolve()}")
    say(f"The originals and the key are in {(output / 'private').resolve()}, which only its owner can open.")
    if not lines.verified:
        raise typer.Exit(1)


@app.command()
def lab(port: Annotated[int, typer.Option(help="TCP port of JupyterLab.")] = 8888) -> None:
    """Open JupyterLab on the notebooks, on this machine only."""
    folder = wb.flows.notebook.folder()
    arguments = [sys.executable, "-m", "jupyterlab", f"--port={port}", "--ip=127.0.0.1", f"--ServerApp.root_dir={folder}"]
    if sys.platform != "win32" and os.geteuid() == 0:
        arguments.append("--allow-root")  # it listens on this machine only, behind its token
    with stoppable() as stopped, subprocess.Popen(arguments) as server:
        try:
            while server.poll() is None and not stopped():
                time.sleep(0.1)
            server.terminate()  # without the question that Jupyter asks at Ctrl-C
            server.wait()
        finally:
            server.kill()
    stop_if(stopped)
    raise typer.Exit(server.returncode)


# ------------------------------------------------------------ network
@app.command()
@traceable
def echo(peer: PeerName, *, tracing: Tracing, as_json: AsJson = False) -> None:
    """Verify a peer (C-ECHO); where it fails, say which layer failed and what to try."""
    with tracing():
        report = wb.network.echo(peer)
    record = {name: getattr(report, name) for name in ("ok", "layer", "message", "remedy", "seconds")}
    if as_json:
        show_table([record], as_json)
    else:
        put(
            in_options(str(report))
            + (" Other services, such as storage or query, may be allowed apart from it." if report.ok else "")
        )
    if not report.ok:
        raise typer.Exit(3)


@app.command()
@traceable
def find(
    peer: PeerName,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="e.g. PatientName='DOE*' StudyDate=20240101-")
    ] = None,
    *,
    level: Annotated[Level, typer.Option(case_sensitive=False, help="What is looked for.")] = Level.STUDY,
    model: Annotated[Model, typer.Option(case_sensitive=False, help="Query/Retrieve root.")] = Model.STUDY,
    via: Annotated[Via, typer.Option(help="C-FIND or QIDO-RS.")] = Via.DIMSE,
    limit: Annotated[int | None, typer.Option(help="Stop after so many answers.", min=1)] = None,
    relational: Relational = False,
    date_time: Annotated[
        bool, typer.Option("--date-time", help="Propose that a range of dates and one of times are one range of moments.")
    ] = False,
    fuzzy: Annotated[bool, typer.Option("--fuzzy", help="Propose that the peer matches names by its own rules.")] = False,
    time_zone: Annotated[str, typer.Option(metavar="OFFSET", help="Offset from UTC of dates and times, such as +0100.")] = "",
    csv: Annotated[Path | None, typer.Option(help="Write the table to this file, safe for spreadsheets.")] = None,
    tracing: Tracing,
    as_json: AsJson = False,
) -> None:
    """Ask a peer what it has (C-FIND or QIDO-RS).

    What goes beyond the baseline is proposed (extended negotiation, PS3.4 C.5.1.1); the notes say what the peer agreed to.
    """
    options = wb.network.QueryOptions(relational=relational, date_time=date_time, fuzzy=fuzzy)
    with tracing(), stoppable() as stopped:
        found = wb.network.find(
            peer, level=level.value, keys=keys_of(keys), model=model.value, via=via.value, limit=limit, cancel=stopped,
            options=options, time_zone=time_zone,
        )  # fmt: skip
    frame = found.table()
    if csv:
        wb.inspection.to_csv(frame, csv)
        say(f"The table is in {csv}.")
    show_table(
        frame_records(frame), as_json, title=counted(len(found), "answer") + (", and there are more" if found.truncated else "")
    )
    if found.granted:
        say(f"note: the peer grants {', '.join(sorted(found.granted)).replace('_', ' ')} (PS3.4 C.5.1.1)")
    for note in found.notes:
        say(f"note: {note}")
    stop_if(stopped)


@app.command()
@traceable
def retrieve(
    peer: PeerName,
    into: Annotated[Path, typer.Option(help="Folder for the files: STUDY/SERIES/INSTANCE.dcm.", file_okay=False)],
    *,
    study: Annotated[list[str] | None, typer.Option(help="Study Instance UID; may be repeated.")] = None,
    series: Annotated[str | None, typer.Option(help="Series Instance UID, with one --study, or with --relational.")] = None,
    instance: Annotated[
        list[str] | None, typer.Option(help="SOP Instance UID, with --study and --series, or with --relational; may be repeated.")
    ] = None,
    relational: Relational = False,
    method: Annotated[Method, typer.Option(help="C-GET, C-MOVE to a server of our own, or WADO-RS.")] = Method.AUTO,
    move_port: Annotated[int, typer.Option(help="Port at which the peer reaches us for C-MOVE; 0 takes a free one.")] = 0,
    tracing: Tracing,
    as_json: AsJson = False,
) -> None:
    """Bring studies, a series or instances from a peer into a folder, one row an instance."""
    refs = references_of(study or [], series or "", instance or [], relational=relational)
    room_in(into, "what is retrieved")
    with tracing(), stoppable() as stopped, progress_bar("retrieving") as tick:
        report = wb.network.retrieve(
            peer, refs, into=Folder(into), method=method.value, progress=tick, cancel=stopped, move_port=move_port,
            relational=relational,
        )  # fmt: skip
    counts = ", ".join(f"{number} {outcome}" for outcome, number in report.counts().items()) or "nothing came"
    title = f"{counts}; {report.size_bytes / 1e6:.1f} MB in {report.seconds:.2f} s by {report.method}"
    show_table(report.records(), as_json, title=title, hide=("sop_class_uid",))
    for note in report.notes:
        say(f"note: {note}")
    stop_if(stopped)
    if not report.complete:
        raise typer.Exit(1)


@app.command()
@traceable
def store(
    peer: PeerName,
    paths: Paths,
    via: Annotated[Via, typer.Option(help="C-STORE or STOW-RS.")] = Via.DIMSE,
    associations: Annotated[int, typer.Option(help="How many at once.", min=1, max=16)] = 1,
    transcode: Annotated[str, typer.Option(help="'lossless' or 'never': for what the peer does not take as it is.")] = "lossless",
    *,
    tracing: Tracing,
    as_json: AsJson = False,
) -> None:
    """Send files to a peer (C-STORE or STOW-RS), one row an instance; never silently lossy."""
    with tracing(), stoppable() as stopped, progress_bar("storing") as tick:
        report = wb.network.store(
            peer,
            files_below(paths),
            via=via.value,
            associations=associations,
            transcode=transcode,
            progress=tick,
            cancel=stopped,
        )
    outcomes = [str(row.outcome) for row in report]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes))
    show_table(report.records(), as_json, title=counts, hide=("sop_class_uid", "sop_instance_uid", "status"))
    stop_if(stopped)
    if not report.complete:
        raise typer.Exit(1)


# ------------------------------------------------------------ datasets
@app.command()
def show(paths: Paths, as_json: AsJson = False) -> None:
    """Say what files are, and what reports say, in plain words; what is no DICOM, or not whole, is told on standard error."""
    records, unusable = [], list[Path]()
    for path, dataset in readable(files_below(paths), unusable, whole=False):
        summary = wb.inspection.summary(dataset)
        content = _content(dataset)
        if as_json:
            said = {"Report": str(content)} if content else {}
            records.append({"file": str(path), **{line.label: line.text for line in summary.lines}, **said})
        else:
            put(*([""] if records else []), path, summary, *(["", in_options(str(content))] if content else []))
            records.append({})
    if as_json:
        show_table(records, as_json)
    if unusable:
        raise typer.Exit(4)


@app.command()
def tree(path: OnePath, as_json: AsJson = False) -> None:
    """Print every attribute of a file, sequences indented."""
    dataset, is_whole = read(path)
    if as_json:
        model = dataset.to_json_dict(bulk_data_threshold=1024, bulk_data_element_handler=lambda _: "", suppress_invalid_tags=True)
        show_json(model)
    else:
        put(in_options(str(wb.inspection.tree(dataset))))
    if not is_whole:
        raise typer.Exit(4)


@app.command()
def diff(left: OnePath, right: OnePath, as_json: AsJson = False) -> None:
    """Compare two files attribute by attribute; exit code 1 if they differ."""
    found = wb.inspection.differences(read(left)[0], read(right)[0])
    show_table(found.records(), as_json, title=counted(len(found), "difference"), hide=("name",))
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
    files = files_below([source])
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise InputError("The copies must not go among the originals: name an output folder outside the source.")
    options = wb.deid.Options(**_options(option))
    if plan:
        show_table(wb.deid.plan(read(files[0])[0], options).records(), as_json, title="What will be done", hide=("name",))
        return
    keys = wb.deid.Keys.load(key) if key.exists() else wb.deid.Keys.create(key)
    records, unusable = [], list[Path]()
    with stoppable() as stopped, progress_bar("de-identifying") as tick:
        for path, dataset in readable(files, unusable):
            (row,) = wb.flows.release.release([dataset], keys=keys, options=options, folder=output).records()
            records.append({"source": str(path.relative_to(source) if source.is_dir() else path), **row})
            tick(len(records) + len(unusable), len(files))
            if stopped():
                break
    held = sum(record["outcome"] != "released" for record in records)
    title = f"{len(records) - held} released, {held} held back, {len(unusable)} unusable"
    show_table(records, as_json, title=title, hide=("number", "sop_instance_uid", "sop_class"))
    stop_if(stopped)
    if held or unusable or not records:
        raise typer.Exit(1)


@app.command()
def render(
    path: OnePath,
    output: Annotated[Path, typer.Argument(help="Picture to write: .png, .pdf or .svg.")],
    frame: Annotated[int, typer.Option(help="Index of the frame, from 0.", min=0)] = 0,
    window: Annotated[
        tuple[float, float] | None, typer.Option(metavar="CENTER WIDTH", help="Of the values that are shown.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="A presentation state that refers to the image.", exists=True)] = None,
) -> None:
    """Draw a frame with scale, orientation and units."""
    if state and window:
        raise InputError("A presentation state says how the image is windowed: pass --state or --window, not both.")
    image, is_whole = read(path)
    plain_figure = wb.figures.image
    figure = wb.figures.presentation(image, read(state)[0], frame=frame) if state else plain_figure(image, frame, window=window)
    put(wb.figures.save(figure, output))
    if not is_whole:
        raise typer.Exit(4)


@app.command()
def check(paths: Paths, as_json: AsJson = False) -> None:
    """Hold files against the standard (dciodvfy and checks of our own); exit code 1 if there are errors."""
    files = files_below(paths)
    with progress_bar("checking") as tick:
        findings = wb.conformance.check_many(files, progress=tick)
    title = f"{counted(len(findings.errors), 'error')} among {counted(len(findings), 'finding')} in {counted(len(files), 'file')}"
    show_table(findings.records() if as_json else gathered(findings.records()), as_json, title=title)
    if findings.errors:
        raise typer.Exit(1)


# ------------------------------------------------------------ address book
@book.command("list")
def list_peers(as_json: AsJson = False) -> None:
    """Print the address book."""
    fields = ("name", "ae_title", "host", "port", "calling_ae_title", "web_url", "retrieve_by")
    loaded = wb.network.AddressBook.load()
    show_table([{f: getattr(peer, f) for f in fields} for peer in loaded], as_json, title=str(loaded.path))


@book.command("add")
def add_peer(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    ae_title: Annotated[str, typer.Argument(help="What it calls itself.")],
    host: Annotated[str, typer.Argument(help="Name or address of its machine.")],
    port: Annotated[int, typer.Argument(min=1, max=65535, help="Where it listens.")],
    *,
    calling: Annotated[str, typer.Option(help="What we call ourselves towards it.")] = "WORKBENCH",
    web_url: Annotated[str, typer.Option(help="Base address of its DICOMweb services.")] = "",
    web_secret: Annotated[str, typer.Option(help="Name of the environment variable that holds user:password.")] = "",
    tls: TlsFiles = None,
    user: Annotated[str, typer.Option(metavar="NAME", help="The user that associations are for (user identity).")] = "",
    passcode_in: Annotated[
        str, typer.Option(metavar="PLACE", help="Where the user's passcode is kept: env:NAME, file:PATH or keyring:SERVICE/USER.")
    ] = "",
) -> None:
    """Add a peer, or replace the one of that name; the address book never holds a secret."""
    identity = identity_of(user, passcode_in, has_tls=tls is not None)
    loaded = wb.network.AddressBook.load()
    loaded.add(
        Peer(
            name, ae_title, host, port, calling_ae_title=calling, web_url=web_url, web_secret=web_secret, tls=tls_of(tls),
            identity=identity,
        )
    )  # fmt: skip
    put(f"{name} is {loaded.get(name)}, in {loaded.save()}")


@book.command("remove")
def remove_peer(name: str) -> None:
    """Remove a peer."""
    loaded = wb.network.AddressBook.load()
    loaded.remove(name)
    put(f"{name} is no longer in {loaded.save()}")


# ------------------------------------------------------------ what the commands share
def _content(dataset: Any) -> object:
    try:
        return wb.inspection.report(dataset)
    except AttributeUnusable:
        return None


def _options(names: Iterable[str] | None) -> dict[str, bool]:
    chosen = {name.strip().lower().replace("-", "_"): True for name in names or ()}
    known = wb.deid.Options.__dataclass_fields__
    for name in chosen:
        if name not in known:
            raise InputError(f"There is no option {plain(name)!r}; PS3.15 E.3 has {', '.join(known)}.")
    return chosen


def main() -> None:
    """Run the command line; every error of the workbench is one sentence and an exit code."""
    signal.signal(signal.SIGTERM, terminated)
    atexit.register(gc.freeze)  # at the end there is nothing worth a search through all objects, which takes 0.2 s
    warnings.simplefilter("ignore")  # those of the libraries beneath may show a patient's values
    logging.lastResort = None
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app()
    except SystemExit as end:
        if end.code in {130, 143}:  # threads that wait for a peer must not keep a stopped command alive
            sys.stdout.flush()
            os._exit(end.code)
        raise
    except WorkbenchError as error:
        say(f"{type(error).__name__}: {error}")
        sys.exit(_exit_code(error))
    except OSError as error:
        say(f"{type(error).__name__}: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}")
        sys.exit(4)


def _exit_code(error: WorkbenchError) -> int:
    codes = ((NetworkError, 3), (InputError, 2), (NotVerified, 1), (Cancelled, 130))
    return next((code for kind, code in codes if isinstance(error, kind)), 4)

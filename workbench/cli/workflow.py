"""Commands of a modality's day: the worklist, the performed procedure step, storage commitment.

Knows: how worklist items, steps and reports are told on a terminal; where a step is kept between two commands.
Does not know: how anything is asked of a peer.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydicom.dataset import Dataset

import workbench as wb
from workbench.cli._arguments import keys_of
from workbench.cli._console import frame_records, put, say, show_json, show_table, stoppable
from workbench.cli._disk import files_below, readable
from workbench.cli._trace import Tracing, traceable
from workbench.cli._wording import in_options
from workbench.entities import InstanceRef, counted, plain
from workbench.errors import InputError, ServerRefused
from workbench.files import write_whole
from workbench.inspection import lines

__all__ = ["commit", "step", "worklist"]

step = typer.Typer(help="A performed procedure step: begun, then finished (MPPS).", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PeerName = Annotated[str, typer.Argument(metavar="PEER", help="Name in the address book, or AETITLE@HOST:PORT.")]
State = Annotated[
    Path, typer.Argument(metavar="STATE", help="File in which the step is kept until it is finished.", dir_okay=False)
]
_UIDS = 2


@traceable
def worklist(
    peer: PeerName,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="e.g. Modality=CT ScheduledProcedureStepStartDate=20240101-")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many items.", min=1)] = None,
    only: Annotated[bool, typer.Option("--only", help="Ask for nothing but these keys.")] = False,
    *,
    tracing: Tracing,
    as_json: AsJson = False,
) -> None:
    """Ask a worklist what is scheduled, one row an item."""
    with tracing(), stoppable() as stopped:
        found = wb.network.worklist(peer, keys=keys_of(keys), only=only, limit=limit, cancel=stopped)
    frame = found.table()
    rows = frame_records(frame) if as_json else lines(frame)  # a sequence shows how many items it has
    records = [{name.rsplit(".", 1)[-1]: value for name, value in row.items()} for row in rows]
    more = ", and there are more" if found.truncated else ""
    show_table(records, as_json, title=counted(len(found), "item") + more)
    for note in found.notes:
        say(f"note: {note}")
    if stopped():
        raise typer.Exit(128 + stopped.number)


@traceable
def commit(
    peer: PeerName,
    what: Annotated[list[str], typer.Argument(metavar="WHAT...", help="Files or folders, or SOPCLASSUID:SOPINSTANCEUID.")],
    listen: Annotated[
        int | None, typer.Option(help="Port at which the peer reports, if not on our association.", min=1, max=65535)
    ] = None,
    wait: Annotated[float, typer.Option(help="How long to wait for the report, in seconds.", min=0)] = 60.0,
    *,
    tracing: Tracing,
    as_json: AsJson = False,
) -> None:
    """Ask a peer to answer for the safekeeping of instances; exit code 1 if it does not for all of them."""
    refs = _references(what)
    with tracing(), stoppable() as stopped:
        try:
            report = wb.network.commit(peer, refs, wait_s=wait, listen=listen, cancel=stopped, progress=say)
        except ServerRefused as error:
            raise ServerRefused(in_options(str(error)).replace(", 0 for a free one", ": the one that the peer knows")) from None
    counts = ", ".join(f"{number} {outcome}" for outcome, number in report.counts().items())
    show_table(report.records(), as_json, title=counts, hide=("sop_class_uid", "transaction_uid", "reason"))
    if stopped():
        raise typer.Exit(128 + stopped.number)
    if not report.complete:
        raise typer.Exit(1)


@step.command("begin")
@traceable
def begin_step(
    peer: PeerName,
    state: State,
    attributes: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE...", help="More of the step, e.g. PerformedLocation='Room 2'")
    ] = None,
    scheduled_at: Annotated[str, typer.Option("--worklist", help="The worklist that has the scheduled step, a PEER.")] = "",
    match: Annotated[list[str] | None, typer.Option(help="KEY=VALUE that finds it there; may be repeated.")] = None,
    *,
    tracing: Tracing,
    as_json: AsJson = False,
) -> None:
    """Tell a peer that a step has begun (N-CREATE), with what the worklist says; keep it in STATE."""
    if state.exists():
        raise InputError(f"{str(state)!r} is there already: it may hold a step that is not finished.")
    with tracing():
        item = _scheduled(scheduled_at, match) if scheduled_at else None
        begun = wb.network.procedure_step.begin(peer, item, attributes=keys_of(attributes))
    _keep(begun, state)
    _told(begun, as_json)


@step.command("finish")
@traceable
def finish_step(
    peer: PeerName,
    state: State,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH...", help="All instances of the step: files or folders; none if it is discontinued before.", exists=True
        ),
    ] = None,
    discontinued: Annotated[bool, typer.Option("--discontinued", help="It was not brought to its end.")] = False,
    protocol: Annotated[str, typer.Option(help="Protocol Name of the series, if the instances do not say it.")] = "",
    *,
    tracing: Tracing,
    as_json: AsJson = False,
) -> None:
    """Tell a peer that a step has ended (N-SET), with its series and instances; STATE is removed then."""
    if not paths and not discontinued:
        raise InputError("A step is completed with its instances: name their files, or pass --discontinued (PS3.4 F.7.2.2).")
    unusable: list[Path] = []
    datasets = [dataset for _, dataset in readable(files_below(paths), unusable)] if paths else []
    if unusable:
        raise InputError(f"Nothing was told: {counted(len(unusable), 'file')} can't be used.")
    begun, status = _kept(state), "DISCONTINUED" if discontinued else "COMPLETED"
    series = wb.network.procedure_step.performed_series(datasets, step=begun, protocol=protocol) or None
    with tracing():
        done = wb.network.procedure_step.finish(peer, begun, status=status, series=series)
    state.unlink()
    _told(done, as_json)


def _references(what: list[str]) -> list[InstanceRef | Dataset | tuple[str, str]]:
    """Return what files hold, and what is written as two UIDs."""
    found: list[Any] = []
    paths, unusable = [], list[Path]()
    for each in what:
        if Path(each).exists():
            paths.append(Path(each))
            continue
        uids = each.split(":")
        if len(uids) != _UIDS or not all(uid.replace(".", "").isdigit() for uid in uids):
            raise InputError(f"{plain(each)!r} is no file and not SOPCLASSUID:SOPINSTANCEUID.")
        found.append(tuple(uids))
    found += [InstanceRef.of(dataset) for _, dataset in readable(files_below(paths), unusable, whole=False)] if paths else []
    if unusable:
        raise InputError(f"Nothing was asked: {counted(len(unusable), 'file')} can't be used.")
    return found


def _scheduled(peer: str, match: list[str] | None) -> Dataset:
    found = wb.network.worklist(peer, keys=keys_of(match), limit=2)
    if len(found) != 1:
        few = "nothing" if not len(found) else "more than one item"
        raise InputError(f"The worklist has {few} for this: name one item with --match, such as AccessionNumber=…")
    item: Dataset = found[0]
    return item


def _keep(begun: Any, state: Path) -> None:
    model = {"sop_instance_uid": begun.sop_instance_uid, "status": begun.status, "attributes": begun.attributes.to_json_dict()}
    write_whole(state, json.dumps(model).encode(), exist_ok=False, mode=0o600)  # it says who the patient is


def _kept(state: Path) -> Any:
    try:
        model = json.loads(state.read_bytes())
        attributes = Dataset.from_json(model["attributes"])
        return wb.network.procedure_step.ProcedureStep(model["sop_instance_uid"], model["status"], attributes)
    except FileNotFoundError:
        raise InputError(f"{str(state)!r} is not there: begin a step first, with this file.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{str(state)!r} holds no step that was begun here.") from None


def _told(done: Any, as_json: bool) -> None:
    said = {"sop_instance_uid": done.sop_instance_uid, "status": done.status, "instances": done.instances}
    if as_json:
        show_json(said | {"study_instance_uid": done.study_instance_uid})
    else:
        put(f"{done.status}: performed procedure step {done.sop_instance_uid}, {counted(done.instances, 'instance')}")

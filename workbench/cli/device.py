"""Commands about device profiles: which there are, what one claims, what its statement gets wrong.

Knows: how a profile is told on a terminal.
Does not know: what profiles are made of.
"""

import time
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

import workbench as wb
from workbench.cli._arguments import keys_of
from workbench.cli._book import KnownPeers
from workbench.cli._console import log_to_stderr, put, say, show_json, show_table, stop_if, stoppable
from workbench.cli._policies import policy_in_words
from workbench.cli._ports import port_tried
from workbench.cli._trace import Tracing, traceable
from workbench.entities import counted
from workbench.errors import InputError

__all__ = ["device"]

device = typer.Typer(help="Real systems as their conformance statements describe them.", no_args_is_help=True)

_HERE = MappingProxyType({
    "set calling_ae_title and move_port= to what it knows": "set --port to what it knows",
    ", or set calling_ae_title to one that it knows": "",
    "set calling_ae_title to what it knows, or have its administrator add that.": "have its administrator add that.",
})  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
DeviceName = Annotated[str, typer.Argument(metavar="NAME", help="Name of a profile (see 'workbench device list').")]


@device.command("list")
def list_devices(as_json: AsJson = False) -> None:
    """Print the systems that have a profile."""
    rows = [
        {
            "name": name, "title": found.title, "version": found.version, "entities": len(found.entities),
            "tables": len(found.tables), "slips": len(found.slips),
        }
        for name, found in wb.devices.profiles().items()
    ]  # fmt: skip
    show_table(rows, as_json)


@device.command("show")
def show_device(
    name: DeviceName,
    printed: Annotated[bool, typer.Option("--printed", help="As printed in the document, with its slips.")] = False,
    table: Annotated[str, typer.Option(metavar="ID", help="Only this table: its id, or as it is cited, 'Table 9', 8.2.4.")] = "",
    as_json: AsJson = False,
) -> None:
    """Print what a system claims: its entities with SOP classes and transfer syntaxes by role, its activities, objects, tables."""
    found = wb.devices.profile(name)
    found = found.as_printed() if printed else found
    if table:
        tables = _cited(found, table)
        if as_json:
            show_json([line for each in tables for line in each.lines()])
        for each in () if as_json else tables:
            show_table(each.lines(), False, title=f"{each.source}: {each.title}")
        return
    said = wb.devices.overview(found)
    created = {claimed.source for claimed in wb.department.buildable(found)}
    for row in said["objects"]:
        row["created"] = "yes" if row["source"] in created else "not yet"
    if as_json:
        show_json(said)
    else:
        _show(said)


@device.command("run")
@traceable
def run_device(
    name: DeviceName,
    against: Annotated[
        str,
        typer.Option(
            "--against", metavar="PEER", help="The archive, into which it stores; without it an embedded department is started."
        ),
    ] = "",
    ris: Annotated[str, typer.Option(metavar="PEER", help="Who keeps the worklist, and performed steps without --mpps.")] = "",
    mpps: Annotated[str, typer.Option(metavar="PEER", help="Who keeps performed steps, where that is another.")] = "",
    printer: Annotated[str, typer.Option(metavar="PEER", help="Where it prints.")] = "",
    port: Annotated[
        int,
        typer.Option(
            help="Port to which the archive sends what the system fetches (C-MOVE); without it nothing is fetched.",
            min=0,
            max=65535,
        ),
    ] = 0,
    listen: Annotated[
        int | None,
        typer.Option(
            help="Port to which the archive sends reports of storage commitment on an association of its own, as Orthanc does. An "
            "archive that has one address for the system's AE title wants the same number as --port.",
            min=1,
            max=65535,
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="What the system is set to, such as modality=OP. Repeatable."),
    ] = None,
    *,
    tracing: Tracing,
    as_json: AsJson = False,
) -> None:
    """Perform what a system does, in the order of its statement; exit code 1 if an activity failed or its answer is awaited.

    What nobody was given for is not tried, and what can't be done yet is not done: both are told, and are no failure.

    With --against it writes: what it acquires is stored in that archive at each run (hundreds of images by some), --ris is told of
    its steps, --printer prints. Take an archive that is meant for tests.
    """
    found = wb.devices.profile(name)  # an unknown name is told before anything starts
    if (ris or mpps or printer or port or listen) and not against:
        raise InputError(
            "--ris, --mpps, --printer, --port and --listen go with --against: else an embedded department is all of them."
        )
    settings = keys_of(setting, what="A setting is written NAME=VALUE, such as modality=OP")

    def tell(row: Any) -> None:
        if not as_json:
            say(f"{row.activity}: {row.outcome}")

    if against:
        system = wb.department.Modality(
            found, archive=against, ris=ris or None, printer=printer or None, port=port, listen=listen, settings=settings
        )
        system.mpps = wb.network.as_peer(mpps) if mpps else None
        with tracing():
            done = system.run(progress=tell)
    else:
        with wb.department.Department() as department, tracing():  # seen from the system's side
            done = department.system(found.name, settings=settings).run(progress=tell)
    records = [row | {"message": _of_a_system(row["message"])} for row in done.records()]
    show_table(records, as_json, title=found.title, hide=("entity", "source"))
    for rows, what in ((done.not_tried, "not tried"), (done.not_yet, "not yet")):
        if rows and not as_json:
            reasons = " ".join(dict.fromkeys(row.message for row in rows))
            say(f"{len(rows)} of {counted(len(done), 'activity')} {what}: {reasons}")
    if done.troubles:
        raise typer.Exit(1)


def _of_a_system(message: str) -> str:
    """Return a message with what can be done here: the AE title of a system is that of its statement."""
    for python, here in _HERE.items():
        message = message.replace(python, here)
    return message


@device.command("serve")
@traceable
def serve_device(
    name: DeviceName,
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 0,
    folder: Annotated[
        Path | None, typer.Option(help="Where what comes is kept; without it, it goes when the provider stops.")
    ] = None,
    *,
    tracing: Tracing,
) -> None:
    """Run a system's own provider until Ctrl-C: it accepts and answers what its statement says, and no more.

    C-MOVE goes to peers of the address book; where the system checks who calls, only they may come.
    """
    system = wb.department.Modality(name)
    known = KnownPeers()
    if folder is not None:
        port_tried("127.0.0.1", port, ae_title="WORKBENCH")
    log_to_stderr()
    with tracing(), stoppable() as stopped, system.receiving(folder=folder, port=port, known=known.peers) as (server, archive):
        put(f"{system.profile.title}, {server.peer}: {counted(archive.counts().instances, 'instance')}. Ctrl-C stops.")
        while not stopped():
            known.tell(server)
            time.sleep(0.1)
    stop_if(stopped)


@device.command("lint")
def lint_device(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of a profile; by default each in turn.")] = "",
    as_json: AsJson = False,
) -> None:
    """Print where a statement contradicts the standard or itself: what is printed, what is meant, the rule.

    Findings are what was asked for, of a document that nobody here can mend: the exit code is 0 with or without them.
    """
    if name:
        rows, title = _linted(wb.devices.profile(name))
        show_table(rows, as_json, title=title, hide=("section",))
        return
    every = {found.name: (found.title, *_linted(found)) for found in wb.devices.profiles().values()}
    if as_json:
        show_json([{"device": device} | row for device, (_, rows, _) in every.items() for row in rows])
        return
    for number, (system, rows, title) in enumerate(every.values()):
        put(*([""] if number else []), system)
        show_table(rows, False, title=title, hide=("section",))


def _cited(found: Any, text: str) -> list[Any]:
    """Return the tables that have this id, or that are cited so: 'section 8.2.4', 'Table 9', or the number alone."""
    wanted = " ".join(text.lower().split())
    cited = [table for table in found.tables if wanted in {table.source.lower(), table.source.lower().partition(" ")[2]}]
    return cited if cited and all(table.id != text for table in found.tables) else [found.table(text)]


def _linted(found: Any) -> tuple[list[dict[str, Any]], str]:
    findings = wb.devices.lint(found)
    rows = [
        {"severity": f.severity.value, "at": f.path, "section": f.section, "message": f.message, "rule": f.remedy or f.section}
        for f in findings
    ]
    slips, errors = len(found.slips), len(findings.errors)
    said, differs = counted(slips, "slip"), counted(len(findings) - slips, "difference")
    title = f"{said} of the document, {differs} of the system itself; {counted(errors, 'error')} in what peers rely on"
    return rows, title


def _show(said: dict[str, Any]) -> None:
    put(f"{said['title']} {said['version']}", said["summary"], f"{said['statement']}. DICOM {said['edition']}.")
    if said["view"] == "printed":
        put("Everything as printed, slips included.")
    parts = (
        ("Application entities", [_entity(entity) for entity in said["entities"]]),
        ("Activities", [row | {"peers": ", ".join(row["peers"])} for row in said["activities"]]),
        (
            "SOP classes",
            _classes(said),
        ),
        ("Transfer syntaxes", _syntaxes(said)),
        ("Created objects", said["objects"]),
        ("Tables", said["tables"]),
    )
    for title, rows in parts:
        if rows:
            put("")
            show_table(rows, False, title=f"{title}: {len(rows)}")


def _entity(said: dict[str, Any]) -> dict[str, Any]:
    counts = {
        f"{role} {what}": len(said[key].get(role, ()))
        for role in ("SCU", "SCP")
        for what, key in (("classes", "sop_classes"), ("syntaxes", "transfer_syntaxes"))
    }
    parts = {"": said["policy"], **said["policies"]}
    policy = "; ".join(f"{does}: {words}" if does else words for does, part in parts.items() if (words := policy_in_words(part)))
    here = f"here: {said['title_here']}" if said["title_here"] else ""
    return {"entity": said["id"], "ae_title": said.get("ae_title") or here, "port": said.get("port"), **counts, "policy": policy}


def _classes(said: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"entity": entity["id"], "role": role, "uid": row["uid"], "name": row["name"], "source": row["source"]}
        for entity in said["entities"]
        for role, rows in entity["sop_classes"].items()
        for row in rows
    ]


def _syntaxes(said: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"entity": entity["id"], "role": role, "uid": row["uid"], "name": row["name"]}
        for entity in said["entities"]
        for role, rows in entity["transfer_syntaxes"].items()
        for row in rows
    ]

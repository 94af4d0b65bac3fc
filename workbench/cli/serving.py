"""The command that runs the embedded archive, with the services beside it that are asked for.

Knows: which option stands for which service.
Does not know: how a service answers.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

import workbench as wb
from workbench.cli._arguments import TlsFiles, Users, tls_of, users_of
from workbench.cli._book import KnownPeers
from workbench.cli._console import log_to_stderr, put, stop_if, stoppable
from workbench.cli._ports import port_tried
from workbench.cli._trace import Tracing, traceable
from workbench.entities import counted

__all__ = ["serve"]


@traceable
def serve(
    folder: Annotated[Path, typer.Option(help="Where the archive is kept.")] = Path("workbench-archive"),
    ae_title: Annotated[str, typer.Option(help="What it calls itself.")] = "WORKBENCH",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 11112,
    host: Annotated[str, typer.Option(help="Address to listen at; others than this machine need e.g. 0.0.0.0.")] = "127.0.0.1",
    phantoms: Annotated[bool, typer.Option("--phantoms", help="Put the phantoms in first.")] = False,
    worklist: Annotated[
        Path | None,
        typer.Option(metavar="CSV", exists=True, dir_okay=False, help="Also serve this worklist, and keep its performed steps."),
    ] = None,
    tls: TlsFiles = None,
    user: Users = None,
    *,
    tracing: Tracing,
) -> None:
    """Run the embedded archive until Ctrl-C: verification, storage, query, retrieve, storage commitment.

    C-MOVE and reports of storage commitment go to peers of the address book, also to those that are added meanwhile.

    Performed steps are kept in the folder too. Started again with the same worklist, items that are done stay done, and those
    that have an accession number or requested procedure ID keep the study UID that was made for them.
    """
    known = KnownPeers()
    items = None if worklist is None else wb.network.Worklist(worklist)
    users, secure = users_of(user, has_tls=tls is not None), tls_of(tls)
    port_tried(host, port, ae_title=ae_title)
    log_to_stderr()
    with tracing(), stoppable() as stopped, wb.archive.Archive(folder) as archive:
        providers: list[Any] = [wb.network.Commitment(archive)]
        if items is not None:
            providers += [items, wb.network.ProcedureSteps(items, folder=folder / "procedure-steps")]
        with wb.network.Server(
            archive, ae_title=ae_title, host=host, port=port, known_peers=known.peers, providers=providers, tls=secure,
            identify=users,
        ) as server:  # fmt: skip
            for dataset in wb.phantoms.everything() if phantoms else ():
                archive.add(dataset)
            counts = archive.counts()
            held = [counted(counts.studies, "study"), counted(counts.instances, "instance")]
            if items is not None:
                held.append(counted(len(items), "scheduled step"))
            put(f"{server.peer}: {', '.join(held)}. Ctrl-C stops.")
            while not stopped():
                known.tell(server)
                time.sleep(0.1)
        stop_if(stopped)

"""Commands about films: print images at a printer, be a printer.

Knows: how a print job is told on a terminal, where films are kept as pictures.
Does not know: how anything is printed or rendered.
"""

import time
from collections.abc import Iterable, Iterator
from itertools import count as numbers
from pathlib import Path
from typing import Annotated, Any

import typer

import workbench as wb
from workbench.cli._arguments import TlsFiles, Users, tls_of, users_of
from workbench.cli._console import log_to_stderr, put, say, show_table, stoppable
from workbench.cli._disk import files_below, read, readable, room_in
from workbench.cli._ports import port_tried
from workbench.cli._trace import Tracing, traceable
from workbench.entities import FilmBox, FilmLut, FilmSession, counted
from workbench.errors import InputError

__all__ = ["print_files", "printer"]

_LUTS = ("IDENTITY", "LIN OD", "INVERSE")


@traceable
def print_files(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="Name in the address book, or AETITLE@HOST:PORT.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Image files, or folders with them.", exists=True)],
    *,
    layout: Annotated[str, typer.Option(help=r"2x3 for two columns and three rows, ROW\1,2 or COL\3,2.")] = "1x1",
    size: Annotated[str, typer.Option(help="Film size, such as 14INX17IN.")] = "",
    landscape: Annotated[bool, typer.Option("--landscape", help="The long side lies.")] = False,
    copies: Annotated[int, typer.Option(help="Of each film.", min=1, max=100)] = 1,
    medium: Annotated[str, typer.Option(help="Such as PAPER, 'CLEAR FILM', 'BLUE FILM'.")] = "",
    bits: Annotated[int, typer.Option(help="8 or 12 bits of gray.")] = 8,
    lut: Annotated[str, typer.Option(help="Presentation LUT: IDENTITY, 'LIN OD' or INVERSE.")] = "",
    lut_table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", exists=True, dir_okay=False, help="Instead, the Presentation LUT Sequence of this DICOM file."
        ),
    ] = None,
    annotation: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="For an annotation box of each film; {film} is its number. Repeatable, in their order."),
    ] = None,
    annotation_format: Annotated[
        str, typer.Option(metavar="ID", help="The printer's name for where annotation boxes are, such as LABEL.")
    ] = "",
    window: Annotated[tuple[float, float] | None, typer.Option(metavar="CENTER WIDTH", help="For all images.")] = None,
    collate: Annotated[bool, typer.Option("--collate", help="Print all films as one session.")] = False,
    tracing: Tracing,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print images at a DICOM printer as they are seen, one row a step; exit code 1 if a film was not printed or a file left out.

    Studies follow by date, series by number, images by instance number, or else by position; each series begins a new film.
    Files that are no images are named and left out.
    """
    if bits not in {8, 12} or (lut and lut.upper() not in _LUTS):
        raise InputError(f"--bits is 8 or 12, --lut one of {', '.join(_LUTS)}.")
    if bool(annotation) != bool(annotation_format):
        raise InputError("--annotation goes with --annotation-format, the printer's Annotation Display Format ID (PS3.3 C.13.3).")
    presentation = _lut(lut, lut_table, bits=bits)
    left_out: list[Path] = []
    images = list(_images(readable(files_below(paths), left_out), left_out))
    if not images:
        raise InputError(f"Nothing was printed: {counted(len(left_out), 'file')} can't be used.")
    box = FilmBox(layout, orientation="LANDSCAPE" if landscape else "PORTRAIT", size=size, annotation=annotation_format)
    with tracing(), stoppable() as stopped:
        report = wb.flows.filming.print_series(
            peer, images, by_series=True, layout=box, bits=bits, window=window, session=FilmSession(copies=copies, medium=medium),
            lut=presentation, texts=annotation or (), collate=collate, cancel=stopped,
        )  # fmt: skip
    show_table(report.records(), as_json, title=f"{counted(report.films, 'film')} of {counted(len(images), 'image')}")
    for row in report.told:
        say(f"{row.outcome}: {row.step}: {row.text}")
    if left_out:
        say(f"{counted(len(left_out), 'file')} left out.")
    if stopped():
        raise typer.Exit(128 + stopped.number)
    if left_out or not report.is_printed:
        raise typer.Exit(1)


def _images(found: Iterable[tuple[Path, Any]], left_out: list[Path]) -> Iterator[Any]:
    """Give the datasets that are images; the others are said and kept in `left_out`."""
    for path, dataset in found:
        try:
            wb.rendering.layout(dataset)
        except InputError as error:
            say(f"error: {path}: {error}")
            left_out.append(path)
        else:
            yield dataset


def _lut(shape: str, table: Path | None, *, bits: int) -> FilmLut | None:
    """Return the presentation LUT that was asked for."""
    if table is None:
        return FilmLut(shape.upper()) if shape else None
    if shape:
        raise InputError("A presentation LUT is a shape or a table: --lut or --lut-table.")
    dataset, _ = read(table)
    if not dataset.get("PresentationLUTSequence"):
        raise InputError("The file of --lut-table has no Presentation LUT Sequence (2050,0010) (PS3.3 C.11.4).")
    found = wb.network.lut_of(dataset)
    if len(found.values) != 1 << bits:
        raise InputError(
            f"With --bits {bits} a presentation LUT has {1 << bits} entries, not {len(found.values)} (PS3.3 C.11.4.1)."
        )
    return found


@traceable
def printer(
    folder: Annotated[Path, typer.Option(help="Where films are kept as pictures.", file_okay=False)] = Path("workbench-films"),
    ae_title: Annotated[str, typer.Option(help="What it calls itself.")] = "PRINTER",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = 11113,
    host: Annotated[str, typer.Option(help="Address to listen at; others than this machine need e.g. 0.0.0.0.")] = "127.0.0.1",
    tls: TlsFiles = None,
    user: Users = None,
    *,
    tracing: Tracing,
) -> None:
    """Be a DICOM printer until Ctrl-C: each film becomes a picture."""
    users, secure = users_of(user, has_tls=tls is not None), tls_of(tls)
    room_in(folder, "films")
    port_tried(host, port, ae_title=ae_title)
    folder.mkdir(parents=True, exist_ok=True)
    number = numbers(1)

    def keep(film: Any) -> None:
        path = next(p for n in number if not (p := folder / f"film{n:04}.png").exists())
        put(wb.figures.save(wb.figures.film(film), path))

    log_to_stderr()
    with tracing(), stoppable() as stopped:
        provider = wb.network.Printer(on_film=keep, kept=1)
        with wb.network.Server(
            None, ae_title=ae_title, host=host, port=port, providers=[provider], tls=secure, identify=users
        ) as server:
            put(f"{server.peer} prints into {folder}. Ctrl-C stops.")
            while not stopped():
                time.sleep(0.1)
        raise typer.Exit(128 + stopped.number)

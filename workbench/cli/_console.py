"""Standard output, standard error and signals.

Knows: terminals and pipes, JSON, Ctrl-C.
Does not know: commands, DICOM.
"""

import json
import logging
import math
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from workbench.cli._wording import in_options, rows_in_options
from workbench.entities import plain, text_table

__all__ = [
    "Stopped", "frame_records", "gathered", "log_to_stderr", "progress_bar", "put", "say", "show_json", "show_table",
    "stoppable", "terminated",
]  # fmt: skip


def frame_records(frame: Any) -> list[dict[str, Any]]:
    return [{name: _scalar(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _scalar(value: Any) -> Any:
    """Return a table's cell as JSON has it: nothing as None, dates by ISO 8601."""
    if value is None or str(value) in {"<NA>", "NaT", "nan"}:
        return None
    if hasattr(value, "normalize"):
        return value.date().isoformat() if value == value.normalize() else value.isoformat(" ")
    return value.item() if hasattr(value, "item") else value


def gathered(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Say a finding that several files have in common once."""
    gathered: dict[tuple[Any, ...], list[str]] = {}
    for finding in findings:
        file, colon, place = str(finding["path"]).partition(": ")
        rest = tuple(value for name, value in finding.items() if name != "path")
        gathered.setdefault((place if colon else "", *rest), []).append(file)
    return [
        dict(zip(("severity", "section", "message", "remedy"), rest, strict=True))
        | {"at": place, "in": files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"}
        for (place, *rest), files in gathered.items()
    ]


def show_table(records: list[dict[str, Any]], as_json: bool, *, title: str = "", hide: Iterable[str] = ()) -> None:
    """Print records as JSON, or as a table in which nothing that a dataset says can act on the terminal."""
    records = rows_in_options(records)
    if as_json:
        show_json(records)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    table = text_table([{k: v for k, v in record.items() if k not in hide} for record in records], width=width)
    sys.stdout.write("\n\n".join(filter(None, (plain(title), table))) + "\n")


def show_json(value: Any) -> None:
    is_unicode = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(_finite(value), default=str, ensure_ascii=not is_unicode, indent=1, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    """Return a value without numbers that JSON can't say."""
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def put(*lines: object) -> None:
    sys.stdout.write("".join(f"{plain(line)}\n" for line in lines))
    sys.stdout.flush()


def say(text: object) -> None:
    """Say something on standard error, with advice in options."""
    sys.stderr.write(f"{plain(in_options(str(text)))}\n")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show progress on standard error, where someone is looking."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class Stopped:
    """Whether a signal asked to stop, and which."""

    number = 0

    def __call__(self) -> bool:
        return self.number != 0


@contextmanager
def stoppable() -> Iterator[Stopped]:
    """Give something that tells whether Ctrl-C was pressed; pressed twice, it ends the command at once."""
    stopped = Stopped()

    def press(number: int, _frame: FrameType | None) -> None:
        if stopped():
            raise KeyboardInterrupt
        stopped.number = number
        say("stopping; once more ends it at once")

    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def log_to_stderr() -> None:
    """Say what a server does: who came, how many instances; never what is in them."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.getLogger("workbench")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def stop_if(stopped: "Stopped") -> None:
    """End with the exit code of the signal, where one came."""
    if stopped():
        raise typer.Exit(128 + stopped.number)

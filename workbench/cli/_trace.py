"""The wire trace of a command.

Knows: the option, and when the page is written.
Does not know: what is recorded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import workbench as wb
from workbench.cli._console import say
from workbench.entities import plain
from workbench.errors import InputError

__all__ = ["TraceTo", "tracing"]

TraceTo = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        help="Write what passed on the wire to this HTML file, as a sequence diagram; UIDs are shown, other values masked.",
        dir_okay=False,
    ),
]


@contextmanager
def tracing(path: Path | None) -> Iterator[None]:
    """Record what is said inside the block, and write it to `path` whatever came of it; without a path do nothing."""
    if path is None:
        yield
        return
    if not path.absolute().parent.is_dir():  # told before anything is sent: what a transfer came to must not be lost for it
        raise InputError(f"There is no folder {plain(str(path.parent))!r} for the trace.")
    with wb.network.trace() as recorded:
        try:
            yield
        finally:
            say(f"The trace is in {recorded.save(path)}.")

"""The wire trace of a command.

Knows: the options, and when the page is written.
Does not know: what is recorded.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any

import typer

import workbench as wb
from workbench.cli._console import say
from workbench.cli._disk import room_in
from workbench.entities import plain
from workbench.errors import InputError, StorageFull
from workbench.network import Trace

__all__ = ["Tracing", "traceable"]

TraceTo = Annotated[
    Path | None,
    typer.Option(
        "--trace",
        help="At its end write what passed on the wire to this HTML file, a sequence diagram; UIDs, level and modality are "
        "shown, other values masked.",
        dir_okay=False,
    ),
]
TraceValues = Annotated[bool, typer.Option("--trace-values", help="With --trace: show the other values too. They name patients.")]
#: Makes the block in which a command speaks with others.
Tracing = Callable[[], AbstractContextManager[None]]
_PLACE = "tracing"


def traceable(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--trace`` and ``--trace-values``, in the place of its parameter `tracing`.

    A folder that is not there, or can't be written in, is told before the command begins: what a transfer came to must not be
    lost for it.

    Parameters
    ----------
    command : callable
        A command with a keyword ``tracing`` of type :data:`Tracing`; what it does inside ``with tracing():`` is recorded.

    Returns
    -------
    callable
        The command as typer should see it.
    """

    @wraps(command)
    def with_options(*, trace: Path | None, trace_values: bool, **given: Any) -> None:
        if trace is None and trace_values:
            raise InputError("--trace-values goes with --trace FILE.")
        if trace is not None:
            if not trace.absolute().parent.is_dir():
                raise InputError(f"There is no folder {plain(str(trace.parent))!r} for the trace.")
            room_in(trace.absolute().parent, "the trace")
        command(**given, **{_PLACE: partial(_tracing, trace, values=trace_values)})

    said = inspect.signature(command)
    found: list[inspect.Parameter] = []
    for parameter in said.parameters.values():
        if parameter.name == _PLACE:
            found.append(parameter.replace(name="trace", annotation=TraceTo, default=None))
            found.append(parameter.replace(name="trace_values", annotation=TraceValues, default=False))
        else:
            found.append(parameter)
    with_options.__signature__ = said.replace(parameters=found)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in found}
    return with_options


@contextmanager
def _tracing(path: Path | None, *, values: bool) -> Iterator[None]:
    """Record what is said inside the block, and write it to `path` whatever came of it; without a path do nothing."""
    if path is None:
        yield
        return
    with wb.network.trace(values=values) as recorded:
        try:
            yield
        finally:
            _save(recorded, path)


def _save(recorded: Trace, path: Path) -> None:
    """Write the page; where that fails say so, and leave what the command came to as it is."""
    try:
        say(f"The trace is in {recorded.save(path)}.")
    except (OSError, StorageFull) as error:
        say(f"error: the trace can't be written to {str(path)!r}: {getattr(error, 'strerror', '') or error}")

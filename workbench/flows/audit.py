"""The audit trail: one line for each step of a flow, with its count, its time and whether its result was proven.

Knows: JSON Lines, appended and synced.
Does not know: what a step does; it never holds a patient's value.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from workbench.entities import Rows
from workbench.errors import FileError, NetworkError, WorkbenchError

__all__ = ["Audit", "AuditLine", "AuditLines", "Step"]


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What became of one step.

    Parameters
    ----------
    time : str
        When it ended, UTC, ISO 8601.
    step : str
        The verb: find, retrieve, release, push...
    count : int
        How many instances, rows or findings it was about.
    verified : bool
        Whether the result was proven, not only reported.
    seconds : float
        How long it took.
    note : str
        Proof or trouble in words, with UIDs and counts only.
    """

    time: str
    step: str
    count: int
    verified: bool
    seconds: float
    note: str = ""


class AuditLines(Rows[AuditLine]):
    """The lines of an audit trail, oldest first."""

    __slots__ = ()
    row_type: ClassVar[type | None] = AuditLine

    @property
    def verified(self) -> bool:
        """Whether there are lines and every one was verified."""
        return bool(self) and all(line.verified for line in self)


@dataclass(slots=True)
class Step:
    """A step under way: its flow fills in what came of it."""

    count: int = 0
    verified: bool = False
    note: str = ""


class Audit:
    """An audit trail in a file of JSON Lines, or in memory only.

    Parameters
    ----------
    path : Path or str, optional
        The file; lines are appended and synced, older lines are kept.

    Examples
    --------
    >>> audit = Audit()
    >>> with audit.step("count") as step:
    ...     step.count, step.verified = 3, True
    >>> [(line.step, line.count, line.verified) for line in audit.lines]
    [('count', 3, True)]
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else None
        self._lines: list[AuditLine] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a block and write its line, also where the block fails (then it is not verified)."""
        step, began = Step(), time.perf_counter()
        try:
            yield step
        except BaseException as error:
            step.verified = False
            step.note = _note(error)
            raise
        finally:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            self._append(AuditLine(now, name, step.count, step.verified, round(time.perf_counter() - began, 3), step.note))

    def _append(self, line: AuditLine) -> None:
        self._lines.append(line)
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (json.dumps(asdict(line), ensure_ascii=False) + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @property
    def lines(self) -> AuditLines:
        """The lines that this object wrote."""
        return AuditLines(self._lines)

    @classmethod
    def read(cls, path: Path | str) -> AuditLines:
        """Return all lines of a file.

        Raises
        ------
        FileError
            If a line is not one that an audit wrote.
        """
        found = []
        for number, text in enumerate(Path(path).read_bytes().splitlines(), 1):
            try:
                found.append(AuditLine(**json.loads(text)))
            except (ValueError, TypeError) as error:
                raise FileError(f"Line {number} of {path} is no line of an audit trail: it was changed, or cut short.") from error
        return AuditLines(found)

    def __repr__(self) -> str:
        where = f" in {str(self.path)!r}" if self.path is not None else ""
        return f"Audit({len(self._lines)} steps, {'all' if self.lines.verified else 'not all'} verified{where})"

    def _repr_html_(self) -> str:
        return self.lines._repr_html_()


def _note(error: BaseException) -> str:
    """Say what went wrong without what a peer or another library may have said of a patient."""
    kind = type(error).__name__
    if isinstance(error, NetworkError):
        status = getattr(error, "status", None)
        return kind + (f" at {error.layer}" if error.layer else "") + (f", status 0x{status:04X}" if status else "")
    return f"{kind}: {error}" if isinstance(error, WorkbenchError) else kind

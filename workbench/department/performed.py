"""What became of the activities of a system: one row each.

Knows: outcomes, and how the rows are shown.
Does not know: how anything is performed.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar

from workbench.entities import Rows, counted

__all__ = ["Activities", "Done", "NotHere", "Outcome", "Told", "counted"]

_CALLED = MappingProxyType({"ris": "information system (ris)"})


class Outcome(StrEnum):
    """What became of an activity."""

    DONE = "done"
    FAILED = "failed"
    AWAITED = "awaited"
    NOTHING = "nothing to do"
    NOT_HERE = "not here"
    NOT_YET = "not yet"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Done:
    """One activity of a system, performed.

    Parameters
    ----------
    activity, kind, entity : str
        As the profile names them; `kind` is what :attr:`workbench.devices.Activity.does` says.
    peer : str
        AE title of the other side; empty where there is none.
    calling : str
        AE title under which the system calls; empty where it calls nobody.
    outcome : Outcome
        ``awaited`` where it was asked for and the answer may still come, ``nothing to do`` where there was nothing to send,
        fetch, tell or print, ``not here`` where nobody was given to talk to, ``not yet`` where the workbench can't do it yet,
        ``cancelled`` where the run was cancelled before it began.
    count : int
        Items found, instances made, sent, committed or received.
    seconds : float
        How long it took.
    message : str
        What it came to, without a patient's value.
    source : str
        Where the statement describes it.
    """

    activity: str
    kind: str
    entity: str
    peer: str
    calling: str
    outcome: Outcome
    count: int
    seconds: float
    message: str
    source: str


class Activities(Rows[Done]):
    """Activities in the order in which they were performed."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Done

    @property
    def complete(self) -> bool:
        """Whether every activity that the workbench can do was done, or had nothing to do; never of no activity at all."""
        over = {Outcome.DONE, Outcome.NOTHING, Outcome.NOT_YET}
        return bool(self) and all(row.outcome in over for row in self)

    @property
    def troubles(self) -> "Activities":
        """Those that failed, and those whose answer may still come."""
        return self._of(Outcome.FAILED, Outcome.AWAITED)

    @property
    def not_tried(self) -> "Activities":
        """Those for which nobody was given to talk to, and those before which the run was cancelled."""
        return self._of(Outcome.NOT_HERE, Outcome.CANCELLED)

    @property
    def not_yet(self) -> "Activities":
        """Those that the workbench can't do yet."""
        return self._of(Outcome.NOT_YET)

    def counts(self) -> dict[str, int]:
        """Return how many activities have each outcome, in the order in which they first came."""
        return dict(Counter(row.outcome.value for row in self))

    def _of(self, *outcomes: Outcome) -> "Activities":
        return Activities(row for row in self if row.outcome in outcomes)

    def __repr__(self) -> str:
        told = ", ".join(f"{number} {outcome}" for outcome, number in self.counts().items()) or "none"
        return f"Activities({told})"


@dataclass(frozen=True)
class Told:
    """What one kind of activity says of itself: outcome, count, message, AE title of the other side."""

    outcome: Outcome
    count: int
    message: str
    peer: str = ""


class NotHere(Exception):
    """Nobody was given to talk to, by the name of the parameter that names whom."""

    def __init__(self, role: str) -> None:
        super().__init__(f"No {_CALLED.get(role, role)} was given.")

"""What became of the activities of a system: one row each.

Knows: outcomes, and how the rows are shown.
Does not know: how anything is performed.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from workbench.entities import Rows

__all__ = ["Activities", "Done", "NotHere", "Outcome", "Told", "counted"]


class Outcome(StrEnum):
    """What became of an activity."""

    DONE = "done"
    FAILED = "failed"
    AWAITED = "awaited"
    NOTHING = "nothing to do"
    NOT_HERE = "not here"
    NOT_YET = "not yet"


@dataclass(frozen=True, slots=True)
class Done:
    """One activity of a system, performed.

    Parameters
    ----------
    activity, does, entity : str
        As the profile names them.
    peer : str
        AE title of the other side; empty where there is none.
    calling : str
        AE title under which the system calls; empty where it calls nobody.
    outcome : Outcome
        ``awaited`` where it was asked for and the answer may still come, ``nothing to do`` where there was nothing to send,
        fetch, tell or print, ``not here`` where nobody was given to talk to, ``not yet`` where the workbench can't do it yet.
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
    does: str
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
        """Whether none has failed, and none is awaited."""
        return all(row.outcome not in {Outcome.FAILED, Outcome.AWAITED} for row in self)


@dataclass(frozen=True)
class Told:
    """What one kind of activity says of itself: outcome, count, message, AE title of the other side."""

    outcome: Outcome
    count: int
    message: str
    peer: str = ""


class NotHere(Exception):
    """Nobody was given to talk to."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "study"), counted(2, "study")
    ('1 study', '2 studies')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"

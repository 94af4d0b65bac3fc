"""How a print job takes what a printer answers, where systems differ.

Knows: the steps of a job, and the rows of a system's tables of statuses (PS3.4 H.4).
Does not know: associations, films.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from workbench.devices import Status, reaction
from workbench.errors import InputError

__all__ = ["STEPS", "PrintPolicy"]

#: Steps of a job that a printer answers.
STEPS = (
    "printer", "film session", "presentation LUT", "film", "image", "annotation", "print film", "print session", "delete film",
    "delete film session", "delete presentation LUT",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PrintPolicy:
    """What a system asks of a printer beside films, and what it does about statuses.

    Parameters
    ----------
    asks_state : bool
        Whether it asks for the printer's state first (N-GET, PS3.4 H.4.6).
    statuses : mapping of str to sequence of Status
        Its rows, by step of the job, such as ``film session``, ``film``, ``image``, ``print film``, ``delete film``. A status
        for which there is no row is taken as the standard has it.

    Raises
    ------
    InputError
        If there is no such step.

    Examples
    --------
    >>> PrintPolicy(asks_state=False).judged("film", 0xB605) is None
    True
    """

    asks_state: bool = True
    statuses: Mapping[str, Sequence[Status]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if wrong := set(self.statuses) - set(STEPS):
            raise InputError(f"A print job has no step {min(wrong)[:32]!r}: it has {', '.join(STEPS)}.")

    def judged(self, step: str, status: int) -> Status | None:
        """Return the row that holds for a status; None where there is none."""
        return reaction(self.statuses.get(step, ()), status)

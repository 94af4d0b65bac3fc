"""What a check says: a severity, a place, a section, a message and a remedy.

Knows: how findings are ordered and shown.
Does not know: the checks, or what is done about it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from workbench.entities.rows import Rows

__all__ = ["Finding", "Findings", "Severity"]


class Severity(StrEnum):
    """How bad it is; compare with :attr:`rank`."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for an error, 1 for a warning, 2 for a note."""
        return ("error", "warning", "note").index(self.value)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has to say.

    Parameters
    ----------
    severity : Severity
        error, warning or note.
    path : str
        Where: a dataset path such as ``ReferencedSeriesSequence[0].SeriesInstanceUID``, or a file name.
    section : str
        By what right, such as ``PS3.3 C.11.11``.
    message : str
        What is the matter; never a patient's value.
    remedy : str
        What to do about it, where something can be done.
    """

    severity: Severity
    path: str
    section: str
    message: str
    remedy: str = ""


class Findings(Rows[Finding]):
    """Findings in the order in which they were made."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Finding

    @property
    def errors(self) -> "Findings":
        """Only the errors."""
        return Findings(f for f in self if f.severity is Severity.ERROR)

    @property
    def worst(self) -> Severity | None:
        """The worst severity, or None where nothing was found."""
        return min((f.severity for f in self), key=lambda s: s.rank, default=None)

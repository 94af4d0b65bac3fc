"""How a report of storage commitment is answered, where systems differ, and what is said while it does not come.

Knows: the conditions of N-EVENT-REPORT statuses (PS3.7 10.1.1.1.8), and how device profiles name them.
Does not know: requests, associations.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from pydicom.dataset import Dataset

from workbench.devices import Status
from workbench.errors import InputError
from workbench.network.providing import Refused

__all__ = ["ReportPolicy", "references", "silence", "waiting"]

_ELSEWHERE = "The peer may report on a new association: pass listen= with the port that it knows for us."

#: Words of a profile's behaviour, and the condition that they stand for.
_SAID = {
    "UID unknown": "unknown", "UID expired": "expired", "event type": "event_type", "internal error": "trouble",
    "never asked for": "foreign",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReportPolicy:
    """Which status a report of storage commitment gets that is not taken over (PS3.7 10.1.1.1.8, PS3.4 J.3.3).

    Parameters
    ----------
    unknown : int
        No request has its Transaction UID.
    expired : int
        The request of its Transaction UID is over: it is older than `keep_s`, or too many have come since.
    event_type : int
        Its event type is neither 1 nor 2.
    trouble : int
        It can't be read.
    foreign : int
        It names an instance that the request did not; 0x0000 takes over what it says of the others.
    keep_s : float, optional
        For how long a report on a request is taken; by default for as long as the request is remembered.

    Raises
    ------
    InputError
        If a status is no number of two bytes, or `keep_s` is not more than 0.

    Examples
    --------
    >>> ReportPolicy(foreign=0x0115).unknown == 0x0115
    True
    """

    unknown: int = 0x0115
    expired: int = 0x0115
    event_type: int = 0x0113
    trouble: int = 0x0110
    foreign: int = 0x0000
    keep_s: float | None = None

    def __post_init__(self) -> None:
        statuses = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "keep_s"}
        for name, status in statuses.items():
            if not isinstance(status, int) or not (name != "foreign") <= status <= 0xFFFF:
                raise InputError(f"{name} is the status of a failure, 0x0001 to 0xFFFF (PS3.7 C), not {status!r}.")
        if self.keep_s is not None and not self.keep_s > 0:
            raise InputError(f"keep_s is more than 0, or None, not {self.keep_s!r}.")

    @classmethod
    def of(cls, statuses: Iterable[Status]) -> "ReportPolicy":
        """Return what a device profile says of it; where it does not say, what is usual here.

        Parameters
        ----------
        statuses : iterable of Status
            Rows of its tables; those that stand for none of the conditions are passed over.

        Examples
        --------
        >>> from workbench import devices
        >>> hex(ReportPolicy.of(devices.statuses(devices.profile("philips-vereos"))).unknown)
        '0x211'
        """
        found = {
            name: int(row.code, 16)
            for row in statuses
            for words, name in _SAID.items()
            if words in row.behaviour and len(row.code) == 4 and row.code.isalnum() and "x" not in row.code
        }
        return cls(**found)

    def check_event(self, event_type: int | None) -> None:
        """Check the event type of a report (PS3.4 J.3.3.1.1)."""
        if event_type not in {1, 2}:
            raise Refused(self.event_type, "the event type is neither 1 nor 2")

    def check_names(self, information: Dataset, asked: set[str]) -> None:
        """Check that a report names only what was asked for, where that matters."""
        if self.foreign and (foreign := {uid for uid, _ in references(information)} - asked):
            raise Refused(self.foreign, f"{len(foreign)} instances were not asked for")


def references(information: Dataset) -> list[tuple[str, Dataset]]:
    """Return SOP Instance UID and item of all that a report names, as committed or as failed (PS3.4 Table J.3-2)."""
    return [
        (str(item.get("ReferencedSOPInstanceUID")), item)
        for keyword in ("ReferencedSOPSequence", "FailedSOPSequence")
        for item in information.get(keyword) or ()
    ]


# ---------------------------------------------------------------- what is said of the wait
def waiting(wait_s: float, *, has_ear: bool) -> str:
    """Return that a report is waited for, and where it can come; `has_ear` where it can on a new association."""
    where = "on the association of the request or a new one." if has_ear else f"on the association of the request. {_ELSEWHERE}"
    return f"Waiting up to {wait_s:g} s for the report of storage commitment {where}"


def silence(waited_s: float, *, has_ear: bool, over_s: float | None, is_cancelled: bool) -> str:
    """Return why there is no report: for how long it was waited for, or when the peer ended the association.

    Examples
    --------
    >>> silence(45.0, has_ear=True, over_s=None, is_cancelled=False)
    'No report came within 45 s. Keep the local copy, and ask again later.'
    """
    remedy = "Keep the local copy, and ask again later."
    if not has_ear:
        remedy = f"{_ELSEWHERE} {remedy}"
    if over_s is not None and not has_ear:
        return f"The peer ended the association after {round(over_s, 1):g} s without a report. {remedy}"
    how = "The wait was cancelled: no" if is_cancelled else "No"
    return f"{how} report came within {round(waited_s, 2):g} s. {remedy}"

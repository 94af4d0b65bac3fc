"""What a system does about a status or an event: the row of its table that holds for it.

Knows: how statements write codes: one, a range, ``Cxxx``, ``<>0000``, ``*``, ``xxxx``, ``Others``; how profiles name events.
Does not know: what is done then.
"""

import re
from collections.abc import Iterable

from workbench.devices.claims import Event, Status

__all__ = ["happening", "reaction"]

_CODE, _RANGE = re.compile(r"[0-9A-Fx]{4}"), re.compile(r"([0-9A-F]{4})-([0-9A-F]{4})")
_ANY = {"*", "xxxx", "Others"}


def reaction(rows: Iterable[Status], status: int) -> Status | None:
    """Return the row that says what is done about a status, the most specific one; None where the statement does not say.

    Examples
    --------
    >>> from workbench import devices
    >>> rows = devices.statuses(devices.profile("optos-v2-vantage"))
    >>> reaction(rows, 0x0000).action, reaction(rows, 0xB000).action
    ('success', 'abort')
    """
    fits = [(_width(row.code, status), number, row) for number, row in enumerate(rows)]
    return min(((width, number, row) for width, number, row in fits if width), default=(0, 0, None))[2]


def happening(rows: Iterable[Event], *words: str) -> Event | None:
    """Return the row of an event, the first one whose words for it have all of these; None where the statement does not say.

    Examples
    --------
    >>> from workbench import devices
    >>> rows = devices.events(devices.profile("philips-vereos"), activity="Image Export")
    >>> happening(rows, "service time-out").action, happening(rows, "association", "time-out").source
    ('stop', 'section 4.2.1.3.6.3')
    """
    return next((row for row in rows if all(word in row.event for word in words)), None)


def _width(code: str, status: int) -> int:
    """Return how many statuses a code stands for if this is one of them, else 0."""
    if code in _ANY:
        return 1 << 16
    if code.startswith("<>"):
        return (1 << 16) - 1 if status != int(code.removeprefix("<>"), 16) else 0
    if found := _RANGE.fullmatch(code):
        first, last = int(found[1], 16), int(found[2], 16)
        return last - first + 1 if first <= status <= last else 0
    if not _CODE.fullmatch(code):
        return 0
    text = f"{status:04X}"
    return 16 ** code.count("x") if all(a in {"x", b} for a, b in zip(code, text, strict=True)) else 0

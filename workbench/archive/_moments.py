"""Dates with their times: matched as one moment, and moved from one offset from UTC to another.

Knows: which date has which time, PS3.4 C.2.2.2.5, offsets from UTC (PS3.3 C.12.1.1.8).
Does not know: where the values stand.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from workbench.archive.matching import DATE_OF, bounds, moment

__all__ = ["Zones", "combined_test"]

_OFFSET = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)")
_LAST = "235959.999999"
_DATETIME = re.compile(r"(\d{8})(\d{2,6})(\.\d{1,6})?([+-]\d{4})?")


def combined_test(date_key: str, time_key: str) -> Callable[[str, str], bool]:
    """Return the test of date and time for a date key and a time key that are one (PS3.4 C.2.2.2.5)."""
    first_day, last_day = bounds(date_key, "DA")
    first_time, last_time = bounds(time_key, "TM", ordered=False)
    first = first_day and first_day + (first_time or "000000.000000")
    last = last_day and last_day + (last_time or _LAST)

    def accepts(date: str, time: str) -> bool:
        found = moment(date, time)
        return found is not None and not (first and found < first) and not (last and found > last)

    return accepts


def _minutes(offset: str) -> int | None:
    found = _OFFSET.fullmatch(offset.strip())
    if not found:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == "-" else minutes


class Zones:
    """Moves dates and times of an entity to the offset that a request names.

    Parameters
    ----------
    wanted, stored : str
        Offset of the request, and of entities that have none of their own.

    Examples
    --------
    >>> Zones("+0200", "+0000").moved({"StudyDate": "20261231", "StudyTime": "2330"}, own="")
    {'StudyDate': '20270101', 'StudyTime': '0130'}
    """

    def __init__(self, wanted: str, stored: str) -> None:
        self.wanted = wanted
        self._wanted, self._stored = _minutes(wanted) or 0, _minutes(stored) or 0

    def moved(self, values: Mapping[str, str], *, own: str) -> dict[str, str]:
        """Return values by keyword, as they are at the wanted offset; `own` is that of the entity, where it says one."""
        known = _minutes(own)
        shift = self._wanted - (self._stored if known is None else known)
        found = dict(values)
        for time, date in DATE_OF.items():
            day, at = values.get(date, ""), values.get(time, "")
            if moved := _moved(day, at, shift):
                found[date], found[time] = moved
        if text := values.get("AcquisitionDateTime"):
            found["AcquisitionDateTime"] = self._moved_datetime(text, shift)
        return found

    def _moved_datetime(self, text: str, shift: int) -> str:
        match = _DATETIME.fullmatch(text)
        if match is None:
            return text
        if match[4]:
            shift = self._wanted - (_minutes(match[4]) or 0)
        moved = _moved(match[1], match[2] + (match[3] or ""), shift)
        return "".join(moved) + self.wanted if moved else text


def _moved(date: str, time: str, shift: int) -> tuple[str, str] | None:
    """Return date and time so many minutes later, as precise as they were; None where one of them is none."""
    digits, _, fraction = time.partition(".")
    if moment(date, time) is None:
        return None
    try:
        then = datetime.strptime((date + digits).ljust(14, "0"), "%Y%m%d%H%M%S") + timedelta(minutes=shift)  # noqa: DTZ007
    except (ValueError, OverflowError):
        return None
    size = max(len(digits), 4 if shift % 60 else 2)
    text = f"{then:%Y%m%d%H%M%S}".rjust(14, "0")
    return text[:8], text[8 : 8 + size] + (f".{fraction}" if fraction else "")

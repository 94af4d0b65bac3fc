"""What queries and retrievals may do beyond the baseline, and how both sides agree on it.

Knows: SOP Class Extended Negotiation (PS3.7 D.3.3.5) of the query/retrieve classes (PS3.4 C.5.1.1, C.5.2.1, C.5.3.1).
Does not know: associations, how anything is matched.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, fields

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from workbench.errors import AttributeUnusable

__all__ = ["NOTHING", "QueryOptions", "QueryPolicy", "agreed", "offset_minutes", "proposal"]

_OFFSET = re.compile(r"([+-])(\d{2})([0-5]\d)")
_FURTHEST_MINUTES = 14 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    r"""The four bits of PS3.4 Table C.5.1-1; retrieval has the first of them (C.5.2.1, C.5.3.1).

    Parameters
    ----------
    relational : bool
        Keys of the levels above may be anything, or absent (C.4.1.2.2, C.4.1.3.2).
    date_time : bool
        A date and its time are matched as one moment (C.2.2.2.5).
    fuzzy : bool
        Names of persons are matched by meaning rather than by spelling (C.2.2.2.1).
    time_zone : bool
        Dates and times are adjusted to Timezone Offset From UTC (0008,0201) of the request.

    Examples
    --------
    >>> QueryOptions.of(b"\x01\x00\x01").names
    ('relational', 'fuzzy')
    """

    relational: bool = False
    date_time: bool = False
    fuzzy: bool = False
    time_zone: bool = False

    @classmethod
    def of(cls, information: bytes) -> "QueryOptions":
        """Return what service class application information says; what is absent or unknown is 0."""
        bits = [byte == 1 for byte in information[:4].ljust(4, b"\0")]
        return cls(relational=bits[0], date_time=bits[1], fuzzy=bits[2], time_zone=bits[3])

    def encoded(self, size: int = 0) -> bytes:
        """Return service class application information: as short as it can be, or of `size` bytes."""
        bits = bytes(astuple(self))
        return bits[:size] if size else bits.rstrip(b"\0")

    def both(self, other: "QueryOptions") -> "QueryOptions":
        """Return what stands in both."""
        return QueryOptions.of(bytes(map(min, self.encoded(4), other.encoded(4))))

    @property
    def names(self) -> tuple[str, ...]:
        """What is set."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name))


NOTHING = QueryOptions()
_EVERYTHING = QueryOptions(relational=True, date_time=True, fuzzy=True, time_zone=True)
_RETRIEVAL = QueryOptions(relational=True)
#: Specific Character Set, Query/Retrieve Level and View, Timezone Offset: how to read the keys (PS3.4 C.4.1.1.3).
_NO_KEYS = frozenset({0x00080005, 0x00080052, 0x00080053, 0x00080201})
_KEYS_UNSUPPORTED, _UNABLE = 0xFF01, 0xC000
_PROCESSING_FAILURE = 0x0110  # PS3.7 C.5.21


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryPolicy:
    """How a server treats queries and retrievals.

    Parameters
    ----------
    grants : QueryOptions
        What is granted to those who propose it. Where `relational` is not in it, an identifier must have the unique keys of
        all levels above with one value each (PS3.4 C.4.1.2.1); otherwise it need not, whether that was negotiated or not.
    most_matches : int, optional
        A query with more matches is refused with 0xA700, a retrieval of more instances with 0xA702.
    time_zone : str
        Offset from UTC, such as ``+0100``, of stored dates and times whose instance does not say its own.
    keys : mapping of level to mapping of tag to bool, optional
        To answer as another system would: the keys that it supports at each level, and whether it matches them. Others are
        neither matched nor returned, and a value of one that is not matched selects nothing (PS3.4 C.2.2.1.3).
    statuses : mapping of str to collection of int, optional
        To answer as another system would: the statuses that it has for FIND, MOVE, GET or STORE. Instead of another failure it
        answers 0xC000 or 0x0110, whichever it has, instead of 0xFF01 it answers 0xFF00.

    Raises
    ------
    AttributeUnusable
        If the limit is not positive or the offset is none.
    """

    grants: QueryOptions = _EVERYTHING
    most_matches: int | None = None
    time_zone: str = "+0000"
    keys: Mapping[str, Mapping[int, bool]] | None = None
    statuses: Mapping[str, Collection[int]] | None = None

    def __post_init__(self) -> None:
        if self.most_matches is not None and self.most_matches < 1:
            raise AttributeUnusable(f"most_matches must be 1 or more, not {self.most_matches}.")
        offset_minutes(self.time_zone)

    def granted(self, information: bytes, *, operation: str) -> QueryOptions:
        """Return what is granted of a proposal for FIND, MOVE or GET."""
        granted = self.grants.both(QueryOptions.of(information))
        return granted if operation == "FIND" else granted.both(_RETRIEVAL)

    def supported(self, identifier: Dataset, *, level: str) -> tuple[Dataset, bool]:
        """Return what an identifier asks for of the keys that are supported, and whether that is all that it asks for."""
        if self.keys is None:
            return identifier, True
        known, kept, is_all = self.keys.get(level, {}), Dataset(), True
        for element in identifier:
            if element.tag in _NO_KEYS or element.tag.element == 0:
                kept.add(element)
            elif element.tag not in known:
                is_all = False
            elif known[element.tag] or element.is_empty:
                kept.add(element)
            else:
                kept.add_new(element.tag, element.VR, Sequence() if element.VR == "SQ" else None)
                is_all = False
        return kept, is_all

    def answered(self, operation: str, status: int) -> int:
        """Return the status that is answered where another system would answer it."""
        known = None if self.statuses is None else self.statuses.get(operation)
        if not known or status in known:
            return status
        several = (0xFF00,) if status == _KEYS_UNSUPPORTED else (_UNABLE, _PROCESSING_FAILURE)
        return next((instead for instead in several if instead in known), status)


def agreed(
    proposed: Mapping[str, bytes], policy: QueryPolicy, operations: Mapping[str, str]
) -> dict[str, tuple[bytes, QueryOptions]]:
    """Return the answer to a negotiation by SOP class: as many bytes as were proposed, and what they grant.

    Parameters
    ----------
    proposed : mapping of str to bytes
        Service class application information by SOP Class UID.
    policy : QueryPolicy
        What can be granted.
    operations : mapping of str to str
        FIND, MOVE or GET of each SOP class that negotiates so; others get no answer.
    """
    answer = {}
    for uid, information in proposed.items():
        if uid in operations and information:
            granted = policy.granted(information, operation=operations[uid])
            answer[uid] = (granted.encoded(4)[: len(information)].ljust(len(information), b"\0"), granted)
    return answer


def proposal(sop_class_uid: str, options: QueryOptions) -> dict[str, bytes]:
    """Return what to propose; nothing where nothing is asked for."""
    return {sop_class_uid: options.encoded()} if options.names else {}


def offset_minutes(offset: str) -> int:
    """Return an offset from UTC (PS3.3 C.12.1.1.8) in minutes.

    Raises
    ------
    AttributeUnusable
        If it is none.

    Examples
    --------
    >>> offset_minutes("-0330")
    -210
    """
    found = _OFFSET.fullmatch(offset)
    minutes = int(found[2]) * 60 + int(found[3]) if found else _FURTHEST_MINUTES + 1
    if found is None or minutes > _FURTHEST_MINUTES:
        raise AttributeUnusable("An offset from UTC is written as +HHMM or -HHMM, up to 14 hours (PS3.3 C.12.1.1.8).")
    return -minutes if found[1] == "-" else minutes

"""What a trace holds: messages, PDUs and presentation contexts as frozen rows.

Knows: their columns.
Does not know: where they come from, how they are drawn.
"""

from dataclasses import dataclass
from typing import ClassVar

from workbench.entities import Rows

__all__ = ["Side", "TraceContext", "TraceContexts", "TracePdu", "TracePdus", "TraceRow", "TraceRows"]


@dataclass(frozen=True, slots=True)
class Side:
    """Who speaks with whom on a connection, and how much passed."""

    association: int
    ours: str
    theirs: str
    local: str
    remote: str
    is_caller: bool
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class TraceRow:
    """Something that was said: a DIMSE message, a PDU of association control, or that the connection ended.

    Parameters
    ----------
    association : int
        Number of the connection in the trace, from 1.
    seconds, lasted_s : float
        When its first byte passed, from the beginning of the trace; how long until its last one did.
    direction : str
        ``sent`` or ``received``, as seen from this process.
    name : str
        ``A-ASSOCIATE-RQ``, ``C-FIND-RSP`` and so on.
    message_id, context_id : int or None
        Of a DIMSE message; a response has the ID of its request.
    sop_class, sop_instance_uid : str
        The name of the SOP class, and the UID of the instance, that the command names.
    status : int or None
        Of a response (PS3.7 C).
    meaning : str
        The status, rejection or abort in words.
    pdus, wire_bytes : int
        How many P-DATA-TF it took, and how many bytes with all headers.
    dataset_bytes : int or None
        Size of the dataset as encoded; None where the message has none.
    identifier : tuple of str
        Keys of a query, an attribute list or an answer. ``Keyword`` has no value, ``Keyword=•••`` one that is masked.
    note : str
        What else it says: destination, sub-operations, maximum length.
    """

    association: int
    seconds: float
    lasted_s: float
    direction: str
    name: str
    message_id: int | None = None
    context_id: int | None = None
    sop_class: str = ""
    sop_instance_uid: str = ""
    status: int | None = None
    meaning: str = ""
    pdus: int = 0
    wire_bytes: int = 0
    dataset_bytes: int | None = None
    identifier: tuple[str, ...] = ()
    note: str = ""


class TraceRows(Rows[TraceRow]):
    """Rows in the order in which they were complete."""

    __slots__ = ()
    row_type: ClassVar[type | None] = TraceRow


@dataclass(frozen=True, slots=True)
class TracePdu:
    """A PDU: in which association, when, which way, its name, its bytes with header, what is wrong with it."""

    association: int
    seconds: float
    lasted_s: float
    direction: str
    name: str
    size_bytes: int
    note: str = ""


class TracePdus(Rows[TracePdu]):
    """All PDUs."""

    __slots__ = ()
    row_type: ClassVar[type | None] = TracePdu


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A presentation context as it was proposed and as it was answered (PS3.8 9.3.2.2, 9.3.3.2).

    Parameters
    ----------
    association, context_id : int
        Of which association, and its odd number there.
    sop_class_uid, sop_class : str
        The abstract syntax.
    proposed : tuple of str
        Names of the transfer syntaxes, as proposed.
    result : str
        ``accepted``, why not, or ``not answered``.
    accepted : str
        The transfer syntax that was chosen.
    roles : str
        What was proposed and answered of role selection for the SOP class (PS3.7 D.3.3.4).
    extended : str
        What was proposed and granted beyond the baseline, as hexadecimal digits (PS3.7 D.3.3.5).
    """

    association: int
    context_id: int
    sop_class_uid: str
    sop_class: str
    proposed: tuple[str, ...]
    result: str
    accepted: str = ""
    roles: str = ""
    extended: str = ""


class TraceContexts(Rows[TraceContext]):
    """Presentation contexts in the order in which they were proposed."""

    __slots__ = ()
    row_type: ClassVar[type | None] = TraceContext

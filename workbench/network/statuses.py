"""DIMSE statuses in words (PS3.7 Annex C, PS3.4 C.4 and H.4), and what to try.

Knows: status codes and their classes.
Does not know: associations.
"""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from workbench.entities import Peer, plain
from workbench.errors import StatusFailure

__all__ = ["failure", "is_pending", "status_of", "words"]

CANCELLED = 0xFE00

_WORDS = {
    0x0000: "success",
    0x0001: "success with requested attributes missing",
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0107: "attribute list error",
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0113: "no such event type",
    0x0114: "no such argument",
    0x0115: "invalid argument value",
    0x0116: "attribute value out of range",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0119: "class-instance conflict",
    0x0120: "missing attribute",
    0x0121: "missing attribute value",
    0x0122: "SOP class not supported",
    0x0123: "no such action type",
    0x0124: "refused: not authorized",
    0x0210: "duplicate invocation",
    0x0211: "unrecognized operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xA700: "refused: out of resources",
    0xA701: "refused: out of resources, can't calculate the number of matches",
    0xA702: "refused: out of resources, can't perform sub-operations",
    0xA801: "refused: move destination unknown",
    0xA900: "dataset or identifier does not match the SOP class",
    0xB000: "complete, with one or more failures or warnings",
    0xB006: "elements discarded",
    0xB007: "dataset does not match the SOP class",
    0xB600: "memory allocation not supported",
    0xB601: "printing of a whole film session (collation) not supported",
    0xB602: "film session without image boxes: an empty page",
    0xB603: "film box without image boxes: an empty page",
    0xB604: "image larger than its image box: it was made smaller",
    0xB605: "density outside of the printer's range: its own limit was taken",
    0xB609: "image larger than its image box: it was cropped",
    0xB60A: "image larger than its image box: it was decimated",
    0xC600: "film session without film boxes",
    0xC601: "no print job: the print queue is full",
    0xC602: "no print job: the print queue is full",
    0xC603: "image larger than its image box",
    0xC605: "not enough memory in the printer for the image",
    0xC613: "combined image larger than its image box",
    0xC616: "an earlier film box was not printed yet, and whole sessions can't be printed",
    CANCELLED: "cancelled",
    0xFF00: "pending",
    0xFF01: "pending; optional keys are not supported",
}
_REMEDIES = {
    0x0122: "The peer does not offer this service, or not to this AE title.",
    0x0124: "Ask the peer's administrator to allow this AE title.",
    0xA700: "Ask for less: more keys, a smaller range, or try later.",
    0xA701: "Ask for less at once.",
    0xA702: "Ask for less at once.",
    0xA900: "The peer does not take these keys at this level: leave some out, or use the other model.",
}


def words(status: int) -> str:
    """Return a status in words.

    Examples
    --------
    >>> words(0xA700), words(0xC123)
    ('refused: out of resources', 'unable to process')
    """
    if status in _WORDS:
        return _WORDS[status]
    for mask, value, text in ((0xF000, 0xC000, "unable to process"), (0xFF00, 0xA700, "refused: out of resources"),
                              (0xFF00, 0xA900, "does not match the SOP class"), (0xF000, 0xB000, "warning")):  # fmt: skip
        if status & mask == value:
            return text
    return "failure"


def is_pending(status: int) -> bool:
    """Whether more responses follow."""
    return status in {0xFF00, 0xFF01}


def status_of(error: Exception, *known: tuple[type[Exception], int, str]) -> tuple[int, str] | None:
    """Return status and comment of the first of the `known` kinds that an error is of; None where it is of none.

    Examples
    --------
    >>> status_of(MemoryError(), (OSError, 0xA701, "trouble"), (MemoryError, 0xA700, "no memory left"))
    (42752, 'no memory left')
    """
    return next(((status, comment) for kind, status, comment in known if isinstance(error, kind)), None)


def failure(peer: Peer, operation: str, answer: Dataset, *, remedy: str = "", about: Sequence[str] = ()) -> StatusFailure:
    """Return the error for a response whose status says no.

    Parameters
    ----------
    peer : Peer
        Who said no.
    operation : str
        To what, such as ``C-FIND``.
    answer : pydicom.Dataset
        Status (0000,0900) with Error Comment (0000,0902) and Offending Element (0000,0901) where they were sent.
    remedy : str
        What to try, instead of what is known for the status.
    about : sequence of str
        Attributes that the status is about, where the peer told them.
    """
    status = int(answer.Status)
    text = f"{peer} answered {operation} with status 0x{status:04X}, {words(status)} (PS3.7 C)."
    if about:
        text += f" It is about {', '.join(about)}."
    if comment := str(answer.get("ErrorComment") or ""):
        text += f" It says: {plain(comment)!r}."
    remedy = remedy or _REMEDIES.get(status, "The peer's log may say more.")
    error = StatusFailure(f"{text} {remedy}", status=status)
    error.layer, error.remedy = "dimse", remedy
    return error

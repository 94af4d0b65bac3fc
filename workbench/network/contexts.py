"""Presentation contexts: what to propose for a task.

Knows: abstract and transfer syntaxes, the limit of 128 contexts (PS3.8 9.3.2.2).
Does not know: associations, or what a peer accepts.
"""

from collections.abc import Iterable, Iterator, Sequence

from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

__all__ = ["STORED_SYNTAXES", "batches", "query_model", "service", "storage"]

_MODELS = {
    ("PATIENT", "FIND"): "1.2.840.10008.5.1.4.1.2.1.1",
    ("PATIENT", "MOVE"): "1.2.840.10008.5.1.4.1.2.1.2",
    ("PATIENT", "GET"): "1.2.840.10008.5.1.4.1.2.1.3",
    ("STUDY", "FIND"): "1.2.840.10008.5.1.4.1.2.2.1",
    ("STUDY", "MOVE"): "1.2.840.10008.5.1.4.1.2.2.2",
    ("STUDY", "GET"): "1.2.840.10008.5.1.4.1.2.2.3",
}

_PLAIN = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian), str(DeflatedExplicitVRLittleEndian))

#: Every transfer syntax that we store as it comes, uncompressed ones first.
STORED_SYNTAXES: tuple[str, ...] = (*_PLAIN, *(str(uid) for uid in AllTransferSyntaxes if str(uid) not in _PLAIN))


def query_model(model: str, operation: str) -> str:
    """Return the SOP class of a query model (PS3.4 C.6): PATIENT or STUDY root, for FIND, MOVE or GET.

    Examples
    --------
    >>> query_model("STUDY", "FIND")
    '1.2.840.10008.5.1.4.1.2.2.1'
    """
    return _MODELS[model, operation]


def service(sop_class_uid: str) -> list[PresentationContext]:
    """Return the contexts for a service without bulk: explicit and implicit VR little endian."""
    return [build_context(sop_class_uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]


def storage(
    sop_class_uids: Iterable[str], *, transfer_syntaxes: Sequence[str] = STORED_SYNTAXES, one_each: bool = False
) -> list[PresentationContext]:
    """Return contexts to receive or send instances of some storage classes.

    Parameters
    ----------
    sop_class_uids : iterable of str
        Abstract syntaxes.
    transfer_syntaxes : sequence of str
        In the order of preference.
    one_each : bool
        One context for each pair, so that the acceptor cannot choose for us, rather than one for each class.
    """
    if one_each:
        return [build_context(uid, syntax) for uid in sop_class_uids for syntax in transfer_syntaxes]
    return [build_context(uid, list(transfer_syntaxes)) for uid in sop_class_uids]


def batches(contexts: Sequence[PresentationContext], *, reserved: int = 0) -> Iterator[list[PresentationContext]]:
    """Yield the contexts in groups that an association can hold, with `reserved` places left free."""
    size = 128 - reserved
    for start in range(0, len(contexts), size):
        yield list(contexts[start : start + size])

"""What the server's services have in common: which SOP classes, which request, how an answer is made.

Knows: DIMSE-C and DIMSE-N requests and responses (PS3.7 9 and 10) as pynetdicom holds them.
Does not know: any one service, or how a PDU is framed.
"""

import logging
from collections.abc import Collection
from io import BytesIO
from typing import Any, Protocol, cast

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext

from workbench.errors import AttributeUnusable
from workbench.files.byte_order import turn
from workbench.network._guard import Acceptor
from workbench.network._suboperations import encode

__all__ = ["Provider", "Refused", "answer", "dataset_of", "served"]

log = logging.getLogger(__name__)

#: Processing failure (PS3.7 C.5.21): what any service says where nothing more is known.
PROCESSING_FAILURE = 0x0110

_UNDEFINED_LENGTH = 0xFFFFFFFF

#: Where each kind of message holds its dataset, in a request and in a response.
_ASKED = ("Identifier", "AttributeList", "ModificationList", "ActionInformation", "EventInformation")
_ANSWERED = ("Identifier", "AttributeList", "ActionReply", "EventReply")


class Refused(Exception):
    """A request that gets a status of failure.

    Parameters
    ----------
    status : int
        As PS3.4 or PS3.7 C has it for the service.
    comment : str
        In our own words, at most 64 characters; never a value of the request.
    **fields
        More command elements of the response, such as ``ErrorID``.
    """

    def __init__(self, status: int, comment: str = "", **fields: Any) -> None:
        super().__init__(comment)
        self.status, self.comment, self.fields = status, comment, fields


class Provider(Protocol):
    """A service that a server offers beside verification, storage and query/retrieve.

    It may also have `reversible`, those of its SOP classes for which the association's requestor may be the SCP
    (PS3.7 D.3.3.4); ``idle(association)``, called while no message waits, in which it may send requests of its own; and
    ``meet(known_as)``, called once with what gives the peer of an AE title, None where the server knows none.
    """

    @property
    def sop_classes(self) -> Collection[str]:
        """Abstract syntaxes that it accepts, in Explicit and Implicit VR."""

    def serve(self, association: Acceptor, request: Any, context: PresentationContext) -> bool:
        """Serve a request if it is one of its own, with :func:`answer`; whether it was."""

    def ended(self, association: Acceptor) -> None:
        """Forget what belongs to an association that is over."""


def dataset_of(request: Any, context: PresentationContext) -> Dataset:
    """Return the dataset that a request brings, empty where it has none; words of its values are in little endian.

    Raises
    ------
    AttributeUnusable
        If it can't be read in the transfer syntax of its context, or ends in the middle of an element.
    """
    syntax = UID(context.transfer_syntax[0])
    encoded = next((found for name in _ASKED if (found := getattr(request, name, None)) is not None), None)
    if encoded is None:
        return Dataset()
    try:
        dataset = read_dataset(BytesIO(encoded.getvalue()), syntax.is_implicit_VR, syntax.is_little_endian)
        is_cut = any(_is_cut(dataset.get_item(tag)) for tag in dataset.keys())  # noqa: SIM118 - no element is converted
    except Exception as error:  # noqa: BLE001 - its text may hold a value
        raise AttributeUnusable(f"The dataset of the request can't be read ({type(error).__name__}).") from None
    if is_cut:
        raise AttributeUnusable("The dataset of the request ends in the middle of an element (PS3.5 7.1).")
    if not syntax.is_little_endian:
        turn(dataset, is_little_endian=False)
    return dataset


def _is_cut(element: object) -> bool:
    """Whether an element as it was read has fewer bytes than its length says (pydicom takes what is there)."""
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED_LENGTH:
        return False
    return len(element.value or b"") < element.length


def answer(
    association: Acceptor,
    request: Any,
    context: PresentationContext,
    status: int,
    *,
    comment: str = "",
    dataset: Dataset | None = None,
    **fields: Any,
) -> None:
    """Send the response to a request, where the association still stands.

    Parameters
    ----------
    status : int
        PS3.7 C, or the service's.
    comment : str
        Error Comment (0000,0902); cut at 64 characters.
    dataset : Dataset, optional
        Goes into the response in the transfer syntax of the context; one without elements is none: a peer would wait for it.
    **fields
        Command elements, such as ``AffectedSOPInstanceUID``.
    """
    if not association.is_alive_and_well:
        return
    response = type(request)()
    response.MessageIDBeingRespondedTo = request.MessageID
    affected = getattr(request, "AffectedSOPClassUID", None) or getattr(request, "RequestedSOPClassUID", None)
    if hasattr(response, "AffectedSOPClassUID"):
        response.AffectedSOPClassUID = affected or context.abstract_syntax
    instance = getattr(request, "AffectedSOPInstanceUID", None) or getattr(request, "RequestedSOPInstanceUID", None)
    if instance and hasattr(response, "AffectedSOPInstanceUID"):
        response.AffectedSOPInstanceUID = instance
    response.Status = status
    if comment and hasattr(response, "ErrorComment"):
        response.ErrorComment = comment[:64]
    for name, value in fields.items():
        setattr(response, name, value)
    if dataset:
        setattr(response, next(name for name in _ANSWERED if hasattr(response, name)), encode(dataset, context.transfer_syntax[0]))
    with association.turn:
        association.dimse.send_msg(response, cast("int", context.context_id))


def served(provider: Provider, association: Acceptor, request: Any, context: PresentationContext) -> bool:
    """Have a provider serve a request; whatever goes wrong in it becomes a status, and only our own words a comment."""
    fields: dict[str, Any] = {}
    try:
        return provider.serve(association, request, context)
    except Refused as refused:
        status, comment, fields = refused.status, refused.comment, refused.fields
    except Exception as error:  # noqa: BLE001 - its text may hold a value
        status, comment = PROCESSING_FAILURE, f"unable to process ({type(error).__name__})"
    log.warning("%s: %s refused with 0x%04X: %s", association.caller, type(request).__name__, status, comment)
    answer(association, request, context, status, comment=comment, **fields)
    return True

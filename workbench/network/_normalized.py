"""Services with one response, from the side of their user: C-ECHO, N-CREATE, N-SET, N-GET, N-ACTION, N-DELETE (PS3.7 9, 10).

Knows: requests and responses as pynetdicom 3.0.4 holds them; events that come in between.
Does not know: what the instances are.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Self, cast

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, N_ACTION, N_CREATE, N_DELETE, N_EVENT_REPORT, N_GET, N_SET
from pynetdicom.presentation import PresentationContext

from workbench.entities import Peer, plain
from workbench.errors import AssociationAborted, AttributeUnusable, ContextRejected, StatusFailure
from workbench.files.byte_order import turn
from workbench.network._suboperations import encode
from workbench.network._talking import undisturbed
from workbench.network.association import lost
from workbench.network.statuses import failure

__all__ = ["Answer", "Conversation"]

_MOST_EVENTS = 1_000
_MOST_FAULTY = 20


@dataclass(frozen=True)
class Answer:
    """A response.

    Parameters
    ----------
    status : int
        PS3.7 C, or the service's.
    comment : str
        Error Comment (0000,0902).
    instance_uid : str
        Affected SOP Instance UID (0000,1000).
    dataset : Dataset
        What came with it; empty where nothing did.
    faulty : tuple of str
        Keywords of Attribute Identifier List (0000,1005): what a status is about, where the peer says so; tags where there is none.
    """

    status: int
    comment: str = field(default="", repr=False)
    instance_uid: str = ""
    dataset: Dataset = field(default_factory=Dataset, repr=False)
    faulty: tuple[str, ...] = ()

    @property
    def is_warning(self) -> bool:
        """Whether it was done, though not quite as asked (PS3.7 C.1, C.4)."""
        return self.status in {0x0001, 0x0107, 0x0116} or self.status >> 12 == 0xB

    @property
    def is_done(self) -> bool:
        """Whether it was done, with or without a warning."""
        return self.status == 0 or self.is_warning

    def refusal(self, peer: Peer, doing: str, *, remedy: str = "") -> StatusFailure:
        """Return the error for a status that says no."""
        said = Dataset()
        said.Status, said.ErrorComment = self.status, self.comment
        return failure(peer, doing, said, remedy=remedy, about=self.faulty)


class Conversation:
    """Requests on an established association, one after the other.

    Parameters
    ----------
    association : Association
        Established by us.
    peer : Peer
        With whom.
    on_event : callable, optional
        Called with event type, and the dataset, of each N-EVENT-REPORT; gives the status of the answer. Without it, an event is
        no message that is due.

    Notes
    -----
    While it lasts no other thread reads messages; an event that comes while a response is awaited is answered at once.
    """

    def __init__(self, association: Association, peer: Peer, *, on_event: Callable[[int, Dataset], int] | None = None) -> None:
        self._association, self._peer, self._on_event = association, peer, on_event
        self._count = self._events = 0
        self._faulty: tuple[str, ...] = ()
        self._quiet = ExitStack()

    def __enter__(self) -> Self:
        self._quiet.enter_context(undisturbed(self._association))
        self._association.bind(evt.EVT_DIMSE_RECV, self._hear)
        self._quiet.callback(self._association.unbind, evt.EVT_DIMSE_RECV, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet.close()

    def context(self, *abstract_syntaxes: str) -> PresentationContext | None:
        """Return the accepted context for one of these; None where there is none."""
        accepted = {str(c.abstract_syntax): c for c in self._association.accepted_contexts}
        return next((accepted[uid] for uid in abstract_syntaxes if uid in accepted), None)

    def verify(self, sop_class_uid: str) -> Answer:
        """Send C-ECHO."""
        request = C_ECHO()
        request.AffectedSOPClassUID = UID(sop_class_uid)
        return self._ask(request, sop_class_uid, "C-ECHO")

    def create(self, within: str, sop_class_uid: str, attributes: Dataset | None, *, instance_uid: str = "") -> Answer:
        """Send N-CREATE; the peer names the instance unless we do. `within` is the abstract syntax of the context."""
        request = N_CREATE()
        request.AffectedSOPClassUID = UID(sop_class_uid)
        if instance_uid:
            request.AffectedSOPInstanceUID = UID(instance_uid)
        return self._ask(request, within, "N-CREATE", AttributeList=attributes)

    def set(self, within: str, sop_class_uid: str, instance_uid: str, attributes: Dataset) -> Answer:
        """Send N-SET."""
        return self._ask(_named(N_SET(), sop_class_uid, instance_uid), within, "N-SET", ModificationList=attributes)

    def get(self, within: str, sop_class_uid: str, instance_uid: str, keywords: tuple[str, ...]) -> Answer:
        """Send N-GET for these attributes."""
        request = _named(N_GET(), sop_class_uid, instance_uid)
        request.AttributeIdentifierList = [Tag(keyword) for keyword in keywords]
        return self._ask(request, within, "N-GET")

    def act(self, within: str, sop_class_uid: str, instance_uid: str, action: int) -> Answer:
        """Send N-ACTION without information."""
        request = _named(N_ACTION(), sop_class_uid, instance_uid)
        request.ActionTypeID = action
        return self._ask(request, within, "N-ACTION")

    def delete(self, within: str, sop_class_uid: str, instance_uid: str) -> Answer:
        """Send N-DELETE."""
        return self._ask(_named(N_DELETE(), sop_class_uid, instance_uid), within, "N-DELETE")

    def _ask(self, request: Any, within: str, doing: str, **datasets: Dataset | None) -> Answer:
        context = self.context(within)
        if context is None:
            raise ContextRejected(f"{self._peer} accepted no presentation context for {UID(within).name} (PS3.8 9.3.3.2).")
        self._count, self._faulty = self._count + 1, ()
        request.MessageID = self._count
        for name, dataset in datasets.items():
            if dataset:  # a dataset without elements is none: a peer would wait for it
                setattr(request, name, encode(dataset, context.transfer_syntax[0]))
        self._association.dimse.send_msg(request, cast("int", context.context_id))
        response = self._response(type(request), context.context_id, doing)
        return Answer(
            int(response.Status),
            plain(getattr(response, "ErrorComment", None) or ""),
            str(getattr(response, "AffectedSOPInstanceUID", None) or ""),
            _dataset(response, context),
            self._faulty if response.Status else (),
        )

    def _hear(self, event: Any) -> None:
        """Take Attribute Identifier List (0000,1005) of the response that is due: pynetdicom drops it but for N-GET and N-SET."""
        command = event.message.command_set
        if command.get("MessageIDBeingRespondedTo") == self._count:
            said = command.get("AttributeIdentifierList")
            tags = [said] if isinstance(said, BaseTag) else said or ()
            self._faulty = tuple(keyword_for_tag(tag) or str(tag) for tag in tags[:_MOST_FAULTY])

    def _response(self, kind: type[Any], within: int | None, doing: str) -> Any:
        deadline = time.monotonic() + self._peer.timeouts.dimse_s
        while time.monotonic() < deadline:
            context_id, message = self._association.dimse.get_msg(block=True)
            if message is None:
                break
            if self._is_event(message):
                self._event(message, context_id)
            elif context_id == within and self._is_due(message, kind):
                return message
            else:
                self._association.abort()
                raise AssociationAborted(
                    f"{self._peer} sent another message than the {doing} response that was due (PS3.7 9, 10); the association "
                    "was aborted."
                )
        if not self._association.acse.is_aborted():
            self._association.abort()
        raise lost(self._association, self._peer, doing, is_first=self._count == 1)

    def _is_event(self, message: Any) -> bool:
        is_wanted = self._on_event is not None and self._events < _MOST_EVENTS
        return is_wanted and isinstance(message, N_EVENT_REPORT) and message.is_valid_request

    def _is_due(self, message: Any, kind: type[Any]) -> bool:
        return isinstance(message, kind) and message.is_valid_response and message.MessageIDBeingRespondedTo == self._count

    def _event(self, request: Any, context_id: int | None) -> None:
        self._events += 1
        context = next((c for c in self._association.accepted_contexts if c.context_id == context_id), None)
        response = N_EVENT_REPORT()
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID, response.AffectedSOPInstanceUID = request.AffectedSOPClassUID, request.AffectedSOPInstanceUID
        response.EventTypeID = request.EventTypeID
        if context is None or self._on_event is None:
            response.Status = 0x0122
        else:
            response.Status = self._on_event(int(request.EventTypeID), _dataset(request, context))
        self._association.dimse.send_msg(response, cast("int", context_id))

    def drain(self) -> None:
        """Answer the events that have come since."""
        while not self._association.dimse.msg_queue.empty():
            context_id, message = self._association.dimse.get_msg()
            if self._is_event(message):
                self._event(message, context_id)


def _named(request: Any, sop_class_uid: str, instance_uid: str) -> Any:
    request.RequestedSOPClassUID, request.RequestedSOPInstanceUID = UID(sop_class_uid), UID(instance_uid)
    return request


def _dataset(message: Any, context: PresentationContext) -> Dataset:
    names = ("AttributeList", "EventInformation", "ActionReply", "EventReply")
    encoded = next((found for name in names if (found := getattr(message, name, None)) is not None), None)
    if encoded is None:
        return Dataset()
    syntax = UID(context.transfer_syntax[0])
    try:
        dataset = read_dataset(BytesIO(encoded.getvalue()), syntax.is_implicit_VR, syntax.is_little_endian)
    except Exception as error:  # noqa: BLE001 - its text may hold a value
        raise AttributeUnusable(f"The dataset of a response can't be read ({type(error).__name__}).") from None
    if not syntax.is_little_endian:
        turn(dataset, is_little_endian=False)
    return dataset

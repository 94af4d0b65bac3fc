"""C-STORE sub-operations of C-GET and C-MOVE (PS3.4 C.4.2, C.4.3): instances of an archive sent as they are stored.

Knows: how an instance gets onto our own association or a new one, what is counted and reported.
Does not know: which instances were asked for, or where they lie.
"""

import copy
import logging
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, cast

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext

from workbench.entities import InstanceRef, Peer, Timeouts
from workbench.errors import WorkbenchError
from workbench.files import Part10
from workbench.files.byte_order import turn
from workbench.network._guard import Acceptor
from workbench.network.association import associate, take_over
from workbench.network.bulk import Channel, Content, FileContent, MemoryContent, store_request
from workbench.network.contexts import MAX_CONTEXTS
from workbench.network.transcode import TARGETS, can_leave, recoded

__all__ = ["OwnAssociation", "Progress", "destination", "encode"]

log = logging.getLogger(__name__)

PENDING, CANCELLED, WARNING, NOT_PERFORMED = 0xFF00, 0xFE00, 0xB000, 0xA702
_PAUSE_S = 0.1  # between two pending responses
_COUNT_LIMIT = 65_535  # VR US

Accepted = dict[str, dict[str, int]]


def encode(dataset: Dataset, transfer_syntax_uid: str) -> BytesIO:
    """Return the dataset of a message encoded; its words are in little endian, and it is ours alone."""
    buffer = DicomBytesIO()
    uid = UID(transfer_syntax_uid)
    if not uid.is_little_endian:
        dataset = copy.deepcopy(dataset)
        turn(dataset, is_little_endian=True)
    buffer.is_implicit_VR, buffer.is_little_endian = uid.is_implicit_VR, uid.is_little_endian
    write_dataset(buffer, dataset)
    return BytesIO(buffer.getvalue())


class Progress:
    """Counts sub-operations and tells the requestor.

    Parameters
    ----------
    association : Acceptor
        Whose request it is.
    request : C_GET or C_MOVE
        The request.
    context : PresentationContext
        Under which it came.
    total : int
        How many instances are to be sent.
    """

    def __init__(self, association: Acceptor, request: Any, context: PresentationContext, total: int) -> None:
        self._association, self._request, self._context = association, request, context
        self.remaining, self.completed, self.warnings = total, 0, 0
        self.failed: list[str] = []
        self._told_at = 0.0

    @property
    def is_cancelled(self) -> bool:
        """Whether a C-CANCEL has come."""
        return self._request.MessageID in self._association.dimse.cancel_req

    @property
    def is_wanted(self) -> bool:
        """Whether to go on."""
        return self._association.is_alive_and_well and not self.is_cancelled

    def count(self, ref: InstanceRef, status: int | None) -> None:
        """Count one; None is a failure without an answer."""
        self.remaining -= 1
        if status == 0:
            self.completed += 1
        elif status is not None and (status & 0xF000 == WARNING or status in {0x0001, 0x0107, 0x0116}):
            self.warnings += 1
        else:
            self.failed.append(ref.sop_instance_uid)
        if self.remaining and time.monotonic() - self._told_at > _PAUSE_S:
            self._told_at = time.monotonic()
            self._tell(PENDING, is_last=False)

    def finish(self) -> int:
        """Send the final response and return its status (PS3.4 C.4.2.1.5, C.4.3.1.4)."""
        if self.is_cancelled:
            status = CANCELLED
        else:
            self.remaining = 0
            status = 0 if not self.failed and not self.warnings else WARNING if self.completed or self.warnings else NOT_PERFORMED
        self._tell(status, is_last=True)
        return status

    def _tell(self, status: int, *, is_last: bool) -> None:
        if not self._association.is_alive_and_well:
            return
        response = type(self._request)()
        response.MessageIDBeingRespondedTo = self._request.MessageID
        response.AffectedSOPClassUID = self._context.abstract_syntax
        response.Status = status
        if status in {PENDING, CANCELLED}:
            response.NumberOfRemainingSuboperations = min(self.remaining, _COUNT_LIMIT)
        response.NumberOfCompletedSuboperations = min(self.completed, _COUNT_LIMIT)
        response.NumberOfFailedSuboperations = min(len(self.failed), _COUNT_LIMIT)
        response.NumberOfWarningSuboperations = min(self.warnings, _COUNT_LIMIT)
        if is_last and status and self.failed:
            identifier = Dataset()
            identifier.FailedSOPInstanceUIDList = self.failed
            response.Identifier = encode(identifier, self._context.transfer_syntax[0])
        self._association.dimse.send_msg(response, cast("int", self._context.context_id))


class Sender(Protocol):
    """Sends one instance and returns the status of the answer, None where there was none."""

    def __call__(self, ref: InstanceRef, path: Path, /) -> int | None: ...


def _content(path: Path, accepted: Accepted) -> tuple[int, Content] | None:
    """Return context and bytes for a file: as it is stored where that was accepted, else without loss."""
    part = Part10.locate(path)
    syntaxes = accepted.get(part.sop_class_uid, {})
    if part.transfer_syntax_uid in syntaxes:
        return syntaxes[part.transfer_syntax_uid], FileContent(path, offset=part.dataset_offset, size=part.dataset_bytes)
    for target in TARGETS:
        if target in syntaxes and can_leave(part.transfer_syntax_uid):
            return syntaxes[target], MemoryContent(recoded(path.read_bytes(), to=target))
    return None


class OwnAssociation:
    """Sends instances over the association on which C-GET came, in the SCU role that was negotiated.

    Parameters
    ----------
    association : Acceptor
        On which we answer.
    timeouts : Timeouts
        `dimse_s` for each answer.
    """

    def __init__(self, association: Acceptor, timeouts: Timeouts) -> None:
        self._association, self._timeouts = association, timeouts
        self._accepted: Accepted = {}
        for context in association.accepted_contexts:
            if context.as_scu:
                syntaxes = self._accepted.setdefault(str(context.abstract_syntax), {})
                syntaxes.setdefault(str(context.transfer_syntax[0]), cast("int", context.context_id))
        maximum = cast("int", association.requestor.maximum_length)
        self._channel = Channel(cast("Any", _Shared(association)), maximum_bytes=maximum, timeouts=timeouts)
        self._message_id = 0

    def __call__(self, ref: InstanceRef, path: Path, /) -> int | None:
        """Send one instance and wait for its answer."""
        found = _content(path, self._accepted)
        if found is None:
            log.info("C-GET: no context for %s", ref.sop_instance_uid)
            return None
        self._message_id = self._message_id % _COUNT_LIMIT + 1
        context_id, content = found
        try:
            command = store_request(ref.sop_class_uid, ref.sop_instance_uid, message_id=self._message_id)
            self._channel.send(context_id, command, content)
        finally:
            content.close()
        return self._answer()

    def _answer(self) -> int | None:
        end = time.monotonic() + self._timeouts.dimse_s
        while self._association.is_alive_and_well:
            try:
                _, message = self._association.dimse.msg_queue.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                log.warning("%s: no answer to a C-STORE of a C-GET, aborted", self._association.caller)
                self._association.abort()
                break
            if isinstance(message, C_STORE) and message.MessageIDBeingRespondedTo == self._message_id:
                return message.Status
        return None


class _Shared:
    """The connection of our own association, as a :class:`Channel` writes to it: whole PDUs, between those of others."""

    def __init__(self, association: Acceptor) -> None:
        self._association = association

    def sendall(self, data: memoryview) -> None:
        if not self._association.is_alive_and_well:
            raise ConnectionError("the association has ended")
        self._association.send_bytes(data)

    def settimeout(self, seconds: float) -> None:
        """Leave it: the reader's patience counts for both."""

    def setsockopt(self, *_: int) -> None:
        """Leave it: it is set."""

    def close(self) -> None:
        self._association.cut("aborted, an instance could not be read to its end")


def destination(
    peer: Peer, refs: Sequence[InstanceRef], path: Callable[[InstanceRef], Path], *, originator: tuple[str, int], progress: Progress
) -> None:
    """Send instances to a C-MOVE destination, on as many associations one after the other as their contexts need.

    Parameters
    ----------
    peer : Peer
        Where to.
    refs : sequence of InstanceRef
        What.
    path : callable
        Where an instance lies.
    originator : tuple of str and int
        Calling AE title and message ID of the C-MOVE.
    progress : Progress
        Counts; says when to stop.
    """
    for batch, contexts in _batches(refs, path):
        if not progress.is_wanted:
            return
        waiting = list(batch)
        try:
            with associate(peer, contexts) as association:
                accepted: Accepted = {}
                for context in association.accepted_contexts:
                    accepted.setdefault(str(context.abstract_syntax), {})[str(context.transfer_syntax[0])] = cast(
                        "int", context.context_id
                    )
                maximum = cast("int", association.acceptor.maximum_length)
                channel = Channel(take_over(association), maximum_bytes=maximum, timeouts=peer.timeouts)
                while waiting and progress.is_wanted:
                    status = _sent(channel, waiting[0], path, accepted, originator)
                    progress.count(waiting.pop(0), status)
                channel.release()
        except (WorkbenchError, OSError) as error:
            log.warning("C-MOVE to %s: %s", peer, type(error).__name__)
            while waiting and progress.is_wanted:
                progress.count(waiting.pop(0), None)


def _sent(
    channel: Channel, ref: InstanceRef, path: Callable[[InstanceRef], Path], accepted: Accepted, originator: tuple[str, int]
) -> int | None:
    try:
        found = _content(path(ref), accepted)
    except (WorkbenchError, OSError) as error:
        log.warning("C-MOVE: %s can't be sent (%s)", ref.sop_instance_uid, type(error).__name__)
        return None
    if found is None:
        log.info("C-MOVE: no context for %s", ref.sop_instance_uid)
        return None
    context_id, content = found
    try:
        channel.send(
            context_id, store_request(ref.sop_class_uid, ref.sop_instance_uid, message_id=1, originator=originator), content
        )
    finally:
        content.close()
    return channel.response(1).status


def _batches(
    refs: Iterable[InstanceRef], path: Callable[[InstanceRef], Path]
) -> Iterator[tuple[list[InstanceRef], list[PresentationContext]]]:
    """Yield instances with the contexts that they need, in groups that an association can hold."""
    batch: list[InstanceRef] = []
    pairs: dict[tuple[str, str], None] = {}
    for ref in refs:
        try:
            part = Part10.locate(path(ref))
            wanted = {(ref.sop_class_uid, part.transfer_syntax_uid): None}
            if can_leave(part.transfer_syntax_uid):
                wanted |= {(ref.sop_class_uid, target): None for target in TARGETS}
        except (WorkbenchError, OSError):
            wanted = {}
        if batch and len(pairs | wanted) > MAX_CONTEXTS:
            yield batch, _contexts(pairs)
            batch, pairs = [], {}
        batch.append(ref)
        pairs |= wanted
    if batch:
        yield batch, _contexts(pairs)


def _contexts(pairs: Iterable[tuple[str, str]]) -> list[PresentationContext]:
    return [build_context(uid, syntax) for uid, syntax in pairs]

"""The receiving half of C-STORE: P-DATA in, bytes to the archive, C-STORE-RSP out.

Knows: presentation data values (PS3.8 E.2), command sets (PS3.7 6.3), the statuses of C-STORE (PS3.4 B.2.3).
Does not know: sockets, negotiation, what is done with the bytes.

A dataset is handed on fragment by fragment as it arrives, so that its size does not matter, and nothing of it
is decoded here. Whatever is not a C-STORE-RQ is handed back untouched.

Statuses: 0000 stored · A700 no space · A900 the dataset is another instance or class than the command says ·
0117 the SOP Instance UID is not a UID · 0122 not a storage context · C000 not understood · C111 another instance
with this UID is there already: the first one stays, this one is kept apart.
"""

import logging
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from workbench.entities import plain, uid_checked
from workbench.errors import (
    AssociationAborted,
    AttributeUnusable,
    FileError,
    InstanceConflict,
    StorageFull,
    UidInvalid,
    WorkbenchError,
)
from workbench.network.bulk import command_set, parse_command_set
from workbench.network.statuses import status_of

__all__ = ["Command", "Context", "Overlong", "Sink", "StoreReceiver", "Violation", "command", "one_line", "store_response"]

log = logging.getLogger(__name__)

C_STORE_RQ, C_STORE_RSP = 0x0001, 0x8001
SUCCESS, OUT_OF_RESOURCES, MISMATCH, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
INVALID_INSTANCE, CLASS_NOT_SUPPORTED, CONFLICT = 0x0117, 0x0122, 0xC111

_COMMAND_LIMIT_BYTES = 65_536
_IDENTIFIER_LIMIT_BYTES = 16 << 20
_PDV = struct.Struct(">IBB")


class Violation(Exception):
    """The peer broke PS3.8 or a limit: the association is aborted, by this source (PS3.8 9.3.8)."""

    source = 2


class Overlong(Violation):
    """It sent more than was agreed on, which its user minds, not the protocol."""

    source = 0


class Sink(Protocol):
    """Where the bytes of one dataset go."""

    def write(self, chunk: bytes | memoryview, /) -> Any:
        """Take the next bytes; they are overwritten afterwards."""

    def commit(self) -> Any:
        """Keep what was written."""

    def discard(self) -> Any:
        """Forget what was written."""


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context, as far as storage goes."""

    abstract_syntax: str
    transfer_syntax: str
    is_storage: bool


@dataclass(frozen=True, slots=True)
class Command:
    """What a command set says."""

    field: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_dataset: bool


@lru_cache(maxsize=16)  # a thousand answers have the same
def command(encoded: bytes) -> Command:
    """Return the content of a command set (Implicit VR Little Endian, PS3.7 6.3.1).

    Raises
    ------
    Violation
        If it is not one.
    """
    try:
        values = parse_command_set(encoded)
    except AssociationAborted:
        values = {}
    if len(values.get(0x0100, b"")) != 2 or len(values.get(0x0800, b"")) != 2:
        raise Violation("a command set that can't be read (PS3.7 6.3.1)")
    return Command(
        field=_short(values[0x0100]),
        message_id=_short(values.get(0x0110, b"")),
        sop_class_uid=_text(values.get(0x0002, b"")),
        sop_instance_uid=_text(values.get(0x1000, b"")),
        has_dataset=_short(values[0x0800]) != 0x0101,
    )


def _short(value: bytes) -> int:
    return int.from_bytes(value[:2], "little")


def _text(value: bytes) -> str:
    return (value[:-1] if value[-1:] == b"\0" else value).decode("latin-1")


def store_response(request: Command, context_id: int, status: int, *, comment: str = "") -> bytes:
    """Return a C-STORE-RSP (PS3.7 9.3.1.2) as one P-DATA-TF PDU.

    Examples
    --------
    >>> response = store_response(Command(1, 7, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", True), 1, 0xA700)
    >>> command(response[12:]).field == 0x8001, response[12:].count((0xA700).to_bytes(2, "little"))
    (True, 1)
    """
    elements = {
        0x0002: request.sop_class_uid.encode("latin-1"),
        0x0100: C_STORE_RSP.to_bytes(2, "little"),
        0x0120: request.message_id.to_bytes(2, "little"),
        0x0800: b"\x01\x01",
        0x0900: status.to_bytes(2, "little"),
    }
    if comment:
        text = comment[:64].encode("ascii", "replace")
        elements[0x0902] = text + b" " * (len(text) % 2)
    if status != INVALID_INSTANCE:
        elements[0x1000] = request.sop_instance_uid.encode("latin-1")
    body = command_set(elements)
    return b"\x04\0" + (len(body) + 6).to_bytes(4, "big") + _PDV.pack(len(body) + 2, context_id, 3) + body


def one_line(text: object) -> str:
    """Return what a peer sent as text that stays on its line."""
    return plain(text).replace("\n", "␊").replace("\t", "␉")


class StoreReceiver:
    """Takes the P-DATA of one association and carries out the C-STORE requests in it.

    Parameters
    ----------
    contexts : mapping of int to Context
        The accepted presentation contexts by ID.
    receive : callable
        ``receive(sop_class_uid=, sop_instance_uid=, transfer_syntax_uid=, source_ae_title=)`` gives a :class:`Sink`.
    answer : callable
        Sends the bytes of a PDU.
    source_ae_title : str
        Who sends.
    told : callable
        The status that is answered where another system would answer it.
    """

    def __init__(
        self,
        contexts: Mapping[int, Context],
        *,
        receive: Callable[..., Sink],
        answer: Callable[[bytes], None],
        source_ae_title: str,
        told: Callable[[int], int] = int,
    ) -> None:
        self._told = told
        self._contexts, self._receive, self._answer, self._source = contexts, receive, answer, source_ae_title
        self._command, self._raw = bytearray(), bytearray()
        self._passing_id = self._passed_bytes = 0
        self._storing: _Storing | None = None
        self.stored = self.stored_bytes = self.refused = 0

    @property
    def is_receiving(self) -> bool:
        """Whether a dataset has begun and not ended."""
        return self._storing is not None

    def take(self, body: memoryview) -> bytes:
        """Take the content of a P-DATA-TF PDU and return what in it is of other messages, empty in most cases.

        Raises
        ------
        Violation
            If it breaks PS3.8 9.3.5 or names a presentation context that was not accepted.
        """
        offset, size, others = 0, len(body), b""
        while offset < size:
            if size - offset < 6:
                raise Violation("a presentation data value that is cut off (PS3.8 9.3.5.1)")
            length, context_id, control = _PDV.unpack_from(body, offset)
            end = offset + 4 + length
            if length < 2 or end > size:
                raise Violation("a presentation data value longer than its PDU (PS3.8 9.3.5.1)")
            if context_id not in self._contexts:
                raise Violation("data for a presentation context that was not accepted (PS3.8 9.3.5.1)")
            if self._storing is not None:
                self._dataset(context_id, control, body[offset + 6 : end])
            else:
                others += self._message(context_id, control, body[offset:end])
            offset = end
        return others

    def abandon(self, reason: str) -> None:
        """Forget a dataset that has begun: the association is over."""
        storing, self._storing = self._storing, None
        if storing is not None:
            storing.discard()
            log.warning(
                "%s: %s after %d bytes of a C-STORE; nothing of it was kept", one_line(self._source), reason, storing.size_bytes
            )

    def _message(self, context_id: int, control: int, pdv: memoryview) -> bytes:
        """Take a fragment outside of a C-STORE dataset; return what pynetdicom shall have of it."""
        if self._passing_id:
            self._passed_bytes += len(pdv)
            if control & 1 or context_id != self._passing_id or self._passed_bytes > _IDENTIFIER_LIMIT_BYTES:
                raise Violation("fragments of two messages mixed, or an identifier that is too long (PS3.8 E.2)")
            if control & 2:
                self._passing_id = 0
            return bytes(pdv)
        if not control & 1:
            raise Violation("a dataset without a command (PS3.7 6.3)")
        self._raw += pdv
        self._command += pdv[6:]
        if len(self._raw) > _COMMAND_LIMIT_BYTES:
            raise Violation("a command set that is too long")
        if not control & 2:
            return b""
        raw, encoded = bytes(self._raw), bytes(self._command)
        self._raw.clear()
        self._command.clear()
        request = command(encoded)
        if request.field == C_STORE_RQ:
            self._begin(request, context_id)
            return b""
        if request.has_dataset:
            self._passing_id, self._passed_bytes = context_id, 0
        return raw

    def _begin(self, request: Command, context_id: int) -> None:
        self._storing = _Storing(request, context_id)
        self._storing.open(self._contexts[context_id], self._receive, self._source)
        if not request.has_dataset:
            self._storing.refuse(MISMATCH, "the request has no dataset")
            self._end()

    def _dataset(self, context_id: int, control: int, value: memoryview) -> None:
        assert self._storing is not None
        if control & 1 or context_id != self._storing.context_id:
            raise Violation("fragments of two messages mixed (PS3.8 E.2)")
        self._storing.write(value)
        if control & 2:
            self._end()

    def _end(self) -> None:
        storing, self._storing = self._storing, None
        assert storing is not None
        status, comment = storing.close()
        if status == SUCCESS:
            self.stored += 1
            self.stored_bytes += storing.size_bytes
            if log.isEnabledFor(logging.DEBUG):
                log.debug("%s: stored %s, %d bytes", one_line(self._source), storing.request.sop_instance_uid, storing.size_bytes)
        else:
            self.refused += 1
            named = "an instance" if status == INVALID_INSTANCE else storing.request.sop_instance_uid
            log.warning(
                "%s: %s refused with 0x%04X, %d bytes: %s", one_line(self._source), named, status, storing.size_bytes, comment
            )
        self._answer(store_response(storing.request, storing.context_id, self._told(status), comment=comment))


class _Storing:
    """One C-STORE between its command and its answer; once refused, the rest of the dataset is read and dropped."""

    def __init__(self, request: Command, context_id: int) -> None:
        self.request, self.context_id, self.size_bytes = request, context_id, 0
        self._sink: Sink | None = None
        self._refusal: tuple[int, str] | None = None

    def open(self, context: Context, receive: Callable[..., Sink], source_ae_title: str) -> None:
        """Ask for a place to write to."""
        request = self.request
        try:
            uid_checked(request.sop_instance_uid, name="Affected SOP Instance UID (0000,1000)")
        except UidInvalid:
            return self.refuse(INVALID_INSTANCE, "the SOP Instance UID is not a UID")
        if not context.is_storage:
            return self.refuse(CLASS_NOT_SUPPORTED, "the presentation context is not for storage")
        if request.sop_class_uid != context.abstract_syntax:
            return self.refuse(MISMATCH, "the SOP class is not that of the presentation context")
        with self._refusing():
            self._sink = receive(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                transfer_syntax_uid=context.transfer_syntax,
                source_ae_title=source_ae_title,
            )
        return None

    def write(self, value: memoryview) -> None:
        """Hand on the next fragment."""
        self.size_bytes += len(value)
        if self._sink is not None:
            try:
                self._sink.write(value)
            except Exception as error:  # noqa: BLE001 - whatever happens there becomes a status
                self.refuse(*_status(error))

    def close(self) -> tuple[int, str]:
        """Return status and comment."""
        sink, self._sink = self._sink, None
        if sink is not None:
            with self._refusing():
                sink.commit()
        return self._refusal or (SUCCESS, "")

    def refuse(self, status: int, comment: str) -> None:
        """Decide on a failure; the first one counts."""
        self._refusal = self._refusal or (status, comment)
        self.discard()

    def discard(self) -> None:
        """Remove what was written so far."""
        sink, self._sink = self._sink, None
        if sink is not None:
            with suppress(WorkbenchError, OSError):
                sink.discard()

    def _refusing(self) -> "_Refusing":
        return _Refusing(self)


class _Refusing:
    """Turns what is raised within the block into the status of a refusal."""

    def __init__(self, storing: _Storing) -> None:
        self._storing = storing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._storing.refuse(*_status(error))
        return True


def _status(error: Exception) -> tuple[int, str]:
    """Return the status of C-STORE that tells of an error, and a comment without any value."""
    told = status_of(
        error,
        (InstanceConflict, CONFLICT, "another instance has this UID; this one is kept apart"),
        (StorageFull, OUT_OF_RESOURCES, "no space left"),
        (MemoryError, OUT_OF_RESOURCES, "no memory left"),
        (UidInvalid, MISMATCH, "a UID of the dataset is not a UID"),
        (AttributeUnusable, MISMATCH, "the dataset is not the instance that the command names"),
        (FileError, NOT_UNDERSTOOD, "the dataset can't be read"),
    )
    if told is None:
        log.error("storing failed: %s", type(error).__name__)
    return told or (NOT_UNDERSTOOD, "unable to process")

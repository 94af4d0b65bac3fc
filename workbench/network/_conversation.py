"""C-FIND, C-GET and C-MOVE of a retrieval on one connection, the datasets of C-GET passed on as they arrive.

Knows: the messages of these services (PS3.7 9.3.2 to 9.3.4), P-DATA as a stream, C-CANCEL.
Does not know: how the association came about, what is asked for and why, where the instances go.
"""

import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, NoReturn

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from workbench.entities import Peer, plain
from workbench.errors import AssociationAborted, PeerTimeout
from workbench.network._identifiers import identifier
from workbench.network._sockets import read_now
from workbench.network._troubles import aborted
from workbench.network.bulk import Channel, MemoryContent, command_set, parse_command_set
from workbench.network.receiving import Context, Overlong, Sink, StoreReceiver, Violation

__all__ = ["Conversation", "Response"]

_P_DATA, _RELEASE_RP, _ABORT = 4, 6, 7
_PENDING = frozenset({0xFF00, 0xFF01})
_SHORT = frozenset((b"AE", b"CS", b"DA", b"IS", b"LO", b"PN", b"SH", b"TM", b"UI", b"US"))  # with lengths of 2 bytes (PS3.5 7.1.2)
_BUFFER_BYTES = 1 << 20
_TICK_S = 0.25
_MORE_THAN_A_RESPONSE = 8192  # so many bytes of a PDU that is not complete yet are data
_STOPPING_S = 5.0  # how long a peer may go on after C-CANCEL


_parsed = lru_cache(maxsize=64)(parse_command_set)  # one answer's is as the other's; it is not changed


class _Service(NamedTuple):
    name: str
    request: int


_SERVICES = {name: _Service(name, field) for name, field in (("C-FIND", 0x0020), ("C-GET", 0x0010), ("C-MOVE", 0x0021))}


@dataclass(frozen=True, slots=True)
class Response:
    """A response: status, counts of sub-operations (PS3.7 9.1.3), error comment, encoded identifier."""

    status: int
    remaining: int
    completed: int
    failed: int
    warning: int
    comment: str
    encoded: bytes
    is_implicit: bool
    is_little_endian: bool = True

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self.status not in _PENDING

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """How many sub-operations remain, and how those that were made have ended."""
        return self.remaining, self.completed, self.failed, self.warning

    @property
    def dataset(self) -> Dataset:
        """The identifier, decoded as it is used."""
        return identifier(self.encoded, is_implicit=self.is_implicit, is_little_endian=self.is_little_endian)

    def uids(self, tags: Collection[int]) -> dict[int, str] | None:
        """Return the UIDs of the identifier that are asked for by tag; None where only a reader of datasets can tell."""
        found, position, encoded = {}, 0, self.encoded
        if not self.is_little_endian:
            return None
        with suppress(struct.error):
            while position < len(encoded):
                group, element, length = struct.unpack_from("<HHL", encoded, position)
                if not self.is_implicit:
                    if encoded[position + 4 : position + 6] not in _SHORT:
                        return None
                    length >>= 16
                position += 8
                if (tag := group << 16 | element) in tags:
                    found[tag] = encoded[position : position + length].decode("latin-1").strip("\0 ")
                position += length
            return found if position == len(encoded) else None
        return None

    @property
    def failed_uids(self) -> tuple[str, ...]:
        """Failed SOP Instance UID List (0008,0058), which a peer may send (PS3.4 C.4.3.1.3.2)."""
        with suppress(Exception):  # it only helps: the rows say what did not come
            value = self.dataset.get("FailedSOPInstanceUIDList") or []
            return tuple(str(uid) for uid in ([value] if isinstance(value, str) else value))
        return ()


@dataclass(slots=True)
class _Message:
    """A message that is not a C-STORE-RQ, as it is put together."""

    command: bytearray = field(default_factory=bytearray)
    dataset: bytearray = field(default_factory=bytearray)
    values: Mapping[int, bytes] | None = None


class Conversation:
    """Sends requests and takes what comes, on a connection of which this is the only user.

    Parameters
    ----------
    peer : Peer
        The other side.
    connection : socket.socket
        Taken over from an established association.
    contexts : mapping of int to Context
        All accepted presentation contexts by ID.
    maximum_bytes : int
        The longest P-DATA that the peer takes.
    receive : callable
        Gives a sink for each instance that C-GET brings.
    extended : mapping of str to bytes, optional
        What the peer answered to SOP Class Extended Negotiation, by SOP class (PS3.7 D.3.3.5).

    Attributes
    ----------
    extended : mapping of str to bytes
        As above.
    was_left : bool
        Whether the peer went on after C-CANCEL and was left.
    """

    def __init__(
        self,
        peer: Peer,
        connection: socket.socket,
        *,
        contexts: Mapping[int, Context],
        maximum_bytes: int,
        receive: Callable[..., Sink],
        extended: Mapping[str, bytes] | None = None,
    ) -> None:
        self.extended, self.was_left = extended or {}, False
        self._peer, self._connection, self._contexts = peer, connection, contexts
        self._channel = Channel(connection, maximum_bytes=maximum_bytes, timeouts=peer.timeouts)
        self._stores = StoreReceiver(contexts, receive=receive, answer=self._answer, source_ae_title=peer.ae_title)
        connection.settimeout(_TICK_S)
        self._buffer = memoryview(bytearray(max(_BUFFER_BYTES, 2 * (peer.max_pdu_bytes + 6))))
        self._start = self._end = 0
        self._message, self._message_id = _Message(), 0
        self._service, self._context_id = _SERVICES["C-FIND"], 0
        self._responses: deque[Response] = deque()
        self._is_over = self._is_heard = False

    def offers(self, sop_class_uid: str) -> bool:
        """Whether a context for this service was accepted."""
        return any(context.abstract_syntax == sop_class_uid for context in self._contexts.values())

    def ask(
        self,
        service: str,
        sop_class_uid: str,
        identifier: Dataset,
        *,
        destination: str = "",
        cancel: Callable[[], bool],
        came: Callable[[], object] = lambda: None,
    ) -> Iterator[Response]:
        """Send a request and yield its responses to the final one.

        Pending responses that say nothing new do not put off the time limit: to C-FIND those with the identifier of the one
        before or none, to C-GET and C-MOVE those that count what the one before has counted. A peer could send them for ever.

        Parameters
        ----------
        service : str
            ``C-FIND``, ``C-GET`` or ``C-MOVE``.
        destination : str
            The AE title to which C-MOVE sends.
        cancel : callable
            Polled; when it is true C-CANCEL is sent. A peer that does not stop is left after a few seconds.
        came : callable
            Polled; what it returns changes as data come by another way, as they do in C-MOVE.

        Raises
        ------
        AssociationAborted, PeerTimeout
            If the connection is lost or silent; what was kept until then is kept.
        """
        self._context_id, context = next((i, c) for i, c in self._contexts.items() if c.abstract_syntax == sop_class_uid)
        self._message_id, self._service, self._message = self._message_id + 1, _SERVICES[service], _Message()
        self._is_over = False
        elements = {
            0x0002: sop_class_uid.encode(), 0x0100: struct.pack("<H", self._service.request),
            0x0110: struct.pack("<H", self._message_id), 0x0700: b"\0\0", 0x0800: b"\1\0",
        }  # fmt: skip
        if destination:
            elements[0x0600] = destination.encode() + b" " * (len(destination) % 2)
        content = _encoded(identifier, UID(context.transfer_syntax))
        self._channel.send(self._context_id, command_set(elements), MemoryContent(content))
        try:
            yield from self._pumped(cancel, came)
        except Violation as violation:
            self._stores.abandon("the protocol was broken")
            self._channel.abort(source=violation.source)
            raise AssociationAborted(f"{self._peer} sent {violation}; the association was aborted.") from violation
        except BaseException:
            if not self._is_over:  # whatever is made of a final response, it leaves nothing open
                self._stores.abandon("the association ended")
                self._channel.abort()
            raise

    @property
    def local_host(self) -> str:
        """Our own address on the way to the peer."""
        return str(self._connection.getsockname()[0])

    def release(self) -> None:
        """Release the association."""
        self._channel.release()

    def _pumped(self, cancel: Callable[[], bool], came: Callable[[], object]) -> Iterator[Response]:
        heard, stop_at = time.monotonic(), float("inf")
        told: object = None
        elsewhere, idle, is_query = came(), 0, self._service.name == "C-FIND"
        while True:
            now = time.monotonic()
            if stop_at == float("inf") and cancel():
                self._cancel()
                stop_at = now + _STOPPING_S
            if now > stop_at and not self._stores.is_receiving:
                self.was_left = True
                raise AssociationAborted(f"{self._peer} did not stop when it was asked to; the association was aborted.")
            patience = self._peer.timeouts.network_s if self._stores.is_receiving else self._peer.timeouts.dimse_s
            is_stopping = idle and now <= stop_at < float("inf")  # one that has been asked to stop has time for that
            if now - heard > patience and not is_stopping:
                raise self._timed_out(patience, idle=idle)
            try:
                is_fresh = self._read() and self._take()
            except AssociationAborted:
                yield from self._before_the_end()
                if self._is_over:
                    return
                raise
            if is_fresh and not is_query:
                heard, idle = now, 0
            while self._responses:
                response = self._responses.popleft()
                idle += 1
                if (news := response.encoded if is_query else response.counts) and news != told:
                    told, heard, idle = news, now, 0
                self._is_over = response.is_final
                yield response
                if response.is_final:
                    return
            if came() != elsewhere:
                elsewhere, heard, idle = came(), now, 0

    def _before_the_end(self) -> Iterator[Response]:
        """Yield the responses that had come when the association was aborted."""
        while self._responses and not self._is_over:
            self._is_over = self._responses[0].is_final
            yield self._responses.popleft()

    def _read(self) -> bool:
        """Read what is there; False where nothing came within a moment."""
        if self._end == len(self._buffer):
            rest = bytes(self._buffer[self._start : self._end])
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        try:
            count = self._received(self._buffer[self._end :])
        except TimeoutError:
            return False
        except OSError as error:
            raise AssociationAborted(f"The connection to {self._peer} was lost ({error.strerror or 'closed'}).") from error
        if not count:
            raise AssociationAborted(f"{self._peer} closed the connection during {self._service.name}.")
        self._end += count
        return True

    def _received(self, room: memoryview) -> int:
        """Return how many bytes were read: at once, or when some come."""
        if (count := read_now(self._connection, room)) is not None:
            return count
        self._connection.settimeout(_TICK_S)
        return self._connection.recv_into(room)

    def _take(self) -> bool:
        """Take every PDU that is complete; return whether there were data in it, or a good part of a PDU is there."""
        has_data = False
        while self._end - self._start >= 6:
            kind = self._buffer[self._start]
            size = int.from_bytes(self._buffer[self._start + 2 : self._start + 6], "big")
            if not _P_DATA <= kind <= _ABORT or kind == _RELEASE_RP:
                raise Violation(f"a PDU of type 0x{kind:02X} and {size} bytes (PS3.8 9.3)")
            if size > self._peer.max_pdu_bytes + 6:
                raise Overlong(f"a PDU of type 0x{kind:02X} and {size} bytes (PS3.8 9.3)")
            end = self._start + 6 + size
            if end > self._end:
                if end > len(self._buffer):
                    rest = bytes(self._buffer[self._start : self._end])
                    self._buffer[: len(rest)] = rest
                    self._start, self._end = 0, len(rest)
                return has_data or self._end - self._start > _MORE_THAN_A_RESPONSE
            if kind != _P_DATA:
                self._over(kind)
            self._is_heard = True
            others = self._stores.take(self._buffer[self._start + 6 : end])
            self._start = end
            has_data |= not others or self._stores.is_receiving
            if others:
                self._other(others)
        if self._start == self._end:
            self._start = self._end = 0
        return has_data

    def _over(self, kind: int) -> NoReturn:
        if kind == _ABORT:
            self._channel.close()  # that is all there is to do (PS3.8 9.2.3, AA-3)
            raise aborted(self._peer, self._service.name, is_first=not self._is_heard)
        raise AssociationAborted(f"{self._peer} released the association before {self._service.name} was done.")

    def _other(self, pdvs: bytes) -> None:
        """Put together what is not a C-STORE-RQ: responses to our C-GET."""
        position, message = 0, self._message
        while position < len(pdvs):
            size, _, control = struct.unpack_from(">LBB", pdvs, position)
            fragment = pdvs[position + 6 : position + 4 + size]
            position += 4 + size
            (message.command if control & 1 else message.dataset).extend(fragment)
            if control == 3:
                message.values = _parsed(bytes(message.command))
            if control & 2 and message.values is not None and (control == 2 or message.values.get(0x0800) == b"\1\1"):
                self._respond(message)
                self._message = message = _Message()

    def _respond(self, message: _Message) -> None:
        service = self._service.name
        values = message.values or {}
        numbers = {number: int.from_bytes(value[:2], "little") for number, value in values.items()}
        if numbers.get(0x0100) != self._service.request | 0x8000 or numbers.get(0x0120) != self._message_id:
            raise Violation(f"another message than the {service} response that was due (PS3.7 9.3)")
        if len(values.get(0x0900, b"")) != 2:
            raise Violation(f"a {service} response without a status (PS3.7 9.3)")
        syntax = UID(self._contexts[self._context_id].transfer_syntax)
        self._responses.append(
            Response(
                status=numbers[0x0900],
                remaining=numbers.get(0x1020, 0),
                completed=numbers.get(0x1021, 0),
                failed=numbers.get(0x1022, 0),
                warning=numbers.get(0x1023, 0),
                comment=plain(values.get(0x0902, b"").decode("latin-1").strip("\0 "))[:64],
                encoded=bytes(message.dataset),
                is_implicit=syntax.is_implicit_VR,
                is_little_endian=syntax.is_little_endian,
            )
        )

    def _cancel(self) -> None:
        body = command_set({0x0100: b"\xff\x0f", 0x0120: struct.pack("<H", self._message_id), 0x0800: b"\1\1"})
        self._answer(struct.pack(">BBLLBB", _P_DATA, 0, len(body) + 6, len(body) + 2, self._context_id, 3) + body)

    def _answer(self, pdu: bytes) -> None:
        try:
            self._connection.settimeout(self._peer.timeouts.network_s)
            self._connection.sendall(pdu)
        except TimeoutError as error:
            raise self._timed_out(self._peer.timeouts.network_s) from error
        except OSError as error:
            raise AssociationAborted(f"The connection to {self._peer} was lost ({error.strerror or 'closed'}).") from error

    def _timed_out(self, seconds: float, *, idle: int = 0) -> PeerTimeout:
        said = "was silent"
        if idle:
            nothing = "say nothing new" if self._service.name == "C-FIND" else "count nothing, and no data,"
            said = f"sent {idle} pending responses that {nothing}"
        return PeerTimeout(
            f"{self._peer} {said} for {seconds:g} s during {self._service.name}. "
            "Ask for less at once, or allow more time (Timeouts.dimse_s)."
        )


def _encoded(identifier: Dataset, syntax: UID) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
    write_dataset(stream, identifier)
    return stream.getvalue()

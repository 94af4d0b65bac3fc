"""The fast path for the bulk of C-STORE: messages framed by hand over an association that pynetdicom negotiated.

Knows: P-DATA-TF, A-RELEASE and A-ABORT (PS3.8 9.3), the C-STORE command sets (PS3.7 9.3.1), files as bytes.
Does not know: how an association comes about, retries, what the bytes of a dataset mean.
"""

import io
import logging
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from workbench.entities import Timeouts, plain
from workbench.errors import AssociationAborted, Cancelled, ContextRejected, DatasetIncomplete, PeerTimeout
from workbench.network._sockets import acknowledge_at_once

__all__ = [
    "Channel",
    "Content",
    "FileContent",
    "MemoryContent",
    "PaddedContent",
    "Response",
    "command_set",
    "parse_command_set",
    "store_request",
]

log = logging.getLogger(__name__)

_P_DATA, _RELEASE_RQ, _RELEASE_RP, _ABORT = 4, 5, 6, 7
_COMMAND, _LAST = 1, 2  # message control header (PS3.8 E.2)
_NO_DATASET = 0x0101
_WINDOW_BYTES = 1 << 20  # what is read and written at a time
_COMMAND_ROOM = 1024  # a C-STORE-RQ needs some 250 bytes: two UIDs and a handful of numbers
_RESPONSE_LIMIT = 65_536
_MAX_SLICES = 1000  # below IOV_MAX
_RELEASE = struct.pack(">BBLL", _RELEASE_RQ, 0, 4, 0)
_RELEASED = struct.pack(">BBLL", _RELEASE_RP, 0, 4, 0)


class Content(Protocol):
    """The encoded bytes of one dataset, read in order."""

    size: int

    def fill(self, views: list[memoryview], offset: int) -> None:
        """Read from `offset` into all of `views`, one after the other."""

    def close(self) -> None:
        """Let go of what it reads from."""


class MemoryContent:
    """An encoded dataset in memory."""

    def __init__(self, data: bytes | memoryview, *, offset: int = 0, size: int | None = None) -> None:
        self.size = len(data) - offset if size is None else size
        self._data = memoryview(data)[offset : offset + self.size]

    def fill(self, views: list[memoryview], offset: int) -> None:
        """Copy from `offset` into all of `views`."""
        for view in views:
            view[:] = self._data[offset : offset + len(view)]
            offset += len(view)

    def close(self) -> None:
        """Let go of the bytes."""
        self._data = memoryview(b"")


class FileContent:
    """An encoded dataset that stands in a file from `offset` on."""

    def __init__(self, path: Path, *, offset: int, size: int) -> None:
        self.file: io.FileIO = path.open("rb", buffering=0)
        self._offset, self.size = offset, size

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def fill(self, views: list[memoryview], offset: int) -> None:
        """Read from `offset` of the dataset into all of `views`.

        Raises
        ------
        DatasetIncomplete
            If the file has become shorter since it was looked at.
        """
        position = self._offset + offset
        if hasattr(os, "preadv"):
            done = os.preadv(self.file.fileno(), views, position)
            position, views = position + done, _after(views, done)
        if views:
            self.file.seek(position)
        for view in views:
            filled = 0
            while filled < len(view):
                if not (count := self.file.readinto(view[filled:])):
                    raise DatasetIncomplete("The file became shorter while it was sent.")
                filled += count


class PaddedContent:
    """A content of odd length with a NUL behind it, as fragments must have even lengths (PS3.8 9.3.5.1, PS3.5 A.5)."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self.size = content.size + 1

    def fill(self, views: list[memoryview], offset: int) -> None:
        """Read from `offset` into all of `views`."""
        if offset + sum(map(len, views)) == self.size:
            views[-1][-1] = 0
            views = [*views[:-1], views[-1][:-1]]
        self._content.fill(views, offset)

    def close(self) -> None:
        """Close what is padded."""
        self._content.close()


def _after(views: list[memoryview], done: int) -> list[memoryview]:
    """Return what remains of `views` after the first `done` bytes."""
    if done == sum(map(len, views)):
        return []
    rest = []
    for view in views:
        if done < len(view):
            rest.append(view[done:])
        done = max(0, done - len(view))
    return rest


@dataclass(frozen=True, slots=True)
class Response:
    """A C-STORE-RSP (PS3.7 9.3.1.2): its status, or None where it has none, and its error comment."""

    status: int | None
    comment: str


def command_set(elements: Mapping[int, bytes]) -> bytes:
    """Return a command set in implicit VR little endian with its group length (PS3.7 6.3.1).

    Parameters
    ----------
    elements : mapping of int to bytes
        Element numbers of group 0000 with their encoded values.
    """
    body = b"".join(
        struct.pack("<HHL", 0, element, len(value) + len(value) % 2) + value + b"\0" * (len(value) % 2)
        for element, value in sorted(elements.items())
    )
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def parse_command_set(data: bytes) -> dict[int, bytes]:
    """Return the values of a command set by element number.

    Raises
    ------
    AssociationAborted
        If it is not a command set: the peer broke the protocol.

    Notes
    -----
    What follows the command group, by its own length, is left out: Orthanc appends the Failed SOP Instance UID List to
    the last response of a C-GET there.
    """
    values, position, after = dict[int, bytes](), 0, -1
    while position < len(data):
        if position + 8 > len(data):
            raise AssociationAborted("The peer sent a command set that ends within an element (PS3.7 6.3.1).")
        group, element, size = struct.unpack_from("<HHL", data, position)
        if group != 0 and position == after:
            break
        position += 8
        if group != 0 or position + size > len(data):
            raise AssociationAborted("The peer sent a command set that is not one (PS3.7 6.3.1).")
        values[element] = data[position : position + size]
        position += size
        if element == 0 and size == 4:
            after = position + int(struct.unpack("<L", values[0])[0])
    return values


def store_request(
    sop_class_uid: str, sop_instance_uid: str, *, message_id: int, originator: tuple[str, int] | None = None
) -> bytes:
    """Return the command set of a C-STORE-RQ (PS3.7 9.3.1.1).

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        Affected SOP class and instance.
    message_id : int
        From 0 to 65535.
    originator : tuple of str and int, optional
        AE title and message ID of the C-MOVE that asked for it.
    """
    elements = {
        0x0002: sop_class_uid.encode(),
        0x0100: b"\x01\x00",
        0x0110: struct.pack("<H", message_id),
        0x0700: b"\x00\x00",
        0x0800: b"\x01\x00",
        0x1000: sop_instance_uid.encode(),
    }
    if originator:
        elements[0x1030] = originator[0].encode().ljust(len(originator[0]) + len(originator[0]) % 2)
        elements[0x1031] = struct.pack("<H", originator[1])
    return command_set(elements)


class _Window:
    """A buffer that holds data fragments behind their headers, so that one write sends them all.

    ``[room for the command][header][fragment][header][fragment]...``: the slices of the fragments are
    filled by one scattered read, the headers are written once.
    """

    def __init__(self, fragment_bytes: int) -> None:
        self.fragment_bytes = fragment_bytes
        self.count = max(1, min(_WINDOW_BYTES // fragment_bytes, _MAX_SLICES))
        self.capacity = self.count * fragment_bytes
        step = 12 + fragment_bytes
        self.buffer = memoryview(bytearray(_COMMAND_ROOM + self.count * step))
        self.headers = [_COMMAND_ROOM + k * step for k in range(self.count)]
        self.slices = [self.buffer[start + 12 : start + step] for start in self.headers]
        self._context_id = -1

    def frame(self, context_id: int, size: int, *, last: bool) -> tuple[list[memoryview], int]:
        """Write the headers for `size` bytes; return the slices to fill and where the window ends."""
        if context_id != self._context_id:
            for start in self.headers:
                _header(self.buffer, start, self.fragment_bytes, context_id, 0)
            self._context_id = context_id
        whole, rest = divmod(size, self.fragment_bytes)
        views = self.slices[:whole]
        end = _COMMAND_ROOM + whole * (12 + self.fragment_bytes)
        if rest:
            _header(self.buffer, end, rest, context_id, _LAST if last else 0)
            views.append(self.buffer[end + 12 : end + 12 + rest])
            end += 12 + rest
        elif last:
            _header(self.buffer, self.headers[whole - 1], self.fragment_bytes, context_id, _LAST)
        if rest or last:
            self._context_id = -1  # the standing headers were overwritten
        return views, end


def _header(buffer: memoryview, start: int, size: int, context_id: int, control: int) -> None:
    struct.pack_into(">BBLLBB", buffer, start, _P_DATA, 0, size + 6, size + 2, context_id, control)


class Channel:
    """The connection of an established association, of which this is now the only reader and writer.

    Parameters
    ----------
    connection : socket.socket
        As handed out by :func:`workbench.network.association.take_over`.
    maximum_bytes : int
        The peer's Maximum Length Received (PS3.8 D.1.1); 0 is unlimited.
    timeouts : Timeouts
        `network_s` limits each write and each pause within a PDU, `dimse_s` the wait for a response.

    Raises
    ------
    ContextRejected
        If the peer's maximum has no room for a fragment.

    Notes
    -----
    Each message goes out in few large writes that end where the message ends: with TCP_NODELAY no small
    trailing segment waits for a delayed acknowledgement.
    """

    def __init__(self, connection: socket.socket, *, maximum_bytes: int, timeouts: Timeouts) -> None:
        fragment = min(maximum_bytes or _WINDOW_BYTES, _WINDOW_BYTES + 6) - 6
        fragment -= fragment % 2
        if fragment < 2:
            raise ContextRejected(
                f"The peer takes P-DATA of {maximum_bytes} bytes at most, too little for any fragment (PS3.8 D.1)."
            )
        self._connection, self._timeouts = connection, timeouts
        self._window = _Window(fragment)
        self._received = bytearray()
        self._context_id: int | None = None
        self.is_open = True
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, context_id: int, command: bytes, content: Content, *, cancel: Callable[[], bool] | None = None) -> None:
        """Send one message: command set and dataset.

        Raises
        ------
        AssociationAborted, PeerTimeout
            If the connection is lost, or takes nothing for `network_s`.
        DatasetIncomplete, OSError
            If the content can't be read; the association was aborted, since a half message can't be taken back.
        Cancelled
            If `cancel` said so in the middle of a large dataset; the association was aborted.
        """
        window, offset = self._window, 0
        self._context_id = context_id
        while True:
            size = min(window.capacity, content.size - offset)
            last = offset + size == content.size
            views, end = window.frame(context_id, size, last=last)
            try:
                content.fill(views, offset)
            except BaseException:
                self.abort()
                raise
            start = _COMMAND_ROOM if offset else self._place(context_id, command)
            self._write(window.buffer[start:end])
            offset += size
            if last:
                return
            if cancel is not None and cancel():
                self.abort()
                raise Cancelled("Cancelled in the middle of a dataset; the association was aborted.")

    def _place(self, context_id: int, command: bytes) -> int:
        """Write the command's fragments right before the first data fragment; return where they begin."""
        room = self._window.fragment_bytes
        pieces = [command[k : k + room] for k in range(0, len(command), room)]
        start = _COMMAND_ROOM - sum(12 + len(piece) for piece in pieces)
        if start < 0:  # fragments of a few bytes: sent ahead
            for piece in pieces:
                header = bytearray(12)
                _header(memoryview(header), 0, len(piece), context_id, _COMMAND | (_LAST if piece is pieces[-1] else 0))
                self._write(memoryview(bytes(header) + piece))
            return _COMMAND_ROOM
        at = start
        for piece in pieces:
            _header(self._window.buffer, at, len(piece), context_id, _COMMAND | (_LAST if piece is pieces[-1] else 0))
            self._window.buffer[at + 12 : at + 12 + len(piece)] = piece
            at += 12 + len(piece)
        return start

    def _write(self, data: memoryview) -> None:
        self._connection.settimeout(self._timeouts.network_s)
        try:
            self._connection.sendall(data)
        except TimeoutError as error:
            self.abort()
            raise PeerTimeout(f"The peer took no data for {self._timeouts.network_s:g} s.") from error
        except OSError as error:
            self.close()
            raise AssociationAborted(f"The connection was lost while data was sent ({error.strerror or 'closed'}).") from error

    def response(self, message_id: int) -> Response:
        """Wait for the C-STORE-RSP to `message_id`.

        Raises
        ------
        PeerTimeout
            If none comes within `dimse_s`; the association was aborted.
        AssociationAborted
            If the peer aborted, released, closed, or sent something else.
        """
        command = bytearray()
        while True:
            kind, body = self._pdu(time.monotonic() + self._timeouts.dimse_s)
            if kind != _P_DATA:
                self._ended(kind, body)
            if self._collect(body, command):
                break
        values = parse_command_set(bytes(command))
        if values.get(0x0100) != b"\x01\x80" or values.get(0x0120) != struct.pack("<H", message_id):
            self._broken("answered with another message than the C-STORE-RSP that was due (PS3.7 9.3.1.2)")
        if values.get(0x0800) != struct.pack("<H", _NO_DATASET):
            self._broken("announced a dataset in a C-STORE-RSP (PS3.7 9.3.1.2)")
        status = values.get(0x0900, b"")
        comment = plain(values.get(0x0902, b"").decode("ascii", "replace").strip("\0 "))
        return Response(struct.unpack("<H", status)[0] if len(status) == 2 else None, comment[:64])

    def _collect(self, body: bytes, command: bytearray) -> bool:
        """Add the command fragments of a P-DATA-TF to `command`; return whether the last one was among them."""
        position, last = 0, False
        while position < len(body):
            size = int.from_bytes(body[position : position + 4], "big")
            if size < 2 or position + 4 + size > len(body):
                self._broken("sent a P-DATA-TF whose lengths do not fit (PS3.8 9.3.5.1)")
            control = body[position + 5]
            if not control & _COMMAND or last:
                self._broken("sent data where a response was due")
            if body[position + 4] != self._context_id is not None:
                self._broken("answered in another presentation context than it was asked in")
            command += body[position + 6 : position + 4 + size]
            last = bool(control & _LAST)
            position += 4 + size
        if len(command) > _RESPONSE_LIMIT:
            self._broken("sent a response without end")
        return last

    def _pdu(self, deadline: float) -> tuple[int, bytes]:
        self._fetch(6, deadline)
        kind, _, size = struct.unpack(">BBL", self._received[:6])
        if size > _RESPONSE_LIMIT or not _P_DATA <= kind <= _ABORT:
            source = 0 if _P_DATA <= kind <= _ABORT else 2  # its length is a matter between users
            self._broken(f"sent a PDU of type {kind:#04x} and {size} bytes where a response was due", source=source)
        self._fetch(6 + size, time.monotonic() + self._timeouts.network_s)
        body = bytes(self._received[6 : 6 + size])
        del self._received[: 6 + size]
        return kind, body

    def _fetch(self, count: int, deadline: float) -> None:
        while len(self._received) < count:
            try:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError  # noqa: TRY301 - the same as what recv says
                self._connection.settimeout(left)
                acknowledge_at_once(self._connection)
                data = self._connection.recv(65_536)
            except TimeoutError as error:
                self.abort()
                raise PeerTimeout("The peer was silent for too long where a response was due.") from error
            except OSError as error:
                self.close()
                raise AssociationAborted(f"The connection was lost ({error.strerror or 'closed'}).") from error
            if not data:
                self.close()
                raise AssociationAborted("The peer closed the connection.")
            self._received += data

    def _ended(self, kind: int, body: bytes) -> NoReturn:
        if kind == _RELEASE_RQ:
            with suppress(OSError):
                self._connection.sendall(_RELEASED)
            self.close()
            raise AssociationAborted("The peer released the association before it answered.")
        if kind == _RELEASE_RP:
            self._broken("answered a release that nobody has asked for")
        self.close()
        source = {0: "service user", 2: "service provider"}.get(body[2] if len(body) > 2 else 0, "unknown source")
        error = AssociationAborted(f"The peer aborted the association (A-ABORT, {source}, PS3.8 9.3.8).")
        error.by_peer = True
        raise error

    def _broken(self, how: str, *, source: int = 2) -> NoReturn:
        self.abort(source=source)
        raise AssociationAborted(f"The peer {how}; the association was aborted.")

    def release(self) -> bool:
        """Release the association (PS3.8 7.2) and close; return whether the peer agreed."""
        if not self.is_open:
            return False
        deadline = time.monotonic() + self._timeouts.acse_s
        try:
            self._write(memoryview(_RELEASE))
            kind, _ = self._pdu(deadline)
        except (AssociationAborted, PeerTimeout):
            return False
        self.close()
        return kind == _RELEASE_RP

    def abort(self, *, source: int = 0) -> None:
        """Send A-ABORT (PS3.8 9.3.8) and close."""
        if self.is_open:
            with suppress(OSError):
                self._connection.settimeout(1.0)
                self._connection.sendall(struct.pack(">BBLBBBB", _ABORT, 0, 4, 0, 0, source, 0))
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.is_open = False
        self._connection.close()

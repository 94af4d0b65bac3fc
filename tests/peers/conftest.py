"""A second implementation of PS3.8 and DIMSE-N over plain sockets, small and slow, that shares nothing with what is tested.

Commands are written byte by byte (PS3.7 6.3.1, E); datasets are pydicom's, in Implicit or Explicit VR Little Endian.
"""

import contextlib
import io
import queue
import socket
import struct
import threading

import pydicom
import pytest

from tests.peers import step_peers
from workbench.entities import Peer, Timeouts

#: Run by another Python, which has odil.
collect_ignore = ["odil"]

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
MPPS, COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.3.1.2.3.3", "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
N_EVENT, N_SET, N_ACTION, N_CREATE = 0x0100, 0x0120, 0x0130, 0x0140
RESPONSE = 0x8000
# elements of a command set: numbers of two bytes, the others are text
NUMBERS = {0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x0900, 0x0903, 0x1002, 0x1008}


def unit(kind, body, *, wide=False):
    return struct.pack(">BxI" if wide else ">BxH", kind, len(body)) + body


def units(body):
    while body:
        kind, size = struct.unpack(">BxH", body[:4])
        yield kind, body[4 : 4 + size]
        body = body[4 + size :]


def written(command):
    body = b""
    for number, value in sorted(command.items()):
        data = struct.pack("<H", value) if number in NUMBERS else value.encode()
        data += b"\0" * (len(data) % 2)
        body += struct.pack("<HHI", 0, number, len(data)) + data
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def parsed(data):
    command = {}
    while data:
        _, number, size = struct.unpack("<HHI", data[:8])
        value, data = data[8 : 8 + size], data[8 + size :]
        command[number] = struct.unpack("<H", value)[0] if number in NUMBERS else value
        if isinstance(command[number], bytes) and number not in {0x0000, 0x1005}:
            command[number] = command[number].rstrip(b"\0 ").decode()
    return command


class Over(Exception):
    """The association has ended."""


class Line:
    """One association, from either side."""

    def __init__(self, raw):
        self.raw, self.contexts, self.roles = raw, {}, {}
        raw.settimeout(10)
        self._values = []

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.raw.recv(count - len(data))
            if not more:
                raise Over("closed")
            data += more
        return data

    def pdu(self):
        head = self._exactly(6)
        return head[0], self._exactly(struct.unpack(">I", head[2:])[0])

    def request(self, called, calling, classes, *, roles=(), syntax=EXPLICIT):
        body = struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
        body += unit(0x10, b"1.2.840.10008.3.1.1.1")
        for index, uid in enumerate(classes):
            body += unit(0x20, bytes([2 * index + 1, 0, 0, 0]) + unit(0x30, uid.encode()) + unit(0x40, syntax.encode()))
        user = unit(0x51, struct.pack(">I", 16384)) + unit(0x52, b"1.2.826.0.1.3680043.9.2")
        for uid, scu, scp in roles:
            user += unit(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes([scu, scp]))
        self.raw.sendall(unit(1, body + unit(0x50, user), wide=True))
        kind, answer = self.pdu()
        assert kind == 2, (kind, answer[:4])
        for kind, content in units(answer[68:]):
            if kind == 0x21 and content[2] == 0:
                self.contexts[classes[content[0] // 2]] = (content[0], syntax)
            if kind == 0x50:
                self._note_roles(content)
        return self

    def _note_roles(self, user):
        for kind, content in units(user):
            if kind == 0x54:
                size = struct.unpack(">H", content[:2])[0]
                self.roles[content[2 : 2 + size].decode()] = tuple(content[2 + size :])

    def accept(self, *, prefer=IMPLICIT):
        kind, body = self.pdu()
        assert kind == 1, kind
        self.calling = body[20:36].decode().strip()
        answer, user = body[:68] + unit(0x10, b"1.2.840.10008.3.1.1.1"), b""
        for kind, content in units(body[68:]):
            if kind == 0x20:
                inner = list(units(content[4:]))
                offered = [v.decode() for k, v in inner if k == 0x40]
                syntax = prefer if prefer in offered else offered[0]
                self.contexts[inner[0][1].decode()] = (content[0], syntax)
                answer += unit(0x21, bytes([content[0], 0, 0, 0]) + unit(0x40, syntax.encode()))
            if kind == 0x50:
                self._note_roles(content)
                user = b"".join(unit(k, v) for k, v in units(content) if k == 0x54)
        user = unit(0x51, struct.pack(">I", 16384)) + unit(0x52, b"1.2.826.0.1.3680043.9.2") + user
        self.raw.sendall(unit(2, answer + unit(0x50, user), wide=True))
        return self

    def send(self, sop_class, command, dataset=None):
        context, syntax = self.contexts[sop_class]
        command = command | {0x0800: 0x0101 if dataset is None else 0x0001}
        self._value(context, 3, written(command))
        if dataset is not None:
            buffer = pydicom.filebase.DicomBytesIO()
            buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == IMPLICIT
            pydicom.filewriter.write_dataset(buffer, dataset)
            data = buffer.getvalue()
            pieces = [data[k : k + 8000] for k in range(0, len(data), 8000)] or [b""]
            for k, piece in enumerate(pieces):
                self._value(context, 2 * (k == len(pieces) - 1), piece)

    def _value(self, context, control, data):
        self.raw.sendall(unit(4, struct.pack(">IBB", len(data) + 2, context, control) + data, wide=True))

    def receive(self):
        """Return the next command and its dataset; a release is answered and ends it."""
        command, data, done = b"", b"", {}
        while True:
            if not self._values:
                kind, body = self.pdu()
                if kind == 5:
                    self.raw.sendall(unit(6, bytes(4), wide=True))
                if kind != 4:
                    raise Over(f"PDU {kind}")
                while body:
                    size, context, control = struct.unpack(">IBB", body[:6])
                    self._values.append((context, control, body[6 : 4 + size]))
                    body = body[4 + size :]
            context, control, value = self._values.pop(0)
            if control & 1:
                command += value
                if control & 2:
                    done = parsed(command)
            else:
                data += value
            if control & 2 and done and (not control & 1 or done[0x0800] == 0x0101):
                syntax = next(s for number, s in self.contexts.values() if number == context)
                if done[0x0800] == 0x0101:
                    return done, None
                return done, self._read(data, syntax)

    @staticmethod
    def _read(data, syntax):
        return pydicom.filereader.read_dataset(io.BytesIO(data), syntax == IMPLICIT, is_little_endian=True)

    def answer(self, sop_class, command, status, **more):
        """Answer a request."""
        fields = {0x0100: command[0x0100] | RESPONSE, 0x0120: command[0x0110], 0x0900: status}
        self.send(sop_class, fields | {int(k[1:], 16): v for k, v in more.items()})

    def release(self):
        self.raw.sendall(unit(5, bytes(4), wide=True))
        kind, _ = self.pdu()
        self.raw.close()
        return kind


class Plain:
    """A client and a server made of it."""

    MPPS, COMMITMENT, COMMITMENT_INSTANCE = MPPS, COMMITMENT, COMMITMENT_INSTANCE
    N_EVENT, N_SET, N_ACTION, N_CREATE = N_EVENT, N_SET, N_ACTION, N_CREATE
    EXPLICIT, IMPLICIT = EXPLICIT, IMPLICIT
    Over = Over

    def __init__(self):
        self._open = contextlib.ExitStack()
        self.troubles = queue.SimpleQueue()

    def call(self, peer, classes, *, calling="PLAIN", roles=(), syntax=EXPLICIT):
        """Associate as a client."""
        raw = self._open.enter_context(socket.create_connection((peer.host, peer.port), timeout=10))
        return Line(raw).request(peer.ae_title, calling, classes, roles=roles, syntax=syntax)

    def listen(self, conduct, *, port=0, prefer=IMPLICIT):
        """Serve: the conduct gets each association, and may end when it is over."""
        listener = self._open.enter_context(socket.create_server(("127.0.0.1", port)))
        self._open.callback(listener.shutdown, socket.SHUT_RDWR)  # wakes who waits for a connection

        def serve(raw):
            with raw, contextlib.suppress(Over, ConnectionError, TimeoutError):
                try:
                    conduct(Line(raw).accept(prefer=prefer))
                except (Over, ConnectionError, TimeoutError):
                    raise
                except Exception as error:  # noqa: BLE001 - seen at the end of the test
                    self.troubles.put(error)

        def wait():
            with contextlib.suppress(OSError):
                while True:
                    raw, _ = listener.accept()
                    threading.Thread(target=serve, args=(raw,), daemon=True).start()

        threading.Thread(target=wait, daemon=True).start()
        return Peer("plain", "PLAIN", port=listener.getsockname()[1], timeouts=Timeouts(3, 3, 3, 3))

    def close(self):
        self._open.close()
        assert self.troubles.empty(), self.troubles.get()


@pytest.fixture
def plain():
    """The second implementation."""
    made = Plain()
    yield made
    made.close()


@pytest.fixture(params=step_peers.STACKS)
def stack(request, program, tmp_path):
    """Each foreign stack that has performed procedure steps."""
    return step_peers.STACKS[request.param](program, tmp_path)


@pytest.fixture
def dcmjs(program, tmp_path):
    """dcmjs-dimse."""
    return step_peers.dcmjs(program, tmp_path)

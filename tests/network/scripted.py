"""A scripted client, a scripted server and one in between: they speak PS3.8 over a raw socket, so that they can also break it."""

import contextlib
import select
import socket
import struct
import threading
from dataclasses import dataclass

from workbench.entities import Peer, Timeouts

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"


def pdu(kind, body):
    return struct.pack(">BxI", kind, len(body)) + body


def item(kind, body):
    return struct.pack(">BxH", kind, len(body)) + body


def pdv(context_id, control, data):
    return struct.pack(">IBB", len(data) + 2, context_id, control) + data


def command_set(**values):
    """Encode a command set; elements are named by their hexadecimal number: ``e0100=1``."""
    body = b""
    for name, value in sorted(values.items()):
        data = (
            value.to_bytes(2, "little") if isinstance(value, int) else value.encode("latin-1") if isinstance(value, str) else value
        )
        data += (b" " if name == "e0600" else b"\0") * (len(data) % 2)
        body += struct.pack("<HHI", 0, int(name[1:], 16), len(data)) + data
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def element(tag, vr, value):
    """Encode an element in Explicit VR Little Endian."""
    data = value.encode() if isinstance(value, str) else value
    data += (b"\0" if vr in {"UI", "OB", "OW"} else b" ") * (len(data) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return (
        head + (struct.pack("<HI", 0, len(data)) if vr in {"OB", "OW", "UN", "SQ", "UT"} else struct.pack("<H", len(data))) + data
    )


def instance(uid, *, sop_class=CT, name="SCRIPTED^CASE", pixels=b"\1\0" * 512, study="1.2.3.4", series="1.2.3.4.5", comments=""):
    """Encode a small CT image in Explicit VR Little Endian."""
    return (
        element(0x00080016, "UI", sop_class) + element(0x00080018, "UI", uid) + element(0x00080060, "CS", "CT")
        + element(0x00100010, "PN", name) + element(0x00100020, "LO", "SCRIPTED")
        + element(0x00104000, "LT", comments)
        + element(0x0020000D, "UI", study) + element(0x0020000E, "UI", series) + element(0x7FE00010, "OW", pixels)
    )  # fmt: skip


@dataclass
class Scripted:
    """One connection to a server."""

    port: int
    timeout: float = 5.0
    receive_bytes: int = 0

    def __post_init__(self):
        self.socket = socket.socket()
        self.socket.settimeout(self.timeout)
        if self.receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_bytes)
        self.socket.connect(("127.0.0.1", self.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                break
            data += more
        return data

    def answer(self):
        """Return type and body of the next PDU; (0, b"") when the connection has ended."""
        try:
            head = self.read(6)
            if len(head) < 6:
                return 0, b""
            return head[0], self.read(int.from_bytes(head[2:6], "big"))
        except ConnectionError:
            return 0, b""

    def is_closed(self):
        """Whether the server ends the connection, after an A-ABORT or without, before the time-out."""
        with contextlib.suppress(TimeoutError):
            while True:
                kind, _ = self.answer()
                if kind in {0, 7}:
                    return True
        return False

    def request(self, contexts=((1, VERIFICATION, (IMPLICIT,)),), *, called="WORKBENCH", calling="SCRIPT", max_pdu=16384, roles=()):
        """Encode an A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
        body = struct.pack(">HH16s16s32x", 1, 0, called.encode().ljust(16), calling.encode().ljust(16))
        body += item(0x10, b"1.2.840.10008.3.1.1.1")
        for number, abstract, syntaxes in contexts:
            inner = item(0x30, abstract.encode()) + b"".join(item(0x40, s.encode()) for s in syntaxes)
            body += item(0x20, bytes([number, 0, 0, 0]) + inner)
        user = item(0x51, struct.pack(">I", max_pdu)) + item(0x52, b"1.2.826.0.1.3680043.9.1") + item(0x55, b"SCRIPTED")
        for uid, scu, scp in roles:
            user += item(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes([scu, scp]))
        return pdu(1, body + item(0x50, user))

    def associate(self, *args, **options):
        """Associate; return the accepted contexts as {ID: transfer syntax}, or the rejection as (result, source, reason)."""
        self.send(self.request(*args, **options))
        kind, body = self.answer()
        if kind == 3:
            return tuple(body[1:4])
        assert kind == 2, (kind, body)
        return {c[0]: c[8:].decode() for code, c in items(body[68:]) if code == 0x21 and c[2] == 0}

    def message(self, context_id, command, dataset=None, *, fragment=16_000):
        """Send a message in P-DATA-TF of one value each."""
        self.send(pdu(4, pdv(context_id, 3, command)))
        if dataset is not None:
            pieces = [dataset[k : k + fragment] for k in range(0, len(dataset), fragment)] or [b""]
            for k, piece in enumerate(pieces):
                self.send(pdu(4, pdv(context_id, 2 * (k == len(pieces) - 1), piece)))

    def response(self):
        """Return the elements of the next command set, as {number: bytes}; its dataset under "dataset"."""
        encoded, data, found, has_dataset = b"", b"", None, False
        while True:
            kind, body = self.answer()
            assert kind == 4, f"PDU type {kind} where a response was due"
            while body:
                size, _, control = struct.unpack_from(">IBB", body)
                value, body = body[6 : 4 + size], body[4 + size :]
                if control & 1:
                    encoded += value
                    if control & 2:
                        found = elements(encoded)
                        has_dataset = found[0x0800] != b"\1\1"
                else:
                    data += value
                    has_dataset = not control & 2
            if found is not None and not has_dataset:
                return found | {"dataset": data}

    def store(self, uid, dataset, *, sop_class=CT, context_id=1, message_id=1, fragment=16_000):
        """Store an instance and return the status."""
        self.message(context_id, store_rq(uid, sop_class, message_id), dataset, fragment=fragment)
        return status(self.response())

    def release(self):
        self.send(pdu(5, bytes(4)))
        return self.answer()[0]

    def reset(self):
        """End the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Accepted(Scripted):
    """One connection from a client."""

    def __init__(self, connection):
        self.socket, self.port, self.contexts = connection, 0, {}

    def answer(self):
        """Return type and body of the next PDU; a release is answered, and it or the end ends the conduct."""
        kind, body = super().answer()
        if kind == 5:
            self.send(pdu(6, bytes(4)))
        if kind in {0, 5, 7}:
            raise ConnectionError("the association is over")
        return kind, body

    def accept(self, transfer_syntax=EXPLICIT):
        """Answer the A-ASSOCIATE-RQ: every context in one transfer syntax, every role that is asked for."""
        kind, body = self.answer()
        assert kind == 1, kind
        answer, user = body[:68] + item(0x10, b"1.2.840.10008.3.1.1.1"), b""
        for code, content in items(body[68:]):
            if code == 0x20:
                ((_, abstract), *_) = items(content[4:])
                self.contexts[abstract.decode()] = content[0]
                answer += item(0x21, bytes([content[0], 0, 0, 0]) + item(0x40, transfer_syntax.encode()))
            elif code == 0x50:
                user = b"".join(item(0x54, role) for kind, role in items(content) if kind == 0x54)
        user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.826.0.1.3680043.9.1") + user
        self.send(pdu(2, answer + item(0x50, user)))


class Listening:
    """A server whose whole conduct is a function: it gets each connection, its association accepted."""

    def __init__(self, talk, transfer_syntax=EXPLICIT):
        self._talk, self._transfer_syntax = talk, transfer_syntax
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.peer = Peer(
            name="scripted", ae_title="SCRIPTED", port=self._listener.getsockname()[1], timeouts=Timeouts(2, 2, 3, 2)
        )  # fmt: skip

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, raw):
        raw.settimeout(10)
        with Accepted(raw) as connection, contextlib.suppress(OSError):
            connection.accept(self._transfer_syntax)
            self._talk(connection)
            while True:
                connection.answer()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


class Between:
    """A way to a real server, which from a certain message on misbehaves as seen by its client.

    Parameters
    ----------
    peer : Peer
        The real server.
    misbehave : callable
        Called with the connection to the client and the PDU that is to be spoilt: the A-ASSOCIATE-RQ of the client, or a message
        of the server. Where it gives True the conversation goes on, and each such PDU is spoilt; otherwise what the client
        says from then on is read and not answered.
    cue : int, optional
        Command Field (0000,0100) of the server's messages to spoil; by default the association is.
    """

    def __init__(self, peer, misbehave, *, cue=None, timeouts):
        self._real, self._misbehave, self._cue = peer, misbehave, cue
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._ended = threading.Event()
        self.peer = peer.but(port=self._listener.getsockname()[1], timeouts=timeouts)
        self.spoilt = 0
        self._threads[0].start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, raw):
        raw.settimeout(10)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with Accepted(raw) as client, Scripted(self._real.port, 10) as server, contextlib.suppress(OSError):
            try:
                self._pass_on(client, server)
            finally:
                server.reset()
            while not self._ended.is_set():  # as one that has forgotten us
                if select.select([raw], [], [], 0.05)[0] and not raw.recv(65_536):
                    return

    def _pass_on(self, client, server):
        while not self._ended.is_set():
            for one in select.select([client.socket, server.socket], [], [], 0.05)[0]:
                kind, body = Scripted.answer(client if one is client.socket else server)
                if not kind:
                    raise ConnectionError
                whole = pdu(kind, body)
                if not self._is_cue(one is client.socket, whole):
                    (server if one is client.socket else client).send(whole)
                    continue
                self.spoilt += 1
                if not self._misbehave(client, whole):
                    return

    def _is_cue(self, is_client, whole):
        if self._cue is None:
            return is_client and whole[0] == 1
        is_command = not is_client and whole[0] == 4 and whole[11] == 3
        return is_command and int.from_bytes(elements(command_of(whole))[0x0100], "little") == self._cue

    def close(self):
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


def command_of(whole):
    """Return the command set at the begin of a P-DATA-TF."""
    return whole[12 : 10 + int.from_bytes(whole[6:10], "big")]


def changed(whole, **values):
    """Return a P-DATA-TF with other elements in its command set; those that are None are left out."""
    found = {f"e{number:04x}": value for number, value in elements(command_of(whole)).items() if number} | values
    first = pdv(whole[10], whole[11], command_set(**{name: value for name, value in found.items() if value is not None}))
    return pdu(4, first + whole[10 + int.from_bytes(whole[6:10], "big") :])


def items(body):
    """Return type and content of each item of an A-ASSOCIATE PDU."""
    found, offset = [], 0
    while offset < len(body):
        code, size = struct.unpack_from(">BxH", body, offset)
        found.append((code, body[offset + 4 : offset + 4 + size]))
        offset += 4 + size
    return found


def store_rq(uid, sop_class=CT, message_id=1):
    return command_set(e0002=sop_class, e0100=1, e0110=message_id, e0700=0, e0800=1, e1000=uid)


def elements(encoded):
    found, offset = {}, 0
    while offset < len(encoded):
        _, number, size = struct.unpack_from("<HHI", encoded, offset)
        found[number] = encoded[offset + 8 : offset + 8 + size]
        offset += 8 + size
    return found


def status(response):
    return int.from_bytes(response[0x0900], "little")


class Script:
    """What a test needs to write a script."""

    connect = Scripted
    pdu, pdv, item, element = staticmethod(pdu), staticmethod(pdv), staticmethod(item), staticmethod(element)
    command_set, instance, store_rq, status = (
        staticmethod(command_set), staticmethod(instance), staticmethod(store_rq), staticmethod(status),
    )  # fmt: skip
    ECHO_RQ = command_set(e0002=VERIFICATION, e0100=0x30, e0110=1, e0800=0x0101)
    CT_CONTEXT = ((1, CT, (EXPLICIT,)),)

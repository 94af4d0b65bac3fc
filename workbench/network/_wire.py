"""The bytes of one direction of a connection, cut into PDUs and DIMSE messages as they pass.

Knows: PDUs and their items (PS3.8 9.3, PS3.7 D.3), message fragments (PS3.8 E), command sets (PS3.7 6.3, E).
Does not know: sockets, who speaks, what is done with it. It shares no code with what sends and receives, so that what it
says of them does not come from them.
"""

import struct
from collections.abc import Generator
from dataclasses import dataclass, field

__all__ = ["Message", "Negotiation", "Notice", "Pdu", "Proposal", "Stream", "negotiation"]

_NAMES = ("A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "A-ASSOCIATE-RJ", "P-DATA-TF", "A-RELEASE-RQ", "A-RELEASE-RP", "A-ABORT")
_P_DATA = 4
_COMMAND, _LAST = 1, 2
_C_STORE_RQ = b"\x01\x00"
_NO_DATASET = b"\x01\x01"
#: More of a PDU, a command set or an identifier is counted, not kept.
_KEPT_BYTES = 524_288


@dataclass(frozen=True, slots=True)
class Pdu:
    """A PDU: its name, its bytes with header, when its first and last byte passed, its body unless it is a P-DATA-TF."""

    name: str
    size_bytes: int
    began: float
    ended: float
    body: bytes = b""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A DIMSE message: its command by element number, and its dataset where that is an identifier or the like."""

    context_id: int
    command: dict[int, bytes]
    dataset_bytes: int
    dataset: bytes | None
    pdus: int
    wire_bytes: int
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is not as PS3.8 has it."""

    text: str
    at: float


Event = Pdu | Message | Notice


@dataclass(slots=True)
class _Assembly:
    """A message as it comes together."""

    began: float
    context_id: int = 0
    encoded: bytearray = field(default_factory=bytearray)
    command: dict[int, bytes] | None = None
    dataset: bytearray = field(default_factory=bytearray)
    dataset_bytes: int = 0
    pdus: int = 0
    wire_bytes: int = 0

    @property
    def keeps(self) -> bool:
        return self.command is None or self.command.get(0x0100) != _C_STORE_RQ


class Stream:
    """Takes the bytes of one direction as they pass, however they are cut, and says what they are."""

    def __init__(self) -> None:
        self._chunk = memoryview(b"")
        self._now = 0.0
        self._events: list[Event] = []
        self._announced = self._passed = 0
        self._name = ""
        self._pdu_began = 0.0
        self._message: _Assembly | None = None
        self._done: list[_Assembly] = []
        self._parser = self._parse()
        next(self._parser)

    def feed(self, data: bytes | bytearray | memoryview, now: float) -> list[Event]:
        """Return what `data` completes; nothing of it is kept that is not needed."""
        self._chunk, self._now = memoryview(data).cast("B"), now
        if len(self._chunk):
            next(self._parser)
        self._chunk = memoryview(b"")
        events, self._events = self._events, []
        return events

    def end(self, now: float) -> list[Event]:
        """Return what remained unfinished when the connection ended."""
        events: list[Event] = []
        if self._passed and self._name:
            whole = f"{self._announced} bytes" if self._passed >= 6 else "its header"
            note = f"cut off: {self._passed} of {whole}"
            events.append(Pdu(self._name, self._passed, self._pdu_began, now, note=note))
        elif self._message is not None:
            events.append(Notice("the connection ended within a message (PS3.8 E.1)", now))
        self._passed, self._message = 0, None
        return events

    # ------------------------------------------------------------ the grammar
    def _parse(self) -> Generator[None, None, None]:
        while True:
            self._name, self._passed = "", 0
            kind = (yield from self._take(1))[0]
            self._pdu_began = self._now
            if not 1 <= kind <= len(_NAMES):
                self._events.append(Notice(f"not a PDU: type 0x{kind:02X} (PS3.8 9.3.1)", self._now))
                while True:  # nothing can be told about what follows
                    self._chunk = memoryview(b"")
                    yield
            self._name = _NAMES[kind - 1]
            size = int.from_bytes((yield from self._take(5))[1:], "big")
            self._announced = 6 + size
            if kind == _P_DATA:
                broken = yield from self._fragments(size)
                note = "its fragments do not fit into it (PS3.8 9.3.5.1)" if broken else ""
                self._events.append(Pdu(self._name, 6 + size, self._pdu_began, self._now, note=note))
                self._hand_over()
            else:
                body = yield from self._keep(size)
                self._events.append(Pdu(self._name, 6 + size, self._pdu_began, self._now, body))

    def _fragments(self, size: int) -> Generator[None, None, bool]:
        """Pass over the presentation data values of a P-DATA-TF; return whether their lengths are wrong."""
        done: list[_Assembly] = []
        left, is_first = size, True
        while left >= 6:
            length, context_id, control = struct.unpack(">LBB", (yield from self._take(6)))
            left -= 6
            if not 2 <= length <= left + 2:
                break
            left -= length - 2
            message = self._message = self._message or _Assembly(self._pdu_began)
            message.context_id = context_id
            message.pdus += is_first
            message.wire_bytes += length + 4 + 6 * is_first
            is_first = False
            yield from self._fragment(message, length - 2, control)
            if (
                control & _LAST
                and message.command is not None
                and (not control & _COMMAND or message.command.get(0x0800) == _NO_DATASET)
            ):
                done.append(message)
                self._message, is_first = None, True
        self._done = done
        yield from self._skip(left)
        return left > 0

    def _fragment(self, message: _Assembly, size: int, control: int) -> Generator[None, None, None]:
        if control & _COMMAND:
            message.encoded += yield from self._keep(size, _KEPT_BYTES - len(message.encoded))
            if control & _LAST:
                message.command = _command(bytes(message.encoded))
            return
        message.dataset_bytes += size
        if message.keeps:
            message.dataset += yield from self._keep(size, _KEPT_BYTES - len(message.dataset))
        else:
            yield from self._skip(size)

    def _hand_over(self) -> None:
        for m in self._done:
            is_whole = m.keeps and len(m.dataset) == m.dataset_bytes
            dataset = bytes(m.dataset) if is_whole and m.dataset_bytes else None
            self._events.append(
                Message(m.context_id, m.command or {}, m.dataset_bytes, dataset, m.pdus, m.wire_bytes, m.began, self._now)
            )

    # ------------------------------------------------------------ the bytes
    def _take(self, count: int) -> Generator[None, None, bytes]:
        taken = bytearray()
        while len(taken) < count:
            while not len(self._chunk):
                yield
            piece = self._chunk[: count - len(taken)]
            taken += piece
            self._chunk = self._chunk[len(piece) :]
            self._passed += len(piece)
        return bytes(taken)

    def _skip(self, count: int) -> Generator[None, None, None]:
        while count:
            while not len(self._chunk):
                yield
            size = min(count, len(self._chunk))
            self._chunk = self._chunk[size:]
            self._passed += size
            count -= size

    def _keep(self, count: int, room: int = _KEPT_BYTES) -> Generator[None, None, bytes]:
        """Take at most what there is room for, pass over the rest."""
        kept = yield from self._take(max(0, min(count, room)))
        yield from self._skip(count - len(kept))
        return kept


def _command(encoded: bytes) -> dict[int, bytes]:
    """Return the elements of a command set by number, as far as they are whole."""
    found, position = dict[int, bytes](), 0
    while position + 8 <= len(encoded):
        group, number, size = struct.unpack_from("<HHL", encoded, position)
        value = encoded[position + 8 : position + 8 + size]
        if group or len(value) < size:
            break
        found[number] = value
        position += 8 + size
    return found


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context of an A-ASSOCIATE: proposed in -RQ (`result` is None), answered in -AC."""

    context_id: int
    result: int | None
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(slots=True)
class Negotiation:
    """An A-ASSOCIATE-RQ or -AC: who calls whom, which contexts, what else is negotiated."""

    called: str
    calling: str
    application_context: str = ""
    contexts: list[Proposal] = field(default_factory=list)
    max_pdu_bytes: int | None = None
    implementation: str = ""
    roles: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def negotiation(body: bytes) -> Negotiation:
    """Return what an A-ASSOCIATE-RQ or -AC says (PS3.8 9.3.2, 9.3.3), as far as it can be read.

    Of a user identity only its kind is told, never a name or a secret (PS3.7 D.3.3.7).
    """
    found = Negotiation(_text(body[4:20]), _text(body[20:36]))
    for kind, value in _items(body[68:]):
        if kind == 0x10:
            found.application_context = _text(value)
        elif kind in {0x20, 0x21}:
            found.contexts.append(_proposal(value, is_answer=kind == 0x21))
        elif kind == 0x50:
            for sub_kind, sub_value in _items(value):
                _user_item(found, sub_kind, sub_value)
    return found


def _proposal(value: bytes, *, is_answer: bool) -> Proposal:
    inner = list(_items(value[4:]))
    abstract = next((_text(v) for kind, v in inner if kind == 0x30), "")
    result = value[2] if is_answer and len(value) > 2 else None
    return Proposal(value[0] if value else 0, result, abstract, tuple(_text(v) for kind, v in inner if kind == 0x40))


def _user_item(found: Negotiation, kind: int, value: bytes) -> None:
    if kind == 0x51 and len(value) == 4:
        found.max_pdu_bytes = int.from_bytes(value, "big")
    elif kind in {0x52, 0x55}:
        found.implementation = f"{found.implementation} {_text(value)}".strip()
    elif kind in {0x54, 0x56} and len(value) >= 2:
        size = int.from_bytes(value[:2], "big")
        uid, rest = _text(value[2 : 2 + size]), value[2 + size :]
        if kind == 0x56:
            found.extended[uid] = rest[:64]
        elif len(rest) >= 2:
            found.roles[uid] = (rest[0] == 1, rest[1] == 1)
    elif kind == 0x53 and len(value) == 4:
        invoked, performed = struct.unpack(">HH", value)
        found.others.append(f"asynchronous operations {invoked}/{performed}")
    elif kind == 0x58:
        found.others.append(f"user identity of type {value[0] if value else 0}")
    elif kind == 0x59:
        found.others.append("user identity accepted")


def _items(data: bytes) -> Generator[tuple[int, bytes], None, None]:
    position = 0
    while position + 4 <= len(data):
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        yield data[position], data[position + 4 : position + 4 + size]
        position += 4 + size


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip("\0 ")

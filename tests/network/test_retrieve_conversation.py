"""A conversation by hand, with everything that the other side can do wrong."""

import contextlib
import itertools
import re
import socket
import struct
import threading
import time
from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.entities import Peer, Timeouts
from workbench.errors import AssociationAborted, NetworkError, PeerTimeout
from workbench.network import _expected
from workbench.network._conversation import Conversation
from workbench.network.contexts import query_model
from workbench.network.receiving import Context

GET, FIND, MOVE = (query_model("STUDY", operation) for operation in ("GET", "FIND", "MOVE"))
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
PEER = Peer(name="x", ae_title="X", timeouts=Timeouts(1, 1, 0.4, 0.4))


class Shelf:
    """Sinks that remember."""

    def __init__(self):
        self.kept, self.open = [], 0

    def receiving(self, **names):
        self.open += 1
        return Sink(self)


class Sink:
    def __init__(self, shelf):
        self.shelf, self.data = shelf, b""

    def write(self, chunk):
        self.data += bytes(chunk)

    def commit(self):
        self.shelf.kept.append(self.data)
        self.shelf.open -= 1

    def discard(self):
        self.shelf.open -= 1


def command(**values):
    body = b""
    for name, value in sorted(values.items()):
        data = struct.pack("<H", value) if isinstance(value, int) else value.encode() + b"\0" * (len(value) % 2)
        body += struct.pack("<HHL", 0, int(name[1:], 16), len(data)) + data
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def p_data(*values):
    body = b"".join(struct.pack(">LBB", len(data) + 2, context, control) + data for context, control, data in values)
    return struct.pack(">BBL", 4, 0, len(body)) + body


STORE = p_data((3, 3, command(e0002=CT, e0100=1, e0110=1, e0700=0, e0800=1, e1000="1.2.3")))
DATASET = p_data((3, 2, b"dataset!"))
PENDING = p_data((1, 3, command(e0002=GET, e0100=0x8010, e0120=1, e0800=0x0101, e0900=0xFF00)))
DONE = p_data((1, 3, command(e0002=GET, e0100=0x8010, e0120=1, e0800=0x0101, e0900=0, e1021=1)))


def conversation_on(connection, shelf, sop_class=GET):
    contexts = {1: Context(sop_class, EXPLICIT, is_storage=False), 3: Context(CT, EXPLICIT, is_storage=True)}
    return Conversation(PEER, connection, contexts=contexts, maximum_bytes=16384, receive=shelf.receiving)


def talked(script, *, service="C-GET", sop_class=GET, cancel=lambda: False, hold=False):
    """Send a script to a conversation; return its responses and the shelf."""
    ours, theirs = socket.socketpair()
    shelf = Shelf()
    theirs.sendall(script)
    if not hold:
        theirs.shutdown(socket.SHUT_WR)
    try:
        conversation = conversation_on(ours, shelf, sop_class)
        return list(conversation.ask(service, sop_class, _expected.Wanted("1.2.3").identifier(), cancel=cancel)), shelf
    finally:
        ours.close()
        theirs.close()
        assert shelf.open == 0


@pytest.fixture(autouse=True)
def _plain_socket_pairs(monkeypatch):
    """A pair of Unix sockets takes no TCP options."""
    real = socket.socket.setsockopt

    def setsockopt(self, level, *rest):
        if level != socket.IPPROTO_TCP:
            real(self, level, *rest)

    monkeypatch.setattr("socket.socket.setsockopt", setsockopt)


def test_a_conversation_as_it_should_be():
    responses, shelf = talked(STORE + DATASET + PENDING + DONE)
    assert [r.status for r in responses] == [0xFF00, 0]
    assert responses[-1].completed == 1
    assert shelf.kept == [b"dataset!"]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(STORE + DATASET + PENDING + DONE) - 1))
def test_wherever_the_connection_ends_it_is_told(cut):
    """S01: the connection ends at any byte -> told, and nothing half is kept."""
    with pytest.raises(NetworkError, match="closed the connection during C-GET"):
        talked((STORE + DATASET + PENDING + DONE)[:cut])


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_wherever_a_byte_is_wrong_nothing_but_a_network_error_comes(data):
    script = bytearray(STORE + DATASET + PENDING + DONE)
    for _ in range(data.draw(st.integers(1, 3))):
        script[data.draw(st.integers(0, len(script) - 1))] = data.draw(st.integers(0, 255))
    try:
        responses, _ = talked(bytes(script))
    except NetworkError:
        return
    assert responses[-1].is_final


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (b"\x07\0\0\0\0\4\0\0\2\0", "aborted the association during C-GET"),
        (b"\x05\0\0\0\0\4\0\0\0\0", "released the association before C-GET was done"),
        (b"\x04\0\xff\xff\xff\xff", "4294967295 bytes"),
        (b"HTTP/1.1 400", "a PDU of type 0x48"),
        (STORE + STORE, "fragments of two messages"),
        (p_data((9, 3, b"")), "presentation context that was not accepted"),
        (
            p_data((1, 3, command(e0002=GET, e0100=0x8020, e0120=1, e0800=0x0101, e0900=0))),
            "another message than the C-GET response",
        ),
        (
            p_data((1, 3, command(e0002=GET, e0100=0x8010, e0120=7, e0800=0x0101, e0900=0))),
            "another message than the C-GET response",
        ),
        (p_data((1, 3, command(e0002=GET, e0100=0x8010, e0120=1, e0800=0x0101))), "without a status"),
    ],
)
def test_what_breaks_the_protocol_ends_the_association(script, message):
    with pytest.raises(AssociationAborted, match=message):
        talked(script, hold=True)


def test_silence_ends_at_the_time_limit():
    """S01: silence in the middle of a dataset -> a time-out; nothing half is kept."""
    with pytest.raises(PeerTimeout, match=r"silent for 0\.4 s during C-GET"):
        talked(STORE + DATASET[:-3], hold=True)


@contextlib.contextmanager
def flooded(pieces, shelf, *, sop_class=GET, pause=0.0):
    """Yield a conversation with a peer that sends pieces until the block ends."""
    ours, theirs = socket.socketpair()
    ended = threading.Event()

    def endless():
        with contextlib.suppress(OSError):
            for piece in pieces:
                theirs.sendall(piece)
                if ended.wait(pause):
                    return

    thread = threading.Thread(target=endless, daemon=True)
    thread.start()
    try:
        yield conversation_on(ours, shelf, sop_class)
    finally:
        ended.set()
        theirs.close()
        ours.close()
        thread.join(5)
        assert not thread.is_alive()


def endlessly(pieces, *, service="C-GET", sop_class=GET, pause=0.0, came=lambda: None):
    """Send pieces for ever until the conversation ends; return what it raised, how long it took, and the shelf."""
    shelf, start = Shelf(), time.monotonic()
    with flooded(pieces, shelf, sop_class=sop_class, pause=pause) as conversation:
        responses = conversation.ask(service, sop_class, _expected.Wanted("1.2.3").identifier(), cancel=lambda: False, came=came)
        with pytest.raises(NetworkError) as caught:
            deque(itertools.takewhile(lambda _: time.monotonic() - start < 10, responses), maxlen=0)
        return caught.value, time.monotonic() - start, shelf


def pending(service, **counts):
    sop_class, field = (GET, 0x8010) if service == "C-GET" else (MOVE, 0x8021)
    return p_data((1, 3, command(e0002=sop_class, e0100=field, e0120=1, e0800=0x0101, e0900=0xFF00, **counts)))


@pytest.mark.parametrize("pause", [0.0, 0.05])
@pytest.mark.parametrize(("service", "sop_class"), [("C-GET", GET), ("C-MOVE", MOVE)])
def test_pending_responses_that_count_nothing_do_not_go_on_for_ever(service, sop_class, pause):
    """S05: pending responses for ever -> a time-out."""
    same = pending(service, e1020=5, e1021=1)
    error, seconds, _ = endlessly(itertools.repeat(same), service=service, sop_class=sop_class, pause=pause)
    assert isinstance(error, PeerTimeout)
    assert re.search(rf"sent \d+ pending responses that count nothing, and no data, for 0\.4 s during {service}", str(error))
    assert seconds < 3


def test_pending_responses_in_pieces_are_no_data_either():
    """S05: pending responses for ever, cut into pieces -> a time-out."""
    same = pending("C-GET", e1020=5)
    pieces = (piece for _ in itertools.count() for piece in (same[:30], same[30:]))
    error, seconds, _ = endlessly(pieces, pause=0.03)
    assert isinstance(error, PeerTimeout)
    assert seconds < 3


def test_counts_data_and_what_comes_elsewhere_put_off_the_limit():
    counting = (pending("C-GET", e1020=20 - n, e1021=n) for n in range(20))
    storing = [pending("C-GET", e1020=5), *[STORE + DATASET] * 20]
    for pieces in (counting, storing):
        error, seconds, shelf = endlessly(pieces, pause=0.05)
        assert isinstance(error, PeerTimeout)
        assert 1.3 < seconds < 5
    assert len(shelf.kept) == 20
    start = time.monotonic()
    _, seconds, _ = endlessly(
        itertools.repeat(pending("C-MOVE")),
        service="C-MOVE",
        sop_class=MOVE,
        pause=0.05,
        came=lambda: min(time.monotonic() - start, 1),
    )
    assert 1.3 < seconds < 5


def test_a_peer_with_answers_without_end(monkeypatch):
    """S05: answers without end -> aborted at a limit of our own."""
    monkeypatch.setattr(_expected, "MOST_ANSWERS", 20)
    encoded = b"\x20\0\x0d\0UI\x06\x001.2.3\0"
    one = p_data((1, 3, command(e0002=FIND, e0100=0x8020, e0120=1, e0800=1, e0900=0xFF00)), (1, 2, encoded))
    with flooded(itertools.repeat(one), Shelf(), sop_class=FIND) as conversation:
        queries = _expected._Queries(PEER, conversation, lambda: False, _expected.Expected())
        with pytest.raises(AssociationAborted, match="more than 20 answers"):
            list(queries(_expected.Wanted("1.2.3"), "SERIES", SeriesInstanceUID=None))

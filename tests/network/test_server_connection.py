"""The guarded connection: the same PDUs however TCP cuts them, and limits of length and time."""

import contextlib
import socket
import struct
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.network._connection import Closed, Connection
from workbench.network.receiving import Violation


@contextlib.contextmanager
def pair(*, patience_s=1.0, max_pdu_bytes=4_096):
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as far:
        near, _ = listening.accept()
        connection = Connection(near, patience_s=patience_s, max_pdu_bytes=max_pdu_bytes)
        try:
            yield connection, far
        finally:
            connection.close()


def pdu(kind, body):
    return struct.pack(">BxI", kind, len(body)) + body


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 4_096), st.just(4_096)), min_size=1, max_size=60),
    cuts=st.lists(st.integers(1, 9_000), min_size=1, max_size=8),
)
def test_the_same_pdus_however_they_are_cut(sizes, cuts):
    sent = [pdu(4, bytes([k % 251]) * size) for k, size in enumerate(sizes)]
    stream = b"".join(sent)
    with pair() as (connection, far):

        def send():
            position, k = 0, 0
            while position < len(stream):
                far.sendall(stream[position : position + cuts[k % len(cuts)]])
                position, k = position + cuts[k % len(cuts)], k + 1
            far.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert [bytes(connection.pdu(within_s=5)) for _ in sent] == sent
        sender.join()
        assert connection.wait(1)
        with pytest.raises(Closed):
            connection.pdu(within_s=1)


def test_an_association_request_may_be_longer_than_p_data():
    with pair() as (connection, far):
        long = pdu(1, bytes(400_000))
        sender = threading.Thread(target=far.sendall, args=(pdu(4, b"x") + long + pdu(4, b"y"),))
        sender.start()
        assert [len(connection.pdu(within_s=5)) for _ in range(3)] == [7, len(long), 7]
        sender.join()


@pytest.mark.parametrize(
    ("sent", "match"),
    [
        (pdu(4, bytes(4_097)), "announces 4097 bytes, more than 4096"),
        (struct.pack(">BxI", 1, 0xFFFFFFFF), "announces 4294967295 bytes"),
        (pdu(6, bytes(1_025)), "type 0x06 that announces 1025"),
        (pdu(0, b""), "type 0x00"),
        (pdu(8, b""), "type 0x08"),
        (b"GET / HTTP/1.1\r\n", "not a PDU: type 0x47"),
        (pdu(4, bytes(10))[:-1], "not whole in time"),
        (b"\4", "not whole in time"),
    ],
)
def test_violations(sent, match):
    """N03, N05: lengths beyond the limit of their type, and what is no PDU -> a violation before anything is read."""
    with pair(patience_s=0.4) as (connection, far):
        far.sendall(sent)
        start = time.monotonic()
        with pytest.raises(Violation, match=match):
            connection.pdu(within_s=0.4)
        assert time.monotonic() - start < 1.0


def test_a_closed_connection_is_said_to_be():
    with pair() as (connection, far):
        connection.shut()
        with pytest.raises(Closed):
            connection.pdu(within_s=1)
        assert not connection.send(b"x")
        assert far.recv(1) == b""
        connection.close()
        with pytest.raises(Closed):
            connection.wait(0)

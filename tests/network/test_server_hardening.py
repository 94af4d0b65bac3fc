"""The server against peers that break the rules, spoken to over a raw socket.

After each case a fresh C-ECHO succeeds within 2 s, and threads, sockets and descriptors are back where they were within 10 s.
"""

import contextlib
import logging
import struct
import subprocess
import sys
import threading
import time

import psutil
import pytest

from workbench.archive import Archive
from workbench.entities import Peer, Timeouts
from workbench.errors import AttributeUnusable, ServerRefused
from workbench.network import AddressBook, Server

PATIENCE_S = 1.0
QUICK = Timeouts(connect_s=2, acse_s=PATIENCE_S, dimse_s=2, network_s=PATIENCE_S)
MIB = 1 << 20


@pytest.fixture
def server(archive):
    with Server(archive, timeouts=QUICK, max_associations=4, max_pdu_bytes=16_384) as server:
        yield server


def usage():
    process = psutil.Process()
    return threading.active_count(), process.num_fds(), len(process.net_connections())


@pytest.fixture(autouse=True)
def calm(server, program):
    """The server is as it was before the case, and answers."""

    def verify():
        start = time.monotonic()
        command = [program("echoscu"), "-aec", "WORKBENCH", "127.0.0.1", str(server.port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return done, time.monotonic() - start

    verify()
    time.sleep(0.3)
    before = usage()
    yield
    done, seconds = verify()
    assert done.returncode == 0, done.stderr
    assert seconds < 2.0
    end = time.monotonic() + 10
    while usage() > before and any(a > b for a, b in zip(usage(), before, strict=True)) and time.monotonic() < end:
        time.sleep(0.1)
    assert all(a <= b for a, b in zip(usage(), before, strict=True)), (usage(), before)


def memory_mib():
    return psutil.Process().memory_info().rss / MIB


# ---------------------------------------------------------------- slow and half (N01)
@pytest.mark.parametrize("sent", [b"", b"\x01", b"\x01\0\0", b"\x01\0\0\0\0\x44", b"\x01\0\0\0\0\x44" + b"\0\1" * 16])
def test_a_beginning_without_an_end_is_closed_in_time_and_keeps_nobody_out(server, script, program, sent):
    """N01: half a PDU is held open on every association there is -> all are closed in time; C-ECHO succeeds meanwhile."""
    held = [script.connect(server.port) for _ in range(server.max_associations)]
    start = time.monotonic()
    for connection in held:
        connection.send(sent)
    command = [program("echoscu"), "-aec", "WORKBENCH", "127.0.0.1", str(server.port)]
    assert subprocess.run(command, timeout=5, check=False).returncode == 0
    assert all(connection.is_closed() for connection in held)
    assert time.monotonic() - start < PATIENCE_S + 1
    for connection in held:
        connection.socket.close()


def test_a_request_that_drips_has_a_deadline_as_a_whole(server, script):
    """N01: an association request comes byte by byte -> closed at the deadline of the whole PDU."""
    with script.connect(server.port) as connection:
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in connection.request():
                connection.send(bytes([byte]))
                time.sleep(0.1)
                if time.monotonic() - start > 5:
                    break
        assert connection.is_closed()
        assert time.monotonic() - start < PATIENCE_S + 2


def test_a_pause_within_a_dataset_ends_the_association(server, archive, script):
    """N01: a dataset pauses in the middle -> the association ends in time; nothing is stored."""
    with script.connect(server.port) as connection:
        assert connection.associate(script.CT_CONTEXT) == {1: "1.2.840.10008.1.2.1"}
        connection.send(script.pdu(4, script.pdv(1, 3, script.store_rq("1.2.3.9"))))
        connection.send(script.pdu(4, script.pdv(1, 0, b"\x08\0\x16\0UI")))
        start = time.monotonic()
        assert connection.is_closed()
        assert time.monotonic() - start < PATIENCE_S + 1
    assert archive.counts().instances == 0


def test_an_idle_association_is_aborted(archive, script):
    """N01: an association is silent between messages -> aborted after `idle_s`."""
    with Server(archive, timeouts=QUICK, idle_s=1.0) as patient, script.connect(patient.port) as connection:
        connection.associate()
        start = time.monotonic()
        assert connection.is_closed()
        assert 0.5 < time.monotonic() - start < 3


def test_stores_that_go_on_are_not_idle(archive, script):
    with Server(archive, timeouts=QUICK, idle_s=0.5) as patient, script.connect(patient.port) as connection:
        connection.associate(script.CT_CONTEXT)
        start, count = time.monotonic(), 0
        while time.monotonic() - start < 1.5:
            count += 1
            assert connection.store(f"1.2.3.{count}", script.instance(f"1.2.3.{count}")) == 0
            time.sleep(0.005)
    assert archive.counts().instances == count


def test_a_peer_that_does_not_read_its_answers_is_dropped(server, archive, script):
    for k in range(20):
        archive.add(part10(script, f"1.2.3.{k + 1}", comments="long " * 2_000))
    asked = script.element(0x00080052, "CS", "IMAGE") + script.element(0x00104000, "LT", "")
    with script.connect(server.port, receive_bytes=4096) as connection:
        connection.associate([(1, "1.2.840.10008.5.1.4.1.2.2.1", ("1.2.840.10008.1.2.1",))])
        for k in range(60):  # 12 MB of answers, more than socket buffers hold
            connection.message(1, find_rq(script, k + 1), asked)
        assert server._inside
        start = time.monotonic()
        while server._inside and time.monotonic() - start < 8:
            time.sleep(0.1)
        assert not server._inside


def part10(script, uid, **values):
    from workbench.files import meta_bytes

    return meta_bytes("1.2.840.10008.5.1.4.1.1.2", uid, "1.2.840.10008.1.2.1") + script.instance(uid, **values)


def find_rq(script, message_id=1):
    return script.command_set(e0002="1.2.840.10008.5.1.4.1.2.2.1", e0100=0x20, e0110=message_id, e0700=0, e0800=1)


# ---------------------------------------------------------------- too long (N03, N04)
@pytest.mark.parametrize(("kind", "announced"), [(1, 0xFFFFFFFF), (1, 1_000_000), (5, 0xFFFFFFFF), (7, 5_000), (4, 0xFFFFFFF0)])
def test_a_length_beyond_reason_is_refused_before_it_is_read(server, script, kind, announced):
    """N03: a PDU announces up to 4 GiB and 400 MB are streamed -> closed before it is read; memory stays flat."""
    before, sent = memory_mib(), 0
    with script.connect(server.port) as connection, contextlib.suppress(ConnectionError, TimeoutError):
        connection.send(struct.pack(">BxI", kind, announced))
        while sent < min(400 * MIB, announced):
            connection.send(bytes(MIB))
            sent += MIB
    assert sent < 16 * MIB  # what socket buffers hold
    assert memory_mib() - before < 32


@pytest.mark.parametrize("announced", [16_385, 100 * MIB])
def test_p_data_beyond_what_was_negotiated_aborts(server, script, announced):
    """N04: P-DATA longer than was negotiated, by 1 byte or to 100 MB -> closed; memory stays flat."""
    before = memory_mib()
    with script.connect(server.port) as connection:
        connection.associate(script.CT_CONTEXT)
        connection.send(script.pdu(4, script.pdv(1, 3, script.store_rq("1.2.3.9"))))
        connection.send(struct.pack(">BxI", 4, announced))
        with contextlib.suppress(ConnectionError):
            connection.send(bytes(MIB))
        assert connection.is_closed()
    assert memory_mib() - before < 32


def test_an_identifier_without_end_aborts(server, script):
    """N04: an identifier of fragments without end -> closed; memory stays bounded."""
    before = memory_mib()
    with script.connect(server.port) as connection:
        connection.associate([(1, "1.2.840.10008.5.1.4.1.2.2.1", ("1.2.840.10008.1.2.1",))])
        connection.send(script.pdu(4, script.pdv(1, 3, find_rq(script))))
        with contextlib.suppress(ConnectionError):
            for _ in range(4_000):
                connection.send(script.pdu(4, script.pdv(1, 0, bytes(16_000))))
        assert connection.is_closed()
    assert memory_mib() - before < 80


# ---------------------------------------------------------------- out of turn, or not DICOM (N05)
BEFORE = {
    "P-DATA": b"\x04\0\0\0\0\x04\0\0\0\0",
    "A-RELEASE-RQ": b"\x05\0\0\0\0\x04\0\0\0\0",
    "A-RELEASE-RP": b"\x06\0\0\0\0\x04\0\0\0\0",
    "A-ABORT": b"\x07\0\0\0\0\x04\0\0\0\0",
    "A-ASSOCIATE-AC": b"\x02\0\0\0\0\x44" + bytes(68),
    "A-ASSOCIATE-RJ": b"\x03\0\0\0\0\x04\0\1\1\1",
    "unknown": b"\x99\0\0\0\0\x04\0\0\0\0",
    "HTTP": b"GET /SECRET^NAME HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "a request without a calling AE title": None,
    "a request of nothing": b"\x01\0\0\0\0\0",
    "a request of noise": b"\x01\0\0\0\1\0" + bytes(range(256)),
}


@pytest.mark.parametrize("sent", BEFORE.values(), ids=BEFORE)
def test_what_is_no_association_request_is_closed_with_one_line(server, script, caplog, sent):
    """N05: other PDUs, HTTP, TLS or noise before any association -> closed; one log line, without what was sent."""
    with caplog.at_level(logging.INFO, logger="workbench.network"), script.connect(server.port) as connection:
        connection.send(connection.request(calling="") if sent is None else sent)
        assert connection.is_closed()
        end = time.monotonic() + 3
        while (
            not (lines := [r.getMessage() for r in caplog.records if "no association" in r.getMessage()]) and time.monotonic() < end
        ):
            time.sleep(0.05)
    assert len(lines) == 1
    assert lines[0].startswith("no AE title yet at 127.0.0.1:")
    assert "SECRET" not in caplog.text


WITHIN = {
    "a second request": lambda s, c: c.request(),
    "A-ASSOCIATE-AC": lambda s, c: BEFORE["A-ASSOCIATE-AC"],
    "an unknown type": lambda s, c: BEFORE["unknown"],
    "a release response": lambda s, c: BEFORE["A-RELEASE-RP"],
    "a context that was not accepted": lambda s, c: s.pdu(4, s.pdv(99, 3, s.ECHO_RQ)),
    "a dataset without a command": lambda s, c: s.pdu(4, s.pdv(1, 2, b"SECRET")),
    "a value longer than its PDU": lambda s, c: s.pdu(4, struct.pack(">IBB", 1_000, 1, 3) + b"SECRET"),
    "a value of length 0": lambda s, c: s.pdu(4, bytes(4)),
    "a value that is cut off": lambda s, c: s.pdu(4, s.pdv(1, 3, s.ECHO_RQ) + b"\0\0"),
    "a command that is none": lambda s, c: s.pdu(4, s.pdv(1, 3, b"SECRET" * 9)),
    "a command that is empty": lambda s, c: s.pdu(4, s.pdv(1, 3, b"")),
    "a command without end": lambda s, c: s.pdu(4, s.pdv(1, 1, bytes(16_000))) * 6,
    "a command within a dataset": lambda s, c: s.pdu(4, s.pdv(1, 3, s.store_rq("1.2.3.9")) + s.pdv(1, 3, s.ECHO_RQ)),
    "two contexts mixed": lambda s, c: s.pdu(4, s.pdv(1, 3, s.store_rq("1.2.3.9")) + s.pdv(3, 2, b"\0\0")),
}


@pytest.mark.parametrize("sent", WITHIN.values(), ids=WITHIN)
def test_what_breaks_the_protocol_within_an_association_ends_it(server, archive, script, caplog, sent):
    """N05: PDUs out of turn or malformed within an association -> it ends; nothing is stored or logged of it."""
    with caplog.at_level(logging.DEBUG, logger="workbench.network"), script.connect(server.port) as connection:
        assert len(connection.associate([*script.CT_CONTEXT, (3, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",))])) == 2
        connection.send(sent(script, connection))
        assert connection.is_closed()
    assert archive.counts().instances == 0
    assert "SECRET" not in caplog.text


# ---------------------------------------------------------------- who may come in (N07, N08)
@pytest.mark.parametrize("shape", [lambda peers, path: {p.name: p for p in peers}, lambda peers, path: AddressBook(path, peers)])
def test_titles_and_addresses(archive, script, tmp_path, shape):
    """N07: wrong called title, unknown calling title, known one from another address -> 1/1/7, 1/1/3."""
    known = (Peer("scanner", "SCANNER", host="127.0.0.1"), Peer("far", "FAR", host="192.0.2.7"))
    known = shape(known, tmp_path / "peers.toml")
    with Server(archive, require_calling_ae_titles={"SCANNER", "FAR"}, known_peers=known, timeouts=QUICK) as server:
        for called, calling, expected in (
            ("WORKBENCH", "SCANNER", {1: "1.2.840.10008.1.2"}),
            ("OTHER", "SCANNER", (1, 1, 7)),
            ("workbench", "SCANNER", (1, 1, 7)),
            ("WORKBENCH", "STRANGER", (1, 1, 3)),
            ("WORKBENCH", "FAR", (1, 1, 3)),
        ):
            with script.connect(server.port) as connection:
                assert connection.associate(called=called, calling=calling) == expected, (called, calling)


def test_an_association_more_than_allowed_is_rejected_for_now(server, script):
    """N08: one association more than allowed -> 2/3/2; after one leaves the next is accepted within 1 s."""
    held = [script.connect(server.port) for _ in range(server.max_associations)]
    assert all(isinstance(connection.associate(), dict) for connection in held)
    with script.connect(server.port) as late:
        assert late.associate() == (2, 3, 2)
    assert held[0].release() == 6
    start = time.monotonic()
    while True:
        with script.connect(server.port) as again:
            if isinstance(again.associate(), dict):
                break
        assert time.monotonic() - start < 1.0
        time.sleep(0.05)
    for connection in held:
        connection.socket.close()


def test_connections_beyond_all_measure_are_closed_at_once(server, script):
    """N08: many more connections than associations -> those beyond are closed at once."""
    held = [script.connect(server.port) for _ in range(4 * server.max_associations + 16)]
    time.sleep(0.3)
    with script.connect(server.port) as late:
        start = time.monotonic()
        assert late.is_closed()
        assert time.monotonic() - start < PATIENCE_S / 2
    for connection in held:
        connection.socket.close()
    time.sleep(0.3)


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.2\n", "../../x", "x" * 64, ""])
def test_contexts_with_names_that_are_none_are_not_accepted(server, script, uid):
    """N11: a presentation context is named by a path or by noise -> not accepted; the server answers on."""
    with script.connect(server.port) as connection:
        connection.send(connection.request([(1, uid, ("1.2.840.10008.1.2.1",)), (3, "1.2.840.10008.1.1", ("1.2.840.10008.1.2",))]))
        kind, _ = connection.answer()
        assert kind in {0, 2, 7}


# ---------------------------------------------------------------- the server itself (B07)
def test_a_second_server_at_the_port_is_refused_with_the_reason(server, archive):
    with pytest.raises(ServerRefused, match=f"Port {server.port} of 127.0.0.1 is in use"):
        Server(archive, port=server.port).start()
    with pytest.raises(ServerRefused, match="already runs"):
        server.start()
    with pytest.raises(ServerRefused, match="no address of this machine"):
        Server(archive, host="203.0.113.9").start()
    with pytest.raises(ServerRefused, match="does not run"):
        _ = Server(archive).peer
    with pytest.raises(AttributeUnusable, match="port"):
        Server(archive, port=70_000)
    with pytest.raises(AttributeUnusable, match="AE title"):
        Server(archive, ae_title="x" * 17)
    with pytest.raises(AttributeUnusable, match="host must name an address"):
        Server(archive, host="")


def test_stop_ends_what_is_open_and_frees_the_port(archive, script):
    server = Server(archive, timeouts=QUICK).start()
    port = server.port
    idle, half, storing = (script.connect(port) for _ in range(3))
    idle.associate()
    half.send(b"\x01\0\0")
    storing.associate(script.CT_CONTEXT)
    storing.send(script.pdu(4, script.pdv(1, 3, script.store_rq("1.2.3.9")) + script.pdv(1, 0, b"\x08\0")))
    time.sleep(0.2)
    start = time.monotonic()
    server.stop()
    server.stop()
    assert time.monotonic() - start < 2.0
    assert idle.is_closed()
    assert half.is_closed()
    assert storing.is_closed()
    with Server(archive, port=port, timeouts=QUICK):
        pass
    assert archive.counts().instances == 0
    assert "stopped" in repr(server)
    for connection in (idle, half, storing):
        connection.socket.close()


FORGETFUL = """
import sys, time
from workbench.archive import Archive
from workbench.network import AddressBook, Server
server = Server(Archive(sys.argv[1])).start()
print(server.port, flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("how", ["the end", "SIGKILL"])
def test_the_server_ends_with_its_process(tmp_path, script, how):
    arguments = [sys.executable, "-c", FORGETFUL, str(tmp_path / "other"), "1.5" if how == "the end" else "60"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline())
        with script.connect(port) as idle, script.connect(port) as half:
            idle.associate()
            half.send(b"\x01\0\0")
            if how == "SIGKILL":
                process.kill()
            assert process.wait(5) == (0 if how == "the end" else -9)
            start = time.monotonic()
            assert idle.is_closed()
            assert half.is_closed()
        with Archive(tmp_path / "other") as archive, Server(archive, port=port):
            assert time.monotonic() - start < 2
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


def test_what_a_notebook_shows_is_escaped(archive):
    with Server(archive, ae_title="<B>X</B>") as server:
        assert "<B>" not in server._repr_html_()
        assert f":{server.port}" in server._repr_html_()

"""Every layer at which an association can fail, each with a real socket on the other side."""

import contextlib
import re
import socket
import threading
import time

import pytest

from workbench.entities import Identity, Peer, Timeouts
from workbench.network import echo

HASTE = Timeouts(connect_s=1.0, acse_s=1.0, dimse_s=1.0, network_s=1.0)


@contextlib.contextmanager
def listening(answer):
    """A peer on loopback that does `answer(connection)` with every connection, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        ended = threading.Event()

        def run():
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    answer(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield Peer(name="scripted", ae_title="SCRIPTED", port=server.getsockname()[1], timeouts=HASTE)
        finally:
            ended.set()
            thread.join(10)


def silent(connection):
    while connection.recv(4096):
        pass


def hangs_up(connection):
    connection.recv(4096)


def garbage(connection):
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    silent(connection)


def half_a_header(connection):
    connection.recv(4096)
    connection.sendall(b"\x02\x00\x00")
    silent(connection)


def four_gigabytes(connection):
    connection.recv(4096)
    connection.sendall(b"\x02\x00\xff\xff\xff\xff" + b"\0" * 65536)
    silent(connection)


def aborts(connection):
    connection.recv(4096)
    connection.sendall(bytes.fromhex("07 00 00000004 00 00 00 00"))
    silent(connection)


def rejects(result, source, reason):
    def answer(connection):
        connection.recv(4096)
        connection.sendall(bytes([3, 0, 0, 0, 0, 4, 0, result, source, reason]))
        silent(connection)

    return answer


def test_a_name_that_nobody_knows():
    report = echo(Peer(name="x", ae_title="X", host="nosuch.invalid", timeouts=HASTE))
    assert (report.ok, report.layer) == (False, "name")
    assert "'nosuch.invalid' is not known here" in report.message
    assert "spelling" in report.remedy


def test_a_closed_port(free_port):
    report = echo(Peer(name="x", ae_title="X", port=free_port(), timeouts=HASTE))
    assert not report
    assert report.layer == "tcp"
    assert "refused" in report.message
    assert "Check the port" in report.remedy


def test_nobody_answers_the_connection():
    # a listener whose backlog is full lets further connections hang, as a firewall that drops does
    with socket.socket() as server, contextlib.ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            blocker = stack.enter_context(socket.socket())
            blocker.setblocking(False)
            blocker.connect_ex(server.getsockname())
        report = echo(Peer(name="x", ae_title="X", port=server.getsockname()[1], timeouts=HASTE))
    assert report.layer == "tcp"
    assert "within 1 s" in report.message
    assert "firewall" in report.remedy
    assert 0.9 < report.seconds < 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (silent, "did not answer the association request within 1 s"),
        (half_a_header, "did not answer the association request within 1 s|closed the connection"),
        (hangs_up, "closed the connection instead of answering"),
        (garbage, "answered with something that is not DICOM"),
        (four_gigabytes, "answered with something that is not DICOM"),
        (aborts, "aborted the association while it was requested"),
        (rejects(1, 1, 7), "permanent, service user, called AE title not recognized"),
        (rejects(1, 1, 3), "permanent, service user, calling AE title not recognized"),
        (rejects(2, 3, 2), r"transient, service provider \(presentation\), local limit exceeded"),
        (rejects(1, 2, 2), r"permanent, service provider \(ACSE\), protocol version not supported"),
        (rejects(9, 9, 9), "result 9, source 9, reason 9"),
    ],
)
def test_a_peer_that_is_not_what_it_should_be(answer, message):
    threads = threading.active_count()
    with listening(answer) as peer:
        report = echo(peer)
        assert report.layer == "association"
        assert re.search(message, report.message), report.message
        assert report.remedy
        assert report.seconds < 5
    deadline = time.monotonic() + 5
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= threads


def test_the_remedy_names_what_the_administrator_needs():
    with listening(rejects(1, 1, 3)) as peer:
        report = echo(peer.but(calling_ae_title="NOTEBOOK7"))
    assert "add the calling AE title 'NOTEBOOK7'" in report.remedy


def test_what_a_report_shows_cannot_act(free_port):
    report = echo(Peer(name="x", ae_title="<IMG SRC=X>", port=free_port(), host="127.0.0.1", timeouts=HASTE))
    with listening(aborts) as peer:
        shown = echo(peer.but(ae_title="<B>X</B>"))._repr_html_()
    assert "<B>" not in shown
    assert "&lt;B&gt;X" in shown
    assert "Failed at tcp" in repr(report)


@pytest.mark.parametrize("source", [1, 2])
def test_a_rejection_without_reason_may_be_of_what_was_asked_for(source):
    with listening(rejects(1, source, 1)) as peer:
        assert "may connect; or it does not offer what was asked for (here: Verification SOP Class)" in echo(peer).remedy


@pytest.mark.parametrize(("source", "reason"), [(2, 1), (1, 1)])
def test_a_rejection_without_reason_may_be_of_the_user_that_was_sent(source, reason):
    with listening(rejects(1, source, reason)) as peer:
        assert "the user that was sent" not in echo(peer).remedy
        told = echo(peer.but(identity=Identity("username", user="reader")))
    assert "may not know the user that was sent, or refuse the passcode" in told.remedy
    assert "reader" not in f"{told}"

"""What every association has: refusals in words, threads that end, no identifier in any log."""

import logging
import os
import signal
import socket
import threading
import time

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt

from workbench.entities import Peer, Timeouts
from workbench.errors import ContextRejected, InputError
from workbench.network import contexts, echo
from workbench.network.association import associate, take_over

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"


@pytest.fixture
def accepting():
    """A function that starts a peer which supports some SOP classes."""
    servers = []

    def start(*supported, handlers=()):
        entity = AE(ae_title="SCRIPTED")
        for uid in supported:
            entity.add_supported_context(uid)
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
        servers.append(server)
        return Peer(name="scripted", ae_title="SCRIPTED", port=server.server_address[1], timeouts=Timeouts(2, 2, 2, 2))

    yield start
    for server in servers:
        server.shutdown()


def test_a_peer_without_the_service(accepting):
    report = echo(accepting(CT))
    assert report.layer == "context"
    assert "no presentation context: not Verification SOP Class" in report.message
    assert "'WORKBENCH'" in report.remedy


def test_a_status_that_says_no(accepting):
    report = echo(accepting(VERIFICATION, handlers=[(evt.EVT_C_ECHO, lambda event: 0x0122)]))
    assert report.layer == "dimse"
    assert "status 0x0122, SOP class not supported" in report.message


def test_a_peer_that_aborts_instead_of_answering(accepting):
    """S01: the peer aborts instead of answering -> told as an abort, with its layer."""
    report = echo(accepting(VERIFICATION, handlers=[(evt.EVT_C_ECHO, lambda event: event.assoc.abort() or 0)]))
    assert report.layer == "dimse"
    assert "aborted the association during C-ECHO" in report.message


def test_a_peer_that_never_answers_the_request(accepting):
    """S01: the peer never answers the request -> told as a time-out, in time."""

    def sleep(event):
        time.sleep(3)
        return 0

    report = echo(accepting(VERIFICATION, handlers=[(evt.EVT_C_ECHO, sleep)]))
    assert report.layer == "dimse"
    assert "did not answer C-ECHO within 2 s" in report.message
    assert report.seconds < 4


def test_more_contexts_than_an_association_holds(accepting):
    many = [build_context(f"1.2.3.{n}") for n in range(129)]
    with pytest.raises(InputError, match="1 to 128 presentation contexts, not 129"), associate(accepting(CT), many):
        pass


def test_contexts_beyond_an_association_come_in_rounds_the_usual_syntaxes_first():
    classes = [f"1.2.3.{n}" for n in range(60)]
    rounds = list(contexts.rounds(classes, reserved=1))
    assert all(len(r) <= 127 for r in rounds)
    pairs = [(str(c.abstract_syntax), str(c.transfer_syntax[0])) for r in rounds for c in r]
    assert len(set(pairs)) == len(pairs) == len(classes) * len(contexts.STORED_SYNTAXES)
    usual = {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"}
    for proposed in rounds[:7]:  # a class comes with all of them at once, so that a peer has no reason to decode
        for uid in {str(context.abstract_syntax) for context in proposed}:
            assert usual <= {str(c.transfer_syntax[0]) for c in proposed if c.abstract_syntax == uid}


def test_only_some_contexts_are_accepted(accepting):
    with associate(accepting(CT), [build_context(CT), build_context(FIND)]) as association:
        assert [c.abstract_syntax for c in association.accepted_contexts] == [CT]
    with pytest.raises(ContextRejected, match="Study Root"), associate(accepting(CT), contexts.service(FIND)):
        pass


def test_a_connection_that_is_taken_over_speaks_on_and_is_closed_at_the_end(accepting):
    before = threading.active_count()
    with associate(accepting(VERIFICATION), contexts.service(VERIFICATION)) as association:
        connection = take_over(association)
        connection.sendall(bytes.fromhex("05 00 00000004 00000000"))
        assert connection.recv(10) == bytes.fromhex("06 00 00000004 00000000")
        assert connection.fileno() >= 0
    assert connection.fileno() == -1
    deadline = time.monotonic() + 5
    while threading.active_count() > before + 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before + 1  # the peer's own server thread


def test_no_identifier_reaches_a_log(accepting, caplog):
    def found(event):
        answer = Dataset()
        answer.PatientName = "PLANTED^ANSWER"
        yield 0xFF00, answer

    request = Dataset()
    request.QueryRetrieveLevel, request.PatientName = "STUDY", "PLANTED^QUESTION"
    peer = accepting(FIND, handlers=[(evt.EVT_C_FIND, found)])
    with caplog.at_level(logging.DEBUG), associate(peer, contexts.service(FIND)) as association:
        answers = [identifier for _, identifier in association.send_c_find(request, FIND) if identifier]
    assert answers[0].PatientName == "PLANTED^ANSWER"
    assert caplog.records
    assert "PLANTED" not in caplog.text


@pytest.fixture
def _interruptible():
    """Ctrl-C raises KeyboardInterrupt, also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_while_an_association_is_requested_leaves_nothing_behind():
    """Ctrl-C comes while a peer does not answer the request -> the connection is closed and no thread is left, at once."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peer = Peer(name="x", ae_title="X", port=silent.getsockname()[1], timeouts=Timeouts(30, 30, 30, 30))
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt), associate(peer, [build_context(VERIFICATION)]):
            pytest.fail("it was accepted")  # pragma: no cover
        assert time.monotonic() - start < 5
        timer.join()
        assert {t for t in threading.enumerate() if t.is_alive()} <= before
        theirs, _ = silent.accept()
        with theirs:
            theirs.settimeout(2)
            while theirs.recv(65_536):
                pass  # the request; then the end


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_within_an_association_ends_it(accepting):
    """Ctrl-C comes while an association is open -> it is aborted, and no thread of ours is left."""
    aborted = threading.Event()
    peer = accepting(VERIFICATION, handlers=[(evt.EVT_ABORTED, lambda event: aborted.set())])
    before = set(threading.enumerate())
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt), associate(peer, [build_context(VERIFICATION)]) as association:
        time.sleep(10)
    assert aborted.wait(2)
    end = time.monotonic() + 3
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.05)
    assert set(threading.enumerate()) <= before
    assert not association.dul.is_alive()

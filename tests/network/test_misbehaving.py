"""Every service user against every misbehaviour: each ends within its time limits, by name, and leaves nothing behind.

A real server of ours offers all services; between it and the user a scripted peer spoils what the server says, on cue.
"""

import gc
import itertools
import logging
import re
import struct
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil
import pytest

from tests.network.scripted import EXPLICIT, Between, Scripted, changed, item, items, pdu, pdv
from workbench import phantoms
from workbench.archive import Archive
from workbench.entities import FilmImage, Peer, StudyRef, Timeouts
from workbench.errors import (
    AssociationAborted,
    AssociationRejected,
    ContextRejected,
    NetworkError,
    PeerTimeout,
    PeerUnreachable,
    StatusFailure,
)
from workbench.network import (
    Commitment,
    Printer,
    ProcedureSteps,
    Retry,
    Server,
    Worklist,
    commit,
    echo,
    find,
    free_port,
    print_images,
    procedure_step,
    retrieve,
    store,
    worklist,
)

HASTE = Timeouts(connect_s=1.0, acse_s=0.5, dimse_s=0.5, network_s=0.5)
#: All four limits one after the other, and what a busy machine takes for twelve associations at once.
LIMIT_S = 1.0 + 3 * 0.5 + 3.0
CANARY = "CANARYOF^NOBODY"
ABORT = pdu(7, bytes(4))


@dataclass
class Department:
    """A server with every service, and what its users need."""

    peer: Peer
    study: StudyRef
    image: object
    scheduled: object
    move_port: int

    def begun(self):
        return procedure_step.begin(self.peer, self.scheduled)


@pytest.fixture(scope="module")
def department(tmp_path_factory):
    images = phantoms.ct_series(2, rows=16)
    for image in images:
        image.PatientName = CANARY
    row = {
        "PatientName": CANARY,
        "PatientID": "P1",
        "Modality": "CT",
        "ScheduledStationAETitle": "CT1",
        "ScheduledProcedureStepStartDate": "20261121",
    }

    items_ = Worklist([row])
    move_port = free_port()
    with Archive(tmp_path_factory.mktemp("misbehaving")) as archive:
        for image in images:
            archive.add(image)
        providers = [items_, ProcedureSteps(), Printer(), Commitment(archive, attempts=1)]
        known = [Peer(name="mover", ae_title="WORKBENCH", port=move_port)]
        with Server(archive, providers=providers, known_peers=known, max_associations=64) as server:
            (scheduled,) = worklist(server.peer)
            study = StudyRef(str(images[0].StudyInstanceUID))
            yield Department(server.peer, study, phantoms.ct_series(1, rows=16)[0], scheduled, move_port)


def forget(_):
    """Take what is retrieved."""


SERIES = procedure_step.performed_series(phantoms.ct_series(1, rows=16))
GRAY = FilmImage(bytes(range(64)), 8, 8)
#: By what it does: at which message of the server it is spoilt, and the function.
USERS = {
    "echo": (0x8030, lambda peer, d: echo(peer)),
    "find": (0x8020, lambda peer, d: find(peer, keys={"PatientName": None})),
    "worklist": (0x8020, lambda peer, d: worklist(peer)),
    "retrieve, its query": (0x8020, lambda peer, d: retrieve(peer, d.study, into=forget, method="get")),
    "retrieve by get": (0x8010, lambda peer, d: retrieve(peer, d.study, into=forget, method="get")),
    "retrieve by get, an instance": (0x0001, lambda peer, d: retrieve(peer, d.study, into=forget, method="get")),
    "retrieve by move": (0x8021, lambda peer, d: retrieve(peer, d.study, into=forget, method="move", move_port=d.move_port)),
    "store": (0x8001, lambda peer, d: store(peer, [d.image], retry=Retry(attempts=1))),
    "begin": (0x8140, lambda peer, d: procedure_step.begin(peer, d.scheduled)),
    "progress": (0x8120, lambda peer, d: procedure_step.progress(peer, d.begun(), series=SERIES)),
    "finish": (0x8120, lambda peer, d: procedure_step.finish(peer, d.begun(), series=SERIES)),
    "commit, the report": (0x0100, lambda peer, d: commit(peer, [d.image], wait_s=0.5)),
    "commit": (0x8130, lambda peer, d: commit(peer, [d.image], wait_s=0.5)),
    "print": (0x8110, lambda peer, d: print_images(peer, [GRAY])),
    "print, an image": (0x8120, lambda peer, d: print_images(peer, [GRAY])),
}  # fmt: skip


# ------------------------------------------------------------ misbehaviour
def says(data, then=None):
    """Say something else instead."""

    def misbehave(client, whole):
        client.send(data(whole) if callable(data) else data)
        if then is not None:
            then(client)

    return misbehave


def goes_on(spoil):
    """Spoil a message and go on."""

    def misbehave(client, whole):
        client.send(spoil(whole))
        return True

    return misbehave


def for_ever(spoil, pause_s=0.0):
    def misbehave(client, whole):
        for n in itertools.count():
            client.send(spoil(whole, n))
            time.sleep(pause_s)

    return misbehave


def closes(client):
    raise ConnectionError


def resets(client):
    client.reset()
    raise ConnectionError


def rejected(result, source, reason):
    return says(bytes((3, 0, 0, 0, 0, 4, 0, result, source, reason)))


def accepting(request, *, result=0, syntax=EXPLICIT, shift=0, cut=0):
    """Return an A-ASSOCIATE-AC that accepts everything, or does so wrongly."""
    body = request[6:]
    answer = body[:68] + item(0x10, b"1.2.840.10008.3.1.1.1")
    for code, content in items(body[68:]):
        if code == 0x20:
            answer += item(0x21, bytes([(content[0] + shift) % 256, 0, result, 0]) + item(0x40, syntax.encode()))
    answer += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.826.0.1.3680043.9.1"))
    return pdu(2, answer[: len(answer) - cut])


def dripping(whole, n):
    """One byte after the other of a PDU that has 60,000."""
    return (whole[:1] + b"\0\0\0\xea\x60" + whole[6:])[n % 200 : n % 200 + 1] if n < 6 else b"\0"


def pending(whole, n=0):
    """Return a response that says that more will come."""
    return changed(whole, e0900=0xFF00)


GONE = (AssociationAborted, PeerTimeout)
ASSOCIATION = {
    "is silent": (says(b""), PeerTimeout, "did not answer the association request within 0.5 s"),
    "rejects for good": (rejected(1, 1, 7), AssociationRejected, "called AE title not recognized"),
    "rejects for now": (rejected(2, 3, 2), AssociationRejected, "local limit exceeded"),
    "rejects with numbers of its own": (rejected(9, 9, 9), AssociationRejected, "result 9, source 9, reason 9"),
    "aborts": (says(ABORT), AssociationAborted, "aborted the association"),
    "closes": (says(b"", closes), AssociationAborted, "closed the connection"),
    "resets": (says(b"", resets), AssociationAborted, "closed the connection|lost"),
    "speaks HTTP": (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), AssociationAborted, "not DICOM"),
    "sends half an acceptance": (says(lambda w: accepting(w)[:90]), (PeerTimeout, AssociationAborted), ""),
    "sends half an acceptance and closes": (says(lambda w: accepting(w)[:90], closes), AssociationAborted, ""),
    "sends half an acceptance and aborts": (says(lambda w: accepting(w)[:90] + ABORT), (PeerTimeout, AssociationAborted), ""),
    "sends a huge length": (says(b"\2\0\xff\xff\xff\xff" + bytes(1000)), AssociationAborted, "not DICOM"),
    "drips": (for_ever(dripping, 0.1), (PeerTimeout, AssociationAborted), ""),
    "sends data": (says(pdu(4, pdv(1, 3, bytes(20)))), AssociationAborted, ""),
    "releases": (says(pdu(5, bytes(4))), (AssociationAborted, PeerTimeout), ""),
    "answers a release": (says(pdu(6, bytes(4))), (AssociationAborted, PeerTimeout), ""),
    "asks for an association itself": (says(lambda w: w), AssociationAborted, ""),
    "sends a PDU of an unknown type": (says(pdu(0x99, bytes(4))), AssociationAborted, "not DICOM"),
    "accepts nothing of it": (says(lambda w: accepting(w, result=3)), ContextRejected, "accepted the association but no"),
    "accepts what was not proposed": (says(lambda w: accepting(w, shift=2)), NetworkError, ""),
    "accepts an unknown transfer syntax": (says(lambda w: accepting(w, syntax="1.2.3.4")), NetworkError, ""),
    "accepts a transfer syntax that is none": (says(lambda w: accepting(w, syntax="../../x")), NetworkError, ""),
    "accepts malformed": (says(lambda w: accepting(w, cut=7)), NetworkError, ""),
    "accepts with nothing in it": (says(pdu(2, b"")), NetworkError, ""),
    "accepts twice": (says(lambda w: accepting(w) * 2), NetworkError, ""),
    "accepts and aborts": (says(lambda w: accepting(w) + ABORT), GONE, ""),
    "accepts and closes": (says(accepting, closes), GONE, ""),
}  # fmt: skip
MESSAGE = {
    "is silent": (says(b""), PeerTimeout, ""),
    "aborts": (says(ABORT), AssociationAborted, ""),
    "aborts amid a PDU": (says(lambda w: w[: len(w) // 2] + ABORT), GONE, ""),
    "closes": (says(b"", closes), AssociationAborted, ""),
    "resets": (says(b"", resets), AssociationAborted, ""),
    "sends half a PDU": (says(lambda w: w[: len(w) // 2]), GONE, ""),
    "sends three bytes": (says(lambda w: w[:3]), GONE, ""),
    "sends half a PDU and closes": (says(lambda w: w[: len(w) // 2], closes), AssociationAborted, ""),
    "drips": (for_ever(dripping, 0.1), GONE, ""),
    "sends a huge length": (says(lambda w: b"\4\0\xff\xff\xff\xff" + w[6:]), AssociationAborted, ""),
    "sends a PDU beyond what was negotiated": (says(pdu(4, pdv(1, 1, bytes(1 << 20)))), AssociationAborted, ""),
    "releases": (says(pdu(5, bytes(4))), GONE, ""),
    "answers a release": (says(pdu(6, bytes(4))), GONE, ""),
    "asks for an association": (says(pdu(1, bytes(100))), GONE, ""),
    "accepts once more": (says(pdu(2, bytes(100))), GONE, ""),
    "rejects after all": (says(pdu(3, b"\0\1\1\7")), GONE, ""),
    "sends a PDU of an unknown type": (says(pdu(0x99, bytes(4))), AssociationAborted, ""),
    "sends lengths that do not fit": (says(lambda w: w[:6] + b"\0\0\xff\xff" + w[10:]), GONE, ""),
    "sends an empty value": (says(lambda w: pdu(4, struct.pack(">IBB", 0, w[10], 3))), GONE, ""),
    "sends in a context that was not accepted": (says(lambda w: w[:10] + b"\xfb" + w[11:]), GONE, ""),
    "sends noise for a command": (says(lambda w: pdu(4, pdv(w[10], 3, b"\xa7" * 90))), GONE, ""),
    "sends a command without end": (for_ever(lambda w, n: pdu(4, pdv(w[10], 1, bytes(8000)))), GONE, ""),
    "sends data where none are due": (for_ever(lambda w, n: pdu(4, pdv(w[10], 0, bytes(8000)))), GONE, ""),
    "answers another message": (goes_on(lambda w: changed(w, e0110=None, e0120=4711)), GONE, ""),
    "answers with another service": (goes_on(lambda w: changed(w, e0100=0x8150)), GONE, ""),
    "asks instead of answering": (goes_on(lambda w: changed(w, e0100=0x0030, e0110=9, e0120=None, e0900=None)), GONE, ""),
    "leaves the status out": (goes_on(lambda w: changed(w, e0900=None)), GONE, ""),
    "says no": (goes_on(lambda w: changed(w, e0900=0xC123)), StatusFailure, "0xC123"),
    "says what no service says": (goes_on(lambda w: changed(w, e0900=0x4711)), StatusFailure, "0x4711"),
    "announces data that do not come": (goes_on(lambda w: changed(w, e0800=1)), GONE, ""),
    "says pending for ever": (for_ever(pending), (*GONE, StatusFailure), ""),
    "says pending for ever, in no hurry": (for_ever(pending, 0.15), (*GONE, StatusFailure), ""),
}  # fmt: skip


#: Messages of the server that are requests of its own: they have no status, and answer nothing.
_REQUESTS = ("retrieve by get, an instance", "commit, the report")
_ANSWERS = ("answers another message", "answers with another service", "asks instead of answering", "leaves the status out",
            "says no", "says what no service says", "announces data that do not come")  # fmt: skip
#: Where the peer is asked nothing else: it refuses queries, and is then asked for every storage class, which takes its time.
NOT_ASKED = {how: (*_REQUESTS, "retrieve, its query") if how.startswith("says") else _REQUESTS for how in _ANSWERS}
#: Where the task is done in spite of it: the report proves the commitment, whatever the response was; a printer may keep its
#: state to itself; all instances are here.
WELL = dict.fromkeys(_ANSWERS, ("commit", "print", "retrieve by get", "retrieve by move"))


# ------------------------------------------------------------ what comes of it
@dataclass
class Ending:
    """How a task ended."""

    kind: type
    text: str
    seconds: float


def ending(user, misbehave, department, *, association):
    """Let a user meet a misbehaviour; return what came of it."""
    cue, call = USERS[user]
    between = Between(department.peer, misbehave, cue=None if association else cue, timeouts=HASTE)
    start = time.monotonic()
    try:
        result = call(between.peer, department)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test says so
        found = Ending(type(error), "".join(traceback.format_exception(error)), time.monotonic() - start)
    else:
        rows = result if isinstance(result, tuple) else ()
        is_well = all(getattr(result, name, True) for name in ("ok", "complete", "is_printed"))
        kind = type(None) if is_well else type(result)
        found = Ending(kind, " ".join(map(repr, [result, *rows])), time.monotonic() - start)
    finally:
        between.close()
    assert between.spoilt, f"{user}: nothing was spoilt"
    return found


def met(misbehave, department, *, association):
    """Let every user meet a misbehaviour, all at once."""
    users = [user for user, (cue, _) in USERS.items() if not association or "," not in user]
    with ThreadPoolExecutor(len(users)) as pool:
        found = pool.map(lambda user: ending(user, misbehave, department, association=association), users)
        return dict(zip(users, found, strict=True))


def usage():
    """Return how many threads, sockets and open files there are; without the index, which keeps its readers."""
    gc.collect()
    process = psutil.Process()
    files = [file.path for file in process.open_files() if "index" not in file.path]
    return threading.active_count(), len(process.net_connections(kind="all")), len(files)


@pytest.fixture(scope="module")
def start(department):
    """What is in use once every service has been asked: some of them keep a thread from then on."""
    met(MESSAGE["aborts"][0], department, association=False)
    assert echo(department.peer)
    time.sleep(0.5)
    return usage()


@pytest.fixture(autouse=True)
def calm(start, department, caplog):
    """After each case the server answers at once, and threads, descriptors and sockets are as few as before."""
    caplog.set_level(logging.DEBUG)
    yield
    began = time.monotonic()
    assert echo(department.peer)
    assert time.monotonic() - began < 2
    end = time.monotonic() + 10
    while any(now > before for now, before in zip(usage(), start, strict=True)) and time.monotonic() < end:
        time.sleep(0.05)
    assert all(now <= before for now, before in zip(usage(), start, strict=True)), (usage(), start)
    assert CANARY not in caplog.text


def judged(found, kinds, words, *, may_be_well=()):
    """Return what did not end as it should."""
    wrong = []
    for user, end in found.items():
        is_named = issubclass(end.kind, kinds) or end.kind.__name__.endswith("Report")
        if end.kind is type(None) and user in may_be_well:
            is_named = True
        elif not (re.search(words, end.text) or (user in may_be_well and "complete)" in end.text)):
            wrong.append(f"{user}: no {words!r} in {end.text[-300:]}")
        if not is_named:
            wrong.append(f"{user}: {end.kind.__name__}: {end.text[-1000:]}")
        if CANARY in end.text:
            wrong.append(f"{user}: tells a name")
        if end.seconds > LIMIT_S:
            wrong.append(f"{user}: {end.seconds:.1f} s")
    return wrong


@pytest.mark.parametrize("how", ASSOCIATION)
def test_who_is_asked_for_an_association(how, department):
    """S01: whatever answers the request for an association, each user ends in time with a named error."""
    misbehave, kinds, words = ASSOCIATION[how]
    assert not judged(met(misbehave, department, association=True), kinds, words)


@pytest.mark.parametrize("how", MESSAGE)
def test_who_is_asked_for_a_service(how, department):
    """S01: whatever comes instead of an answer or an instance, each user ends in time with a named error, or its report says so."""
    misbehave, kinds, words = MESSAGE[how]
    found = met(misbehave, department, association=False)
    may_be_well = WELL.get(how, ())
    assert not judged({user: end for user, end in found.items() if user not in NOT_ASKED.get(how, ())}, kinds, words,
                      may_be_well=may_be_well)  # fmt: skip


def test_nobody_listens(department):
    """S01: connection refused -> told as such by every user."""
    nobody = department.peer.but(port=free_port(), timeouts=HASTE)
    for user, (_, call) in USERS.items():
        try:
            text = " ".join(map(repr, [result := call(nobody, department), *(result if isinstance(result, tuple) else ())]))
            assert type(result).__name__.endswith("Report"), user
        except PeerUnreachable as error:
            text = str(error)
        assert "TCP connection refused" in text, user


def test_a_peer_that_does_not_answer_the_release(department):
    """S01: the answer is good, the release is never answered -> the result stands, within the time for a release."""

    def silent_after(client, whole):
        client.send(whole)
        while Scripted.answer(client)[0] not in {0, 5}:
            pass

    for user in ("echo", "begin", "store"):
        cue, call = USERS[user]
        between = Between(department.peer, silent_after, cue=cue, timeouts=HASTE)
        start = time.monotonic()
        try:
            result = call(between.peer, department)
        finally:
            between.close()
        assert time.monotonic() - start < LIMIT_S
        assert all(getattr(result, name, True) for name in ("ok", "complete")), user

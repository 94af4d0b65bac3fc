"""What the systems do where an association fails, row for row of their tables, as the other side of the wire sees it."""

import contextlib
import copy
import dataclasses
import logging
import struct
import time

import pytest

from tests.department.test_statuses import ABORTED, RELEASED, Accepting, made
from tests.network.scripted import EXPLICIT, Listening, Scripted, command_set, item, items, pdu
from workbench import devices, phantoms
from workbench.archive import Archive
from workbench.department import Modality, Outcome
from workbench.network import Server, StoreOutcome, trace

VEREOS = devices.profile("philips-vereos")
DOES = {activity.does: activity for activity in VEREOS.activities}
JPEG, MPEG2, IMPLICIT = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2"


class Odd(Listening):
    """A peer whose conduct is a function of a connection whose association is not answered yet.

    `ends` has the type of the PDU with which each association ended, and source and reason of an A-ABORT; type 0: it was closed.
    """

    def __init__(self, conduct):
        self.conduct, self.connections, self.ends, self.ended_at = conduct, 0, [], []
        super().__init__(None)

    def _serve(self, raw):
        self.connections += 1
        raw.settimeout(8)
        with Watching(raw) as connection, contextlib.suppress(ConnectionError, TimeoutError):
            try:
                self.conduct(connection)
                while True:
                    connection.answer()
            finally:
                self.ends.append(connection.end if isinstance(connection.end, tuple) else (connection.end,))
                self.ended_at.append(time.monotonic())


class Watching(Accepting):
    """Remembers source and reason of an A-ABORT."""

    def answer(self):
        kind, body = 0, b""
        with contextlib.suppress(OSError):
            kind, body = Scripted.answer(self)
        if kind == 4:
            self.context_id = body[4]
        if kind in {0, 5, 7}:
            self.end = (7, body[2], body[3]) if kind == 7 else kind
            if kind == 5:
                self.send(pdu(6, bytes(4)))
            raise ConnectionError("the association is over")
        return kind, body

    def accept_of(self, request, accepts):
        """Answer an A-ASSOCIATE-RQ: of each context the first syntax that is in `accepts`; None leaves the contexts out."""
        answer = request[:68] + item(0x10, b"1.2.840.10008.3.1.1.1")
        for code, content in items(request[68:]):
            if code == 0x20 and accepts is not None:
                offered = [value.decode() for kind, value in items(content[4:]) if kind == 0x40]
                syntax = next((one for one in offered if one in accepts), "")
                result = 0 if syntax else 4
                answer += item(0x21, bytes([content[0], 0, result, 0]) + item(0x40, (syntax or IMPLICIT).encode()))
        user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.826.0.1.3680043.9.1")
        self.send(pdu(2, answer + item(0x50, user)))

    def accept_only(self, *accepts):
        self.accept_of(self.answer()[1], accepts)


@pytest.fixture
def odd():
    peers = []

    def start(conduct):
        peers.append(Odd(conduct))
        return peers[-1]

    yield start
    for peer in peers:
        with contextlib.suppress(OSError):
            peer.close()


def impatient(*, seconds=0.6, profile=VEREOS):
    """Return a profile with shorter time-outs; how often it tries is left as it is."""
    short = {"acse_s": seconds, "dimse_s": None, "service_s": seconds, "idle_s": seconds}

    def shorter(entity):
        policies = tuple((does, dataclasses.replace(policy, **short)) for does, policy in entity.policies)
        return dataclasses.replace(entity, policy=dataclasses.replace(entity.policy, **short), policies=policies)

    return dataclasses.replace(profile, entities=tuple(map(shorter, profile.entities)))


def ready(peer, profile=None):
    system = Modality(profile or impatient(), archive=peer, ris=peer, printer=peer)
    system.made = [*made(VEREOS.name), *phantoms.ct_series(1)]
    return system


def failed(peer, does, profile=None):
    done = ready(peer.peer, profile).perform(DOES[does])
    peer.close()
    assert done.outcome is Outcome.FAILED, done
    return done


# ------------------------------------------------------------ VideoStation: a context that is not accepted
STATION = devices.profile("meddream-videostation")
(SEND,) = [a for a in STATION.activities if a.does == "store"]


def films():
    """A snapshot, and what says that it is a video."""
    snapshot = made(STATION.name)[0]
    video = copy.deepcopy(snapshot)
    video.SOPInstanceUID = video.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.9.1"
    video.file_meta.TransferSyntaxUID = MPEG2
    return snapshot, video


@pytest.mark.parametrize("accepts", [(IMPLICIT,), ()], ids=["implicit only", "none"])
def test_the_station_aborts_where_the_compressed_context_is_not_accepted(odd, accepts):
    """VideoStation, 4.2.2.3.1.3: "abort"; nothing is converted, and no C-STORE goes out."""
    row = devices.happening(devices.events(STATION, activity=SEND.name), "not accepted")
    assert row.action == "abort"
    peer = odd(lambda connection: connection.accept_only(*accepts))
    system = Modality(STATION, archive=peer.peer)
    system.made = [films()[0]]
    with trace() as recorded:
        done = system.perform(SEND)
    peer.close()
    assert (done.outcome, done.count, peer.connections) == (Outcome.FAILED, 0, 1)
    assert peer.ends == [(ABORTED, 0, 0)]
    assert [row.name for row in recorded.rows if row.name.startswith("A-")] == ["A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "A-ABORT"]
    assert [row.outcome for row in system.sent] == [StoreOutcome.REFUSED]


def test_the_station_still_sends_what_is_accepted(odd):
    """The row before: all others are still sent. They go over another association, which is released."""
    peer, stored = None, []

    def conduct(connection):
        connection.accept_only(IMPLICIT, JPEG)
        while True:
            request = connection.response()
            stored.append(request[0x1000].rstrip(b"\0").decode())
            answer = command_set(
                e0002=request[0x0002], e0100=0x8001, e0120=request[0x0110], e0800=0x0101, e0900=0, e1000=request[0x1000]
            )
            connection.message(connection.context_id, answer)

    peer = odd(conduct)
    system = Modality(STATION, archive=peer.peer)
    snapshot, video = films()
    another = copy.deepcopy(snapshot)
    another.SOPInstanceUID = another.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.10.9.2"
    system.made = [snapshot, video, another]
    done = system.perform(SEND)
    peer.close()
    assert (done.outcome, done.count) == (Outcome.FAILED, 2)
    assert [row.outcome for row in system.sent] == [StoreOutcome.STORED, StoreOutcome.REFUSED, StoreOutcome.STORED]
    assert "The association was aborted." in system.sent[1].message
    assert peer.ends == [(ABORTED, 0, 0), (RELEASED,)]
    assert stored == [snapshot.SOPInstanceUID, another.SOPInstanceUID]


def test_others_release_where_a_context_is_not_accepted(tmp_path):
    """The Vereos has no such row."""
    system = ready(None)
    with Archive(tmp_path) as archive, Server(archive, accepts={str(system.made[-1].SOPClassUID): [EXPLICIT]}) as server:
        system.archive = server.peer
        with trace() as recorded:
            done = system.perform(DOES["store"])
    assert done.outcome is Outcome.FAILED
    assert [row.name for row in recorded.rows if row.name.startswith("A-")][-2:] == ["A-RELEASE-RQ", "A-RELEASE-RP"]


# ------------------------------------------------------------ Vereos: rejections and aborts
def cells(table_id, *columns):
    return [tuple(int(str(row[column]).split()[0]) for column in columns) for row in VEREOS.table(table_id).records()]


@pytest.mark.parametrize("does", ["verify", "query", "store", "commit", "print"])
def test_each_rejection_closes_the_connection_and_is_the_end(odd, does):
    """Tables 12 and 55: also a transient one."""
    table = "print-rejection-responses" if does == "print" else "manager-rejection-responses"
    assert {row["action"] for row in VEREOS.table(table).records()} == {"stop"}
    for result, source, reason in cells(table, "result", "source", "reason"):
        peer = odd(lambda connection, said=(0, result, source, reason): (connection.answer(), connection.send(pdu(3, bytes(said)))))
        done = failed(peer, does)
        assert "reject" in done.message
        assert (peer.connections, peer.ends) == (1, [(0,)]), (result, source, reason)


@pytest.mark.parametrize("does", ["verify", "query", "store", "print"])
def test_each_abort_closes_the_connection_and_is_the_end(odd, does):
    """Tables 13 and 56: in the midst of the first request."""
    table = "print-abort-responses" if does == "print" else "manager-abort-responses"
    for source, reason in cells(table, "source", "reason"):

        def conduct(connection, said=(0, 0, source, reason)):
            connection.accept_only(EXPLICIT, IMPLICIT)
            connection.response()
            connection.send(pdu(7, bytes(said)))

        peer = odd(conduct)
        done = failed(peer, does)
        assert "abort" in done.message.lower()
        assert (peer.connections, peer.ends) == (1, [(0,)]), (source, reason)


#: Table 14: what the peer does, and with which A-ABORT (source, reasons) it is answered; see the row's conditions.
ABORTS = {
    "an acceptance without presentation contexts": (lambda connection: connection.accept_of(connection.answer()[1], None), 0),
    "with none accepted": (lambda connection: connection.accept_only(), 0),
    "a PDU above the agreed maximum": (
        lambda connection: answering(connection, struct.pack(">BBI", 4, 0, 70_000) + bytes(70_000)),
        0,
    ),
    "an unrecognized PDU": (lambda connection: answering(connection, pdu(0x21, bytes(4))), 2),
    "not expected in this state": (lambda connection: answering(connection, pdu(6, bytes(4))), 2),
}


def answering(connection, data):
    connection.accept_only(EXPLICIT, IMPLICIT)
    connection.response()
    connection.send(data)


def test_the_conditions_are_those_of_the_table():
    said = "; ".join(row["condition"] for row in VEREOS.table("manager-aborts-sent").records())
    others = {"disconnecting before the request is answered", "idle longer than the association time-out of the peer"}
    for condition in (*ABORTS, *others):  # the first is the ARTIM time-out; for the second Tables 11 and 34 have a release
        assert condition in said


@pytest.mark.parametrize("does", ["verify", "query", "store", "commit"])
@pytest.mark.parametrize("condition", ABORTS)
def test_when_an_abort_is_sent(odd, does, condition):
    conduct, source = ABORTS[condition]
    peer = odd(conduct)
    ready(peer.peer).perform(DOES[does])
    peer.close()
    assert peer.connections == 1
    assert [end[:2] for end in peer.ends] == [(ABORTED, source)], peer.ends


# ------------------------------------------------------------ Vereos: time-outs
@pytest.mark.parametrize("does", ["verify", "worklist", "query", "store", "commit", "print"])
def test_artim_as_initiator(odd, does):
    """Table 11: who does not answer the request in time gets an A-ABORT, and the connection is closed."""
    peer = odd(lambda connection: connection.answer())
    began = time.monotonic()
    done = failed(peer, does)
    assert 0.5 < peer.ended_at[0] - began < 3
    assert "0.6 s" in done.message
    assert (peer.connections, peer.ends) == (1, [(ABORTED, 0, 0)])


def test_artim_and_association_time_out_as_acceptor():
    """Tables 11 and 40: who says nothing is disconnected; who has associated and says nothing gets an A-ABORT of the user."""
    system = Modality(impatient())
    with system.receiving() as (server, _):
        with Scripted(server.port, 4) as silent:
            began = time.monotonic()
            assert silent.answer() == (0, b"")
            assert 0.4 < time.monotonic() - began < 3
        with Scripted(server.port, 4) as idle:
            assert idle.associate(called=server.ae_title)
            kind, body = idle.answer()
    assert (kind, body[2:]) == (ABORTED, bytes([0, 0]))


EXPORT = [row for row in devices.events(VEREOS, activity="Image Export") if row.activity]


@pytest.mark.parametrize("row", EXPORT, ids=lambda row: row.event)
def test_what_ends_a_transfer(odd, caplog, row):
    """Section 4.2.1.3.6.3; the association of an export is never idle: it ends when nothing is left to be sent."""
    stored = []

    def conduct(connection):
        connection.accept_only(EXPLICIT, IMPLICIT)
        while True:
            request = connection.response()
            stored.append(request[0x1000])
            if "service time-out" in row.event:
                connection.answer()
            code = {"response with an error": 0xA700, "response with a warning": 0xB000}.get(row.event, 0)
            answer = command_set(
                e0002=request[0x0002], e0100=0x8001, e0120=request[0x0110], e0800=0x0101, e0900=code, e1000=request[0x1000]
            )
            connection.message(connection.context_id, answer)

    peer = odd(conduct)
    system = ready(peer.peer)
    began = time.monotonic()
    with caplog.at_level(logging.INFO):
        done = system.perform(DOES["store"])
    peer.close()
    assert peer.connections == 1
    assert time.monotonic() - began < 4
    stops = row.action == "stop" and "idle" not in row.event
    assert done.outcome is (Outcome.FAILED if stops else Outcome.DONE)
    assert len(stored) == (1 if stops else len(system.made))
    if "service time-out" in row.event:
        assert [each.outcome for each in system.sent][1:] == [StoreOutcome.FAILED] * (len(system.made) - 1)
        assert "silent for too long" in done.message
        assert peer.ends[0][0] in {0, ABORTED}
    else:
        assert peer.ends == [(RELEASED,)]
        assert peer.ended_at[0] - began < 3
    if row.event == "response with an error":
        assert "philips-vereos: Image Export failed" in caplog.text

"""Statuses of queries and retrievals that only trouble brings, and cancelling at scale."""

import time

import pytest
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

from tests.network.scripted import CT, EXPLICIT
from workbench.archive import Archive
from workbench.archive._index import Row
from workbench.entities import Peer, StudyRef, Timeouts
from workbench.errors import StatusFailure
from workbench.files import meta_bytes
from workbench.network import QueryPolicy, Server, find, retrieve

FIND, MOVE, GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"
QUICK = Timeouts(connect_s=2, acse_s=2, dimse_s=5, network_s=2)
STUDY = "1.2.3.4"


@pytest.fixture
def filled(archive, script):
    for k in range(20):
        uid = f"1.2.3.{k + 1}"
        archive.add(meta_bytes(CT, uid, EXPLICIT) + script.instance(uid))
    return archive


def study(script, level="STUDY"):
    return script.element(0x00080052, "CS", level) + script.element(0x0020000D, "UI", STUDY)


def cancel(script, message_id):
    return script.command_set(e0100=0x0FFF, e0120=message_id, e0800=0x0101)


def last(connection, script):
    """Return the final response and how many came before it."""
    count = 0
    while script.status(message := connection.response()) in {0xFF00, 0xFF01}:
        count += 1
    return message, count


def numbers(message):
    return [int.from_bytes(message[e], "little") if e in message else None for e in (0x1020, 0x1021, 0x1022, 0x1023)]


def test_a_query_with_ten_thousand_matches_is_cancelled_after_the_first(archive, script):
    """N22: the client cancels a C-FIND after 1 response of 10,000 -> 0xFE00 within 1 s, and the association goes on."""
    for n in range(10_000):
        values = {"StudyInstanceUID": f"1.2.{n}", "SeriesInstanceUID": f"1.2.{n}.1", "SOPInstanceUID": f"1.2.{n}.1.1",
                  "SOPClassUID": CT, "PatientID": str(n), "StudyDescription": "d" * 60}  # fmt: skip
        archive._shelf.index.add(Row(values, str(ExplicitVRLittleEndian), "", 1000))
    asked = script.element(0x00080052, "CS", "STUDY") + script.element(0x00081030, "LO", "")
    asked += script.element(0x00100020, "LO", "") + script.element(0x0020000D, "UI", "")
    with Server(archive) as server, script.connect(server.port, receive_bytes=16_384) as connection:
        connection.associate([(1, FIND, (EXPLICIT,))])
        request = script.command_set(e0002=FIND, e0100=0x20, e0110=7, e0700=0, e0800=1)
        connection.message(1, request, asked)
        assert script.status(connection.response()) == 0xFF00
        start = time.monotonic()
        connection.message(1, cancel(script, 7))
        message, count = last(connection, script)
        assert script.status(message) == 0xFE00
        assert time.monotonic() - start < 1
        assert count < 9_999
        connection.message(1, request, script.element(0x00080052, "CS", "STUDY") + script.element(0x00100020, "LO", "42"))
        message, count = last(connection, script)
        assert (script.status(message), count) == (0, 1)


def test_a_move_is_cancelled_with_the_right_counts(filled, script):
    """N22: a C-MOVE is cancelled while its destination is slow -> 0xFE00; what was completed is what has come."""
    came = []

    def slowly(event):
        came.append(str(event.request.AffectedSOPInstanceUID))
        time.sleep(0.1)
        return 0xA700 if len(came) == 2 else 0

    entity = AE(ae_title="SLOW")
    entity.add_supported_context(CT)
    destination = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, slowly)])
    try:
        known = [Peer("slow", "SLOW", port=destination.server_address[1], timeouts=QUICK)]
        with Server(filled, known_peers=known) as server, script.connect(server.port) as connection:
            connection.associate([(1, MOVE, (EXPLICIT,))])
            request = script.command_set(e0002=MOVE, e0100=0x21, e0110=9, e0700=0, e0800=1, e0600="SLOW")
            connection.message(1, request, study(script))
            while len(came) < 4:
                time.sleep(0.01)
            start = time.monotonic()
            connection.message(1, cancel(script, 9))
            message, _ = last(connection, script)
            assert time.monotonic() - start < 1
            remaining, completed, failed, warnings = numbers(message)
            assert script.status(message) == 0xFE00
            assert (completed + failed, failed, warnings) == (len(came), 1, 0)
            assert remaining == 20 - len(came) > 0
            assert came[1].encode() in message["dataset"]
    finally:
        destination.shutdown()


@pytest.mark.parametrize("operation", [0x21, 0x10])
def test_matches_that_can_not_be_counted_are_a701(filled, script, operation, tmp_path):
    """The index is destroyed under the server: it can't tell how many instances match."""
    for reader in [filled._shelf.index._idle.pop() for _ in range(len(filled._shelf.index._idle))]:
        reader.close()
    with Server(filled, known_peers=[Peer("x", "THERE", port=1)]) as server, script.connect(server.port) as connection:
        uid = {0x21: MOVE, 0x10: GET}[operation]
        connection.associate([(1, uid, (EXPLICIT,))])
        filled._shelf.index.flush()
        for path in (tmp_path / "archive").glob("index.sqlite*"):
            path.write_bytes(b"no database at all" * 400)
        more = {"e0600": "THERE"} if operation == 0x21 else {}
        connection.message(1, script.command_set(e0002=uid, e0100=operation, e0110=3, e0700=0, e0800=1, **more), study(script))
        message, _ = last(connection, script)
        assert script.status(message) == 0xA701
        assert b"number of matches can't be told" in message[0x0902]


def test_more_instances_than_may_be_are_a702(filled, tmp_path):
    with Server(filled, queries=QueryPolicy(most_matches=19)) as server, Archive(tmp_path / "into") as into:
        with pytest.raises(StatusFailure, match="0xA702") as caught:
            retrieve(server.peer, StudyRef(STUDY), into=into)
        assert caught.value.status == 0xA702
        assert len(into) == 0
        assert find(server.peer)[0].StudyInstanceUID == STUDY


def test_a_destination_that_refuses_fails_every_instance_in_time(filled, script):
    """S04: the destination does not know us -> 0xA702 with all as failed, soon; the association goes on."""
    entity = AE(ae_title="OTHER")
    entity.require_called_aet = True
    entity.add_supported_context(CT)
    refusing = entity.start_server(("127.0.0.1", 0), block=False)
    try:
        known = [Peer("refusing", "NOTTHIS", port=refusing.server_address[1], timeouts=QUICK)]
        with Server(filled, known_peers=known) as server, script.connect(server.port) as connection:
            connection.associate([(1, MOVE, (EXPLICIT,))])
            for title, status, counted in (("NOTTHIS", 0xA702, [None, 0, 20, 0]), ("NOWHERE", 0xA801, [None] * 4)):
                start = time.monotonic()
                request = script.command_set(e0002=MOVE, e0100=0x21, e0110=9, e0700=0, e0800=1, e0600=title)
                connection.message(1, request, study(script))
                message, _ = last(connection, script)
                assert (script.status(message), numbers(message)) == (status, counted)
                assert time.monotonic() - start < 2
    finally:
        refusing.shutdown()

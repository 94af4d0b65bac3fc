"""Associations recorded: whatever passes is seen, as it is on the wire; who the patient is does not get into it."""

import contextlib
import itertools
import os
import re
import socket
import struct
import threading
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from workbench import phantoms
from workbench.archive import Archive
from workbench.entities import StudyRef
from workbench.errors import NetworkError
from workbench.network import Commitment, Server, Trace, commit, echo, find, free_port, retrieve, security, store, trace, worklist
from workbench.network._diagram import diagram
from workbench.network._trace_rows import Side, TraceRow
from workbench.network._wire import Message, Notice, Pdu, Stream, negotiation
from workbench.network.trace import _keys

CT, VERIFICATION = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
PLANTED = "PLANTED^NAME"


@pytest.fixture
def server(archive: Archive):
    with Server(archive, ae_title="DOOR") as server:
        yield server


@pytest.fixture(scope="module")
def images():
    return list(phantoms.ct_series(6))


def names(recorded, association=1):
    return [row.name for row in recorded.rows if row.association == association]


# ------------------------------------------------------------ the parser, by itself
def stores(script, uid="2.25.7", size=5000):
    """Return the bytes of an association with a C-ECHO and a C-STORE, as its caller sends them."""
    request = script.connect.request(None, ((1, VERIFICATION, (IMPLICIT,)), (3, CT, (EXPLICIT,))))
    echo_rq = script.pdu(4, script.pdv(1, 3, script.ECHO_RQ))
    command = script.store_rq(uid)
    data = bytes(size)
    pieces = b"".join(script.pdu(4, script.pdv(3, 0, data[k : k + 999])) for k in range(0, size, 999))
    both = script.pdu(4, script.pdv(3, 1, command[:40]) + script.pdv(3, 3, command[40:]))
    return request + echo_rq + both + pieces + script.pdu(4, script.pdv(3, 2, b"\0\0")) + script.pdu(5, bytes(4))


def events(stream: bytes, cuts=()):
    parser, found = Stream(), []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for begin, end in itertools.pairwise(edges):
        found += parser.feed(stream[begin:end], 0.0)
    return found + parser.end(0.0)


@given(cuts=st.lists(st.integers(0, 10_000), max_size=40), shorter=st.integers(0, 7000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it is a class that does not change
def test_any_cut_of_the_bytes_gives_the_same_events(script, cuts, shorter):
    stream = stores(script)
    stream = stream[: len(stream) - shorter % len(stream)]
    assert events(stream, cuts) == events(stream)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_no_bytes_at_all_trouble_the_parser(garbage, cuts):
    found = events(garbage, cuts)
    assert found == events(garbage)
    assert all(isinstance(event, Pdu | Message | Notice) for event in found)
    negotiation(garbage)


def test_messages_are_put_together_from_their_fragments(script):
    found = events(stores(script))
    messages = [event for event in found if isinstance(event, Message)]
    assert [m.command[0x0100] for m in messages] == [b"\x30\0", b"\x01\0"]
    assert (messages[1].dataset_bytes, messages[1].pdus, messages[1].dataset) == (5002, 8, None)
    assert sum(event.size_bytes for event in found if isinstance(event, Pdu)) == len(stores(script))


def test_what_is_not_a_pdu_is_said_once():
    assert events(b"GET / HTTP/1.1\r\n\r\n", (3, 5)) == [Notice("not a PDU: type 0x47 (PS3.8 9.3.1)", 0.0)]


def test_lengths_that_do_not_fit_are_said(script):
    (pdu,) = events(script.pdu(4, struct.pack(">IBB", 5000, 1, 3) + b"abc"))
    assert "do not fit" in pdu.note


def test_a_huge_length_takes_no_memory():
    (pdu,) = events(struct.pack(">BxI", 1, 0xFFFFFFFF) + bytes(1000))
    assert pdu.note == "cut off: 1006 of 4294967301 bytes"


# ------------------------------------------------------------ our own services
def test_an_echo(server):
    with trace() as recorded:
        assert echo(server.peer)
    assert names(recorded) == [
        "A-ASSOCIATE-RQ", "A-ASSOCIATE-AC", "C-ECHO-RQ", "C-ECHO-RSP", "A-RELEASE-RQ", "A-RELEASE-RP", "connection",
    ]  # fmt: skip
    (context,) = recorded.contexts
    assert (context.sop_class_uid, context.result) == (VERIFICATION, "accepted")
    answer = recorded.rows[3]
    assert (answer.direction, answer.status, answer.meaning, answer.message_id) == ("received", 0, "success", 1)


def test_the_fast_path_of_storing_is_seen(server, images):
    with trace() as recorded:
        assert store(server.peer, images).complete
    requests = [row for row in recorded.rows if row.name == "C-STORE-RQ"]
    assert [row.sop_instance_uid for row in requests] == [str(image.SOPInstanceUID) for image in images]
    assert all(row.dataset_bytes > 500_000 and row.pdus > 1 and row.sop_class == "CT Image Storage" for row in requests)
    assert sum(pdu.size_bytes for pdu in recorded.pdus if pdu.direction == "sent") > sum(r.dataset_bytes for r in requests)


def test_every_association_of_a_parallel_store_is_seen(server, images):
    with trace() as recorded:
        assert store(server.peer, images, associations=3).complete
    assert {row.association for row in recorded.rows} == {1, 2, 3}
    assert sum(row.name == "C-STORE-RSP" and row.status == 0 for row in recorded.rows) == len(images)


def test_retrieval_is_seen_with_the_sub_operations_of_the_other_side(server, images, tmp_path):
    store(server.peer, images)
    study = StudyRef(str(images[0].StudyInstanceUID))
    with Archive(tmp_path / "here") as here, trace() as recorded:
        assert retrieve(server.peer, [study], into=here, method="get").complete
    brought = [row for row in recorded.rows if row.name == "C-STORE-RQ" and row.direction == "received"]
    assert len(brought) == len(images)
    assert any(row.name == "C-GET-RSP" and f"{len(images)} completed" in row.note for row in recorded.rows)
    assert any(context.roles == "SCU+SCP → SCU+SCP" for context in recorded.contexts)


def test_a_server_that_is_started_inside_the_block_is_recorded_from_its_side(archive):
    with trace() as recorded, Server(archive, ae_title="DOOR") as server:
        echo(server.peer)
    sent, received = (
        {row.name for row in recorded.rows if row.direction == way and row.status == 0} for way in ("sent", "received")
    )
    assert sent == received == {"C-ECHO-RSP"}
    assert len({row.association for row in recorded.rows}) == 2


def test_a_server_records_into_a_trace_of_its_own(archive, images):
    recorded = Trace()
    with Server(archive, ae_title="DOOR", trace=recorded) as server:
        store(server.peer, images[:2])
    assert [row.direction for row in recorded.rows if row.name == "C-STORE-RQ"] == ["received"] * 2
    assert names(recorded)[-1] == "connection"


def test_a_server_records_what_it_sends_for_a_c_move(archive, images, tmp_path):
    recorded, port = Trace(), free_port()
    with Server(archive, ae_title="DOOR", trace=recorded) as server, Archive(tmp_path / "here") as here:
        server.know(server.peer.but(ae_title="WORKBENCH", port=port))
        assert store(server.peer, images).complete
        study = StudyRef(str(images[0].StudyInstanceUID))
        assert retrieve(server.peer, [study], into=here, method="move", move_port=port).complete
    asked, ended = ([row for row in recorded.rows if row.name == name][-1] for name in ("C-MOVE-RQ", "C-MOVE-RSP"))
    sent = [row for row in recorded.rows if row.name == "C-STORE-RQ" and row.direction == "sent"]
    assert {row.sop_instance_uid for row in sent} == {str(image.SOPInstanceUID) for image in images}
    assert {row.association for row in sent} == {asked.association + 1}
    assert asked.seconds < sent[0].seconds < ended.seconds


@pytest.mark.parametrize("report", ["same", "new"])
def test_a_server_records_its_reports_of_storage_commitment(archive, images, report):
    recorded, port = Trace(), free_port()
    keeper = Commitment(archive, report=report)
    with Server(archive, ae_title="DOOR", trace=recorded, providers=[keeper]) as server:
        server.know(server.peer.but(ae_title="WORKBENCH", port=port))
        assert store(server.peer, images).complete
        assert commit(server.peer, images, listen=port, wait_s=20).complete
    said = {row.name: (row.association, row.direction) for row in recorded.rows if row.name.startswith("N-")}
    assert said["N-ACTION-RQ"] == (2, "received")
    assert said["N-EVENT-REPORT-RQ"] == (2 if report == "same" else 3, "sent")


def test_a_rejection_is_told_in_words(server):
    with trace() as recorded:
        echo(server.peer.but(ae_title="WRONG"))
    row = next(row for row in recorded.rows if row.name == "A-ASSOCIATE-RJ")
    assert "called AE title not recognized" in row.meaning
    assert [context.result for context in recorded.contexts] == ["not answered"]


def test_an_abort_within_a_pdu_is_told(listening, script):
    def talk(connection):
        connection.answer()
        connection.send(script.pdu(4, script.pdv(1, 3, script.ECHO_RQ))[:9])
        connection.socket.close()

    with trace() as recorded:
        assert not echo(listening(talk))
    assert any(row.meaning == "cut off: 9 of 80 bytes" for row in recorded.rows), [row.meaning for row in recorded.rows]


def test_other_threads_are_not_recorded(server):
    with trace() as recorded:
        thread = threading.Thread(target=echo, args=(server.peer,))
        thread.start()
        thread.join(10)
    assert len(recorded) == 0


def test_nothing_is_recorded_outside_of_a_block(server):
    with trace() as recorded:
        pass
    assert echo(server.peer)
    assert repr(recorded) == "<Trace of 0 associations, 0 rows>"


def test_an_association_in_tls_is_seen_from_both_sides(archive, images, tmp_path):
    authority = security.test_authority(tmp_path / "authority")
    with trace() as recorded, Server(archive, ae_title="DOOR", tls=authority.server) as server:
        peer = server.peer.but(tls=authority.client)
        assert store(peer, images[:2]).complete
        brought = []
        assert retrieve(peer, [StudyRef(str(images[0].StudyInstanceUID))], into=brought.append, method="get").complete
    asked = [(row.direction, row.sop_instance_uid) for row in recorded.rows if row.name == "C-STORE-RQ"]
    assert len(asked) == 8
    assert {(way, uid) for way, uid in asked} == {(way, str(i.SOPInstanceUID)) for way in ("sent", "received") for i in images[:2]}
    assert not [row for row in recorded.rows if row.name == "violation"]


def test_a_user_identity_is_told_by_its_kind_alone(script):
    secret = struct.pack(">BBH", 2, 1, 4) + b"anna" + struct.pack(">H", 6) + b"SECRET"
    body = bytes(68) + script.item(0x50, script.item(0x58, secret))
    found = negotiation(body)
    assert found.others == ["user identity of type 2"]
    assert "SECRET" not in repr(found)
    assert "anna" not in repr(found)


# ------------------------------------------------------------ identifiers, tables, HTML
@pytest.fixture
def planted(server, images):
    one = images[0].copy()
    one.PatientName, one.PatientID = PLANTED, "PLANTED-ID"
    store(server.peer, [one])
    return server


def test_identifiers_are_masked_unless_asked(planted):
    with trace() as recorded:
        assert len(find(planted.peer, keys={"PatientName": "PLANTED*"})) == 1
    everything = recorded._repr_html_() + repr(recorded.rows.records()) + recorded.table().to_csv()
    assert "PLANTED" not in everything
    request = next(row for row in recorded.rows if row.name == "C-FIND-RQ")
    assert {"PatientName=•••", "PatientID", "QueryRetrieveLevel=STUDY"} <= set(request.identifier)
    with trace(values=True) as recorded:
        find(planted.peer, keys={"PatientName": "PLANTED*"})
    assert any(f"PatientName={PLANTED}" in row.identifier for row in recorded.rows)


def test_the_table_has_one_row_a_message_and_good_types(planted):
    with trace() as recorded:
        find(planted.peer, keys={"PatientName": "PLANTED*"})
    table = recorded.table()
    assert len(table) == len(recorded)
    kinds = {name: str(table[name].dtype) for name in ("seconds", "status", "message_id", "name", "wire_bytes")}
    assert kinds == {"seconds": "Float64", "status": "Int64", "message_id": "Int64", "name": "category", "wire_bytes": "Int64"}
    assert table.seconds.is_monotonic_increasing
    assert Trace().table().empty


def test_what_a_peer_says_does_not_act_in_the_diagram(archive):
    recorded = Trace(values=True)
    evil = "<script>alert(1)"
    with Server(archive, ae_title="DOOR", trace=recorded, require_called_ae_title=False) as server:
        echo(server.peer.but(ae_title="<b>", calling_ae_title="<i>&"))
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(f"{evil}\r\n".encode())
            connection.recv(100)
    html = recorded._repr_html_()
    assert "&lt;b&gt;" in html
    assert "&lt;i&gt;&amp;" in html
    assert not re.findall(r"<b><b>|<i>&|<script", html)
    assert "not a PDU" in html


def test_many_messages_of_one_kind_are_drawn_as_one(server, images):
    with trace() as recorded:
        store(server.peer, images)
    html = recorded._repr_html_()
    assert html.count("<b>C-STORE-RQ</b>") == 2
    assert f"{len(images) - 2} more of this" in html


def test_the_page_stands_alone(server, tmp_path):
    with trace() as recorded:
        echo(server.peer)
    page = recorded.save(tmp_path / "trace.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert not re.findall(r"<script|://|src=|@import|url\(", page)


@pytest.mark.parametrize(("values", "mode"), [(True, 0o600), (False, 0o644)])
def test_a_page_with_values_is_for_its_owner_alone_also_where_a_file_was(tmp_path, values, mode):
    (page := tmp_path / "trace.html").write_text("before")
    page.chmod(0o644)
    with page.open() as before:
        before_umask = os.umask(0o022)
        try:
            assert Trace(values=values).save(page) == page
        finally:
            os.umask(before_umask)
        assert page.stat().st_mode & 0o777 == mode
        assert before.read() == "before"  # whoever had it open does not see the new one
    assert page.read_text("utf-8").endswith("</html>\n")
    assert list(tmp_path.iterdir()) == [page]


def test_a_page_goes_through_a_pipe(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text("utf-8")), daemon=True)
    reader.start()
    Trace().save(pipe)
    reader.join(10)
    assert found[0].endswith("</html>\n")
    assert pipe.is_fifo()


def test_keys_inside_a_sequence_are_named_with_it(listening, script):
    with trace() as recorded, contextlib.suppress(NetworkError):
        worklist(listening(lambda _: None), keys={"PatientName": PLANTED})
    (request,) = (row for row in recorded.rows if row.name == "C-FIND-RQ")
    assert "ScheduledProcedureStepSequence[1]" in request.identifier
    assert "ScheduledProcedureStepSequence.ScheduledStationAETitle" in request.identifier


def test_what_a_peer_labels_as_a_uid_is_masked_all_the_same():
    """Explicit VR: the label is the peer's, whether a value names a patient is the dictionary's."""
    encoded = b"".join(
        struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"UI", len(value)) + value
        for tag, value in ((0x0020000D, b"1.2.3\0"), (0x00100010, b"PLANTED^NAME"), (0x00110010, b"PLANTED!"))
    )
    told = list(_keys(read_dataset(BytesIO(encoded), False, True), values=False))
    assert set(told) == {"PatientName=•••", "StudyInstanceUID=1.2.3", "(0011,0010)=•••"}


def test_time_runs_down_in_the_diagram_whatever_was_complete_first():
    """A response that began before C-CANCEL and was complete after it stands above it."""
    side = Side(1, "WE", "THEY", "here", "there", is_caller=True, sent_bytes=0, received_bytes=0)
    rows = [
        TraceRow(1, 0.001, 0.0, "sent", "C-FIND-RQ"),
        TraceRow(1, 0.009, 0.0, "sent", "C-CANCEL-RQ"),
        TraceRow(1, 0.008, 0.004, "received", "C-FIND-RSP"),
    ]
    page = diagram([side], rows, [], missing=0)
    assert page.index("C-FIND-RQ") < page.index("C-FIND-RSP") < page.index("C-CANCEL-RQ")
    assert "0.011 s" in page

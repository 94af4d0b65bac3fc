"""Retrieval from peers that misbehave on cue."""

import socket
import threading
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt

from workbench.archive import Archive
from workbench.entities import InstanceRef, PatientRef, Peer, SeriesRef, StudyRef, Timeouts
from workbench.errors import ContextRejected, InputError, StatusFailure, UidInvalid
from workbench.files import meta_bytes
from workbench.network import Server, find, retrieve, trace
from workbench.network._intake import Intake
from workbench.network.contexts import query_model
from workbench.phantoms import ct_series

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND, GET, MOVE = (query_model("STUDY", operation) for operation in ("FIND", "GET", "MOVE"))
SLICES = list(ct_series(6, rows=64))
STUDY = StudyRef(str(SLICES[0].StudyInstanceUID))


def find_slices(event):
    """A C-FIND that knows the slices; it finds Patient IDs as a wild card wherever it is asked for one."""
    level = event.identifier.QueryRetrieveLevel
    for dataset in SLICES if level == "IMAGE" else SLICES[:1]:
        answer = Dataset()
        answer.QueryRetrieveLevel = level
        for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
            if keyword in event.identifier:
                setattr(answer, keyword, dataset[keyword].value)
        yield 0xFF00, answer


@pytest.fixture
def scripted():
    """A function that starts a peer with these handlers for C-FIND, C-GET and C-MOVE."""
    servers = []

    def start(*, find=find_slices, get=None, move=None, **options):
        entity = AE(ae_title="SCRIPTED")
        for uid, handler in ((FIND, find), (GET, get), (MOVE, move)):
            if handler:
                entity.add_supported_context(uid)
        entity.add_supported_context(CT, ExplicitVRLittleEndian, scu_role=True, scp_role=True)
        entity.add_requested_context(CT, ExplicitVRLittleEndian)
        handlers = [(e, h) for e, h in ((evt.EVT_C_FIND, find), (evt.EVT_C_GET, get), (evt.EVT_C_MOVE, move)) if h]
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        servers.append(server)
        patience = Timeouts(2, 2, options.get("dimse_s", 2.0), 2)
        return Peer(name="scripted", ae_title="SCRIPTED", port=server.server_address[1], timeouts=patience)

    yield start
    for server in servers:
        server.shutdown()


def giving(*steps):
    """A C-GET that sends slices by number, and does what callables say."""

    def handler(event):
        yield sum(isinstance(step, int) for step in steps)
        for step in steps:
            if callable(step):
                yield from step(event) or ()
            else:
                yield 0xFF00, SLICES[step]

    return handler


def test_everything(scripted, tmp_path):
    with Archive(tmp_path) as archive:
        report = retrieve(scripted(get=giving(*range(6))), STUDY, into=archive, method="get")
        assert report.complete, report.troubles
        assert archive.counts().instances == 6
        assert archive.open(SLICES[3].SOPInstanceUID).PixelData == SLICES[3].PixelData


def test_what_a_peer_leaves_out_in_silence_is_seen(scripted, tmp_path):
    """S02: the peer says success and leaves instances out -> they have rows, and the report is not complete."""
    with Archive(tmp_path) as archive:
        report = retrieve(scripted(get=giving(0, 1, 3, 5)), STUDY, into=archive, method="get")
    assert not report.complete
    missing = {row.sop_instance_uid for row in report if row.outcome == "missing"}
    assert missing == {SLICES[2].SOPInstanceUID, SLICES[4].SOPInstanceUID}
    assert all("did not send it" in row.message for row in report.troubles)


def abort(event):
    event.assoc.abort()


def test_an_abort_in_the_middle_keeps_what_came(scripted, tmp_path):
    """S01: the peer aborts in the middle -> what came is kept, the others are told as missing."""
    with Archive(tmp_path) as archive:
        report = retrieve(scripted(get=giving(0, 1, abort, 2)), STUDY, into=archive, method="get")
        assert archive.counts().instances == 2
    assert report.counts() == {"retrieved": 2, "missing": 4}
    assert all("aborted the association" in row.message or "closed" in row.message for row in report.troubles)
    assert not report.complete


def test_silence_in_the_middle_keeps_what_came(scripted, tmp_path):
    """S01: the peer falls silent in the middle -> what came is kept, the others are told as missing."""
    peer = scripted(get=giving(0, lambda event: time.sleep(4), 1), dimse_s=1.0)
    start = time.monotonic()
    with Archive(tmp_path) as archive:
        report = retrieve(peer, STUDY, into=archive, method="get")
    assert time.monotonic() - start < 4
    assert report.counts() == {"retrieved": 1, "missing": 5}
    assert all("silent for 1 s during C-GET" in row.message for row in report.troubles)


def refusing(code, comment=""):
    def handler(event):
        yield 1
        answer = Dataset()
        answer.Status = code
        if comment:
            answer.ErrorComment = comment
        yield answer, None

    return handler


@pytest.mark.parametrize(
    ("code", "words"), [(0xA701, "number of matches"), (0xA702, "sub-operations"), (0xC000, "unable to process")]
)
def test_a_refusal(scripted, code, words):
    with pytest.raises(StatusFailure, match=words) as caught:
        retrieve(scripted(get=refusing(code, "no\x1b[2J")), STUDY, into=print, method="get")
    assert caught.value.status == code
    assert "\x1b" not in str(caught.value)


def test_a_peer_that_ignores_a_cancel_is_left(scripted, tmp_path):
    def endless(event):
        yield 400
        for _ in range(400):
            time.sleep(0.05)
            yield 0xFF00, SLICES[0]

    start = time.monotonic()
    came = []
    report = retrieve(scripted(get=endless), STUDY, into=came.append, method="get", cancel=lambda: bool(came))
    assert time.monotonic() - start < 12
    assert report.cancelled
    assert report.counts()["retrieved"] == 1


def test_c_move_where_there_is_no_c_get(scripted, tmp_path):
    def move(event):
        yield "127.0.0.1", ports[0]
        yield len(SLICES)
        for dataset in SLICES:
            yield 0xFF00, dataset

    ports = []
    with pytest.raises(ContextRejected, match="GET"):
        retrieve(scripted(move=move), STUDY, into=print, method="get")
    ports.append(_free())
    with Archive(tmp_path) as archive:
        report = retrieve(scripted(move=move), STUDY, into=archive, move_port=ports[0])
        assert report.method == "move"
        assert report.complete, report.troubles
        assert archive.counts().instances == 6


@pytest.mark.parametrize("code", [0xA702, 0xA801, 0xC000])
def test_a_c_move_that_can_not_reach_us_is_answered_with_what_the_peer_must_know(scripted, code):
    port = _free()

    def move(event):
        yield "127.0.0.1", port
        yield from refusing(code)(event)

    remedy = rf"peer must know our AE title 'WORKBENCH' at this machine's address and port {port}: .*move_port="
    with pytest.raises(StatusFailure, match=remedy) as caught:
        retrieve(scripted(move=move), STUDY, into=print, method="move", move_port=port)
    assert caught.value.status == code


def test_a_c_get_that_is_refused_says_nothing_of_ports(scripted):
    with pytest.raises(StatusFailure) as caught:
        retrieve(scripted(get=refusing(0xA702)), STUDY, into=print, method="get")
    assert "move_port" not in str(caught.value)


def _free():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nobody_else_can_push_while_we_wait_for_c_move(scripted):
    """The server of a retrieval takes in nothing but what was asked for."""
    pushed = []

    def move(event):
        entity = AE(ae_title="INTRUDER")
        entity.add_requested_context(CT, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", port, ae_title="WORKBENCH")
        stranger = next(iter(ct_series(1, rows=16, seed=99)))
        stranger.SOPInstanceUID = stranger.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
        pushed.append(association.send_c_store(stranger).Status)
        association.release()
        yield "127.0.0.1", port
        yield 0

    port = _free()
    came = []
    report = retrieve(scripted(move=move), STUDY, into=came.append, method="move", move_port=port)
    assert pushed[0] == 0xA900
    assert came == []
    assert not report.complete


def test_who_says_what_to_expect_asks_nobody(scripted, archive):
    """Only C-MOVE goes out: otherwise a query comes before it."""
    expected = InstanceRef("1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4.5")
    peer = scripted(move=refusing(0xA801))
    for expect, asked in (([expected], ["C-MOVE-RQ"]), (None, ["C-FIND-RQ", "C-MOVE-RQ"])):
        with trace() as recorded, pytest.raises(StatusFailure):
            retrieve(peer, STUDY, into=archive, method="move", expect=expect)
        names = [row.name for row in recorded.rows if row.name in {"C-FIND-RQ", "C-MOVE-RQ"}]
        assert list(dict.fromkeys(names)) == asked
    with pytest.raises(InputError, match="expect goes with references to studies, series or instances"):
        retrieve(scripted(), PatientRef("1"), into=archive, method="move", expect=[])


def test_a_patient_id_is_not_a_wild_card(scripted):
    came = []
    report = retrieve(scripted(get=giving(*range(6))), PatientRef("*"), into=came.append, method="get")
    assert came == []
    assert report.notes == ("The peer has nothing of a patient.",)
    assert not report.complete


def test_without_c_find_the_counts_of_the_peer_are_all_there_is(scripted):
    came = []
    report = retrieve(scripted(find=None, get=giving(0, 1)), STUDY, into=came.append, method="get")
    assert len(came) == len(report) == 2
    assert not report.complete
    assert "not known" in report.notes[0]


@given(st.lists(st.sampled_from(["failed", "already there", "retrieved", "conflict"]), min_size=1, max_size=6))
def test_of_an_instance_that_comes_more_than_once_the_gravest_is_told_whatever_the_order(outcomes):
    steps = []
    intake = Intake(print, progress=lambda done, total: steps.append((done, total)))
    for k, outcome in enumerate(outcomes):
        intake.note("1.2.3", CT, outcome, str(k), k)
    arrival = intake.arrivals["1.2.3"]
    kept = {"retrieved", "already there"} & set(outcomes)
    if "conflict" in outcomes:
        assert arrival.outcome == "conflict"
    elif kept:
        assert arrival.outcome in kept
    else:
        assert arrival.outcome == "failed"
    assert arrival.outcome == _told(sorted(outcomes))
    assert int(arrival.message) == arrival.size_bytes == outcomes.index(arrival.outcome)
    assert set(steps) == {(1, 1)}


def _told(outcomes):
    intake = Intake(print)
    for outcome in outcomes:
        intake.note("1.2.3", CT, outcome, "", 0)
    return intake.arrivals["1.2.3"].outcome


def test_an_error_of_the_caller_is_a_row_not_a_crash(scripted):
    def into(data):
        raise ZeroDivisionError("PLANTED^NAME")

    report = retrieve(scripted(get=giving(*range(6))), STUDY, into=into, method="get")
    assert {row.message for row in report if row.outcome == "failed"} == {"It could not be kept: ZeroDivisionError."}
    assert "PLANTED" not in report._repr_html_()


def test_what_is_asked_for_is_checked_before_anyone_is_asked():
    nowhere = Peer(name="x", ae_title="X", port=1)
    with pytest.raises(InputError, match="not str"):
        retrieve(nowhere, ["1.2.3"], into=print)
    with pytest.raises(InputError, match="needs StudyInstanceUID"):
        retrieve(nowhere, InstanceRef("", "", CT, "1.2.3"), into=print)
    with pytest.raises(UidInvalid, match="StudyInstanceUID is not a valid UID"):
        retrieve(nowhere, StudyRef("../../x"), into=print)
    with pytest.raises(InputError, match="method is get"):
        retrieve(nowhere, STUDY, into=print, method="ftp")
    with pytest.raises(InputError, match="into must be an archive"):
        retrieve(nowhere, STUDY, into=5)


def talking(script, dataset, uid="1.2.3.9", study="1.2.3"):
    """A peer that has one instance by its own word and sends this dataset for it."""

    def talk(connection):
        asked = connection.response()
        sop_class = asked[0x0002].decode().strip("\0")
        context, field = connection.contexts[sop_class], int.from_bytes(asked[0x0100], "little")
        of = {"e0002": sop_class, "e0100": field | 0x8000}
        number = {"e0120": int.from_bytes(asked[0x0110], "little")}
        while field == 0x0020:
            level = "IMAGE" if b"IMAGE" in asked["dataset"] else "SERIES" if b"SERIES" in asked["dataset"] else "STUDY"
            answer = (
                script.element(0x00080016, "UI", CT) + script.element(0x00080018, "UI", uid)
                + script.element(0x00080052, "CS", level) + script.element(0x0020000D, "UI", study)
                + script.element(0x0020000E, "UI", "1.2.3.4")
            )  # fmt: skip
            connection.message(context, script.command_set(**of, **number, e0800=1, e0900=0xFF00), answer)
            connection.message(context, script.command_set(**of, **number, e0800=0x0101, e0900=0))
            asked = connection.response()
            number = {"e0120": int.from_bytes(asked[0x0110], "little")}
        connection.message(connection.contexts[CT], script.store_rq(uid), dataset)
        refused = script.status(connection.response())
        connection.message(
            context, script.command_set(**of, **number, e0800=0x0101, e0900=0xB000 if refused else 0, e1022=int(refused != 0))
        )

    return talk


@pytest.mark.parametrize("length", [0xFFFFFFFE, 0xFFFFFFFD, 0x80000001], ids=hex)
def test_a_length_near_the_largest_with_few_bytes_behind_it_comes_by_c_get(listening, script, archive, length):
    """N21: C-GET brings an element that says to have nearly 4 GiB -> its row says failed; no memory, nothing stored."""
    broken = script.element(0x00080016, "UI", CT) + script.element(0x00080018, "UI", "1.2.3.9")
    broken += b"\xe0\x7f\x10\0OW\0\0" + length.to_bytes(4, "little") + b"few bytes"
    before = psutil.Process().memory_info().rss
    report = retrieve(listening(talking(script, broken)), StudyRef("1.2.3"), into=archive, method="get")
    assert psutil.Process().memory_info().rss - before < 32 << 20
    assert [(row.sop_instance_uid, row.outcome) for row in report] == [("1.2.3.9", "failed")]
    assert "incomplete" in report[0].message
    assert not report.complete
    assert archive.counts().instances == 0
    assert not list((archive.root / "objects").rglob("*.dcm"))


@pytest.mark.parametrize("method", ["get", "move"])
@pytest.mark.parametrize(("study", "series"), [("1", "2"), ("1.02", "007.1"), ("0", "1.2.3")])
def test_what_find_returned_can_be_retrieved_though_its_uids_break_the_rules(archive, script, tmp_path, study, series, method):
    """N11: the UIDs of study and series have leading zeros or one number only -> found, asked for and kept like any others."""
    sent = meta_bytes(CT, "1.2.3.9", ExplicitVRLittleEndian) + script.instance("1.2.3.9", study=study, series=series)
    archive.add(sent)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    ours = Peer(name="ours", ae_title="WORKBENCH", port=port)
    with Archive(tmp_path / "other") as other, Server(archive, known_peers=[ours]) as server:
        peer = server.peer.but(calling_ae_title="WORKBENCH")
        (found,) = find(peer, level="SERIES", keys={"StudyInstanceUID": study})
        ref = SeriesRef(str(found.StudyInstanceUID), str(found.SeriesInstanceUID))
        assert ref == SeriesRef(study, series)
        for wanted in (ref, StudyRef(study), InstanceRef(study, series, CT, "1.2.3.9")):
            report = retrieve(peer, wanted, into=other, method=method, move_port=port)
            assert report.complete, report
        assert other.path("1.2.3.9").read_bytes().endswith(sent[-1000:])


@pytest.mark.parametrize("uid", ["1", "1.02.3"])
def test_an_instance_whose_own_uid_is_none_is_told_as_failed(listening, script, archive, uid):
    """N11: a peer sends an instance whose SOP Instance UID is none -> refused, and its row says why."""
    report = retrieve(listening(talking(script, script.instance(uid), uid)), StudyRef("1.2.3"), into=archive, method="get")
    assert [(row.sop_instance_uid, row.outcome) for row in report] == [(uid, "failed")]
    assert "Its SOP Instance UID is not a valid UID" in report[0].message
    assert archive.counts().instances == 0


@pytest.mark.parametrize("uid", ["../../x", "/etc/x", "..", ".", "1..2", "1.", ".1", "1/2", "CON", "1" * 65, "1.2\n", "1\0"])
def test_no_path_is_ever_asked_for(uid):
    """N11: a reference has a UID that could be a path -> refused before anyone is asked."""
    with pytest.raises(UidInvalid, match="StudyInstanceUID is not a valid UID"):
        retrieve(Peer(name="x", ae_title="X", port=1), StudyRef(uid), into=print)


def test_threads_end(scripted):
    before = threading.active_count()
    peer = scripted(get=giving(0))
    retrieve(peer, STUDY, into=lambda data: None, method="get")
    time.sleep(0.3)
    assert threading.active_count() <= before + 1

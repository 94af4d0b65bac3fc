"""Queries to peers that misbehave on cue, and to one that says no."""

import select
import sys
import threading
import time

import pandas as pd
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from workbench.entities import Peer, Timeouts
from workbench.errors import AssociationAborted, ContextRejected, InputError, PeerTimeout, QueryKeyInvalid, StatusFailure
from workbench.network import find
from workbench.network.find import Found

STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"


@pytest.fixture
def answering():
    """A function that starts a peer whose C-FIND is the generator that is passed."""
    servers = []

    def start(handler, sop_class=STUDY_ROOT):
        entity = AE(ae_title="SCRIPTED")
        entity.add_supported_context(sop_class)
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, handler)])
        servers.append(server)
        return Peer(name="scripted", ae_title="SCRIPTED", port=server.server_address[1], timeouts=Timeouts(2, 2, 1.5, 2))

    yield start
    for server in servers:
        server.shutdown()


def study(n, **values):
    answer = Dataset()
    answer.QueryRetrieveLevel = "STUDY"
    answer.StudyInstanceUID = f"1.2.3.{n}"
    for keyword, value in values.items():
        setattr(answer, keyword, value)
    return answer


def statuses(*answers):
    """A handler that gives these answers."""

    def handler(event):
        yield from answers

    return handler


def status(code, comment=""):
    answer = Dataset()
    answer.Status = code
    if comment:
        answer.ErrorComment = comment
    return answer


def test_a_peer_that_stops_after_three_answers(answering):
    """S05: the peer falls silent after three answers -> a time-out in time, which says how many had come."""

    def handler(event):
        for n in range(3):
            yield 0xFF00, study(n)
        time.sleep(4)
        yield 0xFF00, study(4)

    start = time.monotonic()
    with pytest.raises(PeerTimeout, match=r"was silent for 1\.5 s during C-FIND") as caught:
        find(answering(handler))
    assert time.monotonic() - start < 4
    assert caught.value.__notes__ == ["3 answers had come until then."]


@pytest.mark.parametrize("heeds_cancel", [True, False])
def test_a_peer_that_would_send_a_million_answers_is_stopped_at_the_limit(answering, heeds_cancel):
    """S05: the peer would send 1,000,001 answers -> stopped at the limit, whether it heeds the cancel or not."""
    sent = []

    def handler(event):
        for n in range(1_000_001):
            if heeds_cancel and event.is_cancelled:
                yield 0xFE00, None
                return
            sent.append(n)
            yield 0xFF00, study(n)

    start = time.monotonic()
    found = find(answering(handler), limit=50)
    assert [d.StudyInstanceUID for d in found] == [f"1.2.3.{n}" for n in range(50)]
    assert (found.truncated, found.cancelled) == (True, False)
    assert time.monotonic() - start < 60
    assert len(sent) < 1_000_000
    if not heeds_cancel:  # one that heeds it may still be too slow on a busy machine
        assert "the peer did not stop when it was asked to" in found.notes


def test_without_a_limit_there_is_a_hard_one(answering, monkeypatch):
    """S05: answers without end and no limit asked for -> stopped at a limit of our own."""
    monkeypatch.setattr(sys.modules[find.__module__], "MOST_RESULTS", 30)

    def handler(event):
        n = 0
        while not event.is_cancelled:
            n += 1
            yield 0xFF00, study(n)
        yield 0xFE00, None

    found = find(answering(handler))
    assert len(found) == 30
    assert found.truncated


@pytest.mark.parametrize("heeds_cancel", [True, False])
@pytest.mark.parametrize("is_readable", [True, False])
def test_answers_that_say_nothing_new_end_a_query_too(listening, script, is_readable, heeds_cancel):
    """S05: the same answer, or one that can't be decoded, is sent for ever -> the query ends with what was good, and says so."""
    good = script.element(0x00080052, "CS", "STUDY") + script.element(0x0020000D, "UI", "1.2.3.1")
    answer = good if is_readable else b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"  # a sequence without end
    sent = []

    def talk(connection):
        asked = connection.response()
        context = connection.contexts[STUDY_ROOT]
        of = {"e0002": STUDY_ROOT, "e0100": 0x8020, "e0120": int.from_bytes(asked[0x0110], "little")}
        pending = script.pdu(4, script.pdv(context, 3, script.command_set(**of, e0800=1, e0900=0xFF00)))
        pending += script.pdu(4, script.pdv(context, 2, answer))
        while not (heeds_cancel and select.select([connection.socket], [], [], 0)[0]) and len(sent) < 1_000_000:
            sent.append(1)
            connection.send(pending)
        connection.message(context, script.command_set(**of, e0800=0x0101, e0900=0xFE00))

    start = time.monotonic()
    found = find(listening(talk), limit=10)
    assert time.monotonic() - start < 60
    assert len(sent) < 1_000_000
    assert found.truncated
    assert list(found) == ([study(1)] if is_readable else [])
    assert any("twice or unreadable" in note for note in found.notes)
    assert ("some answers could not be decoded and are not here" in found.notes) is not is_readable
    if not heeds_cancel:  # one that heeds it may still be too slow on a busy machine
        assert "the peer did not stop when it was asked to" in found.notes


def test_each_answer_twice_is_no_reason_to_stop(answering):
    found = find(answering(statuses(*((0xFF00, study(n // 2)) for n in range(80)))), limit=40)
    assert (len(found), found.truncated) == (40, False)


def test_exactly_as_many_as_the_limit_are_not_truncated(answering):
    found = find(answering(statuses(*((0xFF00, study(n)) for n in range(5)))), limit=5)
    assert (len(found), found.truncated) == (5, False)


def test_the_caller_cancels(answering):
    came, stopped = threading.Event(), threading.Event()

    def handler(event):
        for n in range(10_000):
            if event.is_cancelled:
                stopped.set()
                yield 0xFE00, None
                return
            came.set()
            time.sleep(0.01)
            yield 0xFF00, study(n)

    start = time.monotonic()
    found = find(answering(handler), cancel=came.is_set)
    assert stopped.wait(2)
    assert time.monotonic() - start < 2
    assert (found.truncated, found.cancelled) == (True, True)
    assert 0 < len(found) < 500


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0xA700, "status 0xA700, refused: out of resources"),
        (0xA900, "status 0xA900, dataset or identifier does not match the SOP class"),
        (0xC123, "status 0xC123, unable to process"),
        (0x0122, "status 0x0122, SOP class not supported"),
    ],
)
def test_a_refusal_is_told_in_words_with_the_comment_made_safe(answering, code, words):
    answer = status(code, "bad\x1b[31m key")
    with pytest.raises(StatusFailure, match=words) as caught:
        find(answering(statuses((0xFF00, study(1)), (answer, None))))
    assert caught.value.status == code
    assert "bad␛[31m key" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert caught.value.__notes__ == ["1 answers had come until then."]


def test_an_abort_in_the_middle(answering):
    """S01: the peer aborts between two answers -> told as an abort."""

    def handler(event):
        yield 0xFF00, study(1)
        event.assoc.abort()
        yield 0xFF00, study(2)

    with pytest.raises(AssociationAborted, match="during C-FIND"):
        find(answering(handler))


def test_a_peer_without_the_service(answering):
    with pytest.raises(ContextRejected, match="Study Root"):
        find(answering(statuses(), sop_class="1.2.840.10008.1.1"))


def test_level_and_model_in_any_case(answering):
    found = find(answering(statuses((0xFF00, study(1)), (0x0000, None))), level="study", model="study")
    assert (len(found), found.level) == (1, "STUDY")
    with pytest.raises(InputError, match="level"):
        find("X@127.0.0.1:1", level="exam")


def test_answers_that_come_twice_and_those_that_differ(answering):
    answers = [(0xFF00, study(1, StudyID="a")), (0xFF00, study(1, StudyID="a")), (0xFF01, study(1, StudyID="b"))]
    found = find(answering(statuses(*answers)))
    assert [d.StudyID for d in found] == ["a", "b"]
    assert found.notes == ("the peer does not support some of the optional keys", "1 answers came twice")


def test_the_table_has_types_and_the_columns_in_order(answering):
    answers = [
        study(1, StudyDate="20260102", NumberOfStudyRelatedInstances=12, PatientName="MÜLLER^A", SpecificCharacterSet="ISO_IR 100"),
        study(2, StudyDate="", PatientName=b"X\xe9^B"),
    ]
    found = find(answering(statuses(*((0xFF00, a) for a in answers))), keys={"PatientName": "*", "StudyDate": None})
    frame = found.table()
    assert list(frame.columns[:2]) == ["PatientName", "StudyDate"]
    assert "NumberOfStudyRelatedInstances" in frame.columns
    assert pd.api.types.is_datetime64_any_dtype(frame.StudyDate)
    assert frame.NumberOfStudyRelatedInstances.dtype == "Int64"
    assert frame.NumberOfStudyRelatedInstances.isna().tolist() == [False, True]
    assert frame.PatientName[0] == "MÜLLER^A"
    assert frame.StudyDate[0] == pd.Timestamp(2026, 1, 2)


def test_nothing_found_is_an_empty_table_with_its_columns(answering):
    found = find(answering(statuses()), keys={"PatientID": "nobody"})
    assert len(found) == 0
    assert not found.truncated
    assert "StudyInstanceUID" in found.table().columns
    assert "PatientID" in found._repr_html_() or "empty" in found._repr_html_()


def test_what_is_asked_for_is_checked_before_anyone_is_asked():
    nowhere = Peer(name="x", ae_title="X", port=1)
    with pytest.raises(QueryKeyInvalid, match=r"PatientNam.*PatientName"):
        find(nowhere, keys={"PatientNam": "x"})
    with pytest.raises(QueryKeyInvalid, match="StudyInstanceUID"):
        find(nowhere, level="SERIES")
    with pytest.raises(InputError, match="limit must be 1 or more"):
        find(nowhere, limit=0)
    with pytest.raises(InputError, match="via is dimse or web"):
        find(nowhere, via="http")
    with pytest.raises(InputError, match="no web_url"):
        find(nowhere, via="web")


def test_a_name_that_is_html_is_shown_as_text():
    found = Found((study(1, PatientName="<img src=x onerror=alert(1)>"),), "STUDY", ("PatientName",))
    assert "<img" not in found._repr_html_()
    assert "PatientName" not in repr(found)
    assert "alert" not in repr(found)

"""Extended negotiation of queries and retrievals, in both roles; the other side is pynetdicom where one is needed."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from workbench.archive import Archive
from workbench.entities import InstanceRef, Peer, SeriesRef, Timeouts
from workbench.errors import AttributeUnusable, InputError, QueryKeyInvalid, StatusFailure
from workbench.network import QueryOptions, QueryPolicy, Server, find, retrieve
from workbench.network._walk import Walk, is_hierarchical
from workbench.network.negotiation import agreed, offset_minutes
from workbench.phantoms import ct_series

STUDY_FIND, STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2"
QUICK = Timeouts(connect_s=2, acse_s=2, dimse_s=3, network_s=2)
NONE = QueryPolicy(grants=QueryOptions())
PEOPLE = [  # patient, name, date, time, offset from UTC
    ("P1", "Müller^Jörg", "20240115", "2330", ""),
    ("P2", "Muller-Lüdenscheidt^Hans Jorg", "20240116", "0700", "+0000"),
    ("P3", "Doe^Jane", "20240117", "120000.5", "+0300"),
]
options = st.builds(QueryOptions, relational=st.booleans(), date_time=st.booleans(), fuzzy=st.booleans(), time_zone=st.booleans())


@pytest.fixture
def full(archive):
    for patient, name, date, time, offset in PEOPLE:
        for series in range(2):
            for number, dataset in enumerate(ct_series(2, rows=16, columns=16)):
                dataset.SpecificCharacterSet = "ISO_IR 192"
                dataset.PatientID, dataset.PatientName, dataset.StudyDate, dataset.StudyTime = patient, name, date, time
                dataset.SeriesDescription = f"series {series}"
                if offset:
                    dataset.TimezoneOffsetFromUTC = offset
                dataset.StudyInstanceUID = f"1.2.3.{patient[1]}"
                dataset.SeriesInstanceUID = f"1.2.3.{patient[1]}.{series + 1}"
                dataset.SOPInstanceUID = f"1.2.3.{patient[1]}.{series + 1}.{number + 1}"
                archive.add(dataset)
    return archive


@pytest.fixture
def serving(full):
    """A function that starts a server with a policy and gives its peer."""
    servers = []

    def start(policy=None, **more):
        servers.append(Server(full, timeouts=QUICK, **({"queries": policy} if policy else {}), **more).start())
        return servers[-1].peer

    yield start
    for server in servers:
        server.stop()


# ---------------------------------------------------------------- the bits
@given(options)
def test_bits_survive_the_wire(some):
    assert QueryOptions.of(some.encoded()) == some == QueryOptions.of(some.encoded(4))
    assert some.both(some) == some
    assert some.both(QueryOptions()) == QueryOptions()


@given(options, options, st.integers(1, 6))
def test_an_answer_is_as_long_as_the_proposal_and_grants_no_more_than_both_want(asked, allowed, size):
    proposed = asked.encoded(4)[:size].ljust(size, b"\0")
    ((information, granted),) = agreed({STUDY_FIND: proposed}, QueryPolicy(grants=allowed), {STUDY_FIND: "FIND"}).values()
    assert len(information) == size
    assert granted == QueryOptions.of(information) == QueryOptions.of(proposed).both(allowed)


def test_retrieval_has_the_first_bit_only_and_other_classes_no_answer():
    answers = agreed({STUDY_MOVE: b"\1\1", "1.2.3": b"\1"}, QueryPolicy(), {STUDY_MOVE: "MOVE"})
    assert {uid: information for uid, (information, _) in answers.items()} == {STUDY_MOVE: b"\1\0"}


@pytest.mark.parametrize("offset", ["", "0100", "+1", "+1401", "+0160", "Z"])
def test_an_offset_that_is_none(offset):
    with pytest.raises(AttributeUnusable, match=r"\+HHMM"):
        offset_minutes(offset)


def test_a_limit_that_is_none():
    with pytest.raises(AttributeUnusable, match="most_matches must be 1 or more"):
        QueryPolicy(most_matches=0)


# ---------------------------------------------------------------- on the wire, with pynetdicom on the other side
def test_the_server_answers_what_is_proposed_and_the_log_says_so(serving, caplog):
    entity = AE(ae_title="OTHER")
    entity.add_requested_context(STUDY_FIND)
    entity.add_requested_context(STUDY_MOVE)
    proposed = []
    for uid, information in ((STUDY_FIND, b"\1\0\1\0\1"), (STUDY_MOVE, b"\1")):
        proposed.append(SOPClassExtendedNegotiation())
        proposed[-1].sop_class_uid, proposed[-1].service_class_application_information = uid, information
    peer = serving(QueryPolicy(grants=QueryOptions(relational=True, date_time=True)))
    with caplog.at_level(logging.INFO, "workbench"):
        association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title, ext_neg=proposed)
        assert association.is_established
        told = {str(uid): bytes(data) for uid, data in association.acceptor.sop_class_extended.items()}
        association.release()
    assert told == {STUDY_FIND: b"\1\0\0\0\0", STUDY_MOVE: b"\1"}
    assert "relational, fuzzy proposed for STUDY FIND, granted: relational" in caplog.text


def test_find_proposes_as_few_bytes_as_it_needs_and_shows_what_was_granted():
    heard = []

    def negotiate(event):
        heard.append({str(uid): bytes(data) for uid, data in event.app_info.items()})
        return {STUDY_FIND: b"\0\0\1"}

    entity = AE(ae_title="OTHER")
    entity.add_supported_context(STUDY_FIND)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_SOP_EXTENDED, negotiate), (evt.EVT_C_FIND, lambda event: iter(()))]
    )
    try:
        peer = Peer("other", "OTHER", port=server.server_address[1], timeouts=QUICK)
        found = find(peer, options=QueryOptions(fuzzy=True, date_time=True))
        assert heard == [{STUDY_FIND: b"\0\1\1"}]
        assert found.granted == {"fuzzy"}
        assert "the peer refuses date time (PS3.4 C.5.1.1)" in found.notes
        assert find(peer).granted == frozenset()
        assert heard[1] == {}
    finally:
        server.shutdown()


# ---------------------------------------------------------------- relational, and the walk in its place
RELATIONAL = [
    ("IMAGE", "STUDY", {"PatientName": "*Jane*"}, 4),
    ("IMAGE", "STUDY", {"PatientID": "P?", "SeriesDescription": None, "InstanceNumber": "1"}, 6),
    ("SERIES", "STUDY", {"StudyDate": "20240116-"}, 4),
    ("SERIES", "PATIENT", {"PatientID": "P1", "StudyDate": None}, 2),
    ("IMAGE", "PATIENT", {"SOPInstanceUID": ["1.2.3.1.1.1", "1.2.3.3.2.2"]}, 2),
    ("STUDY", "PATIENT", {"PatientName": "nobody"}, 0),
]


def rows(found, keys):
    names = [*(name for name in keys), "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"]
    return sorted(tuple(str(answer.get(name, "")) for name in names) for answer in found)


@pytest.mark.parametrize(("level", "model", "keys", "count"), RELATIONAL)
def test_level_by_level_gives_what_a_relational_query_gives(serving, level, model, keys, count):
    granted = find(serving(), level=level, model=model, keys=keys, options=QueryOptions(relational=True))
    refused = find(serving(NONE), level=level, model=model, keys=keys, options=QueryOptions(relational=True))
    assert granted.granted == {"relational"}
    assert refused.granted == frozenset()
    assert len(granted) == count
    assert rows(granted, keys) == rows(refused, keys)
    assert granted.notes == ()
    assert any("asked level by level" in note for note in refused.notes)
    assert any("refuses relational" in note for note in refused.notes)
    assert not refused.truncated


def test_where_nothing_of_it_is_relational_it_is_asked_at_once(serving):
    keys = {"StudyInstanceUID": "1.2.3.1", "SeriesDescription": "series 1"}
    found = find(serving(NONE), level="SERIES", keys=keys, options=QueryOptions(relational=True))
    assert len(found) == 1
    assert not any("level by level" in note for note in found.notes)


def test_the_walk_tells_its_progress_and_heeds_limit_and_cancel(serving):
    peer, told = serving(NONE), []
    found = find(peer, level="IMAGE", options=QueryOptions(relational=True), progress=lambda *counts: told.append(counts))
    assert len(found) == 12
    assert told[-1] == (1 + 3 + 6, 10)
    assert [done for done, _ in told] == list(range(1, 11))
    limited = find(peer, level="IMAGE", options=QueryOptions(relational=True), limit=3)
    assert (len(limited), limited.truncated, limited.cancelled) == (3, True, False)
    cancelled = find(peer, level="IMAGE", options=QueryOptions(relational=True), cancel=lambda: len(told) > 0)
    assert (cancelled.truncated, cancelled.cancelled) == (True, True)
    assert len(cancelled) < 12


def test_the_walk_has_a_bound(monkeypatch, serving):
    monkeypatch.setattr("workbench.network._walk.MOST_QUESTIONS", 4)
    found = find(serving(NONE), level="IMAGE", options=QueryOptions(relational=True))
    assert found.truncated
    assert any("questions would have been needed" in note for note in found.notes)


def test_a_server_without_relational_queries_refuses_them(serving):
    entity = AE(ae_title="OTHER")
    entity.add_requested_context(STUDY_FIND)
    peer = serving(NONE)
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID, identifier.SOPInstanceUID = "IMAGE", "", ""
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title)
    ((status, _),) = association.send_c_find(identifier, STUDY_FIND)
    assert (status.Status, status.ErrorComment) == (0xA900, "not relational: StudyInstanceUID must have a single value")
    association.release()


def test_a_walk_without_a_peer():
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.StudyInstanceUID, identifier.SeriesInstanceUID = "SERIES", "1.2", None
    assert is_hierarchical(identifier, "STUDY")
    identifier.StudyInstanceUID = ["1.2", "1.3"]
    assert not is_hierarchical(identifier, "STUDY")
    assert list(Walk(identifier, "STUDY", lambda _: iter(()), lambda: False).answers()) == []


def test_without_relational_the_keys_above_are_asked_for(serving):
    with pytest.raises(QueryKeyInvalid, match="relational=True"):
        find(serving(), level="SERIES")


# ---------------------------------------------------------------- fuzzy names
@pytest.mark.parametrize(
    ("name", "patients"),
    [
        ("jorg muller", ["P1", "P2"]),
        ("MULLER", ["P1", "P2"]),
        ("Jörg^Müller", ["P1", "P2"]),
        ("hans ludenscheidt", ["P2"]),
        ("mül*", ["P1", "P2"]),
        ("jane muller", []),
        ("muller muller", []),
        ("d?e^*", ["P3"]),
    ],
)
def test_names_by_their_words(serving, name, patients):
    found = find(serving(), keys={"PatientName": name}, options=QueryOptions(fuzzy=True))
    assert found.granted == {"fuzzy"}
    assert sorted(answer.PatientID for answer in found) == patients


def test_names_letter_by_letter_where_fuzzy_is_not_granted(serving):
    found = find(serving(NONE), keys={"PatientName": "jorg muller"}, options=QueryOptions(fuzzy=True))
    assert len(found) == 0
    assert found.granted == frozenset()


# ---------------------------------------------------------------- moments
@pytest.mark.parametrize(
    ("dates", "times", "combined", "separate"),
    [
        ("20240115-20240116", "2300-0800", ["P1", "P2"], None),  # as two keys the range of times runs backwards
        ("20240115-20240117", "0600-1100", ["P1", "P2"], ["P2"]),
        ("20240116-", "0800-", ["P3"], ["P3"]),
        ("-20240116", "-0659", ["P1"], []),
        ("20240115", "2330", ["P1"], ["P1"]),
        ("20240115-20240117", "2331-120000.4", ["P2"], None),
    ],
)
def test_a_date_and_its_time_as_one_moment(serving, dates, times, combined, separate):
    peer, keys = serving(), {"StudyDate": dates, "StudyTime": times}
    if separate is None:
        with pytest.raises(QueryKeyInvalid):
            find(peer, keys=keys)
    else:
        assert sorted(answer.PatientID for answer in find(peer, keys=keys)) == separate
    found = find(peer, keys=keys, options=QueryOptions(date_time=True))
    assert found.granted == {"date_time"}
    assert sorted(answer.PatientID for answer in found) == combined


# ---------------------------------------------------------------- time zones
def test_dates_and_times_are_moved_to_the_zone_of_the_request(serving):
    peer = serving(QueryPolicy(time_zone="-0100"))
    found = find(peer, keys={"PatientID": "*", "StudyDate": None, "StudyTime": None}, time_zone="+0200")
    assert found.granted == {"time_zone"}
    told = {answer.PatientID: (answer.StudyDate, answer.StudyTime, answer.TimezoneOffsetFromUTC) for answer in found}
    assert told == {  # P1 has no zone of its own: the server's
        "P1": ("20240116", "0230", "+0200"), "P2": ("20240116", "0900", "+0200"), "P3": ("20240117", "110000.5", "+0200"),
    }  # fmt: skip
    first = find(peer, keys={"StudyDate": "20240116"}, time_zone="+0200")
    assert sorted(answer.PatientID for answer in first) == ["P1", "P2"]
    assert [answer.PatientID for answer in find(peer, keys={"StudyDate": "20240116"})] == ["P2"]


def test_without_the_grant_nothing_is_moved(serving):
    found = find(serving(NONE), keys={"PatientID": "P1", "StudyDate": None}, time_zone="+0200")
    assert [(answer.StudyDate, "TimezoneOffsetFromUTC" in answer) for answer in found] == [("20240115", False)]
    with pytest.raises(AttributeUnusable, match=r"\+HHMM"):
        find(serving(), time_zone="CET")
    with pytest.raises(InputError, match="is said by time_zone="):
        find(serving(), options=QueryOptions(time_zone=True))
    with pytest.raises(InputError, match="not dict"):
        find(serving(), options={"fuzzy": True})


# ---------------------------------------------------------------- retrieval
REFS = [InstanceRef("", "", "", "1.2.3.1.1.1"), InstanceRef("", "", "", "1.2.3.3.2.2"), SeriesRef("", "1.2.3.2.1")]


@pytest.mark.parametrize("policy", [QueryPolicy(), NONE])
@pytest.mark.parametrize("method", ["get", "move"])
def test_references_without_the_uids_above_are_completed(full, tmp_path, free_port, policy, method):
    move_port = free_port()
    known = [Peer("self", "WORKBENCH", port=move_port)]
    with (
        Server(full, ae_title="SHELF", timeouts=QUICK, queries=policy, known_peers=known) as server,
        Archive(tmp_path / "b") as into,
    ):
        report = retrieve(server.peer, REFS, into=into, method=method, relational=True, move_port=move_port)
        assert report.complete, report.notes
        assert report.granted == ({"relational"} if policy.grants.relational else frozenset())
        assert sorted(ref.sop_instance_uid for ref in into) == ["1.2.3.1.1.1", "1.2.3.2.1.1", "1.2.3.2.1.2", "1.2.3.3.2.2"]


def test_what_the_peer_has_nothing_of_is_noted(serving, tmp_path):
    with Archive(tmp_path / "b") as into:
        report = retrieve(serving(), [*REFS, InstanceRef("", "", "", "9.9")], into=into, relational=True)
        assert report.notes == ("The peer has nothing of image 9.9.",)
        assert not report.complete
    with pytest.raises(InputError, match="needs StudyInstanceUID"):
        retrieve(serving(), REFS, into=into)


def test_a_retrieval_that_is_not_hierarchical_is_refused_where_relational_is_not_granted(serving):
    entity = AE(ae_title="OTHER")
    entity.add_requested_context(STUDY_MOVE)
    peer = serving(NONE)
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.SOPInstanceUID = "IMAGE", "1.2.3.1.1.1"
    association = entity.associate(peer.host, peer.port, ae_title=peer.ae_title)
    ((status, _),) = association.send_c_move(identifier, "OTHER", STUDY_MOVE)
    assert status.Status == 0xA900
    association.release()


# ---------------------------------------------------------------- limits and trouble
def test_more_matches_than_may_be_are_refused_before_the_first(serving):
    peer = serving(QueryPolicy(most_matches=2))
    with pytest.raises(StatusFailure, match=r"0xA700.*more than 2 matches") as caught:
        find(peer)
    assert not getattr(caught.value, "__notes__", [])
    assert len(find(peer, keys={"StudyDate": "20240116-"})) == 2

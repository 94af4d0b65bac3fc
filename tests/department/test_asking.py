"""How the systems ask: their own keys, what they negotiate, as often and as long as their statements say."""

import json
import logging
import time
from dataclasses import replace
from datetime import date
from urllib.request import Request, urlopen

import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt

from workbench import devices
from workbench.archive import Archive
from workbench.department import Modality, Outcome
from workbench.department._asking import asked, keeping_on, verified, worklist_keys
from workbench.devices import Policy
from workbench.entities import Peer, Timeouts
from workbench.errors import AssociationRejected, InputError, PeerUnknown, PeerUnreachable
from workbench.files import character_sets
from workbench.network import Server, StoreOutcome, Worklist, free_port, store, trace
from workbench.phantoms import ct_series, fundus

PATIENT_FIND, STUDY_FIND = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE, WORKLIST = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.31"
NAME, PATIENT_ID, ACCESSION = "(0010,0010)", "(0010,0020)", "(0008,0050)"
MODALITY, START_DATE = "(0040,0100).(0008,0060)", "(0040,0100).(0040,0002)"


def activity(name, does):
    return next(a for a in devices.profile(name).activities if a.does == does)


def queries(recorded):
    """The identifiers of a trace, each as keys with their values where these were recorded."""
    found = []
    for row in recorded.rows:
        if row.name == "C-FIND-RQ":
            keys = {path.split("[")[0]: value for path, _, value in (key.partition("=") for key in row.identifier)}
            found.append({path: value for path, value in keys.items() if not any(k.startswith(f"{path}.") for k in keys)})
    return found


def listed(name, level, does="query"):
    """The keys of a statement's table at a level, as paths of keywords; sequences with keys in them stand for these."""
    asking = activity(name, does)
    paths = [
        ".".join(keyword_for_tag(int(tag.strip("()").replace(",", ""), 16)) for tag in row.path.split("."))
        for row in devices.keys(devices.profile(name), entity=asking.entity, activity=asking.name, role="SCU")
        if row.level in {"", level}
    ]
    return {path for path in paths if not any(other.startswith(f"{path}.") for other in paths)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A server with one series of four slices that knows whoever moves to where it listens."""
    with (
        Archive(tmp_path_factory.mktemp("archive")) as archive,
        Server(archive, ae_title="PACS") as server,
    ):
        for image in ct_series(4, rows=32):
            archive.add(image)
        yield server


@pytest.fixture
def answering():
    """A function that starts a peer whose C-FIND is the generator that is passed."""
    servers = []

    def start(handler, sop_class):
        entity = AE(ae_title="SCRIPTED")
        entity.add_supported_context(sop_class)
        servers.append(entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, handler)]))
        return Peer("scripted", "SCRIPTED", port=servers[-1].server_address[1], timeouts=Timeouts(2, 2, 5, 5))

    yield start
    for server in servers:
        server.shutdown()


# ---------------------------------------------------------------- keys
@pytest.mark.parametrize(("name", "level"), [("philips-vereos", "STUDY"), ("topcon-sp1p", "PATIENT")])
def test_a_query_has_the_keys_of_the_statement_and_no_other(archive, name, level):
    with trace() as recorded:
        done = Modality(name, archive=archive.peer).perform(activity(name, "query"))
    assert (done.outcome, done.message) == (Outcome.DONE, f"1 at {level} level.")
    (keys,) = queries(recorded)
    assert set(keys) == listed(name, level) | {"QueryRetrieveLevel"}


def test_what_is_to_be_fetched_is_asked_for_level_by_level_with_the_keys_of_each(archive):
    scanner = Modality("philips-vereos", archive=archive.peer, known_to=archive.know)
    with trace() as recorded:
        done = scanner.perform(activity("philips-vereos", "retrieve"))
    assert (done.outcome, done.count, len(scanner.fetched)) == (Outcome.DONE, 4, 4)
    for level, keys in zip(("STUDY", "SERIES", "IMAGE"), queries(recorded), strict=True):
        assert set(keys) == listed("philips-vereos", level) | {"QueryRetrieveLevel"}, level


NAMES = {
    "Doe": "*Doe*", "^Jane": "*Jane*", "Doe^": "*Doe*", "Doe^Jane": "*Doe*Jane*", "Doe^Jane^Mary": "*Doe*Jane*Mary*",
    "Doe^^Mary": "*Doe*Mary*", "^^Mary": "*Mary*", "^Jane^Mary": "*Jane*Mary*", "Doe ^ Jane": "*Doe*Jane*",
    "Yamada^Tarou=山田^太郎": "*Yamada*Tarou*=*山田*太郎*", "Yamada=山田": "*Yamada*=*山田*", "=山田^太郎": "*=*山田*太郎*",
    "==やまだ": "*=*=*やまだ*", "Yamada==やまだ": "*Yamada*=*=*やまだ*", "Yamada=": "*Yamada*",
    "": "", "^": "", "^^=^": "", "Do*": "Do*", "Doe^J*": "Doe^J*", "D?e^Jane": "D?e^Jane", "*": "*",
}  # fmt: skip


@pytest.mark.parametrize("typed", NAMES)
def test_a_name_gets_wildcards_about_it_and_between_its_parts_where_both_are_given(typed):
    """VideoStation, Table 18: wildcards before and after; between family and given name where both are specified."""
    station = devices.profile("meddream-videostation")
    keys = worklist_keys(station, "worklist-client", title="VIDEO", values={NAME: typed})
    assert keys[NAME] == NAMES[typed]


@pytest.mark.parametrize("typed", [typed for typed in NAMES if "*" not in typed and "?" not in typed])
def test_a_name_with_added_wildcards_still_finds_whoever_has_it(typed):
    item = {
        "PatientID": "1",
        "Modality": "XC",
        "ScheduledStationAETitle": "X",
        "ScheduledProcedureStepStartDate": f"{date.today():%Y%m%d}",  # noqa: DTZ011 - DICOM has local dates
    }
    item["PatientName"] = "=".join(group.replace(" ", "") for group in typed.split("=")) or "Doe"
    other = item | {"PatientID": "2", "PatientName": "Roe^Rita=李^四=り"}
    with Server(None, ae_title="RIS", providers=[Worklist([item, other])]) as server:
        found = Modality("meddream-videostation").ask(server.peer, values={NAME: typed})
    assert "1" in {answer.PatientID for answer in found}
    assert ("2" in {answer.PatientID for answer in found}) is (not typed.strip("^="))


def test_where_a_statement_lists_no_keys_the_row_says_so(archive):
    done = Modality("canon-vitrea-read", archive=archive.peer).perform(activity("canon-vitrea-read", "query"))
    assert done.message == "1 at STUDY level; the statement lists no keys, so the usual ones were asked for; relational granted."


# ---------------------------------------------------------------- in which character set
#: Optos, section 6.1.4; Topcon, section 6; Vereos, Table 88; VideoStation, section 6: the first of its sets that has the name.
ASKED_IN = {
    "optos-v2-vantage": {"Doe": "ISO_IR 100", "Müller": "ISO_IR 100", "Иванов": None, "山田": None},
    "topcon-sp1p": {"Doe": "", "Müller": None, "Иванов": None, "山田": None},
    "philips-vereos": {"Doe": "ISO_IR 100", "Müller": "ISO_IR 100", "Иванов": None, "山田": None},
    "meddream-videostation": {
        "Doe": "", "Müller": "ISO_IR 100", "Škoda": "ISO_IR 101", "Иванов": "ISO_IR 144", "ﾔﾏﾀﾞ": "ISO_IR 13",
        "山田": r"\ISO 2022 IR 87", "洪^길동": r"\ISO 2022 IR 149", "Müller=山田": r"\ISO 2022 IR 58", "Иванов=Škoda": "GB18030",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def encoded():
    """A worklist of pynetdicom that keeps Specific Character Set and Patient's Name as bytes, and what it is asked in all."""
    heard = []

    def answer(event):
        raw = event.identifier
        keys = [raw.get_item(keyword) for keyword in ("SpecificCharacterSet", "PatientName")]
        heard.append([None if key is None else (key.value or b"").rstrip(b" ") for key in keys])
        yield 0x0000, None

    entity = AE(ae_title="SCRIPTED")
    for uid in (WORKLIST, STUDY_FIND, PATIENT_FIND):
        entity.add_supported_context(uid, ALL_TRANSFER_SYNTAXES)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, answer)])
    yield Peer("scripted", "SCRIPTED", port=server.server_address[1]), heard
    server.shutdown()


@pytest.mark.parametrize(("name", "typed"), [(name, typed) for name, names in ASKED_IN.items() for typed in names])
def test_a_worklist_is_asked_in_a_set_of_the_statement_or_not_at_all(encoded, name, typed):
    peer, heard = encoded
    heard.clear()
    terms, system = ASKED_IN[name][typed], Modality(name)
    if terms is None:
        with pytest.raises(InputError, match=r"has no character set for this text\. It has ") as refused:
            system.ask(peer, values={NAME: typed})
        assert typed not in str(refused.value)
        assert heard == []
        return
    system.ask(peer, values={NAME: typed})
    ((declared, raw),) = heard
    codecs = character_sets.encodings_of_terms(terms.split("\\"))
    assert declared == (terms.encode() or None)
    assert raw.replace(b"*", b"") == character_sets.encoded(typed.replace("^", "") if b"*" in raw else typed, codecs, vr="PN")


def test_a_refusal_names_the_sets_and_where_they_are_listed():
    system = Modality("philips-vereos")
    with pytest.raises(InputError, match=r"It has ISO_IR 100, the default repertoire \(Table 88\)\.$"):
        system.ask(Peer("nobody", "NOBODY", port=1), values={NAME: "Иванов"})


@pytest.mark.parametrize(
    ("name", "typed", "sent"),
    [
        ("philips-vereos", "Müller", b"ISO_IR 100"), ("philips-vereos", "Doe", b"ISO_IR 100"), ("philips-vereos", "Иванов", ""),
        ("topcon-sp1p", "Doe", None), ("topcon-sp1p", "Müller", ""),
        ("canon-vitrea-read", "Doe", None), ("canon-vitrea-read", "Müller", b"ISO_IR 100"),
        ("canon-vitrea-read", "Иванов", b"ISO_IR 144"), ("canon-vitrea-read", "山田", b"ISO_IR 192"),
    ],
)  # fmt: skip
def test_a_query_is_asked_in_a_set_of_the_statement_or_not_at_all(encoded, name, typed, sent):
    peer, heard = encoded
    heard.clear()
    profile, querying = devices.profile(name), activity(name, "query")
    if sent == "":
        with pytest.raises(InputError, match="has no character set for this text"):
            asked(profile, querying, peer, values={NAME: typed})
        assert heard == []
        return
    asked(profile, querying, peer, values={NAME: typed})
    ((declared, raw),) = heard
    assert declared == sent
    codecs = character_sets.encodings_of_terms((sent or b"").decode())
    assert raw == character_sets.encoded(typed, codecs, vr="PN")


# ---------------------------------------------------------------- what is negotiated
def test_extended_negotiation_is_proposed_where_the_statement_offers_it(archive):
    """PS3.4 Table C.5.1-1: byte 1 of the service class application information is relational."""
    proposed = {}
    for name in ("canon-vitrea-read", "philips-vereos"):
        system = Modality(name, archive=archive.peer, known_to=archive.know)
        with trace() as recorded:
            for does in ("query", "retrieve"):
                assert system.perform(activity(name, does)).outcome is Outcome.DONE
        proposed[name] = {(c.sop_class_uid, c.extended) for c in recorded.contexts if c.sop_class_uid in {STUDY_FIND, STUDY_MOVE}}
    assert proposed == {
        "canon-vitrea-read": {(STUDY_FIND, "01 → 01"), (STUDY_MOVE, "01 → 01")},
        "philips-vereos": {(STUDY_FIND, ""), (STUDY_MOVE, "")},
    }


def test_what_a_system_can_not_convert_it_does_not_send_in_another_form(tmp_path):
    """VideoStation proposes Implicit VR Little Endian beside JPEG, and fails where nothing else is taken (its Table 10, note 1)."""
    station = Modality("meddream-videostation")
    archive = Archive(tmp_path)
    (image,) = station.acquire()
    assert image.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    outcomes = []
    for syntaxes in (["1.2.840.10008.1.2"], ["1.2.840.10008.1.2", str(JPEGBaseline8Bit)]):
        with Server(archive, accepts={str(image.SOPClassUID): syntaxes}) as server, trace() as recorded:
            station.archive = server.peer
            station.perform(activity("meddream-videostation", "store"))
        outcomes += [(row.outcome, row.sent_transfer_syntax_uid) for row in station.sent]
        assert len([c for c in recorded.contexts if c.accepted]) == len(syntaxes)
    assert outcomes == [(StoreOutcome.REFUSED, ""), (StoreOutcome.STORED, JPEGBaseline8Bit)]


# ---------------------------------------------------------------- limits, attempts, patience
def test_a_limit_is_that_of_its_service(answering):
    """Table 81 of the Vereos: a query response has 100 at most; nothing limits its worklist."""

    def many(_):
        for number in range(150):
            answer = Dataset()
            answer.QueryRetrieveLevel, answer.StudyInstanceUID = "STUDY", f"1.2.{number}"
            yield 0xFF00, answer

    scanner = Modality("philips-vereos", archive=answering(many, STUDY_FIND))
    assert scanner.perform(activity("philips-vereos", "query")).count == 100
    assert scanner.found.truncated
    step = {"PatientName": "Doe^Jane", "Modality": "PT", "ScheduledStationAETitle": "DATABASE"}
    rows = [{**step, "PatientID": str(number), "ScheduledProcedureStepStartDate": "20261121"} for number in range(150)]
    with Server(None, providers=[Worklist(rows)]) as server:
        assert len(scanner.ask(server.peer)) == 150


def test_time_outs_are_those_of_each_service(archive):
    scanner, seen = Modality("philips-vereos"), {}
    for each in scanner.profile.activities:
        if each.does in {"verify", "query", "retrieve", "store", "commit", "print"}:
            timeouts = scanner._as(each.entity, archive.peer, each.name).timeouts
            seen[each.does] = timeouts.dimse_s, timeouts.network_s, timeouts.acse_s
    assert seen == {
        "verify": (60, 60, 300), "query": (60, 60, 300), "retrieve": (300, 300, 300), "store": (300, 300, 300),
        "commit": (300, 300, 300), "print": (300, 300, 300),
    }  # fmt: skip


def test_the_optos_tries_three_times_to_connect(caplog):
    """MWLConnAttempts of its Table 13."""
    nobody = Peer("nobody", "NOBODY", port=free_port())
    with caplog.at_level(logging.INFO), pytest.raises(PeerUnreachable, match="Nothing listens"):
        Modality("optos-v2-vantage").ask(nobody)
    assert [text for text in caplog.messages if "attempt" in text] == [
        "attempt 1 of 3 at a connection failed", "attempt 2 of 3 at a connection failed",
    ]  # fmt: skip


def test_an_attempt_that_succeeds_is_the_last(archive):
    policy, waits, port = Policy(attempts=5, wait_s=7.0), [], free_port()
    nobody = archive.peer.but(port=port)
    assert not verified(nobody, policy, pause=waits.append)
    assert waits == [7.0] * 4
    with Server(None, port=port) as late:
        assert verified(late.peer, policy, pause=waits.append)
    assert len(waits) == 4


def test_only_what_can_pass_is_tried_again():
    tried = []

    def rejected(result):
        def ask():
            tried.append(result)
            raise AssociationRejected("no", result=result, source=1, reason=1)

        return ask

    for result in (1, 2):  # permanent, transient (PS3.8 9.3.4)
        with pytest.raises(AssociationRejected):
            keeping_on(Policy(attempts=3), rejected(result), pause=lambda _: None)
    assert tried == [1, 2, 2, 2]
    with pytest.raises(AssociationRejected):
        keeping_on(Policy(), rejected(2))
    assert len(tried) == 5


def test_an_operation_ends_with_its_time(answering):
    """VideoStation limits what its worklist client takes (Table 26): here to half a second of a peer that never ends."""

    def for_ever(event):
        number = 0
        while not event.is_cancelled:
            number += 1
            answer = Dataset()
            answer.PatientID = str(number)
            yield 0xFF00, answer
            time.sleep(0.05)
        yield 0xFE00, None

    profile = devices.profile("meddream-videostation")
    hasty = [replace(e, policy=replace(e.policy, operation_s=0.5)) if e.id == "worklist-client" else e for e in profile.entities]
    began = time.monotonic()
    found = Modality(replace(profile, entities=tuple(hasty))).ask(answering(for_ever, WORKLIST))
    assert found.cancelled
    assert 1 <= len(found) < 40
    assert time.monotonic() - began < 5


def test_answers_without_their_unique_keys_are_no_reason_to_fall(answering):
    def nameless(event):
        for _ in range(2):
            answer = Dataset()
            answer.QueryRetrieveLevel, answer.Modality = event.identifier.QueryRetrieveLevel, "CT"
            yield 0xFF00, answer

    scanner = Modality("philips-vereos", archive=answering(nameless, STUDY_FIND), known_to=lambda _: None)
    done = scanner.perform(activity("philips-vereos", "retrieve"))
    why = "none of 1 studies has a series of CT images (no modality is told)"
    assert (done.count, done.message) == (0, f"There is nothing to fetch: {why}.")


def test_why_nothing_is_fetched_is_told(tmp_path):
    with Archive(tmp_path) as archive, Server(archive, ae_title="ARCHIVE") as server:
        scanner = Modality("philips-vereos", archive=server.peer, known_to=server.know)
        retrieving = activity("philips-vereos", "retrieve")
        assert scanner.perform(retrieving).message == "There is nothing to fetch: no study was found."
        archive.add(fundus())
        told = scanner.perform(retrieving).message
    assert told == "There is nothing to fetch: none of 1 studies has a series of CT images (there are OP)."


def test_peers_are_what_they_are_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    with Archive(tmp_path / "archive") as archive, Server(archive) as server:
        system = Modality("optos-v2-vantage", archive=f"WORKBENCH@127.0.0.1:{server.port}")
        system.perform(activity("optos-v2-vantage", "acquire"))
        assert system.perform(activity("optos-v2-vantage", "store")).outcome is Outcome.DONE
    with pytest.raises(PeerUnknown, match="no peer 'pacs'"):
        Modality("optos-v2-vantage", archive="pacs")
    with pytest.raises(InputError, match="not a int"):
        Modality("optos-v2-vantage", ris=5)


def test_a_worklist_without_items_is_told_with_what_was_asked():
    """And that who is in the images then is nobody who was scheduled."""
    with Server(None, ae_title="RIS", providers=[Worklist()]) as server:
        system = Modality("optos-v2-vantage", ris=server.peer)
        asked = system.perform(activity("optos-v2-vantage", "worklist"))
        made = system.perform(activity("optos-v2-vantage", "acquire"))
    assert asked.message.startswith("0 items scheduled for what was asked: Scheduled Station AE Title 'OPTOS-WRKQRY'.")
    assert "No item was scheduled: the patient is the phantom's." in made.message


# ---------------------------------------------------------------- several queries of a worklist
def asked_of(name, **how):
    with Server(None, ae_title="RIS", providers=[Worklist()]) as server, trace(values=True) as recorded:
        Modality(name).ask(server.peer, **how)
    (keys,) = queries(recorded)
    return {path: value for path, value in keys.items() if value}


@pytest.mark.parametrize(
    ("name", "how", "sent"),
    [
        ("optos-v2-vantage", {}, {"ScheduledStationAETitle": "OPTOS-WRKQRY"}),
        ("optos-v2-vantage", {"query": "broad"}, {"ScheduledStationAETitle": "OPTOS-WRKQRY"}),
        ("optos-v2-vantage", {"query": "broad", "values": {MODALITY: "OP", NAME: ""}}, {"Modality": "OP"}),
        (
            "optos-v2-vantage",
            {"query": "patient", "values": {NAME: "Doe", PATIENT_ID: "12"}},
            {"PatientName": "*Doe*", "PatientID": "*12*"},
        ),
        ("optos-v2-vantage", {"query": "patient"}, {}),
        ("philips-vereos", {"values": {ACCESSION: "7", START_DATE: "20261101-20261130"}},
         {"AccessionNumber": "7", "ScheduledProcedureStepStartDate": "20261101-20261130"}),
    ],
)  # fmt: skip
def test_queries_are_those_of_the_statement(name, how, sent):
    said = {"SpecificCharacterSet": "ISO_IR 100"} if name in {"optos-v2-vantage", "philips-vereos"} else {}  # they list the key
    assert {path.rpartition(".")[2]: value for path, value in asked_of(name, **how).items()} == sent | said


def test_the_topcon_by_itself_asks_for_its_own_station_and_today():
    """Its start date matches a single value and no other: there is no query without."""
    today = f"{date.today():%Y%m%d}"  # noqa: DTZ011 - DICOM has local dates
    sent = {path.rpartition(".")[2]: value for path, value in asked_of("topcon-sp1p").items()}
    assert sent == {"ScheduledStationAETitle": "TP_AM_SP1P_001", "ScheduledProcedureStepStartDate": today}
    sent = {path.rpartition(".")[2]: value for path, value in asked_of("topcon-sp1p", values={NAME: "Doe*"}).items()}
    assert sent == {"PatientName": "Doe*", "ScheduledProcedureStepStartDate": today}


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("optos-v2-vantage", {"values": {NAME: "Planted", MODALITY: "OP"}},
         r"asks by one of its queries at a time: .*Patient's Name to the patient query"),
        ("optos-v2-vantage", {"query": "patient", "values": {MODALITY: "OP"}},
         r"Modality \(0040,0100\)\.\(0008,0060\) belongs to the broad query .* not the patient one"),
        ("optos-v2-vantage", {"query": "narrow"}, r"no worklist query 'narrow': it has broad and patient"),
        ("topcon-sp1p", {"query": "broad"}, r"no worklist query 'broad': it has one query only"),
        ("optos-v2-vantage", {"values": {ACCESSION: "Planted"}},
         r"does not match its worklist by that: Accession Number \(0008,0050\) is only returned"),
        ("optos-v2-vantage", {"values": {"(0010,4000)": "Planted"}}, r"\(0010,4000\) is no key of it"),
    ],
)  # fmt: skip
def test_what_a_system_would_not_ask_is_refused(name, how, words):
    nobody = Peer("nobody", "NOBODY", port=1)
    with pytest.raises(InputError, match=words) as caught:
        Modality(name).ask(nobody, **how)
    assert "Planted" not in str(caught.value)


# ---------------------------------------------------------------- servers of other makers
def test_orthanc_answers_the_vereos_and_sends_it_what_it_asks_for(orthanc):
    """Study, series and image level with the keys of its Tables 25 and 28, and what Orthanc then moves."""
    sent = list(ct_series(4, rows=32))
    assert store(orthanc.peer, sent).complete

    def known_to(scanner):
        told = {"AET": scanner.ae_title, "Host": "127.0.0.1", "Port": scanner.port}
        url = f"{orthanc.peer.web_url.removesuffix('/dicom-web')}/modalities/scanner"
        urlopen(Request(url, json.dumps(told).encode(), method="PUT"), timeout=10).close()

    scanner = Modality("philips-vereos", archive=orthanc.peer, known_to=known_to)
    done = [scanner.perform(activity("philips-vereos", does)) for does in ("verify", "query", "retrieve")]
    assert [(row.outcome, row.count) for row in done] == [(Outcome.DONE, 1), (Outcome.DONE, 1), (Outcome.DONE, 4)]
    assert {str(d.SOPInstanceUID) for d in scanner.fetched} == {str(d.SOPInstanceUID) for d in sent}


def test_dcmtk_is_asked_by_the_vitrea_though_it_negotiates_nothing(dcmqrscp):
    store(dcmqrscp.peer, list(ct_series(2, rows=32)))
    viewer = Modality("canon-vitrea-read", archive=dcmqrscp.peer)
    with trace() as recorded:
        done = viewer.perform(activity("canon-vitrea-read", "query"))
    assert (done.outcome, done.count) == (Outcome.DONE, 1)
    assert "the peer does not answer the negotiation of relational" in done.message
    assert [c.extended for c in recorded.contexts] == ["01"]


@pytest.mark.parametrize("name", ["optos-v2-vantage", "topcon-sp1p", "meddream-videostation"])
def test_dcmtk_takes_what_the_systems_propose_to_store(storescp, name):
    receiver = storescp("+xa")
    system = Modality(name, archive=receiver.peer)
    made = system.acquire()
    done = system.perform(activity(name, "store"))
    assert (done.outcome, done.count) == (Outcome.DONE, len(made))
    assert len(list((receiver.folder / "received").iterdir())) == len(made) > 0

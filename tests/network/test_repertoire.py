"""F11, the character set of a query: chosen by who asks, said and encoded in it, and each answer read in its own."""

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from workbench.archive import Archive
from workbench.entities import Peer, Timeouts
from workbench.errors import InputError
from workbench.files import character_sets
from workbench.network import QueryOptions, Server, Worklist, find, worklist
from workbench.phantoms import ct_series
from workbench.standard import WORKLIST

PATIENT_FIND, STUDY_FIND = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
NOBODY = Peer("nobody", "NOBODY", port=1, timeouts=Timeouts(1, 1, 1, 1))
SETS = {
    "ISO_IR 100": "Müller", "ISO_IR 101": "Škoda", "ISO_IR 144": "Иванов", "ISO_IR 126": "Διονυσιος", "ISO_IR 13": "ﾔﾏﾀﾞ",
    "ISO_IR 192": "Müller=山田", "GB18030": "王", "GBK": "王", r"\ISO 2022 IR 87": "Yamada=山田",
    r"ISO 2022 IR 13\ISO 2022 IR 87": "ﾔﾏﾀﾞ=山田", r"\ISO 2022 IR 149": "Hong=洪", r"\ISO 2022 IR 58": "Zhang=张",
    r"ISO 2022 IR 100\ISO 2022 IR 144": "Müller=Иванов", "ISO 2022 IR 6": "Doe", "": "Doe",
}  # fmt: skip


@pytest.fixture
def heard():
    """What a server of pynetdicom was asked, as it came: Specific Character Set and Patient's Name in bytes."""
    return []


@pytest.fixture
def answers():
    """What it answers: in ISO_IR 144, whatever it is asked in."""
    found = Dataset()
    found.SpecificCharacterSet, found.PatientName = "ISO_IR 144", "Иванов^Иван"
    found.PatientID, found.StudyInstanceUID, found.SeriesInstanceUID = "Ж1", "1.2.3", "1.2.3.4"
    return [found]


@pytest.fixture
def scripted(heard, answers):
    """That server."""

    def answer(event):
        asked = event.identifier
        keys = (asked.get_item(keyword) for keyword in ("SpecificCharacterSet", "PatientName", "PatientID"))
        heard.append(tuple(key.value.rstrip(b" ") for key in keys if key is not None and key.value))
        for found in answers:
            yield 0xFF00, found
        yield 0x0000, None

    entity = AE(ae_title="SCRIPTED")
    for uid in (PATIENT_FIND, STUDY_FIND, WORKLIST):
        entity.add_supported_context(uid)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, answer)])
    yield Peer("scripted", "SCRIPTED", port=server.server_address[1], timeouts=Timeouts(2, 2, 5, 5))
    server.shutdown()


@pytest.mark.parametrize("ask", [find, worklist])
@pytest.mark.parametrize("terms", SETS)
def test_keys_are_encoded_in_the_set_that_is_said(scripted, heard, ask, terms):
    ask(scripted, keys={"PatientName": SETS[terms]}, character_set=terms)
    raw = character_sets.encoded(SETS[terms], character_sets.encodings_of_terms(terms.split("\\")), vr="PN")
    assert heard == [(terms.encode(), raw) if terms else (raw,)]


@pytest.mark.parametrize("ask", [find, worklist])
def test_a_set_that_is_chosen_is_said_of_ascii_keys_too_and_else_only_where_it_is_needed(scripted, heard, ask):
    ask(scripted, keys={"PatientName": "Doe"}, character_set="ISO_IR 100")
    ask(scripted, keys={"PatientName": "Doe"})
    ask(scripted, keys={"PatientName": "Müller"})
    assert heard == [(b"ISO_IR 100", b"Doe"), (b"Doe",), (b"ISO_IR 192", "Müller".encode())]


@pytest.mark.parametrize("ask", [find, worklist])
def test_an_answer_is_read_in_its_own_set(scripted, ask):
    (answer,) = ask(scripted, keys={"PatientName": "M*"}, character_set="ISO_IR 100")
    assert (answer.SpecificCharacterSet, str(answer.PatientName)) == ("ISO_IR 144", "Иванов^Иван")


def test_keys_in_sequences_are_encoded_in_it_too(scripted, heard):
    keys = {"PatientName": None, "ScheduledPerformingPhysicianName": "Иванов"}
    with pytest.raises(InputError, match="characters that ISO_IR 100 does not have"):
        worklist(scripted, keys=keys, character_set="ISO_IR 100")
    item = {
        "PatientName": "Doe^Jane", "PatientID": "1", "Modality": "OP", "ScheduledStationAETitle": "X",
        "ScheduledProcedureStepStartDate": "20261121", "ScheduledPerformingPhysicianName": "Иванов",
    }  # fmt: skip
    with Server(None, ae_title="RIS", providers=[Worklist([item])]) as server:
        assert len(worklist(server.peer, keys=keys, character_set="ISO_IR 144")) == 1
        assert (
            len(worklist(server.peer, keys=keys | {"ScheduledPerformingPhysicianName": "Петров"}, character_set="ISO_IR 144")) == 0
        )
    assert heard == []


@pytest.mark.parametrize("terms", SETS)
def test_our_server_finds_in_each_of_them(tmp_path, terms):
    (image,) = ct_series(1, rows=16)
    image.SpecificCharacterSet, image.PatientName = "ISO_IR 192", f"{SETS[terms]}"
    with Archive(tmp_path) as archive, Server(archive) as server:
        archive.add(image)
        found = find(server.peer, keys={"PatientName": SETS[terms]}, character_set=terms)
    assert [str(answer.PatientName) for answer in found] == [SETS[terms]]


@pytest.mark.parametrize("ask", [find, worklist])
@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ("ISO_IR 100", r"characters that ISO_IR 100 does not have \(PS3.5 6.1\)"),
        ("", r"characters that the default repertoire \(ASCII\) does not have"),
        ("ISO 2022 IR 6", "characters that ISO 2022 IR 6 does not have"),
        (r"\ISO 2022 IR 149", "characters that .ISO 2022 IR 149 does not have"),
        ("ISO_IR 999", "'ISO_IR 999' is no defined term of Specific Character Set"),
        ("ISO_IR 6", "'ISO_IR 6' is no defined term"),
        (r"ISO_IR 100\ISO 2022 IR 87", "each is one with code extensions"),
        (r"ISO 2022 IR 6" + "\\", "'' is no defined term"),
        ("ISO 2022 IR 87", r"'ISO 2022 IR 87' is not the first term: write '\\ISO 2022 IR 87'"),
        (["ISO_IR 100"], "character_set is text, .*, not list"),
    ],
)
def test_what_can_not_be_asked_so_is_refused_before_anybody_is_called(ask, terms, message):
    with pytest.raises(InputError, match=message) as refused:
        ask(NOBODY, keys={"PatientName": "Œuvré"}, character_set=terms)
    assert "uvr" not in str(refused.value)


def test_a_byte_that_no_set_explains_is_in_none(scripted):
    broken = character_sets.decoded(b"M\xfcller", ["UTF8"])
    with pytest.raises(InputError, match="does not have"):
        find(scripted, keys={"PatientName": broken}, character_set="ISO_IR 100")


def test_dicomweb_has_no_character_set_to_choose():
    with pytest.raises(InputError, match="keys of QIDO-RS are always UTF-8"):
        find(NOBODY, via="web", keys={"PatientName": "Doe"}, character_set="ISO_IR 100")


def test_level_by_level_each_question_is_in_the_set_that_was_chosen(scripted, heard):
    """The peer negotiates nothing, so that a relational query becomes several; a patient's ID comes from an answer."""
    ask = {"model": "PATIENT", "level": "STUDY", "keys": {"PatientName": "*", "StudyID": "1"}}
    relational = QueryOptions(relational=True)
    found = find(scripted, **ask, options=relational, character_set="ISO_IR 144")
    assert any("level by level" in note for note in found.notes)
    assert heard == [(b"ISO_IR 144", b"*"), (b"ISO_IR 144", "Ж1".encode("iso8859_5"))]
    heard.clear()
    find(scripted, **ask, options=relational)
    assert heard == [(b"*",), (b"ISO_IR 192", "Ж1".encode())]


@pytest.mark.parametrize(
    ("terms", "first", "has"),
    [
        ("ISO_IR 100", (b"ISO_IR 100", "Mü*".encode("latin-1")), "ISO_IR 100"),
        (r"ISO 2022 IR 100\ISO 2022 IR 87", (rb"ISO 2022 IR 100\ISO 2022 IR 87", "Mü*".encode("latin-1")), r"87"),
        ("", (b"*",), "the default repertoire"),
    ],
)
def test_a_key_from_an_answer_that_the_chosen_set_does_not_have_is_sent_in_unicode_and_said(
    scripted, heard, answers, terms, first, has
):
    """Nobody chose the patient's ID: no answer is lost for it, and the caller is told."""
    answers[0].SpecificCharacterSet, answers[0].PatientName, answers[0].PatientID = "ISO_IR 192", "Müller", "김1"
    keys = {"PatientName": "Mü*" if terms else "*", "Modality": "OP"}
    relational = QueryOptions(relational=True)
    found = find(scripted, level="SERIES", model="PATIENT", keys=keys, options=relational, character_set=terms)
    assert heard == [first, *[(b"ISO_IR 192", "김1".encode())] * 2]
    assert [answer.PatientID for answer in found] == ["김1"]
    (note,) = [note for note in found.notes if "keys from answers" in note]
    assert note.endswith(f"{has} does not have: 2 questions in ISO_IR 192 instead")


@pytest.mark.parametrize("terms", [None, "ISO_IR 192", "ISO_IR 144"])
def test_a_key_from_an_answer_that_could_not_be_decoded_goes_back_as_it_came(scripted, heard, answers, terms):
    answers[0].SpecificCharacterSet, answers[0].PatientName = "ISO_IR 192", "Doe"
    answers[0].add(DataElement("PatientID", "LO", b"M\xfc1", already_converted=True))
    ask = {"model": "PATIENT", "level": "STUDY", "keys": {"PatientName": "*", "StudyID": "1"}}
    found = find(scripted, **ask, options=QueryOptions(relational=True), character_set=terms)
    assert heard[1] == (b"ISO_IR 192", b"M\xfc1")
    assert len(found) == 1
    assert any("keys from answers" in note for note in found.notes) == (terms == "ISO_IR 144")

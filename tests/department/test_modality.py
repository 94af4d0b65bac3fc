"""The five systems perform what their statements say, in that order, as the implementation that they are."""

import logging
from dataclasses import replace

import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import UID

from workbench import devices
from workbench.department import Activities, Department, Done, Modality, Outcome, scheduled
from workbench.errors import InputError, ProfileUnknown
from workbench.network import Server, Worklist, trace

WORKLIST = "1.2.840.10008.5.1.4.31"
SYSTEMS = devices.names()


@pytest.fixture(scope="module")
def department():
    with Department() as department:
        yield department


@pytest.fixture(scope="module")
def performed(department):
    """Every system once: what was recorded on the wire, the rows, the system as it stands afterwards."""
    found = {}
    for name, system in department.modalities.items():
        with trace() as recorded:
            rows = system.run()
        found[name] = recorded, rows, system
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_performs_its_activities_in_the_order_of_its_statement(performed, name):
    _, rows, system = performed[name]
    assert [(row.activity, row.kind) for row in rows] == [(a.name, a.does) for a in system.profile.activities]
    assert [row.message for row in rows if row.outcome is Outcome.FAILED] == []
    assert rows.complete
    assert {row.kind for row in rows if row.outcome is Outcome.NOT_YET} <= {"media", "anonymise", "export"}


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_it_proposes_is_what_its_statement_says(performed, name):
    """C04: contexts on the wire -> those of the activity's table, its syntaxes in their order, and no other.

    One that sends instances as they are stored has each syntax by itself: of one context only one is accepted.
    """
    recorded, rows, system = performed[name]
    profile, proposed = system.profile, []
    own = {entity.implementation_class_uid for entity in profile.entities} - {None}
    for row in recorded.rows:
        if row.name == "A-ASSOCIATE-RQ" and any(uid in row.note for uid in own):
            contexts = [(c.sop_class_uid, tuple(c.proposed)) for c in recorded.contexts if c.association == row.association]
            if contexts not in proposed:
                proposed.append(contexts)
    assert proposed == [_claimed(profile, activity) for activity in _on_the_wire(profile, rows)]


# Where these store, each syntax is a context.
BY_ITSELF = {"meddream-videostation", "optos-v2-vantage", "philips-vereos", "topcon-sp1p"}


def _claimed(profile, activity):
    rows = devices.contexts(profile, entity=activity.entity, activity=activity.name, role="SCU")
    rows = [(row.uid, tuple(UID(syntax).name[:64] for syntax in row.syntaxes)) for row in rows]
    if activity.does == "store" and profile.name in BY_ITSELF:
        return [(uid, (syntax,)) for uid, syntaxes in rows for syntax in syntaxes]
    return rows


def _on_the_wire(profile, rows):
    """The activities that associate, in the order in which each first does so: a step begins when an acquisition does."""
    done = {row.activity for row in rows if row.outcome is Outcome.DONE}
    found = {}
    for activity in profile.activities:
        step = next((a for a in profile.activities if a.does == "step"), None)
        begins = activity.does == "acquire" and step
        if activity.name in done and activity.does not in {"receive", "media"} and (begins or activity.does != "acquire"):
            found.setdefault((step if begins else activity).name, step if begins else activity)
    return list(found.values())


@pytest.mark.parametrize("name", [name for name in SYSTEMS if devices.keys(devices.profile(name), uid=WORKLIST)])
def test_the_worklist_is_asked_for_the_keys_of_the_statement(name):
    with Server(None, ae_title="RIS", providers=[Worklist(scheduled([devices.profile(name)]))]) as server, trace() as recorded:
        found = Modality(name).ask(server.peer)
    assert len(found) == 1
    wanted = set()
    for row in devices.keys(devices.profile(name), uid=WORKLIST):
        wanted.add(".".join(keyword_for_tag(int(tag.strip("()").replace(",", ""), 16)) for tag in row.path.split(".")))
    assert set(_asked(recorded)) == wanted
    assert ("SpecificCharacterSet" in wanted) is (name in {"optos-v2-vantage", "philips-vereos"})


def _asked(recorded):
    """The keys of the query on the wire, with their values where these were recorded."""
    (query,) = [row for row in recorded.rows if row.name == "C-FIND-RQ"]
    found = {}
    for key in query.identifier:
        path, _, value = key.partition("=")
        found[path.split("[")[0]] = value
    return found


def test_values_of_the_worklist_reach_the_objects_and_the_performed_step(performed, department):
    _, _, scanner = performed["philips-vereos"]
    item = scanner.item
    for image in scanner.made:
        assert image.StudyInstanceUID == item.StudyInstanceUID
    patients = {(str(image.PatientName), image.PatientID, image.AccessionNumber) for image in scanner.made}
    assert patients == {(str(item.PatientName), item.PatientID, item.AccessionNumber)}
    steps = department.steps.table()
    (step,) = steps[steps.PerformedStationAETitle == scanner.profile.entity("dicom-manager").ae_title].to_dict("records")
    assert step["PerformedProcedureStepStatus"] == "COMPLETED"
    assert step["instances"] == len(scanner.made)
    (mine,) = [i for i in department.worklist.items if i.StudyInstanceUID == item.StudyInstanceUID]
    assert mine.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "COMPLETED"


def test_what_was_sent_is_in_the_archive_and_committed(performed, department):
    for name, (_, rows, system) in performed.items():
        kept = {ref.sop_instance_uid for ref in department.archive}
        assert {str(image.SOPInstanceUID) for image in system.made} <= kept, name
        committed = [row.count for row in rows if row.kind == "commit"]
        assert committed in ([], [len(system.made)])
    assert any(row.kind == "commit" for row in performed["philips-vereos"][1])


def test_what_was_printed_lies_on_the_light_box(performed, department):
    printing = [name for name, (_, rows, _) in performed.items() if any(row.kind == "print" and row.count for row in rows)]
    assert printing == ["canon-vitrea-read", "philips-vereos"]
    assert [film.is_color for film in department.printer.films] == [False, False, True]  # the scanner prints both


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("meddream-videostation", "Doe^Jane", "*Doe*Jane*"),
        ("optos-v2-vantage", "Doe", "*Doe*"),
        ("topcon-sp1p", "Doe*", "Doe*"),
        ("philips-vereos", "Doe", "Doe"),
    ],
)
def test_names_become_keys_as_each_system_makes_them(name, value, sent):
    with Server(None, ae_title="RIS", providers=[Worklist()]) as server, trace(values=True) as recorded:
        Modality(name).ask(server.peer, values={"(0010,0010)": value})
    assert _asked(recorded)["PatientName"] == sent


def _many(count, **more):
    return [
        {
            "PatientName": "Doe^Jane", "PatientID": str(number), "Modality": "OP", "ScheduledStationAETitle": "OPTOS-WRKQRY",
            "ScheduledProcedureStepStartDate": "20261121", **more,
        }
        for number in range(count)
    ]  # fmt: skip


def test_optos_takes_a_hundred_items_and_no_more():
    with Server(None, ae_title="RIS", providers=[Worklist(_many(150))]) as server:
        found = Modality("optos-v2-vantage").ask(server.peer, values={})
    assert len(found) == 100
    assert found.truncated


def test_optos_discards_what_it_can_not_read_and_says_so(caplog):
    cyrillic = Dataset()
    cyrillic.SpecificCharacterSet = "ISO_IR 144"
    cyrillic.PatientName, cyrillic.PatientID = "Иванов^Иван", "2"
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle, step.ScheduledProcedureStepStartDate = "OP", "OPTOS-WRKQRY", "20261121"
    cyrillic.ScheduledProcedureStepSequence = [step]
    with Server(None, ae_title="RIS", providers=[Worklist([*_many(1), cyrillic])]) as server, caplog.at_level(logging.WARNING):
        found = Modality("optos-v2-vantage").ask(server.peer, values={})
    assert [item.PatientID for item in found] == ["0"]
    assert "discarded 1 items in another character set" in caplog.text
    assert "Иванов" not in caplog.text


def test_a_system_alone_says_what_it_lacks():
    rows = Modality("topcon-sp1p").run()
    assert [row.outcome.value for row in rows] == ["not here", "not here", "not here", "done", "not here"]
    assert rows[1].message == "No information system (ris) was given."
    assert not rows.complete, "nothing reached anybody"
    assert (len(rows.not_tried), len(rows.troubles), len(rows.not_yet)) == (4, 0, 0)
    assert repr(rows) == "Activities(4 not here, 1 done)"


@pytest.mark.parametrize("name", SYSTEMS)
def test_nothing_is_aborted_or_refused_in_a_run_without_failures(performed, name):
    recorded, _, _ = performed[name]
    assert [row.association for row in recorded.rows if row.name == "A-ABORT" or row.meaning.startswith("0 of")] == []


def test_what_was_not_performed_is_not_complete():
    row = Done("Store", "store", "a", "", "", Outcome.DONE, 1, 0.1, "1 instance stored.", "Table 1")
    of = {outcome: Activities([row, replace(row, outcome=outcome)]) for outcome in Outcome}
    assert {outcome.value for outcome, rows in of.items() if rows.complete} == {"done", "nothing to do", "not yet"}
    assert {outcome.value for outcome, rows in of.items() if rows.troubles} == {"failed", "awaited"}
    assert not Activities().complete
    assert (repr(Activities()), repr(of[Outcome.FAILED])) == ("Activities(none)", "Activities(1 done, 1 failed)")


def test_the_rows_say_that_the_step_begins_before_anything_is_acquired(performed):
    """PS3.4 F.7: the trace has N-CREATE before the first instance is stored, though the row that ends the step comes later."""
    recorded, rows, _ = performed["philips-vereos"]
    names = [row.name for row in recorded.rows if row.name in {"N-CREATE-RQ", "N-SET-RQ"}]
    acquiring = [row.message.startswith("The step was begun (N-CREATE). ") for row in rows if row.kind == "acquire"]
    (step,) = [row.message for row in rows if row.kind == "step"]
    assert names[:2] == ["N-CREATE-RQ", "N-SET-RQ"]
    assert acquiring == [True, False, False]
    assert step == "The step, begun with 'PET CT Acquisition', is COMPLETED (N-SET)."


def test_a_peer_that_is_not_there_is_a_row_that_failed(department):
    gone = department.peers["archive"].but(port=1)
    rows = Modality("topcon-sp1p", archive=gone).run()
    assert {row.kind: row.outcome.value for row in rows} == {
        "verify": "failed", "worklist": "not here", "query": "failed", "acquire": "done", "store": "failed",
    }  # fmt: skip
    assert "Nothing listens" in rows[0].message
    assert not rows.complete


def test_it_stops_between_activities_when_asked(department):
    seen = []
    rows = department.modalities["topcon-sp1p"].run(cancel=lambda: len(seen) > 1, progress=seen.append)
    assert [row.outcome.value for row in rows] == ["done", "done", "cancelled", "cancelled", "cancelled"]
    assert seen == list(rows)
    assert not rows.complete
    assert len(rows.not_tried) == 3


def test_a_system_that_accepts_nothing_does_not_pretend():
    with pytest.raises(InputError, match="accepts no associations"), Modality("topcon-sp1p").receiving():
        pass
    with pytest.raises(ProfileUnknown, match=r"Did you mean 'topcon-sp1p'\?"):
        Modality("topcom-sp1p")
    with pytest.raises(InputError, match="named by a str such as 'optos-v2-vantage', not by int"):
        Modality(profile=5)


def test_it_shows_itself():
    shown = Modality("topcon-sp1p")._repr_html_()
    assert "Query Modality Worklist" in shown
    assert "section 4.2.2.2.5" in shown


def test_what_is_to_be_acquired_is_acquired_though_nobody_keeps_the_step(department):
    with Server(None, ae_title="RIS", providers=[Worklist(scheduled([devices.profile("philips-vereos")]))]) as ris:
        scanner = Modality("philips-vereos", ris=ris.peer)
        rows = {row.kind: row for row in scanner.run()}
    assert scanner.made
    assert "The step could not be begun" in rows["acquire"].message
    assert rows["step"].outcome is Outcome.FAILED

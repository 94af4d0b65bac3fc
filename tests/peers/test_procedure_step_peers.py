"""S11: performed procedure steps with dcmjs-dimse and with odil, in both roles.

Both stacks have the messages and leave the states to the application: their keepers, in ``dcmjs`` and ``odil``, answer with the
statuses of PS3.4 F.7.2, and show that ours sends and reads what is meant.
"""

import copy

import pytest
from pydicom.dataset import Dataset

from tests.peers.test_procedure_step import CREATED, ROW, SCHEDULED, attributes, ending
from workbench import phantoms
from workbench.department import Modality
from workbench.department.schedule import scheduled
from workbench.errors import StatusFailure
from workbench.network import ProcedureSteps, Server, Worklist, procedure_step, security

USER, PASSCODE = "modality", "only-for-this-test"
OPERATOR = "Suzuki^Hanako=鈴木^花子=すずき^はなこ"


def code(value, meaning):
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, "99LOCAL", meaning
    return made


@pytest.fixture
def item():
    """A worklist item with names in three groups and codes in sequences."""
    (item,) = Worklist([ROW | {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"}]).items
    item.RequestedProcedureCodeSequence = [code("P1", "頭部ＰＥＴ"), code("P2", "Whole body")]
    return item


def bare(dataset):
    """Return what a dataset says as plain values; empty ones are equal, however they are empty."""
    found = {}
    for element in dataset:
        if element.VR == "SQ":
            found[element.keyword] = [bare(each) for each in element.value or ()]
        elif element.keyword != "SpecificCharacterSet":
            found[element.keyword] = str(element.value or "")
    return found


def test_our_modality_tells_their_keeper(stack, item):
    """Begun, under way, completed: each attribute arrives as it was sent, and nothing else."""
    meaning, operator = ("頭部ＰＥＴ", OPERATOR) if stack.inherits_character_set else ("Head PET", "Suzuki^Hanako")
    item.RequestedProcedureCodeSequence[0].CodeMeaning = meaning
    with stack.keeper() as keeper:
        step = procedure_step.begin(keeper.peer, item, attributes={"StudyID": "S1"})
        series = procedure_step.performed_series(phantoms.ct_series(2, rows=16))
        series[0].OperatorsName = operator
        going = procedure_step.progress(keeper.peer, step, attributes={"PerformedProcedureStepDescription": "全身"})
        done = procedure_step.finish(keeper.peer, going, series=series)
        create, change, end = keeper.heard
    uid = step.sop_instance_uid
    assert [(each.operation, each.uid, each.status) for each in (create, change, end)] == [
        ("N-CREATE", uid, 0), ("N-SET", uid, 0), ("N-SET", uid, 0),
    ]  # fmt: skip
    told = bare(create.dataset)
    assert set(CREATED) <= set(told)
    assert set(SCHEDULED) <= set(told["ScheduledStepAttributesSequence"][0])
    assert told == bare(step.attributes)
    assert told["PatientName"] == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert [each["CodeMeaning"] for each in told["ProcedureCodeSequence"]] == [meaning, "Whole body"]
    assert bare(change.dataset) == {"PerformedProcedureStepDescription": "全身"}
    assert create.dataset.SpecificCharacterSet == change.dataset.SpecificCharacterSet == "ISO_IR 192"
    (performed,) = bare(end.dataset)["PerformedSeriesSequence"]
    assert performed["OperatorsName"] == operator
    assert performed == bare(series[0])
    assert len(performed["ReferencedImageSequence"]) == 2
    assert told | bare(change.dataset) | bare(end.dataset) == bare(done.attributes)
    assert done.status == "COMPLETED"


def test_a_system_tells_another_than_who_keeps_its_worklist(stack):
    """The worklist is kept by one, performed steps by another, as in many hospitals."""
    vereos = Modality("philips-vereos")
    acts = {kind: next(a for a in vereos.profile.activities if a.does == kind) for kind in ("worklist", "acquire", "step")}
    with Server(None, ae_title="RIS", providers=[Worklist(scheduled([vereos.profile]))]) as ris, stack.keeper() as keeper:
        vereos.ris, vereos.mpps = ris.peer, keeper.peer
        found, made = vereos.perform(acts["worklist"]), vereos.perform(acts["acquire"])
        vereos.mpps = keeper.peer  # waits until it listens again
        told = vereos.perform(acts["step"])
        heard = [(each.operation, each.status) for each in keeper.heard]
    assert [row.outcome.value for row in (found, made, told)] == ["done"] * 3, told.message
    assert (found.peer, told.peer) == ("RIS", "KEEPER")
    assert heard == [("N-CREATE", 0), ("N-SET", 0)]


def test_their_refusals_are_named(stack, item):
    """What their keeper refuses is an error with its status; it has changed nothing."""
    with stack.keeper("AdmissionID") as keeper:
        known = {"AdmissionID": "V7"}
        series = procedure_step.performed_series(phantoms.ct_series(1, rows=16))

        def refused(call, *arguments, **named):
            with pytest.raises(StatusFailure) as caught:
                call(keeper.peer, *arguments, **named)
            assert ROW["PatientID"] not in str(caught.value)
            return caught.value.status, str(caught.value)

        status, said = refused(procedure_step.begin, item)
        assert (status, "N-CREATE with status 0x0120, missing attribute" in said) == (0x0120, True)
        item.AdmissionID = known["AdmissionID"]
        step = procedure_step.begin(keeper.peer, item)
        status, said = refused(procedure_step.begin, item, sop_instance_uid=step.sop_instance_uid)
        assert (status, "N-CREATE with status 0x0111, duplicate SOP instance" in said) == (0x0111, True)
        assert "that one has arrived" in said
        strange = procedure_step.ProcedureStep("1.2.3.4", step.status, step.attributes)
        status, said = refused(procedure_step.finish, strange, series=series)
        assert (status, "N-SET with status 0x0112, no such SOP instance" in said) == (0x0112, True)
        assert "does not know this step" in said
        procedure_step.finish(keeper.peer, step, series=series, status="DISCONTINUED")
        status, said = refused(procedure_step.finish, step, series=series)
        assert (status, "N-SET with status 0x0110, processing failure" in said) == (0x0110, True)
        assert [each.status for each in keeper.heard] == [0x0120, 0, 0x0111, 0x0112, 0, 0x0110]


def test_their_modality_tells_our_keeper(stack, archive, item):
    """Each rule of PS3.4 F.7.2 has its status, in one association; what was refused has changed nothing."""
    items = Worklist([item])
    steps = ProcedureSteps(items)
    new = attributes(item.StudyInstanceUID)
    new.PatientName, new.ProcedureCodeSequence = item.PatientName, item.RequestedProcedureCodeSequence
    new.ScheduledStepAttributesSequence[0].ScheduledProcedureStepID = item.ScheduledProcedureStepSequence[
        0
    ].ScheduledProcedureStepID
    last = ending()
    (series,) = last.PerformedSeriesSequence
    last.SpecificCharacterSet, series.OperatorsName = "ISO_IR 192", OPERATOR
    requests = [
        (0x0000, ("N-CREATE", "1.2.3.1", new)),
        (0x0111, ("N-CREATE", "1.2.3.1", but(new, PatientName="Other"))),
        (0x0120, ("N-CREATE", "1.2.3.2", but(new, Modality=None))),
        (0x0121, ("N-CREATE", "1.2.3.2", but(new, Modality=""))),
        (0x0106, ("N-CREATE", "1.2.3.2", but(new, PerformedProcedureStepStatus="COMPLETED"))),
        (0x0112, ("N-SET", "1.2.3.2", last)),
        (0x0105, ("N-SET", "1.2.3.1", but(last, PatientID="OTHER"))),
        (0x0120, ("N-SET", "1.2.3.1", but(last, PerformedSeriesSequence=[but(series, ProtocolName=None)]))),
        (0x0121, ("N-SET", "1.2.3.1", but(last, PerformedProcedureStepEndTime=None))),  # it is there, without a value
        (0x0000, ("N-SET", "1.2.3.1", last)),
        (0x0110, ("N-SET", "1.2.3.1", but(last, PerformedProcedureStepStatus="DISCONTINUED"))),
        (0x0000, ("N-CREATE", None, new)),
    ]
    with Server(archive, providers=[items, steps]) as server:
        answers, ended = stack.tell(server.peer, [request for _, request in requests])
    assert [answer["status"] for answer in answers] == [status for status, _ in requests]
    assert ended == "released"
    assert [answer["comment"] for answer in answers if answer["status"]] == [
        "there is a step of this UID",
        "Modality is missing",
        "Modality has no value",
        "PerformedProcedureStepStatus has a wrong value",
        "there is no step of this UID",
        "PatientID may not be set",
        "ProtocolName is missing",
        "PerformedProcedureStepEndTime has no value",
        "Performed Procedure Step Object may no longer be updated",
    ]
    made = answers[-1]["uid"]
    assert (len(steps), steps.status("1.2.3.1"), steps.status(made)) == (2, "COMPLETED", "IN PROGRESS")
    assert bare(steps["1.2.3.1"]) == bare(new) | bare(last)
    assert bare(steps[made]) == bare(new)
    assert items.items[0].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "STARTED"  # by the second


def test_a_user_of_dcmjs(dcmjs, archive):
    """A passcode that is right lets the modality in; a wrong one, another user or none is rejected 1/2/1."""
    steps = ProcedureSteps()
    new = attributes("1.2.3")
    with Server(archive, providers=[steps], identify={USER: security.hashed(PASSCODE)}) as server:
        for user in ((USER, "wrong"), ("nobody", PASSCODE), None):
            assert dcmjs.tell(server.peer, [("N-CREATE", "1.2.3.1", new)], user=user) == ([], "rejected 1/2/1")
        assert len(steps) == 0
        (answer,), ended = dcmjs.tell(server.peer, [("N-CREATE", "1.2.3.1", new)], user=(USER, PASSCODE))
    assert (answer["status"], ended, steps.status("1.2.3.1")) == (0, "released", "IN PROGRESS")


def but(dataset, **values):
    """Return a copy with other values; None takes one away."""
    other = copy.deepcopy(dataset)
    for keyword, value in values.items():
        if value is None:
            delattr(other, keyword)
        else:
            setattr(other, keyword, value)
    return other

"""Performed procedure steps against a second implementation, in both roles.

The second implementation is the one of ``conftest.py``: it frames PDUs and command sets by hand, over plain sockets, is built on
nothing of the code under test, and misbehaves on cue. Those of other makers are in ``test_procedure_step_peers.py``.
"""

import copy

import pytest
from pydicom.dataset import Dataset

from workbench import phantoms
from workbench.errors import AssociationAborted, PeerTimeout, StatusFailure
from workbench.network import ProcedureSteps, Server, Worklist, procedure_step

ROW = {
    "PatientName": "Yamada^Tarou=山田^太郎", "PatientID": "P1", "Modality": "PT", "ScheduledStationAETitle": "VEREOS",
    "ScheduledProcedureStepStartDate": "20261121", "RequestedProcedureID": "RP7", "AccessionNumber": "A7",
}  # fmt: skip
# Attributes of N-CREATE and N-SET by the Vereos statement, tables 20 and 22, type 1 and 2 in the standard
CREATED = [
    "ScheduledStepAttributesSequence",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "ReferencedPatientSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedStationName",
    "PerformedLocation",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepStatus",
    "PerformedProcedureStepDescription",
    "PerformedProcedureTypeDescription",
    "ProcedureCodeSequence",
    "PerformedProcedureStepEndDate",
    "PerformedProcedureStepEndTime",
    "Modality",
    "StudyID",
    "PerformedProtocolCodeSequence",
    "PerformedSeriesSequence",
]
SCHEDULED = [
    "AccessionNumber",
    "RequestedProcedureDescription",
    "RequestedProcedureID",
    "ScheduledProcedureStepDescription",
    "ScheduledProcedureStepID",
    "StudyInstanceUID",
    "ReferencedStudySequence",
    "ScheduledProtocolCodeSequence",
]


def keeper(plain, log, statuses=()):
    """A conduct that keeps steps as the standard says, or answers with the `statuses` that are given."""
    steps, planned = {}, list(statuses)

    def conduct(line):
        while True:
            command, dataset = line.receive()
            kind = command[0x0100]
            uid = command[0x1000 if kind == plain.N_CREATE else 0x1001]
            log.append((kind, uid, dataset))
            if planned:
                status = planned.pop(0)
            elif kind == plain.N_CREATE:
                status = 0x0111 if uid in steps else 0
                steps.setdefault(uid, copy.deepcopy(dataset))
            elif uid not in steps:
                status = 0x0112
            else:
                status = 0x0110 if steps[uid].PerformedProcedureStepStatus != "IN PROGRESS" else 0
                if not status:
                    steps[uid].update(dataset)
            more = {"e0903": 0xA710} if status == 0x0110 else {}
            line.answer(plain.MPPS, command, status, e0002=plain.MPPS, e1000=uid, **more)

    return conduct


@pytest.mark.parametrize("prefer", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_our_modality_tells_another_keeper(plain, prefer):
    log = []
    peer = plain.listen(keeper(plain, log), prefer=prefer)
    item = Worklist([ROW]).items[0]
    step = procedure_step.begin(peer, item)
    done = procedure_step.finish(peer, step, series=procedure_step.performed_series(phantoms.ct_series(2, rows=16)))
    (create, uid, dataset), (set_, same, changes) = log
    assert (create, set_, uid == same == step.sop_instance_uid) == (plain.N_CREATE, plain.N_SET, True)
    assert [name for name in CREATED if name not in dataset] == []
    assert [name for name in SCHEDULED if name not in dataset.ScheduledStepAttributesSequence[0]] == []
    assert str(dataset.PatientName) == ROW["PatientName"]
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert dataset.PerformedProcedureStepStatus == "IN PROGRESS"
    assert (changes.PerformedProcedureStepStatus, len(changes.PerformedSeriesSequence[0].ReferencedImageSequence)) == (
        "COMPLETED",
        2,
    )
    assert "PatientName" not in changes
    for wanted, call in (
        (0x0111, lambda: procedure_step.begin(peer, item, sop_instance_uid=uid)),
        (0x0110, lambda: procedure_step.finish(peer, step, series=done.attributes.PerformedSeriesSequence)),
    ):
        with pytest.raises(StatusFailure) as caught:
            call()
        assert caught.value.status == wanted


def test_a_warning_is_taken_and_a_failure_named(plain):
    log = []
    peer = plain.listen(keeper(plain, log, [0x0107, 0x0213]))
    item = Worklist([ROW]).items[0]
    assert procedure_step.begin(peer, item).status == "IN PROGRESS"
    with pytest.raises(StatusFailure, match=r"0x0213, resource limitation"):
        procedure_step.begin(peer, item)


def test_a_keeper_that_is_silent_or_goes_away(plain):
    item = Worklist([ROW]).items[0]

    def silent(line):
        line.receive()
        line.receive()

    def leaves(line):
        line.receive()
        line.raw.close()

    with pytest.raises(PeerTimeout, match="did not answer N-CREATE within 3 s"):
        procedure_step.begin(plain.listen(silent), item)
    with pytest.raises(AssociationAborted, match="lost during N-CREATE"):
        procedure_step.begin(plain.listen(leaves), item)


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_another_modality_tells_our_keeper(plain, archive, syntax):
    """S11, asked by the hand-framed peer of ``conftest.py``, which is not built on the code under test."""
    items = Worklist([ROW])
    steps = ProcedureSteps(items)
    with Server(archive, providers=[items, steps]) as server:
        line = plain.call(server.peer, [plain.MPPS], syntax=syntax)

        def create(dataset, **command):
            line.send(plain.MPPS, {0x0002: plain.MPPS, 0x0100: plain.N_CREATE, 0x0110: 7} | by_number(command), dataset)
            return line.receive()[0]

        def change(uid, dataset, **command):
            fields = {0x0003: plain.MPPS, 0x0100: plain.N_SET, 0x0110: 8, 0x1001: uid}
            line.send(plain.MPPS, fields | by_number(command), dataset)
            return line.receive()[0]

        item = items.items[0]
        new = attributes(item.StudyInstanceUID, item.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID)
        made = create(new)
        assert (made[0x0100], made[0x0120], made[0x0900]) == (plain.N_CREATE | 0x8000, 7, 0)
        uid = made[0x1000]
        assert steps.status(uid) == "IN PROGRESS"
        assert create(new, e1000=uid)[0x0900] == 0x0111
        assert str(steps[uid].PatientName) == ROW["PatientName"]
        assert items.items[0].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "STARTED"
        del new.PerformedStationAETitle
        assert create(new)[0x0900] == 0x0120
        assert change("1.2.3", ending())[0x0900] == 0x0112
        wrong = Dataset()
        wrong.PatientID = "OTHER"
        answer = change(uid, wrong)
        assert (answer[0x0900], answer[0x1005]) == (0x0105, b"\x10\0\x20\0")
        assert change(uid, ending())[0x0900] == 0
        answer = change(uid, ending())
        assert (answer[0x0900], answer[0x0903]) == (0x0110, 0xA710)
        assert answer[0x0902] == "Performed Procedure Step Object may no longer be updated"
        line.send(plain.MPPS, {0x0003: plain.MPPS, 0x0100: 0x0150, 0x0110: 9, 0x1001: uid})  # N-DELETE
        assert line.receive()[0][0x0900] == 0x0211
        assert line.release() == 6
    assert steps.status(uid) == "COMPLETED"
    assert len(steps) == 1


def by_number(command):
    return {int(name[1:], 16): value for name, value in command.items()}


def attributes(study, step="SPS00001"):
    new = Dataset()
    new.SpecificCharacterSet = "ISO_IR 192"
    for name in CREATED:
        setattr(new, name, [] if name.endswith("Sequence") else "")
    scheduled = Dataset()
    for name in SCHEDULED:
        setattr(scheduled, name, [] if name.endswith("Sequence") else "")
    scheduled.StudyInstanceUID, scheduled.ScheduledProcedureStepID = study, step
    new.ScheduledStepAttributesSequence = [scheduled]
    new.PatientName, new.Modality, new.PerformedProcedureStepStatus = ROW["PatientName"], "PT", "IN PROGRESS"
    new.PerformedProcedureStepID, new.PerformedStationAETitle = "1", "VEREOS"
    new.PerformedProcedureStepStartDate, new.PerformedProcedureStepStartTime = "20261121", "120000"
    return new


def ending():
    series = Dataset()
    series.SeriesInstanceUID, series.ProtocolName = "1.2.3.4", "Body"
    for name in ("PerformingPhysicianName", "OperatorsName", "SeriesDescription", "RetrieveAETitle"):
        setattr(series, name, "")
    series.ReferencedImageSequence, series.ReferencedNonImageCompositeSOPInstanceSequence = [], []
    changes = Dataset()
    changes.PerformedProcedureStepStatus, changes.PerformedSeriesSequence = "COMPLETED", [series]
    changes.PerformedProcedureStepEndDate, changes.PerformedProcedureStepEndTime = "20261121", "121500"
    return changes

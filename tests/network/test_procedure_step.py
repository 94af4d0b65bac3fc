"""Performed procedure steps: what a modality tells, and the states at the one who keeps them."""

import copy
import struct
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pynetdicom.dimse_primitives import N_SET

from tests.network.scripted import command_set
from workbench import phantoms
from workbench.entities import Peer
from workbench.errors import AttributeUnusable, InputError, InstanceNotFound, PeerUnreachable, StatusFailure
from workbench.network import ProcedureSteps, Server, Worklist, procedure_step, worklist
from workbench.network._step_rules import fault_in_creation
from workbench.network.procedure_step import _created, performed_series
from workbench.network.providing import Refused, answer

STEP = "1.2.840.10008.3.1.2.3.3"
NOON = datetime(2026, 11, 21, 12, 0, 0)  # noqa: DTZ001 - DICOM has local times
ROW = {
    "PatientName": "Müller^Jörg", "PatientID": "P1", "PatientBirthDate": "19700101", "PatientSex": "M", "AccessionNumber": "A7",
    "RequestedProcedureID": "RP7", "RequestedProcedureDescription": "Head", "Modality": "CT",
    "ScheduledStationAETitle": "WORKBENCH", "ScheduledProcedureStepStartDate": "20261121", "ScheduledProcedureStepID": "SPS7",
    "ScheduledProcedureStepDescription": "Head plain",
}  # fmt: skip


def created():
    dataset = _created([Worklist([ROW]).items[0]], "CT1", NOON)
    assert fault_in_creation(dataset, strict=True) is None
    return dataset


def ending(status="COMPLETED"):
    changes = Dataset()
    changes.PerformedProcedureStepStatus = status
    changes.PerformedProcedureStepEndDate, changes.PerformedProcedureStepEndTime = "20261121", "121500"
    changes.PerformedSeriesSequence = performed_series(phantoms.ct_series(2, rows=16))
    return changes


def refused(call, *args):
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value


@pytest.fixture
def department(archive):
    items = Worklist([ROW])
    steps = ProcedureSteps(items)
    with Server(archive, providers=[items, steps]) as server:
        yield server.peer, items, steps


def test_from_the_worklist_to_the_end(department):
    peer, items, steps = department
    (item,) = worklist(peer)
    step = procedure_step.begin(peer, item, attributes={"PerformedLocation": "Room 2"}, started=NOON)
    assert items.items[0].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "STARTED"
    kept = steps[step.sop_instance_uid]
    scheduled = kept.ScheduledStepAttributesSequence[0]
    told = (kept.PatientName, kept.PerformedProcedureStepID, kept.Modality, kept.PerformedLocation, kept.PerformedStationAETitle)
    assert tuple(map(str, told)) == ("Müller^Jörg", "RP7", "CT", "Room 2", "WORKBENCH")
    assert (scheduled.StudyInstanceUID, scheduled.AccessionNumber) == (items.items[0].StudyInstanceUID, "A7")
    assert (scheduled.ScheduledProcedureStepID, scheduled.RequestedProcedureDescription) == ("SPS7", "Head")
    assert kept.PerformedProcedureStepStartTime == "120000"

    images = phantoms.ct_series(3, rows=16)
    going = procedure_step.progress(peer, step, series=performed_series(images[:1]))
    assert (steps.status(step.sop_instance_uid), going.instances) == ("IN PROGRESS", 1)
    done = procedure_step.finish(peer, going, series=performed_series(images, protocol="Head plain", retrieve_ae_title="ARCHIVE"))
    kept = steps[step.sop_instance_uid]
    (series,) = kept.PerformedSeriesSequence
    assert (kept.PerformedProcedureStepStatus, done.status, done.instances) == ("COMPLETED", "COMPLETED", 3)
    assert (series.ProtocolName, series.RetrieveAETitle) == ("Head plain", "ARCHIVE")
    named = [(r.ReferencedSOPClassUID, r.ReferencedSOPInstanceUID) for r in series.ReferencedImageSequence]
    assert named == [(i.SOPClassUID, i.SOPInstanceUID) for i in images]
    assert str(kept.PatientName) == "Müller^Jörg"
    assert len(worklist(peer)) == 0  # it is done
    row = steps.table().iloc[0]
    assert (row.PerformedProcedureStepStatus, row.series, row.instances) == ("COMPLETED", 1, 3)
    assert "COMPLETED" in steps._repr_html_()
    assert "3 instances" in done._repr_html_()
    assert "ller" not in repr(done)


def test_discontinued_without_images(department):
    peer, items, steps = department
    step = procedure_step.begin(peer, items.items[0])
    none = Dataset()
    none.update(performed_series(phantoms.ct_series(1, rows=16))[0])
    none.ReferencedImageSequence = []
    procedure_step.finish(peer, step, status="DISCONTINUED", series=[none])
    assert steps.status(step.sop_instance_uid) == "DISCONTINUED"
    assert items.items[0].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "DISCONTINUED"


def test_a_step_that_made_nothing_ends_with_a_series_that_is_empty(department):
    """PS3.4 Table F.7.2-1, note 2: a series must exist for every step, though it may contain no objects if none were created."""
    peer, items, steps = department
    step = procedure_step.begin(peer, items.items[0])
    ended = procedure_step.finish(peer, step, status="DISCONTINUED")
    (series,) = steps[step.sop_instance_uid].PerformedSeriesSequence
    assert (ended.status, ended.instances, series.ProtocolName) == ("DISCONTINUED", 0, "Head plain")
    assert series.SeriesInstanceUID
    assert len(series.ReferencedImageSequence) == len(series.ReferencedNonImageCompositeSOPInstanceSequence) == 0


def test_a_step_that_has_told_its_series_keeps_them_when_it_is_discontinued(department):
    peer, items, steps = department
    step = procedure_step.begin(peer, items.items[0])
    going = procedure_step.progress(peer, step, series=performed_series(phantoms.ct_series(2, rows=16)))
    assert procedure_step.finish(peer, going, status="DISCONTINUED").instances == 2
    assert len(steps[step.sop_instance_uid].PerformedSeriesSequence[0].ReferencedImageSequence) == 2


def test_what_was_not_scheduled(department):
    peer, _, steps = department
    step = procedure_step.begin(peer, attributes={"PatientID": "EMERGENCY", "Modality": "CT", "AccessionNumber": "E1"})
    assert step.study_instance_uid
    assert steps[step.sop_instance_uid].ScheduledStepAttributesSequence[0].AccessionNumber == "E1"
    assert steps[step.sop_instance_uid].PatientID == "EMERGENCY"


def test_two_requests_one_step(department):
    peer, items, steps = department
    second = items.add(ROW | {"ScheduledProcedureStepID": "SPS8", "AccessionNumber": "A8"})
    step = procedure_step.begin(peer, [items.items[0], second])
    assert [i.AccessionNumber for i in steps[step.sop_instance_uid].ScheduledStepAttributesSequence] == ["A7", "A8"]
    states = {i.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus for i in items.items}
    assert states == {"STARTED"}


def test_the_peer_says_no(department):
    """S11: duplicate, unknown, after the end; the same against a second implementation in tests/peers/test_procedure_step.py."""
    peer, items, steps = department
    step = procedure_step.begin(peer, items.items[0])
    unknown = procedure_step.ProcedureStep("1.2.3", step.status, step.attributes)
    for wanted, call in (
        (0x0111, lambda: procedure_step.begin(peer, items.items[0], sop_instance_uid=step.sop_instance_uid)),
        (0x0112, lambda: procedure_step.finish(peer, unknown, series=ending().PerformedSeriesSequence)),
    ):
        with pytest.raises(StatusFailure, match=f"0x{wanted:04X}") as caught:
            call()
        assert caught.value.status == wanted
    procedure_step.finish(peer, step, series=ending().PerformedSeriesSequence)
    with pytest.raises(StatusFailure, match="may no longer be updated") as caught:
        procedure_step.finish(peer, step, status="DISCONTINUED", series=ending().PerformedSeriesSequence)
    assert caught.value.status == 0x0110
    assert steps.status(step.sop_instance_uid) == "COMPLETED"


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ([0x00400252], "PerformedProcedureStepStatus"),
        ([0x00400252, 0x00400340], "PerformedProcedureStepStatus, PerformedSeriesSequence"),
    ],
)
def test_the_peer_may_name_one_attribute_or_several(tags, said):
    class Strict(ProcedureSteps):
        def serve(self, association, request, context):
            if not isinstance(request, N_SET):
                return super().serve(association, request, context)
            answer(association, request, context, 0x0106, AttributeIdentifierList=[Tag(tag) for tag in tags])
            return True

    with Server(None, providers=[Strict()]) as server:
        step = procedure_step.begin(server.peer, Worklist([ROW]).items[0])
        with pytest.raises(StatusFailure, match=f"0x0106, .* It is about {said}\\.") as caught:
            procedure_step.finish(server.peer, step, series=ending().PerformedSeriesSequence)
    assert caught.value.status == 0x0106


def test_what_a_new_step_lacks_is_told_by_the_peer(listening):
    """N-CREATE, whose attribute list pynetdicom does not pass on."""

    def refuse(connection):
        connection.response()
        lacking = struct.pack("<HH", 0x0010, 0x0020)
        connection.message(
            1, command_set(e0002=STEP, e0100=0x8140, e0120=1, e0800=0x0101, e0900=0x0120, e1000="1.2.3", e1005=lacking)
        )

    with pytest.raises(StatusFailure, match=r"0x0120, .* It is about PatientID\."):
        procedure_step.begin(listening(refuse), Worklist([ROW]).items[0])


def test_what_can_not_be_told_is_not_sent():
    nobody = Peer("nobody", "NOBODY", port=1)
    with pytest.raises(AttributeUnusable, match="needs a value for Modality"):
        procedure_step.begin(nobody)
    with pytest.raises(AttributeUnusable, match="no keyword"):
        procedure_step.begin(nobody, attributes={"Modality": "CT", "NoSuchThing": 1})
    step = procedure_step.ProcedureStep("1.2", "IN PROGRESS", created())
    with pytest.raises(AttributeUnusable, match="can't change PatientID"):
        procedure_step.progress(nobody, step, attributes={"PatientID": "other"})
    with pytest.raises(AttributeUnusable, match="COMPLETED or DISCONTINUED, not 'DONE'"):
        procedure_step.finish(nobody, step, status="DONE")
    with pytest.raises(AttributeUnusable, match="needs a value for PerformedSeriesSequence"):
        procedure_step.finish(nobody, step)
    with pytest.raises(AttributeUnusable, match=r"needs a value for PerformedSeriesSequence\.ProtocolName"):
        procedure_step.finish(nobody, step, series=_nameless())
    over = procedure_step.ProcedureStep("1.2", "COMPLETED", created())
    with pytest.raises(AttributeUnusable, match="nothing may change"):
        procedure_step.progress(nobody, over)
    with pytest.raises(PeerUnreachable):
        procedure_step.begin(nobody, Worklist([ROW]).items[0])


def _nameless():
    (series,) = performed_series(phantoms.ct_series(1, rows=16))
    series.ProtocolName = ""
    return [series]


def test_images_and_others_are_told_apart():
    image = phantoms.ct_series(1, rows=16)[0]
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.SeriesInstanceUID = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.9", "1.2.8"
    report.Modality = "SR"
    first, second = performed_series([image, report])
    assert (len(first.ReferencedImageSequence), len(first.ReferencedNonImageCompositeSOPInstanceSequence)) == (1, 0)
    assert (len(second.ReferencedImageSequence), len(second.ReferencedNonImageCompositeSOPInstanceSequence)) == (0, 1)
    assert second.ProtocolName == "SR"


# ------------------------------------------------------------ the states
def test_a_uid_is_made_where_none_came():
    steps = ProcedureSteps()
    uid = steps.create(None, created())
    assert steps.status(uid) == "IN PROGRESS"
    assert refused(steps.create, "no uid", created()).status == 0x0117


@pytest.mark.parametrize(
    ("change", "status", "where"),
    [
        (lambda d: delattr(d, "PerformedStationAETitle"), 0x0120, "PerformedStationAETitle is missing"),
        (lambda d: delattr(d, "PatientName"), 0x0120, "PatientName is missing"),
        (lambda d: setattr(d, "Modality", ""), 0x0121, "Modality has no value"),
        (lambda d: setattr(d, "ScheduledStepAttributesSequence", []), 0x0121, "ScheduledStepAttributesSequence has no value"),
        (lambda d: delattr(d.ScheduledStepAttributesSequence[0], "StudyInstanceUID"), 0x0120, "StudyInstanceUID is missing"),
        (
            lambda d: setattr(d, "PerformedProcedureStepStatus", "COMPLETED"),
            0x0106,
            "PerformedProcedureStepStatus has a wrong value",
        ),
    ],
)
def test_what_a_step_must_have(change, status, where):
    """S11: 0x0120, with its neighbours."""
    steps, dataset = ProcedureSteps(), created()
    change(dataset)
    error = refused(steps.create, "1.2.3", dataset)
    assert (error.status, error.comment) == (status, where)
    assert len(steps) == 0


def test_a_lenient_keeper_takes_what_devices_leave_out():
    dataset = created()
    del dataset.PatientName
    del dataset.PerformedLocation
    assert ProcedureSteps(strict=False).create("1.2.3", dataset) == "1.2.3"


@pytest.mark.parametrize(
    ("changes", "status", "tags"),
    [
        ({"PatientID": "x"}, 0x0105, [0x00100020]),
        ({"Modality": "MR"}, 0x0105, [0x00080060]),
        ({"PerformedProcedureStepStatus": "PAUSED"}, 0x0106, [0x00400252]),
        ({"PerformedProcedureStepStatus": ""}, 0x0121, [0x00400252]),
        ({"PerformedProcedureStepStatus": "COMPLETED"}, 0x0121, [0x00400250, 0x00400251, 0x00400340]),
        ({"PerformedSeriesSequence": [Dataset()]}, 0x0120, None),
    ],
)
def test_what_may_not_be_set(changes, status, tags):
    steps = ProcedureSteps()
    uid = steps.create(None, created())
    before, wanted = steps[uid], Dataset()
    for keyword, value in changes.items():
        setattr(wanted, keyword, value)
    error = refused(steps.set, uid, wanted)
    assert error.status == status
    assert tags is None or error.fields["AttributeIdentifierList"] == tags
    assert steps[uid] == before


def test_the_caller_keeps_its_dataset_and_gets_copies():
    steps, mine = ProcedureSteps(), created()
    before = copy.deepcopy(mine)
    uid = steps.create(None, mine)
    mine.PatientID = "changed"
    steps[uid].PatientID = "changed"
    assert steps[uid] == before
    with pytest.raises(InstanceNotFound, match="no performed procedure step"):
        steps["1.2.3"]


def test_who_is_told_may_fail(caplog):
    seen = []

    def told(uid, dataset):
        seen.append((uid, dataset.PerformedProcedureStepStatus))
        raise ValueError(str(dataset.PatientName))

    steps = ProcedureSteps(on_change=told)
    uid = steps.create(None, created())
    steps.set(uid, ending())
    assert seen == [(uid, "IN PROGRESS"), (uid, "COMPLETED")]
    assert "ller" not in caplog.text


def test_there_is_an_end_to_what_is_kept():
    steps = ProcedureSteps(most=1)
    steps.create(None, created())
    assert refused(steps.create, None, created()).status == 0x0213
    with pytest.raises(InputError, match="1 or more"):
        ProcedureSteps(most=0)


@given(st.lists(st.sampled_from(["create", "go on", "COMPLETED", "DISCONTINUED", "half"]), max_size=8), st.booleans())
def test_the_states_are_those_of_the_standard(acts, other):
    """Whatever is asked in whatever order: the first end stays, and each refusal has its status (PS3.4 F.7.2)."""
    steps, model, uid = ProcedureSteps(), None, "1.2.3"
    going = Dataset()
    going.PerformedProcedureStepDescription = "more" if other else ""
    half = Dataset()
    half.PerformedProcedureStepStatus = "COMPLETED"
    for act in acts:
        if act == "create":
            wanted, call = (0x0111 if model else None), lambda: steps.create(uid, created())
            after = model or "IN PROGRESS"
        else:
            changes = {"go on": going, "half": half}.get(act) or ending(act)
            wanted, after = (0x0112 if model is None else 0x0110 if model != "IN PROGRESS" else None), model
            if wanted is None:
                wanted, after = (0x0121, model) if act == "half" else (None, model if act == "go on" else act)
            call = lambda changes=changes: steps.set(uid, changes)  # noqa: E731
        if wanted is None:
            call()
        else:
            assert refused(call).status == wanted
        model = after
        assert (steps.status(uid) if model else None) == model


def test_a_step_does_not_tell_of_another_patients_instances():
    image, other = phantoms.ct_series(1, rows=16)[0], phantoms.fundus()
    scheduled = Dataset()
    scheduled.StudyInstanceUID = image.StudyInstanceUID
    attributes = Dataset()
    attributes.PatientID, attributes.ScheduledStepAttributesSequence = image.PatientID, [scheduled]
    step = procedure_step.ProcedureStep("1.2.3", "IN PROGRESS", attributes)
    assert len(performed_series([image], step=step)) == 1
    with pytest.raises(InputError, match="is of another study or patient than the performed step"):
        performed_series([image, other], step=step)

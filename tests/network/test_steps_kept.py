"""Performed procedure steps that outlast the process that keeps them."""

import errno
import logging
import subprocess

import pytest
from pydicom.dataset import Dataset

from tests.network.test_procedure_step import ROW, created, ending, refused
from workbench import files
from workbench.errors import InputError, StatusFailure
from workbench.network import ProcedureSteps, Server, Worklist, procedure_step, worklist
from workbench.network.providing import Refused

UNNAMED = {name: value for name, value in ROW.items() if name != "ScheduledProcedureStepID"}


def test_a_step_goes_on_after_a_restart_and_its_item_stays_done(tmp_path):
    items = Worklist([UNNAMED])
    with Server(None, providers=[items, ProcedureSteps(items, folder=tmp_path)]) as server:
        step = procedure_step.begin(server.peer, worklist(server.peer)[0])
    items = Worklist([UNNAMED])
    steps = ProcedureSteps(items, folder=tmp_path)
    with Server(None, providers=[items, steps]) as server:
        assert items.items[0].ScheduledProcedureStepSequence[0].ScheduledProcedureStepStatus == "STARTED"
        ended = ending()
        procedure_step.finish(server.peer, step, series=ended.PerformedSeriesSequence)
        assert len(worklist(server.peer)) == 0
    items = Worklist([UNNAMED])
    again = ProcedureSteps(items, folder=tmp_path)
    with Server(None, providers=[items, again]) as server:
        assert len(worklist(server.peer)) == 0
        with pytest.raises(StatusFailure, match="0x0110"):
            procedure_step.finish(server.peer, step, series=ended.PerformedSeriesSequence)
    assert again[step.sop_instance_uid] == steps[step.sop_instance_uid]
    assert again.table().equals(steps.table())


def test_what_is_kept_is_a_file_that_others_read(tmp_path, program):
    steps = ProcedureSteps(folder=tmp_path)
    uid = steps.create(None, created())
    steps.set(uid, ending())
    (path,) = tmp_path.iterdir()
    assert path.name == f"{uid}.dcm"
    assert not files.read(path).findings
    dump = subprocess.run([program("dcmdump"), path], capture_output=True, check=True, timeout=30).stdout
    assert b"=ModalityPerformedProcedureStepSOPClass" in dump
    assert b"[COMPLETED]" in dump


def test_characters_that_the_first_set_lacks_are_kept(tmp_path):
    steps = ProcedureSteps(folder=tmp_path)
    uid = steps.create(None, created())  # in ISO_IR 100 or 192, with an umlaut
    more = Dataset()
    more.SpecificCharacterSet, more.PerformedProcedureStepDescription = "ISO_IR 192", "頭部"
    steps.set(uid, more)
    again = ProcedureSteps(folder=tmp_path)[uid]
    assert (again.PatientName, again.PerformedProcedureStepDescription) == ("Müller^Jörg", "頭部")


def test_steps_come_back_in_the_order_in_which_they_began(tmp_path):
    steps, uids = ProcedureSteps(folder=tmp_path), ("2.25.9", "2.25.1", "2.25.5")
    for hour, uid in enumerate(uids):
        begun = created()
        begun.PerformedProcedureStepStartTime = f"{hour:02}0000"
        steps.create(uid, begun)
    assert tuple(ProcedureSteps(folder=tmp_path).table().SOPInstanceUID) == uids


def _cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def _not_dicom(path):
    path.write_text("Secret^Patient")


def _cut_between_elements(path):
    dataset = files.read(path).dataset
    dataset.PerformedProcedureStepStatus = "COMPLETED"
    del dataset.PerformedSeriesSequence
    files.save(dataset, path)


def _of_another(path):
    dataset = files.read(path).dataset
    dataset.SOPInstanceUID = "2.25.3"
    files.save(dataset, path)


def _without_state(path):
    dataset = files.read(path).dataset
    del dataset.PerformedProcedureStepStatus
    files.save(dataset, path)


def _without_study(path):
    dataset = files.read(path).dataset
    del dataset.ScheduledStepAttributesSequence[0].StudyInstanceUID
    files.save(dataset, path)


@pytest.mark.parametrize("damage", [_cut, _cut_between_elements, _not_dicom, _of_another, _without_state, _without_study])
def test_a_damaged_file_is_told_and_left(tmp_path, caplog, damage):
    steps = ProcedureSteps(folder=tmp_path)
    steps.create("2.25.1", created())
    steps.create("2.25.2", created())
    path = tmp_path / "2.25.1.dcm"
    damage(path)
    before = path.read_bytes()
    caplog.set_level(logging.INFO)
    again = ProcedureSteps(folder=tmp_path)
    assert (len(again), again.status("2.25.2")) == (1, "IN PROGRESS")
    assert "performed procedure step 2.25.1 can't be read, its file is left as it is" in caplog.text
    assert "Secret" not in caplog.text
    assert "ller" not in caplog.text
    assert refused(again.create, "2.25.1", created()).status == 0x0111
    assert path.read_bytes() == before


def test_a_file_of_any_other_name_is_counted_and_not_named(tmp_path, caplog):
    (tmp_path / "Secret^Patient.dcm").write_text("")
    assert len(ProcedureSteps(folder=tmp_path)) == 0
    assert "1 file of performed procedure steps can't be used" in caplog.text
    assert "Secret" not in caplog.text


def test_what_a_dead_process_left_unfinished_goes(tmp_path):
    (tmp_path / ".wb-0.part").write_text("")
    ProcedureSteps(folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 0x0213), (errno.EACCES, 0x0110)])
def test_a_step_that_can_not_be_kept_is_refused_and_changes_nothing(tmp_path, monkeypatch, number, status):
    items = Worklist([UNNAMED])
    steps = ProcedureSteps(items, folder=tmp_path)
    uid = steps.create("2.25.1", created())

    def full(*_):
        raise OSError(number, "as the system says it")

    monkeypatch.setattr("workbench.files.whole.os.fsync", full)
    assert refused(steps.create, "2.25.2", created()).status == status
    assert refused(steps.set, uid, ending()).status == status
    monkeypatch.undo()
    for each in (steps, ProcedureSteps(folder=tmp_path)):
        assert (len(each), each.status(uid)) == (1, "IN PROGRESS")
    steps.set(uid, ending())
    with pytest.raises(Refused):
        steps.set(uid, ending())


def test_a_folder_that_can_not_be_had(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="The folder for performed procedure steps can't be used: "):
        ProcedureSteps(folder=tmp_path / "file")


def test_a_department_in_a_folder_keeps_its_steps(tmp_path):
    from workbench.department import Department

    with Department(tmp_path, instances=[], items=[UNNAMED]) as department:
        step = procedure_step.begin(department.peers["ris"], department.worklist.items[0])
    with Department(tmp_path, instances=[], items=[UNNAMED]) as department:
        assert department.steps.status(step.sop_instance_uid) == "IN PROGRESS"

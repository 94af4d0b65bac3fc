"""What an item of a worklist can hold: values, not what a query could look for."""

import pytest
from pydicom.dataset import Dataset

from workbench.errors import InputError
from workbench.network import ProcedureSteps, Worklist

ROW = {"PatientName": "Doe^Jane", "PatientID": "1", "Modality": "OP", "ScheduledStationAETitle": "FUNDUS",
       "ScheduledProcedureStepStartDate": "20261121"}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PatientID", "77*"), ("PatientName", "Se?ret"), ("AccessionNumber", "7*"), ("Modality", "O?"),
        ("ScheduledStationAETitle", " "), ("ScheduledProcedureStepStartDate", "20261121-20261122"),
        ("ScheduledProcedureStepStartDate", "20261341"), ("StudyInstanceUID", "1.2\\1.3"), ("StudyInstanceUID", "1.02"),
        ("RequestedProcedureID", "x" * 17), ("PatientBirthDate", "19991301"),
    ],
)  # fmt: skip
def test_what_only_a_query_could_say_is_refused_by_item_and_attribute(name, value):
    with pytest.raises(InputError, match=rf"Worklist item 2: {name}") as told:
        Worklist([ROW, ROW | {name: value}])
    assert value not in str(told.value) or not value.strip()


def test_a_dataset_is_judged_as_a_row_is():
    item = Dataset()
    item.PatientName, item.PatientID = "Doe^Jane", "1\\2"
    step = Dataset()
    step.ScheduledStationAETitle, step.Modality, step.ScheduledProcedureStepStartDate = ["A", "B"], "OP", "20261121"
    item.ScheduledProcedureStepSequence = [step]
    with pytest.raises(InputError, match=r"PatientID has 2 values where one can stand \(PS3.6\)"):
        Worklist([item])
    item.PatientID = "1"
    assert len(Worklist([item])) == 1  # PS3.6: Scheduled Station AE Title has 1-n values


@pytest.mark.parametrize(
    "more", [{"PatientName": "Müller^Änne"}, {"PatientComments": "Which eye? *left*"}, {"PatientWeight": "70.5"}]
)
def test_what_is_a_value_is_taken(more):
    assert len(Worklist([ROW | more])) == 1


def test_what_is_served_says_how_much_it_holds_and_of_nobody():
    assert repr(Worklist([ROW])) == "<Worklist: 1 items>"
    assert repr(ProcedureSteps()) == "<ProcedureSteps: 0 steps>"

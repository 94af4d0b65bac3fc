"""A worklist from tables and files: identifiers as they were, and a refusal that says where."""

import datetime as dt
import logging
import uuid
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset
from pydicom.tag import Tag

from workbench.entities import uid_checked
from workbench.errors import InputError, QueryKeyInvalid
from workbench.network import Worklist
from workbench.network._items import ItemEncoder
from workbench.standard import worklist_identifier

STEP = "ScheduledProcedureStepSequence"
NEEDED = ("PatientName", "PatientID", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate", "Modality")
ROW = dict(zip(NEEDED, ("Doe^Jane", "0042", "FUNDUS", "20261121", "OP"), strict=True))
HEADING, LINE = ",".join(ROW), ",".join(ROW.values())
SECRET = "Secret^Patient"


def frame(*rows):
    return pd.DataFrame([{**ROW, **row} for row in rows])


def csv_file(folder, *lines, encoding="utf-8"):
    path = folder / "today.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


# ------------------------------------------------------------ tables
def test_numbers_with_a_gap_stay_whole_numbers():
    items = Worklist(frame({"AccessionNumber": 4711}, {"AccessionNumber": None}, {"AccessionNumber": 12})).items
    assert [item.get("AccessionNumber") for item in items] == ["4711", None, "12"]


@pytest.mark.parametrize("dtype", ["Int64", "float64", "object", "string"])
def test_identifiers_in_any_type_of_column(dtype):
    table = frame({}, {})
    table["PatientID"] = pd.Series([4711, 4712]).astype("Int64").astype(dtype)
    assert [item.PatientID for item in Worklist(table).items] == ["4711", "4712"]


@given(st.lists(st.one_of(st.none(), st.integers(1, 2**53 - 1)), min_size=1, max_size=6))
def test_every_number_that_a_float_holds_comes_back(numbers):
    table = frame(*({} for _ in numbers))
    table["AccessionNumber"] = pd.Series(numbers, dtype="float64")
    assert [item.get("AccessionNumber") for item in Worklist(table).items] == [str(n) if n else None for n in numbers]


def test_a_number_whose_digits_are_lost_is_refused():
    with pytest.raises(InputError, match=r"Worklist item 2: AccessionNumber is a number too large .* read the column as text"):
        Worklist(frame({"AccessionNumber": None}, {"AccessionNumber": float(2**60)}))


def test_dates_and_times_of_a_table():
    days = pd.to_datetime(["2026-11-21", "2026-01-02"])
    table = frame({}, {}).assign(
        ScheduledProcedureStepStartDate=days, PatientBirthDate=[dt.date(1970, 2, 3), None],
        ScheduledProcedureStepStartTime=[dt.time(9, 5), None],
    )  # fmt: skip
    items = Worklist(table).items
    steps = [item[STEP].value[0] for item in items]
    assert [step.ScheduledProcedureStepStartDate for step in steps] == ["20261121", "20260102"]
    assert items[0].PatientBirthDate == "19700203"
    assert [step.ScheduledProcedureStepStartTime for step in steps] == ["090500.000000", "000000"]


def test_a_date_that_was_read_as_a_number():
    (item,) = Worklist(frame({"ScheduledProcedureStepStartDate": np.int64(20261121)})).items
    assert item[STEP].value[0].ScheduledProcedureStepStartDate == "20261121"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("ScheduledProcedureStepStartTime", 93000, "has no leading zeros: pass text such as '093000'"),
        ("ScheduledProcedureStepStartTime", "0900-1000", "is one time"),
        ("ScheduledProcedureStepStartDate", "20261121-", "is one date"),
        ("ScheduledProcedureStepStartDate", "21.11.2026", "is one date"),
        ("ScheduledProcedureStepStartDate", "20261341", "YYYYMMDD"),
        ("Modality", True, "type bool"),
    ],
)
def test_a_value_that_can_not_stand(column, value, said):
    with pytest.raises(InputError, match=f"Worklist item 2: {column}.*{said}"):
        Worklist([ROW, {**ROW, column: value}])


def test_two_columns_of_one_name():
    with pytest.raises(InputError, match="several columns of one name"):
        Worklist(pd.concat([frame({}), frame({})[["PatientID"]]], axis=1))


def test_text_that_looks_like_a_gap_is_text():
    assert Worklist(frame({"PatientID": "nan"})).items[0].PatientID == "nan"


@pytest.mark.parametrize("gap", [None, float("nan"), pd.NA, pd.NaT, ""])
def test_each_kind_of_gap(gap):
    with pytest.raises(InputError, match="Worklist item 1 lacks PatientID"):
        Worklist([{**ROW, "PatientID": gap}])


def test_an_item_that_is_none():
    with pytest.raises(InputError, match="Worklist item 1 is a str"):
        Worklist(["PatientID"])


# ------------------------------------------------------------ files
def test_leading_zeros_and_blank_lines_of_a_file(tmp_path):
    (item,) = Worklist(csv_file(tmp_path, HEADING, "", LINE, "")).items
    assert item.PatientID == "0042"


def test_a_file_as_spreadsheets_write_it(tmp_path):
    quoted = '"Müller^Jörg, der Ältere",' + LINE.partition(",")[2]
    (item,) = Worklist(csv_file(tmp_path, HEADING + "\r", quoted + "\r", encoding="utf-8-sig")).items
    assert item.PatientName == "Müller^Jörg, der Ältere"


def test_a_heading_alone_is_an_empty_worklist(tmp_path):
    assert len(Worklist(csv_file(tmp_path, HEADING))) == 0


BROKEN = [
    ("latin-1", [HEADING, LINE, LINE.replace("Jane", "Jörg") + SECRET], r"today\.csv, line 3 is not UTF-8"),
    ("utf-16", [HEADING, LINE + SECRET], r"today\.csv, line 1 is not UTF-8"),
    ("utf-8", [""], r"today\.csv is empty\. The first line of the file names the columns"),
    ("utf-8", ["", " ", ""], r"today\.csv is empty"),
    ("utf-8", [HEADING, LINE, f'"{SECRET}' + LINE], r"today\.csv, line 3 is not CSV"),
    ("utf-8", [HEADING, f'"{SECRET}"x,' + LINE], r"today\.csv, line 2 is not CSV"),
    ("utf-8", [HEADING, LINE, LINE + "," + SECRET], r"today\.csv, line 3 has 6 cells where the first line names 5 columns"),
    ("utf-8", [HEADING, SECRET], r"today\.csv, line 2 has 1 cells"),
    ("utf-8", [HEADING.replace("PatientID", "PatientNum")], r"column 2 is headed by no key .* Do you mean PatientName"),
    ("utf-8", [LINE.replace("Doe^Jane", SECRET)], r"column 1 is headed by no key .* The first line of the file names the columns"),
    ("utf-8", [HEADING.replace(",", ";"), LINE], r"column 1 is headed by no key .* with commas between them"),
    ("utf-8", [HEADING + ",Modality"], r"several columns that are headed Modality"),
    ("utf-8", [HEADING, LINE, SECRET + ",,FUNDUS,20261121,OP"], r"today\.csv, line 3 lacks PatientID"),
    ("utf-8", [HEADING, f'"{SECRET}\n",1,FUNDUS,20261121,OP'], r"today\.csv, line 2: PatientName \(PN\) can't have control"),
    ("utf-8", [HEADING, LINE, "", f"{SECRET},1,FUNDUS,21.11.2026,OP"], r"today\.csv, line 4: ScheduledProcedureStepStartDate of"),
]  # fmt: skip


@pytest.mark.parametrize(("encoding", "lines", "said"), BROKEN, ids=[f"{number}" for number in range(len(BROKEN))])
def test_a_file_that_is_no_worklist(tmp_path, caplog, encoding, lines, said):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InputError, match=said) as caught:
        Worklist(csv_file(tmp_path, *lines, encoding=encoding))
    assert not any(word in str(caught.value) + caplog.text for word in ("Secret", "Jörg", "21.11.2026"))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_column_that_is_no_key_is_named_where_the_caller_wrote_it():
    with pytest.raises(QueryKeyInvalid, match=r"Worklist item 1: .*PatientNam.* Do you mean PatientName"):
        Worklist([{"PatientNam": "Doe^Jane"}])


# ------------------------------------------------------------ answers
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_an_answer_is_the_same_in_each_transfer_syntax(syntax):
    code = {"RequestedProcedureCodeSequence.CodeValue": "P1", "RequestedProcedureCodeSequence.CodeMeaning": "Röntgen"}
    worklist = Worklist([{**ROW, "PatientName": "Müller^Jörg", "PatientWeight": 70, "PregnancyStatus": 4, **code}])
    identifier = worklist_identifier({"PatientWeight": None, "PregnancyStatus": None})
    encoded = ItemEncoder(identifier, syntax=syntax, remembered={})(worklist.items[0])
    answer = read_dataset(BytesIO(encoded), syntax == "1.2.840.10008.1.2", syntax != "1.2.840.10008.1.2.2")
    (same,) = worklist.find(identifier)
    assert (answer.PatientName, answer.PregnancyStatus, answer.PatientWeight) == ("Müller^Jörg", 4, 70)
    assert answer.RequestedProcedureCodeSequence[0].CodeMeaning == "Röntgen"
    assert answer.to_json_dict() == same.to_json_dict()
    assert {e.tag for e in answer} - {Tag("SpecificCharacterSet")} == {e.tag for e in identifier}


def test_a_worklist_shows_dates_without_a_time():
    shown = Worklist([ROW])._repr_html_()
    assert ">2026-11-21<" in shown
    assert "00:00:00" not in shown


# ------------------------------------------------------------ names that are made
def named(item):
    step = item.ScheduledProcedureStepSequence[0]
    return item.StudyInstanceUID, item.RequestedProcedureID, step.ScheduledProcedureStepID


NAMED = {"by accession": {"AccessionNumber": "A7"}, "by procedure": {"RequestedProcedureID": "RP7"},
         "by study": {"StudyInstanceUID": "2.25.7"}}  # fmt: skip


@pytest.mark.parametrize("has", NAMED.values(), ids=NAMED)
def test_names_that_are_made_are_the_same_when_an_item_is_read_again(has, tmp_path):
    item = {**ROW, **has}
    before, after = Worklist([item]), Worklist([{**ROW, "AccessionNumber": "A6"}, item])
    assert named(before.items[0]) == named(after.items[1])
    path = csv_file(tmp_path, ",".join(item), ",".join(item.values()))
    assert named(Worklist(path).items[0]) == named(before.items[0])
    added = Worklist()
    assert named(added.add(item)) == named(before.items[0])


def test_steps_of_one_requested_procedure_share_a_study_and_no_step_shares_its_name():
    same = {"AccessionNumber": "A7"}
    first, second, other, stranger = (
        named(item) for item in Worklist(frame(same, same, {"AccessionNumber": "A8"}, {**same, "PatientID": "0043"})).items
    )
    assert first[:2] == second[:2]
    assert first[2] != second[2]
    assert len({first[0], other[0], stranger[0]}) == 3


def test_two_procedures_of_one_request_are_two_studies():
    one, two = Worklist(frame(*({"AccessionNumber": "A7", "RequestedProcedureID": name} for name in ("1", "2")))).items
    assert one.StudyInstanceUID != two.StudyInstanceUID


def test_a_value_can_not_wander_from_one_name_into_the_next():
    one, two = Worklist(frame({"PatientID": "1", "AccessionNumber": "23"}, {"PatientID": "12", "AccessionNumber": "3"})).items
    assert one.StudyInstanceUID != two.StudyInstanceUID


def test_an_item_that_nothing_tells_apart_gets_a_study_of_its_own():
    items = [*Worklist(frame({}, {})).items, *Worklist(frame({})).items]
    assert len({item.StudyInstanceUID for item in items}) == 3
    assert [named(item)[1:] for item in items[:2]] == [("RP00001", "SPS00001"), ("RP00002", "SPS00002")]


@given(st.text("0123456789ABCDEFGH-", min_size=1, max_size=16), st.text("0123456789ABCDEFGH-", min_size=1, max_size=16))
def test_names_that_are_made_are_valid_and_tell_nothing(patient, accession):
    (item,) = Worklist([{**ROW, "PatientID": patient, "AccessionNumber": accession}]).items
    study, procedure, step = named(item)
    assert uid_checked(study) == study
    assert study.startswith("2.25.")
    assert uuid.UUID(int=int(study.removeprefix("2.25."))).version == 5
    assert max(len(procedure), len(step)) <= 16  # SH

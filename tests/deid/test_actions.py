"""Dates that move together, ages that are capped, dummies that are what they stand for."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from workbench.deid import Keys, Options, actions, apply, plan

DAYS = st.integers(-3650, -365)


@pytest.mark.parametrize(
    ("vr", "before", "days", "after"),
    [
        ("DA", "20240301", -1, "20240229"),  # a leap day
        ("DA", "20240229", -366, "20230228"),
        ("DA", "2024.03.01", -1, "20240229"),  # the form of ACR-NEMA
        ("DT", "20240301101112.123456+0130", -1, "20240229101112.123456+0130"),
        ("DT", "20240301-0500", -1, "20240229-0500"),
        ("DT", "2024", -366, "2022"),  # 2024-01-01 less 366 days is 2022-12-31
        ("DT", "202403", -1, "202402"),
        ("TM", "101112", -1, "101112"),
    ],
)
def test_known_dates(vr, before, days, after):
    assert actions.moved(DataElement(0x00080020, vr, before), days).value == after


@pytest.mark.parametrize("value", ["20240231", "yesterday", "2024", "202401011", "00010101"])
def test_what_is_no_date_is_not_moved(value):
    element = DataElement(0x00080020, "LO", value)
    element.VR = "DA"
    assert actions.moved(element, -400) is None


@given(st.dates(date(1950, 1, 1)), st.dates(date(1950, 1, 1)), DAYS)
def test_order_and_intervals_are_kept(first, second, days):
    there = [actions.moved(DataElement(0x00080020, "DA", f"{d:%Y%m%d}"), days).value for d in (first, second)]
    parsed = [date(int(t[:4]), int(t[4:6]), int(t[6:])) for t in there]
    assert parsed[1] - parsed[0] == second - first
    assert parsed[0] - first == timedelta(days=days)


def test_several_dates_in_one_attribute_move_together():
    element = DataElement(0x00189074, "DT", ["20240301", "20240302101010"])
    assert list(actions.moved(element, -1).value) == ["20240229", "20240301101010"]


@pytest.mark.parametrize(
    ("before", "after"),
    [("089Y", "089Y"), ("090Y", "090Y"), ("104Y", "090Y"), ("999M", "999M"), ("003D", "003D"), ("", ""), ("ninety", "")],
)
def test_an_age_over_89_becomes_90(before, after):
    element = DataElement(0x00101010, "LO", before)
    element.VR = "AS"
    assert actions.capped_age(element).value == after


@pytest.mark.parametrize(("age", "kept"), [("999W", "999W"), ("999M", "999M")])
def test_ages_in_weeks_and_months_stay_below_90_years(age, kept):
    assert actions.capped_age(DataElement(0x00101010, "AS", age)).value == kept


def test_a_patient_has_one_shift_in_all_files_and_another_patient_another(tmp_path):
    keys = Keys.create(tmp_path / "key")
    options = Options(retain_longitudinal_modified_dates=True)

    def moved(patient, day):
        dataset = Dataset()
        dataset.PatientID, dataset.StudyDate, dataset.StudyTime, dataset.PatientBirthDate = patient, day, "101112", "19800101"
        dataset.file_meta = None
        from pydicom.dataset import FileMetaDataset

        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        made = apply(plan(dataset, options), dataset, keys=keys).dataset
        assert (made.StudyTime, made.PatientBirthDate) == ("101112", "")
        return date(int(made.StudyDate[:4]), int(made.StudyDate[4:6]), int(made.StudyDate[6:]))

    one, later, other = moved("a", "20240229"), moved("a", "20240310"), moved("b", "20240229")
    assert later - one == timedelta(days=10)
    assert one != other
    assert 365 <= (date(2024, 2, 29) - one).days <= 3650


def test_a_date_that_is_none_is_replaced_and_found(tmp_path):
    dataset = Dataset()
    dataset.add_new(0x00080020, "DA", "")
    dataset["StudyDate"]._value = "in May"
    from pydicom.dataset import FileMetaDataset

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    made = apply(plan(dataset, Options(retain_longitudinal_modified_dates=True)), dataset, keys=Keys.create(tmp_path / "key"))
    assert made.dataset.StudyDate == "19000101"
    assert [f.path for f in made.findings] == ["StudyDate"]
    assert "May" not in str(list(made.findings))


def test_a_document_is_replaced_by_an_empty_page():
    made = actions.dummy(DataElement(0x00420011, "OB", b"%PDF-1.7 Canary"))
    assert made.value.startswith(b"%PDF-1.4\n")
    assert len(made.value) % 2 == 0
    start = int(made.value.split(b"startxref\n")[1].split(b"\n")[0])
    assert made.value[start : start + 4] == b"xref"
    assert actions.dummy(DataElement(0x00420011, "OB", b"<xml/>")).value == b"\0\0"

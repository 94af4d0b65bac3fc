"""Column types, missing values, paths, and CSV that no spreadsheet runs."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from workbench import inspection
from workbench.errors import AttributeUnusable
from workbench.files import character_sets

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x", " =1"]


def made(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_each_kind_of_value_has_its_column_type():
    first = made(
        StudyDate="20240229", StudyTime="101500", SeriesNumber="3", Rows=512, SliceThickness="2.5", PatientWeight=None,
        Modality="CT", PatientName="A^B", PixelSpacing=[0.5, 0.75], ImageType=["ORIGINAL", "PRIMARY"], RescaleSlope="1",
    )  # fmt: skip
    second = made(Modality="PT", StudyDate="", ExposureTime="7")
    frame = inspection.table([first, second])
    assert frame.StudyDate.dtype.kind == "M"
    assert frame.StudyDate[0] == pd.Timestamp("2024-02-29")
    assert pd.isna(frame.StudyDate[1])
    assert {c: str(frame[c].dtype) for c in ("SeriesNumber", "Rows", "ExposureTime")} == dict.fromkeys(
        ("SeriesNumber", "Rows", "ExposureTime"), "Int64"
    )
    assert frame.Rows.tolist() == [512, pd.NA]
    assert frame.SliceThickness.dtype == np.float64
    assert frame.Modality.dtype == "category"
    assert frame.StudyTime[0] == "101500"
    assert frame.PixelSpacing[0] == (0.5, 0.75)
    assert frame.ImageType[0] == "ORIGINAL\\PRIMARY"
    assert frame.PatientName.isna().tolist() == [False, True]
    assert "kept_as_text" not in frame.attrs


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("StudyDate", "20240231"), ("StudyDate", "yesterday"), ("SeriesNumber", "3.5x"), ("SliceThickness", "thick")],
)
def test_a_value_that_does_not_fit_its_type_keeps_its_column_as_text(keyword, value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bad = Dataset()
        bad.add_new(keyword, "LO", value)
    bad[keyword].VR = {"StudyDate": "DA", "SeriesNumber": "IS", "SliceThickness": "DS"}[keyword]
    frame = inspection.table([bad, made(**{keyword: "20240101" if keyword == "StudyDate" else "3"})])
    assert frame.attrs["kept_as_text"] == (keyword,)
    assert frame[keyword][0] == value


def test_paths_lead_through_sequences():
    items = [made(SeriesInstanceUID=f"1.2.{i}") for i in range(3)]
    dataset = made(ReferencedSeriesSequence=Sequence(items))
    path = "ReferencedSeriesSequence.SeriesInstanceUID"
    frame = inspection.table(
        [dataset, Dataset()], [path, "ReferencedSeriesSequence[1].SeriesInstanceUID", "ReferencedSeriesSequence"]
    )
    assert frame[path].tolist() == ["1.2.0\\1.2.1\\1.2.2", pd.NA]
    assert frame.iloc[0, 1] == "1.2.1"
    assert frame.iloc[:, 2].tolist() == [3, pd.NA]


def test_bulk_is_counted_and_left_out_unless_named():
    image = made(Rows=1, PixelData=b"abcd")
    image["PixelData"].VR = "OW"
    assert list(inspection.table([image])) == ["Rows"]
    assert inspection.table([image], ["PixelData", "7FE00010"]).iloc[0].tolist() == [4, 4]


def test_a_wrong_keyword_is_refused_by_name():
    with pytest.raises(AttributeUnusable, match=r"'PatientNme' is not a keyword of the data dictionary \(PS3.6 6\)"):
        inspection.table([Dataset()], ["PatientNme"])


def test_nothing_gives_an_empty_table_with_the_columns_asked_for():
    frame = inspection.table([], ["PatientName", "Rows"])
    assert frame.shape == (0, 2)
    assert str(frame.Rows.dtype) == "Int64"


@pytest.mark.parametrize("payload", FORMULAS)
def test_csv_has_no_formula_in_cells_names_or_index(tmp_path, payload):
    """B03: each character that starts a formula, full-width forms too."""
    frame = pd.DataFrame(
        {payload: [payload, "b"], "n": [-1.5, 2.0], "c": pd.Series([payload, "x"], dtype="category")}, index=[payload, "i"]
    )
    path = inspection.to_csv(frame, tmp_path / "t.csv")
    back = pd.read_csv(path, index_col=0, keep_default_na=False)
    cells = [*back.columns, *back.index, *back.iloc[:, 0], *back["c"]]
    assert not [c for c in cells if c.lstrip(" ").startswith(tuple("=+-@\t\r\n＝＋－＠"))]
    assert back["n"].tolist() == [-1.5, 2.0]


def test_csv_as_it_is_reads_back_equal(tmp_path):
    frame = inspection.table([made(PatientName="=cmd|' /C calc'!A0", SeriesNumber="-3"), made(PatientName="Ü^Ö")])
    safe = pd.read_csv(inspection.to_csv(frame, tmp_path / "safe.csv"))
    exact = pd.read_csv(inspection.to_csv(frame, tmp_path / "exact.csv", as_it_is=True))
    assert safe.PatientName[0].startswith("'=")
    assert exact.PatientName.tolist() == frame.PatientName.tolist()
    assert safe.SeriesNumber[0] == -3


def test_a_multi_index_is_written_as_columns(tmp_path):
    frame = pd.DataFrame({"n": [1, 2]}, index=pd.MultiIndex.from_tuples([("=a", 1), ("b", 2)], names=["x", "y"]))
    assert (tmp_path / "m.csv").exists() is False
    written = inspection.to_csv(frame, tmp_path / "m.csv").read_text("utf-8-sig")
    assert written.splitlines() == ['"x","y","n"', '"\'=a",1,1', '"b",2,2']


@given(st.lists(st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)), max_size=8))
def test_integers_come_back_as_they_went_in(values):
    """B03: numbers stay numbers."""
    frame = inspection.table([made(SeriesNumber=v) if v is not None else Dataset() for v in values], ["SeriesNumber"])
    assert [None if pd.isna(v) else int(v) for v in frame.SeriesNumber] == values


def test_parquet_keeps_types_and_says_the_same(tmp_path):
    import pandas as pd

    from workbench import phantoms

    frame = inspection.table(phantoms.ct_series(3, rows=32, columns=32))
    back = pd.read_parquet(inspection.to_parquet(frame, tmp_path / "deep" / "t.parquet"))
    assert list(back.columns) == list(frame.columns)
    assert back.StudyDate.dtype.kind == "M"
    assert back.Rows.tolist() == [32, 32, 32]
    assert back.PixelSpacing[0].split("\\") == [str(v) for v in frame.PixelSpacing[0]]
    assert back.PatientName.tolist() == frame.PatientName.tolist()


def test_bytes_that_are_no_text_are_spelled_out():
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID = character_sets.decoded(b"M\xfcller^J", "UTF8", vr="PN"), "山"
    (row,) = inspection.table([dataset], ["PatientName", "PatientID"]).itertuples()
    assert (row.PatientName, row.PatientID) == ("M<FC>ller^J", "山")


def test_lines_are_what_a_person_reads():
    """PS3.5 6.2: a date has no time; a sequence is told by its items, an empty one as nothing."""
    dataset = Dataset()
    dataset.PatientBirthDate, dataset.PatientID, dataset.Rows = "19710314", "<1>", 0
    dataset.ReferencedStudySequence, dataset.ReferencedPatientSequence = [Dataset(), Dataset()], []
    names = ["PatientBirthDate", "ReferencedStudySequence", "ReferencedPatientSequence", "PatientID", "Rows", "PatientName"]
    (line,) = inspection.lines(inspection.table([dataset], names))
    assert list(line.values()) == ["1971-03-14", "2 items", "", "<1>", 0, ""]
    assert inspection.lines(inspection.table([], names)) == []

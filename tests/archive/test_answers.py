"""Answers encoded straight from the index are those that a dataset gives."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from workbench.archive import Archive
from workbench.archive._answers import RowEncoder
from workbench.archive._names import words_of
from workbench.errors import QueryKeyInvalid
from workbench.phantoms import ct_series

KEYS = {
    "STUDY": ("PatientName", "PatientID", "StudyDate", "StudyTime", "ModalitiesInStudy", "StudyID"),
    "PATIENT": ("PatientName", "PatientID", "NumberOfPatientRelatedStudies", "NumberOfPatientRelatedInstances"),
    "SERIES": ("Modality", "SeriesNumber", "SeriesDescription", "PatientName", "InstanceNumber"),
    "IMAGE": ("SOPClassUID", "InstanceNumber", "Rows", "Columns", "ImageType", "SliceLocation", "PatientName"),
}  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with Archive(tmp_path_factory.mktemp("answers")) as archive:
        for study, name in enumerate(("Doe^Jane", "Müller^Jörg", "Yamada^Tarou=山田^太郎")):
            for dataset in ct_series(2, rows=16, columns=1000):
                dataset.SpecificCharacterSet = "ISO_IR 192"
                dataset.PatientName, dataset.PatientID, dataset.StudyID = name, f"é{study}", "not a number"
                dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{study}", f"1.2.{study}.1"
                dataset.SOPInstanceUID = f"1.2.{study}.1.{dataset.InstanceNumber}"
                archive.add(dataset)
        yield archive


@pytest.mark.parametrize("is_implicit", [True, False])
@pytest.mark.parametrize("level", KEYS)
def test_encoded_answers_are_the_datasets(archive, level, is_implicit):
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword in KEYS[level]:
        setattr(identifier, keyword, None)
    matches = archive.matches(identifier, model="PATIENT")
    encoded = list(matches.encoded(is_implicit=is_implicit, also={"RetrieveAETitle": "HERE"}))
    expected = list(matches)
    assert len(encoded) == len(expected) == (6 if level == "IMAGE" else 3)
    for data, dataset in zip(encoded, expected, strict=True):
        dataset.RetrieveAETitle = "HERE"
        read = read_dataset(BytesIO(data), is_implicit, is_little_endian=True)
        assert list(read.keys()) == sorted(dataset.keys())
        assert {e.keyword: str(e.value) for e in read} == {e.keyword: str(e.value) for e in dataset}


def test_stored_numbers_that_are_none_are_told_as_empty():
    encode = RowEncoder([(0x00200013, "IS"), (0x00280010, "US"), (0x00201041, "DS")], {}, is_implicit=False)
    read = read_dataset(BytesIO(encode(("x", "70000", "1\\y"))), is_implicit_VR=False, is_little_endian=True)
    assert [element.value for element in read] == [None, None, None]


@given(st.lists(st.one_of(st.none(), st.text(max_size=12)), min_size=3, max_size=3))
def test_every_row_is_a_dataset_again(row):
    encode = RowEncoder(
        [(0x00100010, "PN"), (0x00100020, "LO"), (0x00104000, "LT")], {"QueryRetrieveLevel": "STUDY"}, is_implicit=False
    )
    data = encode([None if value is None else value.encode("utf-8", "ignore").decode() for value in row])
    read = read_dataset(BytesIO(data), is_implicit_VR=False, is_little_endian=True)
    assert len(data) % 2 == 0
    assert [int(element.tag) for element in read if element.tag != 0x00080005] == [0x00080052, 0x00100010, 0x00100020, 0x00104000]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*jane", ["Doe^Jane"]),
        ("*ö*", ["Müller^Jörg"]),
        ("MÜLL*", ["Müller^Jörg"]),
        ("m?ller*", ["Müller^Jörg"]),
        ("山田*", ["Yamada^Tarou=山田^太郎"]),
        ("*太郎", ["Yamada^Tarou=山田^太郎"]),
        ("yamada*", ["Yamada^Tarou=山田^太郎"]),
        ("*a*o*", ["Yamada^Tarou=山田^太郎"]),
        ("?", []),
        ("*x*", []),
    ],
)
def test_what_the_index_narrows_down_loses_nothing(archive, pattern, names):
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.PatientName = "STUDY", pattern
    identifier.SpecificCharacterSet = "ISO_IR 192"
    assert [str(answer.PatientName) for answer in archive.find(identifier)] == names


def test_an_index_of_before_gets_what_it_lacks(tmp_path):
    with Archive(tmp_path) as archive:
        archive._shelf.index.change(lambda connection: connection.execute("DROP INDEX studies_by_name"))
    with Archive(tmp_path) as archive:
        names = [name for (name,) in archive._shelf.index.rows("SELECT name FROM sqlite_master WHERE type = 'index'")]
        assert "studies_by_name" in names


def test_a_level_below_is_refused_before_any_answer(archive):
    identifier = Dataset()
    identifier.QueryRetrieveLevel, identifier.InstanceNumber = "STUDY", "1"
    with pytest.raises(QueryKeyInvalid, match="level IMAGE"):
        archive.matches(identifier)


def test_words():
    assert words_of("O'Neil-Łuk^Zoë.M=山田^太郎") == (("o", "neil", "luk", "zoe", "m"), ("山田", "太郎"))

"""What differs, at any depth, and nothing else."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from workbench import inspection


@pytest.fixture
def dataset():
    inner = Dataset()
    inner.CodeValue, inner.CodeMeaning = "1", "one"
    item = Dataset()
    item.ConceptNameCodeSequence = Sequence([inner])
    made = Dataset()
    made.Rows, made.PatientName, made.PixelSpacing = 4, "A^B", [1.0, 2.0]
    made.ContentSequence = Sequence([item, copy.deepcopy(item)])
    made.PixelData = bytes(32)
    made["PixelData"].VR = "OW"
    return made


def test_equal_datasets_have_no_differences(dataset):
    assert not inspection.differences(dataset, copy.deepcopy(dataset))


def test_each_kind_of_difference_is_named_with_its_path(dataset):
    other = copy.deepcopy(dataset)
    other.ContentSequence[1].ConceptNameCodeSequence[0].CodeMeaning = "two"
    other.ContentSequence.append(Dataset())
    del other.Rows
    other.Columns = 3
    other["PatientName"].VR = "LO"
    other.PixelData = bytes(31) + b"\1"
    found = inspection.differences(dataset, other)
    assert [(d.path, d.kind) for d in found] == [
        ("PatientName", "vr changed"),
        ("Rows", "removed"),
        ("Columns", "added"),
        ("ContentSequence[2]", "added"),
        ("ContentSequence[1].ConceptNameCodeSequence[0].CodeMeaning", "changed"),
        ("PixelData", "changed"),
    ]
    assert (found[4].left, found[4].right) == ("one", "two")
    assert found[5].left.startswith("32 bytes, SHA-256 66687aadf862bd77")  # SHA-256 of 32 zero bytes
    assert "A^B" not in repr(found)
    assert found.table().shape == (6, 6)


@pytest.mark.parametrize(
    "ignore", ["CodeMeaning", "00080104", "ContentSequence.ConceptNameCodeSequence.CodeMeaning", "ContentSequence"]
)
def test_what_is_to_be_ignored_is(dataset, ignore):
    other = copy.deepcopy(dataset)
    other.ContentSequence[1].ConceptNameCodeSequence[0].CodeMeaning = "two"
    assert len(inspection.differences(dataset, other)) == 1
    assert not inspection.differences(dataset, other, ignore=[ignore])


def test_numbers_have_no_tolerance_and_not_a_number_equals_itself():
    a, b = Dataset(), Dataset()
    a.RealWorldValueSlope, b.RealWorldValueSlope = float("nan"), float("nan")
    a.SliceThickness, b.SliceThickness = "1.0", "1.00"
    assert not inspection.differences(a, b)
    b.SliceThickness = "1.0000001"
    assert [d.path for d in inspection.differences(a, b)] == ["SliceThickness"]


def test_the_meta_group_is_compared_when_asked(dataset):
    other = copy.deepcopy(dataset)
    for one, syntax in ((dataset, "1.2.840.10008.1.2"), (other, "1.2.840.10008.1.2.1")):
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = syntax
    assert not inspection.differences(dataset, other)
    assert [d.path for d in inspection.differences(dataset, other, meta=True)] == ["TransferSyntaxUID"]


def test_deep_nesting_is_no_trouble():
    def nest(value):
        inner = Dataset()
        inner.CodeValue = value
        for _ in range(3000):
            outer = Dataset()
            outer.ContentSequence = Sequence([inner])
            inner = outer
        return inner

    found = inspection.differences(nest("a"), nest("b"))
    assert [(d.left, d.right) for d in found] == [("a", "b")]


@given(st.dictionaries(st.sampled_from(["Rows", "Columns", "SeriesNumber", "InstanceNumber"]), st.integers(0, 3)))
def test_a_difference_seen_from_the_other_side_is_the_same_difference(values):
    a, b = Dataset(), Dataset()
    a.Rows, a.Columns = 1, 2
    for keyword, value in values.items():
        setattr(b, keyword, value)
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    there = [(d.path, d.kind, d.left, d.right) for d in inspection.differences(a, b)]
    back = [(d.path, turned[d.kind], d.right, d.left) for d in inspection.differences(b, a)]
    assert there == back


def test_values_written_as_text_are_equal_when_their_text_is():
    """A date object and the text of the same date are one value; so is a number before and after it was cut to 16 characters."""
    from pydicom.valuerep import DA, DSfloat

    one, other = Dataset(), Dataset()
    one.StudyDate, other.StudyDate = DA("20260102"), "20260102"
    one.PatientWeight, other.PatientWeight = DSfloat(-143.244680851063829, auto_format=True), "-143.24468085106"
    assert inspection.differences(one, other) == ()
    other.StudyDate = "20260103"
    assert [d.path for d in inspection.differences(one, other)] == ["StudyDate"]


def test_group_lengths_and_private_creators_have_their_names():
    one, other = Dataset(), Dataset()
    for tag, vr, value in ((0x00290000, "UL", 4), (0x00290010, "LO", "MAKER"), (0x00291001, "LO", "x"), (0x00100000, "UL", 8)):
        other.add_new(tag, vr, value)
    named = {d.tag: d.name for d in inspection.differences(one, other)}
    assert named["(0029,0000)"] == named["(0010,0000)"] == "Group Length"
    assert named["(0029,0010)"] == "Private Creator"
    assert "Private Creator" not in named["(0029,1001)"]

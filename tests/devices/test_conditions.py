"""Conditions as they are written, and as they hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from workbench import devices
from workbench.devices import attributes, condition
from workbench.errors import ProfileInvalid


def image():
    dataset = Dataset()
    dataset.ImageType, dataset.SamplesPerPixel, dataset.Modality = ["ORIGINAL", "PRIMARY", "", "FA"], 3, "OP"
    dataset.LossyImageCompression, dataset.NumberOfFrames, dataset.PatientComments = "01", "2", ""
    return dataset


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("(0008,0008)[4] in FA | ICG", True),
        ("(0008,0008)[4] in RED | ICG", False),
        ("(0008,0008)[3] in FA | ICG", False),
        ("(0008,0008)[5] != FA", False),  # there is no fifth value
        (r"(0008,0008) == ORIGINAL\PRIMARY\\FA", True),
        ("(0028,0002) == 3", True),
        ("(0028,0002) == 03.0", True),  # numbers as numbers
        ("(0028,0002) != 1", True),
        ("(0008,0060) != OP", False),
        ("(0028,2110) == 01", True),
        ("(0028,0008) > 1", True),
        ("(0028,0008) > 2", False),
        ("(0028,0008) < 3", True),
        ("(0008,0060) > 1", False),  # no number
        ("(0008,0060) present", True),
        ("(0010,4000) present", True),  # though it is empty
        ("(0010,4000) == x", False),
        ("(0010,0020) absent", True),
        ("(0010,0020) != x", False),
        ("(0028,0002) == 3 and (0008,0060) == OP", True),
        ("(0028,0002) == 3 and (0008,0060) == CT", False),
    ],
)
def test_what_holds(text, holds):
    assert condition(text).holds(image()) is holds


def test_what_an_item_does_not_have_is_looked_for_around_it():
    item = Dataset()
    assert condition("(0028,0002) == 3").holds(item, image())
    item.SamplesPerPixel = 1
    assert not condition("(0028,0002) == 3").holds(item, image())


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_a_number_is_equal_or_more_or_less(one, other):
    dataset = Dataset()
    dataset.Rows = one
    assert sum(condition(f"(0028,0010) {sign} {other}").holds(dataset) for sign in ("==", ">", "<")) == 1
    assert condition(f"(0028,0010) != {other}").holds(dataset) is (one != other)


@pytest.mark.parametrize(
    "text", ["videos only", "(0028,0002)", "(0028,0002) is 3", "(0028,0002)[0] == 3", "(0028,0002) > x", "x and y"]
)
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ProfileInvalid, match="is no condition"):
        condition(text)


@given(st.text())
def test_any_text_is_a_condition_or_is_refused(text):
    try:
        found = condition(text)
    except ProfileInvalid:
        return
    assert found.holds(image()) in {True, False}


def test_the_profiles_have_conditions_that_can_be_read():
    found = {}
    for name in devices.names():
        profile = devices.profile(name)
        rows = [r for t in profile.of_kind("module") for r in attributes(profile, t.id) if r.condition]
        assert all(condition(row.condition).tests for row in rows)
        found[name] = len(rows)
    assert found == {
        "canon-vitrea-read": 3, "meddream-videostation": 1, "optos-v2-vantage": 6, "philips-vereos": 6, "topcon-sp1p": 3,
    }  # fmt: skip

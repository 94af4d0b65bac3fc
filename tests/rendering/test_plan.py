"""How image, state and wish come together."""

import dataclasses

import numpy as np
import pytest
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering import Window, render, resolve


def test_a_plan_is_frozen_and_shows_no_dataset(make):
    image = make(np.zeros((2, 2), np.uint8), PatientName="Planted^Name")
    plan = resolve(image)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.shutter = None
    assert "Planted" not in repr(plan)


def test_resolving_and_rendering_leave_the_dataset_as_it_was(make, make_pr):
    image = make(np.arange(16, dtype=np.uint16).reshape(4, 4), WindowCenter="4", WindowWidth="8")
    state = make_pr(image)
    before, state_before = image.to_json(), state.to_json()
    render(resolve(image, state=state))
    render(resolve(image, voi="percentile"))
    assert (image.to_json(), state.to_json()) == (before, state_before)


def test_the_wish_is_stronger_than_the_image(make):
    image = make(np.array([[0, 100]], np.uint16), WindowCenter="1000", WindowWidth="10")
    assert resolve(image, window=(50.5, 101)).window == Window(50.5, 101)
    assert render(resolve(image, window=(50.5, 101))).tolist() == [[0, 255]]
    assert render(resolve(image).with_window((50.5, 101))).tolist() == [[0, 255]]


def test_without_a_window_eight_bits_are_shown_in_full_and_more_by_percentiles(make):
    assert render(resolve(make(np.array([[0, 7, 255]], np.uint8)))).tolist() == [[0, 7, 255]]
    values = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    plan = resolve(make(values))
    assert plan.window.bounds == pytest.approx((49.995, 9949.005))
    assert resolve(make(values), voi="full").window.bounds == (0, 65535)


def test_padding_does_not_count_for_percentiles(make):
    values = np.full((100, 100), -2000, np.int16)
    values[:10] = np.arange(1000).reshape(10, 100)
    image = make(values, RescaleSlope=2, RescaleIntercept=1)
    image.add_new("PixelPaddingValue", "SS", -2000)
    assert resolve(image).window.bounds == pytest.approx((2 * 4.995 + 1, 2 * 994.005 + 1))
    image.add_new("PixelPaddingRangeLimit", "SS", 499)
    assert resolve(image).window.bounds[0] > 1000


def test_an_image_of_nothing_but_padding_is_shown_with_a_finding(make):
    image = make(np.full((4, 4), 5, np.uint16))
    image.add_new("PixelPaddingValue", "US", 5)
    plan = resolve(image)
    assert "padding" in plan.findings[0].message
    assert render(plan).shape == (4, 4)


def test_a_flat_image_is_shown(make):
    assert len(np.unique(render(resolve(make(np.full((4, 4), 700, np.uint16)))))) == 1


def test_a_state_replaces_the_transformations_of_the_image(make, make_pr):
    """PS3.4 N.2.1: what the state does not have is identity."""
    image = make(
        np.array([[0, 255]], np.uint8), photometric="MONOCHROME1", RescaleSlope=2, RescaleIntercept=0, WindowCenter=1, WindowWidth=1
    )
    assert render(resolve(image, state=make_pr(image))).tolist() == [[0, 255]]
    assert render(resolve(image, state=make_pr(image, PresentationLUTShape="INVERSE"))).tolist() == [[255, 0]]


def test_a_state_chooses_a_window_for_each_image_and_frame(make, make_pr):
    image = make(np.full((2, 1, 1), 100, np.uint16))
    parts = []
    for frame, center in ((1, 100), (2, 300)):
        reference, part = Dataset(), Dataset()
        reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber = image.SOPInstanceUID, frame
        part.ReferencedImageSequence, part.WindowCenter, part.WindowWidth = [reference], center, 11
        parts.append(part)
    other, part = Dataset(), Dataset()
    other.ReferencedSOPInstanceUID = "1.2.3"
    part.ReferencedImageSequence, part.WindowCenter, part.WindowWidth = [other], 0, 1
    plan = resolve(image, state=make_pr(image, SoftcopyVOILUTSequence=[part, *parts]))
    assert [plan.frame(i).voi.center for i in (0, 1)] == [100, 300]


def test_a_state_takes_the_units_of_the_image_where_it_rescales_as_the_image_does(make, make_pr):
    image = make(np.zeros((1, 1), np.uint16), Modality="CT", RescaleSlope=1, RescaleIntercept=-1024)
    same = make_pr(image, RescaleSlope=1, RescaleIntercept=-1024, RescaleType="US")
    assert resolve(image, state=same).frame(0).modality.units == "HU"
    same.RescaleSlope = 3
    assert resolve(image, state=same).frame(0).modality.units == ""


def test_pseudo_colour(make, make_pr):
    image = make(np.array([[0, 128, 255]], np.uint8))
    state = make_pr(image, SOPClassUID="1.2.840.10008.5.1.4.1.1.11.3")
    for color, table in zip(("Red", "Green", "Blue"), ((0, 255), (10, 0), (0, 20)), strict=True):
        state.add_new(f"{color}PaletteColorLookupTableDescriptor", "US", [2, 0, 8])
        state.add_new(f"{color}PaletteColorLookupTableData", "OW", bytes(table))
    plan = resolve(image, state=state)
    assert plan.is_color
    assert render(plan).tolist() == [[[0, 10, 0], [255, 0, 20], [255, 0, 20]]]


def test_refusals(make, make_pr):
    image, other = make(np.zeros((1, 1), np.uint8)), make(np.zeros((1, 1), np.uint8))
    with pytest.raises(AttributeUnusable, match=f"does not refer to instance {other.SOPInstanceUID}"):
        resolve(other, state=make_pr(image))
    with pytest.raises(AttributeUnusable, match="softcopy presentation state; this dataset is none"):
        resolve(image, state=other)
    with pytest.raises(AttributeUnusable, match="voi is first, full, percentile or a number below 0"):
        resolve(image, voi=0)
    color = make(np.zeros((1, 1, 3), np.uint8), photometric="RGB")
    with pytest.raises(AttributeUnusable, match="colour image has no window"):
        resolve(color, window=(1, 2))
    with pytest.raises(AttributeUnusable, match="colour image has no window"):
        resolve(color).with_window((1, 2))
    with pytest.raises(AttributeUnusable, match="grayscale images only"):
        resolve(color, state=make_pr(color, SOPClassUID="1.2.840.10008.5.1.4.1.1.11.3"))

"""Windows and VOI LUTs: the formulas of PS3.3 C.11.2.1.2, written out a second time, and DCMTK."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from workbench.errors import AttributeUnusable
from workbench.rendering import Window, render, resolve
from workbench.rendering.voi import choices


def linear(x, c, w):
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(x, c, w):
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


def sigmoid(x, c, w):
    return 1 / (1 + math.exp(-4 * (x - c) / w))


FORMULAS = {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}


@given(
    st.sampled_from(sorted(FORMULAS)),
    st.integers(-3000, 3000),
    st.integers(-2000, 2000).map(lambda c: c / 2),
    st.integers(1, 4000),
)
def test_each_function_is_its_formula(function, x, center, width):
    if abs(4 * (x - center) / width) > 600:
        return
    found = Window(center, width, function).fraction(np.array([float(x)]))[0]
    assert found == pytest.approx(FORMULAS[function](x, center, width), abs=1e-12)


def test_the_examples_of_the_standard():
    """PS3.3 C.11.2.1.2.1: c=2048, w=4096 maps 0 to 0 and 4095 to the largest; c=0, w=100: -50 and 49; c=100, w=1 is a threshold."""
    assert Window(2048, 4096).fraction(np.array([0, 4095])).tolist() == [0, 1]
    assert Window(2048, 1).fraction(np.array([2047, 2048])).tolist() == [0, 1]
    assert Window(0, 100).fraction(np.array([-50, 49])).tolist() == [0, 1]
    assert 0 < Window(0, 100).fraction(np.array([-49]))[0] < 0.011
    assert Window(0, 100).bounds == (-50, 49)


@given(st.sampled_from(sorted(FORMULAS)), st.floats(-1e4, 1e4), st.floats(1, 1e4))
def test_windows_are_monotonous_and_bounded(function, center, width):
    y = Window(center, width, function).fraction(np.linspace(-2e4, 2e4, 101))
    assert (np.diff(y) >= 0).all()
    assert 0 <= y.min() <= y.max() <= 1


@pytest.mark.parametrize(
    ("width", "function"), [(0, "LINEAR"), (0.5, "LINEAR"), (-1, "LINEAR_EXACT"), (0, "SIGMOID"), (float("nan"), "SIGMOID")]
)
def test_widths_that_the_standard_forbids(width, function):
    with pytest.raises(AttributeUnusable, match="Window Width must be"):
        Window(0, width, function)


def test_an_unknown_function_is_refused():
    with pytest.raises(AttributeUnusable, match="one of LINEAR, LINEAR_EXACT, SIGMOID"):
        Window(0, 1, "CUBIC")


def test_several_windows_with_their_explanations(make):
    image = make(
        np.zeros((1, 2), np.int16), WindowCenter=["40", "-600"], WindowWidth=["400", "1500"],
        WindowCenterWidthExplanation=["SOFT TISSUE", "LUNG"],
    )  # fmt: skip
    plan = resolve(image)
    assert plan.choices == ("SOFT TISSUE", "LUNG")
    assert plan.window == Window(40, 400, "LINEAR", "SOFT TISSUE")
    assert resolve(image, voi=1).window == Window(-600, 1500, "LINEAR", "LUNG")
    with pytest.raises(AttributeUnusable, match="a number below 2"):
        resolve(image, voi=2)


def test_a_window_that_makes_no_sense_is_a_finding_not_a_crash(make):
    image = make(np.array([[0, 255]], np.uint8), WindowCenter=["10", "20"], WindowWidth=["0", "40"])
    plan = resolve(image)
    assert plan.window == Window(20, 40)
    assert [f.path for f in plan.findings] == ["WindowWidth[0]"]
    image.WindowWidth = ["40"]
    assert "1 widths" in resolve(image).findings[0].message


def test_a_frame_of_an_enhanced_image_has_its_own_window(make):
    image = make(np.full((2, 1, 1), 100, np.uint16))
    groups = []
    for center in (100, 200):
        item, outer = Dataset(), Dataset()
        item.WindowCenter, item.WindowWidth = center, 11
        outer.FrameVOILUTSequence = [item]
        groups.append(outer)
    image.PerFrameFunctionalGroupsSequence = groups
    plan = resolve(image)
    assert [int(render(plan, frame=i)[0, 0]) for i in (0, 1)] == [140, 0]


def test_a_voi_lut(make):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 10, 12])
    item.add_new("LUTData", "US", [0, 4095, 2048])
    item.LUTExplanation = "HARD"
    image = make(np.array([[0, 10, 11, 12, 99]], np.uint16), VOILUTSequence=[item])
    plan = resolve(image)
    assert plan.choices == ("HARD",)
    assert plan.window is None
    assert render(plan).tolist() == [[0, 0, 255, 128, 128]]


def test_choices_of_a_malformed_table_is_a_finding(make):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 10])
    found, findings = choices(make(np.zeros((1, 1), np.uint16), VOILUTSequence=[item]))
    assert found == ()
    assert "three values" in findings[0].message


@pytest.mark.parametrize(("center", "width"), [(2048, 4096), (40, 400), (1000, 1), (1000.5, 2), (-200, 3000), (60000, 20000)])
@pytest.mark.parametrize("inverse", [False, True])
def test_linear_windows_agree_with_dcmtk(make, ramp, dcm2pnm, center, width, inverse):
    image = make(
        ramp(0, 65535, "u2"), photometric="MONOCHROME1" if inverse else "MONOCHROME2", WindowCenter=center, WindowWidth=width
    )
    theirs = dcm2pnm(image, "+Wi", "1")
    assert np.abs(render(resolve(image)).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(("center", "width"), [(0, 100), (-300, 1200)])
def test_sigmoid_agrees_with_dcmtk(make, ramp, dcm2pnm, center, width):
    image = make(ramp(-2048, 2047, "i2"), bits_stored=12, WindowCenter=center, WindowWidth=width, VOILUTFunction="SIGMOID")
    theirs = dcm2pnm(image, "+Wi", "1", "+Wfs")
    assert np.abs(render(resolve(image)).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(("slope", "intercept"), [("1", "-1024"), ("0.25", "0"), ("2.7", "13"), ("-1", "100")])
def test_rescale_and_window_agree_with_dcmtk(make, ramp, dcm2pnm, slope, intercept):
    image = make(
        ramp(-2048, 2047, "i2"), bits_stored=12, RescaleSlope=slope, RescaleIntercept=intercept, WindowCenter=40, WindowWidth=400
    )  # fmt: skip
    theirs = dcm2pnm(image, "+Wi", "1")
    assert np.abs(render(resolve(image)).astype(int) - theirs).max() <= 1

"""OCT beside its localizer."""

import pytest
from pydicom.dataset import Dataset

from workbench import figures, phantoms
from workbench.errors import AttributeUnusable, PixelDataUnusable


@pytest.fixture(scope="module")
def eye():
    return phantoms.oct()


@pytest.mark.parametrize("bscan", [None, 0, 24])
def test_the_shown_scan_is_the_highlighted_line(eye, words, overlaps, bscan):
    figure = figures.ophthalmic(eye.volume, eye.localizer, bscan=bscan)
    shown = 12 if bscan is None else bscan
    assert f"B-scan {shown + 1} of 25" in words(figure)
    assert str(shown + 1) in words(figure)
    assert overlaps(figure) == []
    place = eye.volume.PerFrameFunctionalGroupsSequence[shown].OphthalmicFrameLocationSequence[0]
    row, first, _, last = place.ReferenceCoordinates
    lines = [line for line in figure.axes[0].lines if line.get_color() == "#ffd23f"]
    assert lines[0].get_xydata().tolist() == [[first, row], [last, row]]


def test_all_positions_are_drawn(eye):
    figure = figures.ophthalmic(eye.volume, eye.localizer)
    rows = {round(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_linewidth() < 1}
    assert len(rows) == 24


def test_a_scan_has_a_bar_for_each_direction(eye, words):
    shown = words(figures.ophthalmic(eye.volume, eye.localizer))
    assert {"1 mm", "200 µm"} <= set(shown)
    assert {"R", "L", "A", "P", "H", "F"} <= set(shown)


def test_the_voxels_of_a_scan_are_not_square(eye):
    across, down = 0.01171875, 0.0038
    assert figures.ophthalmic(eye.volume, eye.localizer).axes[1].get_aspect() == 1
    true = figures.ophthalmic(eye.volume, eye.localizer, is_stretched=False)
    assert true.axes[1].get_aspect() == pytest.approx(down / across)
    assert figures.image(eye.volume).axes[0].get_aspect() == pytest.approx(down / across)


def test_another_photograph_is_refused(eye):
    with pytest.raises(AttributeUnusable, match="Pass the localizer that the volume refers to"):
        figures.ophthalmic(eye.volume, phantoms.fundus())
    with pytest.raises(AttributeUnusable, match="No frame of instance"):
        figures.ophthalmic(eye.localizer, Dataset())


def test_a_scan_that_is_not_there_is_refused(eye):
    with pytest.raises(PixelDataUnusable, match="no frame 25"):
        figures.ophthalmic(eye.volume, eye.localizer, bscan=25)

"""Graphics and marks are drawn where they are."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from workbench import figures, phantoms
from workbench.entities import Circle, Ellipse, Point, Polyline, Text
from workbench.figures.presentation import _outline


@pytest.fixture(scope="module")
def ct():
    return phantoms.ct_series(1, rows=128, columns=128)[0]


def state_of(image, *graphics, texts=(), **attributes):
    state, series, reference, part = Dataset(), Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    series.ReferencedImageSequence = [reference]
    part.GraphicLayer, part.GraphicObjectSequence, part.TextObjectSequence = "A", list(graphics), list(texts)
    state.SOPClassUID, state.ReferencedSeriesSequence = "1.2.840.10008.5.1.4.1.1.11.1", [series]
    state.GraphicAnnotationSequence = [part]
    for keyword, value in attributes.items():
        setattr(state, keyword, value)
    return state


def graphic(kind, points):
    item = Dataset()
    item.GraphicAnnotationUnits, item.GraphicType, item.GraphicData = "PIXEL", kind, points
    return item


def test_a_turned_image_takes_its_graphics_along(ct):
    state = state_of(ct, graphic("POLYLINE", [10, 20, 30, 20]), ImageRotation=90, ImageHorizontalFlip="N")
    line = figures.presentation(ct, state).axes[0].lines
    drawn = [part.get_xydata().tolist() for part in line]
    assert [[108.0, 10.0], [108.0, 30.0]] in drawn


def test_all_graphic_types_and_a_text_with_a_leader(ct, words, overlaps):
    label = Dataset()
    label.UnformattedTextValue = "Lesion $A\n2nd line"
    label.AnchorPoint, label.AnchorPointAnnotationUnits, label.AnchorPointVisibility = [100, 100], "PIXEL", "Y"
    label.BoundingBoxTopLeftHandCorner, label.BoundingBoxBottomRightHandCorner = [5, 100], [50, 120]
    label.BoundingBoxAnnotationUnits = "PIXEL"
    state = state_of(
        ct, graphic("POINT", [64, 64]), graphic("CIRCLE", [30, 30, 40, 30]),
        graphic("ELLIPSE", [80, 30, 120, 30, 100, 20, 100, 40]),
        graphic("INTERPOLATED", [10, 60, 20, 70, 30, 60, 10, 60]), graphic("INTERPOLATED", [1, 1, 1, 1]), texts=[label],
    )  # fmt: skip
    figure = figures.presentation(ct, state)
    assert "Lesion $A\n2nd line" in words(figure)
    assert overlaps(figure) == []
    assert [[50.0, 100.0], [100.0, 100.0]] in [line.get_xydata().tolist() for line in figure.axes[0].lines]


def test_the_outline_of_a_circle_and_an_ellipse():
    circle = _outline("CIRCLE", np.array([[10.0, 10.0], [13.0, 14.0]]))
    np.testing.assert_allclose(np.hypot(*(circle - 10).T), 5)
    mark = Ellipse((50, 40), (20, 10), 30)
    ellipse = _outline("ELLIPSE", np.array(mark.vertices)) - [50, 40]
    turn = np.radians(30)
    along = ellipse @ [np.cos(turn), np.sin(turn)] / 20
    across = ellipse @ [-np.sin(turn), np.cos(turn)] / 10
    np.testing.assert_allclose(along**2 + across**2, 1, atol=1e-9)


def test_an_interpolated_line_goes_through_its_points():
    points = np.array([[0.0, 0.0], [10.0, 5.0], [20.0, 0.0], [0.0, 0.0]])
    curve = _outline("INTERPOLATED", points)
    assert all(np.hypot(*(curve - p).T).min() < 0.5 for p in points)
    np.testing.assert_allclose(curve[0], curve[-1], atol=1e-9)


def test_marks(ct, words):
    line = Polyline.polygon((1, 1), (9, 1), (9, 9))
    figure = figures.marks(ct, [Point((5, 6)), Circle((30, 40), 10), Ellipse((60, 60), (9, 4)), line, Text("here", (70, 80))])
    assert "here" in words(figure)
    drawn = [line.get_xydata() for line in figure.axes[0].lines]
    assert any(d.tolist() == [[5.0, 6.0]] for d in drawn)
    assert any(d.tolist() == [[1, 1], [9, 1], [9, 9], [1, 1]] for d in drawn)
    assert figures.marks(ct, []).axes[0].lines

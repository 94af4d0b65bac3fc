"""Graphics and text of a presentation state (PS3.3 C.10.5)."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from workbench.rendering import GraphicObject, TextObject, resolve


def graphic(kind, points, units="PIXEL", **attributes):
    item = Dataset()
    item.GraphicAnnotationUnits, item.GraphicDimensions, item.GraphicType = units, 2, kind
    item.GraphicData, item.NumberOfGraphicPoints = points, len(points) // 2
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def annotation(layer="A", *, graphics=(), texts=(), images=()):
    item = Dataset()
    item.GraphicLayer = layer
    item.GraphicObjectSequence, item.TextObjectSequence = list(graphics), list(texts)
    if images:
        item.ReferencedImageSequence = list(images)
    return item


def words(text, **attributes):
    item = Dataset()
    item.UnformattedTextValue = text
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


@pytest.fixture
def image(make):
    return make(np.zeros((2, 10, 20), np.uint8))


def found(image, make_pr, *parts, **attributes):
    plan = resolve(image, state=make_pr(image, GraphicAnnotationSequence=list(parts), **attributes))
    return plan.frame(0).annotations, plan.findings


def test_pixel_units_are_image_coordinates(image, make_pr):
    marks, findings = found(image, make_pr, annotation(graphics=[graphic("POLYLINE", [1, 2, 3.5, 4], GraphicFilled="Y")]))
    assert findings == ()
    assert isinstance(marks[0], GraphicObject)
    assert (marks[0].kind, marks[0].points, marks[0].is_filled) == ("POLYLINE", ((1, 2), (3.5, 4)), True)


def test_display_units_are_fractions_of_what_is_displayed(image, make_pr):
    """With the image turned by 90 degrees its lower left corner is displayed at the top left."""
    part = annotation(graphics=[graphic("POINT", [0, 0], "DISPLAY"), graphic("POINT", [1, 0.5], "DISPLAY")])
    marks, _ = found(image, make_pr, part, ImageRotation=90, ImageHorizontalFlip="N")
    assert [m.points[0] for m in marks] == [(0, 10), (10, 0)]


def test_texts(image, make_pr):
    anchored = words(
        "one\r\ntwo\x1b[31m", AnchorPoint=[3, 4], AnchorPointAnnotationUnits="PIXEL", AnchorPointVisibility="Y",
        BoundingBoxTopLeftHandCorner=[0, 0.5], BoundingBoxBottomRightHandCorner=[0.5, 1], BoundingBoxAnnotationUnits="DISPLAY",
        BoundingBoxTextHorizontalJustification="RIGHT",
    )  # fmt: skip
    marks, _ = found(image, make_pr, annotation(texts=[anchored]))
    mark = marks[0]
    assert isinstance(mark, TextObject)
    assert mark.text == "one\ntwo␛[31m"
    assert (mark.anchor, mark.box, mark.justification, mark.is_anchor_visible) == ((3, 4), ((0, 5), (10, 10)), "RIGHT", True)


def test_layers_are_drawn_in_their_order_and_have_their_colour(image, make_pr):
    layers = []
    for name, order, lab in (("A", 2, None), ("B", 1, [65535, 32896, 32896]), ("C", 3, [35000, 53000, 50000])):
        layer = Dataset()
        layer.GraphicLayer, layer.GraphicLayerOrder = name, order
        if lab:
            layer.GraphicLayerRecommendedDisplayCIELabValue = lab
        layers.append(layer)
    parts = [annotation(n, graphics=[graphic("POINT", [1, 1])]) for n in "ABC"]
    marks, _ = found(image, make_pr, *parts, GraphicLayerSequence=layers)
    assert [m.layer.name for m in marks] == ["B", "A", "C"]
    white, none, red = (m.layer.rgb for m in marks)
    assert none is None
    assert min(white) > 0.98
    assert red[0] > 0.9
    assert red[1] < 0.2


def test_an_annotation_may_be_for_one_frame_only(image, make_pr):
    reference = Dataset()
    reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber = image.SOPInstanceUID, 2
    part = annotation(graphics=[graphic("POINT", [1, 1])], images=[reference])
    plan = resolve(image, state=make_pr(image, GraphicAnnotationSequence=[part]))
    assert [len(plan.frame(i).annotations) for i in (0, 1)] == [0, 1]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (graphic("SPIRAL", [1, 1]), "Graphic Type"),
        (graphic("CIRCLE", [1, 1]), "no CIRCLE"),
        (graphic("POLYLINE", [1, 1, 2]), "3 numbers"),
        (graphic("POINT", [1, 1], "MATRIX"), "PIXEL and DISPLAY"),
    ],
)
def test_what_can_not_be_drawn_is_a_finding(image, make_pr, part, message):
    marks, findings = found(image, make_pr, annotation(graphics=[part, graphic("POINT", [1, 1])]))
    assert len(marks) == 1
    assert message in findings[0].message
    assert findings[0].path == "GraphicAnnotationSequence[0].GraphicObjectSequence[0]"


def test_a_text_without_a_place_is_a_finding(image, make_pr):
    marks, findings = found(image, make_pr, annotation(texts=[words("nowhere")]))
    assert marks == ()
    assert "bounding box or an anchor" in findings[0].message
    assert "nowhere" not in findings[0].message

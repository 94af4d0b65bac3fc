"""Marks in image coordinates."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.entities import Circle, Ellipse, Point, Polyline, Text
from workbench.errors import AttributeUnusable

sizes = st.floats(0.5, 500)


@given(sizes, sizes, st.floats(-360, 360))
def test_an_ellipse_gives_its_longer_axis_first(first, second, angle):
    a, b, c, d = Ellipse((10.0, 20.0), (first, second), angle).vertices
    major, minor = math.dist(a, b), math.dist(c, d)
    assert major == pytest.approx(2 * max(first, second), rel=1e-6)
    assert minor == pytest.approx(2 * min(first, second), rel=1e-6)
    along = ((b[0] - a[0]) * (d[0] - c[0]) + (b[1] - a[1]) * (d[1] - c[1])) / (major * minor)
    assert along == pytest.approx(0, abs=1e-6)


def test_a_polygon_is_closed_once():
    line = Polyline.polygon((0, 0), (4, 0), (4, 3))
    assert line.vertices == ((0, 0), (4, 0), (4, 3), (0, 0))
    assert line.closed
    assert Polyline.polygon(*line.vertices) == line
    assert not Polyline(((0, 0), (4, 0))).closed


def test_a_circle_names_centre_and_perimeter():
    assert Circle((5, 6), 2).vertices == ((5, 6), (7, 6))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Point((math.nan, 0)),
        lambda: Polyline(((0, 0),)),
        lambda: Circle((0, 0), 0),
        lambda: Ellipse((0, 0), (1, -1)),
        lambda: Text("", (0, 0)),
        lambda: Text("x" * 1025, (0, 0)),
    ],
)
def test_what_can_not_be_drawn_is_refused(make):
    with pytest.raises(AttributeUnusable):
        make()


@given(sizes, sizes, st.floats(-360, 360))
def test_the_box_of_an_ellipse_holds_its_axes_and_touches_its_outline(first, second, angle):
    mark = Ellipse((10.0, 20.0), (first, second), angle)
    left, top, right, bottom = mark.bounds
    turn, (a, b) = math.radians(angle), mark.radii
    outline = [
        (
            10 + a * math.cos(t) * math.cos(turn) - b * math.sin(t) * math.sin(turn),
            20 + a * math.cos(t) * math.sin(turn) + b * math.sin(t) * math.cos(turn),
        )
        for t in (2 * math.pi * k / 3600 for k in range(3600))
    ]
    size = pytest.approx
    assert (min(c for c, _ in outline), max(c for c, _ in outline)) == (size(left, abs=0.01), size(right, abs=0.01))
    assert (min(r for _, r in outline), max(r for _, r in outline)) == (size(top, abs=0.01), size(bottom, abs=0.01))


def test_boxes_of_the_other_marks():
    assert Point((3, 4)).bounds == Text("x", (3, 4)).bounds == (3, 4, 3, 4)
    assert Polyline(((5, 1), (2, 8))).bounds == (2, 1, 5, 8)
    assert Circle((5, 6), 2).bounds == (3, 4, 7, 8)

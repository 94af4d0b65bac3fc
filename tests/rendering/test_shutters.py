"""Display shutters (PS3.3 C.7.6.11), by known answers."""

import numpy as np
import pytest

from workbench.errors import AttributeUnusable
from workbench.rendering import Shutter, render, resolve


def test_the_edges_of_a_rectangle_are_inside():
    open_ = ~Shutter(rectangle=(2, 1, 3, 2)).hidden(3, 4)
    assert open_.astype(int).tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_a_circle_is_given_by_row_and_column():
    open_ = ~Shutter(circle=(2, 3, 1)).hidden(3, 5)
    assert open_.astype(int).tolist() == [[0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0]]


def test_a_polygon_closes_itself():
    square = Shutter(polygon=((1.5, 1.5), (1.5, 4.5), (3.5, 4.5), (3.5, 1.5)))
    assert (~square.hidden(4, 6)).astype(int).tolist() == [[0] * 6, [0, 1, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], [0] * 6]


def test_shapes_apply_together_with_their_value(make, make_pr):
    image = make(np.full((5, 5), 200, np.uint8))
    state = make_pr(
        image, ShutterShape=["RECTANGULAR", "CIRCULAR"],
        ShutterLeftVerticalEdge=1, ShutterRightVerticalEdge=3, ShutterUpperHorizontalEdge=1,
        ShutterLowerHorizontalEdge=5, CenterOfCircularShutter=[3, 3], RadiusOfCircularShutter=1, ShutterPresentationValue=65535,
    )  # fmt: skip
    seen = render(resolve(image, state=state))
    assert (seen == 200).astype(int).tolist() == [[0] * 5, [0, 0, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0], [0] * 5]
    assert set(np.unique(seen)) == {200, 255}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"ShutterShape": "RECTANGULAR"}, "ShutterLeftVerticalEdge needs 1"),
        ({"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [1]}, "CenterOfCircularShutter needs 2"),
        ({"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 2, 3, 4]}, "three vertices"),
    ],
)
def test_a_shape_without_its_edges_is_refused(make, attributes, message):
    with pytest.raises(AttributeUnusable, match=message):
        resolve(make(np.zeros((2, 2), np.uint8), **attributes))

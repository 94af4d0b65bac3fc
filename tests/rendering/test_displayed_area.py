"""What is displayed, and how it is turned (PS3.3 C.10.4, C.10.6)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import AttributeUnusable
from workbench.rendering import Spatial, render, resolve
from workbench.rendering.displayed_area import spatial

L = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)


@pytest.mark.parametrize(
    ("rotation", "flip", "expected"),
    [
        (0, False, [[1, 2, 3], [4, 5, 6]]),
        (90, False, [[4, 1], [5, 2], [6, 3]]),
        (180, False, [[6, 5, 4], [3, 2, 1]]),
        (270, False, [[3, 6], [2, 5], [1, 4]]),
        (0, True, [[3, 2, 1], [6, 5, 4]]),
        (90, True, [[1, 4], [2, 5], [3, 6]]),
    ],
)
def test_rotation_is_clockwise_and_comes_before_the_flip(rotation, flip, expected):
    area = Spatial(0, 0, 3, 2, rotation, flip)
    assert area(L).tolist() == expected
    assert area.shape == np.shape(expected)


def test_a_part_and_beyond():
    assert Spatial(1, 0, 3, 1)(L).tolist() == [[2, 3]]
    assert Spatial(-1, 1, 2, 3)(L, fill=9).tolist() == [[9, 4, 5], [9, 9, 9]]
    assert Spatial(5, 5, 7, 6)(L).tolist() == [[0, 0]]


@given(
    st.integers(-3, 3), st.integers(-3, 3), st.integers(1, 6), st.integers(1, 6), st.sampled_from([0, 90, 180, 270]), st.booleans(),
    st.floats(-10, 10), st.floats(-10, 10),
)  # fmt: skip
def test_points_go_where_pixels_go_and_back(left, top, width, height, rotation, flip, x, y):
    area = Spatial(left, top, left + width, top + height, rotation, flip)
    np.testing.assert_allclose(area.image(area.displayed(np.array([[x, y]]))), [[x, y]], atol=1e-9)
    image = np.arange(64, dtype=np.uint8).reshape(8, 8) + 1
    shown = area(image)
    for row in range(max(top, 0), min(top + height, 8)):
        for column in range(max(left, 0), min(left + width, 8)):
            at = area.displayed(np.array([[column + 0.5, row + 0.5]]))[0]
            assert shown[int(at[1]), int(at[0])] == image[row, column]


def test_a_state_says_what_is_displayed(make, make_pr):
    image = make(L)
    state = make_pr(image, ImageRotation=90, ImageHorizontalFlip="N")
    state.DisplayedAreaSelectionSequence[0].DisplayedAreaTopLeftHandCorner = [2, 1]
    assert render(resolve(image, state=state)).tolist() == [[5, 2], [6, 3]]
    assert render(resolve(image, state=state), is_displayed=False).tolist() == L.tolist()


def test_pixels_that_are_not_square(make):
    assert spatial(None, make(L, PixelSpacing=[0.3, 0.1]), rows=2, columns=3).pixel_aspect == pytest.approx(3)
    assert spatial(None, make(L, PixelAspectRatio=[1, 2]), rows=2, columns=3).pixel_aspect == 0.5


@pytest.mark.parametrize(
    ("rotation", "corner", "message"),
    [(45, [3, 2], "Image Rotation"), (0, [10**6, 10**6], "larger than any image"), (0, [3], "corners")],
)
def test_refusals(make, make_pr, rotation, corner, message):
    image = make(L)
    state = make_pr(image, ImageRotation=rotation)
    state.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner = corner
    with pytest.raises(AttributeUnusable, match=message):
        resolve(image, state=state)

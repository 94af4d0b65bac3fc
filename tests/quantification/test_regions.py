"""Regions: analytic areas, laws of masks and statistics, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import AttributeUnusable
from workbench.quantification import Volume, regions

GRID = Volume(np.zeros((40, 40, 40)), np.diag([1.0, 1.0, 1.0, 1.0]), "")


def test_statistics_that_can_be_done_by_hand():
    values = np.array([[2.0, 4.0, 4.0], [4.0, 5.0, 5.0], [7.0, 9.0, 100.0]])
    mask = values < 50
    found = regions.statistics(values, mask, units="g/ml", pixel_spacing_mm=(0.5, 2.0), voxel_volume_ml=0.25)
    assert (found.mean, found.median, found.min, found.max, found.n) == (5.0, 4.5, 2.0, 9.0, 8)
    assert found.std == pytest.approx(math.sqrt(32 / 7))  # the squares of the deviations add up to 32
    assert (found.area_mm2, found.volume_ml, found.units) == (8.0, 2.0, "g/ml")


def test_a_single_value_has_no_deviation():
    assert math.isnan(regions.statistics(np.ones((1, 1)), np.ones((1, 1), bool)).std)


@pytest.mark.parametrize(
    ("values", "mask", "keywords", "message"),
    [
        (np.ones((2, 2)), np.zeros((2, 2), bool), {}, "region is empty"),
        (np.ones((2, 2)), np.ones((2, 3), bool), {}, r"shape of the values: \(2, 2\)"),
        (np.ones((2, 2)), np.ones((2, 2)), {}, "bool mask"),
        (np.full((2, 2), np.nan), np.ones((2, 2), bool), {}, "4 of 4 values in the region are not finite"),
        (np.ones((2, 2)), np.ones((2, 2), bool), {"voxel_volume_ml": 0.0}, "greater than 0"),
        (np.ones((2, 2)), np.ones((2, 2), bool), {"pixel_spacing_mm": (1.0, math.nan)}, "greater than 0"),
    ],
)
def test_what_statistics_need(values, mask, keywords, message):
    with pytest.raises(AttributeUnusable, match=message):
        regions.statistics(values, mask, **keywords)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30), st.floats(-5, 5), st.floats(-100, 100))
def test_statistics_follow_a_linear_change_of_the_values(numbers, slope, intercept):
    values = np.array(numbers)
    mask = np.ones(values.shape, bool)
    one, two = regions.statistics(values, mask), regions.statistics(slope * values + intercept, mask)
    assert two.mean == pytest.approx(slope * one.mean + intercept, abs=1e-3)
    assert two.std == pytest.approx(abs(slope) * one.std, abs=1e-3)
    assert one.min <= one.median <= one.max
    assert one.min - 1e-6 <= one.mean <= one.max + 1e-6


# ------------------------------------------------------------------ shapes


@pytest.mark.parametrize(("radii", "angle"), [((30, 30), 0), ((40, 20), 0), ((40, 20), 30), ((40, 20), 90)])
def test_the_area_of_an_ellipse(radii, angle):
    mask = regions.ellipse((120, 130), center=(61.3, 58.7), radii=radii, angle_deg=angle)
    assert mask.sum() == pytest.approx(math.pi * radii[0] * radii[1], rel=0.005)


def test_where_an_ellipse_lies():
    mask = regions.ellipse((7, 9), center=(4.5, 2.5), radii=(3.1, 1.1))
    assert mask[2].tolist() == [False, True, True, True, True, True, True, True, False]  # centers from 1.5 to 7.5
    assert mask[:, 4].sum() == 3
    turned = regions.ellipse((9, 7), center=(2.5, 4.5), radii=(3.1, 1.1), angle_deg=90)
    assert np.array_equal(turned, mask.T)


def test_a_rectangle_as_polygon_is_exact():
    mask = regions.polygon((6, 8), [(1, 2), (5, 2), (5, 4), (1, 4)])
    wanted = np.zeros((6, 8), bool)
    wanted[2:4, 1:5] = True
    assert np.array_equal(mask, wanted)


def test_what_a_polygon_encloses_twice_is_outside():
    star = [(10 + 9 * math.sin(2 * math.pi * 2 * i / 5), 10 - 9 * math.cos(2 * math.pi * 2 * i / 5)) for i in range(5)]
    mask = regions.polygon((20, 20), star)
    assert not mask[10, 10]  # the pentagon in the middle of a pentagram
    assert mask[3, 9]  # its tip


def test_the_part_of_a_polygon_beyond_the_image_is_cut_off():
    assert regions.polygon((4, 4), [(-10, -10), (20, -10), (20, 20), (-10, 20)]).all()
    assert not regions.polygon((4, 4), [(5, 5), (9, 5), (9, 9)]).any()


points = st.tuples(st.floats(-5, 25), st.floats(-5, 25))


@given(st.lists(points, min_size=3, max_size=8))
def test_a_polygon_is_what_the_definition_says(corners):
    """Even-odd at pixel centers, against a loop over every pixel."""
    mask = regions.polygon((12, 14), corners)
    for row in range(12):
        for column in range(14):
            x, y, inside = column + 0.5, row + 0.5, False
            for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
                if (y0 <= y) != (y1 <= y):
                    cross = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                    if abs(cross - x) < 1e-6:
                        break  # on the line within rounding: either is right
                    inside ^= cross < x
            else:
                assert mask[row, column] == inside


@given(st.lists(points, min_size=3, max_size=7), st.integers(-4, 4), st.integers(-4, 4))
def test_a_polygon_moves_with_its_points(corners, right, down):
    corners = np.round(np.array(corners) * 8) / 8  # exact in binary, so that sums are exact too
    near = regions.polygon((40, 40), corners + 10.0)
    far = regions.polygon((40, 40), corners + np.array([10 + right, 10 + down]))
    assert near.sum() == far.sum()


@given(st.floats(1, 19), st.floats(1, 19), st.integers(0, 20), st.integers(0, 20))
def test_polygons_that_share_a_side_share_no_pixel_and_leave_none_out(x, y, left, right):
    square = [(0, 0), (20, 0), (20, 20), (0, 20)]
    above = regions.polygon((20, 20), [(0, 0), (20, 0), (20, right), (x, y), (0, left)])
    below = regions.polygon((20, 20), [(0, left), (x, y), (20, right), (20, 20), (0, 20)])
    assert np.array_equal(above ^ below, regions.polygon((20, 20), square))


@given(st.lists(st.floats(0.5, 9.5), min_size=3, max_size=9))
def test_the_area_of_a_polygon_is_near_the_count_of_its_pixels(radii):
    angles = np.linspace(0, 2 * math.pi, len(radii), endpoint=False)
    corners = 50 + 4 * np.c_[np.cos(angles), np.sin(angles)] * np.array(radii)[:, None]
    area = regions.polygon_area_mm2(corners, pixel_spacing_mm=(1.0, 1.0))
    around = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).sum()
    assert abs(regions.polygon((100, 100), corners).sum() - area) <= around + 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: regions.polygon((4, 4), [(0, 0), (1, 1)]), "three or more points"),
        (lambda: regions.polygon((4, 4), [(0, 0), (1, 1), (math.nan, 2)]), "all finite"),
        (lambda: regions.ellipse((4, 4), center=(1, 1), radii=(0, 1)), "greater than 0"),
        (lambda: regions.sphere(GRID, center_mm=(1, 1, 1), diameter_mm=0), "greater than 0"),
    ],
)
def test_shapes_that_are_none(make, message):
    with pytest.raises(AttributeUnusable, match=message):
        make()


# ------------------------------------------------------------------ spheres


def test_the_volume_of_a_sphere():
    mask = regions.sphere(GRID, center_mm=(19.6, 20.3, 18.9), diameter_mm=30)
    assert mask.sum() * GRID.voxel_ml == pytest.approx(math.pi * 30**3 / 6 / 1000, rel=0.005)


@given(
    center=st.tuples(*[st.floats(-20, 60)] * 3),
    diameter=st.floats(0.5, 40),
    shear=st.floats(-0.5, 0.5),
)
def test_a_sphere_is_where_its_distance_says(center, diameter, shear):
    affine = np.diag([2.0, 3.0, 5.0, 1.0])
    affine[1, 2] = shear
    grid = Volume(np.zeros((9, 11, 13)), affine, "")
    away = np.linalg.norm(grid.points_mm() - np.array(center), axis=-1)
    mask = regions.sphere(grid, center_mm=center, diameter_mm=diameter)
    sure = np.abs(away - diameter / 2) > 1e-6
    assert np.array_equal(mask[sure], (away <= diameter / 2)[sure])

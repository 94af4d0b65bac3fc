"""Frames as they are seen."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.errors import PixelDataUnusable
from workbench.rendering import pixels, render, resolve


@given(arrays(np.int16, (3, 4)), st.integers(-2000, 2000), st.integers(1, 4000), st.sampled_from([-1.0, 0.5, 1.0]))
def test_the_quick_way_and_the_plain_way_are_the_same(make, values, center, width, slope):
    """A large frame goes through a table of all stored values, a small one is computed."""
    image = make(values, RescaleSlope=slope, RescaleIntercept=-10, WindowCenter=center, WindowWidth=width)
    large = make(np.tile(values, (80, 80)), RescaleSlope=slope, RescaleIntercept=-10, WindowCenter=center, WindowWidth=width)
    np.testing.assert_array_equal(np.tile(render(resolve(image)), (80, 80)), render(resolve(large)))


def test_stored_values_can_be_passed_in(make):
    image = make(np.arange(12, dtype=np.uint16).reshape(3, 4), WindowCenter=6, WindowWidth=12)
    plan = resolve(image)
    np.testing.assert_array_equal(render(plan, stored=pixels(image)), render(plan))
    with pytest.raises(PixelDataUnusable, match="has shape"):
        render(plan, stored=np.zeros((2, 2), np.uint16))


def test_floating_point_images_with_gaps(make):
    image = make(np.zeros((1, 4), np.uint16))
    del image.PixelData, image.BitsStored, image.HighBit, image.PixelRepresentation
    image.FloatPixelData = np.array([0, 1, 2, np.nan], np.float32).tobytes()
    seen = render(resolve(image))
    assert seen[0, :3].tolist() == sorted(seen[0, :3].tolist())
    assert seen[0, 3] == seen[0, 0]


def test_lossy_overshoot_does_not_wrap(make):
    """A decoder may give more than Bits Stored can hold; white stays white."""
    image = make(np.zeros((2, 2), np.uint16), bits_stored=12, WindowCenter=2048, WindowWidth=4096)
    assert render(resolve(image), stored=np.array([[4095, 4124], [0, 5]], np.uint16))[0].tolist() == [255, 255]


def test_a_frame_of_512_by_512_takes_a_few_milliseconds(make):
    values = np.random.default_rng(0).integers(-1024, 3000, (512, 512)).astype(np.int16)
    plan = resolve(make(values, RescaleSlope=1, RescaleIntercept=0, WindowCenter=40, WindowWidth=400))
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        render(plan)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02

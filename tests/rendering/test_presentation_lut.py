"""Polarity and presentation LUTs (PS3.3 C.11.4, C.11.6)."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from workbench.rendering import PresentationLut, render, resolve
from workbench.rendering.presentation_lut import presentation_lut


@pytest.mark.parametrize(
    ("photometric", "shape", "expected"),
    [("MONOCHROME2", None, 0), ("MONOCHROME1", None, 255), ("MONOCHROME1", "INVERSE", 255), ("MONOCHROME2", "IDENTITY", 0)],
)
def test_polarity_of_an_image(make, photometric, shape, expected):
    image = make(np.array([[0, 255]], np.uint8), photometric=photometric)
    if shape:
        image.PresentationLUTShape = shape
    assert render(resolve(image)).tolist() == [[expected, 255 - expected]]


def test_a_table_is_spread_over_the_whole_range():
    item, state = Dataset(), Dataset()
    item.add_new("LUTDescriptor", "US", [3, 0, 16])
    item.add_new("LUTData", "US", [65535, 0, 32768])
    state.PresentationLUTSequence = [item]
    found = presentation_lut(state)
    assert np.rint(found(np.array([0.0, 0.2, 0.3, 0.74, 0.76, 1.0])) * 255).tolist() == [255, 255, 0, 0, 128, 128]


def test_identity_changes_nothing():
    x = np.linspace(0, 1, 5)
    np.testing.assert_array_equal(PresentationLut()(x), x)

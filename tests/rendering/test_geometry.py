"""Spacing and orientation of a frame."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from workbench.rendering import Sides, Spacing, orientation, spacing


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, None),
        ({"PixelSpacing": [0.5, 0.25]}, Spacing(0.5, 0.25)),
        ({"PixelSpacing": [0, 0.25]}, None),
        ({"PixelSpacing": [0.5, 0.25], "PixelSpacingCalibrationType": "FIDUCIAL"}, Spacing(0.5, 0.25, "by a fiducial")),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, Spacing(0.2, 0.2, "at the detector")),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": "2"},
            Spacing(0.1, 0.1, "by estimated magnification"),
        ),
        ({"NominalScannedPixelSpacing": [0.3, 0.3]}, Spacing(0.3, 0.3, "on the scanned medium")),
    ],
)
def test_spacing_and_what_it_is_worth(make, attributes, expected):
    assert spacing(make(np.zeros((1, 1), np.uint8), **attributes)) == expected


def test_spacing_of_a_functional_group(make):
    group, measures = Dataset(), Dataset()
    measures.PixelSpacing = [0.1, 0.2]
    group.PixelMeasuresSequence = [measures]
    assert spacing(make(np.zeros((1, 1), np.uint8), SharedFunctionalGroupsSequence=[group])) == Spacing(0.1, 0.2)


def test_spacing_of_an_ultrasound_region_is_in_centimetres(make):
    region = Dataset()
    region.RegionSpatialFormat, region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = 1, 3, 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.03
    image = make(np.zeros((1, 1), np.uint8), SequenceOfUltrasoundRegions=[region])
    assert spacing(image) == Spacing(pytest.approx(0.3), pytest.approx(0.2), "in the ultrasound region")
    region.PhysicalUnitsXDirection = 4  # seconds
    assert spacing(image) is None


@pytest.mark.parametrize(
    ("cosines", "expected"),
    [
        ([1, 0, 0, 0, 1, 0], Sides("R", "L", "A", "P")),
        ([1, 0, 0, 0, 0, -1], Sides("R", "L", "H", "F")),
        ([0, 1, 0, 0, 0, -1], Sides("A", "P", "H", "F")),
        ([0.8, 0.6, 0, 0, 0, -1], Sides("RA", "LP", "H", "F")),
        ([0.99, 0.1, 0, 0, 1, 0], Sides("R", "L", "A", "P")),
        ([1, 0], Sides()),
    ],
)
def test_letters_from_direction_cosines(make, cosines, expected):
    assert orientation(make(np.zeros((1, 1), np.uint8), ImageOrientationPatient=cosines)) == expected


def test_letters_from_patient_orientation(make):
    assert orientation(make(np.zeros((1, 1), np.uint8), PatientOrientation=["L", "FP"])) == Sides("R", "L", "HA", "FP")
    assert orientation(make(np.zeros((1, 1), np.uint8), PatientOrientation=["LE", "V"])) == Sides()


def test_letters_turn_with_the_image():
    axial = Sides("R", "L", "A", "P")
    assert axial.turned(rotation_deg=90, is_flipped=False) == Sides("P", "A", "R", "L")
    assert axial.turned(rotation_deg=180, is_flipped=False) == Sides("L", "R", "P", "A")
    assert axial.turned(rotation_deg=270, is_flipped=True) == Sides("P", "A", "L", "R")
    assert axial.turned(rotation_deg=0, is_flipped=True) == Sides("L", "R", "A", "P")

"""From stored to modality values (PS3.3 C.11.1)."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench.errors import AttributeUnusable, PixelDataUnusable
from workbench.rendering import modality, modality_values, render, resolve, units


def group(**attributes):
    item, outer = Dataset(), Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    outer.PixelValueTransformationSequence = [item]
    return outer


def test_rescale(make):
    image = make(np.array([[0, 1000]], np.int16), RescaleSlope="0.5", RescaleIntercept="-1024")
    assert modality_values(image).tolist() == [[-1024.0, -524.0]]
    assert modality_values(image).dtype == np.float64


def test_a_modality_lut(make):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 65535, 16])
    item.add_new("LUTData", "US", [100, 200, 400])
    item.ModalityLUTType = "OD"
    image = make(np.array([[-7, -1, 0, 1, 5]], np.int16), ModalityLUTSequence=[item])
    assert modality_values(image).tolist() == [[100, 100, 200, 400, 400]]
    assert units(image) == "OD"


def test_each_frame_of_an_enhanced_image_has_its_own(make):
    """PS3.3 C.7.6.16.2.9; PET of several vendors scales each frame."""
    image = make(np.ones((2, 1, 2), np.uint16))
    image.PerFrameFunctionalGroupsSequence = [group(RescaleSlope=s, RescaleIntercept=0, RescaleType="BQML") for s in (2, 3)]
    assert modality_values(image).tolist() == [[[2, 2]], [[3, 3]]]
    assert modality_values(image, frame=1).tolist() == [[3, 3]]
    assert units(image, frame=1) == "BQML"


def test_a_shared_functional_group_holds_for_all(make):
    image = make(np.ones((2, 1, 1), np.uint16), SharedFunctionalGroupsSequence=[group(RescaleSlope=4, RescaleIntercept=-1)])
    assert modality_values(image).tolist() == [[[3]], [[3]]]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ""),
        ({"RescaleType": "US", "RescaleSlope": 1}, ""),
        ({"RescaleType": "HU", "RescaleSlope": 1}, "HU"),
        ({"Modality": "CT", "RescaleIntercept": -1024}, "HU"),
        ({"Modality": "CT"}, ""),
        ({"Modality": "PT", "Units": "BQML", "RescaleSlope": 2}, "BQML"),
    ],
)
def test_units(make, attributes, expected):
    assert units(make(np.zeros((1, 1), np.uint16), **attributes)) == expected


def test_refusals(make):
    image = make(np.zeros((1, 2), np.uint16), RescaleSlope=0, RescaleIntercept=0)
    with pytest.raises(AttributeUnusable, match=r"Rescale Slope \(0028,1053\) is 0"):
        modality(image)
    with pytest.raises(AttributeUnusable, match="colour image has no modality values"):
        modality_values(make(np.zeros((1, 2, 3), np.uint8), photometric="RGB"))
    with pytest.raises(PixelDataUnusable, match="no frame 4"):
        modality_values(make(np.zeros((1, 2), np.uint16)), frame=4)
    image = make(np.zeros((1, 2), np.uint16))
    image.add_new("RescaleSlope", "FD", float("nan"))
    with pytest.raises(AttributeUnusable, match="not finite"):
        modality_values(image)


def test_the_intensity_table_of_an_angiogram_is_not_for_display(make):
    """PS3.3 C.8.7.1.1.2: windows apply to stored values; dcm2pnm ignores the table as well."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 16])
    item.add_new("LUTData", "US", list(range(0, 65536, 256)))
    image = make(np.array([[0, 255]], np.uint8), ModalityLUTSequence=[item], SOPInstanceUID=generate_uid())
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.12.1"
    plan = resolve(image)
    assert render(plan).tolist() == [[0, 255]]
    assert [f.path for f in plan.findings] == ["ModalityLUTSequence"]
    assert modality_values(image).tolist() == [[0, 65280]]

"""The tables of IODs as shipped are what their source says, and what the standard prints."""

from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword

from workbench import standard
from workbench.errors import InputError
from workbench.standard import _iods_build as source
from workbench.standard import iod_types, module_keywords, storage_classes

#: Attributes of repeating groups (60xx), which have no one tag.
REPEATED = frozenset(
    [
        "ImageFrameOrigin",
        "NumberOfFramesInOverlay",
        "OverlayActivationLayer",
        "OverlayBitPosition",
        "OverlayBitsAllocated",
        "OverlayColumns",
        "OverlayData",
        "OverlayDescription",
        "OverlayLabel",
        "OverlayOrigin",
        "OverlayRows",
        "OverlaySubtype",
        "OverlayType",
        "ROIArea",
        "ROIMean",
        "ROIStandardDeviation",
    ]
)
SHIPPED = Path(standard.__file__).parent / "tables" / "iods.json"
SC, CT, PET, OP = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("7", "2", "128", "77.1.5.1"))


def test_the_shipped_table_is_the_generated_one():
    assert SHIPPED.read_text(encoding="utf-8") == source.shaped(source.build())


@pytest.mark.parametrize(
    ("uid", "keyword", "kind"),
    [
        (SC, "ConversionType", "1"),  # PS3.3 Table C.8-24
        (SC, "PatientName", "2"),  # Table C.7-1
        (SC, "Laterality", "2C"),  # Table C.7-5a
        (CT, "RescaleSlope", "1"),  # Table C.8-3
        (CT, "KVP", "2"),
        (CT, "ImageType", "1"),  # CT Image has 1, General Image 3: the strictest counts
        (PET, "Units", "1"),  # Table C.8-60
        (PET, "PlanarConfiguration", "1C"),  # Table C.7-11a
        (OP, "PatientEyeMovementCommanded", "2"),  # Table C.8.17.4-1
        (OP, "StudyDescription", "3"),
    ],
)
def test_types_are_those_that_the_standard_prints(uid, keyword, kind):
    assert iod_types(uid)[keyword] == kind


def test_every_class_with_an_iod_is_a_storage_class_with_attributes_that_are_known():
    known = {row.uid for row in storage_classes()}
    found = [uid for uid in known if iod_types(uid)]
    assert len(found) > 150
    for uid in found:
        types = iod_types(uid)
        assert types["SOPInstanceUID"] == "1"
        assert {keyword for keyword in types if not tag_for_keyword(keyword)} <= REPEATED


def test_a_module_that_an_object_may_be_without_asks_nothing():
    assert "PatientWeight" not in iod_types(SC)  # Patient Study is of usage U
    assert "PatientWeight" in module_keywords("patient-study")


def test_what_is_not_known_is_empty_or_refused():
    assert iod_types("1.2.3") == {}
    with pytest.raises(InputError, match="no module 'Patient'"):
        module_keywords("patient", "Patient")

"""Table E.1-1 as shipped is what its sources say."""

import json
from collections import Counter
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_VR

from workbench import standard
from workbench.standard import _confidentiality_build as source

SHIPPED = Path(standard.__file__).parent / "tables" / "confidentiality.json"


@pytest.fixture(scope="module")
def extract(corpus):
    return json.loads((corpus / "standard" / "confidentiality_2024e.json").read_text())


@pytest.mark.corpus
def test_the_shipped_table_is_the_generated_one(extract):
    assert SHIPPED.read_text() == source.shaped(source.build(extract))


@pytest.mark.corpus
def test_both_editions_agree_where_both_have_an_attribute(extract):
    rows = standard.confidentiality()
    compared = 0
    for old in extract:
        if len(old["id"]) != 8 or "x" in old["id"]:
            continue
        row = rows[int(old["id"], 16)]
        assert row.basic == old["basicProfile"], row.name
        assert {option: getattr(row, option) for option in source.OPTIONS} == {
            option: old.get(column, "") for option, column in source.OPTIONS.items()
        }
        compared += 1
    assert compared == 617


def test_the_basic_profile_is_that_of_2026c():
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as theirs

    ours = Counter(row.basic for row in standard.confidentiality().values() if row.mask != 0x00010000)
    assert ours == {action: len(getattr(theirs, name)) for action, name in source._LISTS.items()}
    assert sum(ours.values()) == 655


@pytest.mark.parametrize(
    ("tag", "basic", "option", "code"),
    [
        (0x00100010, "Z", "retain_patient_characteristics", ""),
        (0x00100020, "Z/D", "retain_uids", ""),
        (0x00080018, "U", "retain_uids", "K"),
        (0x00101030, "X", "retain_patient_characteristics", "K"),
        (0x00080020, "Z", "retain_longitudinal_modified_dates", "C"),
        (0x00080020, "Z", "retain_longitudinal_full_dates", "K"),
        (0x00181000, "X/Z/D", "retain_device_identity", "K"),
        (0x00080080, "X/Z/D", "retain_institution_identity", "K"),
        (0x0040A730, "D", "clean_structured_content", "C"),
        (0x00700001, "D", "clean_graphics", "C"),
        (0x00081140, "X/Z/U*", "retain_uids", "K"),
    ],
)
def test_known_rows(tag, basic, option, code):
    row = standard.confidentiality()[tag]
    assert (row.basic, getattr(row, option)) == (basic, code)


def test_repeating_groups_and_private_attributes_fall_under_their_rows():
    named = {tag: standard.confidentiality_of(tag) for tag in (0x60103000, 0x601E4000, 0x50040005, 0x00110010, 0x60013000)}
    assert [row.name for row in named.values()] == [
        "Overlay Data",
        "Overlay Comments",
        "Curve Data",
        "Private Attributes",
        "Private Attributes",
    ]
    assert {row.basic for row in named.values()} == {"X"}
    assert standard.confidentiality_of(0x60100010) is None
    assert standard.confidentiality_of(0x7FE00010) is None


def test_only_date_and_time_attributes_are_moved():
    kinds = Counter(dictionary_VR(row.tag) for row in standard.confidentiality().values() if row.retain_longitudinal_modified_dates)
    assert set(kinds) <= {"DA", "DT", "TM", "SH", "SQ", "OB", "LO", "DS", "FD", "IS", "UL"}
    assert kinds["DA"] + kinds["DT"] + kinds["TM"] > 150


def test_types_are_known_where_an_action_depends_on_them():
    ct, sr = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.33"
    assert standard.attribute_type(ct, "SeriesDate") == "3"
    assert standard.attribute_type(sr, "ContentDate") == "1"
    assert standard.attribute_type(sr, "ReferencedRequestSequence.RequestedProcedureID") == "2"
    assert standard.attribute_type(sr, "AnatomicRegionSequence.ContentDate") == ""
    assert standard.attribute_type("1.2.3", "ContentDate") == ""

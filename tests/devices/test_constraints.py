"""Constraints and defaults as they are written, and as they hold."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench import devices
from workbench.devices import attributes, constraint, default, objects, profile, repertoire
from workbench.errors import ProfileInvalid

ROWS, COLUMNS, UID, TYPE = 0x00280010, 0x00280011, 0x00080018, 0x00080064
BEGAN = datetime(2026, 11, 21, 10, 30, 7, 890000)  # noqa: DTZ001 - DICOM has local times
ROOT = "1.3.6.1.4.1.44316.4"
OP, MULTIFRAME = "1.2.840.10008.5.1.4.1.1.77.1.5.1", "1.2.840.10008.5.1.4.1.1.7.4"


def image():
    dataset = Dataset()
    dataset.Rows, dataset.Columns, dataset.SOPInstanceUID, dataset.ConversionType = 512, 256, f"{ROOT}.7", "SI"
    dataset.ContentDate, dataset.ContentTime, dataset.AcquisitionDateTime = "20261121", "103007", "20261121103007"
    dataset.NumberOfFrames, dataset.FrameNumbersOfInterest, dataset.PatientComments = 2, [1, 2], ""
    dataset.ReferencedPatientSequence = [Dataset()]
    return dataset


@pytest.mark.parametrize(
    ("text", "keyword", "holds"),
    [
        (">= 512", "Rows", True),
        (">= 512", "Columns", False),
        ("<= 256", "Columns", True),
        ("<= 256", "Rows", False),
        (">= 1", "ConversionType", False),  # no number
        (">= 512 and == (0028,0011)", "Rows", False),
        ("== (0028,0011)", "Rows", False),
        ("== (0028,0012)", "Rows", True),  # the object does not tell
        ("== 0512.0", "Rows", True),  # numbers as numbers
        ("== (0008,0023) + (0008,0033)", "AcquisitionDateTime", True),
        ("== (0008,0033)", "AcquisitionDateTime", False),
        (f"under {ROOT}", "SOPInstanceUID", True),
        ("under 1.3.6.1.4.1.4431", "SOPInstanceUID", False),  # of another organization, though the digits are the same so far
        (r"like S[A-Z]", "ConversionType", True),
        (r"like S", "ConversionType", False),
        ("== DV if (0008,0064) == DV; == SI if (0008,0064) == SI", "ConversionType", True),
        ("== DV if (0008,0064) == SI", "ConversionType", False),
        ("count == 1", "ReferencedPatientSequence", True),
        ("count == 2", "ReferencedPatientSequence", False),
        ("count == (0028,0008)", "FrameNumbersOfInterest", True),
        ("count == 0", "PatientComments", True),
        ("== x", "PatientComments", True),  # whether it may be empty is a matter of its presence
    ],
)
def test_what_holds(text, keyword, holds):
    dataset = image()
    assert constraint(text).holds(dataset, dataset[keyword].tag) is holds


def test_what_an_item_does_not_have_is_looked_for_around_it():
    item, whole = Dataset(), image()
    item.CodeMeaning = "SI"
    assert constraint("== (0008,0064)").holds(item, 0x00080104, whole)
    whole.ConversionType = "DV"
    assert not constraint("== (0008,0064)").holds(item, 0x00080104, whole)


@given(st.integers(0, 2**40))
def test_a_uid_below_a_root_is_the_same_for_the_same_uid_in_its_place(number):
    one, other = Dataset(), Dataset()
    one.SOPInstanceUID, other.SOPInstanceUID = f"1.2.{number}", f"1.2.{number}.1"
    wanted = constraint(f"under {ROOT}").wanted(one, UID)
    assert wanted.startswith(f"{ROOT}.")
    assert len(wanted) <= 64
    assert wanted == constraint(f"under {ROOT}").wanted(one, UID) != constraint(f"under {ROOT}").wanted(other, UID)


def test_what_is_wanted_is_what_holds():
    dataset = image()
    for text, keyword in (("== (0028,0011)", "Rows"), (f"under {ROOT}.9", "SOPInstanceUID"), ("== SI", "ConversionType")):
        setattr(dataset, keyword, type(dataset[keyword].value)(constraint(text).wanted(dataset, dataset[keyword].tag)))
        assert constraint(text).holds(dataset, dataset[keyword].tag)
    assert constraint(">= 512").wanted(dataset, ROWS) is None
    assert (constraint(">= 512 and == (0028,0011)").least, constraint("== 1").least) == (512, 0)


@pytest.mark.parametrize(
    "text",
    ["512 or more", ">= x", "==", "under here", "under 1.2.", "like (", "count == many", "== 1 if here", ">= 1 and", "; ", "> 1",
     ">= 1 and under 1." + "1" * 60],
)  # fmt: skip
def test_what_is_no_constraint_is_refused(text):
    with pytest.raises(ProfileInvalid, match=r"is no (constraint|condition)"):
        constraint(text)


@given(st.text())
def test_any_text_is_a_constraint_or_is_refused(text):
    try:
        found = constraint(text)
    except ProfileInvalid:
        return
    assert found.holds(image(), TYPE) in {True, False}


@pytest.mark.parametrize(
    ("text", "made", "not_it"),
    [
        ("<empty>", None, "A"),
        ("<operator>", "Operator^Ona", ""),
        ("<generated>", "103007", ""),
        ("<YYYYMMDDhhmmssff>", "2026112110300789", "20261121103007"),
        ("OT", "OT", "OP"),
        ("0.0", "0.0", "1.0"),
    ],
)
def test_a_default_is_what_it_makes_and_nothing_else(text, made, not_it):
    said = default(text)
    assert said.made(began=BEGAN, operator="Operator^Ona") == made
    assert said.holds(made)
    assert not said.holds(not_it)


def test_a_default_uid_stands_for_one_study():
    said = default(f"<uid {ROOT}>")
    study = generate_uid()
    first, again, other = (said.made(began=BEGAN, operator="", old=uid) for uid in (study, study, generate_uid()))
    assert first == again != other
    assert said.holds(first)
    assert not said.holds(study)


@pytest.mark.parametrize("text", ["<now>", "<uid here>", "<", "<empty> or not"])
def test_what_is_no_default_is_refused(text):
    with pytest.raises(ProfileInvalid, match="is no default"):
        default(text)


def test_the_profiles_have_constraints_and_defaults_that_can_be_read():
    found = {}
    for name in devices.names():
        of = devices.profile(name)
        rows = [r for t in of.of_kind("module") for r in attributes(of, t.id)]
        assert all(constraint(row.constraint).clauses for row in rows if row.constraint)
        assert all(default(row.otherwise).text for row in rows if row.otherwise)
        found[name] = (sum(bool(r.constraint) for r in rows), sum(bool(r.otherwise) for r in rows))
    assert found == {
        "canon-vitrea-read": (4, 3), "meddream-videostation": (6, 5), "optos-v2-vantage": (4, 6), "philips-vereos": (8, 0),
        "topcon-sp1p": (3, 0),
    }  # fmt: skip


def test_an_ae_title_is_that_of_the_configured_entity():
    (row,) = [r for r in attributes(profile("meddream-videostation"), "sc-general-equipment") if r.path == "(0008,1010)"]
    assert row.constraint == "== SPACS"


# ------------------------------------------------------------ character sets
@pytest.mark.parametrize(
    ("name", "source", "terms"),
    [
        ("optos-v2-vantage", "Table 15", ("",)),
        ("optos-v2-vantage", "Table 16", ("ISO_IR 100",)),
        ("topcon-sp1p", "section 8.1.1", ("",)),
        ("canon-vitrea-read", "Table 38", ("ISO_IR 100",)),
        ("philips-vereos", "Table 99", ("ISO_IR 100",)),  # ALWAYS, of the sets of Table 88
        ("philips-vereos", "Table 292", ()),  # a copy
    ],
)
def test_sets_of_an_object(name, source, terms):
    of = profile(name)
    (one,) = [claimed for claimed in objects(of) if claimed.source == source]
    assert repertoire(of, one.uid, attributes(of, *one.modules)) == terms


def test_sets_that_may_be_left_out():
    of = profile("meddream-videostation")
    (one,) = objects(of)
    terms = repertoire(of, one.uid, attributes(of, *one.modules))
    assert terms[:2] == ("", "ISO_IR 100")
    assert (len(terms), terms[-1]) == (30, "ISO_IR 192")
    assert repertoire(profile("philips-vereos"), "1.2") == ("ISO_IR 100", "")

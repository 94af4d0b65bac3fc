"""What a statement gets wrong: slips as findings, and rows against the tables of PS3.5 and PS3.6."""

import pytest

from workbench.devices import Entity, Profile, Slip, Table, lint
from workbench.devices.lint import violations
from workbench.entities import Severity

ROOT = "Root Query/Retrieve Information Model - FIND"
FIRST = "Table 1, row 1 (Patient ID)"


def holding(kind, columns, *rows, slips=(), **more):
    table = Table("t", kind, "Table 1", "Some", tuple(columns.split()), rows, **more)
    entity = Entity("e", "Some AE", "Table 2", ae_title="SOME")
    return Profile(
        "some", "Some", "Some", "System", "1", "A", "2016", "Does.", entities=(entity,), tables=(table,), slips=tuple(slips)
    )


@pytest.mark.parametrize(
    ("tag", "name", "vr", "said"),
    [
        ("(0010,0010)", "Patient's Name", "PN", ""),
        ("(0010,0010)", "Patient’s Name", "PN", ""),
        ("(0010,0010)", "Patient Name", "PN", ""),
        ("(7FE0,0010)", "Pixel Data", "OW", ""),
        ("(7FE0,0010)", "Pixel Data", "OB", ""),
        ("(0009,1001)", "Anything of our own", "LO", ""),
        ("(0018,1000)", "Device Serial Number", "LO", ""),
        ("(0008,1090)", "Device Serial Number", "LO", "(0008,1090) is 'Manufacturer's Model Name', not 'Device Serial Number'."),
        ("(0028,0004)", "Photometric Interpretation", "US", "(0028,0004) has the VR CS, not US."),
        ("(0010,9999)", "Something", "", "no attribute has the tag (0010,9999)."),
        ("(2050, 0020)", "Presentation LUT Shape", "CS", "'(2050, 0020)' is not a tag."),
        ("0010,0010", "Patient's Name", "PN", "'0010,0010' is not a tag."),
    ],
)
def test_attributes_are_those_of_the_dictionary(tag, name, vr, said):
    assert [f.message for f in violations(holding("module", "name tag vr", (name, tag, vr)))] == ([said] if said else [])


@pytest.mark.parametrize(
    ("name", "uid", "said"),
    [
        ("CT Image Storage", "1.2.840.10008.5.1.4.1.1.2", ""),
        ("CT Image", "1.2.840.10008.5.1.4.1.1.2", ""),
        (
            "MR Image Storage",
            "1.2.840.10008.5.1.4.1.1.2",
            "'1.2.840.10008.5.1.4.1.1.2' is 'CT Image Storage', not 'MR Image Storage'.",
        ),
        (
            f"Patient {ROOT}",
            "1.2.840.10008.5.1.4.1.2.2.1",
            f"'1.2.840.10008.5.1.4.1.2.2.1' is 'Study {ROOT}', not 'Patient {ROOT}'.",
        ),
        ("Something", "1.2.840.10008.5.1.4.99", "no SOP class or transfer syntax has the UID '1.2.840.10008.5.1.4.99'."),
    ],
)
def test_sop_classes_are_those_of_the_registry(name, uid, said):
    assert [f.message for f in violations(holding("sop_classes", "name uid", (name, uid)))] == ([said] if said else [])


@pytest.mark.parametrize("uid", ["1.2.840.10008..1", "1.2.840.10008.5.1.4.1.1.2.", "1.2.840.010008.1.1", "1.2." + "9" * 62, "CT"])
def test_what_is_no_uid_is_said_to_be_none(uid):
    found = violations(holding("sop_classes", "name uid", ("CT Image Storage", uid)))
    assert f"'{uid}' is not a UID." in [finding.message for finding in found]


@pytest.mark.parametrize(
    ("uid", "name", "right"),
    [
        ("1.2.840.10008.1.2.1", "Explicit VR Little Endian", True),
        ("1.2.840.10008.1.2.1", "Implicit VR Little Endian", False),
        ("1.2.840.10008.1.2.2", "Implicit VR Big Endian", False),
        ("1.2.840.10008.1.2.2", "Explicit VR Little Endian", False),
        ("1.2.840.10008.1.2.4.50", "JPEG Baseline (Process 1)", True),
        ("1.2.840.10008.1.2.4.50", "JPEG Baseline", True),
    ],
)
def test_names_of_transfer_syntaxes_stand_beside_their_uids(uid, name, right):
    row = ("Verification", "1.2.840.10008.1.1", (uid,), (name,))
    assert (not violations(holding("contexts", "name uid syntaxes syntax_names", row))) is right


def test_a_transfer_syntax_that_does_not_exist():
    found = violations(holding("contexts", "name uid syntaxes", ("Verification", "1.2.840.10008.1.1", ("1.2.840.10008.1.2.9",))))
    assert [finding.message for finding in found] == ["no transfer syntax has the UID 1.2.840.10008.1.2.9."]


@pytest.mark.parametrize(
    ("syntaxes", "count"),
    [
        (("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"), 0),
        (("1.2.840.10008.1.2.1",), 1),
        (("1.2.840.10008.1.2.4.50",), 0),  # who has nothing but lossy images need not offer it
    ],
)
def test_the_default_transfer_syntax_is_missed_where_another_uncompressed_one_is_proposed(syntaxes, count):
    row = ("Verification", "1.2.840.10008.1.1", syntaxes)
    found = [f for f in lint(holding("contexts", "name uid syntaxes", row, role="SCU", entity="e")) if f.section == "PS3.5 10.1"]
    assert len(found) == count


def test_the_default_transfer_syntax_may_stand_in_a_context_of_its_own():
    one, two = (("Verification", "1.2.840.10008.1.1", (uid,)) for uid in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"))
    assert not lint(holding("contexts", "name uid syntaxes", one, two, role="SCU", entity="e"))


@pytest.mark.parametrize(
    ("slip", "path", "message"),
    [
        (Slip("t", 1, "tag", "(0010,11)", "PS3.6 6"), FIRST, "tag is printed as '(0010,11)', '(0010,0020)' is meant."),
        (Slip("t", 1, "name", "ID", "", "repeated"), FIRST, "'Patient ID' is printed once more, as 'ID'."),
        (Slip("t", 1, "name", "", "", "missing"), FIRST, "'Patient ID' is not printed."),
        (Slip("t", 1, "name", "N", "", "joined"), FIRST, "the row of 'Patient ID' is printed within the one before it, as 'N'."),
        (Slip("t", 0, "source", "Table 8", ""), "Table 1", "source is printed as 'Table 8', 'Table 1' is meant."),
        (Slip("t", 0, "name", "Nmae", "", "heading"), "Table 1", "the heading of the column name is printed as 'Nmae'."),
        (Slip("entities.e", 0, "ae_title", "OTHER", ""), "Table 2, Some AE", "ae_title is printed as 'OTHER', 'SOME' is meant."),
    ],
)  # fmt: skip
def test_a_slip_is_told_with_its_rule(slip, path, message):
    (found,) = lint(holding("module", "name tag", ("Patient ID", "(0010,0020)"), slips=[slip]))
    assert (found.path, found.message, found.remedy) == (path, message, slip.rule)


@pytest.mark.parametrize(
    ("rule", "section"),
    [
        ("PS3.6 6: (0018,1000) is Device Serial Number", "PS3.6 6"),
        ("PS3.6 A: is CT Image Storage", "PS3.6 A"),
        ("PS3.3 C.12.1.1.2: no defined term", "PS3.3 C.12.1.1.2"),
        ("PS3.5 10.1: default", "PS3.5 10.1"),
        ("PS3.16 CID 4206: red", "PS3.16 CID 4206"),
        ("the number is used twice", ""),
    ],
)
def test_the_section_is_that_of_the_rule(rule, section):
    (found,) = lint(holding("module", "name tag", ("Patient ID", "(0010,0020)"), slips=[Slip("t", 1, "name", "ID", rule)]))
    assert found.section == section


def test_what_the_system_means_and_the_standard_does_not_know_is_a_warning():
    (found,) = lint(holding("module", "name tag", ("Patient ID", "(0010,0030)")))
    assert found.severity is Severity.WARNING


def test_only_what_keeps_systems_from_understanding_each_other_is_an_error_and_comes_first():
    slips = [
        Slip("t", 1, "name", "ID", "spelling"),
        Slip("t", 1, "tag", "(0010,0030)", "PS3.6 6"),
        Slip("t", 0, "tag", "Tga", "", "heading"),
    ]
    found = lint(holding("module", "name tag", ("Patient ID", "(0010,0020)"), slips=slips))
    assert [(f.severity, f.remedy) for f in found] == [
        (Severity.ERROR, "PS3.6 6"),
        (Severity.WARNING, "spelling"),
        (Severity.WARNING, ""),
    ]

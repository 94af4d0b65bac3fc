"""Tables as typed rows: roles, nesting, alternatives of values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import devices
from workbench.devices import Attribute, Profile, Table, attributes, contexts, keys, objects, profile, sop_classes
from workbench.errors import InputError

VERIFICATION = "1.2.840.10008.1.1"
TAGS = st.sampled_from(["(0040,0100)", "(0040,0008)", "(0008,0100)", "(0008,0060)", "(0010,0010)"])


def holding(*tables):
    return Profile("some", "Some", "Some", "System", "1", "A", "2016", "Does.", tables=tables)


def attribute(value="", origin="", path="(0008,0060)"):
    return Attribute("Module", path, "Name", "CS", "1", value, "ALWAYS", origin, "Table 1")


def test_a_class_counts_once_for_each_role_of_its_row():
    columns, rows = (
        ("name", "uid", "scu", "scp"),
        (("Verification", VERIFICATION, True, True), ("Verification", VERIFICATION, False, True)),
    )
    found = holding(Table("t", "sop_classes", "Table 1", "Some", columns, rows, entity="e"))
    assert [row.role for row in sop_classes(found)] == ["SCU", "SCP", "SCP"]
    assert len(sop_classes(found, role="SCP")) == 2
    with pytest.raises(InputError, match=r"no entity 'other'\. There are: 'e'"):
        sop_classes(found, entity="other")


def test_a_table_without_columns_of_roles_has_a_role_itself():
    found = holding(Table("t", "sop_classes", "Table 1", "Some", ("name", "uid"), (("Verification", VERIFICATION),), role="SCP"))
    assert [row.role for row in sop_classes(found)] == ["SCP"]


def test_a_row_may_have_a_role_other_than_its_table():
    rows = (("Verification", VERIFICATION, ("1.2.840.10008.1.2",), "SCP"), ("Verification", VERIFICATION, (), ""))
    found = holding(Table("t", "contexts", "Table 1", "Some", ("name", "uid", "syntaxes", "role"), rows, role="SCU"))
    assert [row.role for row in contexts(found)] == ["SCP", "SCU"]
    assert [row.syntaxes for row in contexts(found, role="SCU")] == [()]


def test_keys_of_one_query_only():
    rows = (("Modality", "(0008,0060)", "single", "broad"), ("Patient ID", "(0010,0020)", "wildcard", "patient"))
    table = Table("t", "keys", "Table 1", "Some", ("name", "tag", "matching", "query"), rows, entity="e", uid="1.2")
    assert [row.query for row in keys(holding(table))] == ["broad", "patient"]
    with pytest.raises(InputError, match=r"no SOP class '1\.3'\. There are: '1\.2'"):
        keys(holding(table), uid="1.3")


@given(st.lists(st.tuples(TAGS, st.integers(0, 3)), max_size=12))
def test_a_path_is_as_long_as_the_depth_and_lies_in_what_stands_above(found):
    rows, deepest = [], -1
    for tag, depth in found:
        deepest = min(depth, deepest + 1)
        rows.append(("Name", tag, deepest))
    table = Table("t", "module", "Table 1", "Some", ("name", "tag", "depth"), tuple(rows))
    paths = [row.path.split(".") for row in attributes(holding(table), "t")]
    assert [len(path) for path in paths] == [depth + 1 for _, _, depth in rows]
    assert [path[-1] for path in paths] == [tag for _, tag, _ in rows]
    for number, path in enumerate(paths):
        above = [other for other in paths[:number] if len(other) == len(path) - 1]
        assert len(path) == 1 or path[:-1] == above[-1]


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ("", ()),
        ("OP", ("OP",)),
        ("L | R", ("L", "R")),
        ("R\\F", ("R\\F",)),
        ("A | B\\C | D", ("A\\C", "A\\D", "B\\C", "B\\D")),
        ("A\\\\B\\ | C", ("A\\\\B\\", "A\\\\B\\C")),
    ],
)
def test_alternatives_of_a_value(value, values):
    assert attribute(value).values == values


def test_all_kinds_of_images_of_a_real_system_are_among_the_alternatives():
    (image_type,) = [row for row in attributes(profile("optos-v2-vantage"), "op-image") if row.path == "(0008,0008)"]
    assert image_type.values[0] == "ORIGINAL\\PRIMARY\\\\COLOR\\OPTOMAP\\P200\\PLUS\\\\\\"
    assert "DERIVED\\SECONDARY\\\\FA\\OPTOMAP FA\\DAYTONA\\RESMAX\\STEREO\\\\PROJECTED" in image_type.values
    assert {value.count("\\") for value in image_type.values} == {9}


def test_where_a_value_comes_from_and_where_it_stands():
    assert attribute(origin="MWL, USER").origins == ("MWL", "USER")
    assert attribute().origins == ()
    assert attribute(path="(0040,0275).(0040,0009)").tags == (0x00400275, 0x00400009)
    assert attribute(path="(60xx,0010)").tags == ()


@pytest.mark.parametrize(
    ("usage", "presence", "is_conditional", "is_optional"),
    [
        ("M", "", False, False),
        ("C", "", True, False),
        ("U", "", True, True),
        ("ALWAYS", "", False, False),
        ("CONDITIONAL", "", True, False),
        ("", "", False, False),
        ("U", "ALWAYS", False, False),
        ("M", "ANAP", True, False),
        ("", "COND", True, False),
        ("", "VNAP", False, False),
    ],
)
def test_which_modules_an_object_may_be_without(usage, presence, is_conditional, is_optional):
    columns = ("module", "usage", "presence", "table")
    rows = (("Patient", usage, presence, "patient"), ("Not described", "M", "", ""))
    (claimed,) = objects(holding(Table("iod", "iod", "Table 1", "Some", columns, rows)))
    assert claimed.modules == ("patient",)
    assert claimed.conditional == (("patient",) if is_conditional else ())
    assert claimed.optional == (("patient",) if is_optional else ())


def test_a_profile_may_be_given_by_its_name_and_roles_in_any_case():
    topcon = devices.profile("topcon-sp1p")
    assert list(devices.contexts("topcon-sp1p")) == list(devices.contexts(topcon)) != []
    assert list(devices.contexts(topcon, role="scu")) == list(devices.contexts(topcon, role="SCU")) != []
    assert len(devices.lint("topcon-sp1p")) == len(devices.lint(topcon)) > 0
    assert devices.overview("topcon-sp1p")["name"] == "topcon-sp1p"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda p: devices.contexts(p, role="client"), "no role 'CLIENT'. There are: 'SCU', 'SCP'"),
        (lambda p: devices.contexts(p, activity="zzz"), "no activity 'zzz'. There are: 'Verify Connectivity'"),
        (lambda p: devices.keys(p, entity="zzz"), "no entity 'zzz'. There are: 'verification', 'worklist'"),
        (lambda p: devices.keys(p, uid="9"), "no SOP class '9'. There are: '1.2.840.10008.5.1.4.31'"),
        (lambda _: devices.contexts("zzz"), "no device profile 'zzz'"),
        (lambda _: devices.lint(7), "or its name, not a int"),
    ],
)
def test_what_a_profile_does_not_have_is_refused_with_what_it_has(asked, said):
    with pytest.raises(InputError, match=said):
        asked(devices.profile("topcon-sp1p"))


def test_a_class_that_a_system_does_not_ask_has_no_keys():
    assert len(devices.keys("canon-vitrea-read", uid="1.2.840.10008.5.1.4.31")) == 0

"""The form of profiles: what all that come with the workbench obey, what a slip does to a table, what is refused."""

import html
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import devices
from workbench.devices import Profile, Slip, Table, catalog, claims, profile, profiles
from workbench.devices.lint import violations
from workbench.devices.reading import COLUMNS, load
from workbench.errors import InputError, ProfileInvalid, ProfileUnknown

NAMES = catalog.names()

HEAD = """
[profile]
name = "some"
title = "Some system"
maker = "Some"
product = "System"
version = "1"
statement = "A statement"
edition = "2016"
summary = "Does something."
[syntax_sets]
plain = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]
[[entities]]
id = "asker"
name = "Asker"
source = "Table 1"
policy = { attempts = 3 }
"""
TABLE = """
[[tables]]
id = "contexts"
kind = "contexts"
source = "Table 2"
title = "Proposed"
entity = "asker"
role = "SCU"
columns = ["name", "uid", "syntaxes"]
rows = [
  ["Verification", "1.2.840.10008.1.1", ["@plain", "1.2.840.10008.1.2.2"]],
]
"""
SLIP = """
[[slips]]
table = "contexts"
row = 1
column = "name"
printed = "Verifikation"
rule = "PS3.6 A: so it is"
"""


def test_there_are_five_systems():
    assert set(NAMES) == {"canon-vitrea-read", "meddream-videostation", "optos-v2-vantage", "philips-vereos", "topcon-sp1p"}
    assert set(profiles()) == set(NAMES)


def test_no_profile_is_read_before_it_is_asked_for():
    code = (
        "from workbench.devices import catalog, names; names();"
        "print(catalog._profile.cache_info().currsize);"
        "catalog.profile('topcon-sp1p'); print(catalog._profile.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1"]


def test_an_unknown_system_is_refused_and_the_near_one_named():
    with pytest.raises(ProfileUnknown, match=r"There is no device profile 'topcom-sp1'. Did you mean 'topcon-sp1p'\?"):
        profile("topcom-sp1")
    assert profile("topcon-sp1") is profile("topcon-sp1p"), "nothing else begins so"
    with pytest.raises(InputError, match=r"There are: canon-vitrea-read, "):
        profile("")


@pytest.mark.parametrize(("name", "kind"), [(5, "int"), (None, "NoneType"), (["topcon-sp1p"], "list")])
def test_a_name_that_is_no_text_is_refused(name, kind):
    with pytest.raises(InputError, match=f"named by a str such as 'optos-v2-vantage', not by {kind}"):
        profile(name)


def test_what_is_asked_for_and_not_there_is_named():
    topcon = profile("topcon-sp1p")
    with pytest.raises(
        ProfileInvalid, match=r"Profile 'topcon-sp1p' has no table 'keys'\. It has: character-sets, general-equipment, "
    ):
        topcon.table("keys")
    with pytest.raises(ProfileInvalid, match=r"has no entity 'printer'\. It has: verification, worklist, patient-query, storage"):
        topcon.entity("printer")


def test_sets_of_transfer_syntaxes_are_spelt_out():
    found = load(HEAD + TABLE)
    (context,) = claims.contexts(found)
    assert context.syntaxes == ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
    assert found.entity("asker").policy.attempts == 3


def test_a_policy_of_one_kind_of_activity_says_what_is_otherwise_in_it():
    text = HEAD.replace("policy = {", "policies.store = { attempts = 5, converts = false }\npolicy = { limit = 9,")
    asker = load(text + TABLE).entity("asker")
    assert (asker.policy_of("store").attempts, asker.policy_of("store").limit, asker.policy_of("store").converts) == (5, 9, False)
    assert asker.policy_of("query") == asker.policy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[profile", "This profile is not TOML"),
        (HEAD.replace('maker = "Some"', ""), "Profile 'some' has a field that no profile has, or lacks one: .*'maker'"),
        (
            HEAD.replace("policy = {", "policies.dream = {"),
            "Entity 'asker' of profile 'some' has a policy for 'dream', which is none of verify, worklist",
        ),
        (
            HEAD
            + '[[activities]]\nname = "Look"\ndoes = "verify"\nentity = "asker"\nsource = "Table 4"\npeers = ["ris", "friend"]',
            "Table 4 of profile 'some' is done with friend; there are archive, ris, printer",
        ),
        (HEAD.replace("policy", "manners"), "Profile 'some' has a field that no profile has, or lacks one: .*'manners'"),
        (HEAD + TABLE.replace('kind = "contexts"', 'kind = "context"'), "'contexts' of profile 'some' is of kind 'context'. Kinds"),
        (HEAD + TABLE.replace('kind = "contexts"\n', ""), "A table or a slip of profile 'some' lacks 'kind'"),
        (
            HEAD + TABLE.replace('"syntaxes"]', '"syntax"]'),
            "needs the columns name, uid, syntaxes and may have .*: not name, uid, syntax",
        ),
        (HEAD + TABLE.replace('["Verification", ', "["), "'contexts' of profile 'some' has 2 cells in row 1, but 3 columns"),
        (HEAD + TABLE.replace("@plain", "@fancy"), "names the set '@fancy', which the profile does not have"),
        (HEAD + TABLE.replace('"@plain"', "5"), "has a list with 5 in it; lists are of text"),
        (HEAD + TABLE.replace('"asker"', '"teller"'), "Table 2 names the entity 'teller', which is not there"),
        (
            HEAD + '[[tables]]\nid = "m"\nkind = "module"\nsource = "Table 3"\ntitle = "M"\ncolumns = ["name", "tag", "presence"]\n'
            'rows = [["Modality", "(0008,0060)", "ALLWAYS"]]',
            "Table 'm' of profile 'some' says ALLWAYS as presence; there are ALWAYS, ANAP",
        ),
        (HEAD + TABLE.replace('"SCU"', '"USER"'), "has the role 'USER', which is none of SCU, SCP"),
        (HEAD + TABLE + TABLE, "more than one table with the id contexts"),
        (HEAD + TABLE + SLIP.replace('"contexts"', '"context"'), "has no table 'context'"),
        (HEAD + TABLE + SLIP.replace("row = 1", "row = 2"), "in table 'contexts', row 2: the table has 1 rows"),
        (HEAD + TABLE + SLIP.replace("row = 1", "row = -1"), "in table 'contexts', row -1: the table has 1 rows"),
        (HEAD + TABLE + SLIP.replace('"name"', '"names"'), "names the column 'names'; there are name, uid, syntaxes"),
        (HEAD + TABLE + SLIP.replace("row = 1", "row = 0"), "names the column 'name'; there are source, title, entity"),
        (HEAD + TABLE + SLIP.replace("Verifikation", "Verification"), "row 1 prints what is meant: name"),
        (HEAD + TABLE + SLIP + 'form = "lost"', "is of the form 'lost'; forms are value, joined"),
        (HEAD + TABLE + SLIP.replace("row = 1", "row = 0") + 'form = "missing"', "only a row can be missing"),
        (HEAD + TABLE + SLIP + 'form = "heading"', "a heading is of the table, row 0"),
        (HEAD + SLIP.replace('"contexts"', '"entities.asker"').replace('"name"', '"names"'), "'names', which entities do not have"),
        (HEAD + SLIP.replace('"contexts"', '"entities.teller"'), "has no entity 'teller'. It has: asker"),
        (HEAD + SLIP.replace('printed = "Verifikation"\n', ""), "A table or a slip of profile 'some' lacks 'printed'"),
        (
            HEAD + '[[activities]]\nname = "a"\ndoes = "dance"\nentity = "asker"\nsource = "Table 3"',
            "Table 3 of profile 'some' does 'dance', which is none of verify, worklist",
        ),
    ],
)
def test_what_is_not_of_the_form_is_refused(text, message):
    with pytest.raises(ProfileInvalid, match=message):
        load(text)


def some(rows, slips):
    table = Table("t", "rows", "Table 1", "Some", ("a", "b"), rows)
    return Profile("some", "Some", "Some", "System", "1", "A", "2016", "Does.", tables=(table,), slips=slips)


@pytest.mark.parametrize(
    ("form", "printed"),
    [
        ("value", (("1", "x"), ("2", "PRINTED"), ("3", "z"))),
        ("joined", (("1", "x"), ("3", "z"))),
        ("missing", (("1", "x"), ("3", "z"))),
        ("repeated", (("1", "x"), ("2", "y"), ("2", "PRINTED"), ("3", "z"))),
    ],
)
def test_what_a_slip_of_each_form_does_to_the_rows(form, printed):
    meant = some((("1", "x"), ("2", "y"), ("3", "z")), (Slip("t", 2, "b", "PRINTED", "rule", form),))
    assert meant.as_printed().table("t").rows == printed
    assert meant.table("t").rows[1] == ("2", "y")


def test_slips_of_a_whole_table():
    slips = (Slip("t", 0, "source", "Table 7", ""), Slip("t", 0, "a", "Ay", "", "heading"), Slip("t", 0, "b", "-", "", "column"))
    printed = some((("1", "x"), ("2", "y")), slips).as_printed().table("t")
    assert (printed.source, printed.columns) == ("Table 7", ("a", "b"))
    assert printed.rows == (("1", "-"), ("2", "-"))


@given(st.lists(st.sampled_from(["", "value", "joined", "missing", "repeated"]), max_size=12))
def test_printed_rows_are_those_meant_less_the_joined_and_missing_more_the_repeated(forms):
    slips = tuple(Slip("t", number, "b", "PRINTED", "", form) for number, form in enumerate(forms, 1) if form)
    rows = tuple((str(number), "meant") for number in range(1, len(forms) + 1))
    printed = some(rows, slips).as_printed()
    lost, more = forms.count("joined") + forms.count("missing"), forms.count("repeated")
    assert len(printed.table("t").rows) == len(rows) - lost + more
    assert [row for row in printed.table("t").rows if row[1] == "meant"] == [
        row for row, form in zip(rows, forms, strict=True) if form in {"", "repeated"}
    ]
    assert printed.as_printed() is printed


# ------------------------------------------------------------ what every profile obeys
def meant_rows(found, table):
    """Yield, for each printed row of a table, the number of the row that is meant by it."""
    for number in range(1, len(table.rows) + 1):
        forms = [slip.form for slip in found.slips if (slip.table, slip.row) == (table.id, number)]
        if not {"joined", "missing"} & set(forms):
            yield number
        yield from [number] * forms.count("repeated")


def said(found, table):
    """Yield the number of each row of a table that breaks the standard's tables, and how."""
    for finding in violations(replace(found, tables=(table,), slips=())):
        yield int(re.search(r", row (\d+) \(", finding.path)[1]), finding.message


@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_against_the_standard_is_explained_by_a_slip(name):
    found, printed = profile(name), profile(name).as_printed()
    unexplained = []
    for table in found.tables:
        meant = set(said(found, table))
        rows = list(meant_rows(found, table))
        slips = {slip.row for slip in found.slips if slip.table == table.id}
        for number, message in said(printed, printed.table(table.id)):
            row = rows[number - 1]
            if (row, message) not in meant and not {row, row + 1, 0} & slips:  # a row joined to this one is the next
                unexplained.append((table.id, row, message))
    assert unexplained == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_meant_against_the_standard_is_defended_in_a_note(name):
    found = profile(name)
    bare = [
        (table.id, number, message)
        for table in found.tables
        for number, message in said(found, table)
        if not table.records()[number - 1].get("note")
    ]
    assert bare == []


@pytest.mark.parametrize("name", NAMES)
def test_every_slip_shows_and_names_its_rule(name):
    found = profile(name)
    for slip in found.slips:
        alone = replace(found, slips=(slip,)).as_printed()
        if slip.form != "heading":
            assert (alone.tables, alone.entities) != (found.tables, found.entities), slip
        assert len(slip.rule) > 10, slip
    keys = [(slip.table, slip.row, slip.column, slip.form) for slip in found.slips]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", NAMES)
def test_every_claim_cites_its_place(name):
    found = profile(name)
    assert found.name == name
    cited = [part.source for part in (*found.tables, *found.entities, *found.activities)]
    assert all(
        re.search(r"\b([Tt]ables?|[Ss]ections?|[Cc]hapters?|[Cc]over|[Tt]itle|[Ff]igure|[Aa]nnex) ?", source) for source in cited
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_on_the_wire_belongs_to_an_entity_and_an_activity(name):
    found = profile(name)
    activities = {activity.name for activity in found.activities}
    for kind in ("contexts", "keys"):
        for table in found.of_kind(kind):
            assert table.entity, table.id
            assert table.activity in activities | {""}, table.id
    assert {context.role for context in claims.contexts(found)} <= {"SCU", "SCP", "FSC", "FSR", "FSU", "SCU/SCP"}


@pytest.mark.parametrize("name", NAMES)
def test_typed_rows_are_as_many_as_those_of_the_tables(name):
    found = profile(name)
    for kind, typed in (
        ("contexts", claims.contexts), ("keys", claims.keys), ("statuses", claims.statuses), ("parameters", claims.parameters),
    ):  # fmt: skip
        assert len(typed(found)) == sum(len(table.rows) for table in found.of_kind(kind))
    assert len(claims.objects(found)) == len(found.of_kind("iod"))
    for created in claims.objects(found):
        assert len(claims.attributes(found, *created.modules)) == sum(len(found.table(t).rows) for t in created.modules)


@pytest.mark.parametrize("name", NAMES)
def test_depth_never_leaps(name):
    found = profile(name)
    for kind in ("keys", "message", "module"):
        for table in found.of_kind(kind):
            depths = [int(row.get("depth", 0)) for row in table.records()]
            leaps = [n for n, (one, two) in enumerate(zip([-1, *depths], depths, strict=False), 1) if two > one + 1]
            assert leaps == [], (table.id, leaps)


def test_kinds_of_tables_are_documented_columns():
    assert all(set(needed.split()).isdisjoint(optional.split()) for needed, optional in COLUMNS.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_is_shown_without_live_markup(name):
    shown = profile(name)._repr_html_()
    assert profile(name).title in shown
    hostile = some((("<script>alert(1)</script>", "x"),), ())
    assert "<script>" not in hostile.table("t")._repr_html_()


@pytest.mark.parametrize("name", NAMES)
def test_its_page_holds_what_the_command_line_shows_and_nothing_is_cut(name):
    found = profile(name)
    shown = html.unescape(found._repr_html_())
    assert all(entity.id in shown for entity in found.entities)
    assert [shown.index(f">{a.name}<") for a in found.activities] == sorted(shown.index(f">{a.name}<") for a in found.activities)
    assert all(table.id in shown for table in found.tables)
    assert all(table.title in shown for table in found.of_kind("iod"))
    assert all(row.uid in shown for row in claims.sop_classes(found))
    counts = [len(claims.sop_classes(found, role=role)) for role in ("SCU", "SCP")]
    assert f"SOP classes: {counts[0]} as SCU, {counts[1]} as SCP" in shown
    assert all(slip.rule in shown for slip in found.slips)
    assert shown.count("<summary") == shown.count("</details>") > 6
    assert "more</p>" not in shown
    assert devices.overview(found)._repr_html_() == found._repr_html_()


@pytest.mark.parametrize("name", NAMES)
def test_its_slips_are_read_with_what_is_meant(name):
    found = profile(name)
    page, as_printed = html.unescape(found._repr_html_()), html.unescape(found.as_printed()._repr_html_())
    assert "A slip is where the document prints something else than it means" in page
    assert "<th style='text-align:left'>meant</th>" in page
    assert "<th style='text-align:left'>meant</th>" not in as_printed
    assert "Everything as printed, slips included." in as_printed
    slip = next(s for s in found.slips if s.form == "value" and s.row)
    meant = found.table(slip.table).records()[slip.row - 1][slip.column]
    assert found.place(slip)[1] == meant != slip.printed


@pytest.mark.parametrize("name", NAMES)
def test_it_names_itself_in_one_line(name):
    found = profile(name)
    assert len(repr(found)) < 200
    assert "\n" not in repr(found)
    assert f"{len(found.tables)} tables, {len(found.slips)} slips" in repr(found)
    assert repr(found.as_printed()).count("as printed") == 1


@pytest.mark.parametrize("name", NAMES)
def test_its_parts_are_tables_as_well(name):
    found = profile(name)
    for part in (found.entities, found.activities, found.tables, found.slips):
        assert isinstance(part, tuple)
        assert len(part.table()) == len(part)
    assert found.activities.table().name.tolist() == [a.name for a in found.activities]
    assert found.tables.table().rows.tolist() == [len(t.rows) for t in found.tables]
    keys = found.tables[0]
    assert list(keys.table().columns) == list(keys.columns)
    assert len(keys.table()) == len(keys.rows)


def test_lists_are_shown_as_text():
    (line,) = load(HEAD + TABLE).table("contexts").lines()
    assert line["syntaxes"] == "1.2.840.10008.1.2; 1.2.840.10008.1.2.1; 1.2.840.10008.1.2.2"
    assert line["name"] == "Verification"


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_matching_stand_in_one_order(name):
    order = ["universal", "single", "wildcard", "range", "list", "sequence"]
    said = {key.matching for key in claims.keys(profile(name))}
    assert {" ".join(sorted(matching.split(), key=order.index)) for matching in said} == said

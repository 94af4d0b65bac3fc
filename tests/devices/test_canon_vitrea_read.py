"""Vitrea Read: what its profile holds against what its statement prints.

Counts are those of the document (2022.03.036, version 2.3), taken from its pages table by table: a row is a line of the
printed table below its heading.
"""

import re

import pytest

from workbench.devices import Slip, lint, profile
from workbench.devices.claims import attributes, contexts, objects, parameters, sop_classes
from workbench.devices.lint import violations
from workbench.devices.reading import load
from workbench.entities import Severity
from workbench.errors import ProfileInvalid

PRINTED = {
    "query-retrieve-sop-classes": 2,  # Table 2, which the text calls 4
    "query-contexts": 1,  # 9
    "retrieve-contexts": 1,  # 10
    "storage-scu-sop-classes": 49,  # 11
    "storage-scu-contexts": 49,  # 16
    "storage-scp-sop-classes": 49,  # 17
    "storage-scp-contexts": 49,  # 22
    "print-sop-classes": 3,  # 23
    "print-contexts": 3,  # 28
    "local-ae-titles": 4,  # 29
    "parameters": 13,  # 30
    "file-meta-information": 2,  # 31
    "media-fsr-profiles": 4,  # 32
    "media-display-directory": 54,  # 33: three SOP classes stand there twice
    "media-read": 51,  # 34: two stand there twice
    "media-fsc-profiles": 2,  # 35
    "character-sets": 11,  # 37; there is no Table 36
    "ko-iod": 8,  # 38
    "gsps-iod": 16,  # 39
    "patient": 10,
    "general-study": 7,
    "general-series": 6,
    "general-equipment": 2,
    "ko-series": 3,
    "ko-document": 10,
    "ko-content": 6,
    "ko-sop-common": 3,
    "gsps-series": 1,
    "gsps-identification": 6,
    "gsps-relationship": 6,
    "gsps-displayed-area": 11,
    "gsps-graphic-annotation": 22,
    "gsps-spatial-transformation": 2,
    "gsps-graphic-layer": 3,
    "gsps-modality-lut": 7,
    "gsps-softcopy-voi-lut": 8,
    "gsps-presentation-lut": 1,
    "gsps-sop-common": 3,
    "ko-titles": 14,  # the codes and meanings in Table 46
}
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


@pytest.fixture(scope="module")
def vitrea():
    return profile("canon-vitrea-read")


@pytest.mark.parametrize(("table", "count"), PRINTED.items())
def test_every_table_has_as_many_rows_as_printed(vitrea, table, count):
    assert len(vitrea.as_printed().table(table).rows) == count


def test_49_classes_are_sent_and_49_received(vitrea):
    sent, received = (
        {row.uid for row in sop_classes(vitrea, entity=entity)} for entity in ("storage-scu", "storage-scp")
    )  # as meant, no class stands twice
    assert len(sent) == len(received) == 49
    assert sent == received
    assert "1.3.6.1.4.1.16978.3.1" in sent


def test_contexts_hold_the_classes_of_the_tables_of_classes(vitrea):
    for entity in ("query-retrieve-scu", "storage-scu", "storage-scp", "print-management-scu"):
        assert {row.uid for row in contexts(vitrea, entity=entity)} == {row.uid for row in sop_classes(vitrea, entity=entity)}


def test_images_are_accepted_in_twelve_syntaxes_and_documents_in_three(vitrea):
    accepted = contexts(vitrea, entity="storage-scp", role="SCP")
    assert sorted({len(row.syntaxes) for row in accepted}) == [3, 12]
    plain = {row.uid for row in accepted if len(row.syntaxes) == 3}
    assert len(plain) == 12  # four presentation states, fiducials, five documents, PDF, the private state
    assert all(row.syntaxes[:3] == (IMPLICIT, EXPLICIT, BIG_ENDIAN) for row in accepted)
    assert {row.syntaxes for row in contexts(vitrea, role="SCU")} == {(IMPLICIT, EXPLICIT, BIG_ENDIAN)}


def test_query_and_retrieve_are_of_the_study_root_and_relational(vitrea):
    assert [(row.uid, row.extended) for row in contexts(vitrea, entity="query-retrieve-scu")] == [
        ("1.2.840.10008.5.1.4.1.2.2.1", "Relational-queries"),
        ("1.2.840.10008.5.1.4.1.2.2.2", "Relational-retrieval"),
    ]


def test_addresses_and_limits(vitrea):
    assert [entity.ae_title for entity in vitrea.entities] == ["ID_QR_SCU", "ID_STORE_SCU", None, "ID_PM_SCU", None, None]
    provider = vitrea.entity("storage-scp")
    assert (provider.port, provider.accepts, provider.initiates, provider.max_accepted) == (7000, True, False, 1)
    assert (provider.policy.checks_called, provider.policy.checks_calling) == (True, False)
    assert {entity.max_pdu_bytes for entity in vitrea.entities if entity.initiates or entity.accepts} == {32768}
    assert {entity.implementation_version_name for entity in vitrea.entities} == {"EV-3.5.4-31"}
    found = {row.parameter: (row.default, row.unit, row.configurable) for row in parameters(vitrea) if not row.entity}
    assert found["time-out of a TCP/IP connection"] == ("180", "s", True)
    assert found["maximum PDU size sent"] == ("32", "KiB", False)


def test_activities_stand_in_the_order_of_the_statement(vitrea):
    assert [activity.does for activity in vitrea.activities] == [
        "query", "retrieve", "acquire", "store", "receive", "print", "media", "media", "media",
    ]  # fmt: skip


def test_created_objects_name_the_tables_of_their_modules(vitrea):
    by_uid = {row.uid: row for row in objects(vitrea)}
    assert set(by_uid) == {"1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.5.1.4.1.1.11.1"}
    for made in by_uid.values():
        rows = attributes(vitrea, *made.modules)
        assert next(row.value for row in rows if row.path == "(0008,0016)") == made.uid
        assert {row.presence for row in rows} <= {"ALWAYS", "ANAP", "EMPTY"}
        assert all(row.vr for row in rows)
    states = attributes(vitrea, *by_uid["1.2.840.10008.5.1.4.1.1.11.1"].modules)
    assert next(row.value for row in states if row.name == "Presentation LUT Shape") == "IDENTITY | INVERSE"
    assert "(0070,0001).(0070,0008).(0070,0006)" in {row.path for row in states}


def test_evidence_is_nested_by_study_series_and_instance(vitrea):
    paths = [row.path for row in attributes(vitrea, "ko-document")]
    assert "(0040,A375).(0008,1115).(0008,1199).(0008,1155)" in paths
    assert "(0040, A375).(0008, 1199).(0008, 1155)" in [row.path for row in attributes(vitrea.as_printed(), "ko-document")]


def test_media_are_written_in_explicit_little_endian_though_three_syntaxes_are_printed(vitrea):
    meant, printed = (contexts(view, entity="media-fsc") for view in (vitrea, vitrea.as_printed()))
    assert {row.syntaxes for row in meant} == {(EXPLICIT,)}
    assert {row.syntaxes for row in printed} == {(IMPLICIT, EXPLICIT, BIG_ENDIAN)}
    assert [row.uid for row in meant] == [row.uid for row in contexts(vitrea, activity="Read Media")]


def test_rows_as_meant_agree_with_the_standard(vitrea):
    assert list(violations(vitrea)) == []


def test_each_finding_about_the_print_is_explained_by_a_slip(vitrea):
    found = [f for f in violations(vitrea.as_printed()) if "' is not a tag" not in f.message]
    assert len(found) == 11
    assert len(violations(vitrea.as_printed())) == 11 + 116  # and tags with a space
    for finding in found:
        slips = [slip for slip in vitrea.slips if finding.path.startswith(f"{vitrea.table(slip.table).source}, ")]
        assert any(str(slip.printed) in f"{finding.path} {finding.message}" for slip in slips if slip.printed), finding.path


@pytest.mark.parametrize(
    ("table", "row", "column", "printed"),
    [
        ("query-retrieve-sop-classes", 0, "source", "Table 2"),
        ("query-contexts", 1, "extended", "Relational-retrieval"),
        ("storage-scu-sop-classes", 8, "uid", "1.2.840.10008.5.1.4.1.1.1.3.1.1"),
        ("storage-scu-contexts", 5, "uid", "1.2.840.10008.5.1.4.1.1.2.1"),
        ("storage-scp-sop-classes", 28, "name", "Enhanced X-Ray Radioflourosopic Image Storage"),
        ("storage-scp-contexts", 3, "uid", "1.2.840.10008.5.1.4.1.1.1.1"),
        ("storage-scp-contexts", 18, "role", ""),
        ("media-read", 43, "uid", '1.2.840.10008.5.1.4.1.1.77.1.2.1"'),
        ("media-read", 17, "name", "Grayscale Softcopy Presentation State"),
        ("character-sets", 2, "term", "ISO_IR 6"),
        ("gsps-iod", 5, "module", "Key Object Document Series"),
        ("ko-document", 10, "vr", "UID"),
        ("parameters", 8, "default", "None"),
    ],
)
def test_slips_that_are_known(vitrea, table, row, column, printed):
    assert printed in [s.printed for s in vitrea.slips if (s.table, s.row, s.column) == (table, row, column)]


def test_lint_says_each_slip_once_with_its_rule(vitrea):
    found = lint(vitrea)
    assert len(found) == len(vitrea.slips) == len(set(vitrea.slips)) == 93 + 18 + 5
    assert all(finding.section and finding.remedy.startswith(finding.section) for finding in found)
    assert any("in every row" in finding.message and finding.section == "PS3.11 D.3.1" for finding in found)


def test_tags_are_printed_with_a_space_but_for_one(vitrea):
    """Tables 40 to 58, of 19 modules: (0008,1160) of Table 50 alone is printed as tags are written."""
    printed = [row["tag"] for t in vitrea.as_printed().of_kind("module") for row in t.records()]
    assert {tag for tag in printed if not re.fullmatch(r"\([0-9A-F]{4}, [0-9A-F]{4}\)", tag)} == {"(0008,1160)"}
    assert (len(printed), printed.count("(0008,1160)")) == (117, 1)
    assert not [row["tag"] for t in vitrea.of_kind("module") for row in t.records() if " " in row["tag"]]
    said = [f for f in lint(vitrea) if "(gggg, eeee)" in f.message]
    assert {f.path for f in said} == {f"Table {n}" for n in range(40, 59)} - {"Table 50"}
    assert {(f.severity, f.section, f.message) for f in said} == {
        (Severity.WARNING, "PS3.5 7.1", "tag is printed as '(gggg, eeee)' in every row."),
    }  # fmt: skip


def test_a_slip_of_a_whole_column_is_of_the_table():
    form = """
    [profile]
    name = "some"
    title = "Some"
    maker = "Some"
    product = "Some"
    version = "1"
    statement = "A statement"
    edition = "2016"
    summary = "Does something."
    [[tables]]
    id = "first"
    kind = "rows"
    source = "Table 1"
    title = "First"
    columns = ["a", "b"]
    rows = [["1", "2"], ["3", "4"]]
    [[slips]]
    table = "first"
    row = {row}
    column = "{column}"
    printed = "5"
    rule = "PS3.6 6: so it is"
    form = "column"
    """
    whole = load(form.format(row=0, column="b"))
    assert whole.slips == (Slip("first", 0, "b", "5", "PS3.6 6: so it is", "column"),)
    assert whole.as_printed().table("first").rows == (("1", "5"), ("3", "5"))
    both = (
        form.replace('table = "first"\n    row', 'tables = ["first"]\n    row')
        + """
    [[slips]]
    table = "first"
    row = 2
    column = "b"
    printed = "6"
    rule = "PS3.6 6: so it is"
    """
    )
    again = load(both.format(row=0, column="b"))
    assert again.slips[0] == whole.slips[0]
    assert again.as_printed().table("first").rows == (("1", "5"), ("3", "6"))
    with pytest.raises(ProfileInvalid, match="a column is of the table, row 0"):
        load(form.format(row=1, column="b"))
    with pytest.raises(ProfileInvalid, match="names the column 'c'; there are a, b"):
        load(form.format(row=0, column="c"))

"""The specular microscope of Topcon, against its statement; counts of rows are those of the document as printed."""

import pytest

from workbench.devices import lint, profile
from workbench.devices.claims import attributes, contexts, keys, objects, parameters, sop_classes
from workbench.devices.lint import violations

VERIFICATION, WORKLIST, SECONDARY_CAPTURE = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.31", "1.2.840.10008.5.1.4.1.1.7"
PATIENT_ROOT, STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"

#: Rows as printed, counted in the document.
PRINTED = {
    "network-services": 4, "verification-sop-classes": 1, "verification-associations": 1, "verification-contexts": 1,
    "worklist-sop-classes": 1, "worklist-contexts": 1, "worklist-keys": 30, "patient-query-sop-classes": 1,
    "patient-query-contexts": 1, "patient-query-keys": 5, "storage-sop-classes": 1, "storage-contexts": 1,
    "own-parameters": 3, "worklist-parameters": 3, "storage-parameters": 5, "patient-query-parameters": 3,
    "character-sets": 1, "secondary-capture": 9, "patient": 4, "general-study": 14, "general-series": 18,
    "general-equipment": 4, "general-image": 11, "image-pixel": 10, "sop-common": 5, "sc-equipment": 1, "sc-image": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def topcon():
    return profile("topcon-sp1p")


def test_rows_are_as_many_as_printed(topcon):
    assert {table.id: len(table.rows) for table in topcon.as_printed().tables} == PRINTED


def test_four_entities_share_a_title_and_differ_in_implementation(topcon):
    assert {entity.ae_title for entity in topcon.entities} == {"TP_AM_SP1P_001"}
    assert {entity.port for entity in topcon.entities} == {64001}
    assert {entity.id: entity.implementation_class_uid for entity in topcon.entities} == {
        "verification": "1.2.392.200106.1641.1.5",
        "worklist": "1.2.392.200106.1641.1.1",
        "patient-query": "1.2.392.200106.1641.1.6",
        "storage": "1.2.392.200106.1641.1.2",
    }
    assert {entity.implementation_version_name for entity in topcon.entities} == {"TOPCON_SP1P_360"}
    assert not any(entity.accepts for entity in topcon.entities)


def test_activities_are_in_the_order_of_the_statement(topcon):
    assert [activity.does for activity in topcon.activities] == ["verify", "worklist", "query", "acquire", "store"]


def test_it_asks_as_user_only(topcon):
    assert [row.uid for row in sop_classes(topcon, role="SCU")] == [VERIFICATION, WORKLIST, PATIENT_ROOT, SECONDARY_CAPTURE]
    assert not sop_classes(topcon, role="SCP")


def test_images_go_in_three_transfer_syntaxes(topcon):
    (context,) = contexts(topcon, entity="storage")
    assert context.syntaxes == ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50")
    assert {row.syntaxes for row in contexts(topcon) if row.entity != "storage"} == {context.syntaxes[:2]}


def test_patient_root_is_meant_where_study_root_is_printed(topcon):
    for view, uid in ((topcon, PATIENT_ROOT), (topcon.as_printed(), STUDY_ROOT)):
        assert [row.uid for row in sop_classes(view, entity="patient-query")] == [uid]
        assert [row.uid for row in contexts(view, entity="patient-query")] == [uid]
    assert {row.level for row in keys(topcon, entity="patient-query")} == {"PATIENT"}


def test_worklist_keys_are_nested_as_meant(topcon):
    paths = {row.path: row for row in keys(topcon, activity="Query Modality Worklist")}
    assert paths["(0040,0100).(0008,0060)"].matching == "universal single"
    assert "(0040,0100).(0040,0008).(0008,0104)" in paths
    assert "(0032,1064).(0008,0104)" in paths
    assert {row.path for row in paths.values() if "wildcard" in row.matching} == {"(0010,0010)", "(0010,0020)"}


def test_configuration(topcon):
    defaults = {(row.entity, row.parameter): row.default for row in parameters(topcon)}
    assert defaults["", "port number"] == "64001"
    assert defaults["storage", "modality"] == "SC"
    assert defaults["storage", "transfer syntax"] == "1.2.840.10008.1.2"
    assert len(defaults) == 14


def test_secondary_captures_are_created(topcon):
    (created,) = objects(topcon)
    assert created.uid == SECONDARY_CAPTURE
    rows = {row.path: row for row in attributes(topcon, *created.modules)}
    assert rows["(0008,0064)"].value == "DF"
    assert rows["(0020,0020)"].value == "L\\F"
    assert rows["(0018,1000)"].name == "Device Serial Number"
    assert rows["(0040,0275).(0040,0008).(0008,0100)"].origin == "MWL"


@pytest.mark.parametrize(
    "said",
    [
        "tag is printed as '(0008,1090)', '(0018,1000)' is meant.",
        f"uid is printed as '{STUDY_ROOT}', '{PATIENT_ROOT}' is meant.",
        "value is printed as 'L¥F', 'L\\F' is meant.",
        "term is printed as 'ISO_IR 6', '' is meant.",
        "name is printed as 'Coding Meaning', 'Code Meaning' is meant.",
        "the heading of the column scp is printed as 'Provider of Service (CP)'.",
        "value is printed as 'VL | SC', 'SC | OP | XC | OT' is meant.",
    ],
)
def test_slips_are_told(topcon, said):
    assert said in {finding.message for finding in lint(topcon)}


def test_what_is_meant_breaks_no_table_of_the_standard(topcon):
    assert not violations(topcon)
    assert {finding.section for finding in violations(topcon.as_printed())} == {"PS3.6 6", "PS3.6 A"}

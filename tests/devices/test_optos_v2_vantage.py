"""The scanning laser ophthalmoscope of Optos, against its statement; counts of rows are those of the document as printed."""

import pytest

from workbench.devices import lint, profile
from workbench.devices.claims import attributes, contexts, keys, objects, parameters, sop_classes, statuses
from workbench.devices.lint import violations

OPHTHALMIC, TRUE_COLOR = "1.2.840.10008.5.1.4.1.1.77.1.5.1", "1.2.840.10008.5.1.4.1.1.7.4"
IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"

#: Rows as printed, by the number of the table, counted in the document; eleven tables are printed as Table 8, two as Table 40.
PRINTED = {
    1: [4], 2: [1], 4: [2, 2], 7: [1], 8: [1, 2, 1, 13, 6, 2, 1, 2, 3, 4, 5], 9: [2], 10: [1], 11: [7], 12: [1], 13: [7],
    14: [4], 15: [17], 16: [9], 17: [5], 18: [7], 19: [6], 20: [1], 21: [3], 22: [6], 23: [14], 24: [3], 25: [16], 26: [1],
    27: [2], 28: [19], 29: [5], 30: [9], 31: [14], 32: [4], 33: [4], 34: [4], 35: [6], 36: [4], 37: [1], 38: [2], 39: [13],
    40: [1, 3], 41: [1], 42: [3],
}  # fmt: skip


@pytest.fixture(scope="module")
def optos():
    return profile("optos-v2-vantage")


def test_rows_are_as_many_as_printed(optos):
    found = {}
    for table in optos.as_printed().tables:
        if table.source.startswith("Table "):
            found.setdefault(int(table.source.removeprefix("Table ")), []).append(len(table.rows))
    assert found == PRINTED
    assert {t.id for t in optos.as_printed().tables if not t.source.startswith("Table ")} == {"character-sets"}


def test_the_worklist_has_a_title_of_its_own(optos):
    assert {entity.id: entity.ae_title for entity in optos.entities} == {"worklist": "OPTOS-WRKQRY", "storage": "OPTOS-EXPORT"}
    assert {entity.implementation_class_uid for entity in optos.entities} == {"1.2.276.0.7230010.3.0.3.6.0"}
    assert {entity.implementation_version_name for entity in optos.entities} == {"OFFIS_DCMTK_360"}
    assert len(sop_classes(optos, entity="storage", role="SCU")) == 2
    assert len(sop_classes(optos.as_printed(), entity="storage", role="SCU")) == 4


def test_policies(optos):
    worklist, storage = optos.entity("worklist").policy, optos.entity("storage").policy
    assert (worklist.limit, worklist.attempts, worklist.connect_s, worklist.wildcards) == (100, 3, 10, "both")
    assert worklist.unsupported_character_set == "discard"
    assert (storage.attempts, storage.network_s, storage.associations_per) == (3, 5, "instance")
    assert storage.warning_is == "failure"
    assert {row.code: row.action for row in statuses(optos)} == {"0000": "success", "*": "abort"}


def test_activities_are_in_the_order_of_the_statement(optos):
    assert [activity.does for activity in optos.activities] == ["verify", "worklist", "acquire", "store"]


def test_contexts_by_uid(optos):
    assert {row.syntaxes for row in contexts(optos, entity="worklist")} == {(EXPLICIT, IMPLICIT, BIG_ENDIAN)}
    assert {row.uid: row.syntaxes for row in contexts(optos, entity="storage")} == dict.fromkeys(
        (OPHTHALMIC, TRUE_COLOR), (EXPLICIT, BIG_ENDIAN, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.50")
    )


def test_broad_and_patient_based_queries(optos):
    asked = {}
    for table in optos.of_kind("keys"):
        for row in table.records():
            asked.setdefault(row.get("query", ""), []).append(row["name"])
    assert asked["broad"] == ["Scheduled Station AE Title", "Scheduled Procedure Step Start Date", "Modality"]
    assert asked["patient"] == ["Patient's Name", "Patient ID"]
    wild = [row.name for row in keys(optos) if "wildcard" in row.matching]
    assert wild == asked["patient"]
    assert {row.query for row in keys(optos)} == {"", "broad", "patient"}


def test_configuration(optos):
    defaults = {(row.entity, row.parameter): (row.default, row.unit) for row in parameters(optos)}
    assert defaults["storage", "time-out of a message over the network"] == ("5", "s")
    assert defaults["worklist", "time-out of connecting"] == ("10", "s")
    assert defaults["worklist", "answers that reach the scan head at most"] == ("100", "")
    assert defaults["storage", "called AE title"] == ("ANY-SCP", "")


def test_four_attributes_are_de_identified(optos):
    (table,) = optos.of_kind("deidentification")
    assert [(row["tag"], row["value"]) for row in table.records()] == [
        ("(0010,0010)", "XXXXX"),
        ("(0010,0020)", "00000"),
        ("(0010,0030)", "11111111"),
        ("(0010,0040)", "O"),
    ]


def test_two_kinds_of_objects_are_created(optos):
    op, sc = objects(optos)
    assert (op.uid, len(op.modules)) == (OPHTHALMIC, 18)
    assert (sc.uid, len(sc.modules)) == (TRUE_COLOR, 10)
    photograph = {row.path: row for row in attributes(optos, *op.modules)}
    assert photograph["(0022,0015).(0008,0100)"].value == "A-00E8A"
    assert photograph["(0018,0012).(0018,9340).(0018,1042)"].presence == "ALWAYS"
    assert photograph["(0008,0008)"].value.split("\\")[5].split(" | ") == ["P200", "P200MA", "P200C", "P200TX", "DAYTONA"]
    assert len(photograph["(0008,0008)"].value.split("\\")) == 10
    capture = {row.path: row for row in attributes(optos, *sc.modules)}
    assert capture["(0008,0005)"].value == "ISO_IR 100"
    assert capture["(0008,0064)"].value == "WSD"
    for rows in (photograph, capture):  # section 8.5: of all created instances, though the tables of IODs do not list them
        private = [row for row in rows.values() if row.creator]
        assert [(row.name, row.presence, row.value) for row in private] == [
            ("Creator", "ALWAYS", "OPTOS HEADER"), ("Proview", "ALWAYS", "YES | NO"), ("SWL", "ALWAYS", "YES | NO"),
        ]  # fmt: skip
    assert [len(iod.rows) for iod in optos.as_printed().of_kind("iod")] == [17, 9]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("section 4.4.1.3.3.2, row 1", "Implicit VR, Little Endian; Implicit VR Big Endian; "),
        ("section 4.4.1.3.2.3, Patient Medical", "source is printed as 'Table 8'"),
        ("section 4.4.1.3.2.3, Patient Medical", "title is printed as 'Patient Demographic', 'Patient Medical' is meant."),
        ("section 8.5", "source is printed as 'Table 40'"),
        ("Table 13, row 5", "'names the worklist server'"),
        ("Table 13, row 6", "'names the Vantage server'"),
        ("Table 28, row 8", "vr is printed as 'US', 'CS' is meant."),
        ("Table 28, row 19", "tag is printed as '(2050, 0020)', '(2050,0020)' is meant."),
        ("Table 30, row 9", "vr is printed as 'FL', 'CS' is meant."),
        ("Table 31, row 11", "'GA-11A | GA-11E | GA-11F', 'G-A11A | G-A11E | G-A12F' is meant."),
        ("Table 35, row 6", "source is printed as 'AUTO', 'MWL, AUTO' is meant."),
    ],
)
def test_slips_are_told(optos, place, said):
    assert any(finding.path.startswith(place) and said in finding.message for finding in lint(optos))


def test_the_default_transfer_syntax_is_not_proposed_for_storage(optos):
    lacking = [finding for finding in lint(optos) if finding.section == "PS3.5 10.1"]
    assert [finding.path.split(" (")[1] for finding in lacking] == [
        "Ophthalmic Photography 8 Bit Image Storage)",
        "Multi-frame True Color Secondary Capture Image Storage)",
    ]


def test_what_is_meant_breaks_no_table_of_the_standard(optos):
    assert not violations(optos)
    assert len(violations(optos.as_printed())) == 12

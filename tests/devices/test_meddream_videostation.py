"""MedDream VideoStation 8.4.0 as a profile: counts of its statement, known answers, and where its print slips.

Counts were taken from the document itself: rows of each table without headings, group headings and continued cells.
"""

import pytest
from pydicom.datadict import dictionary_VR

from workbench.devices import claims, lint, profile
from workbench.devices.lint import violations
from workbench.standard import storage_classes

SC = "1.2.840.10008.5.1.4.1.1.7"
AS_PRINTED = {
    "services": 237,  # Table 1: 235 of storage, worklist, verification
    "storage-client-syntaxes": 6,
    "storage-client-statuses": 5,
    "worklist-statuses": 2,
    "worklist-failures": 1,
    "worklist-keys": 56,
    "server-classes": 236,  # Table 19: Verification and 235 of storage
    "server-contexts": 236,  # Table 22
    "server-syntaxes": 45,  # Table 23
    "server-statuses": 2,
    "ae-titles": 4,
    "character-sets": 30,
    "file-preamble": 2,
    "file-meta": 7,
    "sc-modules": 21,
    "sc-patient": 8,
    "sc-general-study": 15,
    "sc-patient-study": 8,
    "sc-general-series": 18,
    "sc-general-equipment": 3,
    "sc-equipment": 3,
    "sc-general-image": 6,
    "sc-image-pixel": 10,
    "sc-sop-common": 5,
    "worklist-mapping": 41,
}


@pytest.fixture(scope="module")
def meant():
    return profile("meddream-videostation")


@pytest.mark.parametrize(("table", "rows"), AS_PRINTED.items())
def test_a_table_has_as_many_rows_as_the_document(meant, table, rows):
    assert len(meant.as_printed().table(table).rows) == rows


def test_every_numbered_table_of_the_statement_is_somewhere(meant):
    written = " ".join([*(t.source for t in meant.tables), *(e.source for e in meant.entities)])
    spans = {3: "2 to 5", 4: "2 to 5", 7: "6 to 11", 8: "6 to 11", 13: "12 to 18", 14: "12 to 18", 20: "19 to 26", 21: "19 to 26"}
    missing = [n for n in range(1, 39) if f"Table {n}" not in written and f"Tables {spans.get(n, n)}" not in written]
    assert not missing


def test_parameters_of_all_five_groups_are_sixteen(meant):
    assert sum(row.source == "Table 26" for row in claims.parameters(meant)) == 16


def test_two_classes_in_one_row_are_two_as_meant(meant):
    for table, printed_uid in (
        ("server-classes", "1.2.840.10008.5.1.4.1.1.13.1.2"),
        ("server-contexts", "1.2.840.10008.5.1.4.1.1.13.1.11.2.840.10008.5.1.4.1.1.13.1.2"),
    ):
        rows = {row["name"]: row["uid"] for row in meant.table(table).records()}
        assert len(meant.table(table).rows) == 237
        assert rows["X-Ray 3D Angiographic Image Storage"] == "1.2.840.10008.5.1.4.1.1.13.1.1"
        assert rows["X-Ray 3D Craniofacial Image Storage"] == "1.2.840.10008.5.1.4.1.1.13.1.2"
        printed = [row["uid"] for row in meant.as_printed().table(table).records() if "Angiographic Image Storage" in row["name"]]
        assert printed_uid in printed


def test_the_server_claims_each_class_once_and_accepts_what_it_claims(meant):
    classes = [row.uid for row in claims.sop_classes(meant, entity="storage-server", role="SCP")]
    contexts = claims.contexts(meant, entity="storage-server", role="SCP")
    assert len(set(classes)) == len(classes) == 237
    assert [row.uid for row in contexts] == classes
    assert not list(claims.sop_classes(meant, entity="storage-server", role="SCU"))
    syntaxes = tuple(row["uid"] for row in meant.table("server-syntaxes").records())
    assert {row.syntaxes for row in contexts if row.uid != "1.2.840.10008.1.1"} == {syntaxes}
    assert next(row.syntaxes for row in contexts if row.uid == "1.2.840.10008.1.1") == ("1.2.840.10008.1.2",)


def test_all_storage_classes_but_two_services_are_known_to_the_standard_or_named(meant):
    known = {row.uid for row in storage_classes()}
    received = {row.uid for row in claims.sop_classes(meant, entity="storage-server")} - {"1.2.840.10008.1.1"}
    assert received - known == {"1.2.840.10008.5.1.4.34.2", "1.2.840.10008.5.1.4.34.3"}


def test_services_agree_with_the_tables_of_the_entities(meant):
    services = {row["name"].removesuffix(" SOP Class"): (row["scu"], row["scp"]) for row in meant.table("services").records()}
    for role, place in (("SCU", 0), ("SCP", 1)):
        claimed = {row.name.removesuffix(" SOP Class").replace("-", "–") for row in claims.sop_classes(meant, role=role)}
        assert claimed == {name.replace("-", "–") for name, roles in services.items() if roles[place]}


def test_addresses_times_and_limits(meant):
    assert {entity.ae_title for entity in meant.entities} == {"SPACS"}
    assert [entity.port for entity in meant.entities] == [None, None, None, 104]
    assert {(e.implementation_class_uid, e.implementation_version_name) for e in meant.entities} == {
        ("1.3.6.1.4.1.44316.4", "MDSTATION")
    }
    assert {e.max_pdu_bytes for e in meant.entities} == {16384}
    assert [e.max_associations for e in meant.entities] == [1, 1, 1, 0]
    clients = [e.policy for e in meant.entities if e.initiates]
    assert [(p.connect_s, p.acse_s, p.operation_s) for p in clients] == [(10, 10, 10), (10, 10, 7200), (10, 10, 10)]
    release = next(p for p in claims.parameters(meant) if "A-RELEASE" in p.parameter)
    assert (release.default, release.unit, release.configurable) == ("50", "ms", False)


def test_activities_in_their_order(meant):
    assert [activity.does for activity in meant.activities] == ["verify", "receive", "worklist", "acquire", "store"]
    named = {activity.name for activity in meant.activities}
    assert {table.activity for table in meant.tables} <= {*named, ""}


def test_what_the_storage_client_proposes(meant):
    (context,) = claims.contexts(meant, entity="storage-client")
    assert context.uid == SC
    assert [uid.removeprefix("1.2.840.10008.1.2") for uid in context.syntaxes] == [
        "", ".4.50", ".4.100", ".4.101", ".4.102", ".4.103",
    ]  # fmt: skip


def test_the_storage_client_goes_on_and_takes_warnings_for_success(meant):
    policy = meant.entity("storage-client").policy
    assert (policy.on_failure, policy.warning_is, policy.attempts) == ("continue", "success", 1)
    actions = {row.code: row.action for row in claims.statuses(meant, entity="storage-client")}
    assert actions == {"0000": "success", "B000": "warning", "B006": "warning", "B007": "warning", "Others": "failure"}


def test_wildcards_of_the_worklist(meant):
    policy = meant.entity("worklist-client").policy
    assert (policy.wildcards, policy.name_form) == ("both", "*{family}*{given}*")
    asked = {row.name: row.matching for row in claims.keys(meant, entity="worklist-client") if row.matching}
    assert {name for name, matching in asked.items() if "wildcard" in matching} == {
        "Accession Number", "Patient's Name", "Patient ID", "Requested Procedure ID",
    }  # fmt: skip
    assert {name for name, matching in asked.items() if "single" in matching} == {
        "Modality", "Scheduled Station AE Title", "Scheduled Procedure Step Start Date",
    }  # fmt: skip


def test_whatever_is_mapped_is_a_key_that_is_imported(meant):
    keys = meant.table("worklist-keys")
    paths = [key.path for key in claims.keys(meant, entity="worklist-client")]
    imported = {path for path, row in zip(paths, keys.records(), strict=True) if row["mapped"]}
    mapped = {row["source_tag"] for row in meant.table("worklist-mapping").records() if row["source_tag"]}
    sequences = {path for path, row in zip(paths, keys.records(), strict=True) if row["vr"] == "SQ"}
    assert mapped - imported <= sequences
    assert imported <= mapped


def test_whatever_is_mapped_is_in_the_tables_of_the_object(meant):
    (made,) = claims.objects(meant)
    assert made.uid == SC
    held = {row.path: row for row in claims.attributes(meant, *made.modules)}
    for row in meant.table("worklist-mapping").records():
        assert "MWL" in held[row["target_tag"]].origin, row["target_tag"]


def test_rows_of_objects_and_keys_are_those_of_the_dictionary(meant):
    (made,) = claims.objects(meant)
    rows = [*(row for name in made.modules for row in meant.table(name).records()), *meant.table("worklist-keys").records()]
    assert len(rows) == 76 + 56
    for row in rows:
        vr = dictionary_VR(int(row["tag"][1:5] + row["tag"][6:10], 16))
        assert row["vr"] in vr.split(" or "), row["tag"]


def test_values_of_a_snapshot_and_a_video(meant):
    (made,) = claims.objects(meant)
    values = {row.name: row.value for row in claims.attributes(meant, "file-meta", *made.modules)}
    assert values["Conversion Type"] == "SI | DV"
    assert values["Photometric Interpretation"] == "YBR_FULL_422 | YBR_PARTIAL_420"
    assert values["Image Type"] == "ORIGINAL\\PRIMARY\\\\"
    assert values["Lossy Image Compression"] == "01"
    assert values["Secondary Capture Device Manufacturer"] == "Softneta"
    empty = {row.name for row in claims.attributes(meant, *made.modules) if row.presence == "EMPTY"}
    assert empty == {"Laterality", "Manufacturer", "Patient Orientation"}


def test_an_attribute_of_type_1_or_2_is_never_left_out(meant):
    (made,) = claims.objects(meant)
    assert not [row.name for row in claims.attributes(meant, *made.modules) if row.type in {"1", "2"} and row.presence == "ANAP"]
    printed = claims.attributes(meant.as_printed(), *made.modules)
    assert [row.name for row in printed if row.type in {"1", "2"} and row.presence == "ANAP"] == ["Accession Number"]


def test_nothing_that_is_meant_differs_from_the_standard(meant):
    assert not list(violations(meant))


def test_every_difference_in_print_is_a_slip(meant):
    found = [finding.path for finding in violations(meant.as_printed())]
    assert [path.split(" (")[0] for path in found] == [
        "Table 18, row 7",
        "Table 18, row 22",
        "Table 18, row 34",
        "Table 29, row 5",
        "Table 22, row 64",
    ]
    slips = {(meant.table(slip.table).source, slip.row) for slip in meant.slips}
    assert {("Table 18", 7), ("Table 18", 22), ("Table 18", 34), ("Table 29", 5), ("Table 22", 64)} <= slips


@pytest.mark.parametrize(
    "words",
    [
        "tag is printed as '(0008,1125)', '(0008,1120)' is meant",
        "vr is printed as 'PN', 'LO' is meant",
        "vr is printed as 'SH', 'CS' is meant",
        "vr is printed as '', 'CS' is meant",
        "name is printed as 'Autorefracton Measurements Storage'",
        "name is printed as 'Autorefractometry Measurements Storage'",
        "name is printed as 'IntravaSCPlar Optical Coherence Tomography Image Storage - For Processing'",
        "the row of 'X-Ray 3D Craniofacial Image Storage' is printed within the one before it",
        "title is printed as 'SOP classes of the Storage Client AE'",
        "title is printed as 'Accepted presentation contexts of the Verification Client AE'",
        "name is printed as 'File Meta Information Version20013'",
        "source_tag is printed as '(0032,1064).(0040,0009)', '(0040,0100).(0040,0009)' is meant",
        "tag is printed as '(07FE,0010)', '(7FE0,0010)' is meant",
        "matching is printed as 'universal single', 'universal wildcard' is meant",
        "type is printed as '1', '3' is meant",
    ],
)
def test_known_slips_are_findings(meant, words):
    found = [finding for finding in lint(meant) if words in finding.message]
    assert found
    assert all(finding.section.startswith("PS3.") for finding in found)

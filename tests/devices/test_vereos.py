"""Philips Vereos: what its statement says about network, media, character sets and anonymisation (all but created objects)."""

import re

import pytest

from workbench.devices import lint, profile
from workbench.devices.claims import attributes, contexts, keys, parameters, sop_classes, statuses
from workbench.devices.lint import violations
from workbench.devices.parts import DOES

NAME = "philips-vereos"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
PRIVATE, BIG, JPEG = "1.3.46.670589.33.1.4.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.70"
STORAGE = "1.2.840.10008.5.1.4.1.1."
FIND, MOVE = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2"

#: Rows of each table of the document as printed, counted in the document by its UIDs, tags, codes or settings.
PRINTED = {
    "network-services": 42,
    "media-services": 4,
    "manager-sop-classes": 38,
    "manager-failures": 2,
    "manager-rejection-responses": 16,
    "manager-abort-responses": 7,
    "worklist-keys": 71,
    "mpps-create": 59,
    "mpps-set": 34,
    "find-keys": 54,
    "find-statuses": 4,
    "move-keys": 7,
    "move-statuses": 8,
    "store-contexts": 32,
    "store-syntaxes": 4,
    "store-statuses": 8,
    "commit-failures": 4,
    "commit-events": 2,
    "commit-report-statuses": 6,
    "manager-rejections-sent": 5,
    "find-scp-keys": 59,
    "find-scp-statuses": 4,
    "move-scp-statuses": 6,
    "storage-scp-contexts": 32,
    "storage-scp-statuses": 2,
    "print-sop-classes": 4,
    "print-rejection-responses": 16,
    "print-abort-responses": 7,
    "film-session-color": 4,
    "film-session-grayscale": 4,
    "film-box-grayscale": 8,
    "film-box-grayscale-relationship": 3,
    "film-box-grayscale-create-statuses": 3,
    "film-box-grayscale-print-statuses": 8,
    "film-box-color": 8,
    "film-box-color-create-statuses": 6,
    "film-box-color-print-statuses": 9,
    "image-box-grayscale": 12,
    "image-box-grayscale-set-statuses": 9,
    "image-box-color": 13,
    "image-box-color-set-statuses": 9,
    "parameters-general": 25,
    "parameters-local": 9,
    "parameters-remote": 6,
    "parameters-print": 1,
    "parameters-pet": 2,
    "media-profiles": 12,
    "dicomdir-generated": 4,
    "dicomdir": 85,
    "character-sets": 2,
    "anonymisation": 66,
}


@pytest.fixture(scope="module")
def vereos():
    return profile(NAME)


@pytest.mark.parametrize(("table", "count"), PRINTED.items())
def test_every_table_has_the_rows_of_the_document(vereos, table, count):
    assert len(vereos.as_printed().table(table).rows) == count


def test_every_numbered_table_of_the_network_and_media_part_is_there_but_for_history_and_terms(vereos):
    cited = [table.source for table in vereos.tables] + [entity.source for entity in vereos.entities]
    numbers = set()
    for first, last in re.findall(r"Tables? (\d+)(?: to (\d+))?", "; ".join(cited)):
        numbers |= set(range(int(first), int(last or first) + 1))
    assert set(range(1, 90)) - numbers == {3, 4}


def test_entities_are_as_the_statement_configures_them(vereos):
    manager, printer, media = (vereos.entity(name) for name in ("dicom-manager", "print-manager", "media"))
    assert (manager.ae_title, manager.port, manager.max_pdu_bytes, manager.max_accepted) == ("DATABASE", 104, 65536, 50)
    assert {e.implementation_class_uid for e in vereos.entities} == {"1.3.46.670589.28.2.1000.4.20151008"}
    assert {e.implementation_version_name for e in vereos.entities} == {"VEREOS_2.0.1"}
    assert (printer.max_associations, printer.accepts, printer.port) == (1, False, None)
    assert (media.initiates, media.accepts) == (False, False)


def test_the_policy_of_transfers_is_stop_at_a_failure_and_warnings_as_success(vereos):
    policy = vereos.entity("dicom-manager").policy
    assert (policy.on_failure, policy.warning_is, policy.associations_per) == ("stop", "success", "job")
    assert (policy.acse_s, policy.limit) == (300.0, None)


def test_limits_and_time_outs_are_those_of_each_service(vereos):
    """Tables 79 and 81 set them service by service."""
    manager, printer = vereos.entity("dicom-manager"), vereos.entity("print-manager")
    said = {does: (p.service_s, p.idle_s, p.limit) for does in DOES if (p := manager.policy_of(does)).service_s}
    assert said == {
        "verify": (60.0, None, None), "query": (60.0, 300.0, 100), "store": (300.0, 120.0, None),
        "retrieve": (300.0, 0.0, None), "commit": (300.0, 120.0, None),
    }  # fmt: skip
    assert manager.policy_of("worklist").limit is None
    assert (printer.policy_of("print").service_s, printer.policy_of("print").idle_s) == (300.0, 150.0)
    parameters = {row["parameter"]: row["default"] for row in vereos.table("parameters-remote").records()}
    assert str(manager.policy_of("query").limit) == parameters["Query Response Size"]


def test_sop_classes_by_role(vereos):
    manager = [(row.role, row.uid) for row in sop_classes(vereos, entity="dicom-manager")]
    assert sum(role == "SCU" for role, _ in manager) == 38
    assert sum(role == "SCP" for role, _ in manager) == 35  # all but worklist, performed step and storage commitment
    assert sum(uid.startswith(STORAGE) for role, uid in manager if role == "SCP") == 32
    assert {row.role for row in sop_classes(vereos, entity="print-manager")} == {"SCU"}


def test_the_overview_agrees_with_the_entities(vereos):
    overview = {(row["uid"], row["scu"], row["scp"]) for row in vereos.table("network-services").records()}
    entities = {
        (row["uid"], row["scu"], row["scp"])
        for table in ("manager-sop-classes", "print-sop-classes")
        for row in vereos.table(table).records()
    }
    assert overview == entities


def test_contexts_cover_the_sop_classes_of_each_role(vereos):
    for role in ("SCU", "SCP"):
        claimed = {row.uid for row in sop_classes(vereos, entity="dicom-manager", role=role)}
        assert {row.uid for row in contexts(vereos, entity="dicom-manager", role=role)} == claimed


def test_every_context_holds_the_default_transfer_syntax(vereos):
    assert all(IMPLICIT in row.syntaxes for row in contexts(vereos))


@pytest.mark.parametrize(
    ("role", "suffix", "syntaxes"),
    [
        ("SCU", "1", (JPEG, EXPLICIT, IMPLICIT, PRIVATE)),
        ("SCU", "2", (EXPLICIT, IMPLICIT, PRIVATE, JPEG)),
        ("SCU", "128", (PRIVATE, BIG, EXPLICIT, IMPLICIT)),
        ("SCU", "20", (PRIVATE, EXPLICIT, IMPLICIT, BIG)),
        ("SCU", "7", (EXPLICIT, IMPLICIT, JPEG, PRIVATE)),
        ("SCU", "11.4", (EXPLICIT, IMPLICIT)),
        ("SCU", "88.67", (EXPLICIT, IMPLICIT)),
        ("SCP", "11.4", (PRIVATE, BIG, EXPLICIT, IMPLICIT)),
        ("SCP", "481.5", (PRIVATE, BIG, EXPLICIT, IMPLICIT)),
        ("SCP", "7", (PRIVATE, EXPLICIT, IMPLICIT, JPEG)),
        ("SCP", "9.1.2", (EXPLICIT, IMPLICIT)),
    ],
)
def test_transfer_syntaxes_of_storage(vereos, role, suffix, syntaxes):
    (found,) = [row for row in contexts(vereos, entity="dicom-manager", role=role) if row.uid == STORAGE + suffix]
    assert found.syntaxes == syntaxes


def test_classes_without_pixel_data_are_printed_with_more_than_the_text_proposes(vereos):
    printed = contexts(vereos.as_printed(), activity="Image Export")
    more = {a.uid for a, b in zip(printed, contexts(vereos, activity="Image Export"), strict=True) if a.syntaxes != b.syntaxes}
    suffixes = ("104.1", "11.1", "11.2", "11.3", "11.4", "481.3", "481.5", "66", "66.1", "88.59")
    assert more == {STORAGE + suffix for suffix in suffixes}
    assert next(row for row in printed if row.uid == STORAGE + "481.5").syntaxes == (PRIVATE,)


def test_worklist_keys_match_as_the_table_marks_them(vereos):
    found = {row.path: row.matching for row in keys(vereos, activity="Modality worklist as SCU")}
    assert found["(0010,0010)"] == "single wildcard"
    assert found["(0040,0100).(0040,0002)"] == "single range"
    assert found["(0040,0100).(0040,0008).(0008,0100)"] == ""
    rows = vereos.table("worklist-keys").records()
    assert [row["name"] for row in rows if row["source"] == "AUTO"] == ["Scheduled Station AE Title"]
    assert sum(row["source"] == "USER" for row in rows) == 11
    assert [row["name"] for row in rows if not row["returned"]] == ["Admission ID"]
    assert sum(row["mapped"] for row in rows) == 20


def test_the_levels_of_query_keys(vereos):
    for role, counts in (("SCU", (16, 16, 20)), ("SCP", (23, 15, 20))):
        found = keys(vereos, role=role, uid=FIND)
        assert tuple(sum(row.level == level for row in found) for level in ("STUDY", "SERIES", "IMAGE")) == counts


def test_wildcards_and_ranges_are_asked_only_where_the_standard_has_them(vereos):
    textual = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"}
    for table in vereos.of_kind("keys"):
        for row in table.records():
            assert "wildcard" not in row["matching"] or row["vr"] in textual, (table.id, row["name"])
            assert "range" not in row["matching"] or row["vr"] in {"DA", "TM", "DT"}, (table.id, row["name"])


def test_required_and_unique_keys_are_matched_at_their_level(vereos):
    required = {"STUDY": {"0008,0020", "0008,0030", "0008,0050", "0010,0010", "0010,0020", "0020,0010", "0020,000D"},
                "SERIES": {"0008,0060", "0020,0011", "0020,000E"}, "IMAGE": {"0020,0013", "0008,0018"}}  # fmt: skip
    found = {(row.level, row.path.strip("()")): row.matching for row in keys(vereos, role="SCP", uid=FIND)}
    for level, tags in required.items():
        assert all("single" in found[level, tag] for tag in tags)
    assert (found["SERIES", "0020,000D"], found["IMAGE", "0020,000D"], found["IMAGE", "0020,000E"]) == ("single",) * 3


def test_the_performed_step_is_created_in_progress_and_set_to_an_end(vereos):
    created = {row.path: row for row in attributes(vereos, "mpps-create")}
    changed = {row.path: row for row in attributes(vereos, "mpps-set")}
    assert (created["(0040,0252)"].value, changed["(0040,0252)"].value) == ("IN PROGRESS", "COMPLETED | DISCONTINUED")
    assert created["(0008,0060)"].value == "PT"
    assert created["(0040,0340)"].presence == "EMPTY"
    assert created["(0040,0253)"].origin == "MWL"
    assert changed["(0040,0340).(0008,1140).(0008,1155)"].origin == "AUTO"
    assert "(0040,0270).(0040,0008).(0008,0104)" in created


@pytest.mark.parametrize(
    ("activity", "code", "action"),
    [
        ("MOVE as SCU", "A801", "failure"),
        ("MOVE as SCU", "B000", "warning"),
        ("Image Export", "0122", "failure"),
        ("Image Export", "B007", "success"),
        ("FIND as SCP", "FF00", "continue"),
        ("MOVE as SCP", "FE00", "cancel"),
        ("Print Management as SCU", "B60A", "continue"),
        ("Print Management as SCU", "C613", "failure"),
    ],
)
def test_statuses_lead_to_what_the_tables_say(vereos, activity, code, action):
    found = {row.action for row in statuses(vereos, activity=activity) if row.code == code}
    assert found == {action}


def test_relational_queries_and_retrievals_are_refused(vereos):
    refused = {(row["feature"], row["uid"]) for t in ("find-scp-extended", "move-scp-extended")
               for row in vereos.table(t).records() if not row["offered"]}  # fmt: skip
    assert {("Relational-queries", FIND), ("Relational-retrieval", MOVE)} <= refused


def test_print_proposes_the_meta_classes_with_little_endian(vereos):
    found = {row.uid: row.syntaxes for row in contexts(vereos, entity="print-manager")}
    assert found == {"1.2.840.10008.5.1.1.18": (EXPLICIT, IMPLICIT), "1.2.840.10008.5.1.1.9": (EXPLICIT, IMPLICIT)}


def test_a_grayscale_film_box_as_it_is_created(vereos):
    found = {row.name: row for row in attributes(vereos, "film-box-grayscale", "film-box-grayscale-relationship")}
    assert found["Image Display Format"].value == "STANDARD\\1,1"
    assert {row.presence for row in found.values()} == {"ALWAYS"}
    assert found["Referenced SOP Instance UID"].path == "(2010,0500).(0008,1155)"


def test_parameters_with_their_defaults(vereos):
    found = {(row.source, row.parameter): row for row in parameters(vereos)}
    assert found["Table 79", "PDU"].default == "65536"
    assert not found["Table 79", "PDU"].configurable
    assert found["Table 79", "Local - Auto Delete - Mbytes to Reserve"].default == "11264"
    assert found["Table 80", "Local - Auto Delete - Mbytes to Reserve"].default == "12207"
    assert (found["Table 79", "Query Service Timeout"].default, found["Table 79", "Query Service Timeout"].unit) == ("60", "s")
    assert found["Table 82", "Association Timeout"].default == "150"
    assert found["Table 83", "Export in SUV"].default == "disabled"
    timeouts = [row["default"] for row in vereos.table("parameters-remote").records() if row["parameter"] == "Association Timeout"]
    assert timeouts == ["300", "120", "0", "120"]


def test_media_are_created_and_read_and_never_updated(vereos):
    assert {role for table in vereos.of_kind("media") for row in table.records() for role in row["roles"].split()} == {"FSC", "FSR"}
    assert {row["roles"] for row in vereos.as_printed().table("media-profiles").records()} == {"FSC", "FSR", "DD"}


def test_anonymisation_keeps_empties_and_replaces(vereos):
    actions = [row["action"] for row in vereos.table("anonymisation").records()]
    assert {action: actions.count(action) for action in set(actions)} == {"K": 8, "Z": 48, "U": 5, "D": 3, "K/Z": 2}


def test_rows_as_meant_agree_with_the_dictionary(vereos):
    own = {table.id for table in vereos.tables if not table.id.startswith(("acquisition-", "fusion-", "console-"))}
    sources = {table.source for table in vereos.tables if table.id in own}
    assert [f for f in violations(vereos) if f.path.split(", row")[0] in sources] == []


def test_what_the_dictionary_has_against_the_print_is_known_as_slips(vereos):
    slips = {finding.path for finding in lint(vereos) if finding.remedy}
    for finding in violations(vereos.as_printed()):
        if re.match(r"Table \d\d?,", finding.path):
            number = re.match(r"Table \d+, row \d+", finding.path)[0]
            assert any(path.startswith(number) for path in slips), finding.path


@pytest.mark.parametrize(
    ("table", "printed"),
    [
        ("store-contexts", "1.2.840.10008.5.1.4.1.1.1.1"),
        ("find-keys", "STUDY, SERIES, IMAGES"),
        ("find-contexts", "archive-manager"),
        ("find-scp-keys", "single universal range"),
        ("commit-statuses", "request counts as stored"),
        ("mpps-set-statuses", "matching is complete"),
        ("film-session-color", "AUTO, HIGH, LOW, MED"),
        ("image-box-grayscale", "MONOCHROME2, RGB"),
        ("film-box-color-delete-statuses", "film session created"),
        ("dicomdir", "UI Transfer Syntax UID"),
        ("anonymisation", "Patient Height"),
        ("parameters-pet", "General print parameters"),
        ("manager-association", "unlimited"),
    ],
)
def test_slips_that_the_statement_prints(vereos, table, printed):
    assert printed in {slip.printed for slip in vereos.slips if slip.table == table}


def test_activities_in_the_order_of_the_statement(vereos):
    does = [activity.does for activity in vereos.activities if activity.does != "receive"]
    assert does == ["verify", "worklist", "acquire", "acquire", "acquire", "step", "query", "retrieve", "store", "commit", "print",
                    "media", "media", "media", "anonymise"]  # fmt: skip
    named = {activity.name for activity in vereos.activities}
    assert {table.activity for table in vereos.tables if table.activity} <= named

"""The commands about device profiles: their output against the documents, their refusals."""

import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.cli._policies import _WORDS, policy_in_words
from workbench.cli._ports import port_tried
from workbench.devices import Policy, lint, names, profile
from workbench.network import Server


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["device", *arguments])
    assert done.exit_code == code, done.output
    return done.stdout


def as_json(*arguments):
    return json.loads(run(*arguments, "--json"), parse_constant=pytest.fail)


def entity(name, entity_id, *arguments):
    (found,) = [entity for entity in as_json("show", name, *arguments)["entities"] if entity["id"] == entity_id]
    return found


def test_all_systems_are_listed():
    rows = as_json("list")
    assert [row["name"] for row in rows] == list(names())
    assert {row["title"] for row in rows} >= {"Topcon SP-1P specular microscope"}
    assert all(row["tables"] > 20 and row["slips"] > 20 for row in rows)
    assert "optos-v2-vantage" in run("list")


@pytest.mark.parametrize(
    ("name", "entity_id", "role", "classes", "syntaxes"),
    [
        ("meddream-videostation", "storage-server", "SCP", 236, 45),
        ("canon-vitrea-read", "storage-scu", "SCU", 49, 3),
        ("canon-vitrea-read", "storage-scp", "SCP", 49, 12),
        ("optos-v2-vantage", "storage", "SCU", 4, 5),
        ("topcon-sp1p", "storage", "SCU", 1, 3),
    ],
)
def test_counts_by_role_are_those_of_the_document_as_printed(name, entity_id, role, classes, syntaxes):
    found = entity(name, entity_id, "--printed")
    assert len(found["sop_classes"][role]) == classes
    assert len(found["transfer_syntaxes"][role]) == syntaxes
    assert list(found["sop_classes"]) == [role]


def test_what_is_meant_differs_from_what_is_printed():
    assert len(entity("meddream-videostation", "storage-server")["sop_classes"]["SCP"]) == 237
    uids = {view: entity("topcon-sp1p", "patient-query", *view)["sop_classes"]["SCU"][0]["uid"] for view in ((), ("--printed",))}
    assert uids == {(): "1.2.840.10008.5.1.4.1.2.1.1", ("--printed",): "1.2.840.10008.5.1.4.1.2.2.1"}
    assert as_json("show", "topcon-sp1p", "--printed")["view"] == "printed"


@pytest.mark.parametrize("name", names())
def test_what_is_shown_holds_every_part_of_the_profile(name):
    said, found = as_json("show", name), profile(name)
    assert [e["name"] for e in said["entities"]] == [e.name for e in found.entities]
    assert [a["does"] for a in said["activities"]] == [a.does for a in found.activities]
    assert {t["id"]: t["rows"] for t in said["tables"]} == {t.id: len(t.rows) for t in found.tables}
    assert said["slips"] == len(found.slips)
    shown = run("show", name)
    assert found.title in shown
    assert found.summary in shown
    assert all(e.id in shown for e in found.entities)
    assert all(t.id in shown for t in found.tables)


def test_policies_and_titles_are_said():
    found = entity("optos-v2-vantage", "worklist")
    assert found["ae_title"] == "OPTOS-WRKQRY"
    assert found["policy"]["limit"] == 100
    assert "port" not in found


@pytest.mark.parametrize("name", names())
def test_what_is_shown_is_for_readers(name):
    shown = run("show", name)
    assert not re.search(r"\('|\(\)|, ?True\b|, ?False\b|\b[a-z]+_s \d|\b[a-z]+_(called|calling) |\bconverts (True|False)", shown)
    assert "DICOM not said" not in shown


def test_an_entity_without_an_ae_title_shows_the_one_that_it_has_here():
    assert entity("canon-vitrea-read", "storage-scp")["title_here"] == "VITREA_READ"
    shown = run("show", "canon-vitrea-read")
    (line,) = [line for line in shown.splitlines() if line.startswith("storage-scp ") and "7000" in line]
    assert "here: VITREA_READ" in line
    (media,) = [line for line in shown.splitlines() if line.startswith("media-fsr ") and "here" in line] or [""]
    assert not media


def test_each_field_of_a_policy_has_words():
    assert set(_WORDS) == {field.name for field in fields(Policy)}
    assert policy_in_words({"attempts": 1, "wait_s": 2.5}) == "tries once, 2.5 s between attempts"


def test_one_table_is_shown_with_its_rows():
    rows = as_json("show", "optos-v2-vantage", "--table", "de-identification")
    assert [row["value"] for row in rows] == ["XXXXX", "00000", "11111111", "O"]
    printed = run("show", "optos-v2-vantage", "--table", "storage-contexts", "--printed")
    assert printed.startswith("Table 8: ")
    assert "Implicit VR, Little Endian; Implicit VR Big Endian" in printed


@pytest.mark.parametrize("cited", ["8.2.1", "section 8.2.1", "Section  8.2.1", "patient"])
def test_a_table_is_found_as_it_is_cited(cited):
    assert run("show", "topcon", "--table", cited).startswith("section 8.2.1: Patient")


def test_a_citation_of_several_tables_shows_them_all():
    shown = run("show", "optos", "--table", "Table 4")
    assert shown.count("Table 4: ") == 2
    tables = [profile("optos").table(f"sop-classes-{what}") for what in ("worklist", "storage")]
    assert len(as_json("show", "optos", "--table", "Table 4")) == sum(len(table.rows) for table in tables)


def test_without_a_name_all_statements_are_checked():
    rows = as_json("lint")
    assert {row["device"] for row in rows} == set(names())
    assert len(rows) == sum(len(lint(profile(name))) for name in names())
    shown = run("lint")
    assert all(profile(name).title in shown for name in names())


@pytest.mark.parametrize("name", names())
def test_findings_are_printed_and_are_no_failure(name):
    rows, findings = as_json("lint", name), lint(profile(name))
    assert [row["message"] for row in rows] == [finding.message for finding in findings]
    assert {"severity", "at", "section", "message", "rule"} == rows[0].keys()
    assert all(row["rule"] for row in rows)
    shown = run("lint", name)
    slips = len(profile(name).slips)
    assert shown.startswith(f"{slips} slips of the document, {len(findings) - slips} difference")
    assert f"; {len(findings.errors)} error" in shown.splitlines()[0]
    assert all(row["message"] in shown for row in rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "topkon-sp1p"], "ProfileUnknown: There is no device profile 'topkon-sp1p'. Did you mean 'topcon-sp1p'?"),
        (["lint", "../secret"], "ProfileUnknown: There is no device profile '../secret'. There are: canon-vitrea-read"),
        (["show", "topcon-sp1p", "--table", "keys"], "ProfileInvalid: Profile 'topcon-sp1p' has no table 'keys'. It has: "),
    ],
)
def test_refusals_are_one_sentence_and_exit_code_two(arguments, said):
    done = subprocess.run(
        [sys.executable, "-m", "workbench.cli", "device", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_help_reads_no_profile():
    code = (
        "from typer.testing import CliRunner; from workbench.cli import app; from workbench.devices import catalog;"
        "print(CliRunner().invoke(app, ['device', '--help']).exit_code, catalog._profile.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]


def test_each_activity_is_told_as_it_is_done_but_not_in_json(archive):
    with Server(archive) as server:
        arguments = ["device", "run", "topcon-sp1p", "--against", f"WORKBENCH@127.0.0.1:{server.port}", "--port", "0"]
        done, quiet = CliRunner().invoke(app, arguments), CliRunner().invoke(app, [*arguments, "--json"])
    assert done.stderr.splitlines()[:2] == ["Verify Connectivity: done", "Query Modality Worklist: not here"]
    assert done.stderr.splitlines()[-1] == "1 of 5 activities not tried: No information system (ris) was given."
    assert done.exit_code == quiet.exit_code == 0, "nothing failed"
    assert "TP_AM_SP1P_001" in done.stdout
    assert quiet.stderr == ""
    assert [row["outcome"] for row in json.loads(quiet.stdout)][:2] == ["done", "not here"]


@pytest.mark.parametrize("option", ["--port", "--listen"])
def test_where_the_archive_knows_the_system_needs_an_archive(option):
    refused = CliRunner().invoke(app, ["device", "run", "topcon-sp1p", option, "11115"])
    assert "go with --against" in str(refused.exception)


def test_what_a_system_is_set_to(archive):
    run = ["device", "run", "topcon-sp1p", "--set"]
    with Server(archive) as server:
        done = CliRunner().invoke(app, [*run, "modality=OP", "--against", f"WORKBENCH@127.0.0.1:{server.port}"])
    assert done.exit_code == 0, done.stderr
    assert [str(archive.open(ref).Modality) for ref in archive] == ["OP"]
    assert "statement lists SC, OP, XC, OT" in str(CliRunner().invoke(app, [*run, "modality=PT"]).exception)
    assert "'modality' has no '='" in str(CliRunner().invoke(app, [*run, "modality"]).exception)


def test_a_port_is_tried_without_listening(monkeypatch):
    """Who calls at that moment would be let in and thrown out."""
    monkeypatch.setattr(Server, "start", lambda _: pytest.fail("it listens"))
    port_tried("127.0.0.1", 0, ae_title="WORKBENCH")


def test_a_provider_that_cannot_listen_leaves_no_folder(archive, tmp_path):
    with Server(archive) as server:
        folder = tmp_path / "kept"
        refused = CliRunner().invoke(
            app, ["device", "serve", "philips-vereos", "--port", str(server.port), "--folder", str(folder)]
        )
    assert "is in use" in str(refused.exception)
    assert not folder.exists()

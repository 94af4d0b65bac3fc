"""Options of the command line that are negotiated: relational queries and retrievals, fuzzy names, user identity."""

import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from workbench.cli import app
from workbench.entities import Identity, Peer
from workbench.errors import AssociationRejected, InputError, KeyRefused, QueryKeyInvalid
from workbench.network import AddressBook, QueryOptions, QueryPolicy, Server, echo
from workbench.network.authority import test_authority as authority_in
from workbench.network.security import hashed
from workbench.phantoms import ct_series


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def images():
    series = ct_series(3, rows=32, columns=32)
    for image in series:
        image.PatientName, image.StudyDate, image.StudyTime = "Müller^Jörg", "20260115", "233000"
    return series


@pytest.fixture(params=["grants", "refuses"])
def asked(request, archive, images):
    """Where the peer is, and whether it grants what it is asked for."""
    for image in images:
        archive.add(image)
    policy = QueryPolicy() if request.param == "grants" else QueryPolicy(grants=QueryOptions())
    with Server(archive, queries=policy) as server:
        yield f"WORKBENCH@127.0.0.1:{server.port}", request.param == "grants"


def test_relational(asked, images):
    peer, grants = asked
    done = run("find", peer, "PatientName=M*", "--level", "IMAGE", "--relational", "--json")
    assert done.exit_code == 0, done.output
    assert {row["SOPInstanceUID"] for row in json.loads(done.stdout)} == {str(image.SOPInstanceUID) for image in images}
    assert ("note: the peer grants relational (PS3.4 C.5.1.1)" in done.stderr) == grants
    assert ("asked level by level" in done.stderr) != grants
    assert isinstance(run("find", peer, "--level", "IMAGE").exception, QueryKeyInvalid)


def test_fuzzy_names(asked):
    peer, grants = asked
    done = run("find", peer, "PatientName=jorg muller", "--fuzzy", "--json")
    assert len(json.loads(done.stdout)) == grants
    assert ("refuses fuzzy" in done.stderr) != grants


def test_moments_and_time_zones(asked):
    peer, grants = asked
    late = ("StudyDate=20260114-20260115", "StudyTime=220000-234500")
    done = run("find", peer, *late, "--date-time", "--json")
    assert len(json.loads(done.stdout)) == 1
    assert ("grants date time" in done.stderr) == grants
    (row,) = json.loads(run("find", peer, "StudyTime=", "--time-zone", "+0200", "--json").stdout)
    assert str(row["StudyDate"]).startswith("2026-01-16" if grants else "2026-01-15")
    assert isinstance(run("find", peer, "--time-zone", "CET").exception, InputError)


def test_retrieval_of_what_has_no_levels_above(asked, images, tmp_path):
    peer, _ = asked
    done = run("retrieve", peer, "--into", tmp_path / "brought", "--instance", images[0].SOPInstanceUID, "--relational")
    assert done.exit_code == 0, done.output
    assert [path.stem for path in (tmp_path / "brought").rglob("*.dcm")] == [images[0].SOPInstanceUID]
    done = run("retrieve", peer, "--into", tmp_path / "brought", "--series", images[0].SeriesInstanceUID, "--relational")
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "brought").rglob("*.dcm"))) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Name what is wanted"),
        (("--series", "1.2"), "needs its --study"),
        (("--study", "1.2", "--instance", "1.2.3"), "--instance both"),
        (("--study", "1.2", "--study", "1.3", "--series", "1.2.3"), "go with one --study"),
    ],
)
def test_what_can_not_be_retrieved(arguments, said, tmp_path):
    error = run("retrieve", "A@127.0.0.1:1", "--into", tmp_path, *arguments).exception
    assert isinstance(error, InputError)
    assert said in str(error)


def test_a_peer_with_a_user(archive, tmp_path, monkeypatch):
    book, passcode = tmp_path / "peers.toml", "not to be written"
    monkeypatch.setenv("WORKBENCH_PEERS", str(book))
    monkeypatch.setenv("PASSCODE", passcode)
    authority = authority_in(tmp_path / "certificates")
    ours = authority.client
    tls = ("--tls", ours.certificate, ours.key, authority.ca)

    with Server(archive, tls=authority.server, identify={"reader": hashed(passcode)}) as server:
        where = (server.ae_title, "127.0.0.1", server.port)
        done = run("peers", "add", "pacs", *where, *tls, "--user", "reader", "--passcode-in", "env:PASSCODE")
        assert done.exit_code == 0, done.output
        assert run("echo", "pacs").exit_code == 0
        monkeypatch.setenv("PASSCODE", "wrong")
        assert isinstance(run("find", "pacs").exception, AssociationRejected)
    assert AddressBook.load().get("pacs").identity == Identity("passcode", user="reader", kept_in="env:PASSCODE")
    assert passcode not in book.read_text()
    for arguments, text in (
        (("--passcode-in", "env:PASSCODE"), "is of a --user"),
        (("--user", "reader", "--passcode-in", "env:PASSCODE"), "over TLS only"),
        ((*tls, "--user", "reader", "--passcode-in", passcode), "env:NAME"),
    ):
        error = run("peers", "add", "other", *where, *arguments).exception
        assert isinstance(error, InputError)
        assert text in str(error)
        assert passcode not in str(error)


def test_an_archive_for_its_users_only(tmp_path, monkeypatch, free_port):
    port, passcodes = free_port(), {"reader": "first of two", "writer": "second of two"}
    authority = authority_in(tmp_path / "certificates")
    (tmp_path / "hashed").write_text(hashed(passcodes["writer"]) + "\n")
    (tmp_path / "hashed").chmod(0o600)
    monkeypatch.setenv("READER", passcodes["reader"])
    monkeypatch.setenv("WRITER", passcodes["writer"])
    theirs, ours = authority.server, authority.client
    command = [sys.executable, "-m", "workbench.cli", "serve", "--port", port, "--folder", "kept", "--user", "reader=env:READER"]
    command += ["--user", "writer=file:hashed", "--tls", theirs.certificate, theirs.key, authority.ca]
    process = subprocess.Popen(list(map(str, command)), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "WORKBENCH" in process.stdout.readline()
        plain = Peer("a", "WORKBENCH", port=port, tls=ours)
        for user in passcodes:
            assert echo(plain.but(identity=Identity("passcode", user=user, kept_in=f"env:{user.upper()}"))), user
        wrong = Identity("passcode", user="reader", kept_in="env:WRITER")
        assert [echo(plain.but(identity=who)).layer for who in (None, wrong, Identity("username", user="reader"))] == [
            "association"
        ] * 3
        process.send_signal(signal.SIGINT)
        process.wait(20)
        written = process.stdout.read() + process.stderr.read()
        assert not any(passcode in written for passcode in passcodes.values())
    finally:
        process.kill()


def test_certificates_that_can_not_be_used_are_told_when_they_are_set(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    authority = authority_in(tmp_path / "certificates")
    ours, late = authority.client, authority.issue("late", days=-2)
    for files, said in (
        ((ours.key, ours.certificate, authority.ca), "were the two swapped?"),
        ((late.certificate, late.key, authority.ca), "expired on"),
        ((tmp_path / "no.pem", ours.key, authority.ca), "No such file"),
    ):
        for command in (
            ("peers", "add", "pacs", "PACS", "127.0.0.1", 104),
            ("serve", "--port", 0, "--folder", tmp_path / "folder"),
            ("printer", "--port", 0, "--folder", tmp_path / "folder"),
        ):
            error = run(*command, "--tls", *files).exception
            assert isinstance(error, KeyRefused), command
            assert said in str(error)
    assert not (tmp_path / "peers.toml").exists()
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (("--user", "reader=env:READER"), InputError, "pass --tls too"),
        (("--user", "geheim"), InputError, "NAME=PLACE"),
        (("--user", "reader=geheim", *("--tls", "a", "b", "c")), InputError, "never the secret itself"),
        (("--user", "reader=env:NOT_SET_HERE", *("--tls", "a", "b", "c")), KeyRefused, "NOT_SET_HERE is not set"),
    ],
)
def test_who_can_not_be_let_in(tmp_path, arguments, kind, said):
    for command in ("serve", "printer"):
        error = run(command, "--port", 0, "--folder", tmp_path / "folder", *arguments).exception
        assert isinstance(error, kind)
        assert said in str(error)
        assert "geheim" not in str(error)
        assert not (tmp_path / "folder").exists()

"""TLS in both roles against the ssl of the standard library, and secrets that are shown nowhere."""

import contextlib
import logging
import os
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from workbench.archive import Archive
from workbench.entities import Identity, Peer, StudyRef, Timeouts, Tls
from workbench.errors import (
    AssociationAborted,
    AttributeUnusable,
    InputError,
    KeyRefused,
    PeerTimeout,
    PeerUnknown,
    PeerUnreachable,
    ToolMissing,
)
from workbench.network import AddressBook, Admission, Server, echo, retrieve, security, store
from workbench.network._kept import kept
from workbench.network.association import connect
from workbench.network.authority import TestAuthority
from workbench.phantoms import ct_series

QUICK = Timeouts(connect_s=2, acse_s=1.5, dimse_s=5, network_s=5)
SECRET = "correct-horse-Battery"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return security.test_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return TestAuthority(tmp_path_factory.mktemp("stranger"), name="Another authority")


@pytest.fixture(scope="module")
def settings(authority, stranger):
    """What a client may come with."""
    return {
        "ours": authority.client,
        "of another authority": stranger.issue("client", trusting=authority.ca),
        "expired": authority.issue("late", days=-2),
        "none": Tls(ca=(authority.ca,)),
    }


@pytest.fixture
def server(archive, authority):
    with Server(archive, tls=authority.server, timeouts=QUICK) as server:
        yield server


def raw_client(tls, *, maximum=None, minimum=None):
    """A context of the standard library, without our own checks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(tls.ca[0])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = minimum or ssl.TLSVersion.TLSv1
    context.maximum_version = maximum or ssl.TLSVersion.TLSv1_3
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


@contextlib.contextmanager
def listening(serve):
    """A server whose conduct with each connection is `serve`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.settimeout(5)
                    with connection, contextlib.suppress(OSError):
                        serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield Peer("scripted", "SCRIPTED", port=listener.getsockname()[1], timeouts=QUICK)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def the_line(caplog, part):
    """Wait for the one log line of a refusal."""
    end = time.monotonic() + 5
    while not (lines := [r.getMessage() for r in caplog.records if part in r.getMessage()]) and time.monotonic() < end:
        time.sleep(0.02)
    assert len(lines) == 1, [r.getMessage() for r in caplog.records]
    return lines[0]


# ---------------------------------------------------------------- our server (N10)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(server, authority, script, version):
    """N10: the right certificate with TLS 1.2 or 1.3 -> associated."""
    context = raw_client(authority.client, minimum=version, maximum=version)
    with script.connect(server.port) as connection:
        connection.socket = context.wrap_socket(connection.socket)
        assert connection.socket.version() == version.name.replace("_", ".")
        assert "GCM" in connection.socket.cipher()[0]
        assert connection.associate() == {1: "1.2.840.10008.1.2"}
        assert connection.release() == 6


REFUSED = {
    "no certificate": ("none", {}, "it showed no certificate"),
    "wrong authority": ("of another authority", {}, "its certificate is not trusted"),
    "expired": ("expired", {}, "its certificate is not trusted: certificate has expired"),
    "TLS 1.1": ("ours", {"maximum": ssl.TLSVersion.TLSv1_1}, "it does not speak TLS 1.2 or 1.3"),
}


@pytest.mark.parametrize(("who", "versions", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_client_that_is_not_trusted_is_refused_with_one_line(server, archive, settings, script, caplog, who, versions, reason):
    """N10: no certificate, wrong authority, expired, TLS 1.1 -> refused before anything is read; one log line says why."""
    context = raw_client(settings[who], **versions)
    with caplog.at_level(logging.INFO), script.connect(server.port) as connection, contextlib.suppress(OSError):
        connection.socket = context.wrap_socket(connection.socket)
        connection.send(connection.request())
        assert connection.answer() == (0, b"")
    assert reason in the_line(caplog, "no association")
    assert echo(server.peer.but(tls=settings["ours"]))


@pytest.mark.parametrize("sent", ["a request", b"GET / HTTP/1.1\r\n\r\n", bytes(400)])
def test_plain_dicom_at_a_server_with_tls_is_refused(server, script, caplog, sent):
    """N10: plain DICOM, HTTP or noise -> refused with one log line, nothing answered in plain DICOM."""
    with caplog.at_level(logging.INFO), script.connect(server.port) as connection:
        connection.send(connection.request() if sent == "a request" else sent)
        heard = connection.socket.recv(65_536)
    assert heard[:1] in {b"", b"\x15"}  # nothing, or an alert of TLS
    assert "no TLS: it" in the_line(caplog, "no association")


def test_silent_clients_block_nobody(server, authority):
    """N10: clients that connect and say nothing -> others are served at once; the silent ones are closed at acse_s."""
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
    start = time.monotonic()
    assert echo(server.peer.but(tls=authority.client))
    assert time.monotonic() - start < 1.0
    for connection in silent:
        connection.settimeout(5)
        assert connection.recv(1) == b""
        connection.close()
    assert time.monotonic() - start < QUICK.acse_s + 2


def test_a_server_stops_while_handshakes_are_open(archive, authority):
    with Server(archive, tls=authority.server) as server:
        silent = socket.create_connection(("127.0.0.1", server.port))
        time.sleep(0.1)
        start = time.monotonic()
    assert time.monotonic() - start < 2
    silent.close()


def test_a_certificate_stands_for_certain_titles(archive, authority, caplog):
    """N10: the subject of a certificate is not in the map, or not with this AE title -> 1/1/3."""
    admission = Admission(titles_of={"CN=scanner": ["CT1", "CT2"]})
    scanner, other = authority.issue("scanner"), authority.issue("other")
    with Server(archive, tls=authority.server, admission=admission, timeouts=QUICK) as server, caplog.at_level(logging.INFO):
        assert echo(server.peer.but(tls=scanner, calling_ae_title="CT2"))
        for tls, title in ((scanner, "MR1"), (other, "CT1")):
            report = echo(server.peer.but(tls=tls, calling_ae_title=title))
            assert "calling AE title not recognized" in report.message
    assert "its certificate does not stand for its AE title" in caplog.text
    with pytest.raises(AttributeUnusable, match="pass tls="):
        Server(archive, admission=admission)


def test_a_client_without_a_certificate_where_none_is_required(archive, authority, settings):
    server_tls = authority.issue("open")
    with Server(archive, tls=Tls(server_tls.certificate, server_tls.key, require_client=False), timeouts=QUICK) as server:
        assert echo(server.peer.but(tls=settings["none"]))


def test_much_passes_in_both_directions_at_once(archive, authority, tmp_path):
    """Two megabytes an instance over four associations of TLS, then back by C-GET -> all bytes are the same."""
    datasets = list(ct_series(24, rows=1024, columns=1024))
    with Server(archive, tls=authority.server) as server, Archive(tmp_path / "back") as back:
        peer = server.peer.but(tls=authority.client, retrieve_by="get")
        assert store(peer, datasets, associations=4).complete
        assert retrieve(peer, StudyRef(study_instance_uid=str(datasets[0].StudyInstanceUID)), into=back).complete
        assert len(back) == 24
        for dataset in datasets:
            assert back.open(dataset.SOPInstanceUID).PixelData == dataset.PixelData


def test_fifty_at_once_lose_nothing_and_leave_nothing(archive, authority):
    """Fifty associations of TLS at once, six instances each -> all stored; threads and descriptors are back where they were."""
    datasets, process = list(ct_series(300, rows=16, columns=16)), psutil.Process()
    with Server(archive, tls=authority.server, max_associations=60) as server:
        peer = server.peer.but(tls=authority.client)
        assert echo(peer)
        time.sleep(0.3)
        before = threading.active_count(), process.num_fds()
        with ThreadPoolExecutor(50) as pool:
            reports = list(pool.map(lambda k: store(peer, datasets[6 * k : 6 * k + 6]), range(50)))
        assert all(report.complete for report in reports)
        assert len(archive) == 300
        end = time.monotonic() + 5
        while (threading.active_count(), process.num_fds()) != before and time.monotonic() < end:
            time.sleep(0.05)
        assert (threading.active_count(), process.num_fds()) == before


# ---------------------------------------------------------------- our client
def test_each_way_to_fail_is_named(server, settings, authority, stranger):
    """Layer tls, what failed and what to try, in each of them."""
    peer = server.peer.but(timeouts=QUICK)
    for tls, message in (
        (settings["none"], "it demands a certificate"),
        (settings["of another authority"], "does not trust the authority of our certificate"),
        (settings["expired"], "our certificate has expired"),
    ):
        report = echo(peer.but(tls=tls))
        assert (report.ok, report.layer) == (False, "tls")
        assert message in report.message
        assert "Tls(certificate=" in report.remedy
    with pytest.raises(PeerUnreachable, match="its certificate is not trusted") as caught:
        connect(peer.but(tls=stranger.client))
    assert caught.value.layer == "tls"
    with pytest.raises(PeerUnreachable, match=r"mismatch|match"):
        connect(peer.but(tls=Tls(*_pair(authority.client), ca=(authority.ca,), server_name="pacs.example.org")))
    report = echo(peer.but(tls=None))
    assert report.layer in {"tls", "association"}
    assert "TLS" in report.message + report.remedy


def _pair(tls):
    return tls.certificate, tls.key


def test_another_name_of_the_server_can_be_told(archive, authority):
    tls = authority.issue("elsewhere", hosts=("pacs.example.org",))
    client = authority.client
    with Server(archive, tls=tls, timeouts=QUICK) as server:
        told = echo(server.peer.but(tls=client))
        assert told.layer == "tls"
        assert "not valid for '127.0.0.1'. " in f"{told.message} {told.remedy}"
        assert ".." not in told.message
        for options in ({"server_name": "pacs.example.org"}, {"check_host": False}):
            assert echo(server.peer.but(tls=Tls(*_pair(client), ca=client.ca, **options)))


def test_a_server_of_old_versions_is_refused(authority):
    """N10: a server that has only TLS 1.1 -> AssociationAborted, layer tls."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(*_pair(authority.server))
    with (
        listening(lambda raw: context.wrap_socket(raw, server_side=True)) as peer,
        pytest.raises(AssociationAborted, match=r"TLS 1\.2 or 1\.3") as caught,
    ):
        connect(peer.but(tls=authority.client))
    assert caught.value.layer == "tls"


def test_a_server_that_speaks_something_else_or_nothing(authority, archive):
    with (
        listening(lambda raw: raw.sendall(b"220 mail.example.org\r\n" * 9)) as peer,
        pytest.raises(AssociationAborted, match="does not speak TLS"),
    ):
        connect(peer.but(tls=authority.client))
    with listening(lambda raw: time.sleep(2.5)) as peer:
        start = time.monotonic()
        with pytest.raises(PeerTimeout, match="no TLS handshake came to its end") as caught:
            connect(peer.but(tls=authority.client))
        assert caught.value.layer == "tls"
        assert time.monotonic() - start < QUICK.acse_s + 0.5
    with listening(lambda raw: None) as peer, pytest.raises(AssociationAborted, match="closed the connection"):
        connect(peer.but(tls=authority.client))
    with Server(archive, timeouts=QUICK) as plain:  # our own server without TLS
        assert echo(plain.peer.but(tls=authority.client)).layer == "tls"


# ---------------------------------------------------------------- settings
def test_the_profiles_offer_what_they_may(authority):
    """RFC 9325 4.2, PS3.15 B.12 and B.13: TLS 1.2 and 1.3, forward secrecy and authenticated encryption only."""
    offered = {}
    for profile in ("BCP 195", "Modified BCP 195"):
        context = security.client_context(Tls(ca=(authority.ca,), profile=profile))
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.verify_mode == ssl.CERT_REQUIRED
        offered[profile] = {c["name"] for c in context.get_ciphers() if c["protocol"] == "TLSv1.2"}
        assert all(c["aead"] for c in context.get_ciphers())
    suites = {f"ECDHE-{proof}-AES{size}" for proof in ("RSA", "ECDSA") for size in ("256-GCM-SHA384", "128-GCM-SHA256")}
    assert offered["BCP 195"] == suites
    assert all(name.startswith("ECDHE-") for name in offered["Modified BCP 195"])
    assert "ECDHE-RSA-CHACHA20-POLY1305" in offered["Modified BCP 195"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"profile": "AES TLS"}, "the others are retired"),
        ({"certificate": "a.pem"}, "come together"),
        ({"certificate": "-----BEGIN CERTIFICATE-----", "key": "k"}, "not their content"),
        ({"ca": [b"x"]}, "are paths"),
        ({"ca": 7}, "are paths"),
        ({"check_host": "no"}, "check_host is true or false"),
        ({"key_kept_in": SECRET}, "never the secret itself"),
    ],
)
def test_settings_that_can_not_be(fields, message):
    with pytest.raises(AttributeUnusable, match=message) as caught:
        Tls(**fields)
    assert SECRET not in str(caught.value)


def test_settings_that_would_fail_at_each_connection_are_told_when_they_are_made(authority, stranger, tmp_path):
    tls, late = authority.client, authority.issue("over", days=-2)
    assert security.tls_checked(tls) is tls
    gone, text = tmp_path / "gone.pem", tmp_path / "text.pem"
    text.write_text("text")
    for wrong, message in (
        (Tls(gone, tls.key, ca=tls.ca), r"The certificate .*gone\.pem can't be read: No such file"),
        (Tls(tls.certificate, gone, ca=tls.ca), r"The key .*gone\.pem can't be read: No such file"),
        (Tls(tls.certificate, tls.key, ca=(gone,)), r"The certificate of an authority .*gone\.pem can't be read"),
        (Tls(text, tls.key, ca=tls.ca), r"text\.pem holds no certificate in PEM form\.$"),
        (Tls(tls.key, tls.certificate, ca=tls.ca), r"holds a private key: were the two swapped\?"),
        (Tls(tls.certificate, text, ca=tls.ca), r"The key .*text\.pem is no private key"),
        (Tls(tls.certificate, stranger.client.key, ca=tls.ca), "does not belong"),
        (late, r"The certificate .*over\.pem expired on \d{4}-\d\d-\d\d\.$"),
    ):
        with pytest.raises(KeyRefused, match=message):
            security.tls_checked(wrong)
    before = datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(KeyRefused, match=r"is valid from 20\d\d-\d\d-\d\d only"):
        security.tls_checked(tls, now=before)
    both = tmp_path / "both.pem"  # of several authorities that are trusted, one that is over is no loss
    both.write_bytes(Path(late.certificate).read_bytes() + Path(authority.ca).read_bytes())
    assert security.tls_checked(Tls(tls.certificate, tls.key, ca=(both,)))


def test_tls_at_a_server_of_plain_dicom_is_told_in_its_log(archive, authority, caplog):
    with Server(archive, timeouts=QUICK) as server, caplog.at_level(logging.INFO):
        assert not echo(server.peer.but(tls=authority.client))
        assert "this looks like TLS, and plain DICOM is spoken here" in the_line(caplog, "no association")


def test_files_that_can_not_be_used_are_named(authority, stranger, tmp_path, monkeypatch):
    client, other = authority.client, stranger.client
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for tls, message in (
        (Tls(), "names no authority"),
        (Tls(ca=(tmp_path / "gone.pem",)), "No such file"),
        (Tls(ca=(wrong,)), r"wrong\.pem"),
        (Tls(client.certificate, other.key, ca=client.ca), "does not belong"),
        (Tls(client.certificate, str(tmp_path / "gone.key"), ca=client.ca), "No such file"),
    ):
        with pytest.raises(KeyRefused, match=message):
            security.client_context(tls)
    with pytest.raises(KeyRefused, match="needs Tls"):
        security.server_context(Tls(ca=client.ca))
    with pytest.raises(KeyRefused, match="names no authority"):
        security.server_context(Tls(client.certificate, client.key))
    monkeypatch.setenv("KEY_PASSPHRASE", SECRET)
    locked = authority.issue("locked", key_kept_in="env:KEY_PASSPHRASE")
    assert b"ENCRYPTED" in open(locked.key, "rb").read()  # noqa: PTH123, SIM115
    assert security.client_context(locked)
    with pytest.raises(KeyRefused, match="say where its passphrase is kept"):
        security.client_context(Tls(locked.certificate, locked.key, ca=locked.ca))
    monkeypatch.setenv("KEY_PASSPHRASE", "another")
    with pytest.raises(KeyRefused) as caught:
        security.client_context(locked)
    assert SECRET not in str(caught.value)


def test_the_keys_of_an_authority_are_private(authority):
    assert os.stat(authority.client.key).st_mode & 0o077 == 0  # noqa: PTH116
    with pytest.raises(InputError, match="names a certificate"):
        authority.issue("../x")


# ---------------------------------------------------------------- secrets
def test_where_secrets_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("WB_TEST_SECRET", SECRET)
    assert kept("env:WB_TEST_SECRET") == SECRET.encode()
    private = tmp_path / "passcode"
    private.write_text(SECRET + "\n")
    private.chmod(0o644)
    with pytest.raises(KeyRefused, match="Others can read") as caught:
        kept(f"file:{private}")
    assert SECRET not in str(caught.value)
    private.chmod(0o600)
    assert kept(f"file:{private}") == SECRET.encode()
    private.write_text("")
    for place, message in (
        (f"file:{private}", "is empty"),
        (f"file:{tmp_path / 'gone'}", "can't be read"),
        (f"file:{tmp_path}", "is not a file"),
        ("env:WB_TEST_NO_SECRET", "is not set"),
    ):
        with pytest.raises(KeyRefused, match=message):
            kept(place)


def test_users_whose_passcodes_are_kept_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "hashed").write_text(security.hashed("second") + "\n")
    (tmp_path / "hashed").chmod(0o600)
    monkeypatch.setenv("FIRST", "first")
    found = security.passcodes({"a": "env:FIRST", "b": f"file:{tmp_path / 'hashed'}"})
    assert found["b"] == (tmp_path / "hashed").read_text().strip()  # as it is: it is hashed already
    judge = security.identifier(found)
    claims = [("a", b"first"), ("b", b"second"), ("a", b"second"), ("b", found["b"].encode()), ("c", b"first")]
    assert [judge(security.Claim("passcode", user, secret)) for user, secret in claims] == [True, True, False, False, False]
    with pytest.raises(AttributeUnusable, match="never the secret itself") as refused:
        security.passcodes({"a": "geheim"})
    assert "geheim" not in str(refused.value)


def test_the_keyring_is_used_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ToolMissing, match="pip install keyring"):
        kept("keyring:pacs/reader")
    monkeypatch.delitem(sys.modules, "keyring")
    (tmp_path / "keyring.py").write_text(
        f"def get_password(service, user):\n    return {SECRET!r} if (service, user) == ('pacs', 'reader') else None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert kept("keyring:pacs/reader") == SECRET.encode()
    with pytest.raises(KeyRefused, match="keyring set pacs nobody"):
        kept("keyring:pacs/nobody")
    sys.modules.pop("keyring", None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "fingerprint"}, "username, passcode, kerberos, saml, jwt"),
        ({"kind": "username"}, "user is the username"),
        ({"kind": "jwt", "user": "reader", "kept_in": "env:X"}, "of no other"),
        ({"kind": "passcode", "user": "reader"}, "never the secret itself"),
        ({"kind": "passcode", "user": "reader", "kept_in": SECRET}, "never the secret itself"),
        ({"kind": "username", "user": "reader", "kept_in": "env:X"}, "has no secret"),
        ({"kind": "username", "user": "reader", "without_tls": "false"}, "is true or false"),
    ],
)
def test_identities_that_can_not_be(fields, message):
    with pytest.raises(AttributeUnusable, match=message) as caught:
        Identity(**fields)
    assert SECRET not in str(caught.value)


def test_no_secret_is_in_what_is_shown_or_kept(authority, tmp_path, monkeypatch):
    """A peer with a passcode and a locked key, as repr, HTML, pickle and address book -> names of places only."""
    monkeypatch.setenv("WB_TEST_SECRET", SECRET)
    locked = authority.issue("locked2", key_kept_in="env:WB_TEST_SECRET")
    shared = Tls(locked.certificate, locked.key, ca=locked.ca, key_kept_in=locked.key_kept_in, name="hospital")
    identity = Identity("passcode", user="reader", kept_in="env:WB_TEST_SECRET")
    peer = Peer("pacs", "PACS", tls=shared, identity=identity)
    book = AddressBook(tmp_path / "peers.toml")
    book.add(peer)
    book.add(peer.but(name="second", tls="hospital"))
    book.save()
    again = AddressBook.load(book.path)
    assert again.get("pacs") == peer
    assert again.get("second").tls == shared
    written = book.path.read_text()
    assert written.count(locked.certificate) == 1
    with open(locked.key, "rb") as file:  # noqa: PTH123
        key = file.read()
    for shown in (repr(peer), str(peer), book._repr_html_(), written, pickle.dumps(peer).decode("latin-1")):
        assert SECRET not in shown
        assert key.decode().splitlines()[1] not in shown
    with pytest.raises(PeerUnknown, match="no TLS settings 'clinic'; it has 'hospital'"):
        book.add(peer.but(tls="clinic"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[peers.a]\nae_title = "A"\ntls = "gone"', r"there is no table \[tls.gone\]"),
        ('[tls.x]\nprofile = "AES"\n', "the others are retired"),
        ('[tls.x]\nkeys = "AES"\n', "tls.x is a table of"),
        (f'[peers.a]\nae_title = "A"\nidentity = {{ kind = "passcode", user = "r", kept_in = "{SECRET}" }}', "never the secret"),
        (f'[peers.a]\nae_title = "A"\nidentity = {{ kind = "passcode", passcode = "{SECRET}" }}', "looks like a secret"),
    ],
)
def test_an_address_book_with_wrong_settings_is_refused(tmp_path, content, message):
    path = tmp_path / "peers.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        AddressBook.load(path)
    assert SECRET not in str(caught.value)


def test_settings_by_name_come_from_the_address_book(server, authority, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    client = authority.client
    book = AddressBook(tmp_path / "peers.toml", tls=(Tls(client.certificate, client.key, ca=client.ca, name="hospital"),))
    book.save()
    assert echo(server.peer.but(tls="hospital"))
    with pytest.raises(PeerUnknown, match="no TLS settings"):
        echo(server.peer.but(tls="clinic"))


def test_the_certificates_pass_the_check_of_openssl(authority, program):
    done = subprocess.run(
        [program("openssl"), "verify", "-x509_strict", "-CAfile", str(authority.ca), authority.server.certificate],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

"""TLS with DCMTK in both roles: who is trusted is served, everybody else is refused by name."""

import subprocess
import time

import pytest
from pydicom.dataset import Dataset

from tests.conftest import free_port, running
from workbench.archive import Archive
from workbench.entities import Peer, StudyRef, Timeouts, Tls
from workbench.files import save
from workbench.network import Server, contexts, echo, retrieve, security, store
from workbench.network.association import associate
from workbench.network.authority import TestAuthority
from workbench.phantoms import ct_series

_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
QUICK = Timeouts(connect_s=2, acse_s=3, dimse_s=10, network_s=10)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return security.test_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return TestAuthority(tmp_path_factory.mktemp("stranger"), name="Another authority")


@pytest.fixture
def paths(tmp_path):
    folder = tmp_path / "sent"
    folder.mkdir()
    return [save(dataset, folder / f"{k}.dcm") for k, dataset in enumerate(ct_series(8, rows=256, columns=256))]


@pytest.fixture
def secure_storescp(program, tmp_path, authority):
    """DCMTK's storescp in TLS, which insists on a client's certificate."""
    folder = tmp_path / "storescp"
    (folder / "received").mkdir(parents=True)
    port, tls = free_port(), authority.server
    arguments = [
        program("storescp"), "-v", "--fork", "+tls", tls.key, tls.certificate, "+cf", str(authority.ca),
        "-od", str(folder / "received"), str(port),
    ]  # fmt: skip
    with running(arguments, port=port, cwd=folder, log=folder / "log.txt"):
        yield Peer("storescp", "STORESCP", port=port, timeouts=QUICK), folder


def switches(tls, authority):
    """DCMTK's switches for a client with these settings."""
    own = ["+tls", tls.key, tls.certificate] if tls.certificate else ["+tla"]
    return [*own, "+cf", str(authority.ca)]


@pytest.fixture
def run(program):
    def call(name, *arguments, server):
        command = [program(name), "-v", *arguments, "-aec", "WORKBENCH", "127.0.0.1", str(server.port)]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False)

    return call


# ---------------------------------------------------------------- DCMTK asks
@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_echoscu_and_its_profiles(archive, authority, run, profile):
    """N10: DCMTK's client with the right certificate, in each of its profiles of BCP 195 -> verified."""
    with Server(archive, tls=authority.server, timeouts=QUICK) as server:
        done = run("echoscu", *switches(authority.client, authority), profile, server=server)
        assert done.returncode == 0, done.stderr


def test_storescu_stores_byte_for_byte(archive, authority, program, paths):
    with Server(archive, tls=authority.server, timeouts=QUICK) as server:
        command = [program("storescu"), *switches(authority.client, authority), "-aec", "WORKBENCH", "127.0.0.1", str(server.port)]
        done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    assert archive.counts().instances == len(paths)


def test_clients_of_dcmtk_that_are_not_trusted(archive, authority, stranger, run, caplog):
    """N10: no certificate, wrong authority, expired, plain, a retired profile without TLS 1.2 -> refused, each with a line."""
    cases = {
        "it showed no certificate": switches(Tls(ca=(authority.ca,)), authority),
        "its certificate is not trusted: unable to get local issuer certificate": switches(stranger.client, authority),
        "its certificate is not trusted: certificate has expired": switches(authority.issue("late", days=-1), authority),
        "it does not speak TLS": [],
    }
    with caplog.at_level("INFO", logger="workbench"), Server(archive, tls=authority.server, timeouts=QUICK) as server:
        for reason, arguments in cases.items():
            caplog.clear()
            assert run("echoscu", *arguments, server=server).returncode != 0
            end = time.monotonic() + 3
            while reason not in caplog.text and time.monotonic() < end:
                time.sleep(0.02)
            assert f"no association: no TLS: {reason}" in caplog.text
        assert run("echoscu", *switches(authority.client, authority), server=server).returncode == 0


def test_dcmtk_does_not_trust_our_server(archive, authority, stranger, run):
    with Server(archive, tls=stranger.issue("server", trusting=authority.ca), timeouts=QUICK) as server:
        done = run("echoscu", *switches(authority.client, authority), server=server)
        assert done.returncode != 0
        assert "certificate verify failed" in done.stderr + done.stdout


# ---------------------------------------------------------------- DCMTK answers
@pytest.mark.parametrize("profile", ["BCP 195", "Modified BCP 195"])
def test_storescp_takes_all(secure_storescp, authority, paths, profile):
    peer, folder = secure_storescp
    client = authority.client
    tls = Tls(client.certificate, client.key, ca=client.ca, profile=profile)
    assert store(peer.but(tls=tls), paths, associations=2).complete
    assert len(list((folder / "received").iterdir())) == len(paths)


def test_storescp_refuses_others(secure_storescp, authority, stranger):
    """N10: no certificate, wrong authority, expired, plain -> a named error of layer tls, and what to try."""
    peer, _ = secure_storescp
    for tls, message in (
        (Tls(ca=(authority.ca,)), "it demands a certificate"),
        (stranger.issue("client", trusting=authority.ca), "it does not trust the authority of our certificate"),
        (authority.issue("late", days=-1), "our certificate has expired"),
        (stranger.client, "its certificate is not trusted"),
    ):
        report = echo(peer.but(tls=tls))
        assert (report.ok, report.layer) == (False, "tls")
        assert message in report.message
        assert report.remedy
    assert "TLS" in echo(peer).remedy
    assert echo(peer.but(tls=authority.client))


def test_what_is_moved_comes_in_tls_too(archive, authority, secure_storescp, paths, tmp_path):
    """C-MOVE in TLS -> sub-operations to DCMTK in TLS, and to the server of our own retrieval in TLS."""
    peer, folder = secure_storescp
    for path in paths:
        ref = archive.add(path)
    study, port = StudyRef(study_instance_uid=ref.study_instance_uid), free_port()
    receiver = peer.but(ae_title="RECEIVER", tls=authority.client)
    own = Peer("own", "WORKBENCH", port=port, tls=authority.client)
    with Server(archive, tls=authority.server, known_peers=[receiver, own]) as server:
        asked = server.peer.but(tls=authority.issue("both"), retrieve_by="move")
        entity = asked.but(calling_ae_title="SOMEBODY")
        with associate(entity, contexts.service(_MOVE)) as association:
            identifier = Dataset()
            identifier.QueryRetrieveLevel, identifier.StudyInstanceUID = "STUDY", study.study_instance_uid
            *_, (final, _) = association.send_c_move(identifier, "RECEIVER", _MOVE)
        assert (final.Status, final.NumberOfCompletedSuboperations) == (0, len(paths))
        with Archive(tmp_path / "back") as back:
            assert retrieve(asked, study, into=back, move_port=port).complete
            assert len(back) == len(paths)
    assert len(list((folder / "received").iterdir())) == len(paths)

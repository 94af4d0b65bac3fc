"""Whom a system verifies: the peer that its statement names, on the wire, as the entity that it says."""

import pytest
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.sop_class import Verification

from workbench import devices
from workbench.department import Modality, Outcome
from workbench.entities import Peer

#: The entity's AE title, who is verified where all are there, and who else where that one is not (sections of the statements).
VERIFIED = {
    "meddream-videostation": ("SPACS", "PACS", ["PACS", "RIS"]),  # 4.2.1.3.1: a storage server or a worklist server
    "optos-v2-vantage": ("OPTOS-WRKQRY", "RIS", ["RIS"]),  # 4.1.1.3: the button that tests worklist connections
    "philips-vereos": ("DATABASE", "PACS", ["PACS", "RIS", "PRINTER"]),  # 4.2.1.3.1.1: any of its devices
    "topcon-sp1p": ("TP_AM_SP1P_001", "PACS", ["PACS", "RIS"]),  # 4.1.2.1.1: a remote verification AE
}
ROLES = {"PACS": "archive", "RIS": "ris", "PRINTER": "printer"}


@pytest.fixture(scope="module")
def asked():
    """Who asked whom for verification, as it stands in the associations."""
    return []


@pytest.fixture(scope="module")
def peers(asked):
    """A server of pynetdicom for each role, that answers C-ECHO."""

    def heard(event):
        asked.append((event.assoc.requestor.ae_title, event.assoc.requestor.primitive.called_ae_title))
        return 0

    running = {}
    for title, role in ROLES.items():
        entity = AE(ae_title=title)
        entity.add_supported_context(Verification, ALL_TRANSFER_SYNTAXES)
        running[role] = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_ECHO, heard)]), title
    yield {role: Peer(role, title, port=server.server_address[1]) for role, (server, title) in running.items()}
    for server, _ in running.values():
        server.shutdown()


@pytest.fixture(autouse=True)
def _nothing_asked(asked):
    asked.clear()


def verification(name):
    return [each for each in devices.profile(name).activities if each.does == "verify"]


@pytest.mark.parametrize("name", VERIFIED)
def test_a_system_verifies_whom_its_statement_names(peers, asked, name):
    title, called, _ = VERIFIED[name]
    (activity,) = verification(name)
    done = Modality(name, **peers).perform(activity)
    assert (done.outcome, done.peer, done.calling) == (Outcome.DONE, called, title)
    assert asked == [(title, called)]


@pytest.mark.parametrize("name", VERIFIED)
@pytest.mark.parametrize("alone", ROLES)
def test_where_one_peer_alone_is_there_it_is_verified_if_the_statement_has_it(peers, asked, name, alone):
    (activity,) = verification(name)
    done = Modality(name, **{ROLES[alone]: peers[ROLES[alone]]}).perform(activity)
    is_named = alone in VERIFIED[name][2]
    assert done.outcome is (Outcome.DONE if is_named else Outcome.NOT_HERE)
    assert [called for _, called in asked] == ([alone] if is_named else [])


def test_a_failed_row_says_who_was_to_be_verified(peers):
    (activity,) = verification("optos-v2-vantage")
    done = Modality("optos-v2-vantage", archive=peers["archive"], ris=peers["ris"].but(port=1)).perform(activity)
    assert (done.outcome, done.peer) == (Outcome.FAILED, "RIS")


def test_the_viewer_verifies_nobody(peers):
    """Its statement claims no verification as SCU."""
    assert verification("canon-vitrea-read") == []
    verifying = {
        row.entity
        for row in devices.sop_classes(devices.profile("canon-vitrea-read"), role="SCU")
        if row.uid == "1.2.840.10008.1.1"
    }
    assert verifying == set()

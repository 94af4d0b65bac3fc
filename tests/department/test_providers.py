"""The providers of the five systems: they accept, grant, answer and refuse what their statements say (C04)."""

import contextlib
import copy
import os
import signal
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from tests.network.scripted import EXPLICIT, IMPLICIT, STUDY_FIND, Scripted, command_set, element, status
from workbench import devices
from workbench.archive import Archive
from workbench.department import Modality
from workbench.entities import Peer, StudyRef
from workbench.errors import StatusFailure
from workbench.network import QueryOptions, QueryPolicy, Server, echo, find, retrieve, store, trace
from workbench.phantoms import ct_series

VEREOS = "philips-vereos"
ACCEPTING = {name: [e for e in devices.profile(name).entities if e.accepts] for name in devices.names()}
PROVIDERS = [(name, entity.id) for name, entities in ACCEPTING.items() for entity in entities]


@pytest.fixture(scope="module")
def images():
    return list(ct_series(2, rows=16, columns=16))


@contextlib.contextmanager
def vereos(images, **changes):
    profile = devices.profile(VEREOS)
    entities = tuple(replace(e, **changes) if e.accepts else e for e in profile.entities)
    with Modality(replace(profile, entities=entities)).receiving() as (server, archive):
        for image in images:
            archive.add(image)
        yield server


def test_three_systems_accept_associations_and_two_do_not():
    assert sorted(name for name, _ in PROVIDERS) == ["canon-vitrea-read", "meddream-videostation", VEREOS]


# ------------------------------------------------------------ negotiation
@pytest.mark.parametrize(("name", "entity_id"), PROVIDERS)
def test_it_introduces_itself_as_its_statement_says(name, entity_id):
    """C04: maximum PDU length, implementation class UID and version name, AE title of the A-ASSOCIATE-AC."""
    entity = devices.profile(name).entity(entity_id)
    uid = devices.contexts(devices.profile(name), entity=entity_id, role="SCP")[0].uid
    with Modality(name).receiving(entity_id) as (server, _), Scripted(server.port) as client:
        client.send(client.request([(1, uid, (EXPLICIT, IMPLICIT))], called=server.ae_title))
        kind, body = client.answer()
    assert kind == 2
    assert body[4:20].decode().strip() == (entity.ae_title or server.ae_title)
    assert entity.implementation_class_uid.encode() in body
    assert entity.implementation_version_name.encode() in body
    assert b"\x51\0\0\4" + entity.max_pdu_bytes.to_bytes(4, "big") in body


@pytest.mark.parametrize(("name", "entity_id"), PROVIDERS)
def test_it_accepts_the_pairs_of_its_statement_and_no_other(name, entity_id):
    """Every claimed class with every claimed syntax and one that is not -> the claimed are accepted, by exactly those."""
    profile = devices.profile(name)
    claimed: dict[str, set[str]] = {}
    for context in devices.contexts(profile, entity=entity_id, role="SCP"):
        claimed.setdefault(context.uid, set()).update(context.syntaxes)
    never = "1.2.826.0.1.3680043.10.1.99"
    asked = [(uid, syntax) for uid in [*sorted(claimed)[:60], never] for syntax in [*sorted(claimed.get(uid, ()))[:1], never]]
    asked.append((never, IMPLICIT))
    with Modality(name).receiving(entity_id) as (server, _), Scripted(server.port) as client:
        contexts = [(2 * number + 1, uid, (syntax,)) for number, (uid, syntax) in enumerate(asked)]
        accepted = client.associate(contexts, called=server.ae_title)
    expected = {number: syntax for number, uid, (syntax,) in contexts if syntax in claimed.get(uid, ())}
    assert expected
    assert accepted == expected


@pytest.mark.parametrize(("name", "entity_id"), PROVIDERS)
def test_called_titles_are_checked_where_the_statement_says_so(name, entity_id):
    entity = devices.profile(name).entity(entity_id)
    uid = devices.contexts(devices.profile(name), entity=entity_id, role="SCP")[0].uid
    with Modality(name).receiving(entity_id) as (server, _), Scripted(server.port) as client:
        answer = client.associate([(1, uid, (EXPLICIT, IMPLICIT))], called="SOMEBODY")
    assert entity.policy.checks_called is not False
    assert answer == (1, 1, 7)


def test_titles_are_as_the_policy_has_them(images):
    with vereos(images, policy=devices.Policy(checks_called=False)) as server:
        assert echo(server.peer.but(ae_title="SOMEBODY"))
    profile = devices.profile(VEREOS)
    strict = replace(profile, entities=tuple(replace(e, policy=devices.Policy(checks_calling=True)) for e in profile.entities))
    with Modality(strict).receiving(known={"friend": Peer("friend", "FRIEND")}) as (server, _):
        assert echo(server.peer.but(calling_ae_title="FRIEND"))
        refused = echo(server.peer.but(calling_ae_title="STRANGER"))
    assert not refused
    assert "calling AE title" in refused.message


@pytest.mark.parametrize(("name", "entity_id"), PROVIDERS)
def test_as_many_associations_as_the_statement_says(name, entity_id):
    """One more than max_accepted is rejected (2/3/2); where there is no limit, sixty come in."""
    entity = devices.profile(name).entity(entity_id)
    uid = devices.contexts(devices.profile(name), entity=entity_id, role="SCP")[0].uid
    most = entity.max_accepted or 60
    with Modality(name).receiving(entity_id) as (server, _), contextlib.ExitStack() as stack:
        for _ in range(most):
            client = stack.enter_context(Scripted(server.port))
            assert client.associate([(1, uid, (EXPLICIT, IMPLICIT))], called=server.ae_title)
        last = stack.enter_context(Scripted(server.port))
        answer = last.associate([(1, uid, (EXPLICIT, IMPLICIT))], called=server.ae_title)
    assert (answer == (2, 3, 2)) == bool(entity.max_accepted)


@pytest.mark.parametrize(("name", "entity_id"), PROVIDERS)
def test_time_outs_are_those_of_the_statement(name, entity_id):
    policy = devices.profile(name).entity(entity_id).policy
    with Modality(name).receiving(entity_id) as (server, _):
        for said, done in ((policy.acse_s, server.timeouts.acse_s), (policy.network_s, server.timeouts.network_s)):
            assert said in {None, done}


def test_a_request_that_does_not_come_in_time_ends_the_connection(images):
    with vereos(images, policy=devices.Policy(acse_s=0.3)) as server, Scripted(server.port, timeout=3) as client:
        assert client.is_closed()


# ------------------------------------------------------------ queries
def test_what_the_statement_does_not_offer_is_not_granted(images):
    """Table find-scp-extended: no relational queries -> asked level by level, with the same answers."""
    with vereos(images) as server, trace() as recorded:
        found = find(server.peer, level="SERIES", keys={"Modality": "CT"}, options=QueryOptions(relational=True, fuzzy=True))
    assert found.granted == frozenset()
    assert len(found) == 1
    assert sum(row.name == "C-FIND-RQ" for row in recorded.rows) == 2
    with vereos(images) as server, Scripted(server.port) as client:
        client.associate([(1, STUDY_FIND, (EXPLICIT,))], called=server.ae_title)
        client.message(1, command_set(e0002=STUDY_FIND, e0100=0x20, e0110=1, e0700=0, e0800=1), element(0x00080052, "CS", "SERIES"))
        assert status(client.response()) == 0xC000  # Table 45 has no A900


def scp_keys(level):
    rows = devices.keys(devices.profile(VEREOS), entity="dicom-manager", role="SCP")
    return {Tag(row.path.strip("()").replace(",", "")): row for row in rows if row.level == level}


def answered(server, level, **values):
    """Ask for everything that the archive knows at a level, over the wire; return the answers and the statuses."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in values.items():
        setattr(identifier, keyword, value)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, identifier)
    with Scripted(server.port) as client:
        client.associate([(1, STUDY_FIND, (EXPLICIT,))], called=server.ae_title)
        client.message(1, command_set(e0002=STUDY_FIND, e0100=0x20, e0110=1, e0700=0, e0800=1), buffer.getvalue())
        found, statuses = [], []
        while True:
            response = client.response()
            statuses.append(status(response))
            if statuses[-1] not in {0xFF00, 0xFF01}:
                return found, statuses
            found.append(_decoded(response["dataset"]))


def _decoded(encoded):
    return read_dataset(BytesIO(encoded), is_implicit_VR=False, is_little_endian=True)


@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_keys_of_table_44_are_answered_and_no_other(images, level):
    known = scp_keys(level)
    image = images[0]
    values = {keyword_for_tag(tag): None for tag in known}
    values |= {"StudyInstanceUID": image.StudyInstanceUID} if level != "STUDY" else {}
    values |= {"SeriesInstanceUID": image.SeriesInstanceUID} if level == "IMAGE" else {}
    others = {"InstitutionName": None, "StationName": None, "RetrieveAETitle": None, "InstanceAvailability": None}
    with vereos(images) as server:
        found, statuses = answered(server, level, **values, **others)
    assert len(found) == (2 if level == "IMAGE" else 1)
    assert set(statuses) == {0xFF00, 0}  # Table 45 has no FF01
    for answer in found:
        assert {element.tag for element in answer} - {0x00080005, 0x00080052} == set(known)


def test_a_key_with_universal_matching_alone_selects_nothing(images):
    """Table 44: Study Description is only returned, Patient ID is matched."""
    with vereos(images) as server:
        assert len(answered(server, "STUDY", StudyDescription="Nothing of that kind", PatientID=None)[0]) == 1
        assert len(answered(server, "STUDY", PatientID="nobody")[0]) == 0


def test_a_server_that_supports_fewer_keys_says_so(images, tmp_path):
    """PS3.4 C.4.1.1.4: FF01 where optional keys are not supported."""
    keys = {"STUDY": {Tag("StudyInstanceUID"): True, Tag("PatientID"): True}}
    with Archive(tmp_path) as archive:
        archive.add(images[0])
        with Server(archive, queries=QueryPolicy(grants=QueryOptions(), keys=keys)) as server:
            found, statuses = answered(server, "STUDY", StudyInstanceUID=None, StationName=None)
            assert statuses == [0xFF01, 0]
            assert "StationName" not in found[0]
            assert answered(server, "STUDY", StudyInstanceUID=None)[1] == [0xFF00, 0]
            told = find(server.peer, keys={"StudyDescription": None})
    assert "the peer does not support some of the optional keys" in told.notes


# ------------------------------------------------------------ statuses of Tables 45, 47 and 49
def test_a_destination_that_is_not_known(images):
    with vereos(images) as server, pytest.raises(StatusFailure) as caught:
        retrieve(server.peer, StudyRef(images[0].StudyInstanceUID), into=[].append, method="move", move_port=0)
    assert caught.value.status == 0xA801


# ------------------------------------------------------------ the command
def test_a_command_runs_a_provider_until_it_is_told_to_stop(images, tmp_path, free_port):
    port = free_port()
    environment = os.environ | {"WORKBENCH_PEERS": str(tmp_path / "peers.toml"), "PYTHONUNBUFFERED": "1"}
    command = [str(Path(sys.executable).with_name("workbench")), "device", "serve", VEREOS]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--folder", str(tmp_path / "kept")], env=environment, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert "Ctrl-C stops" in process.stdout.readline()
        peer = Peer("vereos", "DATABASE", port=port)
        assert store(peer, images).complete
        assert len(find(peer)) == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    finally:
        process.kill()
        said = process.stderr.read()
    assert str(images[0].PatientName) not in said
    assert len(list((tmp_path / "kept").rglob("*.dcm"))) == 2


def test_a_command_refuses_a_system_that_accepts_nothing():
    command = [str(Path(sys.executable).with_name("workbench")), "device", "serve", "topcon-sp1p"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "accepts no associations" in done.stderr


@pytest.mark.parametrize(
    ("name", "status"), [("meddream-videostation", 0x0110), ("philips-vereos", 0xC000), ("canon-vitrea-read", 0xC111)]
)
def test_a_store_that_fails_is_told_as_the_statement_has_it(name, status):
    """Table 24 and Table 49 have one failure each; Vitrea's statement has no statuses, so ours are told."""
    image = ct_series(1, rows=16)[0]
    other = copy.deepcopy(image)
    other.StudyDescription = "Something else"
    with Modality(name).receiving() as (server, _):
        assert store(server.peer, [image]).complete
        (row,) = store(server.peer, [other])
    assert row.status == status

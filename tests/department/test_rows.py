"""The rows of a system's activities: who was asked, as whom, and that nothing to do is not done."""

import pytest

from workbench.department import Department, Modality
from workbench.department.performed import Outcome
from workbench.entities import Peer
from workbench.errors import BuildRefused
from workbench.network import Commitment, Server, free_port
from workbench.phantoms import ct_series


def activity(system, does):
    return next(each for each in system.profile.activities if each.does == does)


def test_a_failed_row_says_whom_and_as_whom():
    nobody = Peer("archive", "PACS", port=free_port())
    row, *_ = Modality("topcon-sp1p", archive=nobody).run()
    assert (row.outcome, row.peer, row.calling) == (Outcome.FAILED, "PACS", "TP_AM_SP1P_001")


def test_an_association_refused_for_the_title_is_understood_from_the_row(archive):
    with Server(archive, require_calling_ae_titles=["OTHER"]) as server:
        system = Modality("optos-v2-vantage", archive=server.peer, ris=server.peer)
        rows = [system.perform(activity(system, does)) for does in ("verify", "worklist")]
    assert [row.outcome for row in rows] == [Outcome.FAILED] * 2
    assert {row.peer for row in rows} == {"WORKBENCH"}
    assert all(row.calling and row.calling != "OTHER" for row in rows)


@pytest.mark.parametrize("does", ["store", "commit", "step", "print"])
def test_where_there_is_nothing_to_do_it_is_not_done(archive, does):
    with Server(archive) as server:
        system = Modality("philips-vereos", archive=server.peer, ris=server.peer, printer=server.peer)
        row = system.perform(activity(system, does))
    assert (row.outcome.value, row.count) == ("nothing to do", 0)
    assert row.peer == server.ae_title


def test_an_object_that_is_refused_does_not_keep_the_others_from_being_made():
    system = Modality("philips-vereos")
    row = system.perform(activity(system, "acquire"))
    assert row.outcome is Outcome.DONE
    wanting = Modality("canon-vitrea-read")  # derives all that it makes, and has fetched nothing
    row = wanting.perform(activity(wanting, "acquire"))
    assert (row.outcome, row.count) == (Outcome.FAILED, 0)
    assert row.message.startswith("0 instances made. ")
    assert row.message.count("retrieve or acquire one first") == 2
    with pytest.raises(BuildRefused, match="retrieve or acquire one first"):
        wanting.acquire()


def test_instances_are_sent_to_the_entity_that_takes_them(archive):
    told = []
    for dataset in ct_series(2, rows=32, columns=32):
        archive.add(dataset)
    with Server(archive) as server:
        system = Modality("canon-vitrea-read", archive=server.peer, known_to=lambda peer: (told.append(peer), server.know(peer)))
        row = system.perform(activity(system, "retrieve"))
    assert (row.outcome, row.count, row.calling) == (Outcome.DONE, 2, "ID_QR_SCU")
    assert [peer.ae_title for peer in told] == ["VITREA_READ"]


def test_an_archive_that_knows_where_the_system_is(archive):
    for dataset in ct_series(2, rows=32, columns=32):
        archive.add(dataset)
    port = free_port()
    with Server(archive, known_peers={"viewer": Peer("viewer", "VITREA_READ", port=port)}) as server:
        lost = Modality("canon-vitrea-read", archive=server.peer)
        found = Modality("canon-vitrea-read", archive=server.peer, port=port)
        rows = [system.perform(activity(system, "retrieve")) for system in (lost, found)]
    assert [(row.outcome, row.count) for row in rows] == [(Outcome.NOT_HERE, 0), (Outcome.DONE, 2)]


def test_a_report_of_commitment_comes_where_the_archive_knows_the_system(archive):
    port = free_port()
    system = Modality("philips-vereos", listen=port)
    title = system.profile.entity(activity(system, "commit").entity).ae_title or ""
    known = {"scanner": Peer("scanner", title or "VEREOS", port=port)}
    with Server(archive, known_peers=known, providers=[Commitment(archive)]) as server:
        system.archive = server.peer
        rows = [system.perform(activity(system, does)) for does in ("acquire", "store", "commit")]
    assert [row.outcome for row in rows] == [Outcome.DONE] * 3


def test_each_row_is_told_when_it_is_over():
    told = []
    with Department(instances=[]) as department:
        rows = department.modalities["topcon-sp1p"].run(progress=told.append)
    assert told == list(rows)

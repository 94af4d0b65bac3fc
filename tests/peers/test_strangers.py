"""An Orthanc that does not know who calls accepts the association, and aborts it at the first request."""

import pytest

from tests.conftest import run_orthanc
from workbench import phantoms
from workbench.errors import AssociationAborted
from workbench.network import commit, find, store

ADVICE = "It may not know us as 'STRANGER': set calling_ae_title to what it knows"
CLOSED = {
    f"DicomAlwaysAllow{service}": False for service in ("Store", "Find", "FindWorklist", "Get", "Move")
}  # fmt: skip


@pytest.fixture(scope="module")
def closed(program, tmp_path_factory):
    with run_orthanc(program("Orthanc"), tmp_path_factory.mktemp("closed"), **CLOSED) as peer:
        yield peer.peer.but(calling_ae_title="STRANGER")


def test_a_query_says_that_the_calling_title_may_not_be_known(closed):
    with pytest.raises(AssociationAborted, match=ADVICE) as raised:
        find(closed)
    assert raised.value.by_peer
    assert raised.value.layer == "dimse"


def test_so_do_a_store_and_a_commitment(closed):
    image = phantoms.ct_series(1, rows=16)[0]
    (row,) = store(closed, [image])
    assert ADVICE in row.message
    (asked,) = commit(closed, [image], wait_s=2)
    assert ADVICE in asked.message


def test_who_is_known_is_not_told_so(closed):
    assert find(closed.but(calling_ae_title="WORKBENCH")) is not None

"""Storage commitment as a ledger: what reports do to it, whatever they say."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from workbench import phantoms
from workbench.errors import InputError
from workbench.network import Commitment, CommitmentReports, Server, commit
from workbench.network.providing import Refused

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
UIDS = ["1.2.1", "1.2.2", "1.2.3"]


def reference(uid, sop_class=CT, reason=None):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    if reason is not None:
        item.FailureReason = reason
    return item


def report(transaction, good=(), bad=()):
    event = Dataset()
    event.TransactionUID = transaction
    if good:
        event.ReferencedSOPSequence = [reference(*pair) for pair in good]
    if bad:
        event.FailedSOPSequence = [reference(uid, CT, reason) for uid, reason in bad]
    return event


references = st.lists(st.tuples(st.sampled_from([*UIDS, "1.2.9"]), st.sampled_from([CT, MR])), max_size=4)
failures = st.lists(st.tuples(st.sampled_from([*UIDS, "1.2.9"]), st.sampled_from([0x0110, 0x0112, 0x0213, 0xFFFF])), max_size=4)


@given(references, failures, st.sampled_from([1, 2]))
def test_committed_is_what_is_named_as_such_and_nothing_else(good, bad, kind):
    """Whatever a report holds: an instance is committed if it is named under its class and not as failed."""
    reports = CommitmentReports()
    transaction = reports.expect([(CT, uid) for uid in UIDS])
    reports.take(kind, report(transaction.uid, good, bad))
    for row in reports.report():
        is_good, is_bad = (row.sop_instance_uid, CT) in good, row.sop_instance_uid in dict(bad)
        assert (row.outcome == "committed") == (is_good and not is_bad)
        assert (row.reason in dict(bad).values()) if is_bad else row.reason in {None, 0x0119}


@given(st.lists(st.sampled_from(["good", "bad", "unknown", "event 3", "refuse"]), max_size=6))
def test_the_first_word_counts(acts):
    reports = CommitmentReports()
    transaction = reports.expect([(CT, "1.2.1")])
    model = "uncommitted"
    for act in acts:
        before = reports.report()
        if act in {"unknown", "event 3"}:
            with pytest.raises(Refused) as caught:
                reports.take(3 if act == "event 3" else 1, report("1.9" if act == "unknown" else transaction.uid, [("1.2.1", CT)]))
            assert caught.value.status == (0x0113 if act == "event 3" else 0x0115)
            assert reports.report() == before
        elif act == "refuse":
            reports.refuse(transaction, 0x0213, "no room")
        else:
            reports.take(1, report(transaction.uid, [("1.2.1", CT)], [("1.2.1", 0x0110)] if act == "bad" else ()))
            model = (
                model if transaction.state == "reported" and model != "uncommitted" else {"good": "committed", "bad": "failed"}[act]
            )
        assert str(reports.report()[0].outcome) == model


def test_a_report_without_reason_or_of_odd_shape():
    reports = CommitmentReports()
    transaction = reports.expect([(CT, "1.2.1")])
    event = report(transaction.uid)
    event.FailedSOPSequence = [reference("1.2.1"), Dataset()]
    event.ReferencedSOPSequence = [Dataset()]
    reports.take(2, event)
    (row,) = reports.report()
    assert (str(row.outcome), row.reason) == ("failed", 0x0110)


def test_many_ask_at_once_and_each_hears_of_its_own(archive):
    """Eight associations with several requests each: every instance is answered for, none twice, nothing is left waiting."""
    refs = [archive.add(image) for image in phantoms.ct_series(8, rows=16)]
    commitment, got = Commitment(archive), {}
    with Server(archive, providers=[commitment]) as server:

        def ask(number):
            unknown = (CT, f"1.2.3.{number}")
            got[number] = commit(server.peer, [*refs[number:], unknown], at_once=2, wait_s=30)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, found in got.items():
        assert [str(row.outcome) for row in found] == ["committed"] * (8 - number) + ["failed"]
        assert found[-1].sop_instance_uid == f"1.2.3.{number}"
    # who has its report may leave before its answer has been read
    assert set(commitment.table().reported) <= {"same association", "no answer"}


def test_cancelled_at_once(archive):
    ref = archive.add(phantoms.ct_series(1, rows=16)[0])
    with Server(archive, providers=[Commitment(archive, report="new")]) as server:
        began = time.monotonic()
        found = commit(server.peer, [ref], wait_s=30, cancel=lambda: True)
    assert time.monotonic() - began < 5
    assert str(found[0].outcome) == "uncommitted"


def test_what_can_not_be_set(archive):
    for options in ({"report": "later"}, {"attempts": 0}, {"pause_s": float("nan")}):
        with pytest.raises(InputError, match="report is 'auto'"):
            Commitment(archive, **options)

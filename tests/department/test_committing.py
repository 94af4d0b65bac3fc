"""Storage commitment as the Vereos asks for it: its answers to reports, and what it does where none comes, row for row."""

import contextlib
import dataclasses
import functools
import logging
import time

import pytest
from pydicom.dataset import Dataset

from tests.network.scripted import Listening
from tests.peers.conftest import Plain
from workbench import devices
from workbench.department import Modality, Outcome
from workbench.department._committing import report_policy
from workbench.network import CommitmentReports, ReportPolicy

VEREOS = devices.profile("philips-vereos")
(COMMIT,) = [a for a in VEREOS.activities if a.does == "commit"]
ROWS = [row for row in devices.statuses(VEREOS, activity=COMMIT.name) if row.source == "Table 36"]
#: The event of a report that is refused, by status: how it differs from one that is taken over.
SPOILT = {
    "0000": lambda event: None,
    "0211": lambda event: setattr(event, "TransactionUID", "1.2.3"),
    "0213": lambda event: None,  # too late
    "0113": lambda event: None,  # under event type 3
    "0110": lambda event: event.add_new(0x00081199, "LO", "no sequence"),
    "0115": lambda event: event.ReferencedSOPSequence.append(reference("1.2.3.4")),
}


@pytest.fixture
def plain():
    with contextlib.closing(Plain()) as made:
        yield made


@functools.cache
def images():
    return tuple(Modality(VEREOS).acquire()[:2])


def reference(uid, sop_class="1.2.840.10008.5.1.4.1.1.2"):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item


def event_of(information):
    event = Dataset()
    event.TransactionUID, event.ReferencedSOPSequence = information.TransactionUID, information.ReferencedSOPSequence
    return event


def answered(line):
    """Answer the request; return its information."""
    command, information = line.receive()
    line.answer(Plain.COMMITMENT, command, 0, e0002=Plain.COMMITMENT, e1000=Plain.COMMITMENT_INSTANCE)
    return information


def told(line, event, kind=1):
    """Report; return the status of the answer."""
    fields = {0x0002: Plain.COMMITMENT, 0x0100: Plain.N_EVENT, 0x0110: 5, 0x1000: Plain.COMMITMENT_INSTANCE, 0x1002: kind}
    line.send(Plain.COMMITMENT, fields, event)
    return line.receive()[0][0x0900]


def ready(peer, **policy):
    """Return a Vereos with two instances, and shorter time-outs."""
    policy = {"idle_s": 0.6, "acse_s": 0.6, "service_s": 0.6, **policy}
    entities = tuple(
        dataclasses.replace(e, policies=(("commit", devices.Policy(**policy)),)) if e.id == COMMIT.entity else e
        for e in VEREOS.entities
    )
    system = Modality(dataclasses.replace(VEREOS, entities=entities), archive=peer)
    system.made = list(images())
    return system


def spoil(row, system, event):
    """Make of a good report what this row answers; return its event type."""
    if row.code == "0213":
        system.reports.policy = dataclasses.replace(system.reports.policy, keep_s=0.01)
        time.sleep(0.05)
    SPOILT[row.code](event)
    return 3 if row.code == "0113" else 1


def test_each_row_stands_for_a_condition():
    policy, usual = report_policy(VEREOS), ReportPolicy()
    assert {row.code for row in ROWS} == set(SPOILT)
    codes = [policy.unknown, policy.expired, policy.event_type, policy.trouble, policy.foreign]
    assert codes == [0x0211, 0x0213, 0x0113, 0x0110, 0x0115]
    assert (usual.unknown, usual.foreign, usual.keep_s) == (0x0115, 0, None)
    assert report_policy(devices.profile("topcon-sp1p")) == usual


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_a_report_on_the_association_of_the_request(plain, row):
    statuses = []

    def conduct(line):
        event = event_of(answered(line))
        kind = spoil(row, system, event)
        statuses.append(told(line, event, kind))
        line.receive()

    system = ready(plain.listen(conduct, prefer=plain.EXPLICIT))
    done = system.perform(COMMIT)
    assert statuses == [int(row.code, 16)]
    assert (done.outcome, done.count) == ((Outcome.DONE, 2) if row.action == "success" else (Outcome.AWAITED, 0))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_a_report_on_an_association_of_the_peer(plain, row):
    """It comes after the release, to the system's own provider, with roles reversed (section 4.2.1.3.7)."""
    asked = []

    def conduct(line):
        asked.append(answered(line))
        line.receive()

    system = ready(plain.listen(conduct))
    done = system.perform(COMMIT)
    assert (done.outcome, done.count) == (Outcome.AWAITED, 0)
    assert "Table 34" in done.message
    event = event_of(asked[0])
    with system.receiving() as (server, _):
        kind = spoil(row, system, event)
        line = plain.call(server.peer, [plain.COMMITMENT], roles=[(plain.COMMITMENT, 0, 1)])
        assert told(line, event, kind) == int(row.code, 16)
        line.release()
    assert system.reports.report().complete == (row.action == "success")


def test_an_instance_that_was_never_asked_for_among_the_failed(plain):
    statuses = []

    def conduct(line):
        event = event_of(answered(line))
        event.FailedSOPSequence = [reference("1.2.3.4")]
        statuses.append(told(line, event, 2))
        del event.FailedSOPSequence
        statuses.append(told(line, event))  # what was refused has changed nothing: it can be put right
        line.receive()

    done = ready(plain.listen(conduct)).perform(COMMIT)
    assert statuses == [0x0115, 0x0000]
    assert (done.outcome, done.count) == (Outcome.DONE, 2)


EVENTS = [row for row in devices.events(VEREOS, activity=COMMIT.name) if row.activity]


@pytest.mark.parametrize("row", EVENTS, ids=lambda row: row.event)
def test_what_an_event_leads_to(plain, caplog, row):
    """Tables 34 and 35: reports, and what fails; the peer sees how the association ends."""
    ends = []

    def conduct(line):
        try:
            if row.event == "reply time-out":
                line.receive()
            else:
                event = event_of(answered(line))
                if "Failures" in row.event:
                    event.FailedSOPSequence = event.ReferencedSOPSequence
                    for item in event.FailedSOPSequence:
                        item.FailureReason = 0x0112
                    del event.ReferencedSOPSequence
                if row.event.startswith("Storage Commitment"):
                    told(line, event, 2 if "Failures" in row.event else 1)
                if row.event == "association aborted":
                    line.raw.sendall(bytes([7, 0, 0, 0, 0, 4, 0, 0, 2, 0]))
            line.receive()
        except (plain.Over, ConnectionError, TimeoutError) as over:
            ends.append(str(over))

    class Mute(Listening):
        def _serve(self, raw):
            raw.settimeout(5)
            with raw, contextlib.suppress(OSError):
                while data := raw.recv(4096):
                    ends.append(data[0])

    mute = Mute(None) if row.event == "ARTIM time-out" else None
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="workbench.department._committing"):
        done = ready(mute.peer if mute else plain.listen(conduct)).perform(COMMIT)
    assert time.monotonic() - began < 4
    if mute:
        mute.close()
        assert (done.outcome, ends) == (Outcome.FAILED, [1, 7])
        assert "within 0.6 s" in caplog.records[-1].getMessage()
        assert caplog.records[-1].name == "workbench.department._committing"
        return
    assert "workbench.department._committing" not in {record.name for record in caplog.records}
    outcome = {"success": Outcome.DONE, "failure": Outcome.FAILED}.get(row.action, Outcome.AWAITED)
    assert (done.outcome, done.count) == (outcome, 2 if row.action == "success" else 0), done
    assert ends == ["closed" if row.event == "association aborted" else "PDU 5"]


# ------------------------------------------------------------ what the policy can be
def test_what_a_policy_can_not_be():
    for options in ({"unknown": 0}, {"foreign": 0x10000}, {"trouble": "0110"}):
        with pytest.raises(Exception, match="status of a failure"):
            ReportPolicy(**options)
    for seconds in (0, -1.0, float("nan")):
        with pytest.raises(Exception, match="keep_s"):
            ReportPolicy(keep_s=seconds)


def test_of_too_many_requests_the_first_have_expired(monkeypatch):
    from workbench.network import commitment

    monkeypatch.setattr(commitment, "_MOST_TRANSACTIONS", 2)
    reports = CommitmentReports(policy=report_policy(VEREOS))
    first, *_ = [reports.expect([("1.2.840.10008.5.1.4.1.1.2", f"1.2.{n}")]) for n in range(3)]
    statuses = []
    for uid in (first.uid, "1.2.3"):
        event = Dataset()
        event.TransactionUID = uid
        with pytest.raises(commitment.Refused) as caught:
            reports.take(1, event)
        statuses.append(caught.value.status)
    assert (len(reports), statuses) == (2, [0x0213, 0x0211])

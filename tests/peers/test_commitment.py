"""Storage commitment with Orthanc in both roles, and with a second implementation that also does what it should not."""

import json
import time
import urllib.request

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from workbench import phantoms
from workbench.entities import InstanceRef, Peer
from workbench.errors import ContextRejected, InputError, PeerUnreachable
from workbench.network import Commitment, CommitmentReports, Server, commit, store
from workbench.network.commitment import PUSH_MODEL

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def images():
    return phantoms.ct_series(3, rows=32)


def outcomes(report):
    return [(str(row.outcome), row.reason) for row in report]


def eventually(true, seconds=15):
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)
    return true()


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


# ------------------------------------------------------------ Orthanc answers for what it has
@pytest.mark.parametrize("way", ["port", "running server"])
def test_orthanc_reports_on_a_new_association(orthanc, images, archive, way):
    """S08: what it has is committed, what it does not have is failed with 0x0112."""
    assert store(orthanc.peer, images).complete
    refs = [*images, (CT, generate_uid())]
    if way == "port":
        report = commit(orthanc.peer, refs, listen=orthanc.move_port, wait_s=20)
    else:
        reports = CommitmentReports()
        with Server(archive, port=orthanc.move_port, providers=[reports]):
            report = commit(orthanc.peer, refs, listen=reports, wait_s=20)
        assert outcomes(reports.report()) == outcomes(report)
    assert outcomes(report) == [("committed", None)] * 3 + [("failed", 0x0112)]
    assert [row.sop_instance_uid for row in report][:3] == [str(image.SOPInstanceUID) for image in images]
    assert not report.complete
    assert repr(report) == "CommitmentReport(3 committed, 1 failed)"
    assert "0x0112: no such instance is there" in report[3].message
    assert commit(orthanc.peer, images, listen=orthanc.move_port, wait_s=20).complete


def test_several_requests_on_one_association(orthanc, images):
    assert store(orthanc.peer, images).complete
    report = commit(orthanc.peer, images, listen=orthanc.move_port, wait_s=20, at_once=1)
    assert report.complete
    assert len({row.transaction_uid for row in report}) == 3


def test_without_an_ear_nothing_is_committed(orthanc, images):
    """S08: no report in time, so the local copy is kept."""
    assert store(orthanc.peer, images).complete
    said = []
    report = commit(orthanc.peer, images, wait_s=1, progress=said.append)
    assert outcomes(report) == [("uncommitted", None)] * 3
    (waiting,) = said
    assert waiting.startswith("Waiting up to 1 s for the report of storage commitment on the association of the request. The peer")
    assert "pass listen=" in report[0].message
    assert not report.complete


# ------------------------------------------------------------ Orthanc asks us
def ask(orthanc, archive_peer, refs):
    """Have Orthanc ask for commitment, and return its result when it has one."""

    def rest(method, path, body=None):
        url = orthanc.peer.web_url.removesuffix("dicom-web") + path
        request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    made = rest("POST", "modalities/workbench/storage-commitment", {"DicomInstances": refs})
    eventually(lambda: rest("GET", f"storage-commitment/{made['ID']}")["Status"] != "Pending")
    return rest("GET", f"storage-commitment/{made['ID']}")


def test_orthanc_asks_for_what_we_have(orthanc, images, archive):
    """S10: the damaged one is reported as such, with its reason; so are the others that can't be answered for."""
    commitment = Commitment(archive)  # the server knows where Orthanc is
    refs = [archive.add(image) for image in images]
    flipped(archive.path(refs[1]))
    pairs = [[ref.sop_class_uid, ref.sop_instance_uid] for ref in refs]
    unknown, elsewhere = [CT, "1.2.3.4"], ["1.2.840.10008.5.1.4.1.1.4", pairs[2][1]]
    with Server(archive, port=orthanc.move_port, providers=[commitment], known_peers=[orthanc.peer]) as server:
        assert ask(orthanc, server.peer, pairs[:1])["Status"] == "Success"
        result = ask(orthanc, server.peer, [pairs[0], pairs[1], unknown, elsewhere, ["1.2.840.10008.1.1", "1.2.3.5"]])
    assert result["Status"] == "Failure"
    assert [entry["SOPInstanceUID"] for entry in result["Success"]] == [pairs[0][1]]
    failed = {entry["SOPInstanceUID"]: entry["FailureReason"] for entry in result["Failures"]}
    assert failed == {pairs[1][1]: 0x0110, unknown[1]: 0x0112, elsewhere[1]: 0x0119, "1.2.3.5": 0x0122}
    assert eventually(lambda: set(commitment.table().reported) == {"new association"})
    assert commitment.table().failed.tolist() == [0, 4]
    assert "new association" in commitment._repr_html_()


# ------------------------------------------------------------ a second implementation asks us
def action(transaction, refs):
    information = Dataset()
    if transaction:
        information.TransactionUID = transaction
    items = []
    for sop_class, uid in refs:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        items.append(item)
    information.ReferencedSOPSequence = items
    return information


def request(plain, line, information, *, number=1, kind=1, instance=None):
    fields = {0x0003: plain.COMMITMENT, 0x0100: plain.N_ACTION, 0x0110: number, 0x1008: kind}
    line.send(plain.COMMITMENT, fields | {0x1001: instance or plain.COMMITMENT_INSTANCE}, information)


def event(plain, line, status=0):
    command, dataset = line.receive()
    assert command[0x0100] == plain.N_EVENT
    assert (command[0x0002], command[0x1000]) == (plain.COMMITMENT, plain.COMMITMENT_INSTANCE)
    line.answer(plain.COMMITMENT, command, status, e0002=plain.COMMITMENT, e1000=plain.COMMITMENT_INSTANCE)
    return command[0x1002], dataset


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_we_report_to_who_waits_on_the_same_association(plain, images, archive, syntax):
    commitment = Commitment(archive)
    ref = archive.add(images[0])
    with Server(archive, providers=[commitment]) as server:
        line = plain.call(server.peer, [plain.COMMITMENT], syntax=syntax)
        request(plain, line, action("1.2.9.1", [(CT, ref.sop_instance_uid)]))
        assert line.receive()[0][0x0900] == 0
        kind, report = event(plain, line)
        assert (kind, report.TransactionUID, report.RetrieveAETitle) == (1, "1.2.9.1", "WORKBENCH")
        assert [i.ReferencedSOPInstanceUID for i in report.ReferencedSOPSequence] == [ref.sop_instance_uid]
        assert "FailedSOPSequence" not in report
        # the same transaction UID again: it is in use
        request(plain, line, action("1.2.9.1", [(CT, ref.sop_instance_uid)]), number=2)
        assert line.receive()[0][0x0900] == 0
        kind, report = event(plain, line)
        assert (kind, report.FailedSOPSequence[0].FailureReason) == (2, 0x0131)
        # two at once: both are answered, then both reported
        request(plain, line, action("1.2.9.2", [(CT, ref.sop_instance_uid)]), number=3)
        request(plain, line, action("1.2.9.3", [(CT, "1.2.3")]), number=4)
        assert [line.receive()[0][0x0120] for _ in range(2)] == [3, 4]
        reports = {dataset.TransactionUID: kind for kind, dataset in (event(plain, line), event(plain, line))}
        assert reports == {"1.2.9.2": 1, "1.2.9.3": 2}
        assert line.release() == 6
        assert eventually(lambda: set(commitment.table().reported) == {"same association"})


def test_we_refuse_what_is_no_request(plain, archive):
    commitment = Commitment(archive)
    with Server(archive, providers=[commitment]) as server:
        line = plain.call(server.peer, [plain.COMMITMENT])
        for wanted, information, options in (
            (0x0123, action("1.2.9.1", [(CT, "1.2.3")]), {"kind": 2}),
            (0x0112, action("1.2.9.1", [(CT, "1.2.3")]), {"instance": "1.2.3"}),
            (0x0115, action("", [(CT, "1.2.3")]), {}),
            (0x0115, action("1.2.9.1", []), {}),
        ):
            request(plain, line, information, **options)
            assert line.receive()[0][0x0900] == wanted
        line.release()
    assert len(commitment) == 0


@pytest.mark.parametrize("report", ["auto", "new"])
def test_we_report_on_a_new_association_as_scp(plain, images, archive, report):
    """PS3.4 J.3.3.1.2: same AE title, SCP role proposed (PS3.7 D.3.3.4); tried again until somebody listens."""
    heard = []

    def conduct(line):
        heard.append((line.calling, line.roles.get(plain.COMMITMENT), event(plain, line)))
        line.receive()

    port = plain.listen(lambda line: line.raw.close()).port
    later = Peer("later", "PLAIN", port=port)
    commitment = Commitment(archive, known_peers={"later": later}, report=report, pause_s=0.5, attempts=4)
    ref = archive.add(images[0])
    with Server(archive, providers=[commitment]) as server:
        line = plain.call(server.peer, [plain.COMMITMENT])
        request(plain, line, action("1.2.9.1", [(CT, ref.sop_instance_uid)]))
        assert line.receive()[0][0x0900] == 0
        assert line.release() == 6
        time.sleep(0.7)
        assert eventually(lambda: commitment.table().reported[0].startswith("not reported"), 20)
        commitment = Commitment(archive, known_peers=[plain.listen(conduct)], report=report)
        server.stop()
    with Server(archive, ae_title="KEEPER", providers=[commitment]) as server:
        line = plain.call(server.peer, [plain.COMMITMENT])
        request(plain, line, action("1.2.9.2", [(CT, ref.sop_instance_uid)]))
        assert line.receive()[0][0x0900] == 0
        assert line.release() == 6
        assert eventually(lambda: commitment.table().reported[0] == "new association")
    ((calling, roles, (kind, dataset)),) = heard
    assert (calling, kind, dataset.TransactionUID) == ("KEEPER", 1, "1.2.9.2")
    assert roles[1] == 1


def test_an_unknown_requestor_that_leaves_is_noted(plain, archive):
    commitment = Commitment(archive)
    with Server(archive, providers=[commitment]) as server:
        line = plain.call(server.peer, [plain.COMMITMENT])
        request(plain, line, action("1.2.9.1", [(CT, "1.2.3")]))
        line.receive()
        line.release()
        assert eventually(lambda: commitment.table().reported[0] == "not reported: no address of the requestor is known")


# ------------------------------------------------------------ we ask a second implementation
def answering(plain, transaction_of, *, before=False, kind=None, then=lambda line: None):
    """A conduct that reports at once on the association of the request."""

    def conduct(line):
        waiting = []
        while True:
            command, information = waiting.pop(0) if waiting else line.receive()
            if not before:
                line.answer(plain.COMMITMENT, command, 0, e0002=plain.COMMITMENT, e1000=plain.COMMITMENT_INSTANCE)
            report = transaction_of(information)
            fields = {0x0002: plain.COMMITMENT, 0x0100: plain.N_EVENT, 0x0110: 77, 0x1000: plain.COMMITMENT_INSTANCE}
            line.send(plain.COMMITMENT, fields | {0x1002: kind or (2 if "FailedSOPSequence" in report else 1)}, report)
            while 0x0900 not in (came := line.receive())[0]:  # the next request may come first
                waiting.append(came)
            conduct.statuses.append(came[0][0x0900])
            if before:
                line.answer(plain.COMMITMENT, command, 0, e0002=plain.COMMITMENT, e1000=plain.COMMITMENT_INSTANCE)
            then(line)

    conduct.statuses = []
    return conduct


def all_good(information):
    report = Dataset()
    report.TransactionUID, report.ReferencedSOPSequence = information.TransactionUID, information.ReferencedSOPSequence
    return report


@pytest.mark.parametrize("before", [False, True])
def test_a_report_on_the_same_association(plain, images, before):
    """Also where it comes before the response to the request."""
    conduct = answering(plain, all_good, before=before)
    peer = plain.listen(conduct)
    began = time.monotonic()
    assert commit(peer, images, wait_s=10, at_once=2).complete
    assert time.monotonic() - began < 5
    assert conduct.statuses == [0, 0]


def test_all_reasons_in_words(plain):
    reasons = (0x0110, 0x0112, 0x0119, 0x0122, 0x0131, 0x0213, 0xABCD)

    def report(information):
        event = Dataset()
        event.TransactionUID, event.FailedSOPSequence = information.TransactionUID, information.ReferencedSOPSequence
        for item, reason in zip(event.FailedSOPSequence, reasons, strict=True):
            item.FailureReason = reason
        return event

    table = commit(plain.listen(answering(plain, report)), [(CT, f"1.2.3.{k}") for k in range(7)], wait_s=5).table()
    assert table.reason.tolist() == list(reasons)
    assert set(table.outcome) == {"failed"}
    assert [text.split(": ")[1].split(" (")[0] for text in table.message[:6]] == [
        "processing failure", "no such instance is there", "the instance is there under another SOP class",
        "the SOP class is not supported", "the transaction UID is in use already", "not enough resources",
    ]  # fmt: skip


def test_what_a_report_does_not_prove(plain, images):
    """Half a report, another class, success and failure at once: never committed."""

    def report(information):
        event = Dataset()
        event.TransactionUID = information.TransactionUID
        one, two, _ = information.ReferencedSOPSequence
        two.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        both = Dataset()
        both.update(one)
        both.FailureReason = 0x0213
        event.ReferencedSOPSequence, event.FailedSOPSequence = [one, two], [both]
        return event

    rows = commit(plain.listen(answering(plain, report)), images, wait_s=5)
    assert outcomes(rows) == [("failed", 0x0213), ("failed", 0x0119), ("uncommitted", None)]


@pytest.mark.parametrize(
    ("change", "kind", "status"),
    [
        (lambda event: setattr(event, "TransactionUID", "1.2.3"), None, 0x0115),
        (lambda event: delattr(event, "TransactionUID"), None, 0x0115),
        (lambda event: None, 7, 0x0113),
    ],
)
def test_a_report_on_nothing_we_asked(plain, images, change, kind, status):
    """S08: refused, and no state changes."""

    def report(information):
        event = all_good(information)
        change(event)
        return event

    conduct = answering(plain, report, kind=kind)
    rows = commit(plain.listen(conduct), images, wait_s=1)
    assert outcomes(rows) == [("uncommitted", None)] * 3
    assert conduct.statuses == [status]


def test_a_report_that_comes_twice(plain, images, archive):
    """The second one is acknowledged and changes nothing, whatever it says."""
    reports = CommitmentReports()

    def worse(information):
        event = all_good(information)
        del event.ReferencedSOPSequence
        return event

    with Server(archive, providers=[reports]) as server:
        assert commit(plain.listen(answering(plain, all_good)), images, wait_s=5, listen=reports).complete
        transaction = reports.report()[0].transaction_uid
        line = plain.call(server.peer, [plain.COMMITMENT], roles=[(plain.COMMITMENT, 0, 1)])
        assert line.roles[plain.COMMITMENT] == (0, 1)
        again = worse(action(transaction, []))
        fields = {0x0002: plain.COMMITMENT, 0x0100: plain.N_EVENT, 0x0110: 5, 0x1000: plain.COMMITMENT_INSTANCE, 0x1002: 1}
        line.send(plain.COMMITMENT, fields, again)
        assert line.receive()[0][0x0900] == 0
        again.TransactionUID = "1.2.3"
        line.send(plain.COMMITMENT, fields, again)
        assert line.receive()[0][0x0900] == 0x0115
        line.release()
    assert reports.report().complete
    assert "reported" in reports._repr_html_()


def test_a_late_report_is_still_taken(plain, images, archive):
    reports = CommitmentReports()
    asked = []

    def conduct(line):
        command, information = line.receive()
        asked.append(information)
        line.answer(plain.COMMITMENT, command, 0, e0002=plain.COMMITMENT, e1000=plain.COMMITMENT_INSTANCE)
        line.receive()

    with Server(archive, providers=[reports]) as server:
        early = commit(plain.listen(conduct), images, wait_s=0.5, listen=reports)
        assert outcomes(early) == [("uncommitted", None)] * 3
        line = plain.call(server.peer, [plain.COMMITMENT], roles=[(plain.COMMITMENT, 0, 1)])
        fields = {0x0002: plain.COMMITMENT, 0x0100: plain.N_EVENT, 0x0110: 5, 0x1000: plain.COMMITMENT_INSTANCE, 0x1002: 1}
        line.send(plain.COMMITMENT, fields, all_good(asked[0]))
        assert line.receive()[0][0x0900] == 0
        line.release()
    assert reports.report().complete


def test_a_peer_that_refuses_is_silent_or_leaves(plain, images):
    def refuses(line):
        command, _ = line.receive()
        line.answer(plain.COMMITMENT, command, 0x0213, e0002=plain.COMMITMENT, e1000=plain.COMMITMENT_INSTANCE)
        line.receive()

    def silent(line):
        line.receive()
        line.receive()

    def leaves(line):
        line.receive()
        line.raw.close()

    def stays_mute(line):
        command, _ = line.receive()
        line.answer(plain.COMMITMENT, command, 0, e0002=plain.COMMITMENT, e1000=plain.COMMITMENT_INSTANCE)
        line.raw.close()

    for conduct, reason, text in (
        (refuses, 0x0213, "status 0x0213, resource limitation"),
        (silent, None, "not answered within 3 s"),
        (leaves, None, "ended before the request was answered"),
        (stays_mute, None, "The peer ended the association after 0"),
    ):
        rows = commit(plain.listen(conduct), images, wait_s=2)
        assert outcomes(rows) == [("uncommitted", reason)] * 3
        assert text in rows[0].message


def test_the_wait_begins_when_all_is_asked(plain, images):
    """A peer that takes its time over each request has as much time for its reports."""

    def slow(line):
        asked = []
        while len(asked) < 3:
            command, information = line.receive()
            asked.append(all_good(information))
            time.sleep(0.6)
            line.answer(plain.COMMITMENT, command, 0, e0002=plain.COMMITMENT, e1000=plain.COMMITMENT_INSTANCE)
        time.sleep(0.3)
        fields = {0x0002: plain.COMMITMENT, 0x0100: plain.N_EVENT, 0x0110: 77, 0x1000: plain.COMMITMENT_INSTANCE, 0x1002: 1}
        for report in asked:
            line.send(plain.COMMITMENT, fields, report)
            line.receive()

    assert commit(plain.listen(slow), images, at_once=1, wait_s=1.5).complete


def test_what_was_never_asked_is_not_waited_for(plain, images):
    def leaves(line):
        line.receive()
        line.raw.close()

    start = time.monotonic()
    rows = commit(plain.listen(leaves), images, at_once=1, listen=CommitmentReports(), wait_s=30)
    assert time.monotonic() - start < 15
    assert [row.message.rpartition(" ")[2] for row in rows] == ["answered.", "sent.", "sent."]


def test_what_is_no_question(storescp, images):
    with pytest.raises(PeerUnreachable):
        commit(Peer("nobody", "NOBODY", port=1), images)
    with pytest.raises(ContextRejected, match="Storage Commitment"):
        commit(storescp().peer, images)
    for refs, text in (([], "no instance"), (["1.2.3"], "An instance is")):
        with pytest.raises(InputError, match=text):
            commit("A@localhost:1", refs)
    with pytest.raises(InputError, match="at_once"):
        commit("A@localhost:1", images, at_once=0)


def test_our_two_halves_meet(images, archive):
    commitment = Commitment(archive)
    refs = [archive.add(image) for image in images]
    with Server(archive, providers=[commitment]) as server:
        report = commit(server.peer, [*refs, InstanceRef("1.2", "1.3", CT, "1.2.3")], at_once=2, wait_s=10)
    assert outcomes(report) == [("committed", None)] * 3 + [("failed", 0x0112)]
    assert PUSH_MODEL in commitment.sop_classes

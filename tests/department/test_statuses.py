"""What the five systems do about statuses and failures of communication, row for row of their tables."""

import contextlib
import dataclasses
import functools
import struct
import time

import pytest

from tests.network.scripted import EXPLICIT, Accepted, Listening, command_set, element, item, items, pdu, status
from tests.network.scripted import Scripted as Connected
from workbench import devices
from workbench.department import Modality, Outcome, scheduled
from workbench.network import StoreOutcome
from workbench.phantoms import ct_series

STORING, QUERYING, MOVING, ECHOING = 0x0001, 0x0020, 0x0021, 0x0030
N_EVENT_REPORT, N_SET, N_ACTION, N_CREATE = 0x0100, 0x0120, 0x0130, 0x0140
PUSH_MODEL = "1.2.840.10008.1.20.1"
RELEASED, ABORTED = 5, 7
ANSWER = b"".join(
    element(tag, vr, value)
    for tag, vr, value in (
        (0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2"), (0x00080018, "UI", "1.2.3.4.5.6"),
        (0x00080052, "CS", "SERIES"), (0x00080060, "CS", "CT"), (0x00100010, "PN", "Planted^Identity"),
        (0x00100020, "LO", "PLANTED7"), (0x0020000D, "UI", "1.2.3.4"), (0x0020000E, "UI", "1.2.3.4.5"),
    )
)  # fmt: skip
#: One status that each way of writing several stands for.
ONE_OF = {"*": 0xB000, "Others": 0xA900, "<>0000": 0x0110, "Cxxx": 0xC123}


def rows(*kinds):
    """Every row of every table of statuses of an activity in which a system asks, of these kinds."""
    for name in devices.names():
        profile = devices.profile(name)
        for activity in profile.activities:
            if activity.does not in kinds:
                continue
            for row in devices.statuses(profile, entity=activity.entity, activity=activity.name):
                status = ONE_OF.get(row.code) if row.code in ONE_OF else int(row.code, 16)
                yield pytest.param(name, activity, row, status, id=f"{name}-{row.source.replace(' ', '')}-{row.code}")


class Scripted(Listening):
    """A provider that takes every context as it is proposed, and answers requests of one kind with statuses in their order.

    Parameters
    ----------
    field : int
        Command Field (0000,0100) of the requests; others are answered with success.
    statuses : list of int
        Their statuses; when there are no more, success. 0xFF00 is followed by success.
    reported : callable, optional
        Called with the connection and the request after the answer.
    """

    def __init__(self, field, statuses, reported=None, *, finds=False):
        self.finds = finds
        self.field, self.statuses, self.reported = field, list(statuses), reported
        self.requests, self.ends, self.asked, self.closed = [], [], [], False
        super().__init__(None)

    def _serve(self, raw):
        raw.settimeout(10)
        with Accepting(raw) as connection, contextlib.suppress(OSError):
            try:
                connection.accept()
                self.asked.append(connection.asked)
                while True:
                    self._answer(connection)
            finally:
                self.ends.append(connection.end)

    def _answer(self, connection):
        request = connection.response()
        command, uid = int.from_bytes(request[0x0100], "little"), request.get(0x0002, request.get(0x0003))
        if command & 0x8000:
            self.requests.append((command, status(request)))
            return
        self.requests.append((command, None))
        code = self.statuses.pop(0) if command == self.field and self.statuses else 0
        if command == QUERYING and self.finds:
            code = 0xFF00
        context_id = connection.context_id
        answer = {"e0002": uid, "e0100": command | 0x8000, "e0120": request[0x0110], "e0900": code}
        if code == 0xFF00:
            connection.message(context_id, command_set(**answer, e0800=1), ANSWER)
            answer["e0900"] = 0
        for number in (0x1000, 0x1001):  # an instance is named
            if number in request:
                answer["e1000"] = request[number]
        if command == N_ACTION:
            answer["e1008"] = request[0x1008]
        if command == MOVING:
            answer |= {"e1021": 0, "e1022": int(code == 0xB000), "e1023": 0}
        connection.message(context_id, command_set(**answer, e0800=0x0101))
        if self.reported is not None and not code:
            self.reported(connection, request)

    def close(self):
        if not self.closed:
            self.closed = True
            super().close()

    def count(self):
        """How many requests of its kind came."""
        return sum(command == self.field for command, _ in self.requests)


class Accepting(Accepted):
    """Takes the first transfer syntax of each context; remembers how the association ended, and under which context one asks."""

    end = 0
    context_id = 1

    def answer(self):
        try:
            kind, body = Connected.answer(self)
        except TimeoutError:
            raise ConnectionError from None
        if kind == 4:
            self.context_id = body[4]
        if kind in {0, 5, 7}:
            self.end = kind
            if kind == 5:
                self.send(pdu(6, bytes(4)))
            raise ConnectionError("the association is over")
        return kind, body

    def accept(self):
        kind, body = self.answer()
        assert kind == 1
        self.asked = body
        answer, user = body[:68] + item(0x10, b"1.2.840.10008.3.1.1.1"), b""
        for code, content in items(body[68:]):
            if code == 0x20:
                offered = [value.decode() for kind, value in items(content[4:]) if kind == 0x40]
                syntax = (EXPLICIT if EXPLICIT in offered else offered[0]).encode()
                answer += item(0x21, bytes([content[0], 0, 0, 0]) + item(0x40, syntax))
            elif code == 0x50:
                user = b"".join(item(0x54, role) for kind, role in items(content) if kind == 0x54)
        user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.826.0.1.3680043.9.1") + user
        self.send(pdu(2, answer + item(0x50, user)))


@pytest.fixture
def scripted():
    servers = []

    def start(*arguments, **options):
        servers.append(Scripted(*arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@functools.cache
def made(name):
    """What a system makes, up to three instances of one study."""
    system, found = Modality(name), []
    if name == "canon-vitrea-read":  # it marks images of others
        system.fetched = list(ct_series(2, rows=16, columns=16))
    while len(found) < 2:
        found += system.acquire()
    return tuple(found[:3])


def ready(name, **peers):
    """Return a system that has made what it makes."""
    system = Modality(name, **peers)
    system.made = list(made(name))
    return system


# ------------------------------------------------------------ storage
@pytest.mark.parametrize(("name", "activity", "row", "code"), list(rows("store")))
def test_storing(scripted, name, activity, row, code):
    server = scripted(STORING, [code])
    system = ready(name, archive=server.peer)
    done = system.perform(activity)
    stops = row.action == "abort" or system.profile.entity(activity.entity).policy.on_failure == "stop"
    server.close()
    first, *others = system.sent
    assert first.status == code
    if row.action in {"success", "warning"}:
        assert first.outcome is (StoreOutcome.WARNING if code else StoreOutcome.STORED)
        assert (done.outcome, server.count()) == (Outcome.DONE, len(system.made))
    else:
        assert first.outcome is StoreOutcome.FAILED
        assert (done.outcome, server.count()) == (Outcome.FAILED, 1 if stops else len(system.made))
        assert {each.outcome for each in others} == {StoreOutcome.FAILED if stops else StoreOutcome.STORED}
    assert server.ends[0] == (ABORTED if row.action == "abort" else RELEASED)
    if row.action == "abort":
        assert server.ends == [ABORTED]


# ------------------------------------------------------------ queries and retrievals
@pytest.mark.parametrize(("name", "activity", "row", "code"), list(rows("worklist", "query")))
def test_asking(scripted, name, activity, row, code):
    server = scripted(QUERYING, [code])
    done = Modality(name, archive=server.peer, ris=server.peer).perform(activity)
    server.close()
    assert done.outcome is (Outcome.FAILED if row.action == "failure" else Outcome.DONE)
    assert done.count == (row.action == "continue")
    assert server.ends == [RELEASED]
    if row.action == "failure":
        assert f"0x{code:04X}" in done.message


@pytest.mark.parametrize(("name", "activity", "row", "code"), list(rows("verify")))
def test_verifying(scripted, name, activity, row, code):
    server = scripted(ECHOING, [code])
    done = Modality(name, archive=server.peer).perform(activity)
    assert done.outcome is (Outcome.FAILED if row.action == "failure" else Outcome.DONE)


@pytest.mark.parametrize(("name", "activity", "row", "code"), list(rows("retrieve")))
def test_retrieving(scripted, name, activity, row, code):
    """The provider finds one image of a series, and ends its retrieval with the status."""
    server = scripted(MOVING, [code], finds=True)
    system = Modality(name, archive=server.peer, known_to=lambda _peer: None)
    done = system.perform(activity)
    assert server.count() >= 1, done
    if row.action != "success":
        assert done.outcome is Outcome.FAILED
        assert done.count == 0


# ------------------------------------------------------------ performed steps and commitment
@pytest.mark.parametrize(("name", "activity", "row", "code"), list(rows("step")))
def test_reporting_a_step(scripted, name, activity, row, code):
    """Table 21 is of N-CREATE, which comes with the acquisition, which goes on without it; Table 23 of N-SET."""
    profile = devices.profile(name)
    (table,) = [table for table in profile.of_kind("statuses", activity=activity.name) if table.source == row.source]
    is_create = "N-CREATE" in table.title
    server = scripted(N_CREATE if is_create else N_SET, [code])
    system = Modality(name, ris=server.peer)
    system.item = scheduled([profile])[0]
    acquire = next(a for a in profile.activities if a.does == "acquire")
    done = [system.perform(acquire), system.perform(activity)]
    assert server.count() >= 1
    assert done[0].outcome is Outcome.DONE
    outcome = done[0 if is_create and row.action != "failure" else 1].outcome
    assert (outcome is Outcome.FAILED) == (row.action == "failure"), done


def report(connection, request):
    """Report an N-ACTION request as successful, on the same association."""
    if int.from_bytes(request[0x0100], "little") == N_ACTION:
        command = command_set(e0002=PUSH_MODEL, e0100=N_EVENT_REPORT, e0110=9, e0800=1, e1000=f"{PUSH_MODEL}.1", e1002=1)
        connection.message(connection.context_id, command, request["dataset"])


@pytest.mark.parametrize(("name", "activity", "row", "code"), [each for each in rows("commit") if "Table37" in each.id])
def test_asking_for_commitment(scripted, name, activity, row, code):
    server = scripted(N_ACTION, [code], reported=report)
    system = ready(name, archive=server.peer)
    done = system.perform(activity)
    assert server.count() == 1
    assert done.outcome is (Outcome.FAILED if row.action == "failure" else Outcome.DONE), done
    assert done.count == (0 if row.action == "failure" else len(system.made))


def test_taking_over_a_report(scripted):
    """Table 36: success -> the result is taken over."""
    name = "philips-vereos"
    activity = next(a for a in devices.profile(name).activities if a.does == "commit")
    server = scripted(N_ACTION, [], reported=report)
    done = ready(name, archive=server.peer).perform(activity)
    server.close()
    assert [said for command, said in server.requests if command == N_EVENT_REPORT | 0x8000] == [0x0000]
    assert done.outcome is Outcome.DONE


# ------------------------------------------------------------ failures of communication
def talking(name, **policy):
    """Return a system with shorter time-outs, and the first thing that it does on the network with what it has made or asks."""
    profile = devices.profile(name)
    entities = tuple(dataclasses.replace(e, policy=dataclasses.replace(e.policy, **policy), policies=()) for e in profile.entities)
    activity = next(a for a in profile.activities if a.does in {"worklist", "store", "query"})
    return dataclasses.replace(profile, entities=entities), activity


class Failing(Listening):
    """A provider that fails as it is told: at the association or at the first request."""

    def __init__(self, how):
        self.how, self.connections, self.ends = how, 0, []
        super().__init__(None)

    def _serve(self, raw):
        self.connections += 1
        raw.settimeout(8)
        with Accepting(raw) as connection, contextlib.suppress(OSError):
            try:
                if self.how.startswith("reject"):
                    connection.answer()
                    connection.send(pdu(3, bytes([0, 2, 3, 2] if self.how == "reject for now" else [0, 1, 1, 7])))
                    return
                connection.accept()
                request = connection.response()
                if self.how == "abort after one":
                    answer = command_set(e0002=request[0x0002], e0100=0x8020, e0120=request[0x0110], e0800=1, e0900=0xFF00)
                    connection.message(connection.context_id, answer, ANSWER)
                if self.how.startswith("abort"):
                    connection.send(pdu(7, bytes([0, 0, 2, 0])))
                elif self.how == "stall":
                    connection.answer()
            finally:
                self.ends.append(connection.end)


@pytest.fixture
def failing():
    servers = []

    def start(how):
        servers.append(Failing(how))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def failed(name, server, **policy):
    profile, activity = talking(name, **policy)
    system = Modality(profile, archive=server.peer, ris=server.peer)
    system.made = list(made(name))
    started = time.monotonic()
    done = system.perform(activity)
    return done, time.monotonic() - started


@pytest.mark.parametrize("how", ["reject", "abort", "close", "stall"])
@pytest.mark.parametrize("name", devices.names())
def test_a_failure_of_communication_is_a_row_that_failed(failing, name, how):
    """Whatever the statement logs or shows of it: the activity has failed, in time, and the words say why."""
    server = failing(how)
    done, seconds = failed(name, server, attempts=1, dimse_s=0.6, service_s=0.6, acse_s=0.6, network_s=0.6)
    assert done.outcome is Outcome.FAILED
    assert seconds < 6
    said = {"reject": "called AE title", "abort": "abort", "close": "closed", "stall": "0.6"}[how]
    assert said in done.message
    assert server.connections >= 1


def test_optos_tries_three_times_where_it_is_rejected_for_now(failing):
    """Attempts of its statement: three associations an instance, then the activity has failed."""
    server = failing("reject for now")
    profile = devices.profile("optos-v2-vantage")
    system = ready("optos-v2-vantage", archive=server.peer)
    system.made = system.made[:1]
    done = system.perform(next(a for a in profile.activities if a.does == "store"))
    assert done.outcome is Outcome.FAILED
    assert server.connections == profile.entity("storage").policy.attempts == 3


@pytest.mark.parametrize("name", devices.names())
def test_nothing_is_done_where_nobody_is_configured(name):
    """Videostation, 4.2.2.3.1.1: no remote storage -> nothing is sent."""
    system = ready(name)
    rows = [system.perform(a) for a in system.profile.activities if a.does in {"verify", "worklist", "query", "store", "commit"}]
    assert {row.outcome for row in rows} == {Outcome.NOT_HERE}


# ------------------------------------------------------------ how it introduces itself
ASKING = [
    pytest.param(name, activity, id=f"{name}-{activity.does}")
    for name, profile in devices.profiles().items()
    for activity in profile.activities
    if activity.does in {"verify", "worklist", "query", "store", "commit"}
]


@pytest.mark.parametrize(("name", "activity"), ASKING)
def test_who_it_says_that_it_is(scripted, name, activity):
    """C04: AE titles, implementation class UID, version name and maximum PDU length of the A-ASSOCIATE-RQ, byte for byte."""
    server = scripted(N_ACTION, [], reported=report)
    system = ready(name, archive=server.peer, ris=server.peer)
    system.perform(activity)
    server.close()
    entity = system.profile.entity(activity.entity)
    assert server.asked
    for body in server.asked:
        assert body[4:20].decode().strip() == "SCRIPTED"
        assert body[20:36].decode().strip() == entity.ae_title
        (user,) = [content for kind, content in items(body[68:]) if kind == 0x50]
        said = dict(items(user))
        assert said[0x52].decode() == entity.implementation_class_uid
        assert said[0x55].decode() == entity.implementation_version_name
        if entity.max_pdu_bytes:
            assert struct.unpack(">I", said[0x51]) == (entity.max_pdu_bytes,)


@pytest.mark.parametrize(("name", "is_kept"), [("meddream-videostation", True), ("topcon-sp1p", False)])
def test_what_has_come_of_a_worklist_before_it_was_aborted(failing, name, is_kept):
    """VideoStation, Table 17: the pick-list gets what has come; of others the activity has failed."""
    server = failing("abort after one")
    profile, _ = talking(name)
    system = Modality(profile, ris=server.peer)
    done = system.perform(next(a for a in profile.activities if a.does == "worklist"))
    assert (done.outcome, done.count) == ((Outcome.DONE, 1) if is_kept else (Outcome.FAILED, 0))
    assert not is_kept or system.found.truncated

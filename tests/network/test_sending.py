"""Storing as another system does it: how many associations, what a failure and a warning mean."""

import pytest
from pynetdicom import AE, evt

from workbench.devices import Policy, profiles
from workbench.entities import Calling, Peer
from workbench.errors import InputError
from workbench.network import Retry, Sending, Server, StoreOutcome, store
from workbench.phantoms import ct_series

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
STORED, WARNING, FAILED = StoreOutcome.STORED, StoreOutcome.WARNING, StoreOutcome.FAILED


@pytest.fixture
def answering():
    """A function that starts a Storage SCP of pynetdicom that answers with these statuses in turn, and counts associations."""
    servers = []

    def start(*statuses):
        waiting, opened = list(statuses), []
        entity = AE(ae_title="ANSWERS")
        entity.add_supported_context(CT, [EXPLICIT, IMPLICIT])
        handlers = [
            (evt.EVT_C_STORE, lambda event: waiting.pop(0) if waiting else 0),
            (evt.EVT_ACCEPTED, lambda event: opened.append(event.assoc)),
        ]
        servers.append(entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers))
        return Peer("answers", "ANSWERS", port=servers[-1].socket.getsockname()[1]), opened

    yield start
    for server in servers:
        server.shutdown()


@pytest.fixture
def series():
    return list(ct_series(4, rows=16, columns=16))


def outcomes(report):
    return [row.outcome for row in report]


@pytest.mark.parametrize(("per", "expected"), [("job", 1), ("instance", 4)])
def test_one_association_for_all_or_one_for_each(answering, series, per, expected):
    peer, opened = answering()
    assert store(peer, series, policy=Sending(per=per)).complete
    assert len(opened) == expected


@pytest.mark.parametrize("per", ["job", "instance"])
def test_stop_at_the_first_failure_or_go_on(answering, series, per):
    """The second of four is refused -> the others are not sent, and said so; or they are."""
    peer, _ = answering(0, 0xA700, 0, 0)
    report = store(peer, series, policy=Sending(per=per, on_failure="stop"))
    assert outcomes(report) == [STORED, FAILED, FAILED, FAILED]
    assert [row.status for row in report] == [0, 0xA700, None, None]
    assert all("the policy is to stop" in row.message for row in report[2:])
    peer, _ = answering(0, 0xA700, 0, 0)
    assert outcomes(store(peer, series, policy=Sending(per=per))) == [STORED, FAILED, STORED, STORED]


def test_a_warning_is_success_or_failure(answering, series):
    peer, _ = answering(0, 0xB000, 0, 0)
    report = store(peer, series)
    assert outcomes(report) == [STORED, WARNING, STORED, STORED]
    assert report.complete
    peer, _ = answering(0, 0xB000, 0, 0)
    report = store(peer, series, policy=Sending(warning_is="failure"))
    assert outcomes(report) == [STORED, FAILED, STORED, STORED]
    assert "Here a warning counts as failure" in report[1].message
    peer, _ = answering(0, 0xB000, 0, 0)
    assert outcomes(store(peer, series, policy=Sending(warning_is="failure", on_failure="stop"))) == [
        STORED,
        FAILED,
        FAILED,
        FAILED,
    ]


def test_attempts_are_those_of_the_policy(free_port, series):
    """Nobody listens -> so many attempts, one association each; with 'stop' the others are not tried."""
    peer = Peer("gone", "GONE", port=free_port())
    waits = []

    class Counted(Retry):
        def wait_s(self, failures):
            waits.append(failures)
            return 0.0

    policy = Sending(per="instance", on_failure="stop", retry=Counted(attempts=3))
    report = store(peer, series, policy=policy)
    assert waits == [1, 2]
    assert outcomes(report) == [FAILED] * 4
    waits.clear()
    store(peer, series, policy=Sending(per="instance", retry=Counted(attempts=3)))
    assert waits == [1, 2] * 4
    waits.clear()
    store(peer, series[:1], policy=policy, retry=Counted(attempts=2))
    assert waits == [1]


def test_contexts_are_those_that_are_said(archive, series):
    """Only Implicit VR is proposed -> it is sent so; a class that is not proposed is refused."""
    with Server(archive) as server:
        peer = server.peer.but(calling=Calling("1.2.3.4", "OTHER_1", contexts=((CT, (IMPLICIT,)),)))
        report = store(peer, series)
        assert outcomes(report) == [STORED] * 4
        assert {row.sent_transfer_syntax_uid for row in report} == {IMPLICIT}


@pytest.mark.parametrize(
    ("fields", "message"), [({"per": "day"}, "per is 'job' or 'instance'"), ({"on_failure": "wait"}, "on_failure")]
)
def test_policies_that_can_not_be(fields, message):
    with pytest.raises(InputError, match=message):
        Sending(**fields)


def test_one_for_each_is_one_at_once(series):
    with pytest.raises(InputError, match="holds one at once"):
        store(Peer("x", "X"), series, policy=Sending(per="instance"), associations=2)


def test_what_profiles_say_becomes_a_policy():
    """Each entity's policy can be followed; what the statement says is what is done."""
    found = [entity.policy for profile in profiles().values() for entity in profile.entities]
    assert len(found) > 5
    for policy in found:
        sending = Sending.of(policy)
        for said, done in ((policy.associations_per, sending.per), (policy.on_failure, sending.on_failure)):
            assert said in {None, done}
        assert policy.attempts in {None, sending.retry.attempts}
    assert Sending.of(Policy()) == Sending()

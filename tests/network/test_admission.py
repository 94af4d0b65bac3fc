"""Who may come in, as whom, and what is on the wire then: with peers that are framed by hand."""

import contextlib
import logging
import pickle
import socket
import struct
import threading
import time

import pytest
from pynetdicom import AE, evt
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from tests.network.scripted import item, items, pdu
from workbench.entities import Calling, Identity, Peer, Timeouts
from workbench.errors import AssociationAborted, AttributeUnusable, InputError, KeyRefused, UidInvalid
from workbench.network import Admission, Server, contexts, echo, security
from workbench.network.association import associate
from workbench.network.security import Claim

QUICK = Timeouts(connect_s=2, acse_s=2, dimse_s=2, network_s=2)
VERIFICATION, IMPLICIT, EXPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ACCEPTED = {1: IMPLICIT}
SECRET, USER = "correct-horse-Battery", "reader.planted"


# ---------------------------------------------------------------- addresses, limits (N07, N08)
REJECTED = {
    "an address of nobody": (Admission(addresses=["192.0.2.0/24", "2001:db8::/32"]), (1, 1, 1)),
    "an address of another": (Admission(addresses_of={"SCRIPT": ["192.0.2.7"]}), (1, 1, 3)),
}


@pytest.mark.parametrize(("admission", "expected"), REJECTED.values(), ids=REJECTED)
def test_an_address_that_may_not_come_in(archive, script, caplog, admission, expected):
    """N07: a caller, or its AE title, from an address outside the ranges -> 1/1/1, 1/1/3; one log line."""
    with caplog.at_level(logging.INFO), Server(archive, admission=admission, timeouts=QUICK) as server:
        with script.connect(server.port) as connection:
            assert connection.associate() == expected
        with script.connect(server.port) as connection:
            assert connection.associate(called="OTHER")[0] == 1
    assert len([r for r in caplog.records if f"rejected {'/'.join(map(str, expected))}" in r.getMessage()]) >= 1


def test_addresses_that_may_come_in(archive, script):
    admission = Admission(addresses=["127.0.0.0/8"], addresses_of={"SCRIPT": ["127.0.0.1"], "OTHER": ["192.0.2.7"]})
    with Server(archive, admission=admission, timeouts=QUICK) as server, script.connect(server.port) as connection:
        assert connection.associate() == ACCEPTED


def test_one_title_may_have_so_many_associations(archive, script):
    """N08: more associations of one AE title than it may have -> 2/3/2; others come in; again when one has left."""
    with Server(archive, admission=Admission(per_title=2), timeouts=QUICK) as server, contextlib.ExitStack() as stack:
        held = [stack.enter_context(script.connect(server.port)) for _ in range(2)]
        assert [connection.associate() for connection in held] == [ACCEPTED] * 2
        with script.connect(server.port) as third, script.connect(server.port) as other:
            assert third.associate() == (2, 3, 2)
            assert other.associate(calling="OTHER") == ACCEPTED
        assert held[0].release() == 6
        for _ in range(40):
            with script.connect(server.port) as again:
                if again.associate() == ACCEPTED:
                    break
            time.sleep(0.025)
        else:
            pytest.fail("it is not let in again")


def test_another_application_context_is_rejected(archive, script):
    with Server(archive, timeouts=QUICK) as server, script.connect(server.port) as connection:
        connection.send(connection.request().replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9"))
        assert connection.answer() == (3, bytes([0, 1, 1, 2]))


@pytest.mark.parametrize(
    ("address", "places", "expected"),
    [
        ("10.20.255.1", ["10.20.0.0/16"], True),
        ("10.21.0.1", ["10.20.0.0/16"], False),
        ("::ffff:10.20.1.1", ["10.20.0.0/16"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
        ("no address", ["0.0.0.0/0"], False),
        ("192.0.2.7", [], True),
    ],
)
def test_ranges(address, places, expected):
    assert Admission(addresses=places).lets_in(address) is expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"addresses": ["10.0.0.1/8"]}, "no bits set behind the prefix"),
        ({"addresses": "10.0.0.0/8"}, "in a list"),
        ({"addresses_of": {"A\\B": ["10.0.0.1"]}}, "AE title"),
        ({"titles_of": {"CN=ct": "CT1"}}, "a collection of AE titles"),
        ({"per_title": 0}, "1 or more"),
    ],
)
def test_rules_that_can_not_be(fields, message):
    with pytest.raises(AttributeUnusable, match=message):
        Admission(**fields)


# ---------------------------------------------------------------- users, at our server (PS3.7 D.3.3.7)
def with_user(request, number, primary, secondary=b"", *, respond=False):
    """Add a User Identity Negotiation sub-item to an encoded request."""
    body = request[6:]
    parts = dict(found for found in items(body[68:]) if found[0] == 0x50)
    user = item(0x58, struct.pack(">BBH", number, respond, len(primary)) + primary + struct.pack(">H", len(secondary)) + secondary)
    start = len(body) - len(parts[0x50]) - 4
    return pdu(1, body[:start] + item(0x50, parts[0x50] + user))


def outcome(connection, sent):
    """Send a request; return the rejection, or the server's response to the user (None without)."""
    connection.send(sent)
    kind, body = connection.answer()
    if kind == 3:
        return tuple(body[1:4])
    assert kind == 2, kind
    (user,) = (content for code, content in items(body[68:]) if code == 0x50)
    answers = [content for code, content in items(user) if code == 0x59]
    return answers[0] if answers else None


USERS = {
    "right": (2, USER, SECRET, None),
    "wrong passcode": (2, USER, "wrong", (1, 2, 1)),
    "unknown user": (2, "nobody", SECRET, (1, 2, 1)),
    "no passcode": (2, USER, "", (1, 2, 1)),
    "a username alone": (1, USER, "", (1, 2, 1)),
    "a token where passcodes are asked for": (5, SECRET, "", (1, 2, 1)),
    "passcode of zero bytes": (2, USER, "\0" * 3, (1, 2, 1)),
    "nothing": (2, "", "", (1, 2, 1)),
}


@pytest.mark.parametrize("respond", [False, True])
@pytest.mark.parametrize(("number", "user", "passcode", "expected"), USERS.values(), ids=USERS)
def test_passcodes(archive, script, caplog, number, user, passcode, expected, respond):
    """A user's passcode is right, or anything else is -> accepted, with an empty response if asked; else 1/2/1; nothing logged."""
    with caplog.at_level(logging.DEBUG), Server(archive, identify={USER: security.hashed(SECRET)}, timeouts=QUICK) as server:
        with script.connect(server.port) as connection:
            sent = with_user(connection.request(), number, user.encode(), passcode.encode(), respond=respond)
            assert outcome(connection, sent) == (expected or (struct.pack(">H", 0) if respond else None))
        with script.connect(server.port) as connection:  # it does not name a user
            assert connection.associate() == (1, 2, 1)
        shown = repr(server) + server._repr_html_()
    for text in (caplog.text, shown):
        assert SECRET not in text
        assert USER not in text


def test_a_type_of_identity_that_is_none_is_refused(archive, script):
    with Server(archive, identify={USER: security.hashed(SECRET)}, timeouts=QUICK) as server:
        with script.connect(server.port) as connection:
            connection.send(with_user(connection.request(), 77, USER.encode(), SECRET.encode()))
            assert connection.answer()[0] in {0, 3, 7}
        with script.connect(server.port) as connection:
            assert outcome(connection, with_user(connection.request(), 2, USER.encode(), SECRET.encode())) is None


@pytest.mark.parametrize(("number", "kind"), [(3, "kerberos"), (4, "saml"), (5, "jwt")])
def test_tickets_assertions_and_tokens_are_judged_by_a_function(archive, script, number, kind):
    """PS3.7 D.3.3.7.2: the judge's bytes are the server response, where one is asked for."""
    seen = []

    def judge(claim):
        seen.append(claim)
        return b"answer" if claim.secret == SECRET.encode() else False

    with Server(archive, identify=judge, timeouts=QUICK) as server:
        for respond, expected in ((True, struct.pack(">H", 6) + b"answer"), (False, None)):
            with script.connect(server.port) as connection:
                sent = with_user(connection.request(), number, SECRET.encode(), respond=respond)
                assert outcome(connection, sent) == expected
        with script.connect(server.port) as connection:
            assert outcome(connection, with_user(connection.request(), number, b"forged", respond=True)) == (1, 2, 1)
    assert [(claim.kind, claim.user, claim.calling_ae_title, claim.address) for claim in seen] == [
        (kind, "", "SCRIPT", "127.0.0.1")
    ] * 3
    assert SECRET not in repr(seen[0])
    with pytest.raises(KeyRefused):
        pickle.dumps(seen[0])


def test_a_judge_that_fails_lets_nobody_in(archive, script, caplog):
    def judge(claim):
        raise RuntimeError(claim.secret.decode())

    with (
        caplog.at_level(logging.DEBUG),
        Server(archive, identify=judge, timeouts=QUICK) as server,
        script.connect(server.port) as peer,
    ):
        assert outcome(peer, with_user(peer.request(), 2, USER.encode(), SECRET.encode())) == (1, 2, 1)
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text


def test_a_user_may_be_optional_and_is_not_asked_for_by_default(archive, script):
    judge = {USER: security.hashed(SECRET)}
    with Server(archive, identify=judge, admission=Admission(identity_optional=True), timeouts=QUICK) as server:
        with script.connect(server.port) as connection:
            assert connection.associate() == ACCEPTED
        with script.connect(server.port) as connection:
            assert outcome(connection, with_user(connection.request(), 2, USER.encode(), b"wrong")) == (1, 2, 1)
    with Server(archive, timeouts=QUICK) as server, script.connect(server.port) as connection:
        # a server that does not know identities accepts, and says nothing to them
        assert outcome(connection, with_user(connection.request(), 2, USER.encode(), b"x", respond=True)) is None


def test_passcodes_must_be_hashed():
    with pytest.raises(InputError, match="is not hashed") as caught:
        Server(None, identify={USER: SECRET})
    assert SECRET not in str(caught.value)
    with pytest.raises(InputError, match="a function of a Claim"):
        Server(None, identify=7)
    judge = security.identifier({USER: security.hashed(SECRET)})
    assert judge(Claim("passcode", USER, SECRET.encode()))
    assert not judge(Claim("jwt", USER, SECRET.encode()))


# ---------------------------------------------------------------- users, as our client
@contextlib.contextmanager
def hand_framed(heard, answer):
    """A server framed by hand: keeps requests in `heard`; accepts with `answer` as a sub-item, or rejects with 3 bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    raw, _ = listener.accept()
                    with raw, contextlib.suppress(OSError):
                        raw.settimeout(5)
                        head = raw.recv(6, socket.MSG_WAITALL)
                        body = raw.recv(int.from_bytes(head[2:], "big"), socket.MSG_WAITALL)
                        heard.append(body)
                        if len(answer) == 3:
                            raw.sendall(pdu(3, b"\0" + answer))
                        else:
                            user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3") + answer
                            syntax = item(0x21, bytes([1, 0, 0, 0]) + item(0x40, IMPLICIT.encode()))
                            raw.sendall(pdu(2, body[:68] + item(0x10, b"1.2.840.10008.3.1.1.1") + syntax + item(0x50, user)))
                        while raw.recv(65_536):
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Peer("framed", "FRAMED", port=listener.getsockname()[1], timeouts=QUICK)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def user_items(body):
    (user,) = (content for code, content in items(body[68:]) if code == 0x50)
    return dict(items(user))


SENT = {
    "username": (Identity("username", user=USER), b"\1\1" + struct.pack(">H", len(USER)) + USER.encode() + b"\0\0"),
    "passcode": (
        Identity("passcode", user=USER, kept_in="env:WB_SECRET", without_tls=True),
        b"\2\1" + struct.pack(">H", len(USER)) + USER.encode() + struct.pack(">H", len(SECRET)) + SECRET.encode(),
    ),
    "jwt": (
        Identity("jwt", kept_in="env:WB_SECRET", without_tls=True),
        b"\5\1" + struct.pack(">H", len(SECRET)) + SECRET.encode() + b"\0\0",
    ),
    "saml": (
        Identity("saml", kept_in="env:WB_SECRET", without_tls=True),
        b"\4\1" + struct.pack(">H", len(SECRET)) + SECRET.encode() + b"\0\0",
    ),
    "kerberos": (Identity("kerberos", kept_in="env:WB_TICKET", without_tls=True), b"\3\1\0\4\xff\0\1\2\0\0"),
}


@pytest.mark.parametrize(("identity", "expected"), SENT.values(), ids=SENT)
def test_what_is_sent_of_a_user(monkeypatch, caplog, identity, expected):
    """PS3.7 Table D.3-14, byte for byte; the response comes; nothing of it is logged."""
    monkeypatch.setenv("WB_SECRET", SECRET)
    monkeypatch.setenv("WB_TICKET", "/wABAg==")
    heard = []
    with (
        caplog.at_level(logging.DEBUG),
        hand_framed(heard, item(0x59, b"\0\0")) as peer,
        associate(peer.but(identity=identity), contexts.service(VERIFICATION)) as association,
    ):
        assert association.is_established
    assert user_items(heard[0])[0x58] == expected
    assert SECRET not in caplog.text
    assert USER not in caplog.text


def test_a_server_that_does_not_confirm_is_left(monkeypatch):
    """A positive response was asked for and does not come -> error of layer identity; without asking the association stands."""
    heard = []
    identity = Identity("username", user=USER)
    with hand_framed(heard, b"") as peer:
        with (
            pytest.raises(AssociationAborted, match="did not confirm the user") as caught,
            associate(peer.but(identity=identity), contexts.service(VERIFICATION)),
        ):
            pytest.fail("it went on")
        assert caught.value.layer == "identity"
        assert echo(peer.but(identity=identity)).layer == "identity"
        quiet = Identity("username", user=USER, confirm=False)
        with associate(peer.but(identity=quiet), contexts.service(VERIFICATION)) as association:
            assert association.is_established
    assert user_items(heard[-1])[0x58][:2] == b"\1\0"


def test_a_user_who_is_not_known_is_told_so():
    with hand_framed([], bytes([1, 2, 1])) as peer:
        report = echo(peer.but(identity=Identity("username", user=USER)))
        assert "permanent, service provider (ACSE), no reason given" in report.message


def test_no_secret_leaves_without_tls(monkeypatch):
    """A passcode or token without TLS is refused before anything is sent, unless it is said so."""
    monkeypatch.setenv("WB_SECRET", SECRET)
    heard = []
    with hand_framed(heard, b"") as peer:
        for identity in (Identity("passcode", user=USER, kept_in="env:WB_SECRET"), Identity("jwt", kept_in="env:WB_SECRET")):
            with pytest.raises(KeyRefused, match="readable by everybody on the way") as caught:
                echo(peer.but(identity=identity))
            assert SECRET not in str(caught.value)
        monkeypatch.delenv("WB_SECRET")
        with pytest.raises(KeyRefused, match="WB_SECRET is not set"):
            echo(peer.but(identity=Identity("jwt", kept_in="env:WB_SECRET", without_tls=True)))
        monkeypatch.setenv("WB_SECRET", "not Base64!")
        with pytest.raises(KeyRefused, match="not in Base64"):
            echo(peer.but(identity=Identity("kerberos", kept_in="env:WB_SECRET", without_tls=True)))
    assert heard == []


def test_a_user_over_tls_from_end_to_end(archive, tmp_path, monkeypatch):
    authority = security.test_authority(tmp_path / "ca")
    monkeypatch.setenv("WB_SECRET", SECRET)
    with Server(archive, tls=authority.server, identify={USER: security.hashed(SECRET)}, timeouts=QUICK) as server:
        peer = server.peer.but(tls=authority.client, identity=Identity("passcode", user=USER, kept_in="env:WB_SECRET"))
        assert echo(peer)
        monkeypatch.setenv("WB_SECRET", "wrong")
        assert echo(peer).layer == "association"
        assert echo(server.peer.but(tls=authority.client)).layer == "association"


# ---------------------------------------------------------------- with another implementation
def test_users_of_pynetdicom(archive):
    """A requestor of pynetdicom with a passcode, right or wrong -> let in, or rejected 1/2/1."""
    with Server(archive, identify={USER: security.hashed(SECRET)}, timeouts=QUICK) as server:
        for passcode, expected in ((SECRET, True), ("wrong", False)):
            item = UserIdentityNegotiation()
            item.user_identity_type, item.positive_response_requested = 2, True
            item.primary_field, item.secondary_field = USER.encode(), passcode.encode()
            entity = AE(ae_title="OTHER")
            entity.add_requested_context(VERIFICATION)
            association = entity.associate("127.0.0.1", server.port, ae_title="WORKBENCH", ext_neg=[item])
            assert association.is_established is expected
            assert association.is_rejected is not expected
            if expected:
                assert association.acceptor.user_identity.server_response == b""
                assert association.send_c_echo().Status == 0
                association.release()
            else:
                answer = association.acceptor.primitive
                assert (answer.result, answer.result_source, answer.diagnostic) == (1, 2, 1)


def test_our_user_at_pynetdicom(monkeypatch):
    """An acceptor of pynetdicom judges our token, and responds to it."""
    monkeypatch.setenv("WB_SECRET", SECRET)
    seen = []

    def judge(event):
        seen.append((event.user_id_type, event.primary_field))
        return event.primary_field == SECRET.encode(), b"welcome"

    entity = AE(ae_title="OTHER")
    entity.add_supported_context(VERIFICATION)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_USER_ID, judge)])
    try:
        peer = Peer("other", "OTHER", port=server.socket.getsockname()[1], timeouts=QUICK)
        identity = Identity("jwt", kept_in="env:WB_SECRET", without_tls=True)
        assert echo(peer.but(identity=identity))
        monkeypatch.setenv("WB_SECRET", "forged")
        assert echo(peer.but(identity=identity)).layer == "association"
    finally:
        server.shutdown()
    assert seen == [(5, SECRET.encode()), (5, b"forged")]


# ---------------------------------------------------------------- as another system (C04)
def test_a_request_as_another_system_makes_it():
    """C04: implementation, maximum length and contexts on the wire are those that were said."""
    calling = Calling("1.2.3.4.5", "OTHER_1", contexts=((CT, (EXPLICIT, IMPLICIT)), (VERIFICATION, (IMPLICIT,))))
    heard = []
    with hand_framed(heard, b"") as peer:
        echo(peer.but(calling=calling, max_pdu_bytes=32_768, calling_ae_title="OTHER"))
        echo(peer)
    proposed = [items(content[4:]) for code, content in items(heard[0][68:]) if code == 0x20]
    said = [[value.decode() for _, value in context] for context in proposed]
    assert said == [[CT, EXPLICIT, IMPLICIT], [VERIFICATION, IMPLICIT]]
    user = user_items(heard[0])
    assert (user[0x51], user[0x52], user[0x55]) == (struct.pack(">I", 32_768), b"1.2.3.4.5", b"OTHER_1")
    assert user_items(heard[1])[0x52] != b"1.2.3.4.5"
    with pytest.raises(InputError, match="proposes contexts of its own, but none for Verification"):
        echo(peer.but(calling=Calling(contexts=((CT, (EXPLICIT,)),))))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"implementation_class_uid": "1.02"}, UidInvalid),
        ({"implementation_version_name": "a" * 17}, AttributeUnusable),
        ({"contexts": ((CT, ()),)}, AttributeUnusable),
        ({"contexts": (("x", (IMPLICIT,)),)}, UidInvalid),
    ],
)
def test_another_system_that_can_not_be(fields, error):
    with pytest.raises(error):
        Calling(**fields)


def test_a_server_as_another_system_answers(archive, script):
    """C04: only the abstract syntaxes that are named, each in its transfer syntaxes; implementation as said."""
    private = "1.2.3.4.5.6.7"
    accepts = {VERIFICATION: [IMPLICIT], CT: [EXPLICIT, "1.2.840.10008.1.2.4.70"], private: [IMPLICIT]}
    options = {"implementation_class_uid": "1.2.3.4.5", "implementation_version_name": "OTHER_1"}
    asked = [
        (1, VERIFICATION, (EXPLICIT, IMPLICIT)), (3, VERIFICATION, (EXPLICIT,)), (5, CT, (IMPLICIT,)),
        (7, CT, (IMPLICIT, EXPLICIT)), (9, CT, ("1.2.840.10008.1.2.4.70",)), (11, MR, (EXPLICIT,)), (13, private, (IMPLICIT,)),
        (15, "1.2.840.10008.5.1.4.1.2.2.1", (IMPLICIT,)),
    ]  # fmt: skip
    with Server(archive, accepts=accepts, timeouts=QUICK, **options) as server, script.connect(server.port) as connection:
        connection.send(connection.request(asked))
        kind, body = connection.answer()
        assert kind == 2
        results = {c[0]: (c[2], c[8:].decode() if c[2] == 0 else "") for code, c in items(body[68:]) if code == 0x21}
        assert results == {
            1: (0, IMPLICIT), 3: (4, ""), 5: (4, ""), 7: (0, EXPLICIT), 9: (0, "1.2.840.10008.1.2.4.70"), 11: (3, ""),
            13: (0, IMPLICIT), 15: (3, ""),
        }  # fmt: skip
        user = user_items(body)
        assert (user[0x52], user[0x55]) == (b"1.2.3.4.5", b"OTHER_1")
        assert connection.store("1.2.3.9", script.instance("1.2.3.9"), context_id=7) == 0
    assert archive.counts().instances == 1

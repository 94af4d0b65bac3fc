"""The receiving half of C-STORE by itself: any cutting of messages gives the same bytes, and noise gives a violation."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import AttributeUnusable, InstanceConflict, NotDicom, StorageFull
from workbench.network.bulk import command_set
from workbench.network.receiving import Command, Context, StoreReceiver, Violation, command, store_response

CT = "1.2.840.10008.5.1.4.1.1.2"


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self, shelf, uid, *, fails=None):
        self.shelf, self.uid, self.data, self.fails = shelf, uid, b"", fails

    def write(self, chunk):
        self.data += bytes(chunk)

    def commit(self):
        if self.fails:
            raise self.fails
        self.shelf[self.uid] = self.data

    def discard(self):
        self.data = b""


def receiver(shelf, answers, *, fails=None):
    contexts = {
        1: Context(CT, "1.2.840.10008.1.2.1", is_storage=True),
        3: Context("1.2.840.10008.1.1", "1.2.840.10008.1.2", is_storage=False),
    }

    def receive(*, sop_instance_uid, **_):
        return Kept(shelf, sop_instance_uid, fails=fails)

    return StoreReceiver(contexts, receive=receive, answer=answers.append, source_ae_title="SCRIPT")


def request(uid, message_id=1):
    return command_set({
        0x0002: CT.encode(), 0x0100: b"\1\0", 0x0110: message_id.to_bytes(2, "little"), 0x0800: b"\1\0", 0x1000: uid.encode(),
    })  # fmt: skip


ECHO = command_set({0x0002: b"1.2.840.10008.1.1", 0x0100: b"\x30\0", 0x0110: b"\7\0", 0x0800: b"\1\1"})


def values(context_id, kind, data, cuts):
    """Cut a command set (kind 1) or a dataset (kind 0) into presentation data values."""
    places = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    pieces = [data[a:b] for a, b in itertools.pairwise(places)] or [b""]
    return [
        (len(piece) + 2).to_bytes(4, "big") + bytes([context_id, kind | 2 * (k == len(pieces) - 1)]) + piece
        for k, piece in enumerate(pieces)
    ]


def joined(pdvs):
    """Return the content of presentation data values."""
    content = b""
    while pdvs:
        size = int.from_bytes(pdvs[:4], "big")
        content, pdvs = content + pdvs[6 : 4 + size], pdvs[4 + size :]
    return content


cuts = st.lists(st.integers(0, 10_000), max_size=6)


@given(
    messages=st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=300), cuts, cuts), min_size=1, max_size=5),
    groups=st.lists(st.integers(1, 5), min_size=1, max_size=10),
)
def test_any_cutting_of_messages_gives_the_same(messages, groups):
    stream, expected, echoes = [], {}, 0
    for k, (is_store, data, command_cuts, data_cuts) in enumerate(messages):
        if is_store:
            stream += values(1, 1, request(f"1.2.3.{k + 1}", k), command_cuts) + values(1, 0, data, data_cuts)
            expected[f"1.2.3.{k + 1}"] = data
        else:
            stream += values(3, 1, ECHO, command_cuts)
            echoes += 1
    shelf, answers, others, position = {}, [], b"", 0
    stores = receiver(shelf, answers)
    while position < len(stream):
        size = groups[position % len(groups)]
        others += stores.take(memoryview(b"".join(stream[position : position + size])))
        position += size
    assert shelf == expected
    assert [command(a[12:]).field for a in answers] == [0x8001] * len(expected)
    assert (stores.stored, stores.refused, stores.is_receiving) == (len(expected), 0, False)
    assert joined(others) == ECHO * echoes


@given(noise=st.lists(st.binary(max_size=200), max_size=5))
def test_noise_is_a_violation_or_nothing(noise):
    """N05: noise as P-DATA -> a violation or nothing, never another error."""
    shelf, answers = {}, []
    stores = receiver(shelf, answers)
    with contextlib.suppress(Violation):
        for piece in noise:
            stores.take(memoryview(piece))
    stores.abandon("the end")
    assert (shelf, stores.is_receiving) == ({}, False)


@given(data=st.binary(max_size=400))
def test_a_command_is_read_or_a_violation(data):
    with contextlib.suppress(Violation):
        assert isinstance(command(data), Command)


@given(message_id=st.integers(0, 65_535), status=st.sampled_from([0, 0xA700, 0xA900, 0xC000, 0xC111]), comment=st.text(max_size=90))
def test_a_response_says_what_it_was_told(message_id, status, comment):
    asked = Command(1, message_id, CT, "1.2.3", has_dataset=True)
    pdu = store_response(asked, 5, status, comment=comment)
    assert pdu[:2] == b"\4\0"
    assert int.from_bytes(pdu[2:6], "big") == len(pdu) - 6
    assert int.from_bytes(pdu[6:10], "big") == len(pdu) - 10
    assert pdu[10:12] == b"\5\3"
    assert command(pdu[12:]) == Command(0x8001, 0, CT, "1.2.3", has_dataset=False)
    assert status.to_bytes(2, "little") in pdu
    assert message_id.to_bytes(2, "little") in pdu


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InstanceConflict("x"), 0xC111),
        (StorageFull("x"), 0xA700),
        (MemoryError(), 0xA700),
        (AttributeUnusable("x"), 0xA900),
        (NotDicom("x"), 0xC000),
        (OSError(5, "x"), 0xC000),
        (ZeroDivisionError("SECRET"), 0xC000),
    ],
)
def test_what_the_archive_raises_becomes_a_status(error, status, caplog):
    """N13, N16, N18: what the archive raises -> the status that says it, without a value."""
    shelf, answers = {}, []
    stores = receiver(shelf, answers, fails=error)
    stores.take(memoryview(b"".join(values(1, 1, request("1.2.3"), []) + values(1, 0, b"data", []))))
    assert status.to_bytes(2, "little") in answers[0]
    assert (shelf, stores.stored, stores.refused) == ({}, 0, 1)
    assert "SECRET" not in caplog.text

"""The fast path against a scripted other side: what is on the wire, and what a misbehaving peer brings about."""

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.entities import Timeouts
from workbench.errors import AssociationAborted, Cancelled, ContextRejected, DatasetIncomplete, PeerTimeout
from workbench.network.bulk import Channel, FileContent, MemoryContent, command_set, parse_command_set, store_request

QUICK = Timeouts(connect_s=1, acse_s=0.3, dimse_s=0.3, network_s=0.3)
CT, UID = "1.2.840.10008.5.1.4.1.1.2", "2.25.1"


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return near, far


class Other:
    """The far end of the connection: collects what comes, answers what the test wants."""

    def __init__(self, maximum: int = 16_384, timeouts: Timeouts = QUICK) -> None:
        near, self.far = connected()
        self.channel = Channel(near, maximum_bytes=maximum, timeouts=timeouts)
        self.received = bytearray()
        self.thread = threading.Thread(target=self._collect, daemon=True)
        self.thread.start()

    def _collect(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.far.recv(1 << 20):
                self.received += data

    def answer(self, *, message_id: int = 1, status: int | None = 0, control: int = 3, pieces: int = 1, **changes: bytes) -> None:
        elements = {0x0100: b"\x01\x80", 0x0120: struct.pack("<H", message_id), 0x0800: b"\x01\x01"}
        if status is not None:
            elements[0x0900] = struct.pack("<H", status)
        elements |= {int(name[1:], 16): value for name, value in changes.items()}
        body = command_set(elements)
        step = -(-len(body) // pieces)
        for at in range(0, len(body), step):
            piece = body[at : at + step]
            last = control if at + step >= len(body) else 1
            self.far.sendall(struct.pack(">BBLLBB", 4, 0, len(piece) + 6, len(piece) + 2, 1, last) + piece)

    def wire(self) -> bytes:
        self.channel.close()
        self.thread.join(5)
        return bytes(self.received)


@pytest.fixture
def other():
    ends = Other()
    yield ends
    ends.channel.close()
    ends.far.close()


def pdus(wire: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(wire):
        kind, _, size = struct.unpack_from(">BBL", wire, at)
        found.append((kind, wire[at + 6 : at + 6 + size]))
        at += 6 + size
    assert at == len(wire)
    return found


def values(body: bytes) -> tuple[int, int, bytes]:
    """Context ID, control header and fragment of a P-DATA-TF with one presentation data value."""
    (size,) = struct.unpack_from(">L", body)
    assert size == len(body) - 4
    return body[4], body[5], body[6:]


# ------------------------------------------------------------ what goes out


@given(
    size=st.integers(1, 5000) | st.sampled_from([16_378 * 2, 16_378 * 64, 16_378 * 64 + 2, 3 << 20]),
    maximum=st.integers(8, 600) | st.sampled_from([0, 16_384, 131_072, 2**32 - 1]),
    context_id=st.sampled_from([1, 3, 255]),
)
def test_every_message_arrives_whole_in_fragments_no_longer_than_the_peer_takes(size, maximum, context_id):
    if size > 5000:
        maximum = max(maximum, 4096)
    data = bytes(range(251)) * (size // 251 + 1)
    ends = Other(maximum)
    command = store_request(CT, UID, message_id=7)
    for _ in range(2):  # a second message through the same buffers
        ends.channel.send(context_id, command, MemoryContent(data, size=size))
    sent = pdus(ends.wire())
    assert all(kind == 4 for kind, _ in sent)
    assert all(len(body) <= (maximum or len(body)) for _, body in sent)
    parts = [values(body) for _, body in sent]
    assert {part[0] for part in parts} == {context_id}
    last_commands = [k for k, part in enumerate(parts) if part[1] == 3]
    last_data = [k for k, part in enumerate(parts) if part[1] == 2]
    assert len(last_commands) == len(last_data) == 2
    assert last_data[-1] == len(parts) - 1
    commands = b"".join(part[2] for part in parts if part[1] & 1)
    assert commands == command * 2
    assert b"".join(part[2] for part in parts if not part[1] & 1) == data[:size] * 2


def test_a_maximum_without_room_for_a_fragment_is_refused():
    with pytest.raises(ContextRejected, match="P-DATA of 7 bytes"):
        Other(7)


@given(st.dictionaries(st.integers(1, 0xFFFF), st.binary(max_size=40).map(lambda b: b + b"x" * (len(b) % 2)), max_size=8))
def test_command_sets_come_back_as_they_were(elements):
    parsed = parse_command_set(command_set(elements))
    assert parsed.pop(0) == struct.pack("<L", len(command_set(elements)) - 12)
    assert parsed == elements


def test_what_follows_the_command_group_is_left_out():
    failed = struct.pack("<HHL", 0x0008, 0, 12) + struct.pack("<HHL", 0x0008, 0x0058, 4) + b"1.2\0"  # as Orthanc 1.10 does
    encoded = command_set({0x0100: b"\x10\x80", 0x0800: b"\x01\x01"})
    assert parse_command_set(encoded + failed) == parse_command_set(encoded)
    with pytest.raises(AssociationAborted, match=r"not one \(PS3\.7 6\.3\.1\)"):
        parse_command_set(encoded[:12] + failed + encoded[12:])


def test_a_store_request_is_what_the_standard_says():
    # PS3.7 Table 9.3-1, written by hand: UIDs padded with NUL, priority medium, a dataset follows
    assert store_request("1.2", "1.2.3", message_id=258) == bytes.fromhex(
        "00000000" "04000000" "42000000"
        "00000200" "04000000" "312e3200"
        "00000001" "02000000" "0100"
        "00001001" "02000000" "0201"
        "00000007" "02000000" "0000"
        "00000008" "02000000" "0100"
        "00000010" "06000000" "312e322e3300"
    )  # fmt: skip
    assert parse_command_set(store_request("1.2", "1.2.3", message_id=1, originator=("ABC", 9)))[0x1030] == b"ABC "


def test_a_file_is_sent_from_where_its_dataset_begins(tmp_path: Path, other: Other):
    path = tmp_path / "x"
    path.write_bytes(b"head" + b"dataset!" * 4000)
    content = FileContent(path, offset=4, size=32_000)
    other.channel.send(1, store_request(CT, UID, message_id=1), content)
    content.close()
    assert b"".join(values(body)[2] for _, body in pdus(other.wire())[1:]) == b"dataset!" * 4000


def test_a_file_that_shrinks_while_it_is_sent_aborts_the_association(tmp_path: Path, other: Other):
    path = tmp_path / "x"
    path.write_bytes(b"dataset!" * 400)
    content = FileContent(path, offset=0, size=6400)
    with pytest.raises(DatasetIncomplete, match="became shorter"):
        other.channel.send(1, store_request(CT, UID, message_id=1), content)
    content.close()
    assert not other.channel.is_open
    assert pdus(other.wire()) == [(7, bytes(4))]


def test_cancelling_in_the_middle_aborts(other: Other):
    with pytest.raises(Cancelled, match="middle of a dataset"):
        other.channel.send(1, store_request(CT, UID, message_id=1), MemoryContent(bytes(5 << 20)), cancel=lambda: True)
    sent = pdus(other.wire())
    assert sent[-1][0] == 7
    assert len(sent) < 70  # one window of about 1 MiB


def test_a_peer_that_takes_nothing_is_given_up():
    near, far = connected()
    channel = Channel(near, maximum_bytes=0, timeouts=QUICK)
    began = time.monotonic()
    with pytest.raises(PeerTimeout, match=r"took no data for 0\.3 s"):
        channel.send(1, b"", MemoryContent(bytes(32 << 20)))
    assert time.monotonic() - began < 3
    far.close()


# ------------------------------------------------------------ what comes back


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_response_may_come_in_pieces(other: Other, pieces: int):
    other.answer(message_id=5, status=0xA700, pieces=pieces, x0902=b"disk\x1b[31m full")
    response = other.channel.response(5)
    assert response.status == 0xA700
    assert response.comment == "disk␛[31m full"


def test_a_response_without_status_has_none(other: Other):
    """S01: a response without a status -> none is made up."""
    other.answer(status=None)
    assert other.channel.response(1).status is None


def test_an_abort_is_an_abort(other: Other):
    """S01: A-ABORT instead of a response -> told as an abort."""
    other.far.sendall(b"\x07\0\0\0\0\x04\0\0\x02\0")
    with pytest.raises(AssociationAborted, match="A-ABORT, service provider"):
        other.channel.response(1)
    assert not other.channel.is_open


def test_a_release_before_the_answer_is_answered_and_told(other: Other):
    other.far.sendall(b"\x05\0\0\0\0\x04\0\0\0\0")
    with pytest.raises(AssociationAborted, match="released the association before"):
        other.channel.response(1)
    assert pdus(other.wire()) == [(6, bytes(4))]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"HTTP/1.1 200 OK\r\n", "type 0x48"),
        (b"\x04\0\xff\xff\xff\xff", "type 0x04 and 4294967295 bytes"),
        (b"\x01\0\0\0\0\x04abcd", "type 0x01"),
        (b"\x04\0\0\0\0\x06\0\0\0\xff\x01\x03", "lengths do not fit"),
        (b"\x04\0\0\0\0\x08\0\0\0\x04\x01\x02ab", "data where a response was due"),
    ],
)
def test_what_is_not_a_response_ends_the_association(other: Other, sent: bytes, message: str):
    other.far.sendall(sent)
    with pytest.raises(AssociationAborted, match=message):
        other.channel.response(1)
    assert pdus(other.wire())[-1][0] == 7


@pytest.mark.parametrize(
    "changes", [{"message_id": 2}, {"x0100": b"\x01\x00"}, {"x0800": b"\x00\x00"}], ids=["message id", "command", "dataset"]
)
def test_a_response_to_something_else_ends_the_association(other: Other, changes: dict):
    other.answer(**changes)
    with pytest.raises(AssociationAborted, match="the association was aborted"):
        other.channel.response(1)
    assert pdus(other.wire())[-1][0] == 7


def test_a_command_set_that_is_cut_ends_the_association(other: Other):
    other.far.sendall(struct.pack(">BBLLBB", 4, 0, 11, 7, 1, 3) + b"\0\0\0\x09\x02")
    with pytest.raises(AssociationAborted, match="ends within an element"):
        other.channel.response(1)


@pytest.mark.parametrize("begun", [b"", b"\x04\0\0", b"\x04\0\0\0\0\x20\0"])
def test_silence_is_a_timeout_also_in_the_middle_of_a_pdu(other: Other, begun: bytes):
    """S01: silence where a response is due, or within it -> a time-out."""
    other.far.sendall(begun)
    began = time.monotonic()
    with pytest.raises(PeerTimeout, match="silent for too long"):
        other.channel.response(1)
    assert time.monotonic() - began < 2


def test_a_peer_that_drips_bytes_is_given_up(other: Other):
    def drip() -> None:
        with contextlib.suppress(OSError):
            for byte in b"\x04\0\0\0\x10\0" + bytes(200):
                other.far.sendall(bytes([byte]))
                time.sleep(0.05)

    threading.Thread(target=drip, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(PeerTimeout):
        other.channel.response(1)
    assert time.monotonic() - began < 2


def test_a_closed_connection_is_an_abort(other: Other):
    other.far.shutdown(socket.SHUT_RDWR)
    with pytest.raises(AssociationAborted, match="closed the connection"):
        other.channel.response(1)


def test_release_waits_for_the_peer(other: Other):
    other.far.sendall(b"\x06\0\0\0\0\x04\0\0\0\0")
    assert other.channel.release()
    assert pdus(other.wire()) == [(5, bytes(4))]
    assert not other.channel.release()  # nothing left to release


def test_release_does_not_wait_for_ever(other: Other):
    assert not other.channel.release()
    assert [kind for kind, _ in pdus(other.wire())] == [5, 7]

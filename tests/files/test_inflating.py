"""Deflated datasets: whatever their size and however they come in pieces, nothing of them is lost."""

import struct
import tracemalloc
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian

from workbench.archive._header import read_header
from workbench.errors import DatasetIncomplete, LimitExceeded
from workbench.files import meta_bytes, read
from workbench.files.inflating import inflated
from workbench.network._glance import glance

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MIB = 1 << 20
near_a_multiple = st.builds(lambda k, off: k * MIB + off, st.integers(1, 3), st.integers(-70, 70))


def deflate(data: bytes, level: int = 9) -> bytes:
    engine = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


HEAD = b"".join((
    element(0x00080016, b"UI", SECONDARY_CAPTURE.encode() + b"\0"),
    element(0x00080018, b"UI", b"1.2.3\0"),
    element(0x0020000D, b"UI", b"1.2.4\0"),
    element(0x0020000E, b"UI", b"1.2.5\0"),
))  # fmt: skip
HEAD_BYTES = len(HEAD) + 12  # with the header of Pixel Data


def dataset_of(size: int) -> bytes:
    """An image in Explicit VR Little Endian of exactly so many bytes."""
    return HEAD + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, size - HEAD_BYTES) + bytes(size - HEAD_BYTES)


@given(
    data=st.binary(max_size=40)
    | st.builds(lambda byte, count: byte * count, st.sampled_from([b"\0", b"ab"]), st.integers(0, 5_000)),
    level=st.sampled_from([0, 1, 9]),
    piece_bytes=st.integers(1, 600),
    chunk=st.integers(1, 300),
)
def test_what_was_deflated_comes_back(data, level, piece_bytes, chunk):
    pieces = list(inflated(cut(deflate(data, level), chunk), piece_bytes=piece_bytes))
    assert b"".join(pieces) == data
    assert all(0 < len(piece) <= piece_bytes for piece in pieces)


@given(data=st.binary(min_size=1, max_size=400), repeats=st.integers(1, 40), piece_bytes=st.integers(1, 300), share=st.floats(0, 1))
def test_a_cut_stream_is_told_and_gives_a_beginning(data, repeats, piece_bytes, share):
    stream = deflate(data * repeats)
    got: list[bytes] = []
    with pytest.raises(DatasetIncomplete, match="ends before its last block"):
        got.extend(inflated([stream[: min(int(share * len(stream)), len(stream) - 1)]], piece_bytes=piece_bytes))
    assert (data * repeats).startswith(b"".join(got))


@settings(max_examples=60, deadline=None)
@given(size=near_a_multiple.map(lambda size: size // 2 * 2), level=st.sampled_from([1, 6, 9]))
@example(size=MIB + 2, level=9)
@example(size=2 * MIB + 100, level=9)
def test_every_reader_takes_a_complete_dataset_for_complete(size, level):
    stream = deflate(dataset_of(size), level)
    stream += bytes(len(stream) % 2)
    reading = read(meta_bytes(SECONDARY_CAPTURE, "1.2.3", DeflatedExplicitVRLittleEndian) + stream)
    assert reading.is_complete
    assert reading.dataset.PixelData == bytes(size - HEAD_BYTES)
    assert read_header(stream, DeflatedExplicitVRLittleEndian).values["SOPInstanceUID"] == "1.2.3"
    shown = glance(stream, 0, len(stream), DeflatedExplicitVRLittleEndian)
    assert (shown.sop_class_uid, shown.sop_instance_uid, shown.size) == (SECONDARY_CAPTURE, "1.2.3", len(stream))


@given(limit=st.integers(0, 3_000), size=st.integers(0, 3_000), piece_bytes=st.integers(1, 700))
def test_the_limit_is_the_largest_size_that_passes(limit, size, piece_bytes):
    pieces = inflated([deflate(bytes(size))], limit_bytes=limit, piece_bytes=piece_bytes)
    if size <= limit:
        assert sum(map(len, pieces)) == size
    else:
        with pytest.raises(LimitExceeded, match=f"inflates beyond {limit} bytes"):
            list(pieces)


def test_a_bomb_is_met_in_bounded_memory():
    """F04: the inflating itself."""
    bomb = cut(deflate(bytes(100 * MIB)), 1 << 16)
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded):
            for _ in inflated(bomb, limit_bytes=64 * MIB):
                pass
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()

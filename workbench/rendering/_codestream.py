"""What a compressed frame says about itself, and the little that is decoded or put right here.

Knows: the headers of JPEG and JPEG-LS (ITU-T T.81 B.2, T.87), the SIZ marker of JPEG 2000 (T.800 A.5.1), runs of bytes (PS3.5 G).
Does not know: how to decode anything else.
"""

import struct
from collections.abc import Iterator

__all__ = ["mended", "size", "unpacked_runs"]

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}


def size(codestream: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) as a JPEG, JPEG-LS or JPEG 2000 codestream has them; None where it does not say.

    Examples
    --------
    >>> size(bytes.fromhex("ffd8ffc0000b08000200030101110000"))
    (2, 3)
    """
    if codestream[:2] == b"\xff\xd8":
        return _jpeg(codestream)
    start = codestream.find(b"\xff\x4f\xff\x51", 0, 4096)  # a JP2 wrapper may stand before it
    if start < 0 or len(codestream) < start + 24:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", codestream, start + 8)
    return bottom - top, right - left


def _jpeg(codestream: bytes) -> tuple[int, int] | None:
    for marker, at in _segments(codestream):
        if marker in _JPEG_FRAMES and at + 9 <= len(codestream):
            rows, columns = struct.unpack_from(">2H", codestream, at + 5)
            return (rows, columns) if rows else None  # 0: told later, in a DNL segment
    return None


def _segments(codestream: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of a JPEG header and where they are, up to the first scan."""
    at, marker = 2, 0
    while at + 4 <= len(codestream) and codestream[at] == 0xFF and marker != 0xDA:
        marker = codestream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        yield marker, at
        at += 2 + struct.unpack_from(">H", codestream, at + 2)[0]


def mended(codestream: bytes) -> bytes:
    """Return a sequential JPEG with the scan parameters that the process prescribes (T.81 B.2.3: 0, 63, 0).

    Some makers write zeros there, at which strict decoders stop.
    """
    if codestream[:2] != b"\xff\xd8":
        return codestream
    places = dict(_segments(codestream))
    if not places.keys() & {0xC0, 0xC1} or 0xDA not in places:
        return codestream
    at = places[0xDA]
    end = at + 2 + struct.unpack_from(">H", codestream, at + 2)[0]
    return codestream[: end - 3] + b"\x00\x3f\x00" + codestream[end:]


def unpacked_runs(frame: bytes, *, length: int) -> bytes:
    r"""Return the bytes of an RLE frame's single segment (PS3.5 G.3.2), as far as `length` goes.

    Examples
    --------
    >>> unpacked_runs(struct.pack("<2L56x", 1, 64) + bytes([254, 7, 1, 8, 9]), length=5)
    b'\x07\x07\x07\x08\t'
    """
    out, at = bytearray(), struct.unpack_from("<L", frame, 4)[0] if len(frame) >= 64 else len(frame)
    while at + 1 < len(frame) and len(out) < length:
        count = frame[at]
        if count < 128:
            out += frame[at + 1 : at + 2 + count]
            at += 2 + count
        elif count > 128:
            out += frame[at + 1 : at + 2] * (257 - count)
            at += 2
        else:
            at += 1
    return bytes(out[:length])

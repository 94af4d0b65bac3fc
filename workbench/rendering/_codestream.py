"""What a compressed frame says about its own size, read before anything is allocated for it.

Knows: the frame header of JPEG and JPEG-LS (ITU-T T.81 B.2.2, T.87), the SIZ marker of JPEG 2000 (T.800 A.5.1).
Does not know: how to decode.
"""

import struct

__all__ = ["size"]

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
    at = 2
    while at + 9 <= len(codestream) and codestream[at] == 0xFF:
        marker = codestream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _JPEG_FRAMES:
            rows, columns = struct.unpack_from(">2H", codestream, at + 5)
            return (rows, columns) if rows else None  # 0: told later, in a DNL segment
        else:
            at += 2 + struct.unpack_from(">H", codestream, at + 2)[0]
    return None

"""A deflated dataset (PS3.5 A.5) given back piece by piece, in bounded memory.

Knows: the deflate stream, where it ends, how far it may grow.
Does not know: what is in it, or where its bytes come from.
"""

import zlib
from collections.abc import Iterable, Iterator

from workbench.errors import DatasetIncomplete, LimitExceeded

__all__ = ["PIECE_BYTES", "inflated"]

#: No piece is larger.
PIECE_BYTES = 1 << 20


def inflated(pieces: Iterable[bytes], *, limit_bytes: int | None = None, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """Yield the inflated bytes of a deflate stream without header (RFC 1951), up to its end.

    Parameters
    ----------
    pieces : iterable of bytes
        The stream in order, cut anywhere. What follows its end, as a byte of padding, is not looked at.
    limit_bytes : int, optional
        How large it may grow; not limited by default, where nothing is kept of it.
    piece_bytes : int
        How much is yielded at once, at most.

    Raises
    ------
    LimitExceeded
        If it grows beyond `limit_bytes`; no more than `piece_bytes` beyond were held.
    DatasetIncomplete
        If the stream ends before its last block does, after all that could be inflated was yielded.
    zlib.error
        If it is no deflate stream, or damaged.

    Examples
    --------
    >>> deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    >>> stream = deflater.compress(b"dataset" * 1000) + deflater.flush()
    >>> sum(len(piece) for piece in inflated([stream]))
    7000
    """
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    for rest in pieces:
        while True:  # a full piece may leave output within the engine, though all input is used up
            piece = engine.decompress(rest, piece_bytes)
            total += len(piece)
            if limit_bytes is not None and total > limit_bytes:
                raise LimitExceeded(f"The deflated dataset inflates beyond {limit_bytes} bytes (PS3.5 A.5).")
            if piece:
                yield piece
            if engine.eof:
                return
            rest = engine.unconsumed_tail  # noqa: PLW2901 - what is left of it
            if not rest and len(piece) < piece_bytes:
                break
    raise DatasetIncomplete("The deflated dataset ends before its last block (PS3.5 A.5): it is incomplete. Send it again.")

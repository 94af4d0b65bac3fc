"""A connection behind a guard: whole PDUs within limits of length and time, or none at all.

Knows: sockets, the types and lengths of PDUs (PS3.8 9.3).
Does not know: what a PDU says.
"""

import contextlib
import select
import socket
import threading
import time

from workbench.network.receiving import Violation

__all__ = ["ASSOCIATE_RJ", "ASSOCIATE_RQ", "P_DATA", "Closed", "Connection"]

ASSOCIATE_RQ, ASSOCIATE_RJ, P_DATA, ABORT = 1, 3, 4, 7
#: By the service provider, no reason given (PS3.8 9.3.8).
_ABORT_PDU = b"\x07\0\0\0\0\x04\0\0\x02\0"
#: 128 presentation contexts with some fifty transfer syntaxes of 64 characters have room in it.
_ASSOCIATE_LIMIT_BYTES = 524_288
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)  # Linux
_OTHER_LIMIT_BYTES = 1_024  # A-ASSOCIATE-AC and -RJ are errors here; A-RELEASE and A-ABORT have 4 bytes


class Closed(Exception):
    """The connection ended before or within a PDU."""


class Connection:
    """A connection on which one thread reads whole PDUs and several send them.

    Parameters
    ----------
    raw : socket.socket
        Connected.
    patience_s : float
        For the next byte of a PDU, and for a send.
    max_pdu_bytes : int
        Longest P-DATA-TF, without its first 6 bytes (PS3.8 D.1).
    """

    def __init__(self, raw: socket.socket, *, patience_s: float, max_pdu_bytes: int) -> None:
        self._raw, self._patience_s = raw, patience_s
        self._limits = {ASSOCIATE_RQ: _ASSOCIATE_LIMIT_BYTES, P_DATA: max_pdu_bytes}
        self._sending = threading.Lock()
        self._buffer = memoryview(bytearray(max_pdu_bytes + 6))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(patience_s)

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to read, which may be the end.

        Raises
        ------
        Closed
            If it is closed on this side.
        """
        try:
            if hasattr(select, "poll"):  # select.select refuses descriptors from 1024 on
                poll = select.poll()
                poll.register(self._raw, select.POLLIN)
                return bool(poll.poll(seconds * 1000))
            return bool(select.select([self._raw], [], [], seconds)[0])
        except (OSError, ValueError):
            raise Closed from None

    def pdu(self, *, within_s: float) -> memoryview:
        """Read one PDU; return all of its bytes, which the next call overwrites.

        Raises
        ------
        Violation
            If it is not a PDU, longer than its type may be, or not there in time.
        Closed
            If the connection ends before or within it.
        """
        deadline = time.monotonic() + within_s
        if _QUICK_ACK is not None:  # a sender that uses Nagle's algorithm waits 40 ms for our acknowledgement otherwise
            with contextlib.suppress(OSError):
                self._raw.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        self._fill(self._buffer[:6], deadline)
        kind, size = self._buffer[0], int.from_bytes(self._buffer[2:6], "big")
        if not ASSOCIATE_RQ <= kind <= ABORT:
            raise Violation(f"something that is not a PDU: type 0x{kind:02X} (PS3.8 9.3.1)")
        limit = self._limits.get(kind, _OTHER_LIMIT_BYTES)
        if size > limit:
            raise Violation(f"a PDU of type 0x{kind:02X} that announces {size} bytes, more than {limit} (PS3.8 9.3, D.1)")
        if 6 + size > len(self._buffer):
            self._buffer = memoryview(bytearray(self._buffer[:6]) + bytearray(size))
        self._fill(self._buffer[6 : 6 + size], deadline)
        return self._buffer[: 6 + size]

    def _fill(self, view: memoryview, deadline: float) -> None:
        slow = False
        try:
            while view:
                count = self._raw.recv_into(view)
                if not count:
                    raise Closed
                view = view[count:]
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError  # noqa: TRY301 - as the socket itself says it
                if view and left < self._patience_s - 0.25:  # the peer is slow: the clock of the whole PDU counts
                    slow = True
                    self._raw.settimeout(left)
        except TimeoutError:
            raise Violation("a PDU that was not whole in time") from None
        except OSError:
            raise Closed from None
        finally:
            if slow:
                with contextlib.suppress(OSError):
                    self._raw.settimeout(self._patience_s)

    def drain(self) -> bool:
        """Read and forget what is there; whether the connection goes on."""
        try:
            return bool(self._raw.recv_into(self._buffer))
        except OSError:
            return False

    def send(self, pdus: bytes | memoryview) -> bool:
        """Send whole PDUs; whether that was possible."""
        try:
            with self._sending:
                self._raw.sendall(pdus)
        except OSError:
            return False
        return True

    def abort(self) -> None:
        """Send A-ABORT unless another thread is in the middle of a PDU, and end the connection."""
        if self._sending.acquire(timeout=0.05):
            with contextlib.suppress(OSError):
                self._raw.send(_ABORT_PDU, getattr(socket, "MSG_DONTWAIT", 0))
            self._sending.release()
        self.shut()

    def shut(self) -> None:
        """End the connection, whoever is reading from it or writing to it."""
        with contextlib.suppress(OSError):
            self._raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the descriptor and of the memory; others may refer to this object for longer."""
        self._raw.close()
        self._buffer = memoryview(b"")

"""A connection behind a guard: whole PDUs within limits of length and time, or none at all.

Knows: sockets, the types and lengths of PDUs (PS3.8 9.3).
Does not know: what a PDU says.
"""

import contextlib
import select
import socket
import threading
import time

from workbench.network._secure import SecureSocket, words
from workbench.network._sockets import acknowledge_at_once, read_now
from workbench.network.receiving import Violation

__all__ = ["ASSOCIATE_RJ", "ASSOCIATE_RQ", "P_DATA", "Closed", "Connection"]

ASSOCIATE_RQ, ASSOCIATE_RJ, P_DATA, ABORT = 1, 3, 4, 7
#: By the service provider, no reason given (PS3.8 9.3.8).
_ABORT_PDU = b"\x07\0\0\0\0\x04\0\0\x02\0"
#: 128 presentation contexts with some fifty transfer syntaxes of 64 characters have room in it.
_ASSOCIATE_LIMIT_BYTES = 524_288
_BUFFER_BYTES = 524_288  # what has come is read at once: several PDUs, or much of one
_OTHER_LIMIT_BYTES = 1_024  # A-ASSOCIATE-AC and -RJ are errors here; A-RELEASE and A-ABORT have 4 bytes

_TLS_HANDSHAKE = 0x16  # RFC 8446 5.1


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
        self._buffer = memoryview(bytearray(max(2 * (max_pdu_bytes + 6), _BUFFER_BYTES)))
        self._start = self._end = 0  # what was read and not yet handed out
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.settimeout(patience_s)
        self._poll = select.poll() if hasattr(select, "poll") else None  # select.select refuses descriptors from 1024 on
        if self._poll is not None:
            self._poll.register(raw, select.POLLIN)

    def secure(self, *, within_s: float) -> None:
        """Come to terms in TLS, if it is spoken here.

        Raises
        ------
        Violation
            With the reason, if that fails.
        """
        if not isinstance(self._raw, SecureSocket):
            return
        self._raw.settimeout(within_s)
        try:
            self._raw.do_handshake()
            self._raw.settimeout(self._patience_s)
        except OSError as error:
            raise Violation(f"no TLS: {words(error)}") from None

    @property
    def certificate(self) -> bytes:
        """The certificate that the other side showed and that was verified (DER); empty without."""
        return (self._raw.getpeercert(binary_form=True) or b"") if isinstance(self._raw, SecureSocket) else b""

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to read, which may be the end.

        Raises
        ------
        Closed
            If it is closed on this side.
        """
        if self._end > self._start:
            return True
        acknowledge_at_once(self._raw)  # the dataset of a request may wait for that
        return self._is_ready(seconds)

    def _is_ready(self, seconds: float) -> bool:
        try:
            if isinstance(self._raw, SecureSocket):
                return self._raw.is_ready(max(0.0, seconds))
            if self._poll is not None:
                return bool(self._poll.poll(max(0.0, seconds) * 1000))
            return bool(select.select([self._raw], [], [], max(0.0, seconds))[0])
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
        self._have(6, deadline)
        kind, size = self._buffer[self._start], int.from_bytes(self._buffer[self._start + 2 : self._start + 6], "big")
        if not ASSOCIATE_RQ <= kind <= ABORT:
            like = "; this looks like TLS, and plain DICOM is spoken here" if kind == _TLS_HANDSHAKE else ""
            raise Violation(f"something that is not a PDU: type 0x{kind:02X} (PS3.8 9.3.1){like}")
        limit = self._limits.get(kind, _OTHER_LIMIT_BYTES)
        if size > limit:
            raise Violation(f"a PDU of type 0x{kind:02X} that announces {size} bytes, more than {limit} (PS3.8 9.3, D.1)")
        self._have(6 + size, deadline)
        pdu = self._buffer[self._start : self._start + 6 + size]
        self._start += 6 + size
        if self._start == self._end:
            self._start = self._end = 0
        return pdu

    def _have(self, count: int, deadline: float) -> None:
        """Read until `count` bytes are there, and what has come besides."""
        if self._end - self._start >= count:
            return
        if self._start + count > len(self._buffer):
            rest = bytes(self._buffer[self._start : self._end])
            if count > len(self._buffer):
                self._buffer = memoryview(bytearray(count))
            self._start, self._end = 0, len(rest)
            self._buffer[: len(rest)] = rest
        try:
            while self._end - self._start < count:
                received = self._received(deadline)
                if not received:
                    raise Closed
                self._end += received
        except TimeoutError:
            raise Violation("a PDU that was not whole in time") from None
        except OSError:
            raise Closed from None

    def _received(self, deadline: float) -> int:
        """Return how many bytes were read behind what is there: at once, or when some come."""
        room = self._buffer[self._end :]
        if (count := read_now(self._raw, room)) is not None:
            return count
        if not self._is_ready(min(self._patience_s, deadline - time.monotonic())):
            raise TimeoutError
        return self._raw.recv_into(room)

    def drain(self) -> bool:
        """Read and forget what is there; whether the connection goes on."""
        self._start = self._end = 0
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
        self._poll = None
        self._raw.close()
        self._buffer = memoryview(b"")
        self._start = self._end = 0

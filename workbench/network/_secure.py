"""A TLS connection with the manners of a socket: time limits for whole calls, and several threads may use it.

Knows: ssl of the standard library, OpenSSL's reasons in plain words.
Does not know: certificates and profiles, DICOM.

An SSL object of OpenSSL must not be used by two threads at once, and a thread that waits in a read must not keep another from
sending. So the descriptor never blocks, a lock is held for the call into OpenSSL only, and waiting is done without it.
"""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeVar

__all__ = ["SecureSocket", "secured", "words"]

T = TypeVar("T")
_RECORD_BYTES = 16_384  # RFC 8446 5.1
_CHUNK_BYTES = 1 << 20
_AT_ONCE = getattr(socket, "MSG_DONTWAIT", 0)

#: Parts of OpenSSL's reasons, and what they mean; the first that fits counts.
_WORDS = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "it showed no certificate"),
    ("CERTIFICATE_REQUIRED", "it demands a certificate"),
    ("UNKNOWN_CA", "it does not trust the authority of our certificate"),
    ("CERTIFICATE_EXPIRED", "it says that our certificate has expired"),
    ("BAD_CERTIFICATE", "it does not accept our certificate"),
    ("CERTIFICATE_UNKNOWN", "it does not accept our certificate"),
    ("CERTIFICATE_REVOKED", "it says that our certificate was revoked"),
    ("ACCESS_DENIED", "it denies access to our certificate"),
    ("ALERT_PROTOCOL_VERSION", "it does not speak TLS 1.2 or 1.3"),
    ("UNSUPPORTED_PROTOCOL", "it does not speak TLS 1.2 or 1.3"),
    ("VERSION_TOO_LOW", "it does not speak TLS 1.2 or 1.3"),
    ("NO_SHARED_CIPHER", "no cipher suite is allowed on both sides"),
    ("HANDSHAKE_FAILURE", "no cipher suite is allowed on both sides, or it wants a certificate"),
    ("HTTP_REQUEST", "it speaks HTTP, not TLS"),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS"),
    ("UNKNOWN_PROTOCOL", "it does not speak TLS"),
    ("RECORD_LAYER_FAILURE", "it does not speak TLS"),
    ("PACKET_LENGTH_TOO_LONG", "it does not speak TLS"),
    ("UNEXPECTED_EOF", "it closed the connection"),
)


class SecureSocket(ssl.SSLSocket):
    """A TLS connection that is made by :func:`secured`."""

    _patience_s: float | None = None
    _is_up = _is_at_end = False
    #: What OpenSSL said when the connection failed.
    trouble: ssl.SSLError | None = None
    _busy: threading.Lock
    _ahead: bytearray

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Be ready before anything is read; the parent makes its objects without a constructor."""
        self = super().__new__(cls, *args, **kwargs)
        self._busy, self._ahead = threading.Lock(), bytearray()
        return self

    def settimeout(self, value: float | None) -> None:
        """Set the limit of whole calls; the descriptor itself does not block."""
        self._patience_s = value
        super().settimeout(0.0)

    def gettimeout(self) -> float | None:
        """Return the limit of whole calls."""
        return self._patience_s

    def do_handshake(self, block: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - the signature is given
        """Agree on keys, and see to certificates, within the time limit."""
        self._patiently(super().do_handshake, self._deadline())
        self._is_up = True

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return some bytes, none at the end."""
        room = bytearray(min(buflen, _CHUNK_BYTES))
        return bytes(room[: self.recv_into(room, flags=flags)])

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:  # noqa: ARG002 - TLS has no flags
        """Read what comes next into `buffer`; return how many bytes, 0 at the end."""
        view = memoryview(buffer)[: nbytes or None]
        if (count := self.now(view)) is not None:
            return count
        return int(self._patiently(lambda: self._some(view), self._deadline()))

    def now(self, room: memoryview) -> int | None:
        """Read what is there, without waiting: how many bytes, 0 at the end, None where nothing has come."""
        if self._ahead:
            count = min(len(room), len(self._ahead))
            room[:count] = self._ahead[:count]
            del self._ahead[:count]
            return count
        if self._is_at_end:
            return 0
        try:
            with self._busy:
                return self._some(room)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLError as error:
            self.trouble = error
            raise

    def is_ready(self, seconds: float) -> bool:
        """Wait until there are bytes to read or it has ended; messages of TLS itself do not count."""
        end = time.monotonic() + seconds
        while not (self._ahead or self._is_at_end):
            room = bytearray(_RECORD_BYTES)
            count = self.now(memoryview(room))
            if count is not None:
                self._ahead += room[:count]
                self._is_at_end = not count
            elif not self._wait(read=True, deadline=end):
                return False
        return True

    def send(self, data: Any, flags: int = 0) -> int:
        """Send some of it within the time limit, or at once where `flags` say so; return how many bytes."""
        if not self._is_up:
            raise OSError("there is no TLS connection yet")
        deadline = 0.0 if flags & _AT_ONCE else self._deadline()
        return self._patiently(partial(super().send, data), deadline)

    def sendall(self, data: Any, flags: int = 0) -> None:  # noqa: ARG002 - TLS has no flags
        """Send all of it within the time limit."""
        with memoryview(data) as view, view.cast("B") as left:
            done, deadline = 0, self._deadline()
            while done < len(left):
                done += self._patiently(partial(super().send, left[done : done + _CHUNK_BYTES]), deadline)

    def shutdown(self, how: int) -> None:
        """End the connection, whoever waits for it; what comes in meanwhile is never taken for plain bytes."""
        self._farewell()
        socket.socket.shutdown(self, how)

    def close(self) -> None:
        """Say so (RFC 8446 6.1), as far as that is possible at once, and close."""
        self._farewell()
        super().close()

    def _farewell(self) -> None:
        if self._is_up and self._busy.acquire(timeout=0.05):
            self._is_up = False
            with contextlib.suppress(OSError, ValueError, AttributeError):
                self._sslobj.shutdown()  # type: ignore[attr-defined]
            self._busy.release()

    def _some(self, view: memoryview) -> int:
        return int(super().recv_into(view)) if len(view) else 0

    def _deadline(self) -> float | None:
        return None if self._patience_s is None else time.monotonic() + self._patience_s

    def _patiently(self, act: Callable[[], T], deadline: float | None) -> T:
        """Do it as soon as the connection allows it."""
        while True:
            try:
                with self._busy:
                    return act()
            except ssl.SSLWantReadError:
                read = True
            except ssl.SSLWantWriteError:
                read = False
            except ssl.SSLError as error:
                self.trouble = error
                raise
            except ConnectionError:
                self._hear_why()
                raise
            if not self._wait(read=read, deadline=deadline):
                raise TimeoutError("timed out")

    def _hear_why(self) -> None:
        """Read the alert that may have come before the end."""
        try:
            with self._busy:
                self._some(memoryview(bytearray(1)))
        except ssl.SSLError as error:
            self.trouble = None if isinstance(error, ssl.SSLWantReadError | ssl.SSLWantWriteError) else error
        except (OSError, ValueError):
            return

    def _wait(self, *, read: bool, deadline: float | None) -> bool:
        seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
        if (number := self.fileno()) < 0:
            raise OSError("the connection is closed")
        if hasattr(select, "poll"):  # select.select refuses descriptors from 1024 on
            poll = select.poll()
            poll.register(number, select.POLLIN if read else select.POLLOUT)
            return bool(poll.poll(None if seconds is None else seconds * 1000))
        return any(select.select([number] if read else [], [] if read else [number], [], seconds))


def secured(raw: socket.socket, context: ssl.SSLContext, *, server_side: bool, host: str | None = None) -> SecureSocket:
    """Return a connection in TLS, before its handshake; `raw` is used up.

    Parameters
    ----------
    raw : socket.socket
        Connected; its time limit is kept.
    context : ssl.SSLContext
        Certificates, versions and cipher suites.
    server_side : bool
        Whether we are the server.
    host : str, optional
        To whom a server's certificate must be made out, where the context checks that.
    """
    context.sslsocket_class = SecureSocket
    patience_s = raw.gettimeout()
    connection = context.wrap_socket(
        raw, server_side=server_side, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=True
    )
    assert isinstance(connection, SecureSocket)
    connection.settimeout(patience_s)
    return connection


def words(error: Exception) -> str:
    """Return in words why a TLS connection did not come about.

    Examples
    --------
    >>> words(TimeoutError())
    'no TLS handshake came to its end in time'
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {(error.verify_message or 'verification failed').rstrip('.')}"
    if isinstance(error, TimeoutError):
        return "no TLS handshake came to its end in time"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).upper()
        for part, said in _WORDS:
            if part in reason or part in str(error).upper():
                return said
        return f"TLS failed: {reason.lower().replace('_', ' ')}"
    return "it closed the connection before TLS was agreed on"

"""Sockets that show somebody else what passes through them.

Knows: the methods through which this room reads and writes, and who wants to see the connections that are opened now.
Does not know: what the bytes mean.
"""

import socket
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol

__all__ = ["WATCHER", "Line", "Watcher", "tapped"]


class Line(Protocol):
    """Hears what passes through one connection."""

    def sent(self, data: bytes | memoryview) -> None:
        """Take what is about to be sent."""

    def received(self, data: bytes | memoryview) -> None:
        """Take what was received."""

    def ended(self, how: str) -> None:
        """Take that the connection is over; may be told more than once."""


class Watcher(Protocol):
    """Wants to see connections."""

    def line(self, *, local: str, remote: str, is_caller: bool) -> Line:
        """Return who hears what passes through a new connection."""


#: Who watches the connections that this thread, or task, opens; nobody unless asked.
WATCHER: ContextVar[Watcher | None] = ContextVar("workbench_watcher", default=None)


def tapped(connection: socket.socket, *, watcher: Watcher | None, is_caller: bool) -> socket.socket:
    """Return the connection itself, or one in its place through which `watcher` sees everything that passes.

    Of a connection in TLS it sees what is inside, as it sees a plain one.
    """
    if watcher is None:
        return connection
    local, remote = _address(connection.getsockname), _address(connection.getpeername)
    taken: Any = connection
    if type(connection) is socket.socket:
        patience_s = connection.gettimeout()
        taken = _Plain(fileno=connection.detach())
        taken.settimeout(patience_s)
    else:
        taken.__class__ = _secure(taken.__class__)
    taken.line = watcher.line(local=local, remote=remote, is_caller=is_caller)
    tap: socket.socket = taken
    return tap


def _address(get: Callable[[], Any]) -> str:
    try:
        host, port = get()[:2]
    except (OSError, ValueError):
        return ""
    return f"{host}:{port}"


class _Tap(socket.socket):
    """What is the same with and without TLS."""

    line: Line

    def send(self, data: Any, flags: int = 0) -> int:
        if flags:  # it may not wait: what went out is known afterwards only
            size = super().send(data, flags)
            self.line.sent(memoryview(data)[:size])
            return size
        self.sendall(data)
        return len(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.line.sent(data)  # before, since the answer may be read before this returns
        try:
            super().sendall(data, flags)
        except OSError:
            self.line.ended("lost while data was sent")
            raise

    def shutdown(self, how: int) -> None:
        self.line.ended("closed")
        super().shutdown(how)

    def close(self) -> None:
        self.line.ended("closed")
        super().close()

    def _heard(self, data: bytes | memoryview) -> None:
        if len(data):
            self.line.received(data)
        else:
            self.line.ended("closed by the other side")


class _Plain(_Tap):
    """A plain connection. What reads from descriptors past it must not do so (see :func:`read_now`)."""

    def recv(self, count: int, flags: int = 0) -> bytes:
        try:
            data = super().recv(count, flags)
        except TimeoutError:
            raise
        except OSError:
            self.line.ended("lost")
            raise
        self._heard(data)
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        try:
            size = super().recv_into(buffer, nbytes, flags)
        except TimeoutError:
            raise
        except OSError:
            self.line.ended("lost")
            raise
        self._heard(memoryview(buffer)[:size])
        return size


@cache
def _secure(kind: Any) -> type:
    """Return the class of connections in TLS of `kind` with a tap; all that it reads comes through one method."""

    def some(self: Any, view: memoryview) -> int:
        size = int(kind._some(self, view))  # noqa: SLF001 - both are of this room
        if len(view):
            self._heard(view[:size])
        return size

    return type(f"Tapped{kind.__name__}", (_Tap, kind), {"_some": some})

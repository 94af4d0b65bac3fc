"""Reading from a socket without the waits that the system adds.

Knows: sockets and what Linux can do with them.
Does not know: DICOM.
"""

import os
import socket
from contextlib import suppress

from workbench.network._secure import SecureSocket

__all__ = ["acknowledge_at_once", "can_listen", "free_port", "read_now"]

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_IS_DIRECT = hasattr(os, "readv")  # reads what is there from a socket with a timeout, and does not wait


def acknowledge_at_once(connection: socket.socket) -> None:
    """Have what comes next acknowledged at once, where the system can do that (Linux).

    A peer that writes a message in two pieces with Nagle's algorithm on sends the second only when the first is
    acknowledged, which the kernel otherwise delays by 40 ms. It does not last, so it is set before each wait.
    """
    if _QUICK_ACK is not None:
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)


def read_now(connection: socket.socket, room: memoryview) -> int | None:
    """Read what is there into `room`, without waiting; return how many bytes, 0 at the end, None where one has to wait."""
    if isinstance(connection, SecureSocket):
        return connection.now(room)
    if _IS_DIRECT and type(connection) is socket.socket:  # one with a tap sees nothing that passes it by
        with suppress(BlockingIOError):
            return os.readv(connection.fileno(), [room])
    acknowledge_at_once(connection)
    return None


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody listens at now.

    For what must be announced before it listens, as the destination of a C-MOVE; a server that starts now takes port 0.
    """
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def can_listen(host: str, port: int) -> bool:
    """Whether an IPv4 address can be had for a server, tried without listening: who calls meanwhile finds nobody."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does
            probe.bind((host, port))
    except (OSError, UnicodeError):
        return False
    return True

"""An association of ours on which the peer may ask as well: every message is taken here, whoever began.

Knows: how pynetdicom's thread for requests of the peer is made to rest, which it has no public way for.
Does not know: what messages say.
"""

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pynetdicom.association import Association

from workbench.errors import AssociationAborted

__all__ = ["conversation", "local_host", "undisturbed"]

_POLL_S = 0.1

Take = Callable[[float], tuple[int, Any] | None]


@contextmanager
def undisturbed(association: Association) -> Iterator[None]:
    """Put every message into the association's queue, and let nobody else take one, be it a response or a request."""
    association._reactor_checkpoint.clear()  # noqa: SLF001 - as its own methods do
    while not association._is_paused and association.is_alive():  # noqa: SLF001
        time.sleep(0.001)
    inside: Any = association
    # pynetdicom answers each N-EVENT-REPORT in a thread of its own, whose PDUs would mix with those of our request
    inside._serve_request = lambda message, context_id: association.dimse.msg_queue.put((context_id, message))  # noqa: SLF001
    try:
        yield
    finally:
        inside._serve_request = lambda _message, _context_id: None  # noqa: SLF001 - what still comes, comes too late
        association._reactor_checkpoint.set()  # noqa: SLF001


@contextmanager
def conversation(association: Association) -> Iterator[Take]:
    """Give what takes the next message within so many seconds, a response or a request of the peer's.

    It gives context ID and message, None where nothing came in time, and raises
    :class:`workbench.errors.AssociationAborted` when the association has ended.
    """

    def take(seconds: float) -> tuple[int, Any] | None:
        end = time.monotonic() + seconds
        while True:
            with suppress(queue.Empty):
                context_id, message = association.dimse.msg_queue.get(timeout=max(0.001, min(_POLL_S, end - time.monotonic())))
                if message is not None and context_id is not None:
                    return context_id, message
            if association.dul.peek_next_pdu() is not None or not association.dul.is_alive():
                raise AssociationAborted("The association has ended.")
            if time.monotonic() >= end:
                return None

    with undisturbed(association):
        yield take


def local_host(association: Association) -> str:
    """Return our own address on the way to the peer."""
    link: Any = association.dul.socket
    return str(link.socket.getsockname()[0])

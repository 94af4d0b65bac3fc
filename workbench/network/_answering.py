"""Responses to C-FIND, written to the connection as they are found.

Knows: C-FIND-RSP (PS3.7 9.3.2.2) as command sets and P-DATA, C-CANCEL.
Does not know: what was found.
"""

import struct
import time
from typing import Any, cast

from pydicom.uid import UID
from pynetdicom.presentation import PresentationContext

from workbench.network._guard import Acceptor
from workbench.network.bulk import command_set

__all__ = ["Answers"]

_P_DATA, _COMMAND, _DATASET, _LAST = 4, 1, 0, 2
_CANCELLED = 0xFE00
_HELD_BYTES = 32_768
_HELD_S = 0.02  # an answer waits no longer for the next one
_DATA_FOLLOWS, _NO_DATA = b"\1\0", b"\1\1"


class Answers:
    """Sends the responses to one request; a few that come quickly go out together.

    Parameters
    ----------
    association : Acceptor
        Whose request it is.
    request : C_FIND
        The request.
    context : PresentationContext
        Under which it came.
    pending : int
        The status of an answer, 0xFF00 or 0xFF01.
    """

    def __init__(self, association: Acceptor, request: Any, context: PresentationContext, pending: int = 0xFF00) -> None:
        self._association, self._message_id = association, request.MessageID
        self._context_id = cast("int", context.context_id)
        self._sop_class_uid = str(context.abstract_syntax)
        syntax = UID(context.transfer_syntax[0])
        self.is_implicit, self.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
        self._limit = int(association.requestor.maximum_length or 0) or 1 << 30
        self._head = self._command(pending, _DATA_FOLLOWS)
        self._held = bytearray()
        self._sent_at = time.monotonic()
        self.count = 0

    @property
    def is_cancelled(self) -> bool:
        """Whether a C-CANCEL has come."""
        return self._message_id in self._association.dimse.cancel_req

    @property
    def go_on(self) -> bool:
        """Whether more answers are wanted."""
        return not self.is_cancelled and self._association.is_alive_and_well

    def add(self, encoded: bytes) -> None:
        """Send an answer, its dataset encoded as the context says."""
        self.count += 1
        self._held += self._framed(self._head, encoded)
        now = time.monotonic()
        if len(self._held) > _HELD_BYTES or now - self._sent_at > _HELD_S:
            self._flush()
            self._sent_at = now

    def finish(self) -> int:
        """Send the final response, success or cancelled, and return its status."""
        status = _CANCELLED if self.is_cancelled else 0
        self._held += self._framed(self._command(status, _NO_DATA), None)
        self._flush()
        return status

    def _flush(self) -> None:
        if self._association.is_alive_and_well:
            self._association.send_bytes(bytes(self._held))
        self._held.clear()

    def _command(self, status: int, data: bytes) -> bytes:
        return command_set({
            0x0002: self._sop_class_uid.encode(), 0x0100: struct.pack("<H", 0x8020),
            0x0120: struct.pack("<H", self._message_id), 0x0800: data, 0x0900: struct.pack("<H", status),
        })  # fmt: skip

    def _framed(self, command: bytes, encoded: bytes | None) -> bytes:
        """Return the PDUs of a message: one where the peer takes it so (PS3.8 9.3.5)."""
        values = [self._value(_COMMAND | _LAST, command)]
        room = self._limit - 6
        if encoded is not None:
            pieces = [encoded[start : start + room] for start in range(0, len(encoded), room)] or [b""]
            values += [self._value(_DATASET, piece) for piece in pieces[:-1]] + [self._value(_DATASET | _LAST, pieces[-1])]
        if sum(map(len, values)) <= self._limit:
            values = [b"".join(values)]
        return b"".join(struct.pack(">BBL", _P_DATA, 0, len(value)) + value for value in values)

    def _value(self, control: int, content: bytes) -> bytes:
        return struct.pack(">LBB", len(content) + 2, self._context_id, control) + content

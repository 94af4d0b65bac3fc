"""WADO-RS: the parts of a multipart/related answer as a stream, each to its own sink.

Knows: multipart (RFC 2046) with parts of PS3.10 (PS3.18 10.4).
Does not know: what is asked for and why, where the instances go.
"""

import http.client
import logging
import re
from collections.abc import Callable
from email.message import Message
from typing import Self

from workbench.entities import Peer, uid_checked
from workbench.errors import AssociationAborted, DatasetIncomplete, WorkbenchError
from workbench.files import Part10
from workbench.network.receiving import Sink
from workbench.network.web import request

__all__ = ["fetch"]

log = logging.getLogger(__name__)

Chunk = bytes | memoryview
_CHUNK_BYTES = 1 << 18
_HEAD_BYTES = 4_096
_META_LIMIT_BYTES = 4 << 20
_HEADER_LIMIT_BYTES = 65_536
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*([0-9]{1,18})[ \t]*$")


def fetch(peer: Peer, path: str, *, receive: Callable[..., Sink], cancel: Callable[[], bool]) -> int:
    """Fetch what is at `path` and return how many parts could not be taken because they are not DICOM.

    Parameters
    ----------
    peer : Peer
        With a `web_url`.
    path : str
        Such as ``studies/1.2.3``.
    receive : callable
        Gives a sink for each instance.
    cancel : callable
        Polled between reads; when it is true the connection is closed.

    Raises
    ------
    NetworkError
        If the answer is a refusal, or ends early; what came whole until then is kept.
    """
    with request(peer, path, accept=_ACCEPT) as answer:
        kind = Message()
        kind["Content-Type"] = answer.headers.get("Content-Type", "")
        boundary = kind.get_boundary("")
        stream = _Stream(answer, peer, cancel)
        if not boundary:
            instance = _Instance(receive, peer.ae_title)
            with instance:
                stream.rest(instance.write)
                instance.end()
            return instance.broken
        return _Multipart(stream, boundary.encode("latin-1"), lambda: _Instance(receive, peer.ae_title)).read()


class Stopped(Exception):
    """`cancel` said so."""


class _Stream:
    """Bytes of an answer with a window in which can be searched; what is passed on is not copied."""

    def __init__(self, answer: http.client.HTTPResponse, peer: Peer, cancel: Callable[[], bool]) -> None:
        self._answer, self._peer, self._cancel = answer, peer, cancel
        self._data, self._at = b"", 0

    def more(self) -> bool:
        """Add what comes next to the window; False at the end."""
        if self._cancel():
            raise Stopped
        chunk = self._answer.read1(_CHUNK_BYTES)
        self._data, self._at = self._data[self._at :] + chunk if self._at < len(self._data) else chunk, 0
        return bool(chunk)

    def put_back(self, mark: bytes) -> None:
        """Have `mark` before what is in the window."""
        self._data, self._at = mark + self._data[self._at :], 0

    def is_next(self, mark: bytes) -> bool:
        """Whether `mark` comes next."""
        while len(self._data) - self._at < len(mark):
            if not self.more():
                raise self.broken()
        return self._data.startswith(mark, self._at)

    def skip(self, count: int) -> None:
        """Drop so much of the window; or have what was dropped last again."""
        self._at += count

    def take(self, count: int, write: Callable[[Chunk], object]) -> None:
        """Pass on exactly `count` bytes."""
        while count:
            if self._at == len(self._data) and not self.more():
                raise self.broken()
            part = memoryview(self._data)[self._at : self._at + count]
            self._at += len(part)
            write(part)
            count -= len(part)

    def until(self, mark: bytes, write: Callable[[Chunk], object]) -> None:
        """Pass on what comes before `mark`, and drop the mark."""
        while (position := self._data.find(mark, self._at)) < 0:
            known = len(self._data) - len(mark) + 1  # what stands behind may be the beginning of the mark
            if known > self._at:
                write(memoryview(self._data)[self._at : known])
                self._at = known
            if not self.more():
                raise self.broken()
        if position > self._at:
            write(memoryview(self._data)[self._at : position])
        self._at = position + len(mark)

    def rest(self, write: Callable[[Chunk], object]) -> None:
        """Pass on everything."""
        while self._at < len(self._data) or self.more():
            part = memoryview(self._data)[self._at :]
            self._at = len(self._data)
            write(part)

    def broken(self) -> AssociationAborted:
        """Return the error for an end that comes too early."""
        return AssociationAborted(f"The answer of {self._peer.web_url} ended before its last part was complete (RFC 2046 5.1).")


class _Multipart:
    def __init__(self, stream: _Stream, boundary: bytes, part: Callable[[], "_Instance"]) -> None:
        self._stream, self._mark, self._part = stream, b"\r\n--" + boundary, part
        self._broken = 0

    def read(self) -> int:
        """Read all parts; return how many were not DICOM."""
        self._stream.put_back(b"\r\n")  # the first boundary need not have a line end before it
        self._stream.until(self._mark, lambda _: None)
        while not self._is_last():
            header = self._header()
            with self._part() as instance:
                if match := _LENGTH.search(header):
                    self._stream.take(int(match[1]), instance.write)
                    if not self._stream.is_next(self._mark):
                        raise self._stream.broken()
                    self._stream.skip(len(self._mark))
                else:
                    self._stream.until(self._mark, instance.write)
                instance.end()
            self._broken += instance.broken
        return self._broken

    def _is_last(self) -> bool:
        return self._stream.is_next(b"--")

    def _header(self) -> bytes:
        header = bytearray(b"\r\n")

        def keep(part: Chunk) -> None:
            header.extend(part)
            if len(header) > _HEADER_LIMIT_BYTES:
                raise self._stream.broken()

        self._stream.until(b"\r\n", lambda _: None)  # what may follow a boundary on its line
        self._stream.skip(-2)  # an empty header has one line end only
        self._stream.until(b"\r\n\r\n", keep)
        return bytes(header).replace(b"\r\n", b"\n")


class _Instance:
    """One part: its file meta information is read, its dataset passed on."""

    def __init__(self, receive: Callable[..., Sink], source: str) -> None:
        self._receive, self._source = receive, source
        self._head = bytearray()
        self._sink: Sink | None = None
        self._is_lost = False
        self.broken = 0

    def write(self, chunk: Chunk) -> None:
        """Take the next bytes of the file; once the sink has refused, they are dropped."""
        if self._is_lost:
            return
        try:
            if self._sink is None:
                chunk = self._begin(chunk)
            if self._sink is not None and len(chunk):
                self._sink.write(chunk)
        except Exception as error:  # noqa: BLE001 - the intake has noted why; the other parts still come
            self._lose(error)

    def _begin(self, chunk: Chunk) -> Chunk:
        """Take what is needed of `chunk` to know which instance it is; return the rest of it."""
        seen = max(0, _HEAD_BYTES - len(self._head)) or len(chunk)
        self._head += chunk[:seen]
        if len(self._head) >= _HEAD_BYTES:
            self._open(is_whole=False)
        if self._sink is None:
            self._head += chunk[seen:]
        return chunk[seen:]

    def end(self) -> None:
        """Keep the instance: its part is complete."""
        if self._is_lost:
            return
        try:
            if self._sink is None:
                self._open(is_whole=True)
            if self._sink is not None:
                self._sink.commit()
                self._sink = None
        except Exception as error:  # noqa: BLE001 - as above
            self._lose(error)

    def _open(self, *, is_whole: bool) -> None:
        head = bytes(self._head)
        try:
            found = Part10.locate(head)
            for name, uid in (("SOP Instance UID", found.sop_instance_uid), ("SOP Class UID", found.sop_class_uid)):
                uid_checked(uid, name=name)
        except DatasetIncomplete:
            if not is_whole and len(head) < _META_LIMIT_BYTES:
                return
            self.broken = 1
            raise
        except WorkbenchError:
            self.broken = 1
            raise
        self._sink = self._receive(
            sop_class_uid=found.sop_class_uid,
            sop_instance_uid=found.sop_instance_uid,
            transfer_syntax_uid=found.transfer_syntax_uid,
            source_ae_title=self._source,
        )
        self._head.clear()
        self._sink.write(head[found.dataset_offset :])

    def _lose(self, error: Exception) -> None:
        log.warning("an instance of a WADO-RS answer was not kept: %s", type(error).__name__)
        self._is_lost = True
        self._drop()

    def _drop(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

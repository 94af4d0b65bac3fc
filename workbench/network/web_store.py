"""STOW-RS: storing over the web (PS3.18 10.5).

Knows: multipart/related as a stream, and the store instances response.
Does not know: associations, retries.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from workbench.errors import AssociationAborted, DatasetIncomplete, NetworkError, PeerUnreachable, StatusFailure, WorkbenchError
from workbench.files import meta_bytes
from workbench.network._job import Job, Sender, StoreOutcome
from workbench.network._outgoing import Outgoing, opened
from workbench.network.bulk import Content
from workbench.network.statuses import words
from workbench.network.web import request

__all__ = ["WebSender"]

_REQUEST_BYTES = 16 << 20
_REQUEST_COUNT = 64
_CHUNK_BYTES = 1 << 20
_ANSWER_LIMIT_BYTES = 16 << 20
_STORED, _REFUSED, _UID, _FAILURE, _WARNING = "00081199", "00081198", "00081155", "00081197", "00081196"

_Part = tuple[Outgoing, bytes, Content]


class WebSender(Sender):
    """Sends in requests of several instances; where one is refused as a whole, in requests of one."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.one_each = job.policy.per == "instance" or job.policy.on_failure != "continue"

    def attempt(self) -> None:
        """Send what waits."""
        while parts := self._parts():
            try:
                self._post(parts)
            except (StatusFailure, DatasetIncomplete, OSError) as error:
                if len(parts) > 1:
                    self.one_each = True
                    self.job.waiting.extendleft(item for item, _, _ in reversed(parts))
                elif isinstance(error, StatusFailure):
                    self.answered += 1
                    self.job.row(parts[0][0], StoreOutcome.FAILED, str(error), status=error.status)
                else:
                    self.job.row(parts[0][0], StoreOutcome.REFUSED, f"It could not be read to its end: {error}")
            except PeerUnreachable:  # nothing was sent
                self.job.waiting.extendleft(item for item, _, _ in reversed(parts))
                raise
            except NetworkError as error:
                for item, _, _ in parts:
                    self.no_answer(item, error)
                raise
            finally:
                for _, _, content in parts:
                    content.close()

    def _parts(self) -> list[_Part]:
        """Return what the next request will hold, opened."""
        parts: list[_Part] = []
        size = 0
        while len(parts) < (1 if self.one_each else _REQUEST_COUNT) and (item := self.job.take()):
            if parts and size + item.size_bytes > _REQUEST_BYTES:
                self.job.waiting.appendleft(item)
                break
            try:
                named, content = opened(item, transfer_syntax_uid=item.transfer_syntax_uid)
            except OSError as error:
                self.job.row(item, StoreOutcome.REFUSED, f"The file can't be read: {error.strerror}.")
            except WorkbenchError as error:
                self.job.row(item, StoreOutcome.REFUSED, str(error))
            else:
                head = meta_bytes(named.sop_class_uid, named.sop_instance_uid, named.transfer_syntax_uid)
                parts.append((named, head, content))
                size += content.size
        return parts

    def _post(self, parts: list[_Part]) -> None:
        boundary = secrets.token_hex(16)
        # no transfer-syntax parameter: the file meta information says it, and some servers refuse the parameter
        line = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        heads = [line + meta for _, meta, _ in parts]
        end = f"--{boundary}--\r\n".encode()
        size = sum(len(head) + part[2].size + 2 for head, part in zip(heads, parts, strict=True)) + len(end)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(size),
        }
        body = _stream(heads, [content for _, _, content in parts], end)
        with request(
            self.job.peer, "studies", accept="application/dicom+json", method="POST", body=body, headers=headers
        ) as answer:
            self._settle(parts, _parsed(answer.read(_ANSWER_LIMIT_BYTES)))

    def _settle(self, parts: list[_Part], answer: dict[str, Any]) -> None:
        stored = {_value(item, _UID): _value(item, _WARNING) for item in _items(answer, _STORED)}
        failed = {_value(item, _UID): _value(item, _FAILURE) for item in _items(answer, _REFUSED)}
        for item, _, content in parts:
            uid, syntax = item.sop_instance_uid, item.transfer_syntax_uid
            self.answered += 1
            if uid in failed:
                status = failed[uid] if isinstance(failed[uid], int) else None
                text = f"Failure reason 0x{status:04X}, {words(status)}" if status is not None else "The peer gave no reason"
                self.job.row(item, StoreOutcome.FAILED, f"{text} (PS3.18 I.2.2).", status=status)
            elif uid not in stored:
                text = "The answer does not name it (PS3.18 10.5.3): it may or may not be stored; query for it."
                self.job.row(item, StoreOutcome.UNKNOWN, text)
            elif isinstance(stored[uid], int) and stored[uid]:
                text = f"Stored, with a warning. Reason 0x{stored[uid]:04X}, {words(stored[uid])} (PS3.18 I.2.1)."
                self.job.row(item, StoreOutcome.WARNING, text, status=stored[uid], sent=syntax, size=content.size)
            else:
                self.job.row(item, StoreOutcome.STORED, "Stored.", status=0, sent=syntax, size=content.size)


def _stream(heads: list[bytes], contents: list[Content], end: bytes) -> Iterator[bytes]:
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    for head, content in zip(heads, contents, strict=True):
        yield head
        for offset in range(0, content.size, _CHUNK_BYTES):
            view = buffer[: min(_CHUNK_BYTES, content.size - offset)]
            content.fill([view], offset)
            yield bytes(view)
        yield b"\r\n"
    yield end


def _parsed(answer: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        parsed = json.loads(answer)
        if isinstance(parsed, list) and parsed:  # some servers wrap the one dataset
            parsed = parsed[0]
        if isinstance(parsed, dict):
            return parsed
    raise AssociationAborted("The server's answer to STOW-RS is not the DICOM JSON of PS3.18 10.5.3: what it stored is not known.")


def _items(answer: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    value = answer.get(tag)
    items = value.get("Value") if isinstance(value, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _value(item: dict[str, Any], tag: str) -> Any:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str | int) else None

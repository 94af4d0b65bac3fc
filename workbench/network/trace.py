"""What was said on the wire: associations recorded while they run, as tables and as a sequence diagram.

Knows: PDUs, presentation contexts, DIMSE messages and statuses as :mod:`workbench.network._wire` finds them in the bytes.
Does not know: how they were sent, what came of them.
"""

import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from workbench.entities import counted, plain
from workbench.files import write_whole
from workbench.network._diagram import diagram
from workbench.network._tap import WATCHER
from workbench.network._trace_rows import Side, TraceContext, TraceContexts, TracePdu, TracePdus, TraceRow, TraceRows
from workbench.network._wire import Event, Message, Negotiation, Notice, Pdu, Stream, negotiation
from workbench.network.association import rejection
from workbench.network.statuses import words

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Trace", "TraceContext", "TraceContexts", "TracePdu", "TracePdus", "TraceRow", "TraceRows", "trace"]

_ROWS_LIMIT, _PDUS_LIMIT = 100_000, 500_000
_COMMANDS = {
    0x0001: "C-STORE-RQ", 0x0010: "C-GET-RQ", 0x0020: "C-FIND-RQ", 0x0021: "C-MOVE-RQ", 0x0030: "C-ECHO-RQ",
    0x0100: "N-EVENT-REPORT-RQ", 0x0110: "N-GET-RQ", 0x0120: "N-SET-RQ", 0x0130: "N-ACTION-RQ", 0x0140: "N-CREATE-RQ",
    0x0150: "N-DELETE-RQ", 0x0FFF: "C-CANCEL-RQ",
}  # fmt: skip
#: Shown though identifiers are masked: they say what is asked, not about whom.
_OPEN = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "Modality", "ModalitiesInStudy", "QueryRetrieveView"})
_MASK = "•••"
_KEYS_LIMIT, _VALUE_LIMIT = 200, 64
_ANSWERS = {
    0: "accepted",
    1: "user rejection",
    2: "no reason",
    3: "abstract syntax not supported",
    4: "transfer syntaxes not supported",
}
_ABORT_REASONS = ("no reason given", "unrecognized PDU", "unexpected PDU", "reserved", "unrecognized PDU parameter",
                  "unexpected PDU parameter", "invalid PDU parameter")  # fmt: skip


class Trace:
    """What passes through connections, recorded while they run.

    Made by :func:`trace`, or given to a server: ``Server(archive, trace=Trace())``. Its display in a notebook is a sequence
    diagram. Datasets are not kept; of identifiers the keywords are, and UIDs, but no other value unless `values` is true.
    Names, passwords and tickets of user identity negotiation never are. Several threads may record into one.

    Parameters
    ----------
    values : bool
        Whether values of identifiers, and error comments, are recorded too: they name patients.

    Examples
    --------
    >>> Trace()
    <Trace of 0 associations, 0 rows>
    """

    def __init__(self, *, values: bool = False) -> None:
        self.shows_values = values
        self._start = time.perf_counter()
        self._lock = threading.RLock()
        self._lines: list[_Line] = []
        self._rows: list[TraceRow] = []
        self._pdus: list[TracePdu] = []
        self._missing = 0

    def line(self, *, local: str, remote: str, is_caller: bool) -> "_Line":
        """Return who records a new connection."""
        with self._lock:
            self._lines.append(_Line(self, self._lock, len(self._lines) + 1, local, remote, is_caller=is_caller))
            return self._lines[-1]

    # ------------------------------------------------------------ what it says
    @property
    def rows(self) -> TraceRows:
        """What was said, in order."""
        with self._lock:
            return TraceRows(self._rows)

    @property
    def pdus(self) -> TracePdus:
        """All PDUs, in order."""
        with self._lock:
            return TracePdus(self._pdus)

    @property
    def contexts(self) -> TraceContexts:
        """Presentation contexts with their results."""
        with self._lock:
            return TraceContexts(context for line in self._lines for context in line.contexts())

    @property
    def missing(self) -> int:
        """How many rows and PDUs were counted and not kept, because there were too many."""
        return self._missing

    def table(self) -> "pd.DataFrame":
        """Return a DataFrame with one row a message, with nullable dtypes; see :class:`TraceRow` for its columns."""
        return self.rows.table().astype({"name": "category", "direction": "category", "sop_class": "category"})

    def save(self, path: Path | str) -> Path:
        """Write the sequence diagram as a page of HTML that needs nothing else; return where. With values only you can read it.

        A file that is there is replaced when the page is whole.

        Raises
        ------
        StorageFull
            If there is no space left.
        OSError
            If it can't be written there.
        """
        head = "<!doctype html>\n<html lang='en'><meta charset='utf-8'>"
        page = f"{head}<title>Wire trace</title><body>{self._repr_html_()}</body></html>\n"
        path = Path(path)
        if path.exists() and not path.is_file():  # a terminal or a pipe, which no file may replace
            path.write_text(page, encoding="utf-8")
            return path
        return write_whole(path, page.encode(), mode=0o600 if self.shows_values else 0o666)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<Trace of {len(self._lines)} associations, {len(self._rows)} rows>"

    def _repr_html_(self) -> str:
        with self._lock:
            sides = [line.side() for line in self._lines]
            return diagram(sides, self.rows, self.contexts, missing=self._missing)

    # ------------------------------------------------------------ what it hears
    def now(self) -> float:
        """Seconds from its beginning."""
        return time.perf_counter() - self._start

    def keep(self, *found: TraceRow | TracePdu) -> None:
        """Add to it, unless there is too much already."""
        for one in found:
            if isinstance(one, TraceRow):
                if len(self._rows) < _ROWS_LIMIT:
                    self._rows.append(one)
                    continue
            elif len(self._pdus) < _PDUS_LIMIT:
                self._pdus.append(one)
                continue
            self._missing += 1


@contextmanager
def trace(*, values: bool = False) -> Iterator[Trace]:
    """Record every association that is opened inside the block, and those of servers that are started in it.

    Parameters
    ----------
    values : bool
        Whether values of identifiers are recorded too, not only their keywords: they name patients.

    Yields
    ------
    Trace
        Shows itself as a sequence diagram; :meth:`Trace.table` gives it as a DataFrame.

    Notes
    -----
    What other threads of the program open at the same time is not recorded. Outside of such a block nothing is, and nothing
    is slowed down.

    Examples
    --------
    >>> from workbench.network import echo
    >>> with trace() as recorded:
    ...     _ = echo("NOBODY@127.0.0.1:1")
    >>> recorded
    <Trace of 0 associations, 0 rows>
    """
    recorded = Trace(values=values)
    token = WATCHER.set(recorded)
    try:
        yield recorded
    finally:
        WATCHER.reset(token)


class _Line:
    """One connection."""

    def __init__(self, recorder: Trace, lock: threading.RLock, number: int, local: str, remote: str, *, is_caller: bool) -> None:
        self._recorder, self._lock, self.number = recorder, lock, number
        self._local, self._remote, self._is_caller = local, remote, is_caller
        self._streams = {"sent": Stream(), "received": Stream()}
        self._request: Negotiation | None = None
        self._answer: Negotiation | None = None
        self._is_open = True
        self._bytes = {"sent": 0, "received": 0}

    # ------------------------------------------------------------ what it hears
    def sent(self, data: bytes | memoryview) -> None:
        """Take what is about to be sent."""
        self._feed("sent", data)

    def received(self, data: bytes | memoryview) -> None:
        """Take what was received."""
        self._feed("received", data)

    def ended(self, how: str) -> None:
        """Take that the connection is over."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            now = self._recorder.now()
            for direction, stream in self._streams.items():
                for event in stream.end(now):
                    self._keep(direction, event)
            direction = "received" if "other side" in how else "sent"
            self._recorder.keep(TraceRow(self.number, now, 0.0, direction, "connection", meaning=how))

    def _feed(self, direction: str, data: bytes | memoryview) -> None:
        with self._lock:
            self._bytes[direction] += len(data)
            for event in self._streams[direction].feed(data, self._recorder.now()):
                self._keep(direction, event)

    def _keep(self, direction: str, event: Event) -> None:
        if isinstance(event, Notice):
            self._recorder.keep(TraceRow(self.number, event.at, 0.0, direction, "violation", meaning=event.text))
            return
        if isinstance(event, Message):
            self._recorder.keep(self._message(direction, event))
            return
        lasted = event.ended - event.began
        self._recorder.keep(TracePdu(self.number, event.began, lasted, direction, event.name, event.size_bytes, event.note))
        if event.name != "P-DATA-TF" or event.note:
            self._recorder.keep(self._control(direction, event, lasted))

    def _control(self, direction: str, pdu: Pdu, lasted: float) -> TraceRow:
        row = TraceRow(self.number, pdu.began, lasted, direction, pdu.name, wire_bytes=pdu.size_bytes, meaning=pdu.note)
        if pdu.note:
            return row
        if pdu.name in {"A-ASSOCIATE-RQ", "A-ASSOCIATE-AC"}:
            found = negotiation(pdu.body)
            if pdu.name.endswith("RQ"):
                self._request = self._request or found
                meaning = f"{counted(len(found.contexts), 'context')} proposed"
            else:
                self._answer = self._answer or found
                accepted = sum(context.result == 0 for context in found.contexts)
                meaning = f"{accepted} of {counted(len(found.contexts), 'context')} accepted"
            return replace(row, meaning=meaning, note=_note(found))
        if pdu.name == "A-ASSOCIATE-RJ" and len(pdu.body) >= 4:
            return replace(row, meaning=rejection(*pdu.body[1:4]))
        if pdu.name == "A-ABORT" and len(pdu.body) >= 4:
            if pdu.body[2] != 2:
                return replace(row, meaning="by the service user")
            reason = _ABORT_REASONS[pdu.body[3]] if pdu.body[3] < len(_ABORT_REASONS) else f"reason {pdu.body[3]}"
            return replace(row, meaning=f"by the service provider: {reason}")
        return row

    def _message(self, direction: str, message: Message) -> TraceRow:
        field, command = _number(message.command, 0x0100) or 0, message.command
        is_response = bool(field & 0x8000)
        name = _COMMANDS.get(field & 0x7FFF, f"command 0x{field & 0x7FFF:04X}")
        if is_response:
            name = name.removesuffix("-RQ") + "-RSP"
        status = _number(command, 0x0900) if is_response else None
        return TraceRow(
            self.number, message.began, message.ended - message.began, direction, name,
            message_id=_number(command, 0x0120 if is_response or field == 0x0FFF else 0x0110), context_id=message.context_id,
            sop_class=_uid_name(_text(command, 0x0002) or _text(command, 0x0003)),
            sop_instance_uid=_text(command, 0x1000) or _text(command, 0x1001),
            status=status, meaning="" if status is None else words(status),
            pdus=message.pdus, wire_bytes=message.wire_bytes,
            dataset_bytes=message.dataset_bytes if command.get(0x0800) != b"\x01\x01" else None,
            identifier=self._identifier(message), note=self._remarks(command),
        )  # fmt: skip

    def _remarks(self, command: dict[int, bytes]) -> str:
        said = []
        if destination := _text(command, 0x0600):
            said.append(f"to {destination}")
        if originator := _text(command, 0x1030):
            said.append(f"for {originator}")
        names = ((0x1020, "remaining"), (0x1021, "completed"), (0x1022, "failed"), (0x1023, "warning"))
        said += [f"{number} {name}" for element, name in names if (number := _number(command, element)) is not None]
        for element, name in ((0x1002, "event"), (0x1008, "action")):
            if (number := _number(command, element)) is not None:
                said.append(f"{name} {number}")
        if comment := _text(command, 0x0902):
            said.append(f"comment {comment if self._recorder.shows_values else _MASK}")
        return ", ".join(said)

    def _identifier(self, message: Message) -> tuple[str, ...]:
        if message.dataset is None:
            return ()
        syntax = next(
            (c.transfer_syntaxes for c in (self._answer.contexts if self._answer else ()) if c.context_id == message.context_id), ()
        )
        uid = UID(syntax[0] if syntax else "1.2.840.10008.1.2")
        with suppress(Exception):  # whatever the reader stumbles over: it is said below
            dataset = read_dataset(BytesIO(message.dataset), uid.is_implicit_VR, uid.is_little_endian)
            return tuple(_keys(dataset, values=self._recorder.shows_values))[:_KEYS_LIMIT]
        return ("(it can't be read)",)

    # ------------------------------------------------------------ what it says
    def side(self) -> Side:
        """Return who speaks with whom."""
        request = self._request or self._answer
        calling, called = (request.calling, request.called) if request else ("", "")
        ours, theirs = (calling, called) if self._is_caller else (called, calling)
        return Side(
            self.number, plain(ours), plain(theirs), self._local, self._remote, is_caller=self._is_caller,
            sent_bytes=self._bytes["sent"], received_bytes=self._bytes["received"],
        )  # fmt: skip

    def contexts(self) -> Iterator[TraceContext]:
        """Yield the presentation contexts."""
        request, answer = self._request, self._answer
        answered = {c.context_id: c for c in (answer.contexts if answer else ())}
        for proposed in request.contexts if request else ():
            uid, its = proposed.abstract_syntax, answered.get(proposed.context_id)
            result = "not answered" if its is None or its.result is None else _ANSWERS.get(its.result, f"result {its.result}")
            accepted = _uid_name(its.transfer_syntaxes[0]) if its and its.result == 0 and its.transfer_syntaxes else ""
            roles, extended = [], []
            for said in (request, answer):
                if said is not None and uid in said.roles:
                    scu, scp = said.roles[uid]
                    roles.append("+".join(name for name, has in (("SCU", scu), ("SCP", scp)) if has) or "none")
                if said is not None and uid in said.extended:
                    extended.append(said.extended[uid].hex())
            yield TraceContext(
                self.number, proposed.context_id, plain(uid), _uid_name(uid), tuple(map(_uid_name, proposed.transfer_syntaxes)),
                result, accepted, " → ".join(roles), " → ".join(extended),
            )  # fmt: skip


def _keys(dataset: Dataset, *, values: bool, prefix: str = "") -> Iterator[str]:
    """Yield what an identifier holds, its values masked."""
    for tag in sorted(dataset.keys()):
        if tag.element == 0:
            continue
        keyword = keyword_for_tag(tag)
        name = prefix + (keyword or f"({tag.group:04X},{tag.element:04X})")
        raw: Any = dataset.get_item(tag)
        known = dictionary_VR(tag) if keyword else "UN"  # what a peer says instead must not unmask what names somebody
        vr = raw.VR or known
        if vr == "SQ":
            items = dataset[tag].value
            yield f"{name}[{len(items)}]"
            for item in list(items)[:3]:
                yield from _keys(item, values=values, prefix=f"{name}.")
        elif not isinstance(raw, RawDataElement) or not raw.value:
            yield name
        elif text := _shown(dataset, raw, vr, values=values, is_open=known == "UI" or keyword in _OPEN):
            yield f"{name}={text[:_VALUE_LIMIT]}{'…' if len(text) > _VALUE_LIMIT else ''}"
        else:
            yield f"{name}={_MASK}"


def _shown(dataset: Dataset, raw: RawDataElement, vr: str, *, values: bool, is_open: bool) -> str:
    """Return the value of an element, empty where it is not to be seen. What is masked is not even decoded."""
    if is_open:
        return plain((raw.value or b"").decode("latin-1").strip("\0 "))
    if not values or vr.startswith("O"):
        return ""
    value = dataset[raw.tag]
    return plain("\\".join(map(str, value.value)) if value.VM > 1 else value.value)


def _number(command: dict[int, bytes], element: int) -> int | None:
    value = command.get(element, b"")
    return int(struct.unpack("<H", value)[0]) if len(value) == 2 else None


def _text(command: dict[int, bytes], element: int) -> str:
    return plain(command.get(element, b"").decode("latin-1").strip("\0 "))[:_VALUE_LIMIT]


def _uid_name(uid: str) -> str:
    return plain(UID(uid).name if uid else "")[:_VALUE_LIMIT]


def _note(found: Negotiation) -> str:
    limit = (
        []
        if found.max_pdu_bytes is None
        else [f"PDU up to {found.max_pdu_bytes:,} bytes" if found.max_pdu_bytes else "PDU unlimited"]
    )
    return plain(", ".join([*limit, *([found.implementation] if found.implementation else []), *found.others]))

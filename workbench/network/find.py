"""Queries: which patients, studies, series and instances a peer has.

Knows: C-FIND in the Patient Root and Study Root models (PS3.4 C.4.1), its limits and its cancelling; QIDO-RS by way of `web`.
Does not know: which keys a model has (`standard` does), or how instances are fetched.
"""

import logging
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pynetdicom.association import Association

from workbench.entities import Peer, html_table
from workbench.errors import InputError, NetworkError
from workbench.inspection import table
from workbench.network import contexts
from workbench.network.addressbook import as_peer
from workbench.network.association import associate, lost
from workbench.network.statuses import CANCELLED, failure, is_pending, words
from workbench.network.web import search
from workbench.standard import UNIQUE_KEYS, Level, Model, query_identifier

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_RESULTS", "Found", "by_dimse", "cancelling", "columns_of", "find"]

log = logging.getLogger(__name__)

#: Without a limit of your own, a query ends after this many results: a peer may send for ever.
MOST_RESULTS = 100_000

#: So many answers beyond the limit may come twice or be unreadable; then the query ends as well.
MOST_USELESS = 1000

#: How long a peer may go on sending after it was asked to stop, in seconds.
PATIENCE_S = 5.0


_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")


@dataclass(frozen=True, eq=False, repr=False)
class Found(Sequence[Dataset]):
    """What a query gave: a sequence of datasets that shows itself as a table.

    Parameters
    ----------
    datasets : tuple of pydicom.Dataset
        The answers in the order in which they came.
    level : str
        PATIENT, STUDY, SERIES or IMAGE.
    keywords : tuple of str
        The columns: the keys that were asked for first, then the others.
    truncated : bool
        Whether there were more than these.
    cancelled : bool
        Whether `cancel` stopped it.
    notes : tuple of str
        What the peer or the reading of its answers left in doubt.
    seconds : float
        How long it took.
    """

    datasets: tuple[Dataset, ...]
    level: str
    keywords: tuple[str, ...]
    truncated: bool = False
    cancelled: bool = False
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @overload
    def __getitem__(self, index: int) -> Dataset: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Dataset]: ...
    def __getitem__(self, index: int | slice) -> Dataset | Sequence[Dataset]:
        """Return one answer, or a tuple of some."""
        return self.datasets[index]

    def __len__(self) -> int:
        return len(self.datasets)

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self.datasets)

    def __repr__(self) -> str:
        return f"Found({len(self)} at {self.level} level{', truncated' if self.truncated else ''}, {self.seconds:.2f} s)"

    def table(self, keywords: Iterable[str] | None = None) -> "pd.DataFrame":
        """Return a DataFrame: dates as datetime64, counts as Int64, the rest as text; NA where the peer sent nothing.

        Parameters
        ----------
        keywords : iterable of str, optional
            The columns, instead of those that were asked for.
        """
        return table(self.datasets, self.keywords if keywords is None else keywords)

    def _repr_html_(self) -> str:
        rows = self.table().astype(object).where(lambda frame: frame.notna(), "").to_dict("records")
        about = [f"{len(self)} at {self.level} level in {self.seconds:.2f} s", "truncated" if self.truncated else "", *self.notes]
        return html_table([{str(k): v for k, v in row.items()} for row in rows], caption=" · ".join(filter(None, about)))


def find(
    peer: Peer | str,
    *,
    level: str = "STUDY",
    keys: Mapping[str, Any] | None = None,
    model: str = "STUDY",
    via: Literal["dimse", "web"] = "dimse",
    limit: int | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Found:
    r"""Ask a peer what it has.

    Parameters
    ----------
    peer : Peer or str
        Whom to ask: a peer, its name in the address book, or ``AETITLE@HOST:PORT``.
    level : str
        PATIENT, STUDY, SERIES or IMAGE, in any case.
    keys : mapping of keyword to value, optional
        What to match (PS3.4 C.2.2.2): a single value, ``*`` and ``?`` in text, a range ``20260101-20260131`` or
        ``(first, last)`` for dates and times, a list of UIDs, or None to have the attribute returned whatever its value is.
        See :func:`workbench.standard.query_identifier`.
    model : str
        PATIENT or STUDY root, in any case.
    via : str
        ``dimse`` for C-FIND, ``web`` for QIDO-RS at ``peer.web_url``; the columns are the same.
    limit : int, optional
        How many answers are enough; without it at most 100 000.
    cancel : callable, optional
        Polled; when it is true the query is cancelled (C-CANCEL) and what has come until then is returned.

    Returns
    -------
    Found
        The answers; `truncated` says whether there are more.

    Raises
    ------
    QueryKeyInvalid
        For a key that the model does not have at this level.
    NetworkError
        The leaf that says what went wrong; StatusFailure where the peer says no.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be 1 or more, not {limit}.")
    if via not in {"dimse", "web"}:
        raise InputError(f"via is dimse or web, not {via!r}.")
    peer = as_peer(peer)
    level, model = cast(Level, str(level).upper()), cast(Model, str(model).upper())
    identifier = query_identifier(model, level, keys, relational=via == "web")
    most = limit or MOST_RESULTS
    start = time.monotonic()
    if via == "web":
        answers = _Answers(most)
        for answer in search(peer, identifier, level=level, limit=most + 1):
            if cancel is not None and cancel():
                answers.cancelled = True
                break
            answers.take(answer)
    else:
        answers = by_dimse(peer, identifier, contexts.query_model(model, "FIND"), most=most, cancel=cancel)
    found = answers.found(level, columns_of(keys or {}, identifier), time.monotonic() - start)
    log.info("found %d at %s level at %s%s", len(found), level, peer.name, ", truncated" if found.truncated else "")
    return found


class _Answers:
    """Answers as they come, without those that come twice."""

    def __init__(self, most: int) -> None:
        self.most, self.datasets, self.notes = most, list[Dataset](), dict[str, None]()
        self.came = 0
        self.truncated = self.cancelled = False
        self._seen: dict[tuple[str, ...], list[Dataset]] = {}
        self.repeated = 0

    def take(self, answer: Dataset | None) -> None:
        """Keep an answer, None where it could not be decoded, or note that there are more than wanted."""
        self.came += 1
        if self.came > self.most + MOST_USELESS and not self.truncated:
            self.truncated = True
            self.notes[f"the peer sent {self.came} answers, most of them twice or unreadable, and was asked to stop"] = None
        if answer is None:
            self.notes["some answers could not be decoded and are not here"] = None
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they would show values
            self._take(answer)

    def _take(self, answer: Dataset) -> None:
        same = self._seen.setdefault(tuple(str(answer.get(keyword, "")) for keyword in UNIQUE_KEYS.values()), [])
        if answer in same:
            self.repeated += 1
        elif len(self.datasets) >= self.most:
            self.truncated = True
        else:
            same.append(answer)
            self.datasets.append(answer)

    def found(self, level: str, keywords: tuple[str, ...], seconds: float) -> Found:
        """Return what has come."""
        if self.repeated:
            self.notes[f"{self.repeated} answers came twice"] = None
        return Found(
            tuple(self.datasets), level, keywords, self.truncated or self.cancelled, self.cancelled, tuple(self.notes), seconds
        )


def by_dimse(peer: Peer, identifier: Dataset, sop_class_uid: str, *, most: int, cancel: Callable[[], bool] | None) -> _Answers:
    """Send a C-FIND request and collect its answers."""
    answers = _Answers(most)
    with associate(peer, contexts.service(sop_class_uid)) as association, cancelling(association, sop_class_uid, cancel) as stop:
        for answer, dataset in association.send_c_find(identifier, sop_class_uid):
            if "Status" not in answer:
                if stop.asked:
                    break
                raise _counted(lost(association, peer, "C-FIND"), len(answers.datasets))
            if not is_pending(answer.Status):
                _ended(peer, answer, answers, asked=stop.asked)
                break
            if stop.asked and time.monotonic() > stop.deadline:
                answers.notes["the peer did not stop when it was asked to"] = None
                association.abort()
                break
            if stop.asked and answers.truncated:
                continue
            if answer.Status == 0xFF01:
                answers.notes["the peer does not support some of the optional keys"] = None
            answers.take(dataset)
            if answers.truncated:
                stop.ask()
        answers.cancelled = stop.by_caller
    return answers


def _ended(peer: Peer, answer: Dataset, answers: _Answers, *, asked: bool) -> None:
    status = int(answer.Status)
    if status == CANCELLED:
        if not asked:
            answers.truncated = True
            answers.notes["the peer cancelled the query by itself"] = None
    elif status >> 12 == 0xB or status == 1:
        answers.notes[f"the peer ended with status 0x{status:04X}, {words(status)}"] = None
    elif status:
        raise _counted(failure(peer, "C-FIND", answer), len(answers.datasets))


def _counted(error: NetworkError, count: int) -> NetworkError:
    """Return the error with the number of answers that had come."""
    if count:
        error.add_note(f"{count} answers had come until then.")
    return error


class _Stop:
    """Asks the peer to stop, once (C-CANCEL, PS3.7 9.3.2.3)."""

    def __init__(self, association: Association, sop_class_uid: str) -> None:
        self._association, self._sop_class_uid, self._lock = association, sop_class_uid, threading.Lock()
        self.asked = self.by_caller = False
        self.deadline = float("inf")

    def ask(self, *, by_caller: bool = False) -> None:
        """Send C-CANCEL unless that was done."""
        with self._lock:
            if self.asked or not self._association.is_established:
                return
            self.asked, self.by_caller, self.deadline = True, by_caller, time.monotonic() + PATIENCE_S
        self._association.send_c_cancel(1, query_model=self._sop_class_uid)


@contextmanager
def cancelling(association: Association, sop_class_uid: str, cancel: Callable[[], bool] | None) -> Iterator[_Stop]:
    """Poll `cancel` ten times a second while the block lasts, and ask the peer to stop when it is true."""
    stop = _Stop(association, sop_class_uid)
    if cancel is None:
        yield stop
        return
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            if cancel():
                stop.ask(by_caller=True)
                return

    watcher = threading.Thread(target=watch, name="cancel", daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        ended.set()
        watcher.join()


def columns_of(keys: Mapping[str, Any], identifier: Dataset) -> tuple[str, ...]:
    """Return the keys that were asked for, then the others that come with them, as keywords or paths."""
    asked = (_TAG.sub(lambda match: keyword_for_tag(match[1] + match[2]), name) for name in keys)
    others = (e.keyword for e in identifier if e.keyword not in {"QueryRetrieveLevel", "SpecificCharacterSet"})
    inner = {e.keyword: [f"{e.keyword}.{key.keyword}" for key in e.value[0]] for e in identifier if e.VR == "SQ" and e.value}
    return tuple(dict.fromkeys((*asked, *(path for name in others for path in inner.get(name, [name])))))

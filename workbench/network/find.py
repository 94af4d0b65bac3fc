"""Queries: which patients, studies, series and instances a peer has.

Knows: C-FIND in the Patient Root and Study Root models (PS3.4 C.4.1), its limits and its cancelling; QIDO-RS by way of `web`.
Does not know: which keys a model has (`standard` does), or how instances are fetched.
"""

import logging
import re
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset

from workbench.entities import Peer, counted, html_table
from workbench.errors import InputError, NetworkError, QueryKeyInvalid, StatusFailure
from workbench.inspection import lines, table
from workbench.network import contexts
from workbench.network._conversation import Conversation, Response
from workbench.network._expected import conversing, refusal
from workbench.network._repertoire import declare
from workbench.network._walk import MOST_QUESTIONS, Walk, is_hierarchical
from workbench.network.addressbook import as_peer
from workbench.network.negotiation import NOTHING, QueryOptions, offset_minutes, proposal
from workbench.network.statuses import CANCELLED, words
from workbench.network.web import search
from workbench.standard import UNIQUE_KEYS, Level, Model, place, query_identifier

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_RESULTS", "Found", "by_dimse", "columns_of", "find"]

log = logging.getLogger(__name__)

#: Without a limit of your own, a query ends after this many results: a peer may send for ever.
MOST_RESULTS = 100_000

#: So many answers beyond the limit may come twice or be unreadable; then the query ends as well.
MOST_USELESS = 1000


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
    granted : frozenset of str
        What the peer granted beyond the baseline: relational, date_time, fuzzy, time_zone (PS3.4 C.5.1.1).
    """

    datasets: tuple[Dataset, ...]
    level: str
    keywords: tuple[str, ...]
    truncated: bool = False
    cancelled: bool = False
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    granted: frozenset[str] = frozenset()

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
        about = [f"{len(self)} at {self.level} level in {self.seconds:.2f} s", "truncated" if self.truncated else "", *self.notes]
        return html_table(lines(self.table()), caption=" · ".join(filter(None, about)))


def find(  # noqa: PLR0913 - what may be asked for, each by its name
    peer: Peer | str,
    *,
    level: str = "STUDY",
    keys: Mapping[str, Any] | None = None,
    only: bool = False,
    model: str = "STUDY",
    via: Literal["dimse", "web"] = "dimse",
    limit: int | None = None,
    cancel: Callable[[], bool] | None = None,
    options: QueryOptions = NOTHING,
    time_zone: str = "",
    progress: Callable[[int, int], None] | None = None,
    character_set: str | None = None,
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
    only : bool
        Whether to ask for nothing but `keys`, as a device does; by default what is usual at the level is asked for too.
    model : str
        PATIENT or STUDY root, in any case.
    via : str
        ``dimse`` for C-FIND, ``web`` for QIDO-RS at ``peer.web_url``; the columns are the same.
    limit : int, optional
        How many answers are enough; without it at most 100 000.
    cancel : callable, optional
        Polled; when it is true the query is cancelled (C-CANCEL) and what has come until then is returned.
    options : QueryOptions
        What is proposed to the peer beyond the baseline (PS3.4 C.5.1.1). ``relational``: keys of the levels above are allowed
        too, and their unique keys may be left out; where the peer does not grant it, it is asked level by level, with the same
        result. ``date_time``: a range of dates and one of times are matched as one range of moments. ``fuzzy``: names of
        persons are matched by the rules of the peer rather than letter by letter.
    time_zone : str
        An offset from UTC, such as ``+0100``, that is that of the dates and times of the query and, where the peer agrees to
        adjust them, of the answers.
    progress : callable, optional
        Called with how many questions were asked, and how many are known to be needed, where it goes level by level.
    character_set : str, optional
        Specific Character Set (0008,0005) of the query, which is said and in which the keys are encoded: a defined term such as
        ``ISO_IR 100``, or several with backslashes, as in ``\ISO 2022 IR 87``; empty where keys may have the default repertoire
        only. By default ``ISO_IR 192`` where keys are not ASCII, and none where they are. Answers are decoded each by its own.
        Where it goes level by level, a key from an answer that the set does not have is sent in ``ISO_IR 192``; a note says so.

    Returns
    -------
    Found
        The answers; `truncated` says whether there are more, `granted` what the peer agreed to. What was proposed and not
        granted is among the notes.

    Raises
    ------
    QueryKeyInvalid
        For a key that the model does not have at this level; for a range of times that runs backwards, where the peer does not
        match it with its dates.
    InputError
        If `character_set` is none, or lacks characters of the keys.
    NetworkError
        The leaf that says what went wrong; StatusFailure where the peer says no.
    """
    _check_way(via, limit, character_set)
    peer = as_peer(peer)
    level, model = cast(Level, str(level).upper()), cast(Model, str(model).upper())
    given: Any = options
    if not isinstance(given, QueryOptions):
        raise InputError(f"options is a QueryOptions(...), not {type(given).__name__}.")
    if options.time_zone and not time_zone:
        raise InputError("Which time zone the query has is said by time_zone=, such as '+0100'.")
    if time_zone:
        offset_minutes(time_zone)
        options = replace(options, time_zone=True)
    keys, times = _without_times(keys) if options.date_time and isinstance(keys, Mapping) else (keys, {})
    identifier = query_identifier(model, level, keys, relational=options.relational or via == "web", only=only)
    for keyword, text in times.items():
        setattr(identifier, keyword, text)
    declare(identifier, character_set)
    if options.relational and not only:
        _ask_where(identifier, model, level)
    most = limit or MOST_RESULTS
    start = time.monotonic()
    if via == "web":
        answers = _Answers(most)
        if options.names != ("relational",) and options.names:
            answers.notes["DICOMweb negotiates nothing: date_time, fuzzy and time_zone were not asked for"] = None
        for answer in search(peer, identifier, level=level, limit=most + 1):
            if cancel is not None and cancel():
                answers.cancelled = True
                break
            answers.take(answer)
    else:
        uid = contexts.query_model(model, "FIND")
        answers = by_dimse(
            peer, identifier, uid, most=most, cancel=cancel, options=options, time_zone=time_zone, progress=progress,
            character_set=character_set,
        )  # fmt: skip
    found = answers.found(level, columns_of(keys or {}, identifier), time.monotonic() - start)
    log.info("found %d at %s level at %s%s", len(found), level, peer.name, ", truncated" if found.truncated else "")
    return found


def _check_way(via: str, limit: int | None, character_set: str | None) -> None:
    if limit is not None and limit < 1:
        raise InputError(f"limit must be 1 or more, not {limit}.")
    if via not in {"dimse", "web"}:
        raise InputError(f"via is dimse or web, not {via!r}.")
    if via == "web" and character_set is not None:
        raise InputError("character_set is of C-FIND: keys of QIDO-RS are always UTF-8. Leave it out, or ask via='dimse'.")


def _without_times(keys: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the keys without ranges of times, and those as text: with their dates they need not run forwards."""
    kept, times = dict(keys), {}
    for name, value in keys.items():
        ends = value.split("-") if isinstance(value, str) else value
        keyword = _TAG.sub(lambda match: keyword_for_tag(match[1] + match[2]), str(name))
        if (
            tag_for_keyword(keyword)
            and dictionary_VR(keyword) == "TM"
            and isinstance(ends, tuple | list)
            and len(ends) == 2
            and all(ends)
        ):
            times[keyword] = place(Dataset(), [keyword], (ends[0], None)) + place(Dataset(), [keyword], (None, ends[1]))[1:]
            kept[name] = None
    return kept, times


def _check_apart(identifier: Dataset) -> None:
    """Check that the ranges of times mean something apart from their dates, for a peer that does not match them as one."""
    for element in identifier:
        if element.VR == "TM" and "-" in str(element.value or ""):
            try:
                place(Dataset(), [element.keyword], str(element.value))
            except QueryKeyInvalid:
                raise QueryKeyInvalid(
                    f"The peer does not match dates with their times as one, and {element.keyword} has a range whose end is before "
                    "its begin (PS3.4 C.2.2.2.5). Ask by the dates alone, and choose among the answers."
                ) from None


def _ask_where(identifier: Dataset, model: str, level: str) -> None:
    """Have the unique keys of the levels above returned: without them nobody could go on with an answer."""
    levels = list(UNIQUE_KEYS)[1 if model == "STUDY" else 0 :]
    for upper in levels[: levels.index(level)]:
        if UNIQUE_KEYS[cast("Level", upper)] not in identifier:
            setattr(identifier, UNIQUE_KEYS[cast("Level", upper)], None)


class _Answers:
    """Answers as they come, without those that come twice."""

    def __init__(self, most: int) -> None:
        self.most, self.datasets, self.notes = most, list[Dataset](), dict[str, None]()
        self.came = 0
        self.truncated = self.cancelled = False
        self.granted: frozenset[str] = frozenset()
        self._seen: dict[tuple[str, ...], list[Dataset]] = {}
        self._encoded: set[bytes] = set()
        self.repeated = 0

    def agree(self, answer: bytes | None, asked: QueryOptions) -> None:
        """Note what was granted of what was asked for."""
        self.granted = frozenset(asked.both(QueryOptions.of(answer or b"")).names)
        refused = [name.replace("_", " ") for name in asked.names if name not in self.granted]
        if refused:
            how = "refuses" if answer is not None else "does not answer the negotiation of"
            self.notes[f"the peer {how} {', '.join(refused)} (PS3.4 C.5.1.1)"] = None

    def take_encoded(self, response: Response) -> None:
        """Keep an answer as it came: two that are the same have the same bytes."""
        self._count()
        if (answer := decoded(response)) is None:
            self.notes["some answers could not be decoded and are not here"] = None
        elif response.encoded in self._encoded:
            self.repeated += 1
        elif len(self.datasets) >= self.most:
            self.truncated = True
        else:
            self._encoded.add(response.encoded)
            self.datasets.append(answer)

    def _count(self) -> None:
        self.came += 1
        if self.came > self.most + MOST_USELESS and not self.truncated:
            self.truncated = True
            self.notes[f"the peer sent {self.came} answers, most of them twice or unreadable, and was asked to stop"] = None

    def take(self, answer: Dataset | None) -> None:
        """Keep an answer, None where it could not be decoded, or note that there are more than wanted."""
        self._count()
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
            tuple(self.datasets), level, keywords, self.truncated or self.cancelled, self.cancelled, tuple(self.notes), seconds,
            self.granted,
        )  # fmt: skip


class _Query:
    """A query under way on one connection."""

    def __init__(self, answers: _Answers, cancel: Callable[[], bool] | None) -> None:
        self.answers, self._cancel = answers, cancel
        self.conversation: Conversation | None = None

    @property
    def stops(self) -> bool:
        """Whether no more is wanted: there are enough answers, or the caller says so."""
        if not (self.answers.truncated or self.answers.cancelled) and self._cancel is not None and self._cancel():
            self.answers.cancelled = True
        return self.answers.truncated or self.answers.cancelled

    def ask(self, peer: Peer, sop_class_uid: str, identifier: Dataset) -> Iterator[Response]:
        """Send a question; yield its answers until no more is wanted."""
        assert self.conversation is not None
        answers = self.answers
        for response in self.conversation.ask("C-FIND", sop_class_uid, identifier, cancel=lambda: self.stops):
            if response.is_final:
                _ended(peer, response, answers)
            elif not answers.truncated:
                if response.status == 0xFF01:
                    answers.notes["the peer does not support some of the optional keys"] = None
                yield response


def by_dimse(  # noqa: PLR0913 - what a query may be, each by its name
    peer: Peer,
    identifier: Dataset,
    sop_class_uid: str,
    *,
    most: int,
    cancel: Callable[[], bool] | None,
    options: QueryOptions = NOTHING,
    time_zone: str = "",
    progress: Callable[[int, int], None] | None = None,
    partial: bool = False,
    character_set: str | None = None,
) -> _Answers:
    """Send a C-FIND request, or several where one would have to be relational and is not allowed to; collect the answers."""
    answers = _Answers(most)
    query = _Query(answers, cancel)
    proposed = proposal(sop_class_uid, options)
    try:
        with conversing(peer, contexts.service(sop_class_uid), extended=proposed) as query.conversation:
            answers.agree(query.conversation.extended.get(sop_class_uid), options)
            if options.date_time and "date_time" not in answers.granted:
                _check_apart(identifier)
            if time_zone and "time_zone" in answers.granted:
                identifier.TimezoneOffsetFromUTC = time_zone
            model = contexts.MODEL_OF.get(sop_class_uid, "")
            if options.relational and "relational" not in answers.granted and not is_hierarchical(identifier, model):
                _walked(query, peer, sop_class_uid, identifier, progress, character_set)
            else:
                for response in query.ask(peer, sop_class_uid, identifier):
                    answers.take_encoded(response)
    except NetworkError as error:
        if partial and answers.datasets and not isinstance(error, StatusFailure):
            answers.truncated = True
            answers.notes["the association ended before the peer had said that these are all"] = None
        elif not (answers.truncated or answers.cancelled) or isinstance(error, StatusFailure):
            raise _counted(error, len(answers.datasets)) from None
        if query.conversation is not None and query.conversation.was_left:
            answers.notes["the peer did not stop when it was asked to"] = None
    return answers


def _walked(
    query: _Query,
    peer: Peer,
    sop_class_uid: str,
    identifier: Dataset,
    progress: Callable[[int, int], None] | None,
    character_set: str | None,
) -> None:
    """Ask level by level, with the same result."""
    answers = query.answers

    def ask(question: Dataset) -> Iterator[Dataset]:
        for response in query.ask(peer, sop_class_uid, question):
            if (answer := decoded(response)) is None:
                answers.take(None)
            else:
                yield answer

    walk = Walk(identifier, contexts.MODEL_OF[sop_class_uid], ask, lambda: not query.stops, progress, character_set)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they would show values
        for answer in walk.answers():
            answers.take(answer)
    answers.notes[f"the peer takes no relational query: asked level by level, {walk.asked} questions"] = None
    if walk.beyond:
        named = character_set or identifier.get("SpecificCharacterSet") or "the default repertoire"
        named = named if isinstance(named, str) else "\\".join(named)
        asked = counted(walk.beyond, "question")
        answers.notes[f"keys from answers have characters that {named} does not have: {asked} in ISO_IR 192 instead"] = None
    if walk.is_cut:
        answers.truncated = True
        answers.notes[f"more than {MOST_QUESTIONS} questions would have been needed"] = None


def decoded(response: Response) -> Dataset | None:
    """Return the identifier of a response; None where it can't be read."""
    try:
        return response.dataset if response.encoded else None
    except Exception:  # noqa: BLE001 - whatever pydicom stumbles over
        return None


def _ended(peer: Peer, response: Response, answers: _Answers) -> None:
    status = response.status
    if status == CANCELLED:
        if not (answers.truncated or answers.cancelled):
            answers.truncated = True
            answers.notes["the peer cancelled the query by itself"] = None
    elif status >> 12 == 0xB or status == 1:
        answers.notes[f"the peer ended with status 0x{status:04X}, {words(status)}"] = None
    elif status:
        raise refusal(peer, "C-FIND", response)


def _counted(error: NetworkError, count: int) -> NetworkError:
    """Return the error with the number of answers that had come."""
    if count:
        error.add_note(f"{count} answers had come until then.")
    return error


def columns_of(keys: Mapping[str, Any], identifier: Dataset) -> tuple[str, ...]:
    """Return the keys that were asked for, then the others that come with them, as keywords or paths."""
    asked = (_TAG.sub(lambda match: keyword_for_tag(match[1] + match[2]), name) for name in keys)
    others = (e.keyword for e in identifier if e.keyword not in {"QueryRetrieveLevel", "SpecificCharacterSet"})
    inner = {e.keyword: [f"{e.keyword}.{key.keyword}" for key in e.value[0]] for e in identifier if e.VR == "SQ" and e.value}
    return tuple(dict.fromkeys((*asked, *(path for name in others for path in inner.get(name, [name])))))

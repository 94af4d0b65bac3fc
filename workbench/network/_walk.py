"""A relational query in hierarchical steps, for a peer that takes no other (PS3.4 C.4.1.2.1).

Knows: the levels of the query models, which key belongs to which.
Does not know: how a question is sent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from workbench.network._repertoire import declare, is_written_in
from workbench.standard import UNIQUE_KEYS, Level, Model, query_keys

__all__ = ["MOST_QUESTIONS", "Walk", "is_hierarchical"]

#: So many questions are asked in the place of one.
MOST_QUESTIONS = 10_000

_LEVELS: dict[str, tuple[Level, ...]] = {
    "PATIENT": ("PATIENT", "STUDY", "SERIES", "IMAGE"),
    "STUDY": ("STUDY", "SERIES", "IMAGE"),
}
_UNICODE = "ISO_IR 192"
_CONTROL = frozenset({"QueryRetrieveLevel", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "QueryRetrieveView"})


def _place(keyword: str, model: Model, levels: tuple[Level, ...]) -> Level:
    """Return the level at which a key is asked for; one that any level may have stays at the lowest."""
    own = next((level for level in levels if UNIQUE_KEYS[level] == keyword), None)
    homes = [level for level in levels if keyword in query_keys(model, level)]
    return own or (homes[0] if 0 < len(homes) < len(levels) else levels[-1])


def _sorted(identifier: Dataset, model: str) -> dict[Level, list[str]]:
    """Return the keys of an identifier by the level to which they belong, from the highest level down."""
    levels = _LEVELS[model]
    levels = levels[: levels.index(cast("Level", identifier.QueryRetrieveLevel)) + 1]
    keys: dict[Level, list[str]] = {level: [] for level in levels}
    for tag in identifier.keys():  # noqa: SIM118 - no element is converted
        keyword = keyword_for_tag(tag)
        if keyword not in _CONTROL:
            keys[_place(keyword, cast("Model", model), levels)].append(keyword)
    return keys


def _is_given(identifier: Dataset, level: Level) -> bool:
    """Whether the unique key of a level has one value, without a wildcard."""
    value = identifier.get(UNIQUE_KEYS[level])
    return isinstance(value, str) and bool(value) and not set(value) & set("*?\\")


def is_hierarchical(identifier: Dataset, model: str) -> bool:
    """Whether an identifier has the unique keys of the levels above, with one value each, and no other key of theirs."""
    *above, _ = _sorted(identifier, model).items()
    return all(_is_given(identifier, level) and keywords == [UNIQUE_KEYS[level]] for level, keywords in above)


@dataclass(slots=True)
class Walk:
    """Asks level by level, from the root of the model down to the level of the identifier.

    Parameters
    ----------
    identifier : Dataset
        Of the relational query.
    model : str
        PATIENT or STUDY.
    ask : callable
        Sends one question and yields its answers.
    goes_on : callable
        Whether to ask more.
    progress : callable, optional
        Called with how many questions were asked, and how many are known to be needed.
    character_set : str, optional
        The one that the caller chose; empty for the default repertoire. A key from an answer may be beyond it.
    """

    identifier: Dataset
    model: str
    ask: Callable[[Dataset], Iterator[Dataset]]
    goes_on: Callable[[], bool]
    progress: Callable[[int, int], None] | None = None
    character_set: str | None = None
    asked: int = 0
    known: int = 0
    beyond: int = 0  # questions in Unicode, as the set that was chosen does not have an answer's key
    is_cut: bool = False
    _keys: dict[Level, list[str]] = field(default_factory=dict)

    def answers(self) -> Iterator[Dataset]:
        """Yield the answers of the lowest level, each with the keys of the levels above."""
        self._keys = _sorted(self.identifier, self.model)
        yield from self._below(tuple(self._keys), Dataset())

    def _below(self, levels: tuple[Level, ...], above: Dataset) -> Iterator[Dataset]:
        level, *lower = levels
        if not lower:
            for answer in self._asked(level, above):
                yield _joined(answer, above, self.identifier)
            return
        if _is_given(self.identifier, level) and self._keys[level] == [UNIQUE_KEYS[level]]:
            found = [_joined(self._given(level), above, self.identifier)]
        else:
            found = [_joined(answer, above, self.identifier) for answer in self._asked(level, above)]
            self.known += len(found)
        for one in found:
            if not self.goes_on():
                return
            yield from self._below(tuple(lower), one)

    def _given(self, level: Level) -> Dataset:
        given = Dataset()
        setattr(given, UNIQUE_KEYS[level], self.identifier[UNIQUE_KEYS[level]].value)
        return given

    def _asked(self, level: Level, above: Dataset) -> Iterator[Dataset]:
        if not self.goes_on():
            return
        if self.asked >= MOST_QUESTIONS:
            self.is_cut = True
            return
        self.asked, self.known = self.asked + 1, max(self.known, 1)
        yield from self.ask(self._question(level, above))
        if self.progress is not None:
            self.progress(self.asked, max(self.asked, self.known))

    def _question(self, level: Level, above: Dataset) -> Dataset:
        question = Dataset()
        for keyword in _CONTROL:
            if keyword in self.identifier:
                question.add(self.identifier[keyword])
        question.QueryRetrieveLevel = level
        for upper in self._keys:
            if upper == level:
                break
            setattr(question, UNIQUE_KEYS[upper], str(above.get(UNIQUE_KEYS[upper]) or ""))
        for keyword in (UNIQUE_KEYS[level], *self._keys[level]):
            if keyword in self.identifier:
                question.add(self.identifier[keyword])
            else:
                setattr(question, keyword, None)
        if not all(str(element.value).isascii() for element in question if element.VR != "SQ"):
            self._declare(question)
        return question

    def _declare(self, question: Dataset) -> None:
        """Have a question say its character set: the one that was chosen, or Unicode where that lacks a key from an answer."""
        chosen = self._chosen()
        if chosen is not None and is_written_in(question, chosen):
            declare(question, chosen)
            return
        self.beyond += chosen not in {None, _UNICODE}
        question.SpecificCharacterSet = _UNICODE  # in which a byte that could not be decoded stays as it came

    def _chosen(self) -> str | None:
        said = self.identifier.get("SpecificCharacterSet") if self.character_set is None else self.character_set
        return said if said is None or isinstance(said, str) else "\\".join(said)


def _joined(answer: Dataset, above: Dataset, identifier: Dataset) -> Dataset:
    """Return an answer with the keys of the levels above; of those what was asked for, and the unique keys to go on with."""
    if not len(above):
        return answer
    joined = Dataset()
    for element in above:  # decoded, each in its own character set
        if element.tag in identifier or element.keyword in UNIQUE_KEYS.values():
            joined.add(element)
    for element in answer:
        joined.add(element)
    if not all(str(element.value).isascii() for element in joined if element.VR != "SQ"):
        joined.SpecificCharacterSet = _UNICODE
    return joined

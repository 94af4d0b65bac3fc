"""Queries over the index: what SQL can narrow down, what Python decides, and what is answered.

Knows: the levels of the query models (PS3.4 C.6), which table answers what, how an answer is made.
Does not know: the network; whether the requester may see it.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import DataElement, Dataset, config

from workbench.archive._answers import RowEncoder, encoded_dataset
from workbench.archive._attributes import BY_KEYWORD, COMPUTED, LEVELS
from workbench.archive._index import Index
from workbench.archive._moments import Zones, combined_test
from workbench.archive._text import dataset_text
from workbench.archive.matching import DATE_OF, Criterion, bounds, criteria, folded, sequence_items
from workbench.entities import InstanceRef
from workbench.errors import QueryKeyInvalid
from workbench.files import character_sets
from workbench.standard import UNIQUE_KEYS

__all__ = ["Matches", "Query", "Witness", "find_references", "level_of", "table_query"]

_TIME_ZONE = 0x00080201
_ROOTS = {"PATIENT": LEVELS, "STUDY": LEVELS[1:]}
_ALIAS = {"PATIENT": "st", "STUDY": "st", "SERIES": "se", "IMAGE": "i"}
_FROM = {
    "PATIENT": "studies st",
    "STUDY": "studies st",
    "SERIES": "series se JOIN studies st USING (StudyInstanceUID)",
    "IMAGE": "instances i JOIN series se USING (StudyInstanceUID, SeriesInstanceUID) JOIN studies st USING (StudyInstanceUID)",
}
_SERIES_OF_STUDY = "FROM series x WHERE x.StudyInstanceUID = st.StudyInstanceUID"
_INSTANCES_OF_STUDY = "FROM instances x WHERE x.StudyInstanceUID = st.StudyInstanceUID"
_OF_PATIENT = "x JOIN studies y USING (StudyInstanceUID) WHERE y.PatientID IS st.PatientID AND y.StudyInstanceUID <> ''"
# Own names only: nothing of a query gets into these texts.
# ruff: noqa: S608
_COMPUTED_SQL = {
    "NumberOfPatientRelatedStudies": "(SELECT COUNT(*) FROM studies x "
    "WHERE x.PatientID IS st.PatientID AND x.StudyInstanceUID <> '')",
    "NumberOfPatientRelatedSeries": f"(SELECT COUNT(*) FROM series {_OF_PATIENT})",
    "NumberOfPatientRelatedInstances": f"(SELECT COUNT(*) FROM instances {_OF_PATIENT})",
    "NumberOfStudyRelatedSeries": f"(SELECT COUNT(*) {_SERIES_OF_STUDY})",
    "NumberOfStudyRelatedInstances": f"(SELECT COUNT(*) {_INSTANCES_OF_STUDY})",
    "ModalitiesInStudy": f"(SELECT GROUP_CONCAT(Modality, '\\') FROM (SELECT DISTINCT x.Modality {_SERIES_OF_STUDY} "
    "AND x.Modality <> '' ORDER BY 1))",
    "SOPClassesInStudy": "(SELECT GROUP_CONCAT(SOPClassUID, '\\') FROM "
    f"(SELECT DISTINCT x.SOPClassUID {_INSTANCES_OF_STUDY} ORDER BY 1))",
    "NumberOfSeriesRelatedInstances": "(SELECT COUNT(*) FROM instances x WHERE x.StudyInstanceUID = se.StudyInstanceUID "
    "AND x.SeriesInstanceUID = se.SeriesInstanceUID)",
    "InstanceAvailability": "'ONLINE'",
    "AvailableTransferSyntaxUID": "i.AvailableTransferSyntaxUID",
}
#: The instance whose file answers for attributes that the index does not hold.
_WITNESS = {
    "PATIENT": f"(SELECT MIN(x.SOPInstanceUID) FROM instances {_OF_PATIENT})",
    "STUDY": f"(SELECT MIN(x.SOPInstanceUID) {_INSTANCES_OF_STUDY})",
    "SERIES": "(SELECT MIN(x.SOPInstanceUID) FROM instances x WHERE x.StudyInstanceUID = se.StudyInstanceUID "
    "AND x.SeriesInstanceUID = se.SeriesInstanceUID)",
    "IMAGE": "i.SOPInstanceUID",
}

#: Reads some attributes of a stored instance: SOP Instance UID and tags in, dataset out; None where the file is gone.
Witness = Callable[[str, Sequence[int]], Dataset | None]


def level_of(identifier: Dataset, model: str) -> str:
    """Return Query/Retrieve Level (0008,0052), checked.

    Raises
    ------
    QueryKeyInvalid
        If it is missing, unknown, or not a level of `model`; or if `model` is unknown.
    """
    if model not in _ROOTS:
        raise QueryKeyInvalid("The query model is 'PATIENT' or 'STUDY' (PS3.4 C.6).")
    level = dataset_text(identifier, 0x00080052, "CS") or ""
    if level not in _ROOTS[model]:
        raise QueryKeyInvalid(
            f"Query/Retrieve Level (0008,0052) must be one of {', '.join(_ROOTS[model])} in {model.title()} Root (PS3.4 C.6)."
        )
    return level


@dataclass(frozen=True)
class Query:
    """A checked query, sorted by who answers what."""

    level: str
    #: keys with a column, and the SQL expression that gives it
    indexed: tuple[tuple[Criterion, str], ...]
    #: keys that only a file can answer
    from_file: tuple[Criterion, ...]
    #: keys that stand at a lower level: returned empty
    below: tuple[Criterion, ...]
    #: dates and times that are not asked for, but needed to move the others
    hidden: int = 0
    #: tests of a date and its time together, with their places among the indexed
    combined: tuple[tuple[int, int, Callable[[str, str], bool]], ...] = ()
    #: to which offset from UTC dates and times are moved
    zones: Zones | None = None

    @classmethod
    def of(
        cls,
        identifier: Dataset,
        *,
        model: str,
        level: str = "",
        date_time: bool = False,
        fuzzy: bool = False,
        stored_time_zone: str = "",
    ) -> "Query":
        """Sort the keys of an identifier, to be answered at its own level or at a lower `level`.

        Parameters
        ----------
        identifier : Dataset
            The query.
        model, level : str
            See :func:`level_of`.
        date_time, fuzzy, stored_time_zone
            See :meth:`workbench.archive.Archive.matches`.

        Raises
        ------
        AttributeUnusable, QueryKeyInvalid
            See :func:`workbench.archive.matching.criteria`; also if a key of a lower level has a value.
        """
        level = level or level_of(identifier, model)
        rank = LEVELS.index(level)
        indexed, from_file, below = [], [], []
        for key in criteria(identifier, fuzzy=fuzzy, date_time=date_time):
            place = BY_KEYWORD[key.keyword].level if key.keyword in BY_KEYWORD else COMPUTED.get(key.keyword)
            if place is None:
                from_file.append(key)
            elif LEVELS.index(place) <= rank:
                indexed.append((key, _COMPUTED_SQL.get(key.keyword) or f"{_ALIAS[place]}.{key.keyword}"))
            elif key.universal:
                below.append(key)
            else:
                raise QueryKeyInvalid(f"{key.keyword} is a key of level {place}, not of a query at level {level} (PS3.4 C.6).")
        zone = (dataset_text(identifier, _TIME_ZONE, "SH") or "") if stored_time_zone else ""
        zones = Zones(zone, stored_time_zone) if zone else None
        hidden = _partners([key.keyword for key, _ in indexed]) if zones else []
        indexed += [(Criterion(name, BY_KEYWORD[name].tag, BY_KEYWORD[name].vr), _column(name)) for name in hidden]
        combined = _combined([key for key, _ in indexed]) if date_time else ()
        return cls(level, tuple(indexed), tuple(from_file), tuple(below), len(hidden), combined, zones)

    @property
    def needs_file(self) -> bool:
        """Whether each answer needs a file."""
        return bool(self.from_file or self.zones)

    @property
    def keys(self) -> tuple[Criterion, ...]:
        """The indexed keys that were asked for."""
        return tuple(key for key, _ in self.indexed[: len(self.indexed) - self.hidden])

    def names(self, level: str) -> bool:
        """Whether the unique key of a level has a value (PS3.4 C.6)."""
        return any(key.keyword == UNIQUE_KEYS[level] and key.values for key, _ in self.indexed)

    def sql(self, *also: str) -> tuple[str, list[object]]:
        """Return the SELECT that gives at least all matches, and its parameters: the indexed keys, the witness, `also`."""
        wheres, parameters = ["st.StudyInstanceUID <> ''"] if self.level in {"PATIENT", "STUDY"} else [], []
        for key, expression in self.indexed:
            where, values = ("", []) if self.zones and key.vr in {"DA", "TM"} else _narrowed(key, expression)
            if where:
                wheres.append(where)
                parameters += values
        columns = [expression for _, expression in self.indexed] + ([_WITNESS[self.level]] if self.needs_file else ["NULL"])
        sql = f"SELECT {', '.join((*columns, *also))} FROM {_FROM[self.level]}"
        sql += f" WHERE {' AND '.join(wheres)}" if wheres else ""
        return sql + (" GROUP BY st.PatientID" if self.level == "PATIENT" else ""), parameters


def _column(keyword: str) -> str:
    return f"{_ALIAS[BY_KEYWORD[keyword].level]}.{keyword}"


def _partners(names: Sequence[str]) -> list[str]:
    """Return the dates of times, and the times of dates, that are not among the names."""
    pairs = [pair for pair in DATE_OF.items() if pair[0] in BY_KEYWORD and set(pair) & set(names)]
    return [name for pair in pairs for name in pair if name not in names]


def _combined(keys: Sequence[Criterion]) -> tuple[tuple[int, int, Callable[[str, str], bool]], ...]:
    """Return the tests of dates and times that are one: where each has one value that is no empty value."""
    places = {key.keyword: place for place, key in enumerate(keys) if len(key.values) == 1 and key.values != ('""',)}
    return tuple(
        (places[date], places[time], combined_test(keys[places[date]].values[0], keys[places[time]].values[0]))
        for time, date in DATE_OF.items()
        if date in places and time in places
    )


def _narrowed(key: Criterion, expression: str) -> tuple[str, list[object]]:
    """Return a condition that no match fails; what it lets through is matched again."""
    attribute = BY_KEYWORD.get(key.keyword)
    if not key.values or '""' in key.values or attribute is None or not attribute.single or key.fuzzy:
        return "", []
    value, *more = key.values
    if key.vr == "UI":
        return (
            (f"{expression} IN (SELECT value FROM json_each(?))", [json.dumps(key.values)])
            if more
            else (f"{expression} = ?", [value])
        )
    if not more and key.vr == "DA":
        first, last = bounds(value, "DA")
        parts = [(f"{expression} >= ?", first), (f"{expression} <= ?", last)]
        return " AND ".join(sql for sql, bound in parts if bound), [bound for _, bound in parts if bound]
    if not more and key.keyword == "PatientName":
        return _like("st.PatientNameFolded", folded(value), is_name=True)
    return _like(expression, value) if not more and key.vr in {"AE", "CS", "LO", "SH"} else ("", [])


#: Looks through the index of names alone, which is a fraction of the table.
_NAME_WITH = "st.rowid IN (SELECT x.rowid FROM studies x WHERE instr(x.PatientNameFolded, ?))"
#: Sorts behind every text that begins alike.
_BEHIND = "\U0010ffff"
#: A key may stand in any group of a name: those with several are looked at one by one.
_GROUPED = " OR (instr(st.PatientNameFolded, '=') AND st.PatientNameFolded > '')"


def _like(expression: str, pattern: str, *, is_name: bool = False) -> tuple[str, list[object]]:
    """Return a condition for a pattern: equal, in the range of what begins so, or with its longest piece in it."""
    otherwise = _GROUPED if is_name else ""
    first = pattern.split("=", maxsplit=1)[0] if is_name else pattern
    pieces = re.split(r"[*?]+", first)
    if pieces == [pattern]:
        return f"({expression} = ?{otherwise})", [pattern]
    if pieces[0]:
        return f"(({expression} >= ? AND {expression} < ?){otherwise})", [pieces[0], pieces[0] + _BEHIND]
    longest = max(pieces, key=len)
    if not longest or first != pattern:
        return "", []
    return _NAME_WITH if is_name else f"instr({expression}, ?)", [longest]


@dataclass(frozen=True)
class Matches:
    """What matches a query, as datasets or encoded; asked anew each time.

    Parameters
    ----------
    index : Index
        Where the rows are.
    query : Query
        What was asked.
    witness : callable
        Reads what is not in the index.
    """

    index: Index
    query: Query
    witness: Witness

    @property
    def tags(self) -> frozenset[int]:
        """Which keys are answered."""
        query = self.query
        return frozenset(key.tag for key in (*query.keys, *query.from_file, *query.below))

    def __iter__(self) -> Iterator[Dataset]:
        query = self.query
        for row, source in _matching(self.index, query, self.witness, ()):
            yield _answer(query, query.keys, row, source)

    def encoded(self, *, is_implicit: bool, also: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """Yield each answer encoded in little endian.

        Parameters
        ----------
        is_implicit : bool
            Whether without value representations.
        also : mapping of keyword to text, optional
            What each answer has besides; in ASCII.
        """
        query = self.query
        if query.needs_file:
            for answer in self:
                for keyword, text in (also or {}).items():
                    setattr(answer, keyword, text)
                yield encoded_dataset(answer, is_implicit=is_implicit)
            return
        fixed = {"QueryRetrieveLevel": query.level, **(also or {})} | {key.keyword: "" for key in query.below}
        encode = RowEncoder([(key.tag, key.vr) for key in query.keys], fixed, is_implicit=is_implicit)
        for row, _ in _matching(self.index, query, self.witness, ()):
            yield encode(row)


def find_references(index: Index, query: Query, witness: Witness) -> Iterator[InstanceRef]:
    """Yield a reference for each match of a query at level IMAGE."""
    also = ("i.StudyInstanceUID", "i.SeriesInstanceUID", "i.SOPClassUID", "i.SOPInstanceUID")
    for row, _ in _matching(index, query, witness, also):
        yield InstanceRef(*row[-4:])


def _matching(index: Index, query: Query, witness: Witness, also: Sequence[str]) -> Iterator[tuple[Sequence[Any], Dataset | None]]:
    sql, parameters = query.sql(*also)
    tags = [key.tag for key in query.from_file] + ([_TIME_ZONE] if query.zones else [])
    keys = [key for key, _ in query.indexed]
    one = {place for date, time, _ in query.combined for place in (date, time)}
    asked = [(number, key) for number, key in enumerate(keys) if key.values and number not in one]
    for found in index.rows(sql, parameters):
        row: Sequence[Any] = found
        source: Dataset | None = None
        if query.zones:
            source = (row[len(keys)] and witness(row[len(keys)], tags)) or Dataset()
            row = _moved(query.zones, keys, row, source)
        if not all(key.accepts(None if row[number] is None else str(row[number])) for number, key in asked):
            continue
        if not all(test(row[date] or "", row[time] or "") for date, time, test in query.combined):
            continue
        if query.from_file:
            source = source or (row[len(keys)] and witness(row[len(keys)], tags)) or Dataset()
            if not all(key.accepts_in(source) for key in query.from_file):
                continue
        yield row, source


def _moved(zones: Zones, keys: Sequence[Criterion], row: Sequence[Any], source: Dataset) -> Sequence[Any]:
    """Return a row with its dates and times at the offset that was asked for."""
    values = {key.keyword: str(row[place] or "") for place, key in enumerate(keys) if key.vr in {"DA", "TM", "DT"}}
    own = ""
    with contextlib.suppress(ValueError):
        own = dataset_text(source, _TIME_ZONE, "SH") or ""
    moved = zones.moved(values, own=own)
    return [moved.get(key.keyword, row[place]) for place, key in enumerate(keys)] + list(row[len(keys) :])


def _answer(query: Query, keys: Sequence[Criterion], values: Sequence[Any], source: Dataset | None) -> Dataset:
    answer = Dataset()
    answer.QueryRetrieveLevel = query.level
    for key, value in zip(keys, values, strict=False):
        answer.add(_element(key, "" if value is None else str(value)))
    for key in query.below:
        answer.add(_element(key, ""))
    for key in query.from_file:
        answer.add(_taken(key, source))
    if query.zones:
        answer.TimezoneOffsetFromUTC = query.zones.wanted
    if not character_sets.is_ascii(answer):
        answer.SpecificCharacterSet = "ISO_IR 192"
    return answer


def _taken(key: Criterion, source: Dataset | None) -> DataElement:
    """Return an element of a stored instance, decoded; of a sequence the keys that were asked for, or all where none was."""
    if source is None:
        return _element(key, "")
    if key.vr != "SQ":
        text = None
        with contextlib.suppress(ValueError):
            text = dataset_text(source, key.tag, key.vr)
        return _element(key, text or "")
    items = []
    for item in sequence_items(source, key.tag):
        part = Dataset()
        for inner in key.items:
            part.add(_taken(inner, item))
        items.append(part)
    return DataElement(key.tag, "SQ", items)


def _element(key: Criterion, text: str) -> DataElement:
    if key.vr == "SQ":
        return DataElement(key.tag, "SQ", [])
    if not text:
        return DataElement(key.tag, key.vr, None)
    if key.vr in {"US", "UL", "SS", "SL", "UV", "SV", "FL", "FD"}:
        numbers = [float(part) if key.vr in {"FL", "FD"} else int(part) for part in text.split("\\")]
        return DataElement(key.tag, key.vr, numbers if len(numbers) > 1 else numbers[0])
    try:
        return DataElement(key.tag, key.vr, text, validation_mode=config.IGNORE)
    except (ValueError, ArithmeticError):  # a stored number that is none: told as empty, its file has it still
        return DataElement(key.tag, key.vr, None)


def table_query(level: str) -> tuple[list[str], str]:
    """Return column names and the SELECT for a table of all entities of a level.

    Raises
    ------
    QueryKeyInvalid
        If there is no such level.
    """
    if level not in LEVELS:
        raise QueryKeyInvalid(f"A level is one of {', '.join(LEVELS)} (PS3.4 C.6).")
    here = LEVELS.index(level)
    wanted = {UNIQUE_KEYS[name] for name in LEVELS[1:here]}
    indexed = [
        a for a in BY_KEYWORD.values() if a.level == level or a.keyword in wanted or (level == "STUDY" and a.level == "PATIENT")
    ]
    names = [a.keyword for a in indexed] + [name for name, place in COMPUTED.items() if place == level]
    columns = [f"{_ALIAS[a.level]}.{a.keyword}" for a in indexed] + [
        _COMPUTED_SQL[n] for n, place in COMPUTED.items() if place == level
    ]
    where = " WHERE st.StudyInstanceUID <> ''" if here < 2 else ""
    group = " GROUP BY st.PatientID" if level == "PATIENT" else ""
    return names, f"SELECT {', '.join(columns)} FROM {_FROM[level]}{where}{group}"

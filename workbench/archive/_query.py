"""Queries over the index: what SQL can narrow down, what Python decides, and what is answered.

Knows: the levels of the query models (PS3.4 C.6), which table answers what, how an answer is made.
Does not know: the network; whether the requester may see it.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom import DataElement, Dataset, config

from workbench.archive._attributes import BY_KEYWORD, COMPUTED, LEVELS
from workbench.archive._index import Index
from workbench.archive._text import dataset_text
from workbench.archive.matching import Criterion, bounds, criteria, folded, sequence_items
from workbench.entities import InstanceRef
from workbench.errors import QueryKeyInvalid
from workbench.standard import UNIQUE_KEYS

__all__ = ["Query", "Witness", "find", "find_references", "level_of", "table_query"]

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

    @classmethod
    def of(cls, identifier: Dataset, *, model: str, level: str = "") -> "Query":
        """Sort the keys of an identifier, to be answered at its own level or at a lower `level`.

        Raises
        ------
        AttributeUnusable, QueryKeyInvalid
            See :func:`workbench.archive.matching.criteria`; also if a key of a lower level has a value.
        """
        level = level or level_of(identifier, model)
        rank = LEVELS.index(level)
        indexed, from_file, below = [], [], []
        for key in criteria(identifier):
            place = BY_KEYWORD[key.keyword].level if key.keyword in BY_KEYWORD else COMPUTED.get(key.keyword)
            if place is None:
                from_file.append(key)
            elif LEVELS.index(place) <= rank:
                indexed.append((key, _COMPUTED_SQL.get(key.keyword) or f"{_ALIAS[place]}.{key.keyword}"))
            elif key.universal:
                below.append(key)
            else:
                raise QueryKeyInvalid(f"{key.keyword} is a key of level {place}, not of a query at level {level} (PS3.4 C.6).")
        return cls(level, tuple(indexed), tuple(from_file), tuple(below))

    def names(self, level: str) -> bool:
        """Whether the unique key of a level has a value (PS3.4 C.6)."""
        return any(key.keyword == UNIQUE_KEYS[level] and key.values for key, _ in self.indexed)

    def sql(self, *also: str) -> tuple[str, list[object]]:
        """Return the SELECT that gives at least all matches, and its parameters: the indexed keys, the witness, `also`."""
        wheres, parameters = ["st.StudyInstanceUID <> ''"] if self.level in {"PATIENT", "STUDY"} else [], []
        for key, expression in self.indexed:
            where, values = _narrowed(key, expression)
            if where:
                wheres.append(where)
                parameters += values
        columns = [expression for _, expression in self.indexed] + ([_WITNESS[self.level]] if self.from_file else ["NULL"])
        sql = f"SELECT {', '.join((*columns, *also))} FROM {_FROM[self.level]}"
        sql += f" WHERE {' AND '.join(wheres)}" if wheres else ""
        return sql + (" GROUP BY st.PatientID" if self.level == "PATIENT" else ""), parameters


def _narrowed(key: Criterion, expression: str) -> tuple[str, list[object]]:
    """Return a condition that no match fails; what it lets through is matched again."""
    attribute = BY_KEYWORD.get(key.keyword)
    if not key.values or '""' in key.values or attribute is None or not attribute.single:
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
        return _prefixed("st.PatientNameFolded", folded(value), " OR instr(st.PatientNameFolded, '=')")
    return _prefixed(expression, value, "") if not more and key.vr in {"AE", "CS", "LO", "SH"} else ("", [])


def _literal(pattern: str) -> str:
    """Return what stands before the first wildcard."""
    return pattern.split("*", maxsplit=1)[0].split("?", maxsplit=1)[0]


def _prefixed(expression: str, pattern: str, otherwise: str) -> tuple[str, list[object]]:
    start = _literal(pattern.split("=", maxsplit=1)[0] if otherwise else pattern)
    if start == pattern:
        return f"({expression} = ?{otherwise})", [pattern]
    return (f"(substr({expression}, 1, ?) = ?{otherwise})", [len(start), start]) if start else ("", [])


def find(index: Index, query: Query, witness: Witness) -> Iterator[Dataset]:
    """Yield an identifier for each match, with the keys that were asked for."""
    keys = [key for key, _ in query.indexed]
    for row, source in _matching(index, query, witness, ()):
        yield _answer(query, keys, row, source)


def find_references(index: Index, query: Query, witness: Witness) -> Iterator[InstanceRef]:
    """Yield a reference for each match of a query at level IMAGE."""
    also = ("i.StudyInstanceUID", "i.SeriesInstanceUID", "i.SOPClassUID", "i.SOPInstanceUID")
    for row, _ in _matching(index, query, witness, also):
        yield InstanceRef(*row[-4:])


def _matching(index: Index, query: Query, witness: Witness, also: Sequence[str]) -> Iterator[tuple[Sequence[Any], Dataset | None]]:
    sql, parameters = query.sql(*also)
    tags = [key.tag for key in query.from_file]
    keys = [key for key, _ in query.indexed]
    asked = [(number, key) for number, key in enumerate(keys) if key.values]
    for row in index.rows(sql, parameters):
        if not all(key.accepts(None if row[number] is None else str(row[number])) for number, key in asked):
            continue
        source = None
        if tags:
            source = (row[len(keys)] and witness(row[len(keys)], tags)) or Dataset()
            if not all(key.accepts_in(source) for key in query.from_file):
                continue
        yield row, source


def _answer(query: Query, keys: Sequence[Criterion], values: Sequence[Any], source: Dataset | None) -> Dataset:
    answer = Dataset()
    answer.QueryRetrieveLevel = query.level
    for key, value in zip(keys, values, strict=False):
        answer.add(_element(key, "" if value is None else str(value)))
    for key in query.below:
        answer.add(_element(key, ""))
    for key in query.from_file:
        answer.add(_taken(key, source))
    if not _is_ascii(answer):
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


def _is_ascii(dataset: Dataset) -> bool:
    return all(all(map(_is_ascii, element.value)) if element.VR == "SQ" else str(element.value).isascii() for element in dataset)


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

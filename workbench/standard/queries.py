"""Keys of the query models, and identifiers made from them (PS3.4 C.6).

Knows: which key belongs to which level, and which values each value representation can match (PS3.4 C.2.2.2).
Does not know: how a query is sent or answered.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from pydicom import Dataset
from pydicom.datadict import dictionary_keyword, dictionary_VR, keyword_dict, tag_for_keyword

from workbench.errors import QueryKeyInvalid
from workbench.standard.matching_values import matching_value, named_keys

__all__ = ["UNIQUE_KEYS", "Level", "Model", "QueryKey", "keyword_of", "place", "query_identifier", "query_keys", "steps"]

Model = Literal["PATIENT", "STUDY"]
Level = Literal["PATIENT", "STUDY", "SERIES", "IMAGE"]
_LEVELS: tuple[Level, ...] = ("PATIENT", "STUDY", "SERIES", "IMAGE")
_ROOT_NAMES = {"PATIENT": "Patient Root", "STUDY": "Study Root"}
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_OWN = {"QueryRetrieveLevel": "level", "SpecificCharacterSet": "the text of the keys"}


@dataclass(frozen=True, slots=True)
class QueryKey:
    """A key of a query model at one level.

    Parameters
    ----------
    keyword : str
        As in PS3.6.
    tag : int
        Group and element in one number.
    vr : str
        Value representation.
    kind : str
        ``U`` unique, ``R`` required, ``O`` optional (PS3.4 C.2.2.1).
    """

    keyword: str
    tag: int
    vr: str
    kind: Literal["U", "R", "O"]


@cache
def _table() -> Mapping[str, Any]:
    text = files("workbench.standard").joinpath("tables", "query_keys.json").read_text(encoding="utf-8")
    return MappingProxyType(json.loads(text))


#: The unique key of each level, from the highest level down (PS3.4 C.6.1.1).
UNIQUE_KEYS: Mapping[str, str] = MappingProxyType({level: str(_table()["levels"][level]["U"][0]) for level in _LEVELS})


@cache
def query_keys(model: Model, level: Level) -> Mapping[str, QueryKey]:
    """Return the keys that a query of this model can have at this level, by keyword.

    Parameters
    ----------
    model : str
        ``PATIENT`` for Patient Root (PS3.4 C.6.1), ``STUDY`` for Study Root (PS3.4 C.6.2).
    level : str
        ``PATIENT``, ``STUDY``, ``SERIES`` or ``IMAGE``.

    Returns
    -------
    mapping of str to QueryKey
        First the unique keys of the levels above, then the level's own: unique, required, optional.

    Raises
    ------
    QueryKeyInvalid
        If the model has no such level.

    Examples
    --------
    >>> query_keys("STUDY", "SERIES")["Modality"].kind
    'R'
    """
    above = _levels(model)[: _levels(model).index(_checked(model, level))]
    names: dict[str, Literal["U", "R", "O"]] = {UNIQUE_KEYS[upper]: "U" for upper in above}
    kinds: tuple[Literal["U", "R", "O"], ...] = ("U", "R", "O")
    for kind in kinds:
        names |= dict.fromkeys(_table()["levels"][level][kind], kind)
    if (model, level) == ("STUDY", "STUDY"):  # Study Root has the patient's attributes at its study level
        patient = _table()["levels"]["PATIENT"]
        names |= dict.fromkeys(_table()["study_root_patient"]["R"], "R")
        names |= dict.fromkeys([k for k in patient["O"] if k not in names], "O")
    names |= dict.fromkeys([k for k in _table()["any_level"] if k not in names], "O")
    return MappingProxyType({keyword: _key(keyword, kind) for keyword, kind in names.items()})


def _key(keyword: str, kind: Literal["U", "R", "O"]) -> QueryKey:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return QueryKey(keyword, tag, dictionary_VR(tag), kind)


def _levels(model: str) -> tuple[Level, ...]:
    if model not in _ROOT_NAMES:
        raise QueryKeyInvalid(f"There is no query model {model!r}: use 'PATIENT' or 'STUDY' (PS3.4 C.6).")
    return _LEVELS if model == "PATIENT" else _LEVELS[1:]


def _checked(model: str, level: str) -> Level:
    for known in _levels(model):
        if level == known:
            return known
    hint = " Use model='PATIENT'." if level == "PATIENT" else ""
    raise QueryKeyInvalid(
        f"The {_ROOT_NAMES[model]} model has the levels {', '.join(_levels(model))}, not {level!r} (PS3.4 C.6).{hint}"
    )


def query_identifier(
    model: Model, level: Level, keys: Mapping[str, Any] | None = None, *, relational: bool = False, only: bool = False
) -> Dataset:
    r"""Return the identifier of a C-FIND request, checked against the model.

    Parameters
    ----------
    model : str
        ``PATIENT`` or ``STUDY``.
    level : str
        ``PATIENT``, ``STUDY``, ``SERIES`` or ``IMAGE``.
    keys : mapping
        What is looked for: a keyword, a tag such as ``(0010,0020)``, or a path through sequences such as
        ``RequestAttributesSequence.ScheduledProcedureStepID``. Values are text as in PS3.4 C.2.2.2 (``*`` and ``?``,
        ``20240101-20240131``), ``None`` or ``""`` for any value, dates and times, a tuple (first, last) for a range
        with None for an open end, and a list of UIDs.
    relational : bool
        Whether keys of the levels above are allowed too, and their unique keys may be left out; the peer must
        have agreed to relational queries (PS3.4 C.5.1.1.2).
    only : bool
        Whether to ask for these keys alone, as a device does, be they in the model or not; by default the keys that are
        usual at this level are asked for too.

    Returns
    -------
    pydicom.Dataset
        With Query/Retrieve Level, the keys, and Specific Character Set where a key has other than ASCII characters.

    Raises
    ------
    QueryKeyInvalid
        If a key is unknown or belongs to another level, a value can't match its value representation, or a unique
        key of a level above is lacking.

    Examples
    --------
    >>> query_identifier("STUDY", "STUDY", {"PatientID": "1", "StudyDate": "20240101-"}).StudyDate
    '20240101-'
    """
    identifier = Dataset()
    identifier.QueryRetrieveLevel = _checked(model, level)
    allowed = dict(query_keys(model, level))
    levels_above = _levels(model)[: _levels(model).index(level)]
    above = [UNIQUE_KEYS[upper] for upper in levels_above]
    if relational:
        for upper in levels_above:
            allowed |= query_keys(model, upper)
    if not only:
        _add_defaults(identifier, model, level)
    is_ascii, given = True, set()
    for name, value in named_keys(keys).items():
        path = [keyword_of(part) for part in steps(name)]
        if path == ["QueryRetrieveLevel"] and value == level:
            continue
        if path[0] not in allowed and (not only or path[0] in _OWN):
            raise QueryKeyInvalid(_refusal(model, level, path[0]))
        given.add(path[0])
        text = place(identifier, path, value)
        is_ascii &= text.isascii()
        if not relational and path[0] in above:
            _single(path[0], text, level)
    lacking = [keyword for keyword in above if keyword not in given]
    if lacking and not relational:
        raise QueryKeyInvalid(
            f"A {_ROOT_NAMES[model]} query at {level} level needs {' and '.join(lacking)} with a single value (PS3.4 C.4.1.2.1). "
            "Find it at the level above first, or ask with QueryOptions(relational=True) if the peer supports relational queries."
        )
    if not is_ascii:
        identifier.SpecificCharacterSet = "ISO_IR 192"
    return identifier


def _add_defaults(identifier: Dataset, model: Model, level: Level) -> None:
    entry = _table()["levels"][level]
    names = [*entry["U"], *entry["R"], *entry["default"]]
    if (model, level) == ("STUDY", "STUDY"):
        names += [*_table()["study_root_patient"]["R"], *_table()["study_root_patient"]["default"]]
    for keyword in names:
        setattr(identifier, keyword, [] if dictionary_VR(keyword) == "SQ" else None)


def steps(name: object) -> list[str]:
    """Return the parts of a path through sequences."""
    if not isinstance(name, str) or not name:
        raise QueryKeyInvalid("A query key is named by a keyword or a tag such as '(0010,0020)'.")
    return name.split(".")


def keyword_of(part: str) -> str:
    """Return the keyword of a keyword or tag."""
    if match := _TAG.fullmatch(part.strip()):
        tag = int(match[1] + match[2], 16)
        if tag >> 16 & 1:
            raise QueryKeyInvalid(f"({match[1]},{match[2]}) is private: no query model has it as a key (PS3.4 C.6).")
        try:
            return dictionary_keyword(tag)
        except KeyError:
            raise QueryKeyInvalid(f"({match[1]},{match[2]}) is not an attribute of PS3.6.") from None
    if part in keyword_dict:
        return part
    near = get_close_matches(part, keyword_dict, n=3, cutoff=0.75)
    known = dict.fromkeys(k for level in _LEVELS for k in query_keys("PATIENT", level))
    near = get_close_matches(part, known, n=3, cutoff=0.6) or near
    near = near or get_close_matches(part.lower(), [k.lower() for k in known], n=1)
    raise QueryKeyInvalid(f"{part[:64]!r} is not an attribute of PS3.6.{_meant(near)}")


def _meant(names: list[str]) -> str:
    return f" Do you mean {' or '.join(names)}?" if names else ""


def _refusal(model: Model, level: Level, keyword: str) -> str:
    if keyword in _OWN:
        return f"{keyword} is not a key to be passed: it is set from {_OWN[keyword]} (PS3.4 C.4.1.1.3)."
    place = f"{keyword} is not a key of the {_ROOT_NAMES[model]} model at {level} level (PS3.4 C.6)"
    homes = [other for other in _levels(model) if keyword in query_keys(model, other)]
    if homes:
        position = _levels(model).index(level)
        above = [home for home in homes if _levels(model).index(home) < position]
        more = f" From a level above only {UNIQUE_KEYS[above[-1]]} can be used here." if above else ""
        return f"{place}; it belongs to {' and '.join(homes)} level.{more}"
    return f"{place}, nor at any other.{_meant(get_close_matches(keyword, query_keys(model, level), n=3, cutoff=0.6))}"


def place(identifier: Dataset, path: list[str], value: object) -> str:
    """Set the value at the end of a path of keywords and return it as text; sequences on the way get an item."""
    for keyword in path[:-1]:
        if dictionary_VR(keyword) != "SQ":
            raise QueryKeyInvalid(f"{keyword} is not a sequence, so that {'.'.join(path)} is no path (PS3.4 C.2.2.2.6).")
        if not identifier.get(keyword):
            setattr(identifier, keyword, [Dataset()])
        identifier = identifier[keyword].value[0]
    keyword = path[-1]
    text = matching_value(keyword, dictionary_VR(keyword), value)
    if dictionary_VR(keyword) == "SQ":
        setattr(identifier, keyword, [])
    elif dictionary_VR(keyword) in ("US", "UL", "SS", "SL", "FD", "FL"):
        number = float if dictionary_VR(keyword) in ("FD", "FL") else int
        setattr(identifier, keyword, number(text) if text else None)
    else:
        setattr(identifier, keyword, text.split("\\") if "\\" in text else text or None)
    return text


def _single(keyword: str, text: str, level: str) -> None:
    if not text or "\\" in text or (keyword == "PatientID" and set(text) & set("*?")):
        raise QueryKeyInvalid(
            f"At {level} level {keyword} needs a single value, as the unique key of a level above (PS3.4 C.4.1.2.1)."
        )

"""How a profile is written in TOML, and how it is read.

Knows: tables, their kinds and columns, sets of transfer syntaxes.
Does not know: what a row means (claims), which rule it breaks (lint), where the files are (catalog).
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from workbench.devices.conditions import condition
from workbench.devices.constraints import constraint, default
from workbench.devices.parts import (
    DOES,
    OF_A_TABLE,
    PEERS,
    ROLES,
    SLIP_FORMS,
    Activity,
    Cell,
    Entity,
    Policy,
    Slip,
    Table,
)
from workbench.devices.profile import Profile
from workbench.errors import ProfileInvalid

__all__ = ["COLUMNS", "load"]

#: What a table of each kind has as columns: those every such table needs, then those that it may have.
COLUMNS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "services": ("name scu scp", "uid display note"),
        "sop_classes": ("name uid", "scu scp note"),
        "contexts": ("name uid syntaxes", "syntax_names role extended note"),
        "syntaxes": ("name uid", "note"),
        "extended": ("feature offered", "uid note"),
        "keys": ("name tag matching", "level depth required query module vr type returned shown mapped source value note"),
        "statuses": ("status meaning code behaviour", "action note"),
        "events": ("event behaviour", "action note"),
        "parameters": ("parameter default", "configurable unit values setting note"),
        "message": ("name tag", "depth module vr type value presence source note"),
        "iod": ("entity module usage", "reference presence table note"),
        "module": ("name tag", "depth vr type value presence source note condition constraint otherwise"),
        "mapping": ("name tag", "source source_tag target target_tag edited note"),
        "deidentification": ("name tag action", "value vr note"),
        "private": ("creator tag name", "depth vr vm value presence source note"),
        "codes": ("value scheme meaning", "group concept uid note"),
        "template": ("row", "depth relation value_type concept vm type condition value note"),
        "character_sets": ("term", "name escape use note"),
        "media": ("profile", "roles activity uid note"),
        "converters": ("source target", "note"),
        "rows": ("", ""),
    }
)

#: Words of which the cells of some columns are made, in the kinds of tables that hold them.
WORDS: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType(
    {
        (kind, column): frozenset(words.split())
        for kinds, column, words in (
            ("keys", "matching", "universal single wildcard range list sequence"),
            ("statuses events", "action", "success warning failure abort stop continue retry cancel ignore log"),
            ("module message iod private", "presence", "ALWAYS VNAP ANAP ANAPCV ANAPEV EMPTY COND"),
            ("module message private", "source", "USER AUTO CONFIG MWL QUERY COPY IMAGE FIXED IMPLICIT"),
        )
        for kind in kinds.split()
    }
)

#: Columns of modules whose cells have a form of their own, and what refuses another.
_WRITTEN: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {"condition": condition, "constraint": constraint, "otherwise": default}
)


def load(text: str, *parts: str) -> Profile:
    """Return a profile from its TOML.

    Parameters
    ----------
    text : str
        The profile.
    *parts : str
        More of its tables and slips, appended in this order; a part holds nothing else.

    Raises
    ------
    ProfileInvalid
        If a table, a column, a row or a slip is not as the form of profiles wants it; the message says which.
    """
    data = _parsed(text)
    head = data.get("profile", {})
    name = head.get("name", "without a name")
    for part in map(_parsed, parts):
        if set(part) - {"tables", "slips"}:
            raise ProfileInvalid(f"A part of profile '{name}' may hold tables and slips: not {', '.join(sorted(part))}.")
        data = {**data, **{key: [*data.get(key, ()), *entries] for key, entries in part.items()}}
    sets = {key: tuple(value) for key, value in data.get("syntax_sets", {}).items()}
    try:
        entities = tuple(_entity(entry) for entry in data.get("entities", ()))
        activities = tuple(_activity(entry) for entry in data.get("activities", ()))
        tables = tuple(_table(entry, sets, name) for entry in data.get("tables", ()))
        slips = tuple(slip for entry in data.get("slips", ()) for slip in _slips(entry))
        found = Profile(**head, entities=entities, activities=activities, tables=tables, slips=slips)
    except TypeError as error:
        raise ProfileInvalid(f"Profile '{name}' has a field that no profile has, or lacks one: {error}.") from error
    except KeyError as error:
        raise ProfileInvalid(f"A table or a slip of profile '{name}' lacks {error}.") from error
    _consistent(found)
    return found


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileInvalid(f"This profile is not TOML: {error}.") from error


def _entity(entry: dict[str, Any]) -> Entity:
    policies = tuple((does, Policy(**said)) for does, said in entry.get("policies", {}).items())
    return Entity(**{**entry, "policy": Policy(**entry.get("policy", {})), "policies": policies})


def _activity(entry: dict[str, Any]) -> Activity:
    return Activity(**{**entry, "peers": tuple(entry.get("peers", ()))})


def _slips(entry: dict[str, Any]) -> list[Slip]:
    """Return the slip of an entry, or that of each of its `tables`."""
    tables = entry.get("tables")
    rest = {key: value for key, value in entry.items() if key != "tables"}
    return [_slip(entry)] if tables is None else [_slip({**rest, "table": table}) for table in tables]


def _slip(entry: dict[str, Any]) -> Slip:
    printed = entry["printed"]
    return Slip(**{**entry, "printed": tuple(printed) if isinstance(printed, list) else printed})


def _table(entry: dict[str, Any], sets: Mapping[str, tuple[str, ...]], profile: str) -> Table:
    columns, kind = tuple(entry["columns"]), entry["kind"]
    where = f"Table '{entry.get('id')}' of profile '{profile}'"
    if kind not in COLUMNS:
        raise ProfileInvalid(f"{where} is of kind '{kind}'. Kinds are: {', '.join(COLUMNS)}.")
    needed, optional = (names.split() for names in COLUMNS[kind])
    if kind != "rows" and (set(needed) - set(columns) or set(columns) - {*needed, *optional}):
        raise ProfileInvalid(
            f"{where} needs the columns {', '.join(needed)} and may have {', '.join(optional)}: not {', '.join(columns)}."
        )
    rows = []
    for number, row in enumerate(entry["rows"], start=1):
        if len(row) != len(columns):
            raise ProfileInvalid(f"{where} has {len(row)} cells in row {number}, but {len(columns)} columns.")
        rows.append(tuple(_cell(cell, sets, where) for cell in row))
    _of_words(kind, columns, rows, where)
    if kind == "module":
        for row in rows:
            for name, cell in zip(columns, row, strict=True):
                if cell and name in _WRITTEN:
                    _WRITTEN[name](str(cell))
    return Table(**{**entry, "columns": columns, "rows": tuple(rows)})


def _of_words(kind: str, columns: tuple[str, ...], rows: list[tuple[Cell, ...]], where: str) -> None:
    """Say where a cell has a word that its column does not know, which would go unheeded."""
    for place, column in enumerate(columns):
        if (kind, column) in WORDS:
            known = WORDS[kind, column]
            unknown = {word for cell in {row[place] for row in rows} for word in re.split(r"[, ]+", str(cell)) if word} - known
            if unknown:
                raise ProfileInvalid(
                    f"{where} says {', '.join(sorted(unknown))} as {column}; there are {', '.join(sorted(known))}."
                )


def _cell(cell: Any, sets: Mapping[str, tuple[str, ...]], where: str) -> Cell:
    """Return a list as a tuple; ``@name`` in it stands for a set of transfer syntaxes."""
    if not isinstance(cell, list):
        return cell  # type: ignore[no-any-return]
    found: list[str] = []
    for part in cell:
        if not isinstance(part, str):
            raise ProfileInvalid(f"{where} has a list with {part!r} in it; lists are of text.")
        if part.startswith("@") and part[1:] not in sets:
            raise ProfileInvalid(f"{where} names the set '{part}', which the profile does not have.")
        found.extend(sets[part[1:]] if part.startswith("@") else (part,))
    return tuple(found)


def _consistent(profile: Profile) -> None:
    """Say where an id is there twice, or one is named that is not there, or a slip does not differ from what it points at."""
    ids = [table.id for table in profile.tables]
    entities = {entity.id for entity in profile.entities}
    twice = {table_id for table_id in ids if ids.count(table_id) > 1}
    if twice:
        raise ProfileInvalid(f"Profile '{profile.name}' has more than one table with the id {', '.join(sorted(twice))}.")
    _of_known_words(profile)
    parts: tuple[Table | Activity, ...] = (*profile.tables, *profile.activities)
    for part in parts:
        if part.entity and part.entity not in entities:
            raise ProfileInvalid(f"Profile '{profile.name}': {part.source} names the entity '{part.entity}', which is not there.")
    for slip in profile.slips:
        if not slip.table.startswith("entities."):
            _pointing(slip, profile.table(slip.table), profile.name)
        elif slip.column not in {f.name for f in fields(profile.entity(slip.table.removeprefix("entities.")))}:
            raise ProfileInvalid(f"Profile '{profile.name}': a slip names '{slip.column}', which entities do not have.")


def _of_known_words(profile: Profile) -> None:
    """Say where an activity, a role or a table of a module is none."""
    for entity in profile.entities:
        for does, _ in entity.policies:
            if does not in DOES:
                raise ProfileInvalid(
                    f"Entity '{entity.id}' of profile '{profile.name}' has a policy for '{does}', which is none of "
                    f"{', '.join(DOES)}."
                )
    for activity in profile.activities:
        if activity.does not in DOES:
            raise ProfileInvalid(
                f"{activity.source} of profile '{profile.name}' does '{activity.does}', which is none of {', '.join(DOES)}."
            )
        if unknown := [peer for peer in activity.peers if peer not in PEERS]:
            raise ProfileInvalid(
                f"{activity.source} of profile '{profile.name}' is done with {', '.join(unknown)}; there are {', '.join(PEERS)}."
            )
    for table in profile.tables:
        if table.role not in ROLES:
            where = f"Table '{table.id}' of profile '{profile.name}'"
            raise ProfileInvalid(f"{where} has the role '{table.role}', which is none of {', '.join(ROLES[1:])}.")
    for table in profile.of_kind("iod"):
        for row in table.records():
            if row.get("table"):
                profile.table(row["table"])


def _pointing(slip: Slip, table: Table, profile: str) -> None:
    where = f"A slip of profile '{profile}' in table '{table.id}', row {slip.row}"
    if slip.form not in SLIP_FORMS:
        raise ProfileInvalid(f"{where} is of the form '{slip.form}'; forms are {', '.join(SLIP_FORMS)}.")
    if not 0 <= slip.row <= len(table.rows):
        raise ProfileInvalid(f"{where}: the table has {len(table.rows)} rows.")
    if not slip.row and slip.form not in {"value", "heading", "column"}:
        raise ProfileInvalid(f"{where}: only a row can be {slip.form}.")
    if slip.row and slip.form in {"heading", "column"}:
        raise ProfileInvalid(f"{where}: a {slip.form} is of the table, row 0.")
    columns = table.columns if slip.row or slip.form in {"heading", "column"} else OF_A_TABLE
    if slip.column not in columns:
        raise ProfileInvalid(f"{where} names the column '{slip.column}'; there are {', '.join(columns)}.")
    if slip.form == "value" and slip.printed == _meant(slip, table):
        raise ProfileInvalid(f"{where} prints what is meant: {slip.column}.")


def _meant(slip: Slip, table: Table) -> Cell:
    return table.rows[slip.row - 1][table.columns.index(slip.column)] if slip.row else getattr(table, slip.column)

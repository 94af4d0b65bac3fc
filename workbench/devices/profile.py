"""A conformance statement as a frozen value: its parts put together, as meant and as printed.

Knows: what is printed and what is meant.
Does not know: how a profile is written (reading), what a row means (claims), which rule it breaks (lint), where the files are.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from workbench.devices._page import folded, page
from workbench.devices.parts import (
    Activity,
    Cell,
    Entities,
    Entity,
    RealWorldActivities,
    Slip,
    Slips,
    Table,
    Tables,
    as_printed,
    as_text,
    behaviour,
    called,
    roles,
)
from workbench.errors import ProfileInvalid

__all__ = ["Profile"]

View = Literal["meant", "printed"]

_OF_SLIPS = (
    "A slip is where the document prints something else than it means: a wrong value, or a row that is lacking, doubled or run "
    "into another. Tables hold what is meant; as_printed() gives what stands in the document."
)
_PRINTED = "Everything as printed, slips included."


@dataclass(frozen=True, repr=False)
class Profile:
    """What one system's conformance statement claims.

    Tables hold what is meant; :meth:`as_printed` gives what stands in the document. Entities, activities, tables and slips are
    tuples that show themselves as tables; ``.table()`` makes a DataFrame of each.

    Examples
    --------
    >>> from workbench import devices
    >>> microscope = devices.profile("topcon-sp1p")
    >>> microscope.activities.table().does.tolist()
    ['verify', 'worklist', 'query', 'acquire', 'store']
    """

    name: str
    title: str
    maker: str
    product: str
    version: str
    statement: str
    edition: str
    summary: str
    modality: str = ""
    entities: tuple[Entity, ...] = ()
    activities: tuple[Activity, ...] = ()
    tables: tuple[Table, ...] = ()
    slips: tuple[Slip, ...] = ()
    view: View = "meant"
    _by_id: Mapping[str, Table] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, rows in (("entities", Entities), ("activities", RealWorldActivities), ("tables", Tables), ("slips", Slips)):
            object.__setattr__(self, name, rows(getattr(self, name)))
        object.__setattr__(self, "_by_id", MappingProxyType({table.id: table for table in self.tables}))

    def table(self, table_id: str) -> Table:
        """Return a table by its id.

        Raises
        ------
        ProfileInvalid
            If there is none.
        """
        if table_id not in self._by_id:
            raise ProfileInvalid(f"Profile '{self.name}' has no table '{table_id}'. It has: {', '.join(sorted(self._by_id))}.")
        return self._by_id[table_id]

    def entity(self, entity_id: str) -> Entity:
        """Return an application entity by its id.

        Raises
        ------
        ProfileInvalid
            If there is none.
        """
        for entity in self.entities:
            if entity.id == entity_id:
                return entity
        raise ProfileInvalid(
            f"Profile '{self.name}' has no entity '{entity_id}'. It has: {', '.join(e.id for e in self.entities)}."
        )

    def title_of(self, entity: Entity) -> str:
        """Return the AE title of an entity: that of the statement, or one from the product's name where it has none."""
        return entity.ae_title or self.product.upper().replace(" ", "_")[:16]

    def of_kind(self, kind: str, *, entity: str = "", role: str = "", activity: str = "") -> tuple[Table, ...]:
        """Return the tables of a kind, of one entity, role and activity where these are given."""
        return tuple(
            table
            for table in self.tables
            if table.kind == kind
            and (not entity or table.entity == entity)
            and (not role or table.role == role)
            and (not activity or table.activity == activity)
        )

    def as_printed(self) -> "Profile":
        """Return the profile with every slip as it stands in the document."""
        if self.view == "printed":
            return self
        tables = tuple(_printed_table(table, [s for s in self.slips if s.table == table.id]) for table in self.tables)
        entities = tuple(
            replace(entity, **{s.column: s.printed for s in self.slips if s.table == f"entities.{entity.id}"})  # type: ignore[arg-type]
            for entity in self.entities
        )
        return replace(self, tables=tables, entities=entities, view="printed")

    def place(self, slip: Slip) -> tuple[str, Cell]:
        """Return where a slip stands in the document, and what is meant there, of a profile as meant."""
        if slip.table.startswith("entities."):
            entity = self.entity(slip.table.removeprefix("entities."))
            return f"{entity.source}, {entity.name}", getattr(entity, slip.column)
        table = self.table(slip.table)
        row = table.records()[slip.row - 1] if slip.row else {}
        where = f"{table.source}, row {slip.row} ({called(row)})" if slip.row else table.source
        return where, row.get(slip.column, getattr(table, slip.column, ""))

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in ("entities", "activities", "tables", "slips"))
        return (
            f"Profile({self.name}, {self.title} {self.version}, {'as printed' if self.view == 'printed' else 'as meant'}, {counts})"
        )

    def _repr_html_(self) -> str:
        classes = self._classes()
        counts = {role: sum(line["role"] == role for line in classes) for role in ("SCU", "SCP")}
        created = [{"object": t.title, "uid": t.uid, "entity": t.entity, "modules": len(t.rows), "source": t.source}
                   for t in self.of_kind("iod")]  # fmt: skip
        parts = {
            f"Application entities: {len(self.entities)}": folded({"": self._seen_entities(classes)}),
            f"Activities, in order: {len(self.activities)}": folded({"": self._seen_activities()}),
            f"SOP classes: {counts['SCU']} as SCU, {counts['SCP']} as SCP": folded(_grouped(classes, "entity", "role")),
            f"Created objects: {len(created)}": folded({"": created}),
            f"Tables: {len(self.tables)}; .table(id) has the rows of each": folded(_grouped(Tables(self.tables).records(), "kind")),
            f"Slips: {len(self.slips)}": f"<p>{_OF_SLIPS}</p>" + folded({"": self._seen_slips()}),
        }
        words = (self.summary, f"{self.statement}. DICOM {self.edition}.", _PRINTED if self.view == "printed" else "")
        return page(f"{self.title} {self.version}", words, parts, unfolded=list(parts)[:2])

    def _classes(self) -> list[dict[str, object]]:
        return [
            {"entity": table.entity, "role": role, "name": row["name"], "uid": row["uid"], "source": table.source}
            for table in self.of_kind("sop_classes")
            for row in table.records()
            for role in roles(table, row)
        ]

    def _seen_entities(self, classes: list[dict[str, object]]) -> list[dict[str, object]]:
        return [
            {
                "entity": e.id, "AE title": e.ae_title, "port": e.port,
                **{f"{role} classes": sum((c["entity"], c["role"]) == (e.id, role) for c in classes) for role in ("SCU", "SCP")},
                "behaviour": behaviour(e), "source": e.source,
            }
            for e in self.entities
        ]  # fmt: skip

    def _seen_activities(self) -> list[dict[str, object]]:
        return [
            {"": number, "activity": a.name, "kind": a.does, "entity": a.entity, "source": a.source, "trigger": a.trigger}
            for number, a in enumerate(self.activities, start=1)
        ]

    def _seen_slips(self) -> list[dict[str, object]]:
        """Return what is printed and what is meant; of a profile as printed only the former, since its rows are no longer those."""
        if self.view == "printed":
            return [
                {"table": s.table, "row": s.row or "", "what": s.column, "printed": as_printed(s), "rule": s.rule}
                for s in self.slips
            ]
        return [
            {"where": where, "what": slip.column, "printed": as_printed(slip), "meant": as_text(meant), "rule": slip.rule}
            for slip in self.slips
            for where, meant in [self.place(slip)]
        ]


def _grouped(lines: list[dict[str, object]], *names: str) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for line in lines:
        found.setdefault(", ".join(str(line[name]) for name in names), []).append(line)
    return found


def _in_form(form: Cell, meant: Cell) -> Cell:
    """Return what a column prints in a row: the same in all, or a tag in its way of writing, such as ``gggg-eeee``."""
    if not isinstance(form, str) or "gggg" not in form:
        return form
    return re.sub(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)", lambda tag: form.replace("gggg", tag[1]).replace("eeee", tag[2]), str(meant))


def _printed_table(table: Table, slips: list[Slip]) -> Table:
    rows: list[tuple[Cell, ...] | None] = list(table.rows)
    more: dict[int, tuple[Cell, ...]] = {}
    for slip in (s for s in slips if s.form == "column"):  # a row that is printed otherwise again says so itself
        place = table.columns.index(slip.column)
        rows = [row and (*row[:place], _in_form(slip.printed, row[place]), *row[place + 1 :]) for row in rows]
    for slip in slips:
        if slip.form in {"column", "heading"}:  # columns are named in our words
            continue
        if slip.row == 0:
            table = replace(table, **{slip.column: slip.printed})  # type: ignore[arg-type]
            continue
        number, place = slip.row - 1, table.columns.index(slip.column)
        row = table.rows[number] if rows[number] is None else rows[number]
        changed = (*row[:place], slip.printed, *row[place + 1 :])  # type: ignore[index]
        if slip.form == "value":
            rows[number] = changed
        elif slip.form == "repeated":
            more[number] = changed
        else:  # joined or missing: no row of its own
            rows[number] = None
    printed = [r for number, row in enumerate(rows) for r in (row, more.get(number)) if r is not None]
    return replace(table, rows=tuple(printed))

"""A conformance statement as frozen values: entities, tables of rows, activities, and the slips of its print.

Knows: what is printed and what is meant.
Does not know: how a profile is written (reading), what a row means (claims), which rule it breaks (lint), where the files are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Literal

from workbench.entities import html_table
from workbench.errors import ProfileInvalid

__all__ = ["DOES", "OF_A_TABLE", "PEERS", "ROLES", "SLIP_FORMS", "Activity", "Cell", "Entity", "Policy", "Profile", "Slip", "Table"]

Cell = str | int | float | bool | tuple[str, ...]
View = Literal["meant", "printed"]

#: How print can differ from what is meant; see :class:`Slip`.
SLIP_FORMS = ("value", "joined", "repeated", "missing", "heading", "column")
#: What systems do, as :attr:`Activity.does` has it.
DOES = (
    "verify", "worklist", "query", "retrieve", "receive", "acquire", "store", "step", "commit", "print", "media", "export",
    "anonymise",
)  # fmt: skip
#: Whom systems talk to: an image archive, an information system with its worklist, a printer.
PEERS = ("archive", "ris", "printer")
#: Roles on a network (PS3.7) and on media (PS3.10).
ROLES = ("", "SCU", "SCP", "FSC", "FSR", "FSU")
#: What a slip of a table as a whole (row 0) can be about.
OF_A_TABLE = ("source", "title", "entity", "activity", "role", "uid")


@dataclass(frozen=True, slots=True)
class Policy:
    """How an application entity behaves where the standard leaves it open; None where the statement does not say.

    Parameters
    ----------
    associations_per : str
        ``instance`` or ``job``: one association for each file, or one for all.
    on_failure : str
        ``stop`` or ``continue`` after the first instance that is refused.
    warning_is : str
        ``success`` or ``failure``.
    attempts : int
        How often an operation is tried.
    wait_s, connect_s, acse_s, dimse_s, network_s : float
        Seconds between attempts, and the time-outs of each layer.
    service_s : float
        For how long a service goes on without any data, where the statement has one time-out for responses and PDUs.
    operation_s : float
        For how long an operation may go on in all.
    idle_s : float
        For how long an association is kept that has nothing to do; 0 where it ends at once.
    limit : int
        How many answers to a query are used.
    wildcards : str
        ``both``, ``trailing``, ``none`` or ``user``: where the entity itself adds ``*`` to a key.
    name_form : str
        How a person's name becomes a key, such as ``*{family}*{given}*``.
    unsupported_character_set : str
        ``discard`` (and log) or ``keep`` an answer.
    checks_called, checks_calling : bool
        Whether AE titles of requestors are checked.
    contexts_per : str
        ``row``: a row of the table of contexts is proposed as one, so that one of its syntaxes is accepted; ``syntax``: each of
        its syntaxes by itself, so that several are.
    converts : bool
        Whether it sends an instance in another transfer syntax than its own.
    """

    associations_per: str | None = None
    on_failure: str | None = None
    warning_is: str | None = None
    attempts: int | None = None
    wait_s: float | None = None
    connect_s: float | None = None
    acse_s: float | None = None
    dimse_s: float | None = None
    network_s: float | None = None
    service_s: float | None = None
    operation_s: float | None = None
    idle_s: float | None = None
    limit: int | None = None
    wildcards: str | None = None
    name_form: str | None = None
    unsupported_character_set: str | None = None
    checks_called: bool | None = None
    checks_calling: bool | None = None
    contexts_per: str | None = None
    converts: bool | None = None

    def with_those_of(self, other: "Policy") -> "Policy":
        """Return this policy with what another one says instead."""
        said = {field.name: value for field in fields(other) if (value := getattr(other, field.name)) is not None}
        return replace(self, **said)


@dataclass(frozen=True, slots=True)
class Entity:
    """An application entity of a statement (PS3.2 A.4.2).

    Parameters
    ----------
    id, name : str
        How tables name it, and how the statement does.
    source : str
        Where the statement says so: tables, sections.
    ae_title, port
        Defaults; None where there is none.
    initiates, accepts : bool
        Whether it opens and takes associations.
    max_pdu_bytes, max_associations, max_accepted, max_asynchronous : int
        None where the statement does not say; 0 where it says that there is no limit.
    policy : Policy
        How it behaves in whatever it does.
    policies : tuple of (str, Policy)
        What is otherwise in one kind of activity, by a word of :data:`DOES`.
    """

    id: str
    name: str
    source: str
    ae_title: str | None = None
    port: int | None = None
    initiates: bool = True
    accepts: bool = False
    application_context: str = "1.2.840.10008.3.1.1.1"
    implementation_class_uid: str | None = None
    implementation_version_name: str | None = None
    max_pdu_bytes: int | None = None
    max_associations: int | None = None
    max_accepted: int | None = None
    max_asynchronous: int | None = None
    policy: Policy = Policy()
    policies: tuple[tuple[str, Policy], ...] = ()

    def policy_of(self, does: str) -> Policy:
        """Return how it behaves in one kind of activity.

        Examples
        --------
        >>> entity = Entity("a", "A", "Table 1", policy=Policy(service_s=300.0), policies=(("query", Policy(limit=100)),))
        >>> entity.policy_of("query").limit, entity.policy_of("query").service_s, entity.policy_of("worklist").limit
        (100, 300.0, None)
        """
        return self.policy.with_those_of(dict(self.policies).get(does, Policy()))


@dataclass(frozen=True, slots=True)
class Activity:
    """A real-world activity, in the order of the statement (PS3.2 A.4.1.3).

    Parameters
    ----------
    name : str
        As tables name it.
    does : str
        One of :data:`DOES`.
    entity : str
        Id of the application entity that does it; empty where none does, as in an acquisition.
    source : str
        Where the statement says so.
    trigger : str
        Who or what starts it.
    peers : tuple of str
        With whom it can be done, in words of :data:`PEERS`, the one that is meant first; empty where that goes without saying.
    """

    name: str
    does: str
    entity: str
    source: str
    trigger: str = ""
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a statement.

    Parameters
    ----------
    id : str
        Unique in the profile.
    kind : str
        What its rows are; a key of :data:`workbench.devices.reading.COLUMNS`.
    source : str
        Its number in the statement, or the section where it has none.
    title : str
        What it is about, in the words of the standard.
    entity, activity : str
        Id of the application entity that it describes, and in which activity.
    role : str
        One of :data:`ROLES`.
    uid : str
        SOP class of a message, an object or a table of keys.
    columns : tuple of str
    rows : tuple of tuple
        As meant; slips hold what is printed.
    """

    id: str
    kind: str
    source: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    entity: str = ""
    activity: str = ""
    role: str = ""
    uid: str = ""

    def records(self) -> list[dict[str, Any]]:
        """Return one dictionary a row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def lines(self) -> list[dict[str, object]]:
        """Return one dictionary a row, to be shown: lists are text, joined by semicolons."""
        return [{name: "; ".join(c) if isinstance(c, tuple) else c for name, c in row.items()} for row in self.records()]

    def _repr_html_(self) -> str:
        return html_table(self.lines(), caption=f"{self.source}: {self.title}")


@dataclass(frozen=True, slots=True)
class Slip:
    """Where a statement prints something else than it means.

    Parameters
    ----------
    table : str
        A table's id, or ``entities.`` and an entity's id.
    row : int
        From 1, as meant; 0 for the table as a whole.
    column : str
        The column; where `row` is 0, an attribute of the table (:data:`OF_A_TABLE`) or of the entity.
    printed
        What stands there.
    rule : str
        What that breaks, with its section.
    form : str
        ``value`` (printed otherwise), ``joined`` (printed within the row before it), ``repeated`` (printed once more, after
        this row), ``missing`` (not printed), ``heading`` (row 0: the heading of this column is printed otherwise),
        ``column`` (row 0: printed so in every row).
    """

    table: str
    row: int
    column: str
    printed: Cell
    rule: str
    form: str = "value"


@dataclass(frozen=True)
class Profile:
    """What one system's conformance statement claims.

    Tables hold what is meant; :meth:`as_printed` gives what stands in the document.
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

    def _repr_html_(self) -> str:
        rows: list[dict[str, object]] = [
            {"entity": e.name, "AE title": e.ae_title or "", "port": e.port or "", "source": e.source} for e in self.entities
        ]
        return html_table(rows, caption=f"{self.title}: {len(self.tables)} tables, {len(self.slips)} slips")


def _printed_table(table: Table, slips: list[Slip]) -> Table:
    rows: list[tuple[Cell, ...] | None] = list(table.rows)
    more: dict[int, tuple[Cell, ...]] = {}
    for slip in slips:
        if slip.form == "heading":  # columns are named in our words
            continue
        if slip.form == "column":
            place = table.columns.index(slip.column)
            rows = [row and (*row[:place], slip.printed, *row[place + 1 :]) for row in rows]
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

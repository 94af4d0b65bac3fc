"""The parts of a conformance statement as frozen values: entities, activities, tables of rows, slips.

Knows: what each part says, and how it is shown.
Does not know: which parts make a system (profile), what a row means (claims).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.entities import Rows, html_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DOES",
    "OF_A_TABLE",
    "PEERS",
    "ROLES",
    "SLIP_FORMS",
    "Activity",
    "Cell",
    "Entities",
    "Entity",
    "Policy",
    "RealWorldActivities",
    "Slip",
    "Slips",
    "Table",
    "Tables",
    "as_printed",
    "as_text",
    "behaviour",
    "called",
    "roles",
]

Cell = str | int | float | bool | tuple[str, ...]

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

_FORMS = MappingProxyType({
    "joined": " (within the row before)", "repeated": " (once more)", "heading": " (as heading)", "column": " (in every row)",
})  # fmt: skip


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


@dataclass(frozen=True, slots=True, repr=False)
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

    def table(self) -> "pd.DataFrame":
        """Return a DataFrame of the rows, lists as text."""
        import pandas as pd  # noqa: PLC0415 - half a second, and only wanted here

        return pd.DataFrame.from_records(self.lines(), columns=list(self.columns)).convert_dtypes()

    def __repr__(self) -> str:
        return f"Table({self.id}, {self.kind}, {self.source}, {len(self.rows)} rows)"

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
        ``column`` (row 0: printed so in every row; in a tag ``gggg`` and ``eeee`` stand for those of the row).
    """

    table: str
    row: int
    column: str
    printed: Cell
    rule: str
    form: str = "value"


class Entities(Rows[Entity]):
    """The application entities of a profile."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Entity

    def records(self) -> list[dict[str, object]]:
        """Return one dictionary an entity; how it behaves is told in words."""
        return [
            {f.name: getattr(e, f.name) for f in fields(e) if f.name not in {"policy", "policies"}} | {"behaviour": behaviour(e)}
            for e in self
        ]


class RealWorldActivities(Rows[Activity]):
    """The real-world activities of a profile, in the order of the statement."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Activity


class Tables(Rows[Table]):
    """The tables of a profile."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Table

    def records(self) -> list[dict[str, object]]:
        """Return one dictionary a table, with the number of its rows: each shows its own."""
        names = ("id", "kind", "source", "title", "entity", "activity", "role", "uid")
        return [{name: getattr(table, name) for name in names} | {"rows": len(table.rows)} for table in self]


class Slips(Rows[Slip]):
    """Where a statement prints something else than it means."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Slip


def behaviour(entity: Entity) -> str:
    """Return how an entity behaves, in words: in all that it does, then in each kind of activity where it is otherwise.

    Examples
    --------
    >>> behaviour(Entity("a", "A", "Table 1", policy=Policy(attempts=3), policies=(("query", Policy(limit=100)),)))
    'attempts 3; query: limit 100'
    """
    said = []
    for does, policy in (("", entity.policy), *entity.policies):
        words = ", ".join(f"{f.name} {value}" for f in fields(policy) if (value := getattr(policy, f.name)) is not None)
        said += [f"{does}: {words}" if does else words] if words else []
    return "; ".join(said)


def roles(table: Table, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in which roles a row of a table of SOP classes holds."""
    return tuple(role for role in ("SCU", "SCP") if row.get(role.lower(), table.role == role))


def called(row: Mapping[str, object]) -> str:
    """Return what a row is about: the first of its cells that says so."""
    named = (row.get(column) for column in ("name", "parameter", "module", "uid"))
    return str(next(filter(None, named), next(iter(row.values()), "")))


def as_text(value: object) -> str:
    """Return a cell as text; lists are joined by semicolons."""
    return "; ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def as_printed(slip: Slip) -> str:
    """Return what the document has in a slip's place, as text."""
    return {"missing": "(not printed)"}.get(slip.form, as_text(slip.printed)) + _FORMS.get(slip.form, "")

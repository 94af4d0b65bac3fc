"""What the tables of a profile say, as typed rows: SOP classes, contexts, keys, statuses, parameters, created objects.

Knows: which column of which kind of table holds what.
Does not know: how tables are written (profile), whether they are right (lint).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

from workbench.devices._given import of_a_profile
from workbench.devices.parts import Table, roles
from workbench.devices.profile import Profile
from workbench.entities import Rows

__all__ = [
    "Attribute",
    "Context",
    "Event",
    "Key",
    "ObjectClass",
    "Parameter",
    "SopClass",
    "Status",
    "attributes",
    "contexts",
    "events",
    "file_meta",
    "keys",
    "objects",
    "parameters",
    "sop_classes",
    "statuses",
]


@dataclass(frozen=True, slots=True)
class SopClass:
    """A SOP class that an entity supports in one role."""

    entity: str
    role: str
    uid: str
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Context:
    """A presentation context that an entity proposes (role SCU) or accepts (role SCP)."""

    entity: str
    activity: str
    role: str
    uid: str
    name: str
    syntaxes: tuple[str, ...]
    extended: str
    source: str


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute of a query.

    Parameters
    ----------
    path : str
        Tags of sequences and the attribute, joined by dots: ``(0040,0100).(0008,0060)``.
    matching : str
        Kinds of matching, joined by spaces: universal, single, wildcard, range, list, sequence; empty where it is only returned.
    query : str
        In which of several queries it is asked for, such as ``broad`` or ``patient``; empty where there is one query.
    """

    entity: str
    activity: str
    uid: str
    level: str
    path: str
    name: str
    matching: str
    query: str
    source: str


@dataclass(frozen=True, slots=True)
class Status:
    """A response status and what the entity does about it."""

    entity: str
    activity: str
    status: str
    meaning: str
    code: str
    behaviour: str
    action: str
    source: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens, mostly a failure of communication, and what the entity does then.

    Parameters
    ----------
    activity : str
        In which activity; empty where it is the same in all.
    event, behaviour : str
        What happens and what is done, in words.
    action : str
        The latter as one of a few words: success, warning, failure, abort, stop, continue, retry, cancel, ignore, log.
    """

    entity: str
    activity: str
    event: str
    behaviour: str
    action: str
    source: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A configuration parameter; `values` are those that it can have, where the statement lists them."""

    entity: str
    parameter: str
    default: str
    unit: str
    configurable: bool
    source: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """An object that the system creates.

    Parameters
    ----------
    modules : tuple of str
        Tables of its modules, in the order of the IOD.
    conditional : tuple of str
        Those of them that an object may be without.
    optional : tuple of str
        Those of the conditional ones that the system itself chooses to have (usage U): it describes them, so it has them.
    """

    entity: str
    uid: str
    title: str
    modules: tuple[str, ...]
    source: str
    conditional: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a created object or a message.

    Parameters
    ----------
    value : str
        What it holds: a backslash stands between the values of one element, `` | `` between the alternatives of each.
    presence : str
        ALWAYS, VNAP, ANAP, ANAPCV, ANAPEV, EMPTY or COND, where the statement says so (PS3.2).
    origin : str
        Where the value comes from, joined by commas: USER, AUTO (made by the system), CONFIG, MWL (worklist), QUERY (patient
        query), COPY and IMAGE (another object), FIXED, IMPLICIT; empty where the statement does not say.
    note : str
        What else the statement says of it.
    condition : str
        When it is there, where that is a matter of other attributes of the object; see :func:`workbench.devices.condition`.
    constraint : str
        What its value has to be beyond what `value` lists; see :func:`workbench.devices.constraint`.
    otherwise : str
        What it holds where what it comes from, worklist or image, has nothing; see :func:`workbench.devices.default`.
    creator : str
        Private creator in whose block it lies (PS3.5 7.8.1), where it is private: its block in an object may be another one than
        the statement prints.
    """

    module: str
    path: str
    name: str
    vr: str
    type: str
    value: str
    presence: str
    origin: str
    source: str
    note: str = ""
    condition: str = ""
    creator: str = ""
    constraint: str = ""
    otherwise: str = ""

    @property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        r"""The alternatives of each of its values, the first choice first; empty where any will do.

        Of ``A | B\C | D`` they are ``(A, B)`` and ``(C, D)``; an alternative may be empty, as in ``A\ | B``.
        """
        if not self.value:
            return ()
        return tuple(tuple(one.strip() for one in re.split(r" \|(?= |$)", part)) for part in self.value.split("\\"))

    @property
    def values(self) -> tuple[str, ...]:
        r"""All that it may hold, the first choice first; empty where any will do.

        Of ``A | B\C | D`` they are ``A\C``, ``A\D``, ``B\C`` and ``B\D``: each value of the attribute has alternatives of its own.
        """
        return tuple("\\".join(chosen) for chosen in product(*self.choices)) if self.value else ()

    @property
    def origins(self) -> tuple[str, ...]:
        """Where its value comes from, the first choice first."""
        return tuple(filter(None, re.split(r"\s*,\s*", self.origin)))

    @property
    def tags(self) -> tuple[int, ...]:
        """Its path as numbers; empty where a group is repeated, as in (60xx,0010)."""
        try:
            return tuple(int(tag.strip("()").replace(",", ""), 16) for tag in self.path.split("."))
        except ValueError:
            return ()


class SopClasses(Rows[SopClass]):
    """SOP classes by entity and role."""

    __slots__ = ()
    row_type: ClassVar[type | None] = SopClass


class Contexts(Rows[Context]):
    """Presentation contexts by entity and activity."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Context


class Keys(Rows[Key]):
    """Keys of queries."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Key


class Statuses(Rows[Status]):
    """Statuses and what is done about them."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Status


class Events(Rows[Event]):
    """Events and what is done about them."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Event


class Parameters(Rows[Parameter]):
    """Configuration parameters."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Parameter


class ObjectClasses(Rows[ObjectClass]):
    """Objects that a system creates."""

    __slots__ = ()
    row_type: ClassVar[type | None] = ObjectClass


class Attributes(Rows[Attribute]):
    """Attributes of created objects or messages."""

    __slots__ = ()
    row_type: ClassVar[type | None] = Attribute


@of_a_profile
def sop_classes(profile: Profile, *, entity: str = "", role: str = "") -> SopClasses:
    """Return the SOP classes that a profile claims: one row for each entity, role and row of its tables."""
    return SopClasses(
        SopClass(table.entity, as_role, row["uid"], row["name"], table.source)
        for table in profile.of_kind("sop_classes", entity=entity)
        for row in table.records()
        for as_role in roles(table, row)
        if role in {"", as_role}
    )


@of_a_profile
def contexts(profile: Profile, *, entity: str = "", role: str = "", activity: str = "") -> Contexts:
    """Return the presentation contexts that a profile proposes or accepts, in the order of its tables."""
    return Contexts(
        Context(
            table.entity, table.activity, row.get("role") or table.role, row["uid"], row["name"],
            row["syntaxes"], row.get("extended", ""), table.source,
        )
        for table in profile.of_kind("contexts", entity=entity, activity=activity)
        for row in table.records()
        if role in {"", row.get("role") or table.role}
    )  # fmt: skip


@of_a_profile
def keys(profile: Profile, *, entity: str = "", activity: str = "", role: str = "", uid: str = "") -> Keys:
    """Return the keys of queries; sequences stand before what is in them."""
    return Keys(
        Key(
            table.entity, table.activity, table.uid, row.get("level", ""), path, row["name"], row["matching"],
            row.get("query", ""), table.source,
        )
        for table in profile.of_kind("keys", entity=entity, activity=activity, role=role)
        if uid in {"", table.uid}
        for path, row in _nested(table)
    )  # fmt: skip


@of_a_profile
def statuses(profile: Profile, *, entity: str = "", activity: str = "") -> Statuses:
    """Return response statuses with the behaviour of the system."""
    return Statuses(
        Status(
            table.entity, table.activity, row["status"], row["meaning"], row["code"], row["behaviour"],
            row.get("action", ""), table.source,
        )
        for table in profile.of_kind("statuses", entity=entity, activity=activity)
        for row in table.records()
    )  # fmt: skip


@of_a_profile
def events(profile: Profile, *, entity: str = "", activity: str = "") -> Events:
    """Return events with the behaviour of the system; with an activity its own first, then those that are the same in all.

    Examples
    --------
    >>> from workbench import devices
    >>> [row.action for row in devices.events(devices.profile("meddream-videostation"), activity="Query Modality Worklist")]
    ['log']
    """
    tables = profile.of_kind("events", entity=entity)
    if activity:
        tables = tuple(t for own in (activity, "") for t in tables if t.activity == own)
    return Events(
        Event(table.entity, table.activity, row["event"], row["behaviour"], row.get("action", ""), table.source)
        for table in tables
        for row in table.records()
    )


@of_a_profile
def parameters(profile: Profile, *, entity: str = "") -> Parameters:
    """Return configuration parameters with their defaults."""
    return Parameters(
        Parameter(
            table.entity, row["parameter"], str(row["default"]), row.get("unit", ""), bool(row.get("configurable", True)),
            table.source, tuple(map(str, row.get("values") or ())),
        )
        for table in profile.of_kind("parameters", entity=entity)
        for row in table.records()
    )  # fmt: skip


@of_a_profile
def objects(profile: Profile, *, entity: str = "") -> ObjectClasses:
    """Return the objects that the system creates."""
    return ObjectClasses(
        ObjectClass(
            table.entity, table.uid, table.title, tuple(row["table"] for row in described), table.source,
            tuple(row["table"] for row in described if _is_conditional(row)),
            tuple(row["table"] for row in described if _is_conditional(row) and row["usage"] == "U"),
        )
        for table in profile.of_kind("iod", entity=entity)
        for described in [[row for row in table.records() if row.get("table")]]
    )  # fmt: skip


def _is_conditional(row: Mapping[str, Any]) -> bool:
    """Whether a module may be absent: by the statement's own word, or by its usage; one that it lists without either is there."""
    return (row.get("presence") or row["usage"]) not in {"ALWAYS", "VNAP", "M", ""}


@of_a_profile
def attributes(profile: Profile, *tables: str) -> Attributes:
    """Return the attributes of modules or messages, by the ids of their tables."""
    return Attributes(
        Attribute(
            table.title, path, row["name"], row.get("vr", ""), str(row.get("type", "")), str(row.get("value", "")),
            row.get("presence", ""), row.get("source", ""), table.source, row.get("note", ""),
            row.get("condition", ""), row.get("creator", ""),
            _resolved(profile, row.get("constraint", "")), row.get("otherwise", ""),
        )
        for table in map(profile.table, tables)
        for path, row in _nested(table)
    )  # fmt: skip


def _resolved(profile: Profile, text: str) -> str:
    """Return a constraint with ``<ae_title storage>`` as the AE title of that entity, as it is configured."""
    return re.sub(r"<ae_title ([\w-]+)>", lambda match: profile.entity(match[1]).ae_title or "", text) if "<" in text else text


def file_meta(profile: Profile, claimed: ObjectClass) -> Attributes:
    """Return what the statement says of the file meta information of an object (PS3.10 7.1): rows of group 0002.

    Examples
    --------
    >>> from workbench import devices
    >>> station = devices.profile("meddream-videostation")
    >>> [row.value for row in devices.file_meta(station, devices.objects(station)[0]) if row.path == "(0002,0013)"]
    ['MDSTATION']
    """
    about = [table for table in profile.of_kind("module", entity=claimed.entity) if table.uid == claimed.uid]
    rows = attributes(profile, *(table.id for table in about))
    return Attributes(row for row in rows if row.path.startswith("(0002,"))


def _nested(table: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row with the path of its tags; a row of depth n lies in the last sequence of depth n - 1."""
    above: list[str] = []
    for row in table.records():
        above = [*above[: int(row.get("depth", 0))], row["tag"]]
        yield ".".join(above), row

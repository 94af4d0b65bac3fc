"""A profile at a glance: each application entity with its SOP classes and transfer syntaxes by role, activities, objects, tables.

Knows: which parts of a profile are counted against its document.
Does not know: how an overview is printed.
"""

from dataclasses import asdict
from typing import Any

from workbench.devices._given import of_a_profile
from workbench.devices.claims import contexts, objects, sop_classes
from workbench.devices.parts import Entity, Policy
from workbench.devices.profile import Profile
from workbench.standard import transfer_syntaxes

__all__ = ["Overview", "overview"]


class Overview(dict[str, Any]):
    """A profile as plain values; in a notebook it shows the profile's page."""

    def __init__(self, values: dict[str, Any], *, profile: Profile) -> None:
        super().__init__(values)
        self._profile = profile

    def _repr_html_(self) -> str:
        return self._profile._repr_html_()


@of_a_profile
def overview(profile: Profile) -> Overview:
    """Return what a profile claims, as plain values that can be written as JSON.

    Parameters
    ----------
    profile : Profile or str
        As meant, its name, or :meth:`~workbench.devices.Profile.as_printed`: rows are those of its view.

    Returns
    -------
    Overview
        A dictionary: the head of the profile; ``entities``, each with the AE title that it has here, which is one from the
        product's name where the statement has none (empty for media), and with ``sop_classes``, ``contexts`` and
        ``transfer_syntaxes`` under its roles, in the order of the statement and as often as it has them; ``activities``,
        ``objects``, ``tables`` and the number of ``slips``.

    Examples
    --------
    >>> from workbench.devices import profile
    >>> worklist = overview(profile("topcon-sp1p"))["entities"][1]
    >>> worklist["ae_title"], [row["name"] for row in worklist["sop_classes"]["SCU"]]
    ('TP_AM_SP1P_001', ['Modality Worklist Information Model-FIND'])
    """
    head = ("name", "title", "maker", "product", "version", "statement", "edition", "summary", "modality", "view")
    values = {
        **{name: getattr(profile, name) for name in head},
        "entities": [_entity(profile, entity) for entity in profile.entities],
        "activities": [asdict(activity) for activity in profile.activities],
        "objects": _objects(profile),
        "tables": [
            {"id": t.id, "kind": t.kind, "source": t.source, "title": t.title, "entity": t.entity, "rows": len(t.rows)}
            for t in profile.tables
        ],
        "slips": len(profile.slips),
    }
    return Overview(values, profile=profile)


def _entity(profile: Profile, entity: Entity) -> dict[str, Any]:
    said: dict[str, Any] = {name: value for name, value in asdict(entity).items() if value is not None}
    said["title_here"] = profile.title_of(entity) if entity.initiates or entity.accepts else ""
    said["policy"] = _policy(entity.policy)
    said["policies"] = {does: _policy(policy) for does, policy in entity.policies}
    for name, part in (("sop_classes", _classes), ("contexts", _contexts), ("transfer_syntaxes", _syntaxes)):
        by_role = {role: part(profile, entity.id, role) for role in ("SCU", "SCP")}
        said[name] = {role: rows for role, rows in by_role.items() if rows}
    return said


def _policy(policy: Policy) -> dict[str, Any]:
    return {name: value for name, value in asdict(policy).items() if value is not None}


def _classes(profile: Profile, entity: str, role: str) -> list[dict[str, str]]:
    return [{"name": row.name, "uid": row.uid, "source": row.source} for row in sop_classes(profile, entity=entity, role=role)]


def _contexts(profile: Profile, entity: str, role: str) -> list[dict[str, Any]]:
    return [
        {
            "activity": row.activity, "name": row.name, "uid": row.uid, "syntaxes": list(row.syntaxes), "extended": row.extended,
            "source": row.source,
        }
        for row in contexts(profile, entity=entity, role=role)
    ]  # fmt: skip


def _syntaxes(profile: Profile, entity: str, role: str) -> list[dict[str, str]]:
    """Return the transfer syntaxes of an entity's lists of them in this role; where it has none, those of its contexts."""
    names = {row.uid: row.name for row in transfer_syntaxes()}
    listed = [row for table in profile.of_kind("syntaxes", entity=entity, role=role) for row in table.records()]
    if listed:
        return [{"name": row["name"], "uid": row["uid"]} for row in listed]
    proposed = dict.fromkeys(uid for row in contexts(profile, entity=entity, role=role) for uid in row.syntaxes)
    return [{"name": names.get(uid, ""), "uid": uid} for uid in proposed]


def _objects(profile: Profile) -> list[dict[str, Any]]:
    return [
        {
            "title": row.title, "uid": row.uid, "entity": row.entity, "modules": len(row.modules),
            "attributes": sum(len(profile.table(table).rows) for table in row.modules), "source": row.source,
        }
        for row in objects(profile)
    ]  # fmt: skip

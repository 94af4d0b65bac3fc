"""Five real systems as data: what their conformance statements claim, as printed and as meant.

Knows: the profiles beside it, and how they are checked against the tables of the standard.
Does not know: how to connect, and what a claim looks like on the wire.
"""

from workbench.devices.catalog import names, profile, profiles
from workbench.devices.claims import (
    Attribute,
    Context,
    Event,
    Key,
    ObjectClass,
    Parameter,
    SopClass,
    Status,
    attributes,
    contexts,
    events,
    file_meta,
    keys,
    objects,
    parameters,
    sop_classes,
    statuses,
)
from workbench.devices.conditions import Condition, condition
from workbench.devices.constraints import Constraint, Default, constraint, default
from workbench.devices.lint import lint, violations
from workbench.devices.overview import overview
from workbench.devices.parts import Activity, Entity, Policy, Slip, Table
from workbench.devices.profile import Profile
from workbench.devices.reactions import happening, reaction
from workbench.devices.repertoire import repertoire

__all__ = [
    "Activity",
    "Attribute",
    "Condition",
    "Constraint",
    "Context",
    "Default",
    "Entity",
    "Event",
    "Key",
    "ObjectClass",
    "Parameter",
    "Policy",
    "Profile",
    "Slip",
    "SopClass",
    "Status",
    "Table",
    "attributes",
    "condition",
    "constraint",
    "contexts",
    "default",
    "events",
    "file_meta",
    "happening",
    "keys",
    "lint",
    "names",
    "objects",
    "overview",
    "parameters",
    "profile",
    "profiles",
    "reaction",
    "repertoire",
    "sop_classes",
    "statuses",
    "violations",
]

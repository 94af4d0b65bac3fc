"""Which attributes an IOD wants (PS3.3 A), by SOP class.

Knows: the IOD and module tables that highdicom carries.
Does not know: conditions, for they are not written for machines.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

__all__ = ["keywords", "required"]

_STRICTEST = ("1", "1C", "2", "2C", "3")


@cache
def _table(name: str) -> Mapping[str, Any]:
    return MappingProxyType(json.loads((files("highdicom") / "_standard" / f"{name}.json").read_text(encoding="utf-8")))


@cache
def required(sop_class_uid: str) -> Mapping[str, str]:
    """Return the types of an IOD's attributes at its top level, of the modules that are mandatory or conditional.

    Parameters
    ----------
    sop_class_uid : str
        A storage SOP class.

    Returns
    -------
    mapping of keyword to str
        ``1``, ``1C``, ``2``, ``2C`` or ``3``, the strictest of all modules; empty for an unknown or private SOP class.

    Examples
    --------
    >>> required("1.2.840.10008.5.1.4.1.1.7")["ConversionType"]
    '1'
    """
    found: dict[str, str] = {}
    for module in _table("iod_module_map").get(_table("sop_class_iod_map").get(sop_class_uid, ""), ()):
        if module["usage"] == "U":
            continue
        for attribute in _table("module_attribute_map").get(module["key"], ()):
            if not attribute["path"]:
                known = found.get(attribute["keyword"], "3")
                found[attribute["keyword"]] = min(known, attribute["type"], key=_STRICTEST.index)
    return MappingProxyType(found)


@cache
def keywords(*modules: str) -> frozenset[str]:
    """Return the attributes of modules at their top level.

    Parameters
    ----------
    *modules : str
        As tables of the standard have them, in small letters: ``patient``, ``general-study``.

    Examples
    --------
    >>> "PatientBirthDate" in keywords("patient")
    True
    """
    return frozenset(row["keyword"] for module in modules for row in _table("module_attribute_map")[module] if not row["path"])

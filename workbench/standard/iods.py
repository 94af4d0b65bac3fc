"""Which attributes an IOD and a module have (PS3.3 A, C).

Knows: the table of SOP classes, their modules and the types of attributes at the top level.
Does not know: conditions, for they are not written for machines; what stands in sequences.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from workbench.errors import InputError

__all__ = ["iod_types", "module_keywords"]

_STRICTEST = ("1", "1C", "2", "2C", "3")


@cache
def _table() -> Mapping[str, Any]:
    return MappingProxyType(json.loads((files("workbench.standard") / "tables" / "iods.json").read_text(encoding="utf-8")))


@cache
def iod_types(sop_class_uid: str) -> Mapping[str, str]:
    """Return the types of an IOD's attributes at its top level, of the modules that are mandatory or conditional.

    Parameters
    ----------
    sop_class_uid : str
        A storage SOP class.

    Returns
    -------
    mapping of keyword to str
        ``1``, ``1C``, ``2``, ``2C`` or ``3`` (PS3.5 7.4), the strictest of all modules; empty for an unknown or private SOP
        class.

    Examples
    --------
    >>> iod_types("1.2.840.10008.5.1.4.1.1.7")["ConversionType"]
    '1'
    """
    table, found = _table(), dict[str, str]()
    for module in table["iods"].get(table["classes"].get(sop_class_uid, ""), ()):
        for kind, keywords in table["modules"].get(module, {}).items():
            for keyword in keywords:
                found[keyword] = min(found.get(keyword, "3"), kind, key=_STRICTEST.index)
    return MappingProxyType(found)


@cache
def module_keywords(*modules: str) -> frozenset[str]:
    """Return the attributes of modules at their top level.

    Parameters
    ----------
    *modules : str
        As tables of the standard have them, in small letters: ``patient``, ``general-study``.

    Raises
    ------
    InputError
        If there is no such module.

    Examples
    --------
    >>> "PatientBirthDate" in module_keywords("patient")
    True
    """
    known = _table()["modules"]
    if unknown := [name for name in modules if name not in known]:
        raise InputError(f"PS3.3 has no module '{unknown[0]}'; names are such as 'patient' or 'general-study'.")
    return frozenset(keyword for name in modules for keywords in known[name].values() for keyword in keywords)

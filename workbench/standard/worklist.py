"""Keys of the Modality Worklist model, and identifiers made from them (PS3.4 K.6).

Knows: which key stands in the item and which in its Scheduled Procedure Step, and which are asked for by default.
Does not know: how a worklist is asked or kept.
"""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from pydicom import Dataset
from pydicom.datadict import dictionary_VR

from workbench.errors import QueryKeyInvalid
from workbench.standard.matching_values import named_keys
from workbench.standard.queries import keyword_of, place, steps

__all__ = ["WORKLIST", "worklist_identifier", "worklist_path"]

#: Modality Worklist Information Model - FIND (PS3.4 K.7).
WORKLIST = "1.2.840.10008.5.1.4.31"
_STEP = "ScheduledProcedureStepSequence"


@cache
def _table() -> Mapping[str, Any]:
    text = files("workbench.standard").joinpath("tables", "worklist_keys.json").read_text(encoding="utf-8")
    return MappingProxyType(json.loads(text))


def worklist_path(name: object, *, strict: bool = True) -> list[str]:
    """Return where a key stands in a worklist item, as keywords from the item down.

    Parameters
    ----------
    name : str
        A keyword, a tag or a path; a key of the Scheduled Procedure Step may be named without its sequence.
    strict : bool
        Whether only attributes of PS3.4 Table K.6-1 are keys; others of the same modules may be asked for too (K.6.1.2.2).

    Raises
    ------
    QueryKeyInvalid
        If the model has no such key; the message holds near ones.

    Examples
    --------
    >>> worklist_path("Modality")
    ['ScheduledProcedureStepSequence', 'Modality']
    """
    path = [keyword_of(part) for part in steps(name)]
    step, item = _table()["step"], _table()["item"]
    if path[0] in step:
        return [_STEP, *path]
    if path[0] == _STEP and len(path) > 1 and path[1] in step:
        return path
    if path[0] in item or not strict:
        return path
    near = get_close_matches(path[-1], dict.fromkeys([*step, *item]), n=3, cutoff=0.6)
    hint = f" Do you mean {' or '.join(near)}?" if near else ""
    raise QueryKeyInvalid(f"{'.'.join(path)} is not a key of the Modality Worklist model (PS3.4 K.6.1.2.2).{hint}")


def worklist_identifier(keys: Mapping[str, Any] | None = None, *, only: bool = False) -> Dataset:
    """Return the identifier of a worklist query, checked against the model.

    Parameters
    ----------
    keys : mapping, optional
        What is looked for, as in :func:`workbench.standard.query_identifier`; see :func:`worklist_path` for the names.
    only : bool
        Whether to ask for these keys alone, as a device does, be they in Table K.6-1 or not; by default all that a worklist must
        return are asked for too.

    Returns
    -------
    pydicom.Dataset
        With one item in Scheduled Procedure Step Sequence, and Specific Character Set where a key is not ASCII.

    Raises
    ------
    QueryKeyInvalid
        If a key is unknown or its value can't be matched.

    Examples
    --------
    >>> worklist_identifier({"Modality": "OPT"}).ScheduledProcedureStepSequence[0].Modality
    'OPT'
    """
    identifier, step = Dataset(), Dataset()
    if not only:
        for target, names in ((step, _table()["step"]), (identifier, _table()["item"])):
            for keyword in (name for name, kind in names.items() if not kind.endswith("3")):
                setattr(target, keyword, [] if dictionary_VR(keyword) == "SQ" else None)
    identifier.ScheduledProcedureStepSequence = [step]
    texts = [place(identifier, worklist_path(name, strict=not only), value) for name, value in named_keys(keys).items()]
    if not all(map(str.isascii, texts)):
        identifier.SpecificCharacterSet = "ISO_IR 192"
    return identifier

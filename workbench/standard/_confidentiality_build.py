"""Builds ``tables/confidentiality.json`` from its two sources.

Knows: the table as the package dicom-anonymizer carries it (edition 2026c, basic profile), an extract of edition 2024e with
the columns of the options, and the tables of information object definitions that highdicom carries (edition 2026b).
Does not know: what the actions do.

``python -m workbench.standard._confidentiality_build EXTRACT.json`` writes the table anew.
"""

import importlib
import inspect
import json
import re
import sys
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydicom.datadict import keyword_for_tag

__all__ = ["build", "main", "shaped"]

_LISTS = {
    "D": "D_TAGS", "Z": "Z_TAGS", "X": "X_TAGS", "U": "U_TAGS", "Z/D": "Z_D_TAGS", "X/Z": "X_Z_TAGS", "X/D": "X_D_TAGS",
    "X/Z/D": "X_Z_D_TAGS", "X/Z/U*": "X_Z_U_STAR_TAGS",
}  # fmt: skip
#: columns of the options, in the order of Table E.1-1, and what the extract calls them
OPTIONS = {
    "retain_safe_private": "rtnSafePrivOpt",
    "retain_uids": "rtnUIDsOpt",
    "retain_device_identity": "rtnDevIdOpt",
    "retain_institution_identity": "rtnInstIdOpt",
    "retain_patient_characteristics": "rtnPatCharsOpt",
    "retain_longitudinal_full_dates": "rtnLongFullDatesOpt",
    "retain_longitudinal_modified_dates": "rtnLongModifDatesOpt",
    "clean_descriptors": "cleanDescOpt",
    "clean_structured_content": "cleanStructContOpt",
    "clean_graphics": "cleanGraphOpt",
}
_NAMED = re.compile(r"\((0x[0-9A-Fa-f]{4}), (0x[0-9A-Fa-f]{4})[^)]*\),\s*# (.+)")
_PRIVATE = "00010000/00010000"


def build(extract: list[dict[str, str]]) -> dict[str, Any]:
    """Return the table: basic profile of 2026c, options of 2024e where an attribute was in that edition.

    Parameters
    ----------
    extract : list of dict
        Rows of edition 2024e with their option columns.
    """
    module = importlib.import_module("dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c")
    names = {(int(g, 16), int(e, 16)): name.strip() for g, e, name in _NAMED.findall(inspect.getsource(module))}
    old = {_old_key(row["id"]): row for row in extract}
    rows: dict[str, list[str]] = {}
    for action, attribute in _LISTS.items():
        for tag in getattr(module, attribute):
            key = _key(tag)
            options = old.get(key, {})
            rows[key] = [key, names.get(tag[:2], options.get("name", "")), action, *(options.get(o, "") for o in OPTIONS.values())]
    private = old[_PRIVATE]
    rows.setdefault(_PRIVATE, [_PRIVATE, private["name"], "X", *(private.get(o, "") for o in OPTIONS.values())])
    actions = {keyword: row[2] for key, row in rows.items() if len(key) == 8 and (keyword := keyword_for_tag(int(key, 16)))}
    return {
        "edition": "2026c (basic profile), 2024e (columns of the options), 2026b (types)",
        "source": "PS3.15 Table E.1-1, PS3.3 Annex A",
        "columns": ["tag", "name", "basic", *OPTIONS],
        "rows": [rows[key] for key in sorted(rows)],
        "types": _types(actions),
    }


def _key(tag: tuple[int, ...]) -> str:
    """Return eight hexadecimal digits, with a slash and a mask where the tag is one of a repeating group."""
    number = tag[0] << 16 | tag[1]
    if len(tag) == 2:
        return f"{number:08X}"
    return f"{number:08X}/{tag[2] << 16 | tag[3]:08X}"


def _old_key(identifier: str) -> str:
    if identifier.startswith("gggg"):
        return _PRIVATE
    mask = "".join("0" if c == "x" else "F" for c in identifier)
    tag = identifier.replace("x", "0").upper()
    return tag if mask == "FFFFFFFF" else f"{tag}/{mask}"


def _types(actions: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return for each SOP class the strictest type of the attributes that can't simply be removed, by path.

    Those are attributes whose action depends on their type, and those that are removed or emptied although a module has
    them as type 1 or 2; what stands in a sequence that is removed or emptied itself is left out.
    """
    spec = find_spec("highdicom")  # found, not imported: only its tables are read
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("highdicom is not installed.")
    folder = Path(spec.submodule_search_locations[0]) / "_standard"
    classes, modules, attributes = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("sop_class_iod_map", "iod_module_map", "module_attribute_map")
    )
    found: dict[str, dict[str, str]] = {}
    for uid, iod in sorted(classes.items()):
        types: dict[str, str] = {}
        for module in modules.get(iod, []):
            for attribute in attributes.get(module["key"], []):
                kind, path = attribute["type"], ".".join([*attribute["path"], attribute["keyword"]])
                gone = any(actions.get(around, "") in {"X", "Z"} for around in attribute["path"])
                if not gone and _matters(actions.get(attribute["keyword"], ""), kind) and kind < types.get(path, "9"):
                    types[path] = kind
        found[uid] = dict(sorted(types.items()))
    return found


def _matters(action: str, kind: str) -> bool:
    if "/" in action:
        return kind != "3"
    return kind in {"X": {"1", "2"}, "Z": {"1"}}.get(action, set())


def shaped(table: dict[str, Any]) -> str:
    """Return the table as JSON with one row a line, so that a change of edition reads as a diff."""
    head = {k: v for k, v in table.items() if k not in {"rows", "types"}}
    rows = ",\n".join(" " + json.dumps(row) for row in table["rows"])
    types = ",\n".join(f" {json.dumps(uid)}: {json.dumps(kinds)}" for uid, kinds in table["types"].items())
    return f'{json.dumps(head)[:-1]},\n"rows": [\n{rows}\n],\n"types": {{\n{types}\n}}}}\n'


def main(extract: str) -> None:
    """Write the table that is shipped."""
    table = build(json.loads(Path(extract).read_text()))
    Path(str(files("workbench.standard") / "tables" / "confidentiality.json")).write_text(shaped(table))


if __name__ == "__main__":
    main(sys.argv[1])

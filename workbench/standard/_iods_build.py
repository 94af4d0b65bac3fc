"""Builds ``tables/iods.json`` from the tables that highdicom carries (edition 2026b).

Knows: their form, and which part is kept: attributes at the top level, modules that are mandatory or conditional.
Does not know: what the types are used for.

``python -m workbench.standard._iods_build`` writes the table anew.
"""

import json
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["build", "main", "shaped"]


def build() -> dict[str, Any]:
    """Return the table: storage SOP classes with their IODs, IODs with their modules, modules with their attributes by type."""
    spec = find_spec("highdicom")  # found, not imported: only its tables are read
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("highdicom is not installed.")
    folder = Path(spec.submodule_search_locations[0]) / "_standard"
    classes, iods, modules = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("sop_class_iod_map", "iod_module_map", "module_attribute_map")
    )
    return {
        "edition": "2026b",
        "source": "PS3.3 Annex A (modules with usage M or C), Annex C (attributes at the top level), PS3.4 B.5",
        "classes": dict(sorted(classes.items())),
        "iods": {
            iod: [module["key"] for module in iods[iod] if module["usage"] != "U"]
            for iod in sorted(set(classes.values()) & set(iods))
        },
        "modules": {name: _by_type(rows) for name, rows in sorted(modules.items())},
    }


def _by_type(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        if not row["path"]:
            found.setdefault(row["type"], []).append(row["keyword"])
    return {kind: sorted(set(keywords)) for kind, keywords in sorted(found.items())}


def shaped(table: dict[str, Any]) -> str:
    """Return the table as JSON with one SOP class, IOD or module a line, so that a change of edition reads as a diff."""
    head = ",\n".join(f'"{key}": {json.dumps(table[key])}' for key in ("edition", "source"))
    parts = (
        f'"{key}": {{\n' + ",\n".join(f" {json.dumps(name)}: {json.dumps(value)}" for name, value in table[key].items()) + "\n}"
        for key in ("classes", "iods", "modules")
    )
    return "{" + head + ",\n" + ",\n".join(parts) + "}\n"


def main() -> None:
    """Write the table that is shipped."""
    Path(str(files("workbench.standard") / "tables" / "iods.json")).write_text(shaped(build()), encoding="utf-8")


if __name__ == "__main__":
    main()

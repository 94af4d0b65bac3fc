"""The generated tables made anew: ``python -m workbench.standard.regenerate``.

Knows: pydicom's dictionary of UIDs (PS3.6 A), and the tables beside this file that were read from documents.
Does not know: who uses the tables.
"""

import json
from pathlib import Path
from typing import Any

from pydicom import __dicom_version__
from pydicom._uid_dict import UID_dictionary

__all__ = ["main", "storage_classes_table", "transfer_syntaxes_table"]

TABLES = Path(__file__).parent / "tables"
_ROOT = "1.2.840.10008.1.2"
# PS3.5 10: processes that can lose information; JPIP fetches what the other side has, of any kind
_LOSSY_NUMBERS = (
    *(50, 51, 52, 53, 54, 55, 56, 59, 60, 61, 62, 63, 64, 81, 91, 93, 94, 95, 100, 101, 102, 103, 104, 105, 106, 107, 108),
    *(203, 204, 205, 111, 112, "100.1", "101.1", "102.1", "103.1", "104.1", "105.1", "106.1"),
)
_LOSSY = {f"{_ROOT}.4.{n}" for n in _LOSSY_NUMBERS}
# PS3.5 A.6, A.7: Pixel Data Provider URL takes the place of pixels
_REFERENCED = {f"{_ROOT}.4.{n}" for n in (94, 95, 204, 205)}
_NATIVE = {_ROOT, f"{_ROOT}.1", f"{_ROOT}.1.99", f"{_ROOT}.2", "1.2.840.10008.1.20", "1.3.46.670589.33.1.4.1"}
_DEFLATED = {f"{_ROOT}.1.99", f"{_ROOT}.4.95", f"{_ROOT}.4.205"}
_NO_DATASET = ("RFC2557", "XMLEncoding", "SMPTE")  # not for composite instances in files and C-STORE


def storage_classes_table() -> dict[str, Any]:
    """Return every storage SOP class of PS3.6, retired ones too, and those that documents name."""
    rows = [
        {"uid": uid, "name": name, "origin": "retired" if retired else "standard", "source": _source()}
        for uid, (name, kind, _, retired, _) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and not name.startswith(("Storage Commitment", "Media Storage Directory"))
    ]
    return _table(rows + _named("storage_classes_named.json"))


def transfer_syntaxes_table() -> dict[str, Any]:
    """Return every transfer syntax of PS3.6 in which a dataset can be encoded, and those that documents name."""
    rows = [
        {"uid": uid, "name": name, "origin": "retired" if retired else "standard", "source": _source()}
        for uid, (name, kind, _, retired, keyword) in UID_dictionary.items()
        if kind == "Transfer Syntax" and not keyword.startswith(_NO_DATASET)
    ]
    table = _table(rows + _named("transfer_syntaxes_named.json"))
    for row in table["rows"]:
        uid = row["uid"]
        row["is_explicit"] = uid not in (_ROOT, "1.2.840.10008.1.20")
        row["is_little_endian"] = uid != f"{_ROOT}.2"
        row["is_deflated"] = uid in _DEFLATED
        row["is_encapsulated"] = uid not in _NATIVE | _REFERENCED
        row["is_lossy"] = uid in _LOSSY
    return table


def _source() -> str:
    return f"PS3.6 A, edition {__dicom_version__}"


def _named(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((TABLES / name).read_text(encoding="utf-8"))["rows"]
    return rows


def _table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    unique = {row["uid"]: row for row in rows}  # a named row wins: pynetdicom adds rows to the dictionary when it is imported
    ordered = sorted(unique.values(), key=lambda row: [int(part) for part in row["uid"].split(".")])
    return {
        "edition": f"{__dicom_version__} and later rows as marked",
        "source": "PS3.6 A as pydicom carries it; see each row",
        "rows": ordered,
    }


def main() -> None:
    """Write the generated tables."""
    for name, table in (("storage_classes.json", storage_classes_table()), ("transfer_syntaxes.json", transfer_syntaxes_table())):
        (TABLES / name).write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

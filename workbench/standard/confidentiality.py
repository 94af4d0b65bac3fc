"""Table E.1-1 of PS3.15: what the confidentiality profiles do with each attribute.

Knows: the action codes of the basic profile and of its options.
Does not know: how an action is carried out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType

__all__ = ["ConfidentialityRow", "attribute_type", "confidentiality", "confidentiality_of"]


@dataclass(frozen=True, slots=True)
class ConfidentialityRow:
    """One row of PS3.15 Table E.1-1.

    Parameters
    ----------
    tag : int
        The attribute; of a repeating group or of private attributes the part that `mask` selects.
    name : str
        As the standard writes it.
    basic : str
        Basic profile: ``D``, ``Z``, ``X``, ``U``, or several of them with slashes, to be chosen by the attribute's type.
    retain_safe_private, ..., clean_graphics : str
        ``K`` (keep), ``C`` (clean), or empty: the action of an option in place of the basic one.
    mask : int
        Bits of a tag that have to be those of `tag`.
    """

    tag: int
    name: str
    basic: str
    retain_safe_private: str
    retain_uids: str
    retain_device_identity: str
    retain_institution_identity: str
    retain_patient_characteristics: str
    retain_longitudinal_full_dates: str
    retain_longitudinal_modified_dates: str
    clean_descriptors: str
    clean_structured_content: str
    clean_graphics: str
    mask: int = 0xFFFFFFFF


@cache
def _table() -> dict[str, object]:
    text = files("workbench.standard").joinpath("tables", "confidentiality.json").read_text(encoding="utf-8")
    table: dict[str, object] = json.loads(text)
    if table["columns"] != [f.name for f in fields(ConfidentialityRow)][:-1]:
        raise ValueError("tables/confidentiality.json has other columns than its reader.")
    return table


@cache
def confidentiality() -> Mapping[int, ConfidentialityRow]:
    """Return Table E.1-1 by tag; rows with a mask stand under the bits that it selects.

    Examples
    --------
    >>> confidentiality()[0x00100010].basic
    'Z'
    >>> confidentiality()[0x00180010].clean_descriptors
    'C'
    """
    rows: dict[int, ConfidentialityRow] = {}
    columns = [f.name for f in fields(ConfidentialityRow)][1:-1]
    for key, *texts in _table()["rows"]:  # type: ignore[attr-defined]
        tag, _, mask = key.partition("/")
        row = ConfidentialityRow(int(tag, 16), **dict(zip(columns, texts, strict=True)), mask=int(mask or "FFFFFFFF", 16))
        rows[row.tag] = row
    return MappingProxyType(rows)


@cache
def _masked() -> tuple[ConfidentialityRow, ...]:
    return tuple(row for row in confidentiality().values() if row.mask != 0xFFFFFFFF)


def confidentiality_of(tag: int) -> ConfidentialityRow | None:
    """Return the row that a tag falls under, repeating groups and private attributes included, or None.

    Examples
    --------
    >>> confidentiality_of(0x60023000).name, confidentiality_of(0x00091001).name
    ('Overlay Data', 'Private Attributes')
    >>> confidentiality_of(0x00280010) is None
    True
    """
    if not tag >> 16 & 1 and (row := confidentiality().get(tag)) is not None and row.mask == 0xFFFFFFFF:
        return row
    return next((row for row in _masked() if tag & row.mask == row.tag), None)


def attribute_type(sop_class_uid: str, path: str) -> str:
    """Return the type (``1``, ``1C``, ``2``, ``2C``, ``3``) of an attribute in an IOD (PS3.3 A), or an empty text.

    Only what matters to de-identification is known: attributes whose action in Table E.1-1 depends on their type, and those
    that it removes or empties although a module has them as type 1 or 2. Of several modules the strictest counts.

    Parameters
    ----------
    sop_class_uid : str
        Of the instance.
    path : str
        Keywords with dots: ``SeriesDate``, ``ReferencedRequestSequence.RequestedProcedureID``.

    Returns
    -------
    str
        ``3`` also for attributes at the top level that the IOD does not name; empty for private SOP classes, and in
        sequences for attributes that the IOD does not name there.

    Examples
    --------
    >>> attribute_type("1.2.840.10008.5.1.4.1.1.2", "SeriesDate"), attribute_type("1.2.840.10008.5.1.4.1.1.2", "ContentDate")
    ('3', '2C')
    """
    types: dict[str, dict[str, str]] = _table()["types"]  # type: ignore[assignment]
    known = types.get(sop_class_uid)
    if known is None:
        return ""
    return known.get(path, "" if "." in path else "3")

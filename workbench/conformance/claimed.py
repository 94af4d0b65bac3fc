"""Objects held against a device profile: whether one is what its system says that it creates.

Knows: presence and values as statements give them (PS3.2 A.8.1), and how the rows of a profile are read.
Does not know: the standard's own rules (objects), how an object is made.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

from workbench.devices import Attribute, ObjectClass, Profile, attributes, condition, objects
from workbench.entities import Finding, Findings, Severity
from workbench.errors import InputError

__all__ = ["check_claims"]

_VALUE_TYPE = 0x0040A040
#: What a statement means that gives types (PS3.5 7.4) instead of presence.
_PRESENCE = {"1": "ALWAYS", "2": "VNAP", "1C": "ANAP", "2C": "ANAPEV", "3": "ANAP"}
#: Presence: must it be there, must it have a value where it is.
_RULES: Mapping[str, tuple[bool, bool]] = {
    "ALWAYS": (True, True),
    "VNAP": (True, False),
    "EMPTY": (True, False),
    "ANAP": (False, True),
    "ANAPCV": (False, True),
    "ANAPEV": (False, False),
    "COND": (False, False),
}
#: Where a row with a condition must be there if this is true; the others may be.
_IF_AND_ONLY_IF = frozenset({"COND", "1C", "2C"})


def check_claims(dataset: Dataset, profile: Profile, *, source: str = "") -> Findings:
    """Return where an object is not what a system says that it creates.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The object.
    profile : Profile
        What the system says.
    source : str, optional
        Which table of objects, such as ``Table 99``, where the profile has several of the SOP class; by default the one that
        fits best.

    Returns
    -------
    Findings
        Errors: what is ALWAYS there is lacking or empty, what is EMPTY has a value, a value is none of those that are
        listed. A note names what the tables do not have. Rows of a module that is conditional count where the object has
        something that only this module has; rows of a content item count in items of the value type that they give. None of
        the findings holds a value.

    Raises
    ------
    InputError
        If the profile has no object of this SOP class, or none from that table.

    Notes
    -----
    Where a row has a condition on other attributes of the object, it is held against it: an attribute that is ANAP, COND or of
    type 1C, 2C or 3 may be there only where the condition is true, one that is COND or of type 1C or 2C may be absent only where
    it is false. Not checked are conditions on what an object does not tell: how a system is configured (Laterality of the
    Optos), what worklist or user said, what an image that is referred to is like (frames in presentation states), whether pixels
    are compressed without loss (Derivation Description of the Optos), curved slabs of the Vereos console, and the default
    repertoire in which Specific Character Set is left out.
    """
    uid = str(dataset.get("SOPClassUID", ""))
    claimed = [c for c in objects(profile) if c.uid == uid and source in {"", c.source}]
    if not claimed:
        where = f" in {source}" if source else ""
        raise InputError(f"{profile.title} does not say{where} that it creates objects of the class {uid or '(none)'}.")
    found = [Findings(_against(dataset, profile, one)) for one in claimed]
    return min(found, key=lambda findings: len(findings.errors))


def _against(dataset: Dataset, profile: Profile, claimed: ObjectClass) -> Iterator[Finding]:
    modules = {name: [row for row in attributes(profile, name) if row.tags] for name in claimed.modules}
    elsewhere = {row.tags[0] for name, rows in modules.items() if name not in claimed.conditional for row in rows}
    for name, rows in modules.items():
        own = {row.tags[0] for row in rows} - elsewhere
        if name in claimed.conditional and not any(tag in dataset for tag in own):
            continue
        kinds = {row.tags[:-1]: row for row in rows if row.tags[-1] == _VALUE_TYPE and len(row.tags) > 1 and row.values}
        for row in rows:
            yield from _of_attribute(dataset, row, kinds)
    listed = {row.tags[0] for rows in modules.values() for row in rows}
    more = [BaseTag(tag) for tag in dataset.keys() if tag not in listed]  # noqa: SIM118 - elements would be decoded
    if more:
        names = ", ".join(keyword_for_tag(tag) or str(tag) for tag in more)
        yield Finding(Severity.NOTE, "", "PS3.2 A.8.1", f"{claimed.source} does not have {names}.")


def _presence(attribute: Attribute) -> str:
    return attribute.presence or _PRESENCE.get(attribute.type, "COND")


def _of_attribute(dataset: Dataset, attribute: Attribute, kinds: Mapping[tuple[int, ...], Attribute]) -> Iterator[Finding]:
    *above, tag = attribute.tags
    must_be, must_have = _RULES.get(_presence(attribute), (False, False))
    items = list(_items(dataset, above))
    kind = kinds.get(tuple(above))
    of_kind = [(place, item) for place, item in items if kind is None or _is_of(item, kind)]
    if kind is attribute and items and not of_kind and must_be:
        yield _error(f"{items[0][0]}ValueType", attribute, f"no item is {attribute.value.replace(' | ', ' or ')}")
    for place, item in of_kind:
        where = f"{place}{keyword_for_tag(tag) or BaseTag(tag)}"
        is_due = condition(attribute.condition).holds(item, dataset) if attribute.condition else None
        if tag not in item:
            if must_be or (is_due and (attribute.presence or attribute.type) in _IF_AND_ONLY_IF):
                yield _error(where, attribute, "it is lacking")
            continue
        if is_due is False:
            yield _error(where, attribute, f"it is there, but only if {attribute.condition}")
            continue
        element = item[tag]
        if element.is_empty:
            if must_have:
                yield _error(where, attribute, "it is empty")
        elif _presence(attribute) == "EMPTY":
            yield _error(where, attribute, "it has a value")
        elif attribute.choices and not _is_among(element, attribute.choices):
            yield _error(where, attribute, f"its value is not {attribute.value.replace(' | ', ' or ')}")


def _is_of(item: Dataset, kind: Attribute) -> bool:
    """Whether an item is of the value type that rows are about; one without any is meant too."""
    return str(item.get("ValueType") or kind.values[0]) in kind.values


def _error(where: str, attribute: Attribute, what: str) -> Finding:
    presence = attribute.presence or (f"type {attribute.type}" if attribute.condition else _presence(attribute))
    return Finding(Severity.ERROR, where, "PS3.2 A.8.1", f"{attribute.source} has {attribute.name} as {presence} present: {what}.")


def _items(dataset: Dataset, above: list[int], place: str = "") -> Iterator[tuple[str, Dataset]]:
    """Yield the datasets in which an attribute may stand, each with its path."""
    if not above:
        yield place, dataset
        return
    tag, *below = above
    if tag not in dataset or dataset[tag].VR != "SQ":
        return
    for number, item in enumerate(dataset[tag].value or ()):
        yield from _items(item, below, f"{place}{keyword_for_tag(tag) or BaseTag(tag)}[{number}].")


def _is_among(element: DataElement, choices: tuple[tuple[str, ...], ...]) -> bool:
    values = [str(v) for v in element.value] if element.VM > 1 else [str(element.value)]
    return len(values) == len(choices) and all(any(_is_same(v, c) for c in among) for v, among in zip(values, choices, strict=True))


def _is_same(one: str, other: str) -> bool:
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return one.strip() == other.strip()

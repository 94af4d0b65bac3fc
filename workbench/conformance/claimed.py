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

from workbench.conformance._claimed_values import of_character_set, of_default, unlike
from workbench.devices import Attribute, ObjectClass, Profile, attributes, condition, file_meta, objects
from workbench.entities import Finding, Findings, Severity
from workbench.errors import InputError

__all__ = ["check_claims"]

_VALUE_TYPE = 0x0040A040
_CHARACTER_SET = 0x00080005  # held against sections on character sets too
_GROUP_LENGTH = 0x00020000  # it is counted when a file is written
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


def check_claims(dataset: Dataset, profile: Profile, *, source: str = "", scheduled: bool | None = None) -> Findings:
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
    scheduled : bool, optional
        Whether a worklist item was there for it; an object does not tell. If False, what the system puts in place of worklist
        values counts too.

    Returns
    -------
    Findings
        Errors: what is ALWAYS there is lacking or empty, what is EMPTY has a value, a value is none of those that are
        listed. Notes name what the tables do not have, and what was not looked at. Rows of a module that is conditional count
        where the object has something that only this module has; rows of a content item count in items of the value type that
        they give; private rows count in the block of their creator, wherever it lies (PS3.5 7.8.1). Rows of the file meta
        information are held against `file_meta`, where the object has one: leave it out where another system wrote the file.
        None of the findings holds a value.

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
    are compressed without loss (Derivation Description of the Optos), and curved slabs of the Vereos console. Constraints of a row
    (:func:`workbench.devices.constraint`) are held against it; Specific Character Set against the sets in which the system writes
    such objects (:func:`workbench.devices.repertoire`).
    """
    uid = str(dataset.get("SOPClassUID", ""))
    claimed = [c for c in objects(profile) if c.uid == uid and source in {"", c.source}]
    if not claimed:
        where = f" in {source}" if source else ""
        raise InputError(f"{profile.title} does not say{where} that it creates objects of the class {uid or '(none)'}.")
    found = [Findings(_against(dataset, profile, one, is_unscheduled=scheduled is False)) for one in claimed]
    return min(found, key=lambda findings: len(findings.errors))


def _against(dataset: Dataset, profile: Profile, claimed: ObjectClass, *, is_unscheduled: bool) -> Iterator[Finding]:
    modules = {name: [row for row in attributes(profile, name) if row.tags] for name in claimed.modules}
    elsewhere = {_root(dataset, row) for name, rows in modules.items() if name not in claimed.conditional for row in rows}
    for name, rows in modules.items():
        own = {_root(dataset, row) for row in rows} - elsewhere
        if name in claimed.conditional and not any(tag in dataset for tag in own):
            if any(_presence(row) == "ALWAYS" and len(row.tags) == 1 for row in rows):
                yield _note(f"{rows[0].source} is there under conditions only, and nothing of it is: it was not looked at.")
            continue
        kinds = {row.tags[:-1]: row for row in rows if row.tags[-1] == _VALUE_TYPE and len(row.tags) > 1 and row.values}
        for row in rows:
            yield from _of_attribute(dataset, row, kinds)
    yield from _of_file_meta(dataset, profile, claimed)
    every = [row for rows in modules.values() for row in rows]
    yield from of_character_set(dataset, profile, every, claimed.source)
    for row, wanted in of_default(dataset, every) if is_unscheduled else ():
        yield _error(keyword_for_tag(row.tags[0]), row, f"without a worklist item it is {wanted}")
    listed = {_root(dataset, row) for rows in modules.values() for row in rows}
    more = [BaseTag(tag) for tag in dataset.keys() if tag not in listed]  # noqa: SIM118 - elements would be decoded
    if more:
        names = ", ".join(keyword_for_tag(tag) or str(tag) for tag in more)
        yield _note(f"{claimed.source} does not have {names}.")


def _of_file_meta(dataset: Dataset, profile: Profile, claimed: ObjectClass) -> Iterator[Finding]:
    rows = file_meta(profile, claimed)
    meta = getattr(dataset, "file_meta", None) or Dataset()
    if rows and not len(meta):
        yield _note(f"{rows[0].source} is about file meta information, and the object has none: it was not looked at.")
        return
    for row in rows:
        if row.tags != (_GROUP_LENGTH,):
            yield from _of_attribute(meta, row, {})


def _root(dataset: Dataset, row: Attribute) -> int:
    return _own_tag(dataset, row.tags[0], row.creator)


def _own_tag(item: Dataset, tag: int, creator: str) -> int:
    """Return where an element stands in a dataset: a private one in the block that is reserved for its creator.

    PS3.5 7.8.1; 0, which no dataset has, where its creator has no block.
    """
    group, element = tag >> 16, tag & 0xFFFF
    if not creator or not group % 2:
        return tag
    reserved = next(
        (
            number
            for number in range(0x10, 0x100)
            if (at := group << 16 | number) in item and str(item[at].value).strip() == creator
        ),
        0,
    )
    if not reserved:
        return 0
    return group << 16 | (reserved << 8 | element & 0xFF if element > 0xFF else reserved)


def _presence(attribute: Attribute) -> str:
    return attribute.presence or _PRESENCE.get(attribute.type, "COND")


def _of_attribute(dataset: Dataset, attribute: Attribute, kinds: Mapping[tuple[int, ...], Attribute]) -> Iterator[Finding]:
    *above, tag = attribute.tags
    must_be, must_have = _RULES.get(_presence(attribute), (False, False))
    items = list(_items(dataset, above, attribute.creator))
    kind = kinds.get(tuple(above))
    of_kind = [(place, item) for place, item in items if kind is None or _is_of(item, kind)]
    if kind is attribute and items and not of_kind and must_be:
        yield _error(f"{items[0][0]}ValueType", attribute, f"no item is {attribute.value.replace(' | ', ' or ')}")
    for place, item in of_kind:
        where = f"{place}{keyword_for_tag(tag) or BaseTag(tag)}"
        is_due = condition(attribute.condition).holds(item, dataset) if attribute.condition else None
        at = _own_tag(item, tag, attribute.creator)
        if at not in item:
            if must_be or (is_due and (attribute.presence or attribute.type) in _IF_AND_ONLY_IF):
                yield _error(where, attribute, "it is lacking")
            continue
        if is_due is False:
            yield _error(where, attribute, f"it is there, but only if {attribute.condition}")
            continue
        element = item[at]
        if element.is_empty:
            if must_have:
                yield _error(where, attribute, "it is empty")
        elif _presence(attribute) == "EMPTY":
            yield _error(where, attribute, "it has a value")
        elif attribute.choices and tag != _CHARACTER_SET and not _is_among(element, attribute.choices):
            yield _error(where, attribute, f"its value is not {attribute.value.replace(' | ', ' or ')}")
        if what := unlike(attribute, item, at, dataset):
            yield _error(where, attribute, what)


def _is_of(item: Dataset, kind: Attribute) -> bool:
    """Whether an item is of the value type that rows are about; one without any is meant too."""
    return str(item.get("ValueType") or kind.values[0]) in kind.values


def _error(where: str, attribute: Attribute, what: str) -> Finding:
    presence = attribute.presence or (f"type {attribute.type}" if attribute.condition else _presence(attribute))
    return Finding(Severity.ERROR, where, "PS3.2 A.8.1", f"{attribute.source} has {attribute.name} ({presence}): {what}.")


def _note(message: str) -> Finding:
    return Finding(Severity.NOTE, "", "PS3.2 A.8.1", message)


def _items(dataset: Dataset, above: list[int], creator: str, place: str = "") -> Iterator[tuple[str, Dataset]]:
    """Yield the datasets in which an attribute may stand, each with its path."""
    if not above:
        yield place, dataset
        return
    first, *below = above
    tag = _own_tag(dataset, first, creator)
    if tag not in dataset or dataset[tag].VR != "SQ":
        return
    for number, item in enumerate(dataset[tag].value or ()):
        yield from _items(item, below, creator, f"{place}{keyword_for_tag(tag) or BaseTag(tag)}[{number}].")


def _is_among(element: DataElement, choices: tuple[tuple[str, ...], ...]) -> bool:
    values = _values(element)
    return len(values) == len(choices) and all(any(_is_same(v, c) for c in among) for v, among in zip(values, choices, strict=True))


def _values(element: DataElement) -> list[str]:
    r"""Return the values of an element as text; bytes as ``00\01``, but text where the VR of a private element is not known."""
    if isinstance(element.value, bytes):
        is_text = element.VR == "UN"
        return element.value.decode("latin-1").strip(" \0").split("\\") if is_text else [f"{byte:02X}" for byte in element.value]
    return [str(v) for v in element.value] if element.VM > 1 else [str(element.value)]


def _is_same(one: str, other: str) -> bool:
    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:
        return one.strip() == other.strip()

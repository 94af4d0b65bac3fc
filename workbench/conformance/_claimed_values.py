"""Values of an object held against what a statement says beyond lists: constraints, defaults, character sets.

Knows: constraints and defaults of rows (workbench.devices), and where Specific Character Set (0008,0005) is looked for.
Does not know: presence and listed values (claimed).
"""

from collections.abc import Iterable, Iterator

from pydicom import Dataset

from workbench.devices import Attribute, Profile, constraint, default, repertoire
from workbench.entities import Finding, Severity

__all__ = ["of_character_set", "of_default", "unlike"]

_CHARACTER_SET = 0x00080005


def unlike(attribute: Attribute, item: Dataset, tag: int, whole: Dataset) -> str:
    """Return in words which constraint an attribute that is there does not fulfil; empty where it fulfils all."""
    if not attribute.constraint or constraint(attribute.constraint).holds(item, tag, whole):
        return ""
    return f"its value is not {attribute.constraint}"


def of_default(dataset: Dataset, rows: Iterable[Attribute]) -> Iterator[tuple[Attribute, str]]:
    """Yield rows whose value is not what the system puts there where nothing is scheduled, and what it puts there."""
    for row in rows:
        if row.otherwise and len(row.tags) == 1 and "MWL" in row.origins:
            value = dataset[row.tags[0]].value if row.tags[0] in dataset else None
            if not default(row.otherwise).holds(value):
                yield row, row.otherwise


def of_character_set(dataset: Dataset, profile: Profile, rows: Iterable[Attribute], source: str) -> Iterator[Finding]:
    """Yield an error where Specific Character Set is none of those in which the system writes these objects."""
    terms = repertoire(profile, str(dataset.SOPClassUID), rows)
    if not terms or _CHARACTER_SET not in dataset:
        return
    element = dataset[_CHARACTER_SET]
    used = {str(term) for term in (element.value if element.VM > 1 else [element.value]) if term}
    if used <= set(terms):
        return
    listed = " or ".join(term or "the default repertoire, without it" for term in terms)
    where = next((table.source for table in profile.of_kind("character_sets")), source)
    yield Finding(
        Severity.ERROR, "SpecificCharacterSet", "PS3.2 A.6", f"{source} with {where} has text in {listed}: it is in another one."
    )

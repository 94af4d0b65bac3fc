r"""Specific Character Set (0008,0005) of a request, where who asks says which (PS3.3 C.12.1.1.2).

Knows: which terms there are and how they go together, and whether they have the characters of a request.
Does not know: which one a system has (its profile does), how text is encoded (files).
"""

from pydicom.dataset import Dataset

from workbench.errors import InputError
from workbench.files import character_sets

__all__ = ["declare", "is_written_in"]

_SEVERAL = "ISO 2022"


def declare(identifier: Dataset, character_set: str | None) -> None:
    r"""Have an identifier that was made here say its character set, if one is chosen.

    Parameters
    ----------
    identifier : Dataset
        Changed in place.
    character_set : str or None
        Defined terms with backslashes between them; empty for the default repertoire, which has no attribute; None for what the
        identifier says.

    Raises
    ------
    InputError
        If there is no such set, or it lacks characters of the identifier.
    """
    if character_set is None:
        return
    terms = _terms(character_set)
    if not is_written_in(identifier, character_set):
        named = character_set or "the default repertoire (ASCII)"
        raise InputError(f"The keys have characters that {named} does not have (PS3.5 6.1). 'ISO_IR 192' has all.")
    if character_set:
        identifier.SpecificCharacterSet = terms if len(terms) > 1 else character_set
    elif "SpecificCharacterSet" in identifier:
        del identifier.SpecificCharacterSet


def _terms(character_set: str) -> list[str]:
    given: object = character_set
    if not isinstance(given, str):
        raise InputError(rf"character_set is text, such as 'ISO_IR 100' or '\ISO 2022 IR 87', not {type(given).__name__}.")
    first, *others = terms = character_set.split("\\")
    unknown = [term for term in (*filter(None, [first]), *others) if term not in character_sets.TERMS]
    if unknown:
        raise InputError(
            f"{unknown[0][:32]!r} is no defined term of Specific Character Set (PS3.3 C.12.1.1.2), such as 'ISO_IR 192'."
        )
    if others and not all(term.startswith(_SEVERAL) for term in filter(None, terms)):
        raise InputError("Of several terms each is one with code extensions, such as 'ISO 2022 IR 87' (PS3.3 C.12.1.1.2).")
    if first in character_sets.MULTI_BYTE:
        raise InputError(rf"{first!r} is not the first term: write '\{first}' (PS3.3 C.12.1.1.2).")
    return terms


def is_written_in(dataset: Dataset, character_set: str) -> bool:
    """Whether a set, as terms with backslashes between them, has all characters of a dataset and of its items."""
    return all(
        all(is_written_in(item, character_set) for item in e.value)
        if e.VR == "SQ"
        else character_sets.holds(str(e.value), character_set)
        for e in dataset
        if e.keyword != "SpecificCharacterSet"
    )

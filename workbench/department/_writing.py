"""In which character set the text of a created object is written.

Knows: what a statement lists for its objects, and which of that can write a text (PS3.3 C.12.1.1.2, PS3.5 6.1.2.5).
Does not know: what the text says.

Text that is ASCII is written in the default repertoire, without Specific Character Set (0008,0005), where the statement has it;
other text in the first listed set that has all of its characters. Where none has them, the statement can't be obeyed and the name
be kept. The name is kept: it is written in another set that the system has, else in Unicode, and :func:`beyond` says so.
"""

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset

from workbench.devices import Attribute, Profile, attributes, objects, repertoire
from workbench.files.character_sets import MULTI_BYTE, TEXT_VRS, NotEncodable, encoded, encodings_of_terms, is_ascii

__all__ = ["beyond", "write_in"]

_UNICODE = "ISO_IR 192"
#: Sets without any other characters than those of the default repertoire.
_DEFAULT = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})


def write_in(dataset: Dataset, profile: Profile, rows: Iterable[Attribute]) -> None:
    """Give an object the Specific Character Set in which the system writes it, or none.

    Parameters
    ----------
    dataset : Dataset
        With all of its text.
    profile : Profile
        Whose object.
    rows : iterable of Attribute
        The modules of its IOD.
    """
    value = _value(dataset, repertoire(profile, str(dataset.get("SOPClassUID", "")), rows), profile)
    if value:
        dataset.SpecificCharacterSet = value
    else:
        dataset.pop("SpecificCharacterSet", None)


def _value(dataset: Dataset, terms: Sequence[str], profile: Profile) -> str | list[str]:
    now = dataset.get("SpecificCharacterSet") or ""
    if not terms:  # a copy is written as its source is
        terms = (now,) if isinstance(now, str) else tuple(now)
        terms = tuple(term for term in terms if term) or ("",)
    if "" in terms and is_ascii(dataset):
        return ""
    written = next((term for term in terms if _can_write(dataset, term)), None)
    if written is None:
        others = [str(row["term"]) for table in profile.of_kind("character_sets") for row in table.records()]
        written = next((term for term in others if _can_write(dataset, term)), _UNICODE)
    return ["", written] if written in MULTI_BYTE else written


def _can_write(dataset: Dataset, term: str) -> bool:
    if term in _DEFAULT:
        return is_ascii(dataset)
    encodings = encodings_of_terms(["", term] if term in MULTI_BYTE else term)
    try:
        for element in dataset.iterall():
            if element.VR in TEXT_VRS and not element.is_empty:
                for value in element.value if element.VM > 1 else [element.value]:
                    encoded(str(value), encodings, vr=element.VR)
    except NotEncodable:
        return False
    return True


def beyond(profile: Profile, made: Iterable[Dataset]) -> str:
    """Return in words how many objects have text that their statement's character sets can't write; empty where none has.

    Examples
    --------
    >>> from workbench.devices import profile
    >>> dataset = Dataset()
    >>> dataset.SOPClassUID, dataset.PatientName = "1.2.840.10008.5.1.4.1.1.77.1.5.1", "Jörg"
    >>> dataset.SpecificCharacterSet = "ISO_IR 100"
    >>> beyond(profile("optos-v2-vantage"), [dataset])
    '1 object holds text that the default repertoire does not have, and is written in ISO_IR 100 instead (PS3.2 A.6).'
    """
    listed: dict[str, tuple[str, ...]] = {}
    found: list[tuple[str, tuple[str, ...]]] = []
    for dataset in made:
        uid, now = str(dataset.SOPClassUID), dataset.get("SpecificCharacterSet") or ""
        terms = listed.setdefault(uid, _terms(profile, uid))
        used = [now] if isinstance(now, str) else [str(term) for term in now if term]
        if terms and not set(used) <= {*terms, ""}:
            found.append((used[-1], terms))
    if not found:
        return ""
    has = " or ".join(dict.fromkeys(term or "the default repertoire" for _, terms in found for term in terms))
    holds, are = ("hold", "are") if len(found) > 1 else ("holds", "is")
    sets = " or ".join(sorted({term for term, _ in found}))
    return (
        f"{counted(len(found), 'object')} {holds} text that {has} does not have, and {are} written in {sets} instead (PS3.2 A.6)."
    )


def _terms(profile: Profile, uid: str) -> tuple[str, ...]:
    """Return the sets of all objects of a SOP class; nothing where one of them may be in any."""
    each = [repertoire(profile, uid, attributes(profile, *one.modules)) for one in objects(profile) if one.uid == uid]
    return tuple(dict.fromkeys(term for terms in each for term in terms)) if all(each) else ()

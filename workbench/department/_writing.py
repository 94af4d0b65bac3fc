"""In which character set the text of a created object is written.

Knows: what a statement lists for its objects, and which of that can write a text (PS3.3 C.12.1.1.2, PS3.5 6.1.2.5).
Does not know: what the text says.

Text that is ASCII is written in the default repertoire, without Specific Character Set (0008,0005), where the statement has it;
other text in the first listed set that has all of its characters, after the sets of its source where several are listed. Where
none is listed for a copy, it is written as its source is. Where none has them, the statement can't be obeyed and the name
be kept. The name is kept: it is written in another set that the system has, else in Unicode, and :func:`beyond` says so.
"""

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset

from workbench.devices import Attribute, Profile, attributes, objects, repertoire
from workbench.entities import counted
from workbench.files.character_sets import MULTI_BYTE, TERMS, TEXT_VRS, NotEncodable, encoded, encodings_of_terms, is_ascii

__all__ = ["beyond", "terms_of", "write_in"]

_UNICODE = "ISO_IR 192"
#: Sets without any other characters than those of the default repertoire.
_DEFAULT = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})


def write_in(dataset: Dataset, profile: Profile, rows: Iterable[Attribute], *, source: Sequence[str] = ()) -> None:
    """Give an object the Specific Character Set in which the system writes it, or none.

    Parameters
    ----------
    dataset : Dataset
        With all of its text.
    profile : Profile
        Whose object.
    rows : iterable of Attribute
        The modules of its IOD.
    source : sequence of str
        Terms of what its text is copied from; without it those that it has itself.
    """
    terms = repertoire(profile, str(dataset.get("SOPClassUID", "")), rows)
    value = _value(dataset, terms, profile, source=tuple(source) or terms_of(dataset))
    if any(value):
        dataset.SpecificCharacterSet = value[0] if len(value) == 1 else list(value)
    else:
        dataset.pop("SpecificCharacterSet", None)


def terms_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the terms of Specific Character Set (0008,0005); one that is empty where there are none."""
    value = dataset.get("SpecificCharacterSet") or ""
    return _whole((value,) if isinstance(value, str) else tuple(value))


def _whole(terms: tuple[str, ...]) -> tuple[str, ...]:
    """Return terms with the default repertoire before one that can't be the first."""
    return ("", *terms) if terms[0] in MULTI_BYTE else terms


def _value(dataset: Dataset, terms: Sequence[str], profile: Profile, *, source: tuple[str, ...]) -> tuple[str, ...]:
    if "" in terms and is_ascii(dataset):
        return ("",)
    if not terms:  # a copy is written as its source is
        tried = [source, *((term,) for term in source if term)]
    else:  # several of the sets listed may go together where they do so in the source
        is_listed = len(source) > 1 and set(source) <= {*terms, ""}
        tried = [*([source] if is_listed else []), *((term,) for term in terms)]
    others = [(str(row["term"]),) for table in profile.of_kind("character_sets") for row in table.records()]
    return next((value for value in map(_whole, [*tried, *others]) if _can_write(dataset, value)), (_UNICODE,))


def _can_write(dataset: Dataset, terms: Sequence[str]) -> bool:
    if set(terms) <= _DEFAULT:
        return is_ascii(dataset)
    if not set(terms) <= TERMS | _DEFAULT:
        return False
    encodings = encodings_of_terms(terms)
    try:
        for element in dataset.iterall():
            if element.VR in TEXT_VRS and not element.is_empty:
                for value in element.value if element.VM > 1 else [element.value]:
                    encoded(str(value), encodings, vr=element.VR)
    except NotEncodable:
        return False
    return True


def beyond(profile: Profile, made: Iterable[Dataset], sources: Iterable[Dataset] = ()) -> str:
    """Return in words how many objects have text that their statement's character sets can't write; empty where none has.

    Parameters
    ----------
    profile : Profile
        Whose objects.
    made : iterable of Dataset
        The objects.
    sources : iterable of Dataset
        What copies were made from: where the statement lists no set for an object, it is written in one of theirs.

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
    copied = list(dict.fromkeys(map(terms_of, sources)))
    found: list[tuple[str, tuple[str, ...]]] = []
    for dataset in made:
        uid, used = str(dataset.SOPClassUID), terms_of(dataset)
        terms = listed.setdefault(uid, _terms(profile, uid))
        is_beyond = not set(used) <= {*terms, ""} if terms else copied and not any(_can_write(dataset, one) for one in copied)
        if is_beyond:
            found.append((used[-1], terms or tuple(map("\\".join, copied))))
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

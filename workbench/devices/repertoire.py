"""In which character sets a system writes the text of what it creates (PS3.2 A.6, PS3.3 C.12.1.1.2).

Knows: what a statement lists, for which objects, and what the row of an IOD says of Specific Character Set (0008,0005).
Does not know: text, and which of them can write it.
"""

from collections.abc import Iterable, Iterator

from pydicom.uid import UID

from workbench.devices.claims import Attribute
from workbench.devices.profile import Profile

__all__ = ["repertoire"]

_CHARACTER_SET = "(0008,0005)"


def repertoire(profile: Profile, uid: str, rows: Iterable[Attribute] = ()) -> tuple[str, ...]:
    """Return the terms with which a system writes its objects of a SOP class, the first choice first.

    Parameters
    ----------
    profile : Profile
        Which system.
    uid : str
        SOP class.
    rows : iterable of Attribute
        The modules of its IOD: a row of Specific Character Set with values is what the system writes.

    Returns
    -------
    tuple of str
        Defined terms; an empty one is the default repertoire, without the attribute. Nothing where a copy is written as its
        source is: with any.

    Examples
    --------
    >>> from workbench.devices import profile
    >>> repertoire(profile("optos-v2-vantage"), "1.2.840.10008.5.1.4.1.1.77.1.5.1")
    ('',)
    """
    row = next((row for row in rows if row.path == _CHARACTER_SET), None)
    listed = tuple(dict.fromkeys(_listed(profile, uid)))
    if row is None:
        return listed
    if "COPY" in row.origins:
        return ()
    if row.choices:
        listed = (*(term for term in listed if not term), *row.choices[0])
    is_always = row.presence == "ALWAYS" or row.type == "1"
    return tuple(term for term in listed if term or not is_always)


def _listed(profile: Profile, uid: str) -> Iterator[str]:
    for table in profile.of_kind("character_sets"):
        for row in table.records():
            if row.get("use", "") in {"", UID(uid).name}:
                yield str(row["term"])

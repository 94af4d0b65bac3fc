"""In which character sets a system asks and tells, by its statement (PS3.2 A.6, PS3.3 C.12.1.1.2).

Knows: which sets a statement lists for a service, and which of them has the characters of a text.
Does not know: how text is encoded (files), which set an object is written in (creating).
"""

from collections.abc import Iterable

from workbench.devices import Profile, repertoire
from workbench.errors import InputError
from workbench.files.character_sets import MULTI_BYTE, holds

__all__ = ["character_set_for"]


def character_set_for(profile: Profile, uid: str, texts: Iterable[object], *, is_listed: bool) -> str | None:
    """Return the Specific Character Set (0008,0005) in which a system asks or tells: the first of its statement that has the text.

    Parameters
    ----------
    profile : Profile
        Which system.
    uid : str
        SOP class of what is asked or told: a statement may list sets for one alone.
    texts : iterable
        Values; None is none.
    is_listed : bool
        Whether the system sends the attribute in any case, as its table of keys or attributes has it.

    Returns
    -------
    str or None
        Terms with backslashes between them; None where the attribute is not sent: all is ASCII and it is not listed, or the
        statement lists no sets.

    Raises
    ------
    InputError
        If no set of the statement has the text.
    """
    given = [str(text) for text in texts if text is not None]
    terms, source = _listed(profile, uid)
    if not terms or (not is_listed and all(map(str.isascii, given))):
        return None
    for term in terms:
        if all(holds(text, term) for text in given):
            return term
    has = ", ".join(term or "the default repertoire" for term in terms)
    raise InputError(f"{profile.title} has no character set for this text. It has {has} ({source}).")


def _listed(profile: Profile, uid: str) -> tuple[list[str], str]:
    """Return the sets of a service, as the attribute names them, and where the statement lists them."""
    terms = [f"\\{term}" if term in MULTI_BYTE else term for term in repertoire(profile, uid)]
    return terms, " and ".join(table.source for table in profile.of_kind("character_sets"))

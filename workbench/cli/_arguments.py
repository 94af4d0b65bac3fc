"""What several commands take as arguments.

Knows: how a key with its value, or an instance, is written on a command line.
Does not know: commands.
"""

from collections.abc import Iterable

from workbench.entities import plain
from workbench.errors import InputError

__all__ = ["keys_of"]


def keys_of(pairs: Iterable[str] | None) -> dict[str, str]:
    """Return the keys of ``KEYWORD=VALUE`` arguments.

    Examples
    --------
    >>> keys_of(["PatientName=DOE*"])
    {'PatientName': 'DOE*'}
    """
    found = {}
    for pair in pairs or ():
        keyword, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"A query key is written KEYWORD=VALUE, such as PatientName='DOE*'; {plain(keyword)!r} has no '='.")
        found[keyword] = value
    return found

"""How a system is configured: the parameters of its statement that change what it creates.

Knows: parameters, their defaults and the values that a statement lists for them.
Does not know: what becomes of a setting.
"""

from collections.abc import Mapping

from pydicom.uid import UID

from workbench.devices import Profile, parameters
from workbench.entities import plain
from workbench.errors import InputError

__all__ = ["configured_syntaxes"]

_TRANSFER_SYNTAX = "transfer syntax"


def configured_syntaxes(profile: Profile, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the transfer syntax in which each entity creates its images, where its statement has a parameter for that.

    Parameters
    ----------
    settings : mapping of str to str
        Values by parameter, instead of the defaults.

    Raises
    ------
    InputError
        If there is no such parameter, or the statement does not list the value.
    """
    rows = [row for row in parameters(profile) if row.parameter == _TRANSFER_SYNTAX and row.configurable and row.values]
    for name, value in settings.items():
        if name != _TRANSFER_SYNTAX or not rows:
            has = f"its setting here is {_TRANSFER_SYNTAX!r}" if rows else "it has none that can be set here"
            raise InputError(f"{profile.title} has no setting {plain(str(name))[:32]!r}: {has}.")
        for row in rows:
            if str(value) not in row.values:
                listed = ", ".join(f"{uid} ({UID(uid).name})" for uid in row.values)
                raise InputError(
                    f"{profile.title} can't be set to the {name} {plain(str(value))[:64]!r}: its statement lists {listed} "
                    f"({row.source})."
                )
    return {row.entity: str(settings.get(_TRANSFER_SYNTAX, row.default)) for row in rows}

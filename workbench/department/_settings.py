"""How a system is configured: the parameters of its statement that change what it creates.

Knows: parameters, their defaults and the values that a statement lists for them.
Does not know: what becomes of a setting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom.uid import UID

from workbench.devices import Profile, parameters
from workbench.entities import plain
from workbench.errors import InputError

__all__ = ["Settings", "configured"]

_TRANSFER_SYNTAX, _MODALITY = "transfer syntax", "modality"


@dataclass(frozen=True)
class Settings:
    """What a system is set to.

    Parameters
    ----------
    syntaxes : mapping of str to str
        Transfer syntax in which each entity creates its images, where its statement has a parameter for that.
    modality : str
        Modality (0008,0060) of what it creates; empty where the order, or else the statement, decides.
    """

    syntaxes: Mapping[str, str] = field(default_factory=dict)
    modality: str = ""


def configured(profile: Profile, settings: Mapping[str, str]) -> Settings:
    """Return what a system is set to: the defaults of its statement, and `settings` by the names of its parameters.

    Raises
    ------
    InputError
        If there is no such parameter, or the statement does not list the value.
    """
    can_be_set = [
        row for row in parameters(profile) if row.parameter in {_TRANSFER_SYNTAX, _MODALITY} and row.configurable and row.values
    ]
    for name, value in settings.items():
        rows = [row for row in can_be_set if row.parameter == name]
        if not rows:
            names = " and ".join(repr(each) for each in dict.fromkeys(row.parameter for row in can_be_set))
            has = f"what can be set here is {names}" if names else "it has none that can be set here"
            raise InputError(f"{profile.title} has no setting {plain(str(name))[:32]!r}: {has}.")
        for row in rows:
            if str(value) not in row.values:
                listed = ", ".join(f"{one} ({UID(one).name})" if name == _TRANSFER_SYNTAX else one for one in row.values)
                raise InputError(
                    f"{profile.title} can't be set to the {name} {plain(str(value))[:64]!r}: its statement lists {listed} "
                    f"({row.source})."
                )
    syntaxes = [row for row in can_be_set if row.parameter == _TRANSFER_SYNTAX]
    return Settings(
        {row.entity: str(settings.get(_TRANSFER_SYNTAX, row.default)) for row in syntaxes}, str(settings.get(_MODALITY, ""))
    )

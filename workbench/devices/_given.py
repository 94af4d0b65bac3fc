"""Whose claims are asked for, and which: a profile or its name, and words that it has.

Knows: what a profile has of entities, activities, roles and SOP classes.
Does not know: what its tables say of them.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from pydicom._uid_dict import UID_dictionary

from workbench.devices.catalog import profile as of_name
from workbench.devices.parts import ROLES
from workbench.devices.profile import Profile
from workbench.entities import plain
from workbench.errors import InputError

__all__ = ["of_a_profile"]

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")


def of_a_profile(reader: Callable[Concatenate[Profile, _Asked], _Answer]) -> Callable[Concatenate[Profile | str, _Asked], _Answer]:
    """Let a function of a profile take the profile's name too, roles in any case, and no entity, activity or class that it lacks.

    Raises
    ------
    ProfileUnknown
        If there is no profile of that name.
    InputError
        If it is no profile, or lacks what is asked for; the message holds what there is. Nothing is found where something is
        misspelt, and that must not look as if nothing were claimed.
    """

    @wraps(reader)
    def reading(profile: Profile | str, /, *args: _Asked.args, **asked: _Asked.kwargs) -> _Answer:
        if isinstance(profile, str):
            profile = of_name(profile)
        if not isinstance(profile, Profile):
            raise InputError(f"A profile is one of workbench.devices.profile(name), or its name, not a {type(profile).__name__}.")
        return reader(profile, *args, **_checked(profile, asked))

    return reading


def _checked(profile: Profile, asked: Any) -> Any:
    if asked.get("role"):
        asked["role"] = str(asked["role"]).upper()
        _among(profile, "role", asked["role"], ROLES[1:])
    if entity := asked.get("entity"):
        _among(profile, "entity", entity, [*(e.id for e in profile.entities), *(t.entity for t in profile.tables)])
    if activity := asked.get("activity"):
        _among(profile, "activity", activity, [*(a.name for a in profile.activities), *(t.activity for t in profile.tables)])
    if (uid := asked.get("uid")) and uid not in UID_dictionary:
        _among(profile, "SOP class", uid, [table.uid for table in profile.of_kind("keys")])
    return asked


def _among(profile: Profile, what: str, given: object, known: Iterable[str]) -> None:
    names = list(dict.fromkeys(filter(None, known)))
    if given not in names:
        has = ", ".join(f"'{name}'" for name in names) or "none"
        raise InputError(f"Profile '{profile.name}' has no {what} {plain(str(given))[:64]!r}. There are: {has}.")

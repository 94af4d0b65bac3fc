"""The profiles that come with the workbench.

Knows: where they lie: one in NAME.toml, with more of its tables in NAME.PART.toml where they are many.
Does not know: what they say.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from workbench.devices.profile import Profile
from workbench.devices.reading import load
from workbench.errors import InputError, ProfileUnknown

__all__ = ["names", "profile", "profiles"]


@cache
def names() -> tuple[str, ...]:
    """Return the names of all profiles, sorted; reads no profile.

    Examples
    --------
    >>> "topcon-sp1p" in names()
    True
    """
    return tuple(stem for stem in _stems() if "." not in stem)


def profile(name: str) -> Profile:
    """Return a profile by its name, or by the beginning of it where no other begins so; it is read once.

    Raises
    ------
    InputError
        If `name` is no text.
    ProfileUnknown
        If there is none of that name; the message holds the near ones.

    Examples
    --------
    >>> profile("optos").name
    'optos-v2-vantage'
    """
    if not isinstance(name, str):
        raise InputError(f"A device profile is named by a str such as 'optos-v2-vantage', not by {type(name).__name__}.")
    return _profile(name)


@cache
def _profile(name: str) -> Profile:
    begin = [each for each in names() if name and each.startswith(name)]
    if name not in names() and len(begin) == 1:
        return _profile(begin[0])
    if name not in names():
        near = get_close_matches(name, names(), n=1)
        meant = f" Did you mean '{near[0]}'?" if near else ""
        raise ProfileUnknown(f"There is no device profile '{name}'.{meant} There are: {', '.join(names())}.")
    parts = [stem for stem in _stems() if stem.startswith(f"{name}.")]
    return load(*(_text(stem) for stem in (name, *parts)))


def profiles() -> Mapping[str, Profile]:
    """Return all profiles by name."""
    return MappingProxyType({name: profile(name) for name in names()})


def _stems() -> list[str]:
    found = (entry.name for entry in (files("workbench.devices") / "profiles").iterdir())
    return sorted(entry.removesuffix(".toml") for entry in found if entry.endswith(".toml"))


def _text(stem: str) -> str:
    return (files("workbench.devices") / "profiles" / f"{stem}.toml").read_text(encoding="utf-8")

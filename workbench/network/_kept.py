"""Secrets where they are kept: environment variables, files of their owner, the keyring.

Knows: how a place is written (:class:`workbench.entities.Identity`), and when a file is private.
Does not know: what a secret is for; it never stores or shows one.
"""

import importlib
import os
import stat
from pathlib import Path

from workbench.errors import KeyRefused, ToolMissing

__all__ = ["kept"]

_LIMIT_BYTES = 65_535  # a field of User Identity Negotiation has a length of 16 bits (PS3.7 D.3.3.7.1)


def kept(place: str) -> bytes:
    """Return the secret that is kept at `place`.

    Parameters
    ----------
    place : str
        ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``. Of a file, the line end at its end is left out.

    Raises
    ------
    KeyRefused
        If there is none, it is empty or longer than 65535 bytes, or others can read it.
    ToolMissing
        If the package keyring is wanted and not installed.
    """
    kind, _, name = place.partition(":")
    found = {"env": _from_environment, "file": _from_file, "keyring": _from_keyring}[kind](name)
    if not 0 < len(found) <= _LIMIT_BYTES:
        raise KeyRefused(f"The secret at {place!r} is {'empty' if not found else 'too long to be one'}.")
    return found


def _from_environment(name: str) -> bytes:
    if (value := os.environ.get(name)) is None:
        raise KeyRefused(f"The environment variable {name} is not set; it is to hold the secret.")
    return value.encode()


def _from_file(name: str) -> bytes:
    path = Path(name).expanduser()
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise KeyRefused(f"{path} is not a file.")
        if os.name == "posix" and state.st_mode & 0o077:
            raise KeyRefused(f"Others can read {path} (mode {state.st_mode & 0o777:o}). Make it private: chmod 600.")
        with path.open("rb") as file:
            return file.read(_LIMIT_BYTES + 2).removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise KeyRefused(f"The secret in {path} can't be read: {error.strerror}.") from None


def _from_keyring(name: str) -> bytes:
    service, _, user = name.partition("/")
    try:
        keyring = importlib.import_module("keyring")
    except ImportError:
        raise ToolMissing(
            "A secret in the keyring needs the package keyring: 'pip install keyring', or keep it in an environment variable "
            "(env:NAME) or a private file (file:PATH)."
        ) from None
    value = keyring.get_password(service, user)
    if value is None:
        raise KeyRefused(f"The keyring has no entry for {user!r} of {service!r}: 'keyring set {service} {user}' makes it.")
    return str(value).encode()

"""The secret that makes new UIDs, pseudonyms and date shifts consistent.

Knows: HMAC, and how a secret is kept.
Does not know: datasets.
"""

import base64
import hashlib
import hmac
import os
import secrets
import stat
import uuid
from pathlib import Path
from typing import Any, NoReturn

from workbench.errors import KeyRefused
from workbench.files import write_whole

__all__ = ["Keys"]

_LENGTH = 32


class Keys:
    """A secret key that shows itself to nobody: not in ``repr``, not in a notebook, not in a pickle.

    Make one with :meth:`create`, keep the file, and use it for every release of the same project: the same patient, study
    and instance then get the same new identity in every file, run and process, and without the key nobody finds back.
    """

    __slots__ = ("_secret",)
    _secret: bytes

    def __init__(self) -> NoReturn:
        raise KeyRefused("A key comes from Keys.create(path) or Keys.load(path).")

    @classmethod
    def _of(cls, secret: bytes) -> "Keys":
        keys = object.__new__(cls)
        keys._secret = secret
        return keys

    @classmethod
    def create(cls, path: Path | str) -> "Keys":
        """Write a new random key of 32 bytes to a file that only its owner can read, and return it.

        Raises
        ------
        KeyRefused
            If the file is already there: overwriting a key would make earlier releases unrelated to later ones.
        """
        try:
            write_whole(path, secrets.token_bytes(_LENGTH), exist_ok=False, mode=0o600)
        except FileExistsError:
            raise KeyRefused(f"{Path(path).name} is already there; load it with Keys.load, or choose another name.") from None
        return cls.load(path)

    @classmethod
    def load(cls, path: Path | str) -> "Keys":
        """Return the key of a file.

        Raises
        ------
        KeyRefused
            If there is no such file, if it is too short, or if others than its owner can read it.
        """
        path = Path(path)
        try:
            state = path.stat()
        except OSError:
            raise KeyRefused(f"There is no key file {path.name}; Keys.create makes one.") from None
        if not stat.S_ISREG(state.st_mode):
            raise KeyRefused(f"{path.name} is not a file.")
        if os.name == "posix" and state.st_mode & 0o077:
            raise KeyRefused(f"Others can read {path.name} (mode {state.st_mode & 0o777:o}). Make it private: chmod 600.")
        if state.st_size < _LENGTH:
            raise KeyRefused(f"{path.name} is too short for a key: {state.st_size} bytes, {_LENGTH} are needed.")
        return cls._of(path.read_bytes())

    def uid(self, uid: str) -> str:
        """Return the UID that stands for `uid`: ``2.25.`` and a UUID made with the key (PS3.5 B.2)."""
        made = bytearray(self._mac("uid", uid)[:16])
        made[6] = made[6] & 0x0F | 0x80  # version 8: made by a rule of one's own (RFC 9562 5.8)
        made[8] = made[8] & 0x3F | 0x80
        return f"2.25.{uuid.UUID(bytes=bytes(made)).int}"

    def pseudonym(self, patient: str) -> str:
        """Return 16 letters and digits that stand for a patient."""
        return base64.b32encode(self._mac("patient", patient)[:10]).decode()

    def shift_days(self, patient: str) -> int:
        """Return by how many days all dates of a patient are moved: 1 to 10 years, into the past."""
        return -(365 + int.from_bytes(self._mac("dates", patient)[:8], "big") % (9 * 365))

    def _mac(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._secret, f"workbench {purpose}\0{text}".encode(), hashlib.sha256)

    def __repr__(self) -> str:
        return "<Keys: a secret>"

    def _repr_html_(self) -> str:
        return "<code>Keys: a secret</code>"

    def __reduce_ex__(self, protocol: object) -> Any:
        raise KeyRefused("A key is not copied or pickled; load it from its file where it is needed.")

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_secret" or hasattr(self, "_secret"):
            raise KeyRefused("A key does not change.")
        object.__setattr__(self, name, value)

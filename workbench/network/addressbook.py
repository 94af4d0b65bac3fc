"""The address book: peers by name, in a TOML file of the user.

Knows: where the file is, its fields, that no secret belongs in it, and how a peer is written in one word.
Does not know: networks.
"""

import json
import os
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import platformdirs

from workbench.entities import Peer, Timeouts, ae_title_checked, html_table, plain
from workbench.errors import InputError, PeerUnknown
from workbench.files import write_whole

__all__ = ["AddressBook", "as_peer"]

_SECRET_WORDS = ("password", "passwd", "secret", "token", "credential", "passphrase", "apikey", "api_key", "private_key")
_DEFAULTS = Peer(name="default", ae_title="DEFAULT")


class AddressBook:
    """Peers by name; iterate over it for the peers.

    Parameters
    ----------
    path : Path
        Its TOML file, which need not exist yet.
    peers : iterable of Peer
        What it holds at first.
    """

    def __init__(self, path: Path, peers: tuple[Peer, ...] = ()) -> None:
        self.path = path
        self._peers = {peer.name: peer for peer in peers}

    @classmethod
    def load(cls, path: Path | str | None = None) -> "AddressBook":
        """Read the address book; a file that does not exist gives an empty one.

        Parameters
        ----------
        path : path, optional
            Instead of the file that the environment variable WORKBENCH_PEERS names, or ``peers.toml`` in the user's
            configuration folder.

        Raises
        ------
        InputError
            If it is not TOML, has a field that no peer has, or holds a secret.
        """
        where = Path(path or os.environ.get("WORKBENCH_PEERS") or platformdirs.user_config_path("workbench") / "peers.toml")
        try:
            content = tomllib.loads(where.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(where)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{where} is not a TOML file: {error}.") from error
        except OSError as error:
            raise InputError(f"{where} can't be read: {error.strerror}.") from error
        _refuse_secrets(content, where)
        table = content.pop("peers", {})
        if content or not isinstance(table, dict):
            raise InputError(f"{where}: every peer stands in a table [peers.NAME]; {sorted(content)} does not.")
        return cls(where, tuple(_peer(name, entry, where) for name, entry in table.items()))

    def get(self, name: str) -> Peer:
        """Return the peer of that name.

        Raises
        ------
        PeerUnknown
            With the names that there are.
        """
        try:
            return self._peers[name]
        except KeyError:
            names = ", ".join(map(repr, self._peers)) or "none"
            raise PeerUnknown(
                f"The address book {self.path} has no peer {name!r}; it has {names}. Write AETITLE@HOST:PORT instead of a name, or "
                "add it: 'workbench peers add NAME AETITLE HOST PORT' on the command line, add() and save() of "
                "AddressBook.load() in Python."
            ) from None

    def add(self, peer: Peer) -> Peer:
        """Add a peer, or replace the one of the same name; :meth:`save` keeps it."""
        if not peer.name:
            raise InputError("A peer in the address book needs a name.")
        _refuse_secrets({"web_url": peer.web_url}, self.path)
        self._peers[peer.name] = peer
        return peer

    def remove(self, name: str) -> Peer:
        """Remove the peer of that name and return it; :meth:`save` keeps that."""
        peer = self.get(name)
        del self._peers[name]
        return peer

    def save(self) -> Path:
        """Write the file, whole or not at all, and return where it is."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "# Peers of the DICOM workbench. web_secret names an environment variable; no secret belongs in this file.\n"
        text += "".join(_written(peer) for peer in self)
        return write_whole(self.path, text.encode())

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, name: object) -> bool:
        return name in self._peers

    def __repr__(self) -> str:
        return f"AddressBook({str(self.path)!r}: {', '.join(self._peers) or 'empty'})"

    def _repr_html_(self) -> str:
        rows: list[dict[str, object]] = [
            {"name": p.name, "AE title": p.ae_title, "host": p.host, "port": p.port, "calling AE title": p.calling_ae_title,
             "web": p.web_url, "retrieve by": p.retrieve_by}
            for p in self
        ]  # fmt: skip
        return html_table(rows, caption=f"AddressBook: {len(self)}")


def as_peer(peer: object) -> Peer:
    """Return the peer that is meant.

    Parameters
    ----------
    peer : Peer or str
        A peer; the name of one in the address book of :meth:`AddressBook.load`; or ``AETITLE@HOST:PORT``.

    Raises
    ------
    PeerUnknown
        If the address book has no peer of that name.
    InputError
        If it is neither.

    Examples
    --------
    >>> print(as_peer("ARCHIVE1@pacs.example.org:11112"))
    AE title 'ARCHIVE1' at pacs.example.org:11112
    """
    if isinstance(peer, Peer):
        return peer
    if not isinstance(peer, str):
        remedy = "pass its .peer" if hasattr(type(peer), "peer") else "make one with Peer(name, ae_title, host, port)"
        kind = type(peer).__name__
        raise InputError(f"A peer is a Peer, a name from the address book or 'AETITLE@HOST:PORT', not a {kind}: {remedy}.")
    title, at, place = peer.partition("@")
    host, colon, port = place.rpartition(":")
    if not at:
        return AddressBook.load().get(peer)
    if not colon or not host or not (port.isascii() and port.isdecimal()):
        raise InputError(f"A peer is a name from the address book, or AETITLE@HOST:PORT; {plain(peer)!r} is neither.")
    return Peer(name=ae_title_checked(title), ae_title=title, host=host.strip("[]"), port=int(port))


def _refuse_secrets(content: dict[str, Any], where: Path, path: str = "") -> None:
    for key, value in content.items():
        name = f"{path}{key}"
        word = key.lower().replace("-", "_")
        if word != "web_secret" and any(secret in word for secret in _SECRET_WORDS):
            raise InputError(
                f"{where}: {name} looks like a secret, and none belongs in an address book. Put it in an environment variable "
                "as user:password, write its name as web_secret, and change the secret: it was readable here."
            )
        if isinstance(value, dict):
            _refuse_secrets(value, where, f"{name}.")
        elif word == "web_secret" and not str(value).replace("_", "a").isalnum():
            raise InputError(
                f"{where}: {name} is the name of an environment variable that holds user:password, not the secret itself."
            )
        elif word == "web_url" and "@" in str(value).split("//", 1)[-1].split("/", 1)[0]:
            raise InputError(f"{where}: {name} has a user or password in it. Name an environment variable as web_secret instead.")


def _peer(name: str, entry: Any, where: Path) -> Peer:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: [peers.{name}] must be a table.")
    known = {f.name: type(getattr(_DEFAULTS, f.name)) for f in fields(Peer) if f.name != "name"}
    entry = dict(entry)
    patience = entry.pop("timeouts", {})
    patience_known = {f.name for f in fields(Timeouts)}
    if not isinstance(patience, dict) or (strange := sorted((set(entry) - set(known)) | (set(patience) - patience_known))):
        shown = strange if isinstance(patience, dict) else ["timeouts"]
        raise InputError(f"{where}: peer {name!r} has {shown}, which no peer has. The fields are {sorted(known)}.")
    if "ae_title" not in entry:
        raise InputError(f"{where}: peer {name!r} lacks ae_title.")
    for key, value in entry.items():
        if type(value) is not known[key]:
            raise InputError(f"{where}: {key} of peer {name!r} must be of type {known[key].__name__}.")
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not v > 0 for v in patience.values()):
        raise InputError(f"{where}: timeouts of peer {name!r} are seconds greater than 0.")
    return Peer(name=name, timeouts=Timeouts(**patience), **entry)


def _toml(value: str | float) -> str:
    """Return a value as TOML: a JSON string is a basic string too, but for surrogate pairs and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _written(peer: Peer) -> str:
    """Return a peer as TOML; what is at its default is left out."""
    lines = [f"\n[peers.{_toml(peer.name)}]", f"ae_title = {_toml(peer.ae_title)}"]
    for field in fields(Peer):
        value = getattr(peer, field.name)
        always = field.name in {"host", "port"}
        if field.name not in {"name", "ae_title", "timeouts"} and (always or value != getattr(_DEFAULTS, field.name)):
            lines.append(f"{field.name} = {_toml(value)}")
    if peer.timeouts != Timeouts():
        entries = ", ".join(f"{f.name} = {getattr(peer.timeouts, f.name)}" for f in fields(Timeouts))
        lines.append(f"timeouts = {{ {entries} }}")
    return "\n".join(lines) + "\n"

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

from workbench.entities import Calling, Identity, Peer, Timeouts, Tls, ae_title_checked, html_table, plain
from workbench.errors import InputError, PeerUnknown
from workbench.files import write_whole

__all__ = ["AddressBook", "as_peer"]

_SECRET_WORDS = (
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "passphrase",
    "apikey",
    "api_key",
    "private_key",
    "passcode",
)
_DEFAULTS = Peer(name="default", ae_title="DEFAULT")
_TABLES = {"timeouts": Timeouts, "tls": Tls, "identity": Identity, "calling": Calling}  # fields of a peer that are tables


class AddressBook:
    """Peers by name; iterate over it for the peers.

    Parameters
    ----------
    path : Path
        Its TOML file, which need not exist yet.
    peers : iterable of Peer
        What it holds at first.
    tls : iterable of Tls
        Settings with names, for peers to share.
    """

    def __init__(self, path: Path, peers: tuple[Peer, ...] = (), tls: tuple[Tls, ...] = ()) -> None:
        self.path = path
        self._peers = {peer.name: peer for peer in peers}
        self._tls = {each.name: each for each in tls}

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
        table, settings = content.pop("peers", {}), content.pop("tls", {})
        if content or not isinstance(table, dict) or not isinstance(settings, dict):
            raise InputError(
                f"{where}: every peer stands in a table [peers.NAME], TLS settings in [tls.NAME]; {sorted(content)} does not."
            )
        named = {name: _value(Tls, entry, f"{where}: tls.{name}", name=name) for name, entry in settings.items()}
        return cls(where, tuple(_peer(name, entry, where, named) for name, entry in table.items()), tuple(named.values()))

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
            raise PeerUnknown(
                f"The address book {self.path} has no peer {name!r}; it has {self._names()}. Write AETITLE@HOST:PORT instead of "
                "a name, or add it: 'workbench peers add NAME AETITLE HOST PORT' on the command line, add() and save() of "
                "AddressBook.load() in Python."
            ) from None

    def tls(self, name: str) -> Tls:
        """Return the TLS settings of that name.

        Raises
        ------
        PeerUnknown
            With the names that there are.
        """
        try:
            return self._tls[name]
        except KeyError:
            names = ", ".join(map(repr, self._tls)) or "none"
            raise PeerUnknown(
                f"The address book {self.path} has no TLS settings {plain(name)!r}; it has {names}. Each is a table [tls.NAME]."
            ) from None

    def add(self, peer: Peer) -> Peer:
        """Add a peer, or replace the one of the same name; :meth:`save` keeps it, and TLS settings that have a name."""
        if not peer.name:
            raise InputError("A peer in the address book needs a name.")
        if isinstance(peer.tls, str):
            self.tls(peer.tls)
        elif peer.tls is not None and peer.tls.name:
            self._tls[peer.tls.name] = peer.tls
        _refuse_secrets({"web_url": peer.web_url}, self.path)
        self._peers[peer.name] = peer
        return peer

    def remove(self, name: str) -> Peer:
        """Remove the peer of that name and return it; :meth:`save` keeps that."""
        if name not in self._peers:
            raise PeerUnknown(f"The address book {self.path} has no peer {plain(name)!r} to remove; it has {self._names()}.")
        return self._peers.pop(name)

    def _names(self) -> str:
        return ", ".join(map(repr, self._peers)) or "none"

    def save(self) -> Path:
        """Write the file, whole or not at all, and return where it is."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "# Peers of the DICOM workbench. web_secret names an environment variable; no secret belongs in this file.\n"
        text += "".join(f"\n[tls.{_toml(each.name)}]\n" + _lines(each) for each in self._tls.values())
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
        If the address book has no peer of that name, or no TLS settings of the name that the peer gives.
    InputError
        If it is neither.

    Examples
    --------
    >>> print(as_peer("ARCHIVE1@pacs.example.org:11112"))
    AE title 'ARCHIVE1' at pacs.example.org:11112
    """
    if isinstance(peer, Peer):
        return peer.but(tls=AddressBook.load().tls(peer.tls)) if isinstance(peer.tls, str) else peer
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
    if not 0 < int(port[:6]) < 65_536 or len(port) > 5:
        raise InputError(f"A port is a number from 1 to 65535, which that of {plain(peer)!r} is not.")
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


def _value(kind: type[Any], entry: Any, place: str, **more: Any) -> Any:
    """Return a frozen value from its table."""
    known = sorted({f.name for f in fields(kind)} - set(more))
    if not isinstance(entry, dict) or set(entry) - set(known):
        raise InputError(f"{place} is a table of {known}.")
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}, **more)
    except (InputError, TypeError) as error:
        raise InputError(f"{place}: {error}") from None


def _peer(name: str, entry: Any, where: Path, named: dict[str, Tls]) -> Peer:
    if not isinstance(entry, dict):
        raise InputError(f"{where}: [peers.{name}] must be a table.")
    known = {f.name: type(getattr(_DEFAULTS, f.name)) for f in fields(Peer) if f.name != "name"}
    if strange := sorted(set(entry) - set(known)):
        raise InputError(f"{where}: peer {name!r} has {strange}, which no peer has. The fields are {sorted(known)}.")
    if "ae_title" not in entry:
        raise InputError(f"{where}: peer {name!r} lacks ae_title.")
    values = dict(entry)
    for key, value in entry.items():
        if key == "tls" and isinstance(value, str):
            if value not in named:
                raise InputError(f"{where}: peer {name!r} has tls = {plain(value)!r}, but there is no table [tls.{plain(value)}].")
            values[key] = named[value]
        elif key in _TABLES:
            values[key] = _value(_TABLES[key], value, f"{where}: {key} of peer {name!r}")
        elif type(value) is not known[key]:
            raise InputError(f"{where}: {key} of peer {name!r} must be of type {known[key].__name__}.")
    return Peer(name=name, **values)


def _toml(value: object) -> str:
    """Return a value as TOML: a JSON string is a basic string too, but for surrogate pairs and DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _changed(value: Any, *, but: str = "name") -> list[str]:
    """Return the fields of a frozen value that are not at their defaults, as TOML."""
    return [
        f"{f.name} = {_toml(getattr(value, f.name))}"
        for f in fields(value)
        if f.name != but and getattr(value, f.name) != f.default
    ]


def _lines(value: Any) -> str:
    return "".join(f"{line}\n" for line in _changed(value))


def _written(peer: Peer) -> str:
    """Return a peer as TOML; what is at its default is left out."""
    lines = [f"\n[peers.{_toml(peer.name)}]", f"ae_title = {_toml(peer.ae_title)}"]
    for field in fields(Peer):
        value = getattr(peer, field.name)
        always = field.name in {"host", "port"}
        if field.name in {"name", "ae_title"} or (not always and value == getattr(_DEFAULTS, field.name)):
            continue
        if isinstance(value, Tls) and value.name:
            value = value.name
        is_table = field.name in _TABLES and not isinstance(value, str)
        lines.append(f"{field.name} = " + (f"{{ {', '.join(_changed(value))} }}" if is_table else _toml(value)))
    return "\n".join(lines) + "\n"

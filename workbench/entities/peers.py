"""Who the other side is: AE title, host, port, DICOMweb address and patience.

Knows: what can be known without connecting.
Does not know: secrets; it names the environment variable that holds one.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.entities.access import Calling, Identity, Tls
from workbench.entities.text import plain
from workbench.errors import AttributeUnusable

__all__ = ["Peer", "Timeouts", "ae_title_checked"]

_ORDER = "The order is Peer(name, ae_title, host, port)."


def ae_title_checked(value: str, *, name: str = "AE title") -> str:
    r"""Return an AE title without its insignificant spaces (PS3.5 6.2, VR AE).

    Raises
    ------
    AttributeUnusable
        If it is no text, empty, longer than 16 characters, or has a backslash, a control or a non-ASCII character.
    """
    if not isinstance(value, str):
        raise AttributeUnusable(f"{name} is text, not {type(value).__name__}. {_ORDER}")
    title = value.strip(" ")
    if not 1 <= len(title) <= 16 or "\\" in title or not (title.isascii() and title.isprintable()):
        said = f"{plain(title[:32])!r}{'…' if len(title) > 32 else ''}"
        raise AttributeUnusable(
            f"{name} must have 1 to 16 printable ASCII characters and no backslash, not {said} (PS3.5 6.2, AE)."
        )
    return title


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds.

    Parameters
    ----------
    connect_s : float
        For the TCP connection.
    acse_s : float
        For the answer to an A-ASSOCIATE or A-RELEASE request.
    dimse_s : float
        For the next DIMSE response.
    network_s : float
        For the next byte of a PDU that has begun.

    Raises
    ------
    AttributeUnusable
        If one is no number, or not greater than 0.
    """

    connect_s: float = 5.0
    acse_s: float = 10.0
    dimse_s: float = 30.0
    network_s: float = 30.0

    def __post_init__(self) -> None:
        for value in (self.connect_s, self.acse_s, self.dimse_s, self.network_s):
            _check_seconds(value)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another application entity, as seen from here.

    Parameters
    ----------
    name : str
        What it is called in the address book.
    ae_title : str
        Its AE title (the called AE title of our requests).
    host, port : str, int
        Where it listens.
    calling_ae_title : str
        What we call ourselves towards it.
    web_url : str
        Base address of its DICOMweb services (PS3.18), or empty.
    web_secret : str
        Name of the environment variable that holds ``user:password`` for `web_url`; never the secret itself.
    retrieve_by : str
        ``auto``, ``get``, ``move`` or ``web``: how instances are fetched. ``auto`` takes the first that the peer allows.
    timeouts : Timeouts
        How patient to be.
    max_pdu_bytes : int
        Largest P-DATA that we are willing to receive (PS3.8 D.1).
    tls : Tls or str, optional
        How to speak TLS with it, or the name of such settings in the address book; without, plain DICOM.
    identity : Identity, optional
        Which user our associations are for.
    calling : Calling
        What we call ourselves and propose, to speak as another system would.

    Raises
    ------
    AttributeUnusable
        If a field is of another type, or out of its range.

    Examples
    --------
    >>> print(Peer("pacs", "ARCHIVE1", "pacs.example.org", 11112))
    AE title 'ARCHIVE1' at pacs.example.org:11112
    """

    name: str
    ae_title: str
    host: str = "127.0.0.1"
    port: int = 104
    calling_ae_title: str = "WORKBENCH"
    web_url: str = ""
    web_secret: str = ""
    retrieve_by: str = "auto"
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_pdu_bytes: int = 131_072
    tls: Tls | str | None = None
    identity: Identity | None = None
    calling: Calling = field(default_factory=Calling)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ae_title", ae_title_checked(self.ae_title))
        object.__setattr__(self, "calling_ae_title", ae_title_checked(self.calling_ae_title, name="Calling AE title"))
        for name in ("name", "host", "web_url", "web_secret", "retrieve_by"):
            if not isinstance(value := getattr(self, name), str):
                raise AttributeUnusable(f"{name} of a peer is text, not {type(value).__name__}. {_ORDER}")
        if not self.host or any(character.isspace() for character in self.host):
            raise AttributeUnusable(f"host is a name or an address without spaces, not {plain(self.host)!r}. {_ORDER}")
        _check_port(self.port)
        if not isinstance(self.timeouts, Timeouts):
            raise AttributeUnusable(f"timeouts of a peer is a Timeouts(...), not {type(self.timeouts).__name__}.")
        _check_pdu_length(self.max_pdu_bytes)
        for name, kind in (("tls", Tls | str | None), ("identity", Identity | None), ("calling", Calling)):
            if not isinstance(value := getattr(self, name), kind):
                raise AttributeUnusable(f"{name} of a peer is a {name.capitalize()}(...), not {type(value).__name__}.")
        if self.retrieve_by not in {"auto", "get", "move", "web"}:
            raise AttributeUnusable(f"retrieve_by is auto, get, move or web, not {self.retrieve_by!r}.")

    def __str__(self) -> str:
        return f"AE title {self.ae_title!r} at {self.host}:{self.port}"

    def but(self, **changes: Any) -> "Peer":
        """Return this peer with some fields changed."""
        return replace(self, **changes)


def _check_port(port: object) -> None:
    if isinstance(port, str) and port.strip().isdecimal():
        raise AttributeUnusable(f"port is a number, not text: write it without quotes, as {int(port)}.")
    if isinstance(port, bool) or not isinstance(port, int):
        raise AttributeUnusable(f"port is a whole number, not {type(port).__name__}. {_ORDER}")
    if not 0 < port < 65_536:
        raise AttributeUnusable(f"A port is a number from 1 to 65535, not {port}.")


def _check_pdu_length(length: object) -> None:
    if isinstance(length, bool) or not isinstance(length, int) or not 4_096 <= length <= 16 << 20:
        raise AttributeUnusable("max_pdu_bytes of a peer is a whole number from 4096 to 16777216 (PS3.8 D.1).")


def _check_seconds(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise AttributeUnusable(f"A time limit is a number of seconds greater than 0, not {value!r}.")

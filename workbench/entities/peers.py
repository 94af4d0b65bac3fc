"""Who the other side is: AE title, host, port, DICOMweb address and patience.

Knows: what can be known without connecting.
Does not know: secrets; it names the environment variable that holds one.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from workbench.errors import AttributeUnusable

__all__ = ["Peer", "Timeouts", "ae_title_checked"]


def ae_title_checked(value: str, *, name: str = "AE title") -> str:
    r"""Return an AE title without its insignificant spaces (PS3.5 6.2, VR AE).

    Raises
    ------
    AttributeUnusable
        If it is empty, longer than 16 characters, or has a backslash, a control or a non-ASCII character.
    """
    title = value.strip(" ")
    if not 1 <= len(title) <= 16 or "\\" in title or not (title.isascii() and title.isprintable()):
        raise AttributeUnusable(f"{name} must have 1 to 16 printable ASCII characters and no backslash (PS3.5 6.2, AE).")
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
    """

    connect_s: float = 5.0
    acse_s: float = 10.0
    dimse_s: float = 30.0
    network_s: float = 30.0


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "ae_title", ae_title_checked(self.ae_title))
        object.__setattr__(self, "calling_ae_title", ae_title_checked(self.calling_ae_title, name="Calling AE title"))
        if not 0 < self.port < 65_536:
            raise AttributeUnusable(f"A port is a number from 1 to 65535, not {self.port}.")
        if self.retrieve_by not in {"auto", "get", "move", "web"}:
            raise AttributeUnusable(f"retrieve_by is auto, get, move or web, not {self.retrieve_by!r}.")

    def __str__(self) -> str:
        return f"AE title {self.ae_title!r} at {self.host}:{self.port}"

    def but(self, **changes: Any) -> "Peer":
        """Return this peer with some fields changed."""
        return replace(self, **changes)

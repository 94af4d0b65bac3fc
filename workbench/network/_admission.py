"""Who may open an association with a server: titles, addresses, certificates, how many, and which users.

Knows: rejections (PS3.8 9.3.4), AE titles, networks as RFC 4632 writes them, User Identity Negotiation (PS3.7 D.3.3.7).
Does not know: connections, services.
"""

import contextlib
import ipaddress
import logging
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pynetdicom.pdu_primitives import UserIdentityNegotiation

from workbench.entities import Peer, ae_title_checked, plain
from workbench.errors import AttributeUnusable
from workbench.network.receiving import one_line
from workbench.network.security import Claim, Identify

__all__ = ["Admission", "Refusal", "Request", "Standing", "confirm", "identified", "refusal"]

log = logging.getLogger(__name__)

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
#: Result, source and reason (PS3.8 Table 9-21), and why, for the log.
Refusal = tuple[tuple[int, int, int], str]
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_KINDS = {1: "username", 2: "passcode", 3: "kerberos", 4: "saml", 5: "jwt"}  # PS3.7 D.3.3.7.1


@dataclass(frozen=True, slots=True)
class Admission:
    """Whom a server lets in, besides its checks of AE titles; each field that is empty checks nothing.

    Parameters
    ----------
    addresses : collection of str
        Addresses and networks (``192.0.2.7``, ``10.20.0.0/16``, ``2001:db8::/32``) from which anybody may come; others are
        rejected as 1/1/1, without a reason.
    addresses_of : mapping of str to collection of str
        The same for each calling AE title named here: 1/1/3 from elsewhere.
    titles_of : mapping of str to collection of str
        The calling AE titles that the owner of a certificate may use, by the certificate's subject as RFC 4514 writes it
        (``CN=scanner,O=Hospital``); any other certificate, title, or none: 1/1/3. Needs TLS.
    per_title : int, optional
        Associations that one calling AE title may have at once; more are rejected for now, as a local limit (2/3/2).
    identity_optional : bool
        Where the server asks for user identities: let in who shows none.

    Raises
    ------
    AttributeUnusable
        If an address, a network, a title or a number is none.

    Examples
    --------
    >>> Admission(addresses=["10.20.0.0/16"]).lets_in("10.20.3.4"), Admission(addresses=["10.20.0.0/16"]).lets_in("10.21.0.1")
    (True, False)
    """

    addresses: Collection[str] = ()
    addresses_of: Mapping[str, Collection[str]] = field(default_factory=dict)
    titles_of: Mapping[str, Collection[str]] = field(default_factory=dict)
    per_title: int | None = None
    identity_optional: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "addresses", _networks(self.addresses))
        by_title = {ae_title_checked(title): _networks(places) for title, places in self.addresses_of.items()}
        object.__setattr__(self, "addresses_of", by_title)
        if any(isinstance(titles, str) for titles in self.titles_of.values()):
            raise AttributeUnusable("titles_of gives a collection of AE titles for each subject, such as {'CN=ct': ['CT1']}.")
        by_subject = {str(name): frozenset(map(ae_title_checked, titles)) for name, titles in self.titles_of.items()}
        object.__setattr__(self, "titles_of", by_subject)
        if self.per_title is not None and (isinstance(self.per_title, bool) or self.per_title < 1):
            raise AttributeUnusable("per_title is a number of associations, 1 or more.")

    def lets_in(self, address: str, *, calling_ae_title: str | None = None) -> bool:
        """Whether somebody, or that AE title, may come from an address."""
        places = self.addresses if calling_ae_title is None else self.addresses_of.get(calling_ae_title, ())
        return not places or _is_within(address, places)


def _networks(places: Collection[str]) -> tuple[str, ...]:
    if isinstance(places, str):
        raise AttributeUnusable(f"addresses are several, in a list: [{plain(places)!r}].")
    try:
        return tuple(str(ipaddress.ip_network(place)) for place in places)
    except (ValueError, TypeError):
        raise AttributeUnusable(
            "addresses are like '192.0.2.7', '10.20.0.0/16' or '2001:db8::/32', with no bits set behind the prefix."
        ) from None


def _is_within(address: str, places: Iterable[str]) -> bool:
    """Whether an address is in one of the networks; an IPv4 address may be written as IPv6 does (RFC 4291 2.5.5.2)."""
    try:
        here = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(here, ipaddress.IPv6Address):
        here = here.ipv4_mapped or here
    networks: Iterable[_Network] = map(ipaddress.ip_network, places)
    return any(here in network for network in networks)


@dataclass(frozen=True, slots=True)
class Request:
    """What an association request says, and over what it came.

    Parameters
    ----------
    calling, called, application_context : str
        As sent, without insignificant spaces.
    address : str
        From where.
    certificate : str
        The subject of the certificate that was shown over TLS; empty where none was.
    identity : UserIdentityNegotiation, optional
        The user, if one is named.
    """

    calling: str
    called: str
    application_context: str
    address: str
    certificate: str = ""
    identity: UserIdentityNegotiation | None = field(default=None, repr=False)

    @classmethod
    def of(cls, association: Any) -> "Request":
        """Return the request of an acceptor."""
        sent = association.requestor.primitive
        return cls(
            str(sent.calling_ae_title).strip(), str(sent.called_ae_title).strip(), str(sent.application_context_name),
            association.address.rsplit(":", 1)[0], association.certificate, association.requestor.user_identity,
        )  # fmt: skip


def refusal(
    request: Request,
    admission: Admission,
    *,
    called: str | None,
    calling: Collection[str] | None,
    known: Iterable[Peer],
) -> Refusal | None:
    """Return why a request is refused by what it says and where it comes from, or None.

    Parameters
    ----------
    request : Request
        Who asks.
    admission : Admission
        The rules.
    called : str, optional
        The AE title that must be called for.
    calling : collection of str, optional
        The only AE titles that may call.
    known : iterable of Peer
        Peers whose calling AE title, if it is in `calling`, may come from their host only.
    """
    if request.application_context != _APPLICATION_CONTEXT:
        return (1, 1, 2), "the application context name is not that of DICOM"
    if not admission.lets_in(request.address):
        return (1, 1, 1), "its address is not among those that may come in"
    if called is not None and request.called != called:
        return (1, 1, 7), f"it called for {one_line(request.called)!r}"
    why = _why_not_this_title(request, admission, calling, known)
    return ((1, 1, 3), why) if why else None


def _why_not_this_title(request: Request, admission: Admission, calling: Collection[str] | None, known: Iterable[Peer]) -> str:
    """Return why the calling AE title is not recognized, in words; empty where it is."""
    if calling is not None:
        if request.calling not in calling:
            return "its AE title is not on the list"
        hosts = [peer.host for peer in known if peer.ae_title == request.calling]
        if hosts and not any(_is_at(host, request.address) for host in hosts):
            return "its AE title is known at another address"
    if not admission.lets_in(request.address, calling_ae_title=request.calling):
        return "its AE title may not come from this address"
    if admission.titles_of and request.calling not in admission.titles_of.get(request.certificate, ()):
        return "its certificate does not stand for its AE title" if request.certificate else "it showed no certificate"
    return ""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the identity of a user came to: the answer to it, the username, and why the association is refused, if it is."""

    answer: bool | bytes = False
    user: str = ""
    refused: Refusal | None = None


def identified(request: Request, admission: Admission, identify: Identify | None) -> Standing:
    """Return what comes of the user's identity (PS3.7 D.3.3.7).

    Notes
    -----
    A user who can't be identified is rejected permanently by the service provider, ACSE (1/2/1). Fields are never logged.
    """
    if identify is None:
        return Standing()
    item = request.identity
    if item is None:
        return Standing(refused=None if admission.identity_optional else ((1, 2, 1), "it names no user"))
    number = item.user_identity_type or 0
    user = (item.primary_field or b"") if number in {1, 2} else b""
    secret = ((item.secondary_field if number == 2 else item.primary_field) or b"") if number != 1 else b""
    claim = Claim(
        _KINDS.get(number, f"type {number}"), user.decode("utf-8", "replace"), secret, request.calling, request.address,
        request.certificate,
    )  # fmt: skip
    try:
        answer = identify(claim)
    except Exception as error:  # noqa: BLE001 - its text may hold what must not be logged
        return Standing(refused=((1, 2, 1), f"its user could not be identified ({type(error).__name__})"))
    if isinstance(answer, bytes) or answer is True:
        return Standing(answer, claim.user)
    return Standing(refused=((1, 2, 1), f"its user is not known, by {claim.kind}"))


def confirm(association: Any, *, answer: bool | bytes) -> None:
    """Add the positive response, where one was asked for and there is a reason to give it (PS3.7 D.3.3.7.2)."""
    item = association.requestor.user_identity
    if answer is False or item is None or not item.positive_response_requested:
        return
    response = UserIdentityNegotiation()
    response.server_response = answer if isinstance(answer, bytes) and item.user_identity_type in {3, 4, 5} else b""
    association.acceptor.add_negotiation_item(response)


def _is_at(host: str, address: str) -> bool:
    """Whether an address is one of a host's."""
    with contextlib.suppress(OSError, UnicodeError):
        return address in {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    return False

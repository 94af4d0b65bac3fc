"""Why an association did not come about: each trouble as a :mod:`workbench.errors` leaf with its layer and what to try.

Knows: TCP, TLS and A-ASSOCIATE (PS3.8), as far as they fail.
Does not know: how an association is made.
"""

import ssl
from collections.abc import Sequence
from typing import Protocol, TypeVar

from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT
from pynetdicom.presentation import PresentationContext

from workbench.entities import Peer
from workbench.errors import AssociationAborted, AssociationRejected, ContextRejected, NetworkError, PeerTimeout, PeerUnreachable
from workbench.network._secure import words

__all__ = ["REJECT", "Heard", "aborted", "not_secure", "rejection", "said", "stranger", "trouble", "unreachable"]

Failure = TypeVar("Failure", bound=NetworkError)

REJECT = 3  # PDU type A-ASSOCIATE-RJ

_RESULTS = {1: "permanent", 2: "transient"}
_SOURCES = {1: "service user", 2: "service provider (ACSE)", 3: "service provider (presentation)"}
_REASONS = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}


class Heard(Protocol):
    """What came over a connection."""

    heard: bytes
    overlong: int
    is_late: bool
    is_over: bool

    @property
    def tls_trouble(self) -> ssl.SSLError | None:
        """What TLS said when it failed."""


def rejection(result: int, source: int, reason: int) -> str:
    """Return an A-ASSOCIATE-RJ in the words of PS3.8 9.3.4.

    Examples
    --------
    >>> rejection(1, 1, 7)
    'permanent, service user, called AE title not recognized'
    """
    return ", ".join((
        _RESULTS.get(result, f"result {result}"),
        _SOURCES.get(source, f"source {source}"),
        _REASONS.get((source, reason), f"reason {reason}"),
    ))  # fmt: skip


def said(error: Failure, layer: str, remedy: str = "") -> Failure:
    """Return the error with its layer and with the remedy as the end of its message."""
    error.layer, error.remedy = layer, remedy
    error.args = (f"{error.args[0]} {remedy}".strip(),)
    return error


def stranger(peer: Peer) -> str:
    """Return what to try where a peer accepts an association and aborts it at the first request.

    Some peers let everybody associate and look only then whether they know who calls.

    Examples
    --------
    >>> stranger(Peer("pacs", "ARCHIVE1"))
    "It may not know us as 'WORKBENCH': set calling_ae_title to what it knows, or have its administrator add that."
    """
    title = peer.calling_ae_title
    return f"It may not know us as {title!r}: set calling_ae_title to what it knows, or have its administrator add that."


def aborted(peer: Peer, doing: str, *, is_first: bool) -> AssociationAborted:
    """Return the error for an A-ABORT of the peer where a response was due; `is_first` where it was the first."""
    error = AssociationAborted(f"{peer} aborted the association during {doing} (A-ABORT, PS3.8 9.3.8).")
    error.by_peer = True
    return said(error, "dimse", f"Its log says why. {stranger(peer)}" if is_first else "Its log says why.")


def not_secure(peer: Peer, error: Exception) -> NetworkError:
    """Return why no TLS came about."""
    why = f"No TLS with {peer}: {words(error)}."
    if isinstance(error, ssl.SSLCertVerificationError):
        remedy = (
            "Tls.ca names the authorities that are trusted; a certificate must be valid now, and made out to the host (or to "
            "Tls.server_name)."
        )
        return said(PeerUnreachable(why), "tls", remedy)
    if isinstance(error, TimeoutError):
        return said(PeerTimeout(why), "tls", "It may expect plain DICOM (Peer.tls=None), or be overloaded.")
    if "certificate" in why:
        remedy = "Pass Tls(certificate=..., key=...) that is valid now, signed by an authority that the peer trusts."
    else:
        remedy = "Ask its administrator which TLS versions and cipher suites it has; it may expect plain DICOM (Peer.tls=None)."
    return said(AssociationAborted(why), "tls", remedy)


def unreachable(peer: Peer, error: OSError | None) -> NetworkError:
    where = f"{peer.host}:{peer.port}"
    if isinstance(error, TimeoutError):
        return said(
            PeerTimeout(f"{where} did not answer within {peer.timeouts.connect_s:g} s (TCP)."),
            "tcp",
            "A firewall may drop the connection, or the machine is off: ask whether address and port are right and whether "
            "this machine may connect.",
        )
    if isinstance(error, ConnectionRefusedError):
        return said(
            PeerUnreachable(f"Nothing listens at {where} (TCP connection refused)."),
            "tcp",
            "Check the port; the peer's DICOM service may not be running.",
        )
    reason = error.strerror if error else "no address"
    return said(PeerUnreachable(f"There is no way to {where}: {reason}."), "tcp", "Check host and network.")


def trouble(
    peer: Peer, association: Association, link: Heard | None, heard: list[object], contexts: Sequence[PresentationContext]
) -> NetworkError:
    """Return the leaf that says why no association came about."""
    if link is not None and link.heard[:1] == bytes([REJECT]) and len(link.heard) >= 10:
        return _rejected(peer, *link.heard[7:10], asked=_named(contexts))
    if association.rejected_contexts and not association.accepted_contexts:
        return said(
            ContextRejected(
                f"{peer} accepted the association but no presentation context: not {_named(contexts)} in any transfer syntax "
                "that was proposed (PS3.8 9.3.3.2)."
            ),
            "context",
            f"Its conformance statement says what it offers; its administrator may have to allow it to {peer.calling_ae_title!r}.",
        )
    if link is not None and (error := _of_tls(peer, link)):
        return error
    return _unanswered(peer, link, heard)


def _named(contexts: Sequence[PresentationContext]) -> str:
    """Return the names of the first three SOP classes."""
    names = sorted({UID(str(context.abstract_syntax)).name for context in contexts})
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")


def _of_tls(peer: Peer, link: Heard) -> NetworkError | None:
    """Return the trouble with TLS that shows only after its handshake, or where there was none."""
    if link.tls_trouble is not None:
        return not_secure(peer, link.tls_trouble)
    if link.heard[:2] != b"\x15\x03":  # an alert of TLS (RFC 8446 5.1)
        return None
    return said(
        AssociationAborted(f"{peer} speaks TLS only; it was asked in plain DICOM."),
        "tls",
        "Pass Peer.tls with the authority that signed its certificate, and mostly a certificate of your own.",
    )


def _unanswered(peer: Peer, link: Heard | None, heard: list[object]) -> NetworkError:
    """Return why there was neither acceptance nor rejection."""
    if (link is not None and link.heard[:1] == b"\x07") or any(isinstance(primitive, A_ABORT) for primitive in heard):
        return said(
            AssociationAborted(f"{peer} aborted the association while it was requested (A-ABORT, PS3.8 9.3.8)."),
            "association",
            "Its log says why; it may not know this machine.",
        )
    if link is not None and (link.overlong or (link.heard and link.heard[0] not in {2, 3, 5, 6, 7})):
        return said(
            AssociationAborted(f"{peer} answered with something that is not DICOM."),
            "association",
            "Another service may listen at that port.",
        )
    is_over = link is not None and link.is_over
    if is_over or (any(isinstance(primitive, A_P_ABORT) for primitive in heard) and not (link is not None and link.is_late)):
        return said(
            AssociationAborted(f"{peer} closed the connection instead of answering the association request."),
            "association",
            "It may allow only known addresses, expect TLS, or not be a DICOM service.",
        )
    return said(
        PeerTimeout(
            f"{peer} accepted the TCP connection but did not answer the association request within {peer.timeouts.acse_s:g} s."
        ),
        "association",
        "Another service may listen at that port, or the peer is overloaded.",
    )


def _rejected(peer: Peer, result: int, source: int, reason: int, *, asked: str) -> AssociationRejected:
    offer = f"it does not offer what was asked for (here: {asked})"
    unsaid = f"Ask its administrator whether {peer.calling_ae_title!r} may connect; or {offer}."
    remedies = {
        (1, 1): unsaid,
        (2, 1): unsaid,
        (1, 3): f"Ask its administrator to add the calling AE title {peer.calling_ae_title!r} with this machine's address, "
        "or set calling_ae_title to one that it knows.",
        (1, 7): f"It does not call itself {peer.ae_title!r}: ask its administrator for its AE title (case matters).",
        (3, 1): "Try again later.",
        (3, 2): "All its associations are in use: try again later, with fewer at once.",
    }
    if peer.identity is not None:  # refused so (PS3.7 D.3.3.7): without a reason
        user = "It says no reason: it may not know the user that was sent, or refuse the passcode or token."
        remedies |= {(1, 1): f"{user} {unsaid}", (2, 1): f"{user} {unsaid}"}
    error = AssociationRejected(
        f"{peer} rejected the association: {rejection(result, source, reason)} (PS3.8 9.3.4).",
        result=result,
        source=source,
        reason=reason,
    )
    return said(error, "association", remedies.get((source, reason), "Ask its administrator."))

"""Associations with a peer, and the one seam where trouble beneath becomes a :mod:`workbench.errors` leaf.

Knows: host names and TCP, the A-ASSOCIATE service (PS3.8), pynetdicom's threads, and what to try when it fails.
Does not know: what the association is for.
"""

import logging
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from pydicom.uid import UID
from pynetdicom import AE, _config, build_role, evt
from pynetdicom._handlers import (
    standard_dimse_recv_handler,
    standard_dimse_sent_handler,
    standard_pdu_recv_handler,
    standard_pdu_sent_handler,
)
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT, SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from workbench.entities import Peer
from workbench.errors import (
    AssociationAborted,
    AssociationRejected,
    Cancelled,
    ContextRejected,
    InputError,
    NetworkError,
    PeerTimeout,
    PeerUnreachable,
    StatusFailure,
)
from workbench.network.contexts import MAX_CONTEXTS

__all__ = ["MAX_CONTEXTS", "associate", "connect", "lost", "rejection", "take_over"]

log = logging.getLogger(__name__)
Failure = TypeVar("Failure", bound=NetworkError)

# pynetdicom writes every identifier, that is names of patients, to its log unless it is told not to. Its methods look at
# these two where they send and receive; there is no setting of an AE, an association or a call that would do instead.
_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False

# Nothing but P-DATA-TF may be longer than this, and P-DATA-TF no longer than was negotiated (PS3.8 D.1).
_LONGEST_ACSE_PDU = 1_048_576

_REJECT = 3  # PDU type A-ASSOCIATE-RJ

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
_CHATTER = (
    (evt.EVT_DIMSE_RECV, standard_dimse_recv_handler),
    (evt.EVT_DIMSE_SENT, standard_dimse_sent_handler),
    (evt.EVT_PDU_RECV, standard_pdu_recv_handler),
    (evt.EVT_PDU_SENT, standard_pdu_sent_handler),
)


@contextmanager
def associate(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    roles: Iterable[str] = (),
    handlers: Iterable[tuple[Any, ...]] = (),
    extended: Mapping[str, bytes] | None = None,
) -> Iterator[Association]:
    """Associate with a peer for as long as the block lasts; release at its end, abort where it fails.

    Parameters
    ----------
    peer : Peer
        With whom, and how patiently.
    contexts : sequence of PresentationContext
        What to propose: 1 to 128.
    roles : iterable of str
        SOP classes for which we want to be the SCP: those that a C-GET brings (PS3.7 D.3.3.4).
    handlers : iterable of tuple
        pynetdicom event handlers, ``(event, callable[, arguments])``.
    extended : mapping of str to bytes, optional
        Service class application information by SOP class, for SOP Class Extended Negotiation (PS3.7 D.3.3.5).

    Yields
    ------
    pynetdicom.association.Association
        Established, with at least one accepted context.

    Raises
    ------
    PeerUnreachable, PeerTimeout, AssociationRejected, AssociationAborted, ContextRejected
        Each with what to try.
    """
    if not 1 <= len(contexts) <= MAX_CONTEXTS:
        raise InputError(f"An association proposes 1 to {MAX_CONTEXTS} presentation contexts, not {len(contexts)} (PS3.8 9.3.2.2).")
    entity = _Entity(peer, connect(peer))
    roles_wanted: list[Any] = [build_role(UID(uid), scu_role=True, scp_role=True) for uid in roles]
    roles_wanted += [_extended(uid, information) for uid, information in (extended or {}).items()]
    heard: list[object] = []
    bound = [*handlers, (evt.EVT_ACSE_RECV, lambda event: heard.append(event.primitive))]
    try:
        association = entity.associate(
            entity.link_address, peer.port, contexts=list(contexts), ae_title=peer.ae_title, max_pdu=peer.max_pdu_bytes,
            ext_neg=roles_wanted, evt_handlers=bound,
        )  # fmt: skip
    except BaseException:  # Ctrl-C above all: pynetdicom's thread would go on, and keep the process from ending
        entity.end()
        raise
    link = entity.link
    if link is None or not association.is_established:
        entity.end()
        raise _trouble(peer, association, link, heard, contexts)
    try:
        link.patience(peer.timeouts.network_s)
        log.info("associated with %s, %d contexts accepted", peer, len(association.accepted_contexts))
        yield association
    except (StatusFailure, Cancelled, InputError, ContextRejected):
        _release(association)
        raise
    except BaseException:
        association.abort()
        raise
    else:
        _release(association)
    finally:
        link.close_taken()


def _extended(uid: str, information: bytes) -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = UID(uid), information
    return item


def connect(peer: Peer) -> socket.socket:
    """Return a TCP connection to a peer, with Nagle's algorithm off (it costs a factor of ten against delayed ACK).

    Raises
    ------
    PeerUnreachable
        If the name is not known, or nothing listens, or the network has no way there.
    PeerTimeout
        If no answer comes within ``peer.timeouts.connect_s``.
    """
    try:
        addresses = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _said(
            PeerUnreachable(f"The host name {peer.host!r} is not known here."),
            "name",
            "Check its spelling, or ask for its IP address; a VPN may be needed.",
        ) from error
    last: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(peer.timeouts.connect_s)
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            last = error
        else:
            return connection
    raise _unreachable(peer, last) from last


def take_over(association: Association) -> socket.socket:
    """Return the connection of an established association and end pynetdicom's threads, which would read from it.

    The caller now speaks PS3.8 alone: it sends A-RELEASE-RQ or A-ABORT. The socket is closed where the
    block of :func:`associate` ends.
    """
    link = association.dul.socket
    if not isinstance(link, _Link) or link.socket is None or not association.is_established:
        raise AssociationAborted("The association is no longer established.")
    _stop(association)
    association.is_established = False
    return link.take()


def lost(association: Association, peer: Peer, doing: str) -> NetworkError:
    """Return why no answer came from an association that was established.

    Parameters
    ----------
    doing : str
        What the answer was wanted for, such as ``C-FIND``.
    """
    if association._sent_abort:  # noqa: SLF001 - pynetdicom does so when its time is up
        return _said(
            PeerTimeout(f"{peer} did not answer {doing} within {peer.timeouts.dimse_s:g} s."),
            "dimse",
            "Ask for less at once, or allow more time (Timeouts.dimse_s).",
        )
    if association.acse.is_aborted("a-abort"):
        return _said(
            AssociationAborted(f"{peer} aborted the association during {doing} (A-ABORT, PS3.8 9.3.8)."),
            "dimse",
            "Its log says why.",
        )
    return _said(AssociationAborted(f"The connection to {peer} was lost during {doing}."), "dimse")


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


class _Link(AssociationSocket):
    """A connection that exists already, reads with a time limit, and refuses PDUs that are too long."""

    def __init__(self, association: Association, address: AddressInformation, connection: socket.socket, peer: Peer) -> None:
        self._given, self._peer = connection, peer
        self.heard = b""
        self.overlong = 0
        self._taken: socket.socket | None = None
        super().__init__(association, address=address)
        connection.settimeout(peer.timeouts.acse_s)

    def _create_socket(self, address: Any) -> socket.socket:  # noqa: ARG002 - there is nothing to bind
        return self._given

    def connect(self, primitive: T_CONNECT) -> None:
        """Confirm the connection that is there."""
        self._is_connected = True
        primitive.result = "Evt2"
        self.provider_queue.put(primitive)
        self._ready.set()

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes`, or fewer where the peer has closed."""
        if nr_bytes > max(_LONGEST_ACSE_PDU, self._peer.max_pdu_bytes):
            self.overlong = nr_bytes
            raise OSError("the PDU is longer than was negotiated")
        data = bytearray(nr_bytes)
        view, done = memoryview(data), 0
        while done < nr_bytes:
            if self.socket is None or not (count := self.socket.recv_into(view[done:])):
                view.release()
                del data[done:]
                break
            done += count
        if len(self.heard) < 10:
            self.heard += bytes(data[:10])
            if nr_bytes == 4 and self.heard[0] == _REJECT:  # pynetdicom stumbles over values that it does not know
                return bytearray((0, 1, 1, 1))
        return data

    def patience(self, seconds: float) -> None:
        """Set how long a PDU may pause once it has begun."""
        if self.socket is not None:
            self.socket.settimeout(seconds)

    def take(self) -> socket.socket:
        """Hand the connection out; this link is closed then."""
        if self.socket is None:
            raise AssociationAborted("The connection is closed.")
        self._taken, self.socket, self._is_connected = self.socket, None, False
        return self._taken

    def close_taken(self) -> None:
        """Close a connection that was handed out."""
        if self._taken is not None:
            self._taken.close()


class _Entity(AE):
    """An application entity for one association: its settings are its own, nothing global is changed."""

    def __init__(self, peer: Peer, connection: socket.socket) -> None:
        super().__init__(ae_title=peer.calling_ae_title)
        self._peer, self.connection = peer, connection
        self.link: _Link | None = None
        self._association: Association | None = None
        self.link_address = str(connection.getpeername()[0])
        self.acse_timeout = peer.timeouts.acse_s
        self.dimse_timeout = peer.timeouts.dimse_s
        self.network_timeout = None  # _Link.patience is the limit within a PDU; between two, dimse_timeout is

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: Any) -> AssociationSocket:  # noqa: ARG002
        for event, handler in _CHATTER:  # these write identifiers, that is patients, to the log
            assoc.unbind(event, handler)
        assoc.dul.daemon = True  # as the thread of the association is
        self._association = assoc
        self.link = _Link(assoc, address, self.connection, self._peer)
        return self.link

    def end(self) -> None:
        """Leave neither thread nor socket behind, whether the association came about or not."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        if self._association is not None:
            _stop(self._association, patience_s=1.0)
        self.connection.close()


def _stop(association: Association, *, patience_s: float | None = None) -> None:
    """End pynetdicom's threads without a word to the peer, for which it has no public way."""
    association._kill = True  # noqa: SLF001
    association._reactor_checkpoint.set()  # noqa: SLF001
    association.dul.kill_dul()
    for thread in (association.dul, association):
        if thread.is_alive() and thread is not threading.current_thread():
            thread.join(patience_s)


def _release(association: Association) -> None:
    if association.is_established:
        with suppress(RuntimeError):
            association.release()


def _said(error: Failure, layer: str, remedy: str = "") -> Failure:
    """Return the error with its layer and with the remedy as the end of its message."""
    error.layer, error.remedy = layer, remedy
    error.args = (f"{error.args[0]} {remedy}".strip(),)
    return error


def _unreachable(peer: Peer, error: OSError | None) -> NetworkError:
    where = f"{peer.host}:{peer.port}"
    if isinstance(error, TimeoutError):
        return _said(
            PeerTimeout(f"{where} did not answer within {peer.timeouts.connect_s:g} s (TCP)."),
            "tcp",
            "A firewall may drop the connection, or the machine is off: ask whether address and port are right and whether "
            "this machine may connect.",
        )
    if isinstance(error, ConnectionRefusedError):
        return _said(
            PeerUnreachable(f"Nothing listens at {where} (TCP connection refused)."),
            "tcp",
            "Check the port; the peer's DICOM service may not be running.",
        )
    reason = error.strerror if error else "no address"
    return _said(PeerUnreachable(f"There is no way to {where}: {reason}."), "tcp", "Check host and network.")


def _trouble(
    peer: Peer, association: Association, link: _Link | None, heard: list[object], contexts: Sequence[PresentationContext]
) -> NetworkError:
    """Return the leaf that says why no association came about."""
    if link is not None and link.heard[:1] == bytes([_REJECT]) and len(link.heard) >= 10:
        return _rejected(peer, *link.heard[7:10])
    if association.rejected_contexts and not association.accepted_contexts:
        names = sorted({UID(str(context.abstract_syntax)).name for context in contexts})
        return _said(
            ContextRejected(
                f"{peer} accepted the association but no presentation context: not {', '.join(names[:3])}"
                f"{' …' if len(names) > 3 else ''} in any transfer syntax that was proposed (PS3.8 9.3.3.2)."
            ),
            "context",
            f"Its conformance statement says what it offers; its administrator may have to allow it to {peer.calling_ae_title!r}.",
        )
    if any(isinstance(primitive, A_ABORT) for primitive in heard):
        return _said(
            AssociationAborted(f"{peer} aborted the association while it was requested (A-ABORT, PS3.8 9.3.8)."),
            "association",
            "Its log says why; it may not know this machine.",
        )
    if link is not None and (link.overlong or (link.heard and link.heard[0] not in {2, 3, 5, 6, 7})):
        return _said(
            AssociationAborted(f"{peer} answered with something that is not DICOM."),
            "association",
            "Another service may listen at that port.",
        )
    if any(isinstance(primitive, A_P_ABORT) for primitive in heard):
        return _said(
            AssociationAborted(f"{peer} closed the connection instead of answering the association request."),
            "association",
            "It may allow only known addresses, expect TLS, or not be a DICOM service.",
        )
    return _said(
        PeerTimeout(
            f"{peer} accepted the TCP connection but did not answer the association request within {peer.timeouts.acse_s:g} s."
        ),
        "association",
        "Another service may listen at that port, or the peer is overloaded.",
    )


def _rejected(peer: Peer, result: int, source: int, reason: int) -> AssociationRejected:
    remedies = {
        (1, 1): f"Ask its administrator whether {peer.calling_ae_title!r} may connect.",
        (1, 3): f"Ask its administrator to add the calling AE title {peer.calling_ae_title!r} with this machine's address, "
        "or set calling_ae_title to one that it knows.",
        (1, 7): f"It does not call itself {peer.ae_title!r}: ask its administrator for its AE title (case matters).",
        (3, 1): "Try again later.",
        (3, 2): "All its associations are in use: try again later, with fewer at once.",
    }
    error = AssociationRejected(
        f"{peer} rejected the association: {rejection(result, source, reason)} (PS3.8 9.3.4).",
        result=result,
        source=source,
        reason=reason,
    )
    return _said(error, "association", remedies.get((source, reason), "Ask its administrator."))

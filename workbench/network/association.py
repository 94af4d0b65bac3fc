"""Associations with a peer, and the one seam where trouble beneath becomes a :mod:`workbench.errors` leaf.

Knows: host names and TCP, the A-ASSOCIATE service (PS3.8), pynetdicom's threads, and what to try when it fails.
Does not know: what the association is for.
"""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pydicom.uid import UID
from pynetdicom import AE, _config, build_context, build_role, evt
from pynetdicom._handlers import (
    standard_dimse_recv_handler,
    standard_dimse_sent_handler,
    standard_pdu_recv_handler,
    standard_pdu_sent_handler,
)
from pynetdicom.association import Association
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from workbench.entities import Peer
from workbench.errors import (
    AssociationAborted,
    Cancelled,
    ContextRejected,
    InputError,
    NetworkError,
    PeerTimeout,
    PeerUnreachable,
    StatusFailure,
)
from workbench.files.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from workbench.network._secure import SecureSocket, secured
from workbench.network._tap import WATCHER, tapped
from workbench.network._troubles import REJECT, aborted, not_secure, rejection, said, trouble, unreachable
from workbench.network.contexts import MAX_CONTEXTS
from workbench.network.security import client_context, identity_item, tls_of

__all__ = ["MAX_CONTEXTS", "associate", "connect", "lost", "rejection", "take_over", "was_aborted"]

log = logging.getLogger(__name__)

# pynetdicom writes every identifier, that is names of patients, to its log unless it is told not to. Its methods look at
# these two where they send and receive; there is no setting of an AE, an association or a call that would do instead.
_config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False

# Nothing but P-DATA-TF may be longer than this, and P-DATA-TF no longer than was negotiated (PS3.8 D.1).
_LONGEST_ACSE_PDU = 1_048_576
_P_DATA, _ABORT, _ABORTED = 4, 7, bytes((7, 0, 0, 0, 0, 4, 0, 0, 0, 0))

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
    roles: Iterable[str] | Mapping[str, tuple[bool, bool]] = (),
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
    roles : iterable of str, or mapping of str to tuple of bool
        SOP classes for which we want to be the SCP too: those that a C-GET brings (PS3.7 D.3.3.4). Or whether we want to be
        the SCU, and the SCP, of each.
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
    KeyRefused
        If certificates or the secret of the peer's identity can't be used.

    Notes
    -----
    Where ``peer.calling.contexts`` is given, that is proposed instead of `contexts`.
    """
    contexts = _exact(peer, contexts)
    if not 1 <= len(contexts) <= MAX_CONTEXTS:
        raise InputError(f"An association proposes 1 to {MAX_CONTEXTS} presentation contexts, not {len(contexts)} (PS3.8 9.3.2.2).")
    chosen = roles if isinstance(roles, Mapping) else dict.fromkeys(roles, (True, True))
    items: list[Any] = [build_role(UID(uid), scu_role=scu, scp_role=scp) for uid, (scu, scp) in chosen.items()]
    if peer.identity is not None:
        items.append(identity_item(peer, peer.identity))
    entity = _Entity(peer, tapped(connect(peer), watcher=WATCHER.get(), is_caller=True))
    items += [_extended(uid, information) for uid, information in (extended or {}).items()]
    heard: list[object] = []
    bound = [*handlers, (evt.EVT_ACSE_RECV, lambda event: heard.append(event.primitive))]
    try:
        association = entity.associate(
            entity.link_address, peer.port, contexts=list(contexts), ae_title=peer.ae_title, max_pdu=peer.max_pdu_bytes,
            ext_neg=items, evt_handlers=bound,
        )  # fmt: skip
    except BaseException:  # Ctrl-C above all: pynetdicom's thread would go on, and keep the process from ending
        entity.end()
        raise
    link = entity.link
    if link is None or not association.is_established:
        entity.end()
        raise trouble(peer, association, link, heard, contexts)
    try:
        link.patience(peer.timeouts.network_s)
        _confirmed(peer, association)
        _in_proposed_syntaxes(peer, association, contexts)
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
        entity.end()


def _extended(uid: str, information: bytes) -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = UID(uid), information
    return item


def connect(peer: Peer) -> socket.socket:
    """Return a connection to a peer, in TLS where it is set so.

    Nagle's algorithm is off: it costs a factor of ten against delayed ACK.

    Raises
    ------
    PeerUnreachable
        If the name is not known, or nothing listens, or the network has no way there, or its certificate is not trusted.
    AssociationAborted
        If the peer does not take our certificate or speaks no TLS.
    PeerTimeout
        If no answer comes within ``peer.timeouts.connect_s``, or no TLS handshake within ``acse_s``.
    KeyRefused
        If our own certificate, its key or the authorities can't be used.
    """
    tls = tls_of(peer)
    context = None if tls is None else client_context(tls)
    connection = _connected(peer)
    if tls is None or context is None:
        return connection
    connection.settimeout(peer.timeouts.acse_s)
    safe = secured(connection, context, server_side=False, host=(tls.server_name or peer.host) if tls.check_host else None)
    try:
        safe.do_handshake()
    except OSError as error:
        safe.close()
        raise not_secure(peer, error) from None
    log.info("%s: %s, %s", peer, safe.version(), (safe.cipher() or ("",))[0])
    return safe


def _connected(peer: Peer) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise said(
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
    raise unreachable(peer, last) from last


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
    connection = link.take()
    if connection.fileno() < 0:  # its thread has met the end of the connection
        raise said(AssociationAborted(f"{link.peer} accepted the association and closed the connection."), "association")
    return connection


def lost(association: Association, peer: Peer, doing: str, *, is_first: bool = False) -> NetworkError:
    """Return why no answer came from an association that was established.

    Parameters
    ----------
    doing : str
        What the answer was wanted for, such as ``C-FIND``.
    is_first : bool
        Whether nothing was answered on this association before.
    """
    if association._sent_abort:  # noqa: SLF001 - pynetdicom does so when its time is up
        return said(
            PeerTimeout(f"{peer} did not answer {doing} within {peer.timeouts.dimse_s:g} s."),
            "dimse",
            "Ask for less at once, or allow more time (Timeouts.dimse_s).",
        )
    link = association.dul.socket
    if isinstance(link, _Link) and (link.is_late or link.overlong):
        what = "of more bytes than were negotiated" if link.overlong else f"that was not whole within {peer.timeouts.network_s:g} s"
        kind: type[NetworkError] = AssociationAborted if link.overlong else PeerTimeout
        return said(kind(f"{peer} sent a PDU {what} during {doing}."), "dimse", "Its log says why.")
    if was_aborted(association):
        return aborted(peer, doing, is_first=is_first)
    return said(AssociationAborted(f"The connection to {peer} was lost during {doing}."), "dimse")


def was_aborted(association: Association) -> bool:
    """Whether the peer has sent A-ABORT."""
    link = association.dul.socket
    return association.acse.is_aborted("a-abort") or (isinstance(link, _Link) and link.has_abort)


class _Link(AssociationSocket):
    """A connection that exists already, reads with a time limit, and refuses PDUs that are too long."""

    def __init__(self, association: Association, address: AddressInformation, connection: socket.socket, peer: Peer) -> None:
        self._given, self.peer = connection, peer
        self.heard = b""
        self.overlong = 0
        self.is_late = self.is_over = self.has_abort = False
        self._is_data = False
        self._answer_by = time.monotonic() + peer.timeouts.acse_s
        self._taken: socket.socket | None = None
        super().__init__(association, address=address)
        self.patience(peer.timeouts.acse_s)

    def _create_socket(self, address: Any) -> socket.socket:  # noqa: ARG002 - there is nothing to bind
        return self._given

    def connect(self, primitive: T_CONNECT) -> None:
        """Confirm the connection that is there."""
        self._is_connected = True
        primitive.result = "Evt2"
        self.provider_queue.put(primitive)
        self._ready.set()

    @property
    def ready(self) -> bool:
        """Whether there is something to read; of TLS, not counting what it says for itself."""
        if not isinstance(self.socket, SecureSocket):
            return bool(super().ready)
        try:
            return self._is_connected and self.socket.is_ready(0.0)
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes`, or fewer where the peer has closed; they come within the time for a PDU, or not at all."""
        if nr_bytes > (self.peer.max_pdu_bytes if self._is_data else max(_LONGEST_ACSE_PDU, self.peer.max_pdu_bytes)):
            self.overlong = nr_bytes
            if self._is_data and self.socket is not None:
                self.socket.sendall(_ABORTED)
            raise OSError("the PDU is longer than was negotiated")
        data = bytearray(nr_bytes)
        view, done, end = memoryview(data), 0, time.monotonic() + self._patience_s
        while done < nr_bytes:
            if self.socket is None or not (count := self.socket.recv_into(view[done:])):
                self.is_over = time.monotonic() < self._answer_by  # afterwards it is we who have ended it
                view.release()
                del data[done:]
                break
            done += count
            if done < nr_bytes and time.monotonic() > end:  # a few bytes now and then would hold us for ever
                self.is_late = True
                raise TimeoutError("the PDU was not whole in time")
        if nr_bytes == 6 and data:
            self.has_abort, self._is_data = data[0] == _ABORT, data[0] == _P_DATA
        if len(self.heard) < 10:
            self.heard += bytes(data[:10])
            if nr_bytes == 4 and self.heard[0] == REJECT:  # pynetdicom stumbles over values that it does not know
                return bytearray((0, 1, 1, 1))
        return data

    @property
    def tls_trouble(self) -> ssl.SSLError | None:
        """What TLS said when it failed."""
        return self._given.trouble if isinstance(self._given, SecureSocket) else None

    def patience(self, seconds: float) -> None:
        """Set how long a PDU may take once it has begun."""
        self._patience_s = seconds
        with suppress(OSError):  # it may have been closed since
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
        calling = peer.calling
        self.implementation_class_uid = UID(calling.implementation_class_uid or IMPLEMENTATION_CLASS_UID)
        ours = "" if calling.implementation_class_uid else IMPLEMENTATION_VERSION_NAME
        self.implementation_version_name = calling.implementation_version_name or ours or None
        self._peer, self.connection = peer, connection
        self.link: _Link | None = None
        self._association: Association | None = None
        self.link_address = peer.host
        with suppress(OSError):  # the peer may be gone already, with the reason on its way to us
            self.link_address = str(connection.getpeername()[0])
        self.acse_timeout = peer.timeouts.acse_s
        self.dimse_timeout = peer.timeouts.dimse_s
        self.network_timeout = None  # _Link.patience is the limit within a PDU; between two, dimse_timeout is

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: Any) -> AssociationSocket:  # noqa: ARG002
        for event, handler in _CHATTER:  # these write identifiers, that is patients, to the log
            assoc.unbind(event, handler)
        assoc.dul.daemon = True  # as the thread of the association is
        assoc.dul.state_machine.do_action = _calm(assoc)  # type: ignore[method-assign,assignment]
        by_provider = assoc.acse.send_abort  # what pynetdicom aborts itself is an acceptance of nothing: a matter of the user
        assoc.acse.send_abort = lambda _source: by_provider(0)  # type: ignore[method-assign,assignment]
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


def _calm(association: Association) -> Callable[[str], None]:
    """Return what the state machine does, but that a PDU out of turn ends the association and not its thread with a traceback."""
    act = association.dul.state_machine.do_action

    def calm(event: str) -> None:
        try:
            act(event)
        except (InvalidEventError, OSError, AttributeError):  # the last two: the connection went away under it
            log.warning("the association ended: something came out of turn (PS3.8 9.2)")
            association.is_aborted, association.is_established = True, False
            association._kill = True  # noqa: SLF001
            association.dul.kill_dul()

    return calm


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


def _exact(peer: Peer, contexts: Sequence[PresentationContext]) -> Sequence[PresentationContext]:
    """Return what the peer's `calling` proposes, if that says so, else `contexts`."""
    if not peer.calling.contexts:
        return contexts
    exact = [build_context(UID(uid), list(syntaxes)) for uid, syntaxes in peer.calling.contexts]
    wanted = {str(context.abstract_syntax) for context in contexts}
    if wanted.isdisjoint(uid for uid, _ in peer.calling.contexts):
        names = ", ".join(sorted(UID(uid).name for uid in wanted)[:3])
        raise InputError(f"Peer.calling proposes contexts of its own, but none for {names}, which this task needs.")
    return exact


def _in_proposed_syntaxes(peer: Peer, association: Association, proposed: Sequence[PresentationContext]) -> None:
    """Check that nothing was accepted in a transfer syntax that was not proposed: it could not be spoken."""
    known = {(str(context.abstract_syntax), str(syntax)) for context in proposed for syntax in context.transfer_syntax}
    for context in association.accepted_contexts:
        if any((str(context.abstract_syntax), str(syntax)) not in known for syntax in context.transfer_syntax):
            raise said(
                AssociationAborted(
                    f"{peer} accepted {UID(str(context.abstract_syntax)).name} in a transfer syntax that was not proposed "
                    "(PS3.8 9.3.3.2); the association was aborted."
                ),
                "context",
                "Its log, or its vendor, may say more.",
            )


def _confirmed(peer: Peer, association: Association) -> None:
    """Check that the peer has answered to our user identity, if we asked it to (PS3.7 D.3.3.7.2)."""
    if peer.identity is not None and peer.identity.confirm and association.acceptor.user_identity is None:
        raise said(
            AssociationAborted(f"{peer} accepted the association but did not confirm the user (PS3.7 D.3.3.7.2)."),
            "identity",
            "It may not know user identities at all; Identity(confirm=False) goes on without.",
        )

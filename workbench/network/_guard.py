"""Associations that others open with us: pynetdicom's acceptor behind a guard at the connection.

Knows: the insides of pynetdicom 3.0.4 up to (not including) 3.1, all of it that the server relies on: how an acceptor's
association, DUL reactor, state machine and socket are made, which of their methods read and send.
Does not know: archives, services, who may connect.

What pynetdicom does as it comes, and what stands here instead:

- a PDU is read into memory whatever length it announces, for as long as it takes; here each type has a limit that is
  looked at before anything is read, and a whole PDU has a deadline (PS3.8 9.3);
- the reactors sleep and poll; here they wait for the connection;
- P-DATA passes through a queue; here it is sent where it is made, so that a slow peer slows the sender down;
- C-STORE is kept in memory and decoded; here it goes to a :class:`~workbench.network.receiving.StoreReceiver`;
- identifiers are logged; here they are not.
"""

import logging
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any

from pynetdicom import AE, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import StateMachine
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE, A_P_ABORT, P_DATA
from pynetdicom.transport import AddressInformation, AssociationServer, AssociationSocket, RequestHandler

from workbench.entities import Timeouts
from workbench.network._connection import ASSOCIATE_RJ as PDU_ASSOCIATE_RJ
from workbench.network._connection import ASSOCIATE_RQ as PDU_ASSOCIATE_RQ
from workbench.network._connection import P_DATA as PDU_P_DATA
from workbench.network._connection import Closed, Connection
from workbench.network._secure import secured
from workbench.network._tap import WATCHER, Watcher, tapped
from workbench.network.receiving import StoreReceiver, Violation, one_line
from workbench.network.security import subject

__all__ = ["Acceptor", "Entrance", "Service"]

log = logging.getLogger(__name__)

_WAITING_MESSAGES = 64  # requests that may wait unanswered before no more is read
_NEXT_STORE_S = 0.02
_BUSY_STATES = {"Sta3", "Sta8"}  # a local answer is due at any moment


@dataclass(frozen=True)
class Service:
    """What happens on an association, decided elsewhere.

    Parameters
    ----------
    admit : callable
        Called with an :class:`Acceptor` whose request has come; may reject it, sets the supported contexts.
    established : callable
        Called with it once it is negotiated; gives the receiver of its C-STORE requests.
    serve : callable
        Called with it, a DIMSE request and its context; whether it was served. If not, pynetdicom does it.
    ended : callable
        Called with it when it is over.
    idle : callable
        Called with it, in its own thread, while no message waits: the moment for a request of ours.
    """

    admit: Callable[["Acceptor"], None]
    established: Callable[["Acceptor"], StoreReceiver]
    serve: Callable[["Acceptor", Any, Any], bool]
    ended: Callable[["Acceptor"], None]
    idle: Callable[["Acceptor"], None] = lambda _: None


class _Link(AssociationSocket):
    """A guarded connection in the shape in which pynetdicom expects it."""

    def __init__(self, association: "Acceptor", raw: socket.socket, *, patience_s: float, max_pdu_bytes: int) -> None:
        super().__init__(association, client_socket=raw)
        self.connection = Connection(raw, patience_s=patience_s, max_pdu_bytes=max_pdu_bytes)

    def send(self, bytestream: bytes | memoryview) -> None:
        """Send whole PDUs."""
        if not self.connection.send(bytestream):
            self.cut()

    def cut(self, *, abort: bool = False) -> None:
        """End the connection now, after an A-ABORT or without; who reads from it finds its end."""
        if abort:
            self.connection.abort()
        else:
            self.connection.shut()
        self.event_queue.put("Evt17")


class _States(StateMachine):
    """The state machine, which ends the connection rather than its thread where it does not know what to do."""

    def do_action(self, event: str) -> None:
        """Carry out what PS3.8 Table 9-10 says, and wake who waits for it."""
        association: Any = self.dul.assoc
        try:
            super().do_action(event)
        except Exception as error:  # noqa: BLE001 - the association ends, the server does not
            association.note(f"ended at {event} in {self.current_state} by {type(error).__name__}")
            self.current_state = "Sta1"
            self.dul.kill_dul()
        if self.current_state == "Sta1":
            self.dul.to_user_queue.put(A_P_ABORT())
        if self.current_state in {"Sta1", "Sta8", "Sta13"}:
            association.dimse.msg_queue.put((None, None))


class _Provider(DULServiceProvider):
    """The reactor of one connection: it waits instead of polling, and reads through the guard."""

    socket: _Link | None
    _assoc: "Acceptor"

    def __init__(self, association: "Acceptor", timeouts: Timeouts) -> None:
        super().__init__(association)
        self.daemon = True
        self.name = f"{association.name}-reader"
        self.state_machine = _States(self)
        self._run_loop_delay = 0.0
        self._timeouts = timeouts

    def send_pdu(self, primitive: Any) -> None:
        """Send P-DATA at once, in the thread that made it; leave everything else to the state machine."""
        if isinstance(primitive, P_DATA):
            if self.socket is not None and self.state_machine.current_state == "Sta6":
                self.socket.send(P_DATA_TF(primitive).encode())
            return
        if isinstance(primitive, A_ASSOCIATE) and primitive.result == 0:
            self._assoc.prepare()
        super().send_pdu(primitive)

    def _is_transport_event(self) -> bool:
        link, state = self.socket, self.state_machine.current_state
        if link is None or state == "Sta1":
            return False
        if self._assoc.dimse.msg_queue.qsize() > _WAITING_MESSAGES:
            time.sleep(0.005)
            return False
        try:
            if state == "Sta13":  # nothing counts any more; the peer gets a moment to read our last PDU
                if not (link.connection.wait(0.2) and link.connection.drain()):
                    link.close()
                return True
            if not link.connection.wait(0.001 if state in _BUSY_STATES else 0.05):
                return False
            while not self._one_pdu(link.connection, self._assoc.stores):
                if not self._is_next_store_near(link.connection):
                    break
        except Violation as violation:
            self._assoc.note(f"aborted after {violation}")
            link.cut(abort=True)
        except Closed:
            self._assoc.note("the connection was lost")
            self.event_queue.put("Evt17")
        return True

    def _one_pdu(self, connection: Connection, stores: StoreReceiver | None) -> bool:
        """Read a PDU and have it taken; whether the state machine has to see to something now."""
        state, within_s = self.state_machine.current_state, self._timeouts.network_s
        pdu = connection.pdu(within_s=min(within_s, self.artim_timer.remaining) if state == "Sta2" else within_s)
        self._idle_timer.restart()
        if pdu[0] == PDU_P_DATA and stores is not None and state == "Sta6":
            others = stores.take(pdu[6:])
            if others:
                self._hand_over(b"\x04\0" + len(others).to_bytes(4, "big") + others)
            return bool(others)
        if state == "Sta2" and pdu[0] != PDU_ASSOCIATE_RQ:
            self._assoc.note(f"a PDU of type 0x{pdu[0]:02X} before any association request")
        elif state != "Sta2" and pdu[0] <= PDU_ASSOCIATE_RJ:
            self._assoc.note(f"a PDU of type 0x{pdu[0]:02X} within an association")
        self._hand_over(bytes(pdu))
        return True

    def _is_next_store_near(self, connection: Connection) -> bool:
        """Whether to go on reading: within a dataset, and while one store follows the other."""
        stores = self._assoc.stores
        return stores is not None and (stores.is_receiving or connection.wait(_NEXT_STORE_S)) and self.to_provider_queue.empty()

    def _hand_over(self, pdu: bytes) -> None:
        """Give a whole PDU to pynetdicom."""
        try:
            decoded, event = self._decode_pdu(bytearray(pdu))
        except Exception as error:  # noqa: BLE001 - whatever its decoder stumbles over
            raise Violation(f"a PDU of type 0x{pdu[0]:02X} that can't be read ({type(error).__name__})") from None
        self._recv_pdu.put(decoded)
        self.event_queue.put(event)


class Acceptor(Association):
    """An association that a peer has opened."""

    link: _Link

    def __init__(self, ae: AE, service: Service, *, timeouts: Timeouts, idle_s: float) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self._service = service
        self.stores: StoreReceiver | None = None
        self.dul = _Provider(self, timeouts)
        self.acse_timeout, self.dimse_timeout, self.network_timeout = timeouts.acse_s, timeouts.dimse_s, idle_s
        self.address = self.reason = ""
        #: The subject of the certificate that was shown and verified, and the user who was identified; empty without.
        self.certificate = self.user = ""
        self.poll_s = 1.0  # how long to wait for a message before a moment counts as idle
        #: Who also sees the associations that are opened on its behalf, such as those of a C-MOVE.
        self.watcher: Watcher | None = None
        #: Held while a message is sent: the PDUs of two messages do not mix (PS3.8 E).
        self.turn = threading.RLock()

    @property
    def caller(self) -> str:
        """Who it is, for a log line."""
        title = self.requestor.ae_title if self.requestor.primitive is not None else ""
        return f"{one_line(title) or 'no AE title yet'} at {self.address}"

    @property
    def is_alive_and_well(self) -> bool:
        """Whether a response still has somewhere to go."""
        return self.is_established and not self._kill and self.dul.state_machine.current_state == "Sta6"

    def note(self, reason: str) -> None:
        """Remember why it ends; the first reason counts."""
        self.reason = self.reason or reason

    def _bind_defaults(self) -> None:
        for event in evt._INTERVENTION_EVENTS:  # noqa: SLF001 - as the parent does, without the handlers that log identifiers
            self.bind(event, evt.get_default_handler(event))

    def run_reactor(self) -> None:
        """Wait for the request, negotiate, serve until it is over, and leave nothing behind."""
        WATCHER.set(self.watcher)  # of this thread, which ends with it
        try:
            self.link.connection.secure(within_s=self.acse_timeout or 0)
            if shown := self.link.connection.certificate:
                self.certificate = subject(shown)
            self.dul.start()
            self._started_dul = True
            primitive: Any = self.dul.receive_pdu(wait=True, timeout=(self.acse_timeout or 0) + 1)
            if isinstance(primitive, A_ASSOCIATE):
                self._negotiate(primitive)
        except Violation as violation:
            self.note(str(violation))
        except Exception as error:  # noqa: BLE001 - one association ends, the server goes on
            self.note(f"ended by {type(error).__name__}")
        finally:
            self._leave()

    def _negotiate(self, request: A_ASSOCIATE) -> None:
        self.requestor.primitive = request
        self._service.admit(self)
        if not self.is_rejected:
            self.acse.negotiate_association()
        if self.is_established:
            self._run_reactor()
        else:
            self.kill()

    def prepare(self) -> None:
        """Be ready for what may follow the A-ASSOCIATE-AC at once."""
        self.stores = self._service.established(self)

    def reject(self, result: int, source: int, reason: int, *, because: str) -> None:
        """Reject the request (PS3.8 9.3.4)."""
        log.warning("%s: rejected %d/%d/%d, %s", self.caller, result, source, reason, because)
        self.acse.send_reject(result, source, reason)
        self.is_rejected = True

    def _run_reactor(self) -> None:
        """Serve requests one after the other (the parent polls each millisecond)."""
        self._is_paused = False
        while not self._kill:
            try:
                context_id, message = self.dimse.msg_queue.get(timeout=min(self.poll_s, self.network_timeout or 1.0))
            except queue.Empty:
                context_id = message = None
                if self.is_alive_and_well:
                    self._service.idle(self)
            if message is not None and context_id is not None:
                self._serve_request(message, context_id)
                self.dul._idle_timer.restart()  # noqa: SLF001 - the peer had nothing to say while it was served
            if self._is_over():
                self.kill()

    def _is_over(self) -> bool:
        if self.is_established and self.acse.is_release_requested():
            self.note("released")
            self.acse.send_release(is_response=True)
            self.is_released, self.is_established = True, False
            return True
        if self.acse.is_aborted() or not self.dul.is_alive():
            self.note("aborted by the peer")
            self.is_aborted, self.is_established = True, False
            return True
        if self.dul.idle_timer_expired() and not (self.stores and self.stores.is_receiving):
            self.note(f"aborted after {self.network_timeout:g} s without a message")
            self.abort()
            return True
        return False

    def _serve_request(self, msg: Any, context_id: int) -> None:
        context = self._accepted_cx.get(context_id)
        if context is not None and msg.is_valid_request and self._service.serve(self, msg, context):
            self.dimse.cancel_req = {}
        else:
            super()._serve_request(msg, context_id)

    def send_bytes(self, pdus: bytes | memoryview) -> None:
        """Send whole PDUs."""
        self.link.send(pdus)

    def cut(self, reason: str) -> None:
        """End it now, with A-ABORT where possible."""
        self.note(reason)
        self.link.cut(abort=True)

    def _leave(self) -> None:
        self._kill = True
        self.is_established = False
        end = time.monotonic() + 2.0
        while self.dul.is_alive() and time.monotonic() < end and self.dul.state_machine.current_state != "Sta1":
            time.sleep(0.005)
        self.dul.kill_dul()
        self.link.cut()
        if self.dul.ident is not None:
            self.dul.join(2.0)
        if self.stores is not None:
            self.stores.abandon(self.reason or "the association ended")
        self.link.connection.close()
        self._service.ended(self)


class _Doorkeeper(RequestHandler):
    """Makes an :class:`Acceptor` of each connection."""

    server: "Entrance"

    def _create_association(self) -> Acceptor:
        return self.server.acceptor(self.request, self.remote, self.local)


class Entrance(AssociationServer):
    """A listening socket.

    Parameters
    ----------
    ae : pynetdicom.AE
        Titles and sizes.
    address : tuple of str and int
        Where to listen.
    service : Service
        What happens on associations.
    timeouts : Timeouts
        `acse_s` for the request, `network_s` for a whole PDU and each pause within a message, `dimse_s` for responses to us.
    idle_s : float
        How long an association may be silent between messages.
    max_connections : int
        Connections beyond so many are closed at once.
    tls : ssl.SSLContext, optional
        To be spoken on each connection; its handshake keeps nobody else waiting.
    """

    request_queue_size = 128
    #: Who sees what passes through the connections.
    watcher: Watcher | None = None

    def __init__(
        self, ae: AE, address: tuple[str, int], *, service: Service, timeouts: Timeouts, idle_s: float, max_connections: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self._service, self._timeouts, self._idle_s, self._max_connections = service, timeouts, idle_s, max_connections
        self._tls = tls
        self._acceptors: set[Acceptor] = set()
        self._lock = threading.Lock()
        self._count = 0
        super().__init__(ae, address, ae.ae_title, [], request_handler=_Doorkeeper)

    @property
    def acceptors(self) -> tuple[Acceptor, ...]:
        """Connections that are open now."""
        with self._lock:
            return tuple(self._acceptors)

    def acceptor(self, connection: socket.socket, remote: AddressInformation, local: AddressInformation) -> Acceptor:
        """Return the association of a new connection, not started."""
        association = Acceptor(
            self.ae, Service(self._service.admit, self._service.established, self._service.serve, self._ended, self._service.idle),
            timeouts=self._timeouts, idle_s=self._idle_s,
        )  # fmt: skip
        self._count += 1
        association.name = f"workbench-association-{self._count}"
        association.address = f"{remote.address}:{remote.port}"
        association._server = self  # noqa: SLF001 - as the parent's handler does
        if self._tls is not None:
            connection.settimeout(self._timeouts.acse_s)
            connection = secured(connection, self._tls, server_side=True)
        association.watcher = self.watcher
        tap = tapped(connection, watcher=self.watcher, is_caller=False)
        association.link = _Link(association, tap, patience_s=self._timeouts.network_s, max_pdu_bytes=self.ae.maximum_pdu_size)
        association.set_socket(association.link)
        association.acceptor.maximum_length = self.ae.maximum_pdu_size
        association.acceptor.ae_title = self.ae_title
        association.acceptor.address_info, association.requestor.address_info = local, remote
        association.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        association.acceptor.implementation_version_name = self.ae.implementation_version_name
        with self._lock:
            self._acceptors.add(association)
        return association

    def _ended(self, association: Acceptor) -> None:
        with self._lock:
            self._acceptors.discard(association)
        self._service.ended(association)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the signature is given
        """Whether there is room for one more connection."""
        return len(self._acceptors) < self._max_connections

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the signature is given
        """Note that a connection could not be taken; the parent prints a traceback."""
        log.error("a connection could not be taken")
        self.shutdown_request(request)

    def stop(self) -> None:
        """Listen no more."""
        BaseServer.shutdown(self)  # the parent's also looks for itself in a list of the AE
        self.server_close()

    def _bind_defaults(self) -> None:
        """Bind nothing: handlers are bound by the association, and none that logs identifiers."""

    def service_actions(self) -> None:
        """Collect no garbage here: the parent does so every half minute, for the whole process."""

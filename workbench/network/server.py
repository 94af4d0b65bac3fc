"""The archive's door: a DICOM server in this process, on the loopback interface unless asked otherwise.

Knows: who may come in, which presentation contexts are accepted, when the server starts and ends.
Does not know: how instances are stored or found, how PDUs are read.
"""

import atexit
import contextlib
import errno
import logging
import socket
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from types import TracebackType
from typing import Any, Never, Self, cast

from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.presentation import PresentationContext

from workbench.entities import Peer, Timeouts, Tls, ae_title_checked, html_safe, implementation_checked, uid_checked
from workbench.errors import AttributeUnusable, ServerRefused, UidInvalid
from workbench.files.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from workbench.network._admission import Admission, Refusal, Request, Standing, confirm, identified, refusal
from workbench.network._guard import Acceptor, Entrance, Service
from workbench.network._handlers import MODELS, QueryRetrieve, Shelves
from workbench.network._tap import WATCHER
from workbench.network.negotiation import QueryPolicy
from workbench.network.providing import Provider, served
from workbench.network.receiving import Context, StoreReceiver
from workbench.network.security import Identify, identifier, server_context
from workbench.network.trace import Trace
from workbench.standard import storage_classes

__all__ = ["Server"]

log = logging.getLogger(__name__)

VERIFICATION = "1.2.840.10008.1.1"
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
_STOP_S = 1.5


@dataclass(eq=False, repr=False)
class Server:
    """A Verification, Storage and Query/Retrieve service class provider over an archive.

    Parameters
    ----------
    archive : Archive, optional
        Where instances go and come from. It stays open when the server stops. Without one the server offers verification and
        the services of its `providers`, no storage and no query/retrieve.
    ae_title : str
        What the server calls itself.
    host : str
        Address to listen at; other machines reach it only if this is not a loopback address.
    port : int
        TCP port; 0 takes one that is free.
    known_peers : mapping of str to Peer, AddressBook or iterable of Peer, optional
        The destinations that C-MOVE may name by their AE title, and from which address a calling AE title
        may come where `require_calling_ae_titles` is given.
    require_called_ae_title : bool
        Reject an association that calls for another AE title (1/1/7).
    require_calling_ae_titles : collection of str, optional
        Reject an association from any other calling AE title (1/1/3).
    max_associations : int
        Reject more than so many at once, as a transient local limit (2/3/2).
    timeouts : Timeouts
        `acse_s` for an association request to arrive, `network_s` for a PDU to be whole and for each pause within a
        message, `dimse_s` for responses to our C-GET sub-operations.
    idle_s : float
        Abort an association that is silent between messages for so long.
    max_pdu_bytes : int
        Longest P-DATA that we accept (PS3.8 D.1); larger ones are faster.
    providers : sequence of Provider, optional
        Further services, such as a worklist, performed procedure steps, storage commitment or a printer.
    queries : QueryPolicy
        What is granted to queries that negotiate (PS3.4 C.5.1.1), and how many matches are too many.
    tls : Tls, optional
        Speak TLS (PS3.15 B.12, B.13) and nothing else. Clients need a certificate of an authority that it names.
    identify : callable or mapping of str to str, optional
        Who the user of an association is (PS3.7 D.3.3.7): a function that judges a :class:`~workbench.network.security.Claim`,
        or passcodes by username, each from :func:`workbench.network.security.hashed`. Others are rejected (1/2/1).
    admission : Admission
        From which addresses, with which certificates and how often one may come.
    accepts : mapping of str to collection of str, optional
        To speak as another system would: accept these abstract syntaxes only, each in these transfer syntaxes only. Further
        storage classes that are named here are stored, even unknown ones.
    implementation_class_uid, implementation_version_name : str
        What the server calls itself in its answers (PS3.7 D.3.3.2).
    accept_unknown_classes : bool
        Also store instances of SOP classes that are in no table (any abstract syntax that is not a known service).
    trace : Trace, optional
        Records all associations with the server, and those that it opens itself for C-MOVE and reports of storage commitment;
        without it, the one of :func:`~workbench.network.trace.trace` in whose block the server is started, if any.

    Raises
    ------
    AttributeUnusable
        If a title, the port or a limit can't be used.
    KeyRefused
        By :meth:`start`, if certificates or keys can't be used.

    Notes
    -----
    A dataset is stored byte for byte as it comes, in whichever transfer syntax was agreed: of those proposed in a
    presentation context the first, Explicit VR Big Endian last. Statuses of C-STORE are listed in
    :mod:`workbench.network.receiving`. An instance is acknowledged when it survives the end of this process.

    C-GET and C-MOVE send an instance as it is stored where its own transfer syntax was accepted. Otherwise it is decoded to
    Explicit or, where that was not accepted either, Implicit VR Little Endian, with the pixel values that a decoder gives;
    nothing is ever compressed, so that nothing is lost by it. What can't be decoded here (video, private transfer syntaxes),
    or has no accepted context, counts as a failed sub-operation.

    An AE title is no proof of identity, an address hardly. On any other host than a loopback address use TLS, with
    ``Admission(titles_of=...)`` where it matters who is who, or a network that you trust.

    Examples
    --------
    >>> import tempfile
    >>> from workbench.archive import Archive
    >>> with tempfile.TemporaryDirectory() as folder, Archive(folder) as archive, Server(archive, ae_title="DOOR") as server:
    ...     server.peer.ae_title, server.port == server.peer.port
    ('DOOR', True)
    """

    archive: Shelves | None
    _: KW_ONLY
    ae_title: str = "WORKBENCH"
    host: str = "127.0.0.1"
    port: int = 0
    known_peers: Mapping[str, Peer] | Iterable[Peer] | None = None
    require_called_ae_title: bool = True
    require_calling_ae_titles: Collection[str] | None = None
    max_associations: int = 16
    timeouts: Timeouts = field(default_factory=Timeouts)
    idle_s: float = 60.0
    max_pdu_bytes: int = 262_144
    providers: Sequence[Provider] = ()
    accept_unknown_classes: bool = False
    queries: QueryPolicy = field(default_factory=QueryPolicy)
    trace: Trace | None = None
    tls: Tls | None = None
    identify: Identify | Mapping[str, str] | None = field(default=None, repr=False)
    admission: Admission = field(default_factory=Admission)
    accepts: Mapping[str, Collection[str]] | None = None
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID
    implementation_version_name: str = IMPLEMENTATION_VERSION_NAME

    def __post_init__(self) -> None:
        self.ae_title = ae_title_checked(self.ae_title)
        if self.require_calling_ae_titles is not None:
            self.require_calling_ae_titles = frozenset(ae_title_checked(t) for t in self.require_calling_ae_titles)
        if not self.host:
            raise AttributeUnusable("host must name an address; to be reached from other machines say so: '0.0.0.0'.")
        if not 0 <= self.port < 65_536:
            raise AttributeUnusable(f"A port is a number from 0 (any that is free) to 65535, not {self.port}.")
        if self.max_associations < 1 or not 4_096 <= self.max_pdu_bytes <= 16 << 20:
            raise AttributeUnusable("max_associations must be 1 or more, and max_pdu_bytes from 4096 to 16777216.")
        if self.admission.titles_of and self.tls is None:
            raise AttributeUnusable("Admission(titles_of=...) knows callers by certificates, which only TLS shows: pass tls=.")
        implementation_checked(self.implementation_class_uid, self.implementation_version_name)
        self._identify = None if self.identify is None else identifier(self.identify)
        self._accepts = None if self.accepts is None else {uid_checked(u): frozenset(s) for u, s in self.accepts.items()}
        known = self.known_peers or ()
        self._known: tuple[Peer, ...] = tuple(known.values() if isinstance(known, Mapping) else known)
        self._asked_port = self.port
        self._entrance: Entrance | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._inside: set[Acceptor] = set()
        self._classes = frozenset(c.uid for c in storage_classes())
        self._provided = frozenset(uid for provider in self.providers for uid in provider.sop_classes)
        for provider in self.providers:
            if meet := getattr(provider, "meet", None):
                meet(self._known_as)
        self._reversible = frozenset(uid for provider in self.providers for uid in getattr(provider, "reversible", ()))
        self._stored = self._refused = self._associations = 0

    # ------------------------------------------------------------ start and stop
    def start(self) -> Self:
        """Listen; return the server.

        Raises
        ------
        ServerRefused
            If it runs already, or the address can't be had.
        """
        if self._entrance is not None:
            raise ServerRefused(f"The server already runs: {self.peer}. Stop it first, or use that one.")
        queries = self._queries()

        def serve(association: Acceptor, request: Any, context: PresentationContext) -> bool:
            return (queries is not None and queries.serve(association, request, context)) or any(
                served(provider, association, request, context) for provider in self.providers
            )

        context = None if self.tls is None else server_context(self.tls)
        service = Service(self._admit, self._established, serve, self._ended, self._idle)
        try:
            self._entrance = Entrance(
                self._entity(), (self.host, self._asked_port), service=service, timeouts=self.timeouts, idle_s=self.idle_s,
                max_connections=4 * self.max_associations + 16, tls=context,
            )  # fmt: skip
        except (OSError, UnicodeError) as error:
            raise self._refusal(error) from error
        self._entrance.watcher = WATCHER.get() if self.trace is None else self.trace
        self.port = int(self._entrance.server_address[1])
        self._thread = threading.Thread(
            target=self._entrance.serve_forever, kwargs={"poll_interval": 0.1}, name=f"workbench-server-{self.port}", daemon=True
        )
        self._thread.start()
        atexit.register(self.stop)
        log.info("%s listens at %s:%d", self.ae_title, self.host, self.port)
        return self

    def stop(self) -> None:
        """Stop listening and abort what is open; the port is free when this returns. Does nothing where it does not run."""
        entrance, self._entrance = self._entrance, None
        if entrance is None:
            return
        atexit.unregister(self.stop)
        entrance.stop()
        acceptors = entrance.acceptors
        for association in acceptors:
            association.cut("aborted, the server stops")
        end = time.monotonic() + _STOP_S
        for thread in (*acceptors, self._thread):
            if thread is not None and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
        log.info("%s stopped listening at port %d", self.ae_title, self.port)
        self.port = self._asked_port

    def know(self, peer: Peer) -> None:
        """From now on C-MOVE may name this peer; of several with one AE title the last counts."""
        with self._lock:
            self._known = (*self._known, peer)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it listens."""
        return self._entrance is not None

    @property
    def peer(self) -> Peer:
        """The server as its clients see it.

        Raises
        ------
        ServerRefused
            If it does not run.
        """
        if self._entrance is None:
            raise ServerRefused("The server does not run: call start(), or use it in a with statement.")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - where to connect to
        return Peer(name=self.ae_title.lower(), ae_title=self.ae_title, host=host, port=self.port, timeouts=self.timeouts)

    def __repr__(self) -> str:
        state = f"listening at {self.host}:{self.port}" if self.is_running else "stopped"
        return f"<Server {self.ae_title!r}, {state}, {self._stored} stored, {self._refused} refused>"

    def _repr_html_(self) -> str:
        state = f"listening at <code>{html_safe(self.host)}:{self.port}</code>" if self.is_running else "stopped"
        return (
            f"<p><b>DICOM server {html_safe(self.ae_title)}</b>, {state}<br>{len(self._inside)} associations open, "
            f"{self._associations} so far; {self._stored} instances stored, {self._refused} refused</p>"
        )

    # ------------------------------------------------------------ who may come in
    def _admit(self, association: Acceptor) -> None:
        sent = cast("Any", association.requestor.primitive)
        association.requestor.ae_title = sent.calling_ae_title
        request = Request.of(association)
        called = self.ae_title if self.require_called_ae_title else None
        refused = refusal(request, self.admission, called=called, calling=self.require_calling_ae_titles, known=self._known)
        standing = Standing() if refused else identified(request, self.admission, self._identify)
        refused = refused or standing.refused or self._counted(association, request.calling)
        if refused is not None:
            (result, source, reason), because = refused
            association.reject(result, source, reason, because=because)
            return
        association.user = standing.user
        confirm(association, answer=standing.answer)
        if queries := self._queries():
            association.bind(evt.EVT_SOP_EXTENDED, queries.negotiate)
        association.acceptor.supported_contexts = self._supported(sent.presentation_context_definition_list)

    def _counted(self, association: Acceptor, title: str) -> Refusal | None:
        """Count it in, or say why there is no room for it."""
        with self._lock:
            if len(self._inside) >= self.max_associations:
                return (2, 3, 2), f"{self.max_associations} associations are open"
            most = self.admission.per_title
            if most is not None and sum(str(each.requestor.ae_title).strip() == title for each in self._inside) >= most:
                return (2, 3, 2), f"{most} associations of its AE title are open"
            self._inside.add(association)
            self._associations += 1
        return None

    def _supported(self, proposed: list[PresentationContext]) -> list[PresentationContext]:
        """Return what we support of what is proposed: pynetdicom then negotiates (PS3.8 7.1.1.13, PS3.7 D.3.3.4)."""
        storing: dict[str, list[str]] = {}
        supported = []
        for context in proposed:
            uid = str(context.abstract_syntax)
            offered = self._offered(uid, map(str, context.transfer_syntax))
            if offered is None:
                continue
            if self._is_storage(uid):
                storing.setdefault(uid, []).extend(offered)
            elif uid == VERIFICATION or (uid in MODELS and self.archive is not None) or uid in self._provided:
                supported.append(build_context(uid, self._offered(uid, _PLAIN)))
                if uid in self._reversible:
                    supported[-1].scu_role = supported[-1].scp_role = True
        for uid, syntaxes in storing.items():
            syntaxes.sort(key=lambda syntax: syntax == ExplicitVRBigEndian)
            context = build_context(uid, list(dict.fromkeys(syntaxes)))
            context.scu_role = context.scp_role = True
            supported.append(context)
        return supported

    def _offered(self, uid: str, proposed: Iterable[str]) -> list[str] | None:
        """Return the transfer syntaxes that may be agreed on for an abstract syntax, of those proposed; None where none ever is."""
        syntaxes = [syntax for syntax in proposed if _is_uid(syntax)]
        if self._accepts is None:
            return syntaxes
        allowed = self._accepts.get(uid)
        return None if allowed is None else [syntax for syntax in syntaxes if syntax in allowed]

    def _is_storage(self, uid: str) -> bool:
        if self.archive is None:
            return False
        if uid in self._classes:
            return True
        if self._accepts is not None and uid in self._accepts:
            return uid != VERIFICATION and uid not in MODELS and uid not in self._provided
        return self.accept_unknown_classes and _is_uid(uid) and (UID(uid).is_private or UID(uid).name == uid)

    def _established(self, association: Acceptor) -> StoreReceiver:
        contexts = {
            cast("int", context.context_id): Context(
                str(context.abstract_syntax),
                str(context.transfer_syntax[0]),
                is_storage=self._is_storage(str(context.abstract_syntax)),
            )
            for context in association.accepted_contexts
        }
        title = str(association.requestor.ae_title).strip()
        try:
            source = ae_title_checked(title)
        except AttributeUnusable:
            source = ""
        log.info("%s: associated, %d contexts", association.caller, len(contexts))
        receive = self.archive.receiving if self.archive is not None else _nowhere
        return StoreReceiver(
            contexts, receive=receive, answer=association.send_bytes, source_ae_title=source,
            told=lambda status: self.queries.answered("STORE", status),
        )  # fmt: skip

    def _known_as(self, title: str) -> Peer | None:
        return next((peer for peer in reversed(self._known) if peer.ae_title == title), None)

    def _idle(self, association: Acceptor) -> None:
        for provider in self.providers:
            if idle := getattr(provider, "idle", None):
                try:
                    idle(association)
                except Exception as error:  # noqa: BLE001 - its text may hold a value
                    log.warning("%s: a request of ours failed (%s)", association.caller, type(error).__name__)

    def _ended(self, association: Acceptor) -> None:
        for provider in self.providers:
            provider.ended(association)
        with self._lock:
            was_inside = association in self._inside
            self._inside.discard(association)
            stores = association.stores
            if stores is not None:
                self._stored += stores.stored
                self._refused += stores.refused
        if was_inside and stores is not None:
            log.info(
                "%s: %s; %d instances (%d bytes) stored, %d refused",
                association.caller, association.reason or "ended", stores.stored, stores.stored_bytes, stores.refused,
            )  # fmt: skip
        elif not association.is_rejected:
            log.warning("%s: no association: %s", association.caller, association.reason or "no request came in time")

    # ------------------------------------------------------------ parts
    def _entity(self) -> AE:
        entity = AE(ae_title=self.ae_title)
        entity.maximum_pdu_size = self.max_pdu_bytes
        entity.maximum_associations = 1_000_000  # counted here: pynetdicom counts connections that have not yet asked
        entity.implementation_class_uid = UID(self.implementation_class_uid)
        entity.implementation_version_name = self.implementation_version_name or None
        entity.network_timeout = None
        return entity

    def _queries(self) -> QueryRetrieve | None:
        if self.archive is None:
            return None
        return QueryRetrieve(
            self.archive, lambda title: self._as_sender(self._known_as(title)), self.timeouts, self.ae_title, self.queries
        )  # fmt: skip

    def _as_sender(self, peer: Peer | None) -> Peer | None:
        return None if peer is None else peer.but(calling_ae_title=self.ae_title)

    def _refusal(self, error: Exception) -> ServerRefused:
        where = f"{self.host}:{self._asked_port}"
        code = getattr(error, "errno", None)
        if code == errno.EADDRINUSE:
            return ServerRefused(
                f"Port {self._asked_port} of {self.host} is in use. A server runs there already, of this notebook or of "
                "another program: stop() it first, or pass port=0 for a free port."
            )
        if code == errno.EACCES:
            return ServerRefused(f"This user may not listen at {where}; ports from 1024 on need no rights.")
        if code == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror | UnicodeError):
            return ServerRefused(f"{self.host!r} is no address of this machine. Use 127.0.0.1, or one that it has.")
        return ServerRefused(f"The server can't listen at {where}: {getattr(error, 'strerror', '') or type(error).__name__}.")


def _nowhere(**_: str) -> Never:
    """Stand where an archive would: no storage context is accepted without one."""
    raise ServerRefused("The server has no archive.")


def _is_uid(text: str) -> bool:
    with contextlib.suppress(UidInvalid):
        uid_checked(text)
        return True
    return False

"""The address book as a server sees it that runs while the book changes.

Knows: that a peer may be added while nobody reads.
Does not know: commands.
"""

import logging
import time
from pathlib import Path

from workbench.entities import Peer, counted
from workbench.errors import InputError
from workbench.network import AddressBook, Server

__all__ = ["KnownPeers"]

log = logging.getLogger(__name__)

_EVERY_S = 1.0


class KnownPeers:
    """The peers of the address book, read anew when its file changes.

    Attributes
    ----------
    peers : dict of str to Peer
        As it was read last.
    """

    def __init__(self) -> None:
        book = AddressBook.load()
        self._path: Path = book.path
        self.peers: dict[str, Peer] = {peer.name: peer for peer in book}
        # the first `tell` reads it again: it may have changed since it was read, before anyone could look when it did
        self._read, self._looked = 0, time.monotonic()

    def _changed(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0

    def tell(self, server: Server) -> None:
        """Let a server know the peers that have been added or changed; what was removed it knows until it stops."""
        if time.monotonic() - self._looked < _EVERY_S:
            return
        self._looked = time.monotonic()
        if (changed := self._changed()) == self._read:
            return
        self._read = changed
        try:
            now = {peer.name: peer for peer in AddressBook.load(self._path)}
        except InputError as error:
            log.warning("the address book can't be read, what it had counts: %s", error)
            return
        new = [peer for name, peer in now.items() if self.peers.get(name) != peer]
        for peer in new:
            server.know(peer)
        if new:
            log.debug("the address book has %s added or changed", counted(len(new), "peer"))
        self.peers = now

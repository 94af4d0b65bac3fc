"""What a server says of an address book that changes while it runs."""

import logging

from workbench.cli import _book
from workbench.entities import Peer
from workbench.network import AddressBook, Server


def test_peers_that_are_added_are_known_without_a_word_in_the_log(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("WORKBENCH_PEERS", str(tmp_path / "peers.toml"))
    monkeypatch.setattr(_book, "_EVERY_S", 0.0)
    known = _book.KnownPeers()
    book = AddressBook.load()
    for number in range(2):
        book.add(Peer(f"late{number}", f"LATE{number}", "127.0.0.1", 11119))
    book.save()
    server = Server(None, known_peers=known.peers)
    with caplog.at_level(logging.DEBUG, logger="workbench"):
        known.tell(server)
    assert server._known_as("LATE1").port == 11119
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO] == []
    assert "the address book has 2 peers added or changed" in caplog.text

"""A scripted client and a scripted server: they speak PS3.8 over a raw socket, so that they can also break it."""

import pytest

from tests.network.scripted import Listening, Script


@pytest.fixture
def script():
    return Script


@pytest.fixture
def listening():
    """A function that starts a server whose conduct is the function that is passed."""
    servers = []

    def start(talk, **options):
        servers.append(Listening(talk, **options))
        return servers[-1].peer

    yield start
    for server in servers:
        server.close()

"""A peer as a client of the package dicomweb-client: for what has no function here, such as metadata and rendered frames.

Knows: how a peer's address, login and patience are handed to that package.
Does not know: what is asked with it.
"""

from typing import Any

from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session

from workbench.entities import Peer
from workbench.network.addressbook import as_peer
from workbench.network.web import base_address, login

__all__ = ["web_client"]


def web_client(peer: Peer | str) -> Any:
    """Return a ``dicomweb_client.DICOMwebClient`` for a peer, with its login and its time limits.

    Use :func:`find`, :func:`retrieve` and :func:`store` with ``via="web"`` for whole instances: they are faster, report one row
    an instance, and name what fails. This is for the rest of PS3.18: metadata, rendered frames, bulk data.

    Parameters
    ----------
    peer : Peer or str
        With a `web_url`; a peer, or its name in the address book.

    Returns
    -------
    dicomweb_client.DICOMwebClient
        Its errors are those of the package requests.

    Raises
    ------
    InputError
        If the peer has no `web_url`, or its secret is not in the environment.
    """
    peer = as_peer(peer)
    session = create_session()
    session.headers.update(login(peer, base_address(peer)))
    client = DICOMwebClient(url=peer.web_url.rstrip("/"), session=session, timeout=peer.timeouts.dimse_s)
    client.set_http_retry_params(retry=False)  # else a server that is away is asked again for minutes
    return client

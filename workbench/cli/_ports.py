"""Whether a server can listen where it is told to.

Knows: that a folder made for a server that can't be is litter.
Does not know: commands.
"""

import socket

from workbench.network import Server

__all__ = ["port_tried"]


def port_tried(host: str, port: int, *, ae_title: str) -> None:
    """Take an address and let go of it, before a folder is made for the server. Nobody is listened to meanwhile.

    Raises
    ------
    AttributeUnusable
        If `ae_title` is none.
    ServerRefused
        If the address can't be had.
    """
    server = Server(None, ae_title=ae_title, host=host, port=port)
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
            probe.bind((host, port))
    except (OSError, UnicodeError):
        server.start().stop()  # which says why, if it is so

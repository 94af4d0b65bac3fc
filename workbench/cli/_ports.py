"""Whether a server can listen where it is told to.

Knows: that a folder made for a server that can't be is litter.
Does not know: commands.
"""

from workbench.network import Server, can_listen

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
    if not can_listen(host, port):
        server.start().stop()  # which says why, if it is so

"""Whether a server can listen where it is told to.

Knows: that a folder made for a server that can't be is litter.
Does not know: commands.
"""

from workbench.network import Server

__all__ = ["port_tried"]


def port_tried(host: str, port: int, *, ae_title: str) -> None:
    """Listen once and stop, before a folder is made for the server.

    Raises
    ------
    AttributeUnusable
        If `ae_title` is none.
    ServerRefused
        If the address can't be had.
    """
    Server(None, ae_title=ae_title, host=host, port=port).start().stop()

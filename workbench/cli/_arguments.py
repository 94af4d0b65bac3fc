"""What several commands take as arguments.

Knows: how a key with its value, or the files of a TLS connection, are written on a command line.
Does not know: commands.
"""

from collections.abc import Iterable
from typing import Annotated

import typer

from workbench.entities import Tls, plain
from workbench.errors import InputError

__all__ = ["TlsFiles", "keys_of", "tls_of"]

#: Certificate, key and authority.
TlsFiles = Annotated[
    tuple[str, str, str] | None,
    typer.Option("--tls", metavar="CERTIFICATE KEY AUTHORITY", help="Speak TLS (BCP 195), with these three PEM files."),
]


def keys_of(pairs: Iterable[str] | None) -> dict[str, str]:
    """Return the keys of ``KEYWORD=VALUE`` arguments.

    Examples
    --------
    >>> keys_of(["PatientName=DOE*"])
    {'PatientName': 'DOE*'}
    """
    found = {}
    for pair in pairs or ():
        keyword, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"A query key is written KEYWORD=VALUE, such as PatientName='DOE*'; {plain(keyword)!r} has no '='.")
        found[keyword] = value
    return found


def tls_of(files: tuple[str, str, str] | None) -> Tls | None:
    """Return the TLS settings of three files: certificate, key, certificate of the authority."""
    return Tls(certificate=files[0], key=files[1], ca=(files[2],)) if files else None

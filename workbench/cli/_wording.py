"""Remedies in the words of the command line.

Knows: which option stands for which argument of a function.
Does not know: errors, commands.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["in_options", "rows_in_options"]

#: Columns of reports that hold sentences of ours; others hold values of datasets, which are nobody's to change.
_TOLD = frozenset({"message", "remedy", "text"})

#: What a message says to somebody who writes Python, and the same for somebody who types commands.
_SAID = MappingProxyType({
    "A server runs there already, of this notebook or of another program: stop() it first, or pass port=0 for a free port":
        "Another program listens there: stop it first, or pass another port, 0 for a free one",
    "; dates and times of Python can be passed as well.": ".",
    "Pass it in attributes= or series=.": "Pass it as KEYWORD=VALUE to 'workbench step begin'.",
    "pass listen= with the port": "pass --listen with the port",
    "set calling_ae_title and move_port= to what it knows":
        "set --calling of 'workbench peers add' and --move-port to what it knows",
    "set calling_ae_title to": "set --calling of 'workbench peers add' to",
    "Pass transcode='lossless' to": "Pass --transcode lossless to",
    "or ask via='dimse'.": "or pass --via dimse.",
    "Use method='move'.": "Use --method move.",
    "Use model='PATIENT'.": "Use --model PATIENT.",
    "ask with QueryOptions(relational=True) if": "pass --relational if",
    "is said by time_zone=, such as": "is said by --time-zone, such as",
    "FilmBox(annotation=...)": "--annotation-format",
    "state= takes a": "--state takes a",
    ", or pass validator=False.": ".",
    "max_rows= shows more": "--json shows all",
    "max_items= shows more": "'workbench tree' shows all",
    "Pass limits=Limits(inflated_bytes=...) if": "Read it in Python, with other limits, if",
    "Pass limits=Limits(nesting=...) if": "Read it in Python, with other limits, if",
    "workbench.files.in_syntax(dataset, to=...) turns them.": "In Python, workbench.files.in_syntax turns them.",
    "Pass frame= for one at a time, or limit_bytes= if": "Render it in Python, with another limit, if",
    " on the command line, add() and save() of AddressBook.load() in Python.": ".",
    "allow more time (Timeouts.dimse_s)": "allow more time (timeouts.dimse_s of its entry in the address book)",
    "Tls.ca names the authorities": "The third file of --tls names the authorities",
    "(or to Tls.server_name)": "(or to tls.server_name of its entry in the address book)",
    "Pass Tls(certificate=..., key=...) that is": "Pass --tls with a certificate and a key that are",
    "needs Tls(certificate=..., key=...).": "needs --tls.",
    "Tls(ca=...) names no authority": "tls.ca of its entry in the address book names no authority",
    ", or say require_client=False.": ".",
    "Tls(key_kept_in='env:NAME')": "tls.key_kept_in of its entry in the address book",
    "Pass Peer.tls with the authority": "Pass --tls of 'workbench peers add' with the authority",
    "it may expect plain DICOM (Peer.tls=None)": "it may expect plain DICOM, without --tls",
    "It may expect plain DICOM (Peer.tls=None)": "It may expect plain DICOM, without --tls",
    "Identity(confirm=False) goes on without.": "without --user nobody is named.",
    "Use TLS (Peer.tls), or say Identity(without_tls=True) on": "Use --tls, or set identity.without_tls in the address book on",
    "Peer.calling proposes contexts of its own": "The calling table of its entry in the address book proposes contexts of its own",
})  # fmt: skip


def in_options(text: str) -> str:
    """Return a message with its remedy in options instead of arguments; all else stays as it is.

    Examples
    --------
    >>> in_options("Use method='move'.")
    'Use --method move.'
    """
    for python, option in _SAID.items():
        text = text.replace(python, option)
    return text


def rows_in_options(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of a report with what they say in options.

    Examples
    --------
    >>> rows_in_options([{"message": "Use method='move'.", "count": 1}])
    [{'message': 'Use --method move.', 'count': 1}]
    """
    return [{k: in_options(v) if k in _TOLD and isinstance(v, str) else v for k, v in record.items()} for record in records]

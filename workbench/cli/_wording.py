"""Remedies in the words of the command line.

Knows: which option stands for which argument of a function.
Does not know: errors, commands.
"""

from types import MappingProxyType

__all__ = ["in_options"]

#: What a message says to somebody who writes Python, and the same for somebody who types commands.
_SAID = MappingProxyType({
    "stop() it first, or pass port=0 for a free port": "stop it first, or pass --port 0 for a free port",
    "Pass it in attributes= or series=.": "Pass it as KEYWORD=VALUE to 'workbench step begin'.",
    "pass listen= with the port": "pass --listen with the port",
    "or set calling_ae_title and move_port= to what it knows":
        "or set --calling of 'workbench peers add' and --move-port to what it knows",
    "Pass transcode='lossless' to": "Pass --transcode lossless to",
    "Use method='move'.": "Use --method move.",
    "Use model='PATIENT'.": "Use --model PATIENT.",
    "ask with QueryOptions(relational=True) if": "pass --relational if",
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

"""Policies of application entities in words.

Knows: what each field of a policy says to somebody who reads.
Does not know: profiles, terminals.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["policy_in_words"]

#: What a field says, by its value; or a sentence with a place for the value.
_WORDS: Mapping[str, str | Mapping[Any, str]] = MappingProxyType({
    "associations_per": "an association for each {}",
    "on_failure": {"stop": "stops after a failure", "continue": "goes on after a failure"},
    "warning_is": "takes a warning for a {}",
    "attempts": "tries {} times",
    "wait_s": "{} s between attempts",
    "connect_s": "waits {} s for a connection",
    "acse_s": "waits {} s for an association",
    "dimse_s": "waits {} s for a response",
    "network_s": "waits {} s for the network",
    "service_s": "goes on for {} s without data",
    "operation_s": "an operation takes {} s at most",
    "idle_s": "an idle association ends after {} s",
    "limit": "uses {} answers at most",
    "wildcards": {
        "both": "adds * before and after a key", "trailing": "adds * after a key", "none": "adds no * to a key",
        "user": "the user types *",
    },
    "name_form": "asks names as {}",
    "unsupported_character_set": {
        "discard": "discards answers in other character sets", "keep": "keeps answers in other character sets",
    },
    "checks_called": {True: "checks the called AE title", False: "takes any called AE title"},
    "checks_calling": {True: "checks the calling AE title", False: "takes any calling AE title"},
    "contexts_per": {
        "row": "proposes a SOP class once, with all its transfer syntaxes",
        "syntax": "proposes each transfer syntax by itself",
    },
    "converts": {True: "sends in other transfer syntaxes too", False: "sends in its own transfer syntax only"},
})  # fmt: skip


def policy_in_words(policy: Mapping[str, Any]) -> str:
    """Return what a policy says, as a list in one line.

    Examples
    --------
    >>> policy_in_words({"acse_s": 300.0, "converts": False})
    'waits 300 s for an association, sends in its own transfer syntax only'
    """
    return ", ".join(_said(_WORDS[name], value) for name, value in policy.items())


def _said(words: str | Mapping[Any, str], value: Any) -> str:
    if isinstance(words, str):
        return (
            words.format(f"{value:g}" if isinstance(value, float) else value)
            .replace("tries 1 times", "tries once")
            .replace("after 0 s", "at once")
        )
    return words[value]

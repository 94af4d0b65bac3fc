"""How one shows who one is: TLS settings, a user's identity, and what an application entity calls itself on the wire.

Knows: where a secret is kept, by name.
Does not know: any secret; how a connection is made.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.entities.references import uid_checked
from workbench.entities.text import plain
from workbench.errors import AttributeUnusable

__all__ = ["Calling", "Identity", "Tls", "implementation_checked"]

_BCP_195, _MODIFIED_BCP_195 = "BCP 195", "Modified BCP 195"
_KINDS = {"username": 1, "passcode": 2, "kerberos": 3, "saml": 4, "jwt": 5}
_KEPT_IN = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:\S.*|keyring:[^/\s]+/\S+")


def _bools_checked(value: Any, *names: str) -> None:
    for name in names:
        if not isinstance(getattr(value, name), bool):
            raise AttributeUnusable(f"{name} is true or false, not {type(getattr(value, name)).__name__}.")


def _kept_in_checked(value: object, *, name: str) -> str:
    if not isinstance(value, str) or not _KEPT_IN.fullmatch(value):
        raise AttributeUnusable(
            f"{name} says where a secret is kept, never the secret itself: 'env:NAME' (an environment variable), "
            "'file:PATH' (a file that only its owner can read) or 'keyring:SERVICE/USER'."
        )
    return value


@dataclass(frozen=True, slots=True)
class Tls:
    """Settings of a TLS connection (PS3.15 Annex B), for a client or a server; paths only, no key.

    Parameters
    ----------
    certificate, key : str or Path
        PEM files with our certificate (and its chain) and its private key. Both profiles authenticate both sides;
        a client without them can only talk to a server that does not insist.
    ca : sequence of str or Path
        PEM files with the certificates of authorities that we trust; nobody else is trusted.
    profile : str
        ``BCP 195`` (PS3.15 B.12) or ``Modified BCP 195`` (B.13): TLS 1.3, or else 1.2, and nothing below.
    name : str
        What it is called in the address book, where several peers share it.
    check_host : bool
        Whether a server's certificate must be made out to the host that we connect to (RFC 9325 6.1).
    server_name : str
        To whom it must be made out instead, where the host is reached under another name or address.
    require_client : bool
        Whether our server insists on a client's certificate, as mutual authentication wants it.
    key_kept_in : str
        Where the passphrase of an encrypted `key` is kept: ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``.

    Raises
    ------
    AttributeUnusable
        If a field is of another type, the profile is not one of the two, or a certificate comes without its key.

    Examples
    --------
    >>> Tls(ca="authority.pem", certificate="scanner.pem", key="scanner.key").ca
    ('authority.pem',)
    """

    certificate: str | Path = ""
    key: str | Path = ""
    ca: tuple[str | Path, ...] = ()
    profile: str = _BCP_195
    name: str = ""
    check_host: bool = True
    server_name: str = ""
    require_client: bool = True
    key_kept_in: str = ""

    def __post_init__(self) -> None:
        authorities: Any = self.ca
        if isinstance(authorities, str | Path):
            authorities = (authorities,)
        for value in (self.certificate, self.key, *(authorities if isinstance(authorities, tuple | list) else (None,))):
            if not isinstance(value, str | Path) or "-----BEGIN" in str(value):
                raise AttributeUnusable("certificate, key and ca of a Tls are paths of PEM files, not their content.")
        for name, text in (("certificate", str(self.certificate)), ("key", str(self.key)), ("ca", tuple(map(str, authorities)))):
            object.__setattr__(self, name, text)
        _bools_checked(self, "check_host", "require_client")
        if self.profile not in {_BCP_195, _MODIFIED_BCP_195}:
            raise AttributeUnusable(
                f"A TLS profile is {_BCP_195!r} or {_MODIFIED_BCP_195!r} (PS3.15 B.12, B.13), not {plain(str(self.profile))!r}; "
                "the others are retired."
            )
        if bool(self.certificate) != bool(self.key):
            raise AttributeUnusable("certificate and key of a Tls come together: the one proves nothing without the other.")
        if self.key_kept_in:
            _kept_in_checked(self.key_kept_in, name="key_kept_in")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which user an association is for (PS3.7 D.3.3.7), by name; the secret stays where it is kept.

    Parameters
    ----------
    kind : str
        ``username``, ``passcode`` (with a username), ``kerberos`` (a service ticket), ``saml`` (an assertion) or ``jwt``.
    user : str
        The username, of the first two.
    kept_in : str
        Where passcode, ticket, assertion or token is kept: ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``.
        A Kerberos ticket is bytes: Base64 in an environment variable or keyring, as they are in a file.
    confirm : bool
        Whether to ask for a positive response, and to give up where none comes: a server that does not know user identities
        accepts the association without a word (PS3.7 D.3.3.7.2).
    without_tls : bool
        Send it over a connection that everybody on the way can read.

    Raises
    ------
    AttributeUnusable
        If a field that its kind needs is lacking, or a secret stands where its place belongs.

    Examples
    --------
    >>> Identity("passcode", user="reader", kept_in="env:PACS_PASSCODE").is_secret
    True
    """

    kind: str
    user: str = ""
    kept_in: str = ""
    confirm: bool = True
    without_tls: bool = False

    def __post_init__(self) -> None:
        _bools_checked(self, "confirm", "without_tls")
        if self.kind not in _KINDS:
            raise AttributeUnusable(f"The kind of an identity is {', '.join(_KINDS)}, not {plain(str(self.kind))!r}.")
        if (self.kind in {"username", "passcode"}) != bool(self.user):
            raise AttributeUnusable("user is the username of kind 'username' or 'passcode', and of no other (PS3.7 D.3.3.7.1).")
        if self.is_secret:
            _kept_in_checked(self.kept_in, name="kept_in")
        elif self.kept_in:
            raise AttributeUnusable("An identity of kind 'username' has no secret; with one it is of kind 'passcode'.")

    @property
    def code(self) -> int:
        """Its User-Identity-Type (PS3.7 D.3.3.7.1)."""
        return _KINDS[self.kind]

    @property
    def is_secret(self) -> bool:
        """Whether whoever reads it can use it."""
        return self.kind != "username"


@dataclass(frozen=True, slots=True)
class Calling:
    """What we call ourselves and propose in an association request, where it is not the workbench that asks.

    Parameters
    ----------
    implementation_class_uid, implementation_version_name : str
        PS3.7 D.3.3.2; empty for those of the workbench.
    contexts : sequence of (str, sequence of str)
        Presentation contexts to propose instead of those that the task needs: abstract syntax and transfer syntaxes, in order.

    Raises
    ------
    UidInvalid, AttributeUnusable
        If a UID is none, a name is longer than 16 characters, or there are more than 128 contexts.
    """

    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    contexts: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        implementation_checked(self.implementation_class_uid, self.implementation_version_name)
        contexts = tuple((uid_checked(uid), tuple(uid_checked(each) for each in syntaxes)) for uid, syntaxes in self.contexts)
        if len(contexts) > 128 or not all(syntaxes for _, syntaxes in contexts):
            raise AttributeUnusable("contexts are at most 128, each with a transfer syntax or more (PS3.8 9.3.2.2).")
        object.__setattr__(self, "contexts", contexts)


def implementation_checked(class_uid: str, version_name: str) -> None:
    """Check an Implementation Class UID and Version Name (PS3.7 D.3.3.2); both may be empty.

    Raises
    ------
    UidInvalid, AttributeUnusable
        If they can't be sent.
    """
    if class_uid:
        uid_checked(class_uid)
    if len(version_name) > 16 or not (version_name.isascii() and version_name.isprintable()):
        raise AttributeUnusable("implementation_version_name has up to 16 printable ASCII characters (PS3.7 D.3.3.2.3).")

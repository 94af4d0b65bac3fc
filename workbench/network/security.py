"""TLS for associations, and who their users are.

Knows: the TLS profiles of PS3.15 B.12 and B.13, User Identity Negotiation (PS3.7 D.3.3.7), how passcodes are compared.
Does not know: associations; it keeps no secret.
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from cryptography import x509
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from workbench.entities import Identity, Peer, Tls, plain
from workbench.errors import InputError, KeyRefused
from workbench.network._kept import kept
from workbench.network.addressbook import AddressBook
from workbench.network.authority import TestAuthority, test_authority

__all__ = [
    "Claim",
    "Identify",
    "TestAuthority",
    "client_context",
    "hashed",
    "identifier",
    "identity_item",
    "passcodes",
    "server_context",
    "subject",
    "test_authority",
    "tls_checked",
    "tls_of",
]

#: Cipher suites of TLS 1.2 in OpenSSL's words (RFC 9325 4.2; PS3.15 B.13). All agree on keys by ECDHE with curves of 256 bits
#: or more; DHE, whose length can't be set here, is not offered, as B.13 wants it. TLS 1.3 has its own.
_CIPHERS = {
    "BCP 195": "ECDHE+AESGCM:@SECLEVEL=2",
    "Modified BCP 195": "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM:@SECLEVEL=2",
}
_COST = {"n": 2**14, "r": 8, "p": 1}  # scrypt, some 16 MiB and 50 ms
_SALT_BYTES = 16
_HASHED = re.compile(rb"scrypt\$[0-9a-f]{32}\$[0-9a-f]{128}")


def tls_of(peer: Peer) -> Tls | None:
    """Return a peer's TLS settings, from the address book where it only names them."""
    return AddressBook.load().tls(peer.tls) if isinstance(peer.tls, str) else peer.tls


def client_context(tls: Tls) -> ssl.SSLContext:
    """Return what a client needs to speak TLS.

    Raises
    ------
    KeyRefused
        If a file can't be read, is not what it should be, or a key does not belong to its certificate.
    """
    if not tls.ca:
        raise KeyRefused("Tls(ca=...) names no authority: whoever answered would be trusted. Pass its certificate, a PEM file.")
    context = _context(ssl.PROTOCOL_TLS_CLIENT, tls)
    context.check_hostname = tls.check_host
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return what a server needs to speak TLS: clients need a certificate unless `require_client` says otherwise.

    Raises
    ------
    KeyRefused
        As of :func:`client_context`; a server also needs a certificate of its own.
    """
    if not tls.certificate:
        raise KeyRefused("A server that speaks TLS needs Tls(certificate=..., key=...).")
    if tls.require_client and not tls.ca:
        raise KeyRefused(
            "Tls(ca=...) names no authority, so that no client's certificate can be trusted. Pass its certificate, a PEM file, "
            "or say require_client=False."
        )
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls)
    context.verify_mode = ssl.CERT_REQUIRED if tls.require_client else ssl.CERT_OPTIONAL if tls.ca else ssl.CERT_NONE
    return context


def tls_checked(tls: Tls, *, now: dt.datetime | None = None) -> Tls:
    """Return TLS settings whose files are there, are what they should be, belong together, and are valid now.

    Raises
    ------
    KeyRefused
        With the file that can't be used, and why.

    Notes
    -----
    A connection would fail later, on the other side, where the reason is seldom told (RFC 5280 4.1.2.5, validity).
    """
    now = now or dt.datetime.now(dt.UTC)
    for path, what in ((tls.certificate, "certificate"), *((path, "certificate of an authority") for path in tls.ca)):
        if path:
            _valid(Path(path), what, now)
    if tls.key and b"PRIVATE KEY" not in _read(Path(tls.key), "key"):
        raise KeyRefused(f"The key {tls.key} is no private key in PEM form.")
    _context(ssl.PROTOCOL_TLS_SERVER, tls)
    return tls


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyRefused(f"The {what} {path} can't be read: {error.strerror or type(error).__name__}.") from None


def _valid(path: Path, what: str, now: dt.datetime) -> None:
    content = _read(path, what)
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        hint = "; it holds a private key: were the two swapped?" if b"PRIVATE KEY" in content else ""
        raise KeyRefused(f"The {what} {path} holds no certificate in PEM form{hint or '.'}") from None
    found = found[:1] if what == "certificate" else found  # its chain comes after it
    if any(each.not_valid_before_utc <= now <= each.not_valid_after_utc for each in found):
        return  # of several authorities, some may be over
    if found[0].not_valid_after_utc < now:
        raise KeyRefused(f"The {what} {path} expired on {found[0].not_valid_after_utc:%Y-%m-%d}.")
    raise KeyRefused(f"The {what} {path} is valid from {found[0].not_valid_before_utc:%Y-%m-%d} only.")


def _context(protocol: int, tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    context.set_ciphers(_CIPHERS[tls.profile])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    passphrase = (lambda: kept(tls.key_kept_in)) if tls.key_kept_in else _no_passphrase
    wanted = tls.certificate
    try:
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key, passphrase)
        for wanted in tls.ca:
            context.load_verify_locations(wanted)
    except ssl.SSLError as error:
        said = {"KEY_VALUES_MISMATCH": "the key does not belong to the certificate", "NO_START_LINE": "it is no PEM file"}
        reason = said.get(error.reason or "", (error.reason or "it can't be used").lower().replace("_", " "))
        raise KeyRefused(f"TLS can't be set up with {wanted}: {reason}.") from None
    except OSError as error:
        where = wanted if wanted != tls.certificate else f"{tls.certificate} and {tls.key}"
        raise KeyRefused(f"TLS can't be set up with {where}: {error.strerror or type(error).__name__}.") from None
    return context


def _no_passphrase() -> NoReturn:
    raise KeyRefused("The private key is encrypted: say where its passphrase is kept, Tls(key_kept_in='env:NAME').")


def subject(certificate: bytes) -> str:
    """Return the subject of a certificate (DER) as RFC 4514 writes it, such as ``CN=scanner,O=Hospital``."""
    return x509.load_der_x509_certificate(certificate).subject.rfc4514_string()


# ---------------------------------------------------------------- user identity
def identity_item(peer: Peer, identity: Identity) -> UserIdentityNegotiation:
    """Return the User Identity Negotiation sub-item of a request (PS3.7 D.3.3.7.1).

    Raises
    ------
    KeyRefused
        If the secret is not there, or would go out over a connection that others can read.
    """
    if identity.is_secret and peer.tls is None and not identity.without_tls:
        raise KeyRefused(
            f"The {identity.kind} for {peer} would be readable by everybody on the way. Use TLS (Peer.tls), or say "
            "Identity(without_tls=True) on a network that you trust."
        )
    item = UserIdentityNegotiation()
    item.user_identity_type = identity.code
    item.positive_response_requested = identity.confirm
    item.primary_field = identity.user.encode()
    if identity.kind == "passcode":
        item.secondary_field = kept(identity.kept_in)
    elif identity.is_secret:
        item.primary_field = kept(identity.kept_in)
    if identity.kind == "kerberos" and not identity.kept_in.startswith("file:"):
        try:
            item.primary_field = base64.b64decode(item.primary_field, validate=True)
        except binascii.Error:
            raise KeyRefused(f"The Kerberos ticket at {identity.kept_in!r} is not in Base64.") from None
    return item


@dataclass(frozen=True, slots=True)
class Claim:
    """Who a requestor says that it is; its secret is shown nowhere and can't be pickled.

    Parameters
    ----------
    kind : str
        As in :class:`workbench.entities.Identity`; ``type N`` where the standard has no such type.
    user : str
        The username, of kinds ``username`` and ``passcode``; U+FFFD where it is not UTF-8.
    secret : bytes
        Passcode, ticket, assertion or token.
    calling_ae_title, address, certificate : str
        Who asks, from where, and the subject of its certificate, if it showed one.
    """

    kind: str
    user: str = field(repr=False)
    secret: bytes = field(repr=False)
    calling_ae_title: str = ""
    address: str = ""
    certificate: str = ""

    def __reduce__(self) -> NoReturn:
        raise KeyRefused("A claim holds a secret and is not pickled.")


#: Says whether a claim is true; bytes are the server's answer to a Kerberos ticket, SAML assertion or JSON web token.
Identify = Callable[[Claim], bool | bytes]


def hashed(passcode: str | bytes) -> str:
    """Return a passcode as it may be kept: by scrypt, with a salt of its own.

    Examples
    --------
    >>> hashed("first") == hashed("first")
    False
    """
    salt = os.urandom(_SALT_BYTES)
    return f"scrypt${salt.hex()}${_digest(passcode, salt).hex()}"


def _digest(passcode: str | bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(passcode.encode() if isinstance(passcode, str) else passcode, salt=salt, **_COST)


def passcodes(places: Mapping[str, str]) -> dict[str, str]:
    """Return hashed passcodes by username, for ``Server(identify=...)``, of users whose passcodes are kept elsewhere.

    Parameters
    ----------
    places : mapping of str to str
        Of usernames to places: ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/USER``, which keep the passcode, or what
        :func:`hashed` made of it.

    Raises
    ------
    AttributeUnusable
        If what is given is no place: it may be a passcode, and is not repeated.
    KeyRefused
        If there is nothing, or others can read it.
    """
    found = {}
    for user, place in places.items():
        secret = kept(Identity("passcode", user=user, kept_in=place).kept_in)
        found[user] = secret.decode() if _HASHED.fullmatch(secret) else hashed(secret)
    return found


def identifier(users: Identify | Mapping[str, str]) -> Identify:
    """Return the function that judges claims; of a mapping, one that compares passcodes with it.

    Parameters
    ----------
    users : callable or mapping of str to str
        Of usernames to passcodes, each as :func:`hashed` gives it. Only kind ``passcode`` is then let in.

    Raises
    ------
    InputError
        If a value of the mapping is not such a hash.

    Notes
    -----
    A passcode is compared in constant time, and of an unknown user with a hash of nothing, so that time tells nothing.
    """
    if not isinstance(users, Mapping):
        if not callable(users):
            raise InputError("identify is a function of a Claim, or a mapping of usernames to hashed passcodes.")
        return users
    known = {user: _parsed(user, value) for user, value in users.items()}
    nobody = (os.urandom(_SALT_BYTES), os.urandom(64))

    def judge(claim: Claim) -> bool:
        salt, expected = known.get(claim.user, nobody)
        is_right = hmac.compare_digest(_digest(claim.secret, salt), expected)
        return is_right and claim.kind == "passcode" and claim.user in known

    return judge


def _parsed(user: str, value: Any) -> tuple[bytes, bytes]:
    try:
        scheme, salt, digest = value.split("$")
        found = bytes.fromhex(salt), bytes.fromhex(digest)
    except (AttributeError, ValueError):
        scheme, found = "", (b"", b"")
    if scheme != "scrypt" or len(found[0]) != _SALT_BYTES or len(found[1]) != 64:
        raise InputError(f"identify: the passcode of {plain(user)!r} is not hashed. Write security.hashed(passcode) in its place.")
    return found

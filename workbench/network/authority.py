"""A certification authority for tests and first steps: certificates for our own servers and clients, valid for a month.

Knows: X.509 certificates (RFC 5280).
Does not know: connections. It is no authority for a hospital: nobody can revoke what it issued.
"""

import datetime as dt
import ipaddress
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from workbench.entities import Tls, plain
from workbench.errors import InputError
from workbench.files import write_whole
from workbench.network._kept import kept

__all__ = ["TestAuthority", "test_authority"]

_HOSTS = ("localhost", "127.0.0.1", "::1")
_SKEW = dt.timedelta(days=1)  # clocks differ
_USAGE = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
    "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class TestAuthority:
    """Issues certificates into a folder; see :func:`test_authority`.

    Parameters
    ----------
    folder : Path
        Where certificates and keys go; keys are readable by their owner only.
    name : str
        The common name of the authority.

    Attributes
    ----------
    ca : Path
        Its certificate, which whoever is to trust it needs.
    """

    __test__ = False  # not a test itself

    def __init__(self, folder: Path, *, name: str = "Workbench test authority") -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._name = _common_name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = _certificate(self._name, self._name, self._key.public_key(), days=365.0)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        self._identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        signed = builder.add_extension(self._identifier, critical=False).sign(self._key, hashes.SHA256())
        self.ca = write_whole(self.folder / "ca.pem", signed.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, *, hosts: tuple[str, ...] = _HOSTS, days: float = 30.0, trusting: Path | None = None, key_kept_in: str = ""
    ) -> Tls:
        """Return settings with a new certificate, for a server or a client.

        Parameters
        ----------
        name : str
            Its common name, and that of its files.
        hosts : tuple of str
            Names and addresses of a server that may use it.
        days : float
            How long it is valid; a certificate of a negative number has expired that long ago.
        trusting : Path, optional
            The authority that its owner trusts, if not this one.
        key_kept_in : str
            Where the passphrase is kept with which the key is encrypted, such as ``env:NAME``.

        Raises
        ------
        InputError
            If the name is none for a file.
        """
        if not name or not all(character.isalnum() or character in "-_ " for character in name):
            raise InputError(
                f"A name of letters, digits, '-', '_' and spaces names a certificate and its files, not {plain(name)!r}."
            )
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _certificate(_common_name(name), self._name, key.public_key(), days=days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage("digital_signature"), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False
        )
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_host(each) for each in hosts or ("invalid",)]), critical=False
        )
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier)
        signed = builder.add_extension(authority, critical=False).sign(self._key, hashes.SHA256())
        protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if key_kept_in:
            protection = serialization.BestAvailableEncryption(kept(key_kept_in))
        encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
        certificate = write_whole(self.folder / f"{name}.pem", signed.public_bytes(serialization.Encoding.PEM))
        private = write_whole(self.folder / f"{name}.key", encoded, mode=0o600)
        return Tls(certificate=certificate, key=private, ca=(trusting or self.ca,), key_kept_in=key_kept_in)

    @property
    def server(self) -> Tls:
        """Settings of a server on this machine, with a new certificate."""
        return self.issue("server")

    @property
    def client(self) -> Tls:
        """Settings of a client, with a new certificate."""
        return self.issue("client")

    def __repr__(self) -> str:
        return f"TestAuthority({str(self.folder)!r})"


def test_authority(folder: Path | str) -> TestAuthority:
    """Return a new certification authority whose certificates are written to `folder`.

    Parameters
    ----------
    folder : Path
        Made where it is not there. The authority's own key is kept in memory only: a new call is a new authority.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     settings = test_authority(folder).issue("scanner")
    >>> settings.profile, Path(settings.certificate).name
    ('BCP 195', 'scanner.pem')
    """
    return TestAuthority(Path(folder))


test_authority.__test__ = False  # type: ignore[attr-defined]


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, days: float) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    end = now + dt.timedelta(days=days)
    return x509.CertificateBuilder(
        issuer_name=issuer, subject_name=subject, public_key=key, serial_number=x509.random_serial_number(),
        not_valid_before=min(now, end) - _SKEW, not_valid_after=end,
    )  # fmt: skip


def _usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in _USAGE})


def _host(text: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    return x509.DNSName(text)

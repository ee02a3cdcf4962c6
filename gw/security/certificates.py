"""Certificates and revocation lists of the private PKI, built in memory; files are `pki`'s."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey

_DAY: Final = datetime.timedelta(days=1)
_ROOT_LIFE: Final = 7300 * _DAY
_ISSUING_LIFE: Final = 5475 * _DAY
_DEVICE_LIFE: Final = 3650 * _DAY
_SERVER_LIFE: Final = 825 * _DAY
"""The longest life that every common client accepts in a server certificate."""
_BACKDATED: Final = 3 * _DAY
"""Start of validity before now: devices boot with clocks that are days behind."""
_MAX_COMMON_NAME: Final = 64
_HOST_NAME: Final = re.compile(r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?\Z")


class PkiError(Exception):
    """What is asked of the PKI cannot be done; the message says why and what would help."""


class Authority:
    """A CA with its key: signs certificates and its own revocation list."""

    def __init__(self, certificate: x509.Certificate, key: PrivateKey) -> None:
        if certificate.public_key() != key.public_key():
            name = certificate.subject.rfc4514_string()
            raise PkiError(f"the key and the certificate of {name} are not a pair")
        self.certificate = certificate
        self.key = key
        self.pem = certificate_pem(certificate)
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        self._key_identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            identifier.value
        )

    @classmethod
    def root(cls, key: PrivateKey) -> Authority:
        """Return a new self-signed root of `key`."""
        subject = _name("gw", "gw root CA")
        builder = _builder(subject, subject, key, now() + _ROOT_LIFE)
        return cls(_as_authority(builder, path_length=1).sign(key, hashes.SHA256()), key)

    def issuing(self, key: PrivateKey) -> Authority:
        """Return a new CA of `key` below this one, for leaves only."""
        end = min(now() + _ISSUING_LIFE, self.certificate.not_valid_after_utc)
        builder = _builder(_name("gw", "gw issuing CA"), self.certificate.subject, key, end)
        builder = _as_authority(builder, path_length=0)
        builder = builder.add_extension(self._key_identifier, critical=False)
        return Authority(builder.sign(self.key, hashes.SHA256()), key)

    def device(self, serial: str, key: PrivateKey, *, expired: bool = False) -> x509.Certificate:
        """Return a client certificate of the device `serial`; `expired`: it ended yesterday."""
        # Agents take the serial from the 11th character of "/O=TIP/CN=<mac>" (agents.md).
        subject = _name("TIP", serial)
        end = now() - _DAY if expired else now() + _DEVICE_LIFE
        builder = self._leaf(subject, key, ExtendedKeyUsageOID.CLIENT_AUTH, end)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, names: list[x509.GeneralName], key: PrivateKey) -> x509.Certificate:
        """Return a server certificate for `names`, the last of which is its common name."""
        texts = [str(n.value) for n in names if isinstance(n, x509.DNSName)]
        subject = _name("gw", texts[-1] if len(texts[-1]) <= _MAX_COMMON_NAME else "localhost")
        builder = self._leaf(subject, key, ExtendedKeyUsageOID.SERVER_AUTH, now() + _SERVER_LIFE)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def revocation_list(
        self, number: int, revoked: Iterable[tuple[int, datetime.datetime]] = ()
    ) -> x509.CertificateRevocationList:
        """Return the list of `revoked` (certificate number, time); `number` must grow."""
        # The next update is the CA's own end: nothing refreshes the list of an idle PKI.
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now())
            .next_update(self.certificate.not_valid_after_utc)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(self._key_identifier, critical=False)
        )
        for certificate_number, at in revoked:
            entry = x509.RevokedCertificateBuilder(certificate_number, at)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256())

    def _leaf(
        self,
        subject: x509.Name,
        key: PrivateKey,
        usage: x509.ObjectIdentifier,
        end: datetime.datetime,
    ) -> x509.CertificateBuilder:
        end = min(end, self.certificate.not_valid_after_utc)
        return (
            _builder(subject, self.certificate.subject, key, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(leaf=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(self._key_identifier, critical=False)
        )


def new_key() -> PrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def general_name(host: str) -> x509.GeneralName:
    """Return a host name or address as it stands in a certificate; raises PkiError."""
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    if not _HOST_NAME.match(host):
        raise PkiError(f"{host[:80]!r} is neither a host name nor an address")
    return x509.DNSName(host.lower())


def alternative_names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    """Return the subject alternative names of `certificate`."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(found.value)


def load_key(path: Path) -> PrivateKey:
    """Return the private key of a PEM file; raises PkiError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, OSError) as exc:
        raise PkiError(f"{path} cannot be read as a private key: {exc}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path} is not an elliptic curve key, which this PKI is made of")
    return key


def load_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a PEM file; raises PkiError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (ValueError, OSError) as exc:
        raise PkiError(f"{path} cannot be read as a certificate: {exc}") from None


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """Return `certificate` as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: PrivateKey) -> bytes:
    """Return `key` as unencrypted PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def now() -> datetime.datetime:
    """Return the present as the aware time that x509 wants."""
    return datetime.datetime.now(datetime.UTC)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, end: datetime.datetime
) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now() - _BACKDATED,
        not_valid_after=end,
    ).add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _as_authority(builder: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return builder.add_extension(constraints, critical=True).add_extension(
        _key_usage(leaf=False), critical=True
    )


def _key_usage(*, leaf: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=leaf,
        key_cert_sign=not leaf,
        crl_sign=not leaf,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(organization: str, common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )

"""Who a device is by its certificate, and for whom it may speak: rules per issuing authority.

Pure but for `issuer_fingerprint`, which asks OpenSSL for the chain it has verified.
Source: southbound.md 1.3.
"""

from __future__ import annotations

import hashlib
import ssl
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from gw.core.ids import normalize_serial
from gw.core.records import PeerCertificate
from gw.core.settings import CaPolicy

SIMULATOR_PREFIX: Final = "53494d"
"""Hexadecimal of `SIM`: common names of simulators begin so (southbound.md 1.3)."""

VERIFIED: Final = "VERIFIED"
MISMATCH: Final = "MISMATCH_SERIAL"
SIMULATED: Final = "SIMULATED"

Name = tuple[tuple[tuple[str, str], ...], ...]
"""A distinguished name as `getpeercert()` gives it."""

_SHORT: Final = {
    "commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU",
    "countryName": "C", "stateOrProvinceName": "ST", "localityName": "L",
    "domainComponent": "DC", "userId": "UID", "streetAddress": "street", "surname": "SN",
    "givenName": "GN", "jurisdictionCountryName": "jurisdictionC",
    "jurisdictionLocalityName": "jurisdictionL",
    "jurisdictionStateOrProvinceName": "jurisdictionST",
}  # fmt: skip
"""Attribute types whose short name, which OpenSSL prints, is not the one of `getpeercert()`."""


class IdentityError(Exception):
    """The client certificate does not name a device."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        """Label of gw_handshake_failures_total."""


class Identity(NamedTuple):
    """What a verified client certificate proves."""

    certificate: PeerCertificate
    policy: CaPolicy | None
    """Looser rules of its issuer; None: the strict ones."""
    issuer: str
    """`issuer_key` of its issuer."""


def identify(
    certificate: dict[str, Any], policies: Sequence[CaPolicy], fingerprint: str, now: float
) -> Identity:
    """Return whose certificate it is, as `getpeercert()` gives it after its verification.

    `fingerprint` is the SHA-256 of the issuer's certificate, empty if no policy asks for it.
    Raises IdentityError if the common name is no serial number, in the form that the issuer's
    policy allows, or if the certificate has ended by `now` (Unix time).
    """
    subject, issuer = certificate.get("subject", ()), certificate.get("issuer", ())
    place = _place_of(issuer, fingerprint, policies)
    policy = policies[place] if place >= 0 else None
    text = _attribute(subject, "commonName")
    try:
        common_name = normalize_serial(
            text, separators=policy is not None and policy.common_name == "mac"
        )
    except ValueError as error:
        raise IdentityError("bad_common_name", f"common name of the certificate: {error}") from None
    not_after = int(ssl.cert_time_to_seconds(certificate["notAfter"]))
    if not_after < now:  # a resumed TLS session is not verified again
        raise IdentityError("expired", "the certificate has expired")
    verdict = SIMULATED if policy is not None and _simulates(common_name, policy) else VERIFIED
    return Identity(
        PeerCertificate(
            common_name,
            _attribute(issuer, "commonName"),
            int(ssl.cert_time_to_seconds(certificate["notBefore"])),
            not_after,
            plain_number(str(certificate.get("serialNumber", ""))),
            verdict,
            place,
        ),
        policy,
        issuer_key(value for rdn in issuer for _, value in rdn),
    )


def may_claim(certificate: PeerCertificate, serial: str, policy: CaPolicy | None) -> bool:
    """Tell whether the holder of `certificate` may speak for `serial`: only for its own.

    Looser only where the policy of its issuer says so (owgw's low bits, simulators).
    """
    name = certificate.common_name
    if serial == name:
        return True
    if policy is None:
        return False
    if policy.simulator_prefix and name.startswith(SIMULATOR_PREFIX):
        return True
    bits = policy.serial_mismatch_bits
    return bits > 0 and int(serial, 16) >> bits == int(name, 16) >> bits


def issuer_key(values: Iterable[str]) -> str:
    """Return a key that two names share if they have the same values in the same order.

    Attribute types are left out: the libraries that read names do not call them alike.
    """
    return sys.intern("\x1f".join(values))


def issuer_fingerprint(ssl_object: Any) -> str:
    """Return the SHA-256, in lower-case hexadecimal, of the certificate that issued the peer's.

    It is that of the chain which OpenSSL has verified. Empty if there is none: in a resumed
    session.
    """
    find = getattr(ssl_object, "get_verified_chain", None)
    if find is None:  # public from Python 3.13 on
        find = ssl_object._sslobj.get_verified_chain
    chain = find() or []
    if len(chain) < 2:
        return ""
    one = chain[1]
    der = one if isinstance(one, bytes) else one.public_bytes(2)  # ENCODING_DER
    return hashlib.sha256(der).hexdigest()


def name_text(name: Name) -> str:
    """Return a distinguished name as OpenSSL prints it for RFC 2253: `CN=Issuing CA,O=Acme`."""
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in reversed(rdn))
        for rdn in reversed(name)
    )


def _place_of(issuer: Name, fingerprint: str, policies: Sequence[CaPolicy]) -> int:
    """Return the place of the first policy that is for this issuer; -1: none."""
    for place, policy in enumerate(policies):
        if policy.fingerprint and plain_fingerprint(policy.fingerprint) != fingerprint:
            continue
        if policy.subject and policy.subject != name_text(issuer):
            continue
        if policy.issuer and policy.issuer != _attribute(issuer, "commonName"):
            continue
        return place
    return -1


def plain_number(text: str) -> str:
    """Return the serial number of a certificate as lists of revoked ones are compared with it.

    OpenSSL prints whole bytes, so with a zero in front where the number begins with a low digit.
    """
    return text.lower().lstrip("0")


def plain_fingerprint(text: str) -> str:
    """Return a fingerprint without colons, in lower case."""
    return text.replace(":", "").lower()


def _simulates(common_name: str, policy: CaPolicy) -> bool:
    prefixed = policy.simulator_prefix and common_name.startswith(SIMULATOR_PREFIX)
    return policy.simulated or prefixed


def _attribute(name: Name, attribute: str) -> str:
    for rdn in name:
        for key, value in rdn:
            if key == attribute:
                return value
    return ""


def _escaped(value: str) -> str:
    """Escape as RFC 4514 section 2.4 demands."""
    text = "".join(f"\\{one}" if one in ',+"\\<>;' else one for one in value)
    if text.startswith(("#", " ")):
        text = "\\" + text
    if text.endswith(" ") and len(text) > 1 and not text.endswith("\\ "):
        text = text[:-1] + "\\ "
    return text.replace("\0", "\\00")

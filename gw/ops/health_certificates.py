"""Certificates, keys and revocation lists, as the doctor looks at them."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from gw.core.listeners import ListenerSettings, device_listeners
from gw.core.settings import Settings
from gw.ops.health_finding import Finding, fault, good, warning
from gw.supervisor_sockets import public_host

_SOON: Final = datetime.timedelta(days=30)
_VERY_SOON: Final = datetime.timedelta(days=3)
_NEW_SERVER: Final = (
    "renew it: `gw pki init --dir D` does so if it made it; a running gateway notices"
)


def certificate_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say about everything of TLS that the settings name."""
    listeners, api = device_listeners(settings.devices), settings.api
    hosts: dict[tuple[str, str], list[str]] = {}
    for one in listeners:
        hosts.setdefault((one.certificate, one.key), []).append(public_host(one.host))
    for section in (api, settings.security, settings.files):
        hosts.setdefault((api.certificate, api.key), []).append(public_host(section.host))
    for (certificate, key), names in hosts.items():
        if certificate and key:
            yield from _server(Path(certificate), Path(key), list(dict.fromkeys(names)))
    for one in listeners:
        yield from _admitting(one)


def _admitting(listener: ListenerSettings) -> Iterator[Finding]:
    """Yield what there is to say about authorities and revocation lists of one listener."""
    section = listener.section
    authorities: list[x509.Certificate] = []
    if listener.ca:
        authorities, findings = _authorities(Path(listener.ca), f"{section}.ca")
        yield from findings
    if listener.crl:
        file, bundle = Path(listener.crl), Path(listener.ca)
        yield from _revocation(file, authorities, bundle, f"{section}.crl")
    elif listener.ca:
        first = listener.place == 0
        yield warning(
            "revocation",
            f"no revocation list{'' if first else f' of {section}'}: "
            "a stolen device cannot be kept out",
            "set devices.crl, or use --pki D" if first else f"set {section}.crl",
        )


def _server(file: Path, key_file: Path, hosts: list[str]) -> Iterator[Finding]:
    topic = "certificate"
    try:
        chain = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as exc:
        yield _unreadable(topic, file, exc, "see its path, owner and form")
        return
    leaf = chain[0]
    found = list(_dates(topic, str(file), leaf, _NEW_SERVER))
    found += _chain(file, chain)
    found += _key(key_file, leaf)
    found += _names(file, leaf, hosts)
    if not found:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file, key_file)
        except (OSError, ssl.SSLError) as exc:
            found.append(fault(topic, f"OpenSSL refuses {file}: {exc}", "make another"))
    if found:
        yield from found
    else:
        yield good(topic, f"{file}, good for {', '.join(hosts)}, until {_day(leaf)}")


def _dates(topic: str, what: str, certificate: x509.Certificate, remedy: str) -> Iterator[Finding]:
    now = datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_after_utc <= now:
        yield fault(topic, f"{what} ended on {_day(certificate)}", remedy)
    elif certificate.not_valid_before_utc > now:
        begin = certificate.not_valid_before_utc.date()
        yield fault(topic, f"{what} is not good before {begin}", "see the clock of this machine")
    elif certificate.not_valid_after_utc <= now + _SOON:
        worse = fault if certificate.not_valid_after_utc <= now + _VERY_SOON else warning
        yield worse(topic, f"{what} ends soon, on {_day(certificate)}", remedy)


def _chain(file: Path, chain: list[x509.Certificate]) -> Iterator[Finding]:
    for lower, upper in itertools.pairwise(chain):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature):
            yield fault(
                "certificate",
                f"{file}: {_name(lower)} is followed by {_name(upper)}, which did not issue it",
                "put the server certificate first, then each one's issuer",
            )
        yield from _dates("certificate", f"{file}: {_name(upper)}", upper, "renew the authority")


def _key(file: Path, leaf: x509.Certificate) -> Iterator[Finding]:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
        mode = file.stat().st_mode
    except (OSError, ValueError, TypeError) as exc:
        remedy = "it must be PEM without a password, readable by the user that runs gw"
        yield _unreadable("certificate", file, exc, remedy, what="the key ")
        return
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        yield fault(
            "certificate", f"the key {file} is not that of the certificate", "name the pair"
        )
    if stat.S_IMODE(mode) & 0o007:
        yield warning("certificate", f"the key {file} is open to all users", f"`chmod 600 {file}`")


def _names(file: Path, leaf: x509.Certificate, hosts: list[str]) -> Iterator[Finding]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    domains = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    addresses = names.get_values_for_type(x509.IPAddress)
    for host in hosts:
        try:
            there = ipaddress.ip_address(host.strip("[]")) in addresses
        except ValueError:
            wild = "*." + host.lower().partition(".")[2]
            there = host.lower() in domains or wild in domains
        if there:
            continue
        text = f"{file} is not for {host}, where the gateway listens"
        # Behind 0.0.0.0 clients use a name that is not known here; `localhost` is only ours.
        if host == "localhost" and domains:
            text = f"{file} is for {', '.join(domains)}, not for localhost"
            yield warning("certificate", text, "harmless, if nobody uses that name")
        else:
            yield fault("certificate", text, f"`gw pki init --dir D --host {host.strip('[]')}`")


def _authorities(file: Path, setting: str) -> tuple[list[x509.Certificate], list[Finding]]:
    topic = "device CA"
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as exc:
        return [], [_unreadable(topic, file, exc, f"name a PEM bundle: {setting}")]
    findings: list[Finding] = []
    remedy = "no device below it can connect: add its successor to the bundle"
    for authority in found:
        findings += _dates(topic, f"{file}: {_name(authority)}", authority, remedy)
        if not _is_authority(authority):
            text = f"{file}: {_name(authority)} is not an authority"
            findings.append(warning(topic, text, "take it out of the bundle"))
    if not any(_is_authority(authority) for authority in found):
        text = f"{file} holds no authority: no device can connect"
        findings.append(fault(topic, text, f"name the bundle of the authorities: {setting}"))
    if not findings:
        findings.append(good(topic, f"{file}, {len(found)} certificates"))
    return found, findings


def _revocation(
    file: Path, authorities: list[x509.Certificate], bundle: Path, setting: str
) -> Iterator[Finding]:
    topic = "revocation"
    remedy = "get the present list from the authority (`gw pki revoke` writes ours)"
    try:
        lists = _load_lists(file.read_bytes())
    except (OSError, ValueError) as exc:
        yield _unreadable(topic, file, exc, f"name a PEM file: {setting}")
        return
    now = datetime.datetime.now(datetime.UTC)
    found: list[Finding] = []
    foreign: list[str] = []
    for one in lists:
        issuer = one.issuer.rfc4514_string()
        end = one.next_update_utc
        if end is not None and end <= now:
            text = (
                f"{file}: the list of {issuer} ended on {end.date()}: all its devices are refused"
            )
            found.append(fault(topic, text, remedy))
        elif end is not None and end <= now + _VERY_SOON:
            text = f"{file}: the list of {issuer} ends on {end.date()}"
            found.append(warning(topic, text, remedy))
        signers = [a for a in authorities if a.subject == one.issuer]
        if signers and not any(_has_signed(a, one) for a in signers):
            foreign.append(issuer)
    if foreign:
        names = " and ".join(foreign)
        text = f"{file}: the list of {names} is not signed by the one of that name in {bundle}"
        text += ": devices it issued are refused"
        found.append(fault(topic, text, "name the authority and the lists that go together"))
    listed = {one.issuer for one in lists}
    missing = [a for a in authorities if a.subject not in listed and _is_authority(a)]
    if missing and all(a in missing for a in authorities if _is_authority(a)):
        text = f"{file} has no list of any authority in {bundle}: all devices are refused"
        found.append(fault(topic, text, "name the authority and the lists that go together"))
    else:
        for authority in missing:
            text = f"{file} has no list of {_name(authority)}: devices it issued are refused"
            found.append(warning(topic, text, "add its list, if it issues devices"))
    revoked = sum(len(one) for one in lists)
    yield from found or [good(topic, f"{file}, {len(lists)} lists, {revoked} revoked")]


def _load_lists(data: bytes) -> list[x509.CertificateRevocationList]:
    end = b"-----END X509 CRL-----"
    parts = [part + end for part in data.split(end)[:-1]]
    if not parts:
        raise ValueError("it holds no list")
    return [x509.load_pem_x509_crl(part) for part in parts]


def _has_signed(authority: x509.Certificate, one: x509.CertificateRevocationList) -> bool:
    try:
        return one.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except TypeError:
        return False


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return found.value.ca


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _day(certificate: x509.Certificate) -> str:
    return str(certificate.not_valid_after_utc.date())


def _unreadable(
    topic: str, file: Path, error: BaseException, remedy: str, *, what: str = ""
) -> Finding:
    if isinstance(error, FileNotFoundError):
        again = f"see its path; `gw pki init --dir {file.parent}` makes it, if it made the others"
        return fault(topic, f"{what}{file} does not exist", again)
    return fault(topic, f"{what}{file} cannot be read: {_why(error)}", remedy)


def _why(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

"""Rules of admission, keys of vendors and the provisioning service, as the doctor looks at them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from gw.core.listeners import ListenerSettings, device_listeners
from gw.core.settings import CaPolicy, Settings
from gw.ops.health_finding import Finding, fault, good, warning
from gw.security.signatures import Signer
from gw.worker.identity import name_text, plain_fingerprint

_TOPIC: Final = "admission"
_LONG: Final = {"userID": "userId"}
"""Attribute types that OpenSSL names otherwise than cryptography does."""


def policy_findings(settings: Settings) -> Iterator[Finding]:
    """Yield what there is to say about who is let in, beside certificates."""
    yield from _policies(settings)
    yield from _provisioning(settings)
    if settings.signatures.static:
        yield warning(
            "signatures", "signatures.static is on: it proves nothing", "for laboratories only"
        )
    try:
        Signer(settings.signatures)
    except ValueError as exc:
        name, _, text = str(exc).partition(": ")
        yield fault("signatures", f"{name}: {text}", "name an RSA key in PEM, or leave it out")


def _policies(settings: Settings) -> Iterator[Finding]:
    for listener in device_listeners(settings.devices):
        yield from _policies_of(listener)


def _policies_of(listener: ListenerSettings) -> Iterator[Finding]:
    policies = listener.ca_policies
    if not policies or not listener.ca:
        return
    try:
        bundle = x509.load_pem_x509_certificates(Path(listener.ca).read_bytes())
    except (OSError, ValueError):
        return  # the check of certificates says so
    sound = True
    for place, policy in enumerate(policies):
        if not any(_is_for(policy, one) for one in bundle):
            sound = False
            yield warning(
                _TOPIC,
                f"{listener.section}.ca_policies[{place}] is for no certificate in {listener.ca}: "
                "it counts only for devices that send their issuer themselves",
                "see issuer, subject and fingerprint; put the issuing CA into the bundle",
            )
    if sound:
        yield good(_TOPIC, f"{len(policies)} rules of authorities")


def _is_for(policy: CaPolicy, certificate: x509.Certificate) -> bool:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    return (
        policy.issuer in ("", *(name.value for name in names))
        and policy.subject in ("", _subject(certificate))
        and plain_fingerprint(policy.fingerprint) in ("", fingerprint)
    )


def _subject(certificate: x509.Certificate) -> str:
    """Return the subject as a policy writes it."""
    return name_text(
        tuple(
            tuple((_LONG.get(one.oid._name, one.oid._name), str(one.value)) for one in rdn)
            for rdn in certificate.subject.rdns
        )
    )


def _provisioning(settings: Settings) -> Iterator[Finding]:
    provisioning = settings.provisioning
    if not provisioning.url:
        return
    if provisioning.url.startswith("http://"):
        text = f"{provisioning.url} is asked without TLS: whoever is between may configure devices"
        yield warning("provisioning", text, "use https")
    if provisioning.ca:
        try:
            ssl.create_default_context(cafile=provisioning.ca)
        except OSError as exc:
            text = f"provisioning.ca: {provisioning.ca}: {exc.strerror or exc}"
            yield fault("provisioning", text, "name a PEM bundle, or leave it empty")

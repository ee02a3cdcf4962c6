"""TLS of the device listener: context, device identity, and why a handshake failed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any, Final

from gw.core.ids import normalize_serial
from gw.core.records import PeerCertificate
from gw.core.settings import CaPolicy, Devices

SIMULATOR_PREFIX: Final = "53494d"
"""Hexadecimal of `SIM`: common names of simulators begin so (southbound.md 1.3)."""

VERIFIED: Final = "VERIFIED"
MISMATCH: Final = "MISMATCH_SERIAL"
SIMULATED: Final = "SIMULATED"

# X509_V_ERR_* of OpenSSL, as far as they have a label of their own.
_VERIFY_REASONS: Final = {
    9: "not_yet_valid",
    10: "expired",
    12: "bad_certificate",  # CRL has expired
    18: "unknown_ca",
    19: "unknown_ca",
    20: "unknown_ca",
    21: "unknown_ca",
    23: "revoked",
    3: "bad_certificate",  # no CRL of the issuer
}


_CRL_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_RECORD_HEADER: Final = 5
_HANDSHAKE_RECORD: Final = 0x16
_MAX_HELLO: Final = 4096
"""Bytes of a hello that are waited for: no agent's is longer, and every buffer holds as much."""


class IdentityError(Exception):
    """The client certificate does not name a device."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        """Label of gw_handshake_failures_total."""


def server_context(devices: Devices) -> ssl.SSLContext:
    """Return the context of the device listener: TLS 1.2 and 1.3, client certificate required.

    Raises OSError or ssl.SSLError if a file of the settings cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(devices.certificate, devices.key)
    context.load_verify_locations(devices.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    # An issuing CA in the bundle is enough of an anchor: fleets ship without their root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if devices.crl:
        context.load_verify_locations(devices.crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    # A ticket costs a third of a handshake and no agent in the field resumes (design.md 8, 9).
    context.num_tickets = 0
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def revoked(path: str) -> frozenset[str]:
    """Return the certificate serial numbers (lower-case hexadecimal) in a file of CRLs.

    Raises OSError or ValueError if the file cannot be used.
    """
    from pathlib import Path

    from cryptography import x509  # only here: a worker that never reloads does without it

    found: set[str] = set()
    for block in Path(path).read_bytes().split(_CRL_BEGIN)[1:]:
        crl = x509.load_pem_x509_crl(_CRL_BEGIN + block)
        found.update(f"{entry.serial_number:x}" for entry in crl)
    return frozenset(found)


async def hello_came(connection: socket.socket, deadline: float) -> bool:
    """Wait until a whole first TLS record is there to be read; False at the deadline.

    Nothing is taken from the socket. A peer that is silent, or slow, costs no handshake slot.
    What is not TLS counts as come: the handshake says what is wrong with it.
    """
    loop = asyncio.get_running_loop()
    wanted = _RECORD_HEADER
    try:
        while True:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wanted)
            if not await _readable(loop, connection, deadline):
                return False
            seen = connection.recv(_RECORD_HEADER, socket.MSG_PEEK)
            if len(seen) < _RECORD_HEADER or seen[0] != _HANDSHAKE_RECORD:
                return True  # closed, or no TLS
            size = _RECORD_HEADER + int.from_bytes(seen[3:5], "big")
            if wanted >= min(size, _MAX_HELLO):
                return True
            wanted = min(size, _MAX_HELLO)
    except OSError:
        return True
    finally:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)


async def _readable(
    loop: asyncio.AbstractEventLoop, connection: socket.socket, deadline: float
) -> bool:
    readable: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(connection.fileno(), wake)
    try:
        async with asyncio.timeout_at(deadline):
            await readable
    except TimeoutError:
        return False
    finally:
        with contextlib.suppress(ValueError, OSError):
            loop.remove_reader(connection.fileno())
    return True


def failure_reason(error: BaseException) -> str:
    """Return the label of gw_handshake_failures_total for a failed handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_REASONS.get(error.verify_code, "bad_certificate")
    if isinstance(error, ssl.SSLError):
        if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return "no_certificate"
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError) and "handshake is taking longer" in str(error):
        return "timeout"
    return "reset"


def _name(rdns: tuple[tuple[tuple[str, str], ...], ...], attribute: str) -> str:
    for rdn in rdns:
        for key, value in rdn:
            if key == attribute:
                return value
    return ""


def peer_certificate(certificate: dict[str, Any], policies: list[CaPolicy]) -> PeerCertificate:
    """Return what the verified certificate (as `getpeercert()` gives it) says of the device.

    The common name must be a serial number; a policy of the issuer may admit simulators.
    Raises IdentityError otherwise.
    """
    common_name = _name(certificate.get("subject", ()), "commonName").strip().lower()
    issuer = _name(certificate.get("issuer", ()), "commonName")
    try:
        normalize_serial(common_name)
    except ValueError as error:
        raise IdentityError("bad_common_name", f"common name of the certificate: {error}") from None
    verdict = VERIFIED
    if common_name.startswith(SIMULATOR_PREFIX):
        policy = policy_of(issuer, policies)
        if policy is not None and policy.simulator_prefix:
            verdict = SIMULATED
    return PeerCertificate(
        common_name,
        issuer,
        int(ssl.cert_time_to_seconds(certificate["notBefore"])),
        int(ssl.cert_time_to_seconds(certificate["notAfter"])),
        str(certificate.get("serialNumber", "")).lower(),
        verdict,
    )


def policy_of(issuer: str, policies: list[CaPolicy]) -> CaPolicy | None:
    """Return the policy of an issuing CA, by its common name."""
    for policy in policies:
        if policy.issuer == issuer:
            return policy
    return None


def may_claim(certificate: PeerCertificate, serial: str, policies: list[CaPolicy]) -> bool:
    """Tell whether the holder of `certificate` may speak for `serial`: only for its own.

    Looser only where a policy of the issuer says so (owgw's low bits, simulators).
    """
    if certificate.verdict == SIMULATED:
        return True
    if serial == certificate.common_name:
        return True
    policy = policy_of(certificate.issuer, policies)
    if policy is None or not policy.serial_mismatch_bits:
        return False
    bits = policy.serial_mismatch_bits
    return int(serial, 16) >> bits == int(certificate.common_name, 16) >> bits

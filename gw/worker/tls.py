"""TLS of the device listeners: context, revocation lists, and why a handshake failed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gw.core.listeners import ListenerSettings
from gw.worker.identity import issuer_key

# X509_V_ERR_* of OpenSSL, as far as they have a label of their own.
_VERIFY_REASONS: Final = {
    9: "not_yet_valid",
    10: "expired",
    12: "crl_expired",
    18: "unknown_ca",
    19: "unknown_ca",
    20: "unknown_ca",
    21: "unknown_ca",
    23: "revoked",
    3: "no_crl",
}


_BEGIN: Final = b"-----BEGIN "
_END: Final = b"-----END "
_CRL_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_RECORD_HEADER: Final = 5
_HANDSHAKE_RECORD: Final = 0x16
_MAX_HELLO: Final = 4096
"""Bytes of a hello that are waited for: no agent's is longer, and every buffer holds as much."""


def server_context(listener: ListenerSettings) -> ssl.SSLContext:
    """Return the context of a listener: TLS 1.2 and 1.3, client certificate required.

    Raises ValueError, which names the setting, if a file cannot be used.
    """
    section = listener.section
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _naming(f"{section}.certificate", listener.certificate):
        _check_whole(listener.certificate)
    with _naming(f"{section}.key", listener.key):
        Path(listener.key).read_bytes()
    pair = f"{listener.certificate} and {listener.key}"
    with _naming(f"{section}.certificate and key", pair):
        context.load_cert_chain(listener.certificate, listener.key)
    context.verify_mode = ssl.CERT_REQUIRED
    # An issuing CA in the bundle is enough of an anchor: fleets ship without their root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trust(context, listener)
    # A ticket costs a third of a handshake and no agent in the field resumes (design.md 8, 9).
    context.num_tickets = 0
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def trust(context: ssl.SSLContext, listener: ListenerSettings) -> None:
    """Let a context accept the devices of a listener, but for those on its revocation lists.

    Raises ValueError, which names the setting, if a file cannot be used.
    """
    with _naming(f"{listener.section}.ca", listener.ca):
        _check_whole(listener.ca)
        context.load_verify_locations(listener.ca)
    if listener.crl:
        with _naming(f"{listener.section}.crl", listener.crl):
            _check_whole(listener.crl)
            context.load_verify_locations(listener.crl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


@contextlib.contextmanager
def _naming(setting: str, path: str) -> Iterator[None]:
    """Turn errors into a ValueError that says which setting and file they are about."""
    try:
        yield
    except ssl.SSLError as error:
        text = (error.reason or str(error)).replace("_", " ").lower()
        raise ValueError(f"{setting}: {path}: OpenSSL refuses it: {text}") from None
    except OSError as error:
        raise ValueError(f"{setting}: {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None


def _check_whole(path: str) -> None:
    """Raise ValueError if a PEM file is cut off, as one that is being written.

    OpenSSL takes what it finds before the cut, and the other authorities would be gone.
    """
    lines = [line.strip() for line in Path(path).read_bytes().splitlines()]
    begun = [line.removeprefix(_BEGIN) for line in lines if line.startswith(_BEGIN)]
    ended = [line.removeprefix(_END) for line in lines if line.startswith(_END)]
    if begun != ended:
        raise ValueError(f"{path} is cut off: a block begins that does not end")


class Revoked(NamedTuple):
    """What a file of revocation lists holds."""

    certificates: frozenset[tuple[str, str]]
    """Issuer (`gw.worker.identity.issuer_key`) and serial number, lower-case hexadecimal."""
    lists: list[tuple[str, float]]
    """Each list's issuer, and the Unix time of its next update; infinite if it has none."""


def revoked(path: str) -> Revoked:
    """Return what is revoked by the lists of a PEM file, one after the other.

    Raises OSError or ValueError if the file cannot be used, or holds no list.
    """
    from cryptography import x509  # only here: a worker that never reloads does without it

    found: set[tuple[str, str]] = set()
    lists: list[tuple[str, float]] = []
    blocks = Path(path).read_bytes().split(_CRL_BEGIN)[1:]
    if not blocks:
        raise ValueError(f"{path} holds no revocation list")
    for block in blocks:
        crl = x509.load_pem_x509_crl(_CRL_BEGIN + block)
        issuer = issuer_key(str(one.value) for rdn in crl.issuer.rdns for one in rdn)
        found.update((issuer, f"{entry.serial_number:x}") for entry in crl)
        until = math.inf if crl.next_update_utc is None else crl.next_update_utc.timestamp()
        lists.append((crl.issuer.rfc4514_string(), until))
    return Revoked(frozenset(found), lists)


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
            if not await readable(loop, connection, deadline):
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


async def readable(
    loop: asyncio.AbstractEventLoop, connection: socket.socket, deadline: float
) -> bool:
    """Wait until a connection has something to be read, or ends; False at the deadline."""
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

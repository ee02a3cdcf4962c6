"""The device listeners in one form: that of `devices` itself, and those of `devices.listeners`.

Each lets in devices by a certificate, authorities, revocation lists and policies of its own; the
devices of all are one fleet (southbound.md 1.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gw.core.networks import Network, read_networks
from gw.core.settings import CaPolicy, Devices

FIRST: Final = "devices"
"""Name of the listener whose settings are those of `devices` itself."""
MAX_LISTENERS: Final = 8
"""Listeners, the first included: each has its own series of metrics."""
RESERVED: Final = frozenset({"api"})
"""Names that metrics use for something else."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_EVERY_ADDRESS: Final = frozenset({"", "*", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


class ListenerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one listener."""

    place: int
    """0: that of `devices`; then the members of `devices.listeners` in order."""
    name: str
    section: str
    """What messages put before the names of its settings."""
    host: str
    port: int
    certificate: str
    key: str
    ca: str
    crl: str
    ca_policies: list[CaPolicy]
    unknown: str
    expired: str
    proxy_networks: tuple[Network, ...]
    """Where a PROXY protocol header is expected from; empty: none is."""

    @property
    def socket_name(self) -> str:
        """Name of its sockets among those that a worker inherits."""
        return FIRST if self.place == 0 else f"{FIRST}.{self.name}"

    @property
    def files(self) -> tuple[str, ...]:
        """Files that its TLS context is made of; some may be empty."""
        return self.certificate, self.key, self.ca, self.crl


def device_listeners(devices: Devices) -> list[ListenerSettings]:
    """Return all listeners, the first of them first."""
    found = [
        ListenerSettings(
            place=0,
            name=FIRST,
            section=FIRST,
            host=devices.host,
            port=devices.port,
            certificate=devices.certificate,
            key=devices.key,
            ca=devices.ca,
            crl=devices.crl,
            ca_policies=devices.ca_policies,
            unknown=devices.unknown,
            expired=devices.expired,
            proxy_networks=read_networks(devices.proxy_networks),
        )
    ]
    for place, one in enumerate(devices.listeners):
        found.append(
            ListenerSettings(
                place=place + 1,
                name=one.name,
                section=f"devices.listeners[{place}] ({one.name})",
                host=one.host or devices.host,
                port=one.port,
                certificate=one.certificate or devices.certificate,
                key=one.key or devices.key,
                ca=one.ca,
                crl=one.crl,
                ca_policies=one.ca_policies,
                unknown=one.unknown or devices.unknown,
                expired=one.expired or devices.expired,
                proxy_networks=read_networks(one.proxy_networks),
            )
        )
    return found


def listener_faults(devices: Devices) -> Iterable[tuple[str, str]]:
    """Yield what is wrong with the listeners: the setting of `devices`, and a text."""
    if len(devices.listeners) >= MAX_LISTENERS:
        yield "listeners", f"devices.listeners: there may be {MAX_LISTENERS - 1}, no more"
        return
    sound = True
    for setting, name, networks in (
        ("proxy_networks", "devices", devices.proxy_networks),
        *(
            ("listeners", f"devices.listeners[{place}]", one.proxy_networks)
            for place, one in enumerate(devices.listeners)
        ),
    ):
        try:
            read_networks(networks)
        except ValueError as error:
            sound = False
            yield setting, f"{name}.proxy_networks: {error}"
    if not sound:
        return
    names = [FIRST]
    for place, one in enumerate(devices.listeners):
        where = f"devices.listeners[{place}]"
        if _NAME.fullmatch(one.name) is None:
            wanted = "expected up to 32 small letters, digits and hyphens"
            yield "listeners", f"{where}.name: {wanted}, got {one.name!r}"
        elif one.name in names or one.name in RESERVED:
            yield "listeners", f"{where}.name: {one.name!r} is the name of another listener"
        names.append(one.name)
        if not one.ca:
            yield "listeners", f"{where}.ca must be set: a PEM bundle of authorities"
        if bool(one.certificate) != bool(one.key):
            yield "listeners", f"{where}: certificate and key are set together, or not at all"
        for text in _policy_faults(f"{where}.ca_policies", one.ca_policies):
            yield "listeners", text
    for text in _policy_faults("devices.ca_policies", devices.ca_policies):
        yield "ca_policies", text
    listeners = device_listeners(devices)
    for later in listeners:
        for earlier in listeners[: later.place]:
            if _collide(earlier, later):
                text = f"port {later.port} is that of {earlier.section} already"
                yield "listeners", f"{later.section}.port: {text}"


def asks_provisioning(devices: Devices) -> bool:
    """Tell whether the provisioning service is asked for the unknown devices of any listener."""
    return any(
        "ask" in (one.unknown, *(policy.unknown for policy in one.ca_policies))
        for one in device_listeners(devices)
    )


def _policy_faults(where: str, policies: Sequence[CaPolicy]) -> Iterable[str]:
    for place, policy in enumerate(policies):
        name = f"{where}[{place}]"
        if not (policy.issuer or policy.subject or policy.fingerprint):
            yield f"{name}: one of issuer, subject and fingerprint must be set"
        digits = policy.fingerprint.replace(":", "")
        if digits and re.fullmatch(r"[0-9a-fA-F]{64}", digits) is None:
            yield f"{name}.fingerprint: expected the 64 hexadecimal digits of a SHA-256"


def _collide(one: ListenerSettings, other: ListenerSettings) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    return one.host == other.host or bool({one.host, other.host} & _EVERY_ADDRESS)

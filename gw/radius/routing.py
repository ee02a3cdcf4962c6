"""Where a packet belongs: Proxy-State of the device's proxy, and TIP's vendor attribute.

southbound.md 6.1: Proxy-State is `serial:ip:port:interface`, or the same with `|` between.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gw.core.ids import normalize_serial
from gw.radius.packet import Attr, Attribute, Packet

TIP_VENDOR: Final = 58888
TIP_SERIAL: Final = 1
"""Vendor attribute with the serial number of the device, hyphens in it or not."""
_PARTS: Final = 4


class Route(msgspec.Struct, frozen=True):
    """What a device's Proxy-State says."""

    serial: str
    address: str
    """Virtual address: `poolProxyIp` of the pool."""
    port: int
    interface: str


def read_proxy_state(value: bytes) -> Route | None:
    """Read one Proxy-State; None if it is not of a device's proxy.

    `|` is tried first, so that an interface or address with colons can be told.
    """
    text = value.decode("utf-8", "replace").rstrip("\0")
    parts = text.split("|") if "|" in text else text.split(":", _PARTS - 1)
    if len(parts) not in (_PARTS - 1, _PARTS):
        return None
    serial, address, port, *rest = parts
    try:
        serial = normalize_serial(serial)
    except ValueError:
        return None
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        return None
    return Route(serial, address, int(port), rest[0] if rest else "")


def route_of(packet: Packet) -> Route | None:
    """Return the route of a device's packet: its last Proxy-State that is one.

    The last is the device's own; those before it are of proxies behind the device.
    """
    for value in reversed(packet.all(Attr.PROXY_STATE)):
        route = read_proxy_state(value)
        if route is not None:
            return route
    return None


def serial_of_request(packet: Packet) -> str | None:
    """Return the device that a server's CoA or Disconnect request is for, if it says so."""
    value = packet.vendor(TIP_VENDOR, TIP_SERIAL)
    if value is not None:
        text = value.decode("utf-8", "replace").rstrip("\0").replace("-", "").replace(":", "")
        try:
            return normalize_serial(text)
        except ValueError:
            return None
    route = route_of(packet)
    return route.serial if route is not None else None


def proxy_state(serial: str, interface: str) -> Attribute:
    """Return the Proxy-State of a request that the gateway itself makes for a device."""
    return Attribute(Attr.PROXY_STATE, f"{serial}:0.0.0.0:3799:{interface}".encode()[:253])

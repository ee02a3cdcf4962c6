"""IP addresses and networks, as settings and sockets write them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_SITE_BITS: Final = 64
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as `10.0.0.0/8`, or single addresses. Raises ValueError, which names it.

    Bits of the host must be zero: `10.0.0.1/8` is more often a mistake than not.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def read_address(text: str) -> Address | None:
    """Read an address, with or without port; an IPv4-mapped one becomes IPv4. None: it is none."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def site_of(address: Address) -> str:
    """Return what stands for the place of an address: itself, or its /64 if it is IPv6.

    A /64 is one customer's at least: whoever has one address of it has them all.
    """
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _SITE_BITS), strict=False))


def is_within(text: str, networks: Sequence[Network]) -> bool:
    """Tell whether an address, as `read_address` takes it, is in one of the networks."""
    address = read_address(text)
    return address is not None and any(address in one for one in networks)

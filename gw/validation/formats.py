"""The formats that uCentral's schemas name (southbound.md 4.8).

Each check is linear in the length of its text. Only what is surely wrong is refused: agents and
firmware differ in what else they take.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}")
_TIMEOUT: Final = re.compile(r"[0-9]+[dmshw]")
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\x7f]+")
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_PREFIX: Final = re.compile(r"[0-9]{1,3}")
_LONGEST_NAME: Final = 253
_LONGEST_ADDRESS: Final = 64
_AUTOMATIC: Final = "auto"
"""In place of an address: the device takes a free network of that size."""


def is_ip(text: str) -> bool:
    """Tell whether it is an IPv4 or IPv6 address."""
    return _is_ipv4(text) or _is_ipv6(text)


def is_cidr4(text: str) -> bool:
    """Tell whether it is an IPv4 address, or `auto`, with a prefix length."""
    return _is_network(text, _is_ipv4, 32)


def is_cidr6(text: str) -> bool:
    """Tell whether it is an IPv6 address, or `auto`, with a prefix length."""
    return _is_network(text, _is_ipv6, 128)


def is_cidr(text: str) -> bool:
    """Tell whether it is a network of either family."""
    return is_cidr4(text) or is_cidr6(text)


def is_mac(text: str) -> bool:
    """Tell whether it is a MAC address: six octets, separated by `:` or `-`."""
    return _MAC.fullmatch(text) is not None


def is_timeout(text: str) -> bool:
    """Tell whether it is a duration: digits and one of d, m, s, h, w."""
    return _TIMEOUT.fullmatch(text) is not None


def is_fqdn(text: str) -> bool:
    """Tell whether it is a host name of labels (RFC 1123); `_` is taken, as DNS does."""
    name = text.removesuffix(".")
    if not 0 < len(name) <= _LONGEST_NAME:
        return False
    labels = name.split(".")
    # A name whose last label is a number would be an address, and is none (RFC 1123, 2.1).
    address = len(labels) > 1 and labels[-1].isdigit()
    return not address and all(map(_LABEL.fullmatch, labels))


def is_host(text: str) -> bool:
    """Tell whether it is an address or a host name."""
    return is_fqdn(text) or is_ip(text)


def is_base64(text: str) -> bool:
    """Tell whether it is base64 (RFC 4648, section 4): a multiple of four characters."""
    return len(text) % 4 == 0 and _BASE64.fullmatch(text) is not None


def is_uri(text: str) -> bool:
    """Tell whether it has the outer form of a URI (RFC 3986): a scheme, and no blanks."""
    return _URI.fullmatch(text) is not None


def is_port_range(text: str) -> bool:
    """Tell whether it is a port, or two with `-` between, each from 1 to 65535."""
    found = _PORTS.fullmatch(text)
    return found is not None and all(0 < int(one) <= 65535 for one in found.groups() if one)


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text[:_LONGEST_ADDRESS])
    except ValueError:
        return False
    return len(text) <= _LONGEST_ADDRESS


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text[:_LONGEST_ADDRESS])
    except ValueError:
        return False
    return len(text) <= _LONGEST_ADDRESS


def _is_network(text: str, is_address: Callable[[str], bool], longest: int) -> bool:
    address, _, prefix = text.rpartition("/")
    if _PREFIX.fullmatch(prefix) is None or int(prefix) > longest:
        return False
    return address == _AUTOMATIC or is_address(address)


FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "uc-cidr4": is_cidr4,
    "uc-cidr6": is_cidr6,
    "uc-cidr": is_cidr,
    "uc-mac": is_mac,
    "uc-timeout": is_timeout,
    "uc-host": is_host,
    "uc-fqdn": is_fqdn,
    "fqdn": is_fqdn,
    "uc-ip": is_ip,
    "ip": is_ip,
    "uc-base64": is_base64,
    "uc-portrange": is_port_range,
    "uri": is_uri,
}
"""Checks by the name that a schema gives to `format`."""

"""The header that load balancers put before a connection's own bytes, versions 1 and 2.

Source: "The PROXY protocol", HAProxy Technologies, sections 2.1 (text) and 2.2 (binary). Only TCP
is of interest here. What follows the addresses in a version 2 header (TLVs) is skipped, unread.
"""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

MAX_HEADER: Final = 4096
"""Longest header that is taken, bytes: version 2 could announce 64 KiB, for TLVs."""
MIN_HEADER: Final = 15
"""Shortest header, bytes: `PROXY UNKNOWN` and its line end."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = 16
_TEXT_BEGIN: Final = b"PROXY "
_MAX_TEXT: Final = 107
_LOCAL: Final = 0
_PROXY: Final = 1
_STREAM: Final = 1
_ADDRESS_BYTES: Final = {0x1: 4, 0x2: 16}
"""Bytes of an address, by family: IPv4, IPv6."""
_UNSPECIFIED: Final = 0x0
_UNIX: Final = 0x3


class ProxyHeaderError(ValueError):
    """The bytes are no header that can be taken; the text says why."""


class ProxyHeader(NamedTuple):
    """What a header says."""

    size: int
    """Bytes that it takes; the connection's own follow."""
    version: int
    """1 or 2."""
    source: tuple[str, int] | None
    """Address and port of the client; None: the balancer speaks for itself (a check), or does not
    know, and the address of the connection counts."""


def parse(data: bytes) -> ProxyHeader | int:
    """Read the header that `data` begins with; or return how many bytes it needs at least.

    The number is above `len(data)` and at most MAX_HEADER.
    Raises ProxyHeaderError if these bytes cannot become a header, however they go on.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _parse_binary(data)
    if data[: len(_TEXT_BEGIN)] == _TEXT_BEGIN[: len(data)]:
        return _parse_text(data)
    raise ProxyHeaderError("it begins with no PROXY protocol header")


def _parse_text(data: bytes) -> ProxyHeader | int:
    end = data.find(b"\r\n", 0, _MAX_TEXT)
    if end < 0:
        if len(data) >= _MAX_TEXT:
            raise ProxyHeaderError(f"the line does not end within {_MAX_TEXT} bytes")
        return max(MIN_HEADER, len(data) + 1)
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyHeaderError("the line is not ASCII") from None
    size = end + 2
    if words[1] == "UNKNOWN":  # whatever follows is to be ignored
        return ProxyHeader(size, 1, None)
    family = {"TCP4": 4, "TCP6": 6}.get(words[1])
    if family is None:
        raise ProxyHeaderError(f"{words[1][:20]!r} is not TCP4, TCP6 or UNKNOWN")
    if len(words) != 6:
        raise ProxyHeaderError("expected two addresses and two ports")
    source = _text_address(words[2], family)
    _text_address(words[3], family)
    port = _text_port(words[4])
    _text_port(words[5])
    return ProxyHeader(size, 1, (source, port))


def _text_address(text: str, family: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != family or "%" in text:
        raise ProxyHeaderError(f"{text[:50]!r} is not an IPv{family} address")
    return str(address)


def _text_port(text: str) -> int:
    # Digits as ASCII has them, and no zeros in front: int() would take more.
    if text.isdigit() and len(text) <= 5 and str(int(text)) == text and int(text) <= 65_535:
        return int(text)
    raise ProxyHeaderError(f"{text[:20]!r} is not a port")


def _parse_binary(data: bytes) -> ProxyHeader | int:
    if len(data) < _FIXED:
        return MIN_HEADER if len(data) < MIN_HEADER else _FIXED
    version, command = data[12] >> 4, data[12] & 0x0F
    family, transport = data[13] >> 4, data[13] & 0x0F
    length = int.from_bytes(data[14:16], "big")
    if version != 2:
        raise ProxyHeaderError(f"version {version} is not known")
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"command {command} is not known")
    size = _FIXED + length
    if size > MAX_HEADER:
        raise ProxyHeaderError(f"it announces {size} bytes, above {MAX_HEADER}")
    if len(data) < size:
        return size
    # A check of the balancer itself: the rest is to be ignored.
    if command == _LOCAL or family in (_UNSPECIFIED, _UNIX):
        return ProxyHeader(size, 2, None)
    width = _ADDRESS_BYTES.get(family)
    if width is None or transport != _STREAM:
        raise ProxyHeaderError(f"family {family} and transport {transport} are not TCP")
    if length < 2 * width + 4:
        raise ProxyHeaderError(f"{length} bytes do not hold two addresses and two ports")
    address = ipaddress.ip_address(data[_FIXED : _FIXED + width])
    at = _FIXED + 2 * width
    return ProxyHeader(size, 2, (str(address), int.from_bytes(data[at : at + 2], "big")))

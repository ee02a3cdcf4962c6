"""RADIUS packets inside the device's WebSocket: `{"radius": kind, "data": base64}`.

southbound.md 6.1: both directions, no `jsonrpc`, no id, also before `connect`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec

from gw.protocol.jsonrpc import ProtocolError

KINDS: Final = ("auth", "acct", "coa")
MIN_BYTES: Final = 20
"""Of a RADIUS packet (RFC 2865 section 3)."""
MAX_BYTES: Final = 4096
_MAX_TEXT: Final = (MAX_BYTES + 2) // 3 * 4


class Tunnelled(msgspec.Struct):
    """The message of a device; other members are skipped."""

    radius: str
    data: str


_decode = msgspec.json.Decoder(Tunnelled).decode


def read(message: bytes) -> tuple[str, bytes]:
    """Return the kind and the packet of a message that is of the form RADIUS.

    The packet is as long as its header says; what is behind it is padding (RFC 2865 section 3).
    Raises ProtocolError: `radius_fields`, `radius_type`, `radius_base64`, `radius_size` or
    `radius_length`.
    """
    try:
        found = _decode(message)
    except msgspec.ValidationError as error:
        raise ProtocolError("radius_fields", f"RADIUS message: {error}") from error
    if found.radius not in KINDS:
        text = f"radius is auth, acct or coa, not {found.radius[:20]!r}"
        raise ProtocolError("radius_type", text)
    if len(found.data) > _MAX_TEXT:
        raise ProtocolError("radius_size", f"data is above {MAX_BYTES} bytes")
    try:
        packet = binascii.a2b_base64(found.data.encode(), strict_mode=True)
    except binascii.Error as error:
        raise ProtocolError("radius_base64", f"data: {error}") from error
    if not MIN_BYTES <= len(packet) <= MAX_BYTES:
        text = f"data has {len(packet)} bytes, of {MIN_BYTES} to {MAX_BYTES}"
        raise ProtocolError("radius_size", text)
    length = int.from_bytes(packet[2:4], "big")
    if not MIN_BYTES <= length <= len(packet):
        text = f"the packet's length is {length}, with {len(packet)} bytes"
        raise ProtocolError("radius_length", text)
    return found.radius, packet[:length]


def write(kind: str, packet: bytes) -> bytes:
    """Return the message for a packet; `kind` is one of KINDS."""
    return b'{"radius":"%b","data":"%b"}' % (kind.encode("ascii"), base64.b64encode(packet))

"""Values that are hidden with the shared secret, hidden anew for a peer with another secret.

User-Password (RFC 2865 5.2), Tunnel-Password (RFC 2868 3.5), MS-MPPE-Send-Key and -Recv-Key
(RFC 2548 2.4.2 and 2.4.3). Needed where a device and its RadSec server have different secrets.
"""

from __future__ import annotations

from hashlib import md5
from typing import Final

import msgspec

from gw.radius.packet import Attr, Attribute, Packet

_MICROSOFT: Final = 311
_MPPE_KEYS: Final = (16, 17)
_BLOCK: Final = 16


def rehide(
    packet: Packet, request_authenticator: bytes, old_secret: bytes, new_secret: bytes
) -> Packet:
    """Return a request or answer whose hidden values can be read with `new_secret`.

    `request_authenticator` is that of the request, which both sides have in common.
    """
    if old_secret == new_secret:
        return packet

    def convert(one: Attribute) -> Attribute:
        if one.type == Attr.USER_PASSWORD:
            plain = _unhide(one.value, old_secret, request_authenticator)
            return Attribute(one.type, _hide(plain, new_secret, request_authenticator))
        if one.type == Attr.TUNNEL_PASSWORD:  # tag, salt, value
            return Attribute(one.type, one.value[:1] + salted(one.value[1:]))
        if one.type == Attr.VENDOR_SPECIFIC and _is_key(one.value):  # vendor, type, length, ...
            return Attribute(one.type, one.value[:6] + salted(one.value[6:]))
        return one

    def salted(value: bytes) -> bytes:
        salt, hidden = value[:2], value[2:]
        plain = _unhide(hidden, old_secret, request_authenticator + salt)
        return salt + _hide(plain, new_secret, request_authenticator + salt)

    attributes = tuple(convert(one) for one in packet.attributes)
    return msgspec.structs.replace(packet, attributes=attributes)


def _is_key(value: bytes) -> bool:
    return (
        len(value) > 8
        and int.from_bytes(value[:4], "big") == _MICROSOFT
        and value[4] in _MPPE_KEYS
        and value[5] == len(value) - 4
    )


def _hide(plain: bytes, secret: bytes, vector: bytes) -> bytes:
    hidden = b""
    for at in range(0, len(plain), _BLOCK):
        mask = md5(secret + vector, usedforsecurity=False).digest()
        vector = _xor(plain[at : at + _BLOCK], mask)
        hidden += vector
    return hidden


def _unhide(hidden: bytes, secret: bytes, vector: bytes) -> bytes:
    plain = b""
    for at in range(0, len(hidden), _BLOCK):
        mask = md5(secret + vector, usedforsecurity=False).digest()
        vector = hidden[at : at + _BLOCK]
        plain += _xor(vector, mask)
    return plain


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))

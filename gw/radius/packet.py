"""RADIUS packets: to and from bytes, signed and verified. Free of I/O.

RFC 2865 (format, response authenticator), 2866 (accounting authenticator), 2869 and 3579
(Message-Authenticator), 5176 (CoA and Disconnect), 5997 (Status-Server). Any number of attributes
is read, up to the 4096 bytes of a packet.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Iterable
from enum import IntEnum
from hashlib import md5
from typing import Final, NamedTuple

import msgspec

MIN_BYTES: Final = 20
MAX_BYTES: Final = 4096
MAX_VALUE: Final = 253
"""Bytes of one attribute's value."""
NO_AUTHENTICATOR: Final = bytes(16)

_HEADER: Final = struct.Struct(">BBH16s")
_VENDOR: Final = struct.Struct(">IBB")


class Code(IntEnum):
    """What a packet is (RFC 2865 section 3, 2866, 5176, 5997)."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    STATUS_SERVER = 12
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45


class Attr(IntEnum):
    """Attributes that the gateway looks at."""

    USER_NAME = 1
    USER_PASSWORD = 2
    NAS_IP_ADDRESS = 4
    REPLY_MESSAGE = 18
    STATE = 24
    VENDOR_SPECIFIC = 26
    CALLED_STATION_ID = 30
    CALLING_STATION_ID = 31
    NAS_IDENTIFIER = 32
    PROXY_STATE = 33
    ACCT_STATUS_TYPE = 40
    ACCT_INPUT_OCTETS = 42
    ACCT_OUTPUT_OCTETS = 43
    ACCT_SESSION_ID = 44
    ACCT_SESSION_TIME = 46
    ACCT_INPUT_PACKETS = 47
    ACCT_OUTPUT_PACKETS = 48
    ACCT_TERMINATE_CAUSE = 49
    ACCT_MULTI_SESSION_ID = 50
    ACCT_INPUT_GIGAWORDS = 52
    ACCT_OUTPUT_GIGAWORDS = 53
    EVENT_TIMESTAMP = 55
    TUNNEL_PASSWORD = 69
    MESSAGE_AUTHENTICATOR = 80
    CHARGEABLE_USER_IDENTITY = 89
    ERROR_CAUSE = 101


class PacketError(ValueError):
    """The bytes are no RADIUS packet; the text says why."""


class Attribute(NamedTuple):
    """One attribute, its value uninterpreted."""

    type: int
    value: bytes


class Packet(msgspec.Struct, frozen=True):
    """One packet; attributes in the order of the wire."""

    code: int
    identifier: int
    authenticator: bytes
    attributes: tuple[Attribute, ...] = ()

    def get(self, type: int) -> bytes | None:
        """Return the value of the first attribute of a type."""
        return next((one.value for one in self.attributes if one.type == type), None)

    def all(self, type: int) -> list[bytes]:
        """Return the values of all attributes of a type."""
        return [one.value for one in self.attributes if one.type == type]

    def text(self, type: int) -> str:
        """Return the first attribute of a type as text; empty if there is none."""
        return (self.get(type) or b"").decode("utf-8", "replace")

    def number(self, type: int) -> int:
        """Return the first attribute of a type as a number; 0 if there is none of four bytes."""
        value = self.get(type)
        return int.from_bytes(value, "big") if value is not None and len(value) == 4 else 0

    def vendor(self, vendor: int, type: int) -> bytes | None:
        """Return the first vendor-specific attribute of a vendor and type (RFC 2865 5.26)."""
        for value in self.all(Attr.VENDOR_SPECIFIC):
            for found_vendor, one in vendor_attributes(value):
                if (found_vendor, one.type) == (vendor, type):
                    return one.value
        return None

    def with_values(self, *values: Attribute) -> Packet:
        """Return the packet with these attributes in place of all others of their types."""
        types = {one.type for one in values}
        kept = tuple(one for one in self.attributes if one.type not in types)
        return msgspec.structs.replace(self, attributes=kept + values)


def length_of(data: bytes) -> int:
    """Return the length that the header states. Raises PacketError if it cannot be.

    Bytes behind that length are padding, which the receiver leaves out (RFC 2865 section 3).
    """
    if len(data) < MIN_BYTES:
        raise PacketError(f"{len(data)} bytes, of at least {MIN_BYTES}")
    length = int.from_bytes(data[2:4], "big")
    if not MIN_BYTES <= length <= MAX_BYTES:
        raise PacketError(f"length {length} is not from {MIN_BYTES} to {MAX_BYTES}")
    if length > len(data):
        raise PacketError(f"length {length}, but {len(data)} bytes")
    return length


def parse(data: bytes) -> Packet:
    """Read a packet. Raises PacketError."""
    length = length_of(data)
    code, identifier, _, authenticator = _HEADER.unpack_from(data)
    attributes: list[Attribute] = []
    at = MIN_BYTES
    while at < length:
        if at + 2 > length:
            raise PacketError(f"an attribute is cut off at byte {at}")
        size = data[at + 1]
        if size < 2 or at + size > length:
            raise PacketError(f"attribute {data[at]} at byte {at} has length {size}")
        attributes.append(Attribute(data[at], bytes(data[at + 2 : at + size])))
        at += size
    return Packet(code, identifier, authenticator, tuple(attributes))


def encode(packet: Packet) -> bytes:
    """Return the bytes of a packet. Raises PacketError if it cannot be written."""
    body = bytearray()
    for type, value in packet.attributes:
        if len(value) > MAX_VALUE:
            raise PacketError(f"attribute {type} has {len(value)} bytes, of {MAX_VALUE} at most")
        body += bytes((type, len(value) + 2))
        body += value
    length = MIN_BYTES + len(body)
    if length > MAX_BYTES:
        raise PacketError(f"the packet has {length} bytes, of {MAX_BYTES} at most")
    header = _HEADER.pack(packet.code, packet.identifier, length, packet.authenticator)
    return header + bytes(body)


def attribute(type: int, value: bytes | str | int) -> Attribute:
    """Return an attribute of bytes, of text, or of a number of four bytes."""
    if isinstance(value, int):
        return Attribute(type, value.to_bytes(4, "big"))
    return Attribute(type, value.encode() if isinstance(value, str) else value)


def vendor_attribute(vendor: int, type: int, value: bytes) -> Attribute:
    """Return a vendor-specific attribute with one sub-attribute."""
    return Attribute(
        Attr.VENDOR_SPECIFIC, _VENDOR.pack(vendor, type, len(value) + 2) + value
    )  # fmt: skip


def vendor_attributes(value: bytes) -> Iterable[tuple[int, Attribute]]:
    """Yield (vendor, sub-attribute) of one vendor-specific value; stops where it is malformed."""
    if len(value) < 4:
        return
    vendor = int.from_bytes(value[:4], "big")
    at = 4
    while at + 2 <= len(value):
        size = value[at + 1]
        if size < 2 or at + size > len(value):
            return
        yield vendor, Attribute(value[at], value[at + 2 : at + size])
        at += size


# -- signatures


def message_authenticator(packet: Packet, secret: bytes) -> bytes:
    """Return the HMAC of a packet whose `authenticator` is the one to hash (RFC 3579 3.2)."""
    blank = tuple(
        Attribute(type, NO_AUTHENTICATOR if type == Attr.MESSAGE_AUTHENTICATOR else value)
        for type, value in packet.attributes
    )
    return hmac.digest(secret, encode(msgspec.structs.replace(packet, attributes=blank)), "md5")


def with_message_authenticator(packet: Packet, secret: bytes, *, add: bool = False) -> Packet:
    """Return the packet with its Message-Authenticator recomputed.

    `add` puts one in front if there is none; otherwise a packet without one stays as it is.
    """
    attributes = packet.attributes
    if packet.get(Attr.MESSAGE_AUTHENTICATOR) is None:
        if not add:
            return packet
        attributes = (Attribute(Attr.MESSAGE_AUTHENTICATOR, NO_AUTHENTICATOR), *attributes)
        packet = msgspec.structs.replace(packet, attributes=attributes)
    value = message_authenticator(packet, secret)
    signed = tuple(
        Attribute(one.type, value) if one.type == Attr.MESSAGE_AUTHENTICATOR else one
        for one in attributes
    )
    return msgspec.structs.replace(packet, attributes=signed)


def message_authenticator_holds(packet: Packet, secret: bytes) -> bool:
    """Tell whether the Message-Authenticator is right; a packet without one passes.

    `packet.authenticator` is the one to be hashed: the request's own for an Access-Request, that
    of its request for an answer, zero for an accounting, CoA or Disconnect request.
    """
    found = packet.all(Attr.MESSAGE_AUTHENTICATOR)
    if not found:
        return True
    return len(found) == 1 and hmac.compare_digest(
        found[0], message_authenticator(packet, secret)
    )  # fmt: skip


def sign_access_request(packet: Packet, secret: bytes) -> Packet:
    """Return an Access-Request or Status-Server with a right Message-Authenticator."""
    return with_message_authenticator(packet, secret, add=True)


def sign_request(packet: Packet, secret: bytes) -> Packet:
    """Return an accounting, CoA or Disconnect request with its authenticator (RFC 2866 3)."""
    packet = msgspec.structs.replace(packet, authenticator=NO_AUTHENTICATOR)
    packet = with_message_authenticator(packet, secret)
    return msgspec.structs.replace(packet, authenticator=_digest(packet, secret))


def sign_answer(packet: Packet, request_authenticator: bytes, secret: bytes) -> Packet:
    """Return an answer with the authenticator for its request (RFC 2865 section 3)."""
    packet = msgspec.structs.replace(packet, authenticator=request_authenticator)
    packet = with_message_authenticator(packet, secret)
    return msgspec.structs.replace(packet, authenticator=_digest(packet, secret))


def access_request_holds(packet: Packet, secret: bytes) -> bool:
    """Tell whether an Access-Request can be of someone with the secret."""
    return message_authenticator_holds(packet, secret)


def request_holds(packet: Packet, secret: bytes) -> bool:
    """Tell whether an accounting, CoA or Disconnect request is of someone with the secret."""
    blank = msgspec.structs.replace(packet, authenticator=NO_AUTHENTICATOR)
    if not hmac.compare_digest(packet.authenticator, _digest(blank, secret)):
        return False
    return message_authenticator_holds(blank, secret)


def answer_holds(packet: Packet, request_authenticator: bytes, secret: bytes) -> bool:
    """Tell whether an answer is of someone with the secret, and to that request."""
    blank = msgspec.structs.replace(packet, authenticator=request_authenticator)
    if not hmac.compare_digest(packet.authenticator, _digest(blank, secret)):
        return False
    return message_authenticator_holds(blank, secret)


def _digest(packet: Packet, secret: bytes) -> bytes:
    return md5(encode(packet) + secret, usedforsecurity=False).digest()


# -- packets of our own


def status_server(identifier: int, secret: bytes, *attributes: Attribute) -> Packet:
    """Return a Status-Server request (RFC 5997), with a random authenticator."""
    packet = Packet(Code.STATUS_SERVER, identifier, os.urandom(16), attributes)
    return sign_access_request(packet, secret)

"""What crosses the shared-memory queues between the processes of one node.

A record of a ring has a fixed header (kind, session, serial, receive time), a `head` and a
`body`. `head` is one of the structs below, encoded as a MessagePack array whose first member
is the version; `body` is the raw bytes of the device (or of a document), never re-encoded.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, TypeVar

import msgspec

RECORD_VERSION: Final = 1


class Kind(IntEnum):
    """Kind of a record; the number is part of the ring's format."""

    # worker -> coordinator
    WORKER_STARTED = 1
    CONNECT = 2
    DISCONNECT = 3
    MESSAGE = 4
    ANSWER = 5
    SESSION_SNAPSHOT = 6
    RPC_UNSENT = 7
    RPC_SENT = 8
    RPC_GIVEN_UP = 9
    DEVICE_PING = 16
    # worker -> coordinator -> radius, and back
    RADIUS = 17
    # coordinator -> worker
    HELLO = 32
    SESSION_CLOSE = 34
    SEND_RPC = 35
    SEND_EVENT = 48
    # coordinator -> radius; also HELLO and REQUEST
    RADIUS_POOLS = 40
    RADIUS_DEVICE_GONE = 41
    RADIUS_UNDELIVERED = 42
    # api -> coordinator
    REQUEST = 64
    # coordinator -> api
    RESPONSE = 65
    STREAM = 80
    TOKEN_REMOVED = 81
    # radius -> coordinator; also RESPONSE
    RADIUS_STARTED = 72
    RADIUS_SESSIONS = 73


class Stream(IntEnum):
    """What an item of a live stream is."""

    NOTICE = 0
    """A notification for UIs."""
    TELEMETRY = 1
    TELEMETRY_END = 2
    """A telemetry subscription is over; no body."""
    TAIL = 3
    """A message from or to a device that somebody looks at."""


class Head(msgspec.Struct, array_like=True, gc=False):
    """Base of the structs that are encoded in a record's head."""


class WorkerStarted(Head):
    """First record of a worker process: sessions of earlier generations of its slot are gone."""

    version: int
    slot: int
    generation: int


class PeerCertificate(Head):
    """What the verified client certificate says."""

    common_name: str
    issuer: str
    not_before: int
    """Unix time, seconds."""
    not_after: int
    serial_number: str
    """Serial number of the certificate, lower-case hexadecimal."""
    verdict: str
    """`VERIFIED`, `MISMATCH_SERIAL` or `SIMULATED` (southbound.md 1.3)."""
    policy: int = -1
    """Place of its issuer's policy in `ca_policies` of its listener; -1: none."""


class Connect(Head):
    """A device said `connect`; body: its params, expanded."""

    version: int
    address: str
    """Peer as `ip:port`."""
    certificate: PeerCertificate
    uuid: int
    config_hash: str
    """32 hexadecimal digits, or empty if the agent reports none."""
    connected_at: int
    """Unix time of the TCP accept, milliseconds."""
    connected_ns: int
    """Monotonic time of the (first) `connect`: the newest session of a device wins."""
    completion_ms: float
    """From accept to `connect`, milliseconds."""
    listener: str = "devices"
    """Name of the listener that it came in by (gw.core.listeners)."""


class Disconnect(Head):
    """A session ended. Sent once for each session that had sent CONNECT."""

    version: int
    reason: str
    rx_bytes: int
    tx_bytes: int
    messages: int


class DeviceMessage(Head):
    """Any other message of a device; body: its params, expanded."""

    version: int
    method: str
    uuid: int
    """Configuration id the message carries; -1 if none."""
    config_hash: str
    start: int
    """Where in the body the method's document (`state` of a state) starts; 0 with size 0: none."""
    size: int
    rx_bytes: int
    tx_bytes: int
    messages: int


class DevicePing(Head):
    """A device sent a WebSocket PING; told only where there is a bus, and not too often."""

    version: int
    address: str
    """Peer as `ip:port`."""


class Answer(Head):
    """A device answered an RPC; body: the whole JSON-RPC message."""

    version: int
    command: str
    """UUID of the command."""
    method: str
    rpc_id: int
    elapsed_ms: float
    uuid: int
    """Of the configuration that the request carried; 0: none."""
    hash: str
    nth: int = 1
    """Which answer to the request it is: some are answered twice."""


class Unanswered(Head):
    """A request that the device has not answered yet, or may answer once more."""

    command: str
    uuid: int
    hash: str
    left_ms: int
    """How long an answer may still take; not positive: its time is up."""
    method: str = "configure"


class SessionSnapshot(Head):
    """One live session, told to a coordinator that started anew; body: params of its connect."""

    version: int
    connect: Connect
    last_uuid: int
    """Configuration id of the newest message that carried one."""
    last_hash: str
    unanswered: list[Unanswered]
    """Oldest first."""
    rx_bytes: int
    tx_bytes: int
    messages: int


class RpcUnsent(Head):
    """A command was not handed to its device, for sure."""

    version: int
    command: str
    reason: str


class RpcGivenUp(Head):
    """A command has reached its device, and its answer would not be known as one."""

    version: int
    command: str
    reason: str


class RpcSent(Head):
    """A request that is not answered was handed to its device's socket."""

    version: int
    command: str


class Hello(Head):
    """The coordinator (re)started: repeat what it cannot know."""

    version: int
    generation: int


class SessionClose(Head):
    """Close the session with a WebSocket close code and a reason for the log and the metric."""

    version: int
    code: int
    reason: str


class SendRpc(Head):
    """Send a JSON-RPC request to the device; body: its params."""

    version: int
    command: str
    method: str
    timeout_ms: int
    """How long an answer may take."""
    compress: bool
    uuid: int = 0
    """Of the configuration that the request carries."""
    hash: str = ""
    again: bool = False
    """More than one answer may come."""
    oneway: bool = False
    """It has id 0 and is not answered (southbound.md 3.16)."""


class Author(Head):
    """On whose behalf the API asks for something; for the audit. Never holds a secret."""

    entry: str
    """UUID of the request: a repeated one is one entry."""
    author: str
    """E-mail of the user, or name of the sister service."""
    role: str
    via: str
    """`token`, `key <name>`, `internal`, or `sign-in`."""
    address: str
    request: str
    """Method and path, with the names of its parameters in place of their values."""
    target: str
    """Values of those parameters, but for secrets."""


class RadiusPacket(Head):
    """A RADIUS packet of a device or for one; body: the packet."""

    version: int
    kind: str
    """`auth`, `acct` or `coa`."""


class RadiusPools(Head):
    """What the RADIUS proxy is to work by; body: the document of the pools, or nothing."""

    version: int


class RadiusStarted(Head):
    """The RADIUS proxy started: it wants its pools."""

    version: int
    generation: int


class RadiusSessions(Head):
    """How many accounting sessions a device has now."""

    version: int
    count: int


class Request(Head):
    """A request of the API to the coordinator; body: a document, if the operation has one.

    Requests are delivered at least once: operations are idempotent by their `arguments`.
    """

    version: int
    id: int
    operation: str
    arguments: dict[str, Any]
    by: Author | None = None


class Response(Head):
    """The coordinator's answer; body: a JSON document, if the operation has one.

    `error` is 0, or a number of `gw.core.errors`; then `detail` says what is wrong, and `http`
    is the status if it is not the usual one of that number (0).
    """

    version: int
    id: int
    error: int
    detail: str
    result: dict[str, Any]
    http: int = 0


class SendEvent(Head):
    """Send a JSON-RPC message without an id, which is not answered; body: its params."""

    version: int
    method: str


class StreamItem(Head):
    """Something that viewers see live; body: JSON text. It may be left out under pressure."""

    version: int
    stream: Stream
    type_id: int = 0
    """Of a notification."""
    uuid: str = ""
    """Of a telemetry subscription."""
    left_out: int = 0
    """Items of a tail that were left out just before."""


_H = TypeVar("_H", bound=Head)

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
_decoders: dict[type[Head], msgspec.msgpack.Decoder[Any]] = {}


def decode(kind: type[_H], data: bytes) -> _H:
    """Decode the head of a record. Raises msgspec.ValidationError if it is of another shape."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    result: _H = decoder.decode(data)
    return result

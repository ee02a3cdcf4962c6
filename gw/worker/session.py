"""One device's WebSocket session: identity, frames, messages, requests to the device.

A session has no task and no timer of its own; `gw.worker.sweep` ends it when it is silent.
Long, because the callbacks of one socket and what they change are to be read in one place.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from gw.core import records
from gw.core.ids import normalize_serial, serial_to_int
from gw.core.records import RECORD_VERSION, Kind, PeerCertificate
from gw.core.settings import CaPolicy
from gw.ops import logs, metrics
from gw.protocol import compression, configuration, jsonrpc, messages, radius_tunnel
from gw.protocol.jsonrpc import Form, MalformedMessageError, ProtocolError
from gw.worker import identity
from gw.worker.outstanding import Outstanding, make_room

if TYPE_CHECKING:
    from gw._native import Envelope, Members
    from gw.worker.context import WorkerContext
    from gw.worker.listener_state import ListenerState

log = logs.get("session")

MAX_TOLERATED_LOGGED: Final = 10
"""Tolerated errors of one session that get a line of their own; all are counted."""
_PING_NS: Final = 1_000_000_000
"""Time between two PINGs of a session that are told, nanoseconds."""
MAX_ANSWERS: Final = 4
"""Answers to one request that are taken; agents give two at most (agents.md)."""
_CLOSE_SECONDS: Final = 1.0
"""How long a peer may take to answer our close frame."""

_TEXT: Final = WSMsgType.TEXT
_CONTINUATION: Final = WSMsgType.CONTINUATION
_DATA: Final = (_TEXT, _CONTINUATION)
_BINARY: Final = WSMsgType.BINARY
_CLOSE: Final = WSMsgType.CLOSE
_PING: Final = WSMsgType.PING

_RECEIVED: Final = {
    method: metrics.index("gw_device_messages_received_total", method)
    for method in (*messages.METHODS, "radius", "unknown")
}
_ANSWERS: Final = metrics.index("gw_device_answers_received_total")
_GIVEN_UP: Final = metrics.index("gw_device_requests_given_up_total")
_SENT: Final = metrics.index("gw_device_messages_sent_total")
_RADIUS_SENT: Final = metrics.index("gw_device_radius_sent_total")
_BYTES_IN: Final = metrics.index("gw_device_received_bytes_total")
_BYTES_OUT: Final = metrics.index("gw_device_sent_bytes_total")


class Session(WSListener):
    """A device connection from the WebSocket upgrade on."""

    __slots__ = (
        "address",
        "certificate",
        "connect_head",
        "connected_at",
        "context",
        "ended",
        "errors",
        "foreign",
        "fragments",
        "id",
        "issuer",
        "last_hash",
        "last_ping",
        "last_seen",
        "last_uuid",
        "listener",
        "messages",
        "opened_ns",
        "outstanding",
        "partial_bytes",
        "paused",
        "policy",
        "reason",
        "rx_bytes",
        "serial",
        "serial_number",
        "tolerated",
        "transport",
        "tx_bytes",
    )  # fmt: skip

    def __init__(
        self,
        context: WorkerContext,
        id: int,
        address: str,
        connected_at: float,
        listener: ListenerState,
    ) -> None:
        self.context = context
        self.listener = listener
        self.id = id
        self.address = address
        self.connected_at = connected_at
        self.opened_ns = self.last_seen = time.monotonic_ns()
        self.transport: WSTransport | None = None
        self.certificate: PeerCertificate | None = None
        self.policy: CaPolicy | None = None
        self.issuer = ""
        """Issuer of the certificate, as gw.worker.identity.issuer_key has it."""
        self.serial = ""
        self.serial_number = 0
        self.connect_head: records.Connect | None = None
        self.last_uuid = -1
        self.last_ping = 0
        self.last_hash = ""
        self.errors = 0
        """Protocol errors; at the limit the session ends."""
        self.tolerated = 0
        self.foreign = 0
        """Answers to no request of ours."""
        self.paused = False
        """Reading is paused: the queue to the coordinator is full."""
        self.fragments: list[bytes] | None = None
        self.partial_bytes = 0
        self.outstanding: dict[int, Outstanding] | None = None
        self.rx_bytes = self.tx_bytes = self.messages = 0
        self.ended = False
        self.reason = ""

    # -- picows callbacks

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Check whose certificate it is, before any message is looked at."""
        self.transport = transport
        connection = transport.underlying_transport
        certificate: dict[str, Any] = connection.get_extra_info("peercert")
        try:
            self.certificate, self.policy, self.issuer = identity.identify(
                certificate or {},
                self.listener.settings.ca_policies,
                self.listener.issuer_fingerprint(connection),
                time.time(),
            )
        except identity.IdentityError as error:
            self._refuse(error.reason, str(error))
            return
        if (self.issuer, self.certificate.serial_number) in self.listener.revoked:
            self._refuse("revoked", "the certificate is revoked")
            return
        self.context.session_opened(self)

    def _refuse(self, reason: str, text: str) -> None:
        self.context.handshake_failed(self.listener, reason, self.address, text)
        self._close(WSCloseCode.POLICY_VIOLATION, text)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Assemble messages; control frames stay out of them."""
        if self.ended:
            return
        now = time.monotonic_ns()
        self.last_seen = now
        kind = frame.msg_type
        if kind in _DATA:
            payload = frame.get_payload_as_bytes()
            if not frame.fin or kind == _CONTINUATION or self.fragments is not None:
                whole = self._assemble(kind, payload, bool(frame.fin))
                if whole is None:
                    return
                payload = whole
            if payload:
                self._message(payload, now)
        elif kind == _PING:
            # Answers to a peer that reads none of them would pile up.
            if self._room():
                transport.send_pong(frame.get_payload_as_bytes())
            if self.context.tells_pings:
                self._tell_ping(now)
        elif kind == _CLOSE:
            self.ended = True
            self.reason = self.reason or "peer"
            code = frame.get_close_code()
            transport.send_close(code if code != WSCloseCode.NO_INFO else WSCloseCode.OK)
            transport.disconnect()
        elif kind == _BINARY:
            self.end(
                WSCloseCode.UNSUPPORTED_DATA, "binary", "binary frames are not part of uCentral"
            )

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is gone, for whatever reason."""
        self.ended = True
        if not self.reason:
            sent = transport.close_handshake.sent if transport.close_handshake else None
            self.reason = (
                "too_big"
                if sent and sent.code == WSCloseCode.MESSAGE_TOO_BIG
                else ("error" if sent else "peer")
            )
        self.context.session_closed(self)

    def pause_writing(self) -> None:
        """Beyond the high-water mark; the bound is checked at each send."""

    def resume_writing(self) -> None:
        """Below the low-water mark again."""

    # -- back-pressure (gw.worker.uplink.Pausable)

    def pause_reading(self) -> None:
        """Take no more bytes from the socket."""
        self.paused = True
        if self.transport is not None and not self.ended:
            self.transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on; the time spent paused is not the device's silence."""
        self.paused = False
        self.last_seen = time.monotonic_ns()
        if self.transport is not None and not self.ended:
            self.transport.underlying_transport.resume_reading()

    def overloaded(self) -> None:
        """What the device sent cannot be kept."""
        self.end(WSCloseCode.TRY_AGAIN_LATER, "slow", "the gateway is overloaded")

    # -- ending

    def end(self, code: WSCloseCode, reason: str, text: str) -> None:
        """Close the session. `reason` is the label of gw_session_ends_total, `text` is logged."""
        if self.ended:
            return
        self.reason = reason
        log.info("session ended by the gateway", reason=reason, detail=text, **self._who())
        self._close(code, text)

    def _close(self, code: WSCloseCode, text: str) -> None:
        self.ended = True
        transport = self.transport
        if transport is None:
            return
        # 123 bytes fit (RFC 6455 5.5); a character cut in two would not be UTF-8.
        reason = text.encode()[:120].decode(errors="ignore")
        transport.send_close(code, reason.encode())
        # Nothing more is read: a peer that goes on sending fills its own buffers only.
        transport.underlying_transport.pause_reading()
        asyncio.get_running_loop().call_later(_CLOSE_SECONDS, transport.disconnect, False)

    def _who(self) -> dict[str, str]:
        name = self.certificate.common_name if self.certificate else ""
        return {"serial": self.serial or name, "address": self.address}

    def _tell_ping(self, now: int) -> None:
        """Tell the coordinator of a PING, for the bus: what it has no room for is left out."""
        certificate = self.certificate
        if certificate is None or now - self.last_ping < _PING_NS:
            return
        self.last_ping = now
        serial = self.serial_number
        if not serial:  # before `connect`
            try:
                serial = serial_to_int(normalize_serial(certificate.common_name))
            except ValueError:
                return
        head = records.encode(records.DevicePing(RECORD_VERSION, self.address))
        self.context.uplink.offer(Kind.DEVICE_PING, self.id, serial, now, head)

    # -- messages

    def _assemble(self, kind: WSMsgType, payload: bytes, fin: bool) -> bytes | None:
        """Add a fragment; return the message once it is whole."""
        started = self.fragments is not None
        if started != (kind == _CONTINUATION):
            self.end(WSCloseCode.PROTOCOL_ERROR, "error", "fragments out of order (RFC 6455 5.4)")
            return None
        if self.fragments is None:
            self.fragments = []
        self.fragments.append(payload)
        self.partial_bytes += len(payload)
        limit = self.context.settings.devices.max_message_bytes
        if self.partial_bytes > limit or len(self.fragments) > 4096:
            self.end(WSCloseCode.MESSAGE_TOO_BIG, "too_big", f"a message is above {limit} bytes")
            return None
        if not fin:
            return None
        whole = b"".join(self.fragments)
        self.fragments = None
        self.partial_bytes = 0
        return whole

    def _message(self, payload: bytes, now: int) -> None:
        self.rx_bytes += len(payload)
        self.messages += 1
        self.context.counters.add(_BYTES_IN, len(payload))
        try:
            envelope = jsonrpc.parse(payload)
            form = jsonrpc.form_of(envelope)
            if form is Form.EVENT:
                self._event(envelope, now)
            elif form is Form.ANSWER:
                self._answer(envelope, payload, now)
            else:
                jsonrpc.check_readable(envelope.unreadable)
                self._radius(payload, now)
        except ProtocolError as error:
            self._protocol_error(error)
        except MalformedMessageError as error:
            self.end(WSCloseCode.INVALID_TEXT, error.reason, str(error))

    def _protocol_error(self, error: ProtocolError) -> None:
        """Count it; never answer, for agents log what they did not ask for as an error."""
        self.context.protocol_error(error.reason)
        if error.tolerated:
            self.tolerated += 1
            if self.tolerated <= MAX_TOLERATED_LOGGED:
                log.info("protocol error", reason=error.reason, detail=str(error),
                         tolerated=self.tolerated, **self._who())  # fmt: skip
            return
        self.errors += 1
        log.info("protocol error", reason=error.reason, detail=str(error), count=self.errors,
                 **self._who())  # fmt: skip
        limit = self.context.settings.devices.protocol_errors
        if self.errors >= limit:
            text = f"{self.errors} protocol errors, the last: {error}"
            self.end(WSCloseCode.POLICY_VIOLATION, "protocol_errors", text)

    def _event(self, envelope: Envelope, now: int) -> None:
        method = jsonrpc.method_of(envelope)
        members = envelope.params
        assert members is not None
        self.context.counters.add(_RECEIVED.get(method, _RECEIVED["unknown"]))
        if method not in messages.METHODS:
            raise ProtocolError("unknown_method", f"unknown method {method[:40]!r}")
        limit = self.context.settings.devices.max_expanded_bytes
        if members.span("compress_64") is not None:
            members = messages.members_of(compression.expand(members.text, limit))
        params = messages.decode(method, members)
        if not self._serial_is_own(params.serial):
            return
        if method == "connect":
            assert isinstance(params, messages.ConnectParams)
            self._connect(params, members.text, now)
            return
        if self.connect_head is None and method not in messages.WITHOUT_CONNECT:
            raise ProtocolError("not_connected", f"{method} before connect")
        self._publish(method, params, members, now)

    def _serial_is_own(self, text: str) -> bool:
        """End the session of a device that speaks for another one."""
        certificate = self.certificate
        assert certificate is not None
        try:
            serial = normalize_serial(text)  # Quirk: serial-case.
        except ValueError as error:
            self.end(WSCloseCode.POLICY_VIOLATION, "serial_mismatch", str(error))
            return False
        if serial == self.serial:
            return True
        if not self.serial and identity.may_claim(certificate, serial, self.policy):
            self.serial = serial
            self.serial_number = serial_to_int(serial)
            return True
        text = f"serial {serial} is not that of the certificate, {certificate.common_name}"
        self.end(WSCloseCode.POLICY_VIOLATION, "serial_mismatch", text)
        return False

    def _connect(self, params: messages.ConnectParams, body: bytes, now: int) -> None:
        certificate = self.certificate
        assert certificate is not None
        if certificate.verdict == identity.VERIFIED and self.serial != certificate.common_name:
            certificate = msgspec.structs.replace(certificate, verdict=identity.MISMATCH)
        self.last_uuid, self.last_hash = params.uuid, params.config_hash
        self.connect_head = records.Connect(
            RECORD_VERSION,
            self.address,
            certificate,
            params.uuid,
            params.config_hash,
            int(self.connected_at * 1000),
            self.connect_head.connected_ns if self.connect_head else now,
            (now - self.opened_ns) / 1e6,
            self.listener.settings.name,
        )
        self.context.device_connected(self)
        head = records.encode(self.connect_head)
        self.context.uplink.publish(
            Kind.CONNECT, self.id, self.serial_number, now, head, body, self
        )

    def _publish(self, method: str, params: messages.Params, members: Members, now: int) -> None:
        uuid, content = messages.reported(method, params)
        start, size = messages.document_place(method, params, members)
        if uuid >= 0:
            self.last_uuid, self.last_hash = uuid, content
        head = records.encode(
            records.DeviceMessage(
                RECORD_VERSION,
                method,
                uuid,
                content,
                start,
                size,
                self.rx_bytes,
                self.tx_bytes,
                self.messages,
            )
        )
        self.context.uplink.publish(
            Kind.MESSAGE, self.id, self.serial_number, now, head, members.text, self
        )

    def _answer(self, envelope: Envelope, payload: bytes, now: int) -> None:
        self.context.counters.add(_ANSWERS)
        jsonrpc.check_readable(envelope.unreadable)
        rpc_id = jsonrpc.rpc_id(envelope)
        pending = self.outstanding.get(rpc_id) if self.outstanding and rpc_id else None
        if pending is not None and self.outstanding is not None and rpc_id is not None:
            pending.answers += 1
            if not pending.again or pending.answers >= MAX_ANSWERS:
                del self.outstanding[rpc_id]
        if pending is None:
            # Late, repeated or foreign: recorded, never applied, and no fault of the device.
            # Quirk: foreign-answer-id. Quirk: second-result.
            self.context.protocol_error("foreign_answer")
            if not self.foreign:
                log.info("answer to no request", rpc_id=rpc_id, **self._who())
            self.foreign += 1
            return
        if pending.method == "configure":
            self._remember_applied(payload)
        head = records.encode(
            records.Answer(
                RECORD_VERSION,
                pending.command,
                pending.method,
                rpc_id,
                (now - pending.sent_ns) / 1e6,
                pending.uuid,
                pending.hash,
                pending.answers,
            )
        )
        self.context.uplink.publish(
            Kind.ANSWER, self.id, self.serial_number, now, head, payload, self
        )

    def _remember_applied(self, payload: bytes) -> None:
        """Keep what a device says it has applied: a new coordinator asks for the newest."""
        result = configuration.read_result(payload)
        if result is not None and result.error in (0, 1) and result.uuid > 0:
            self.last_uuid, self.last_hash = result.uuid, result.hash

    def _radius(self, payload: bytes, now: int) -> None:
        """Pass on a RADIUS packet, which may come before `connect`."""
        self.context.counters.add(_RECEIVED["radius"])
        kind, packet = radius_tunnel.read(payload)
        if not self.context.settings.radius.enabled:
            return
        serial = self.serial_number
        if not serial:
            assert self.certificate is not None
            if self.certificate.verdict == identity.SIMULATED:
                raise ProtocolError("not_connected", "a simulator's RADIUS packet before connect")
            serial = serial_to_int(normalize_serial(self.certificate.common_name))
        head = records.encode(records.RadiusPacket(RECORD_VERSION, kind))
        self.context.uplink.publish(Kind.RADIUS, self.id, serial, now, head, packet, self)

    # -- requests

    def _room(self) -> bool:
        """Tell whether more may be sent; ends the session of a device that does not read."""
        assert self.transport is not None
        limit = self.context.settings.devices.send_buffer_bytes
        if self.transport.underlying_transport.get_write_buffer_size() <= limit:
            return True
        self.end(WSCloseCode.TRY_AGAIN_LATER, "slow", f"more than {limit} bytes unsent")
        return False

    def send_rpc(self, order: records.SendRpc, params: bytes) -> str:
        """Send a request as one unfragmented text frame. Return "" or why it was not sent."""
        transport = self.transport
        if transport is None or self.ended:
            return "the session is ending"
        if not self._room():
            return "the device does not read what it is sent"
        rpc_id = 0 if order.oneway else self.context.next_rpc_id()
        if not order.oneway:
            self._await_answer(rpc_id, order)
        self._send(jsonrpc.request(rpc_id, order.method, params))
        return ""

    def send_event(self, method: str, params: bytes) -> None:
        """Send a message without an id, if the device is there and reads."""
        if self.transport is None or self.ended or not self._room():
            return
        self._send(jsonrpc.event(method, params))

    def _send(self, text: bytes) -> None:
        assert self.transport is not None
        self.transport.send(_TEXT, text)
        self.tx_bytes += len(text)
        self.context.counters.add(_SENT)
        self.context.counters.add(_BYTES_OUT, len(text))

    def _await_answer(self, rpc_id: int, order: records.SendRpc) -> None:
        if self.outstanding is None:
            self.outstanding = {}
        now = time.monotonic_ns()
        if len(self.outstanding) >= self.context.settings.devices.max_outstanding:
            self._give_up(make_room(self.outstanding, now), now)
        self.outstanding[rpc_id] = Outstanding(
            order.command,
            order.method,
            now,
            order.timeout_ms,
            order.uuid,
            order.hash,
            order.again,
        )

    def _give_up(self, request: Outstanding, now: int) -> None:
        """Say that the answer to a request would not be known as one any more."""
        self.context.counters.add(_GIVEN_UP)
        limit = self.context.settings.devices.max_outstanding
        log.warning("request given up", command=request.command, limit=limit, **self._who())
        text = f"the device owed {limit} answers (devices.max_outstanding)"
        head = records.encode(records.RpcGivenUp(RECORD_VERSION, request.command, text))
        self.context.uplink.publish(Kind.RPC_GIVEN_UP, self.id, self.serial_number, now, head, b"")

    def send_radius(self, kind: str, packet: bytes) -> None:
        """Send a RADIUS packet; dropped, as UDP would, if the device takes nothing."""
        transport = self.transport
        if transport is None or self.ended or not self._room():
            return
        text = radius_tunnel.write(kind, packet)
        transport.send(_TEXT, text)
        self.tx_bytes += len(text)
        self.context.counters.add(_RADIUS_SENT)
        self.context.counters.add(_BYTES_OUT, len(text))

    def snapshot(self) -> records.SessionSnapshot:
        """Return what a new coordinator needs to know of this (connected) session.

        Requests whose time is up are told as well: they have reached the device all the same.
        """
        assert self.connect_head is not None
        now = time.monotonic_ns()
        unanswered = [
            records.Unanswered(one.command, one.uuid, one.hash, one.left_ms(now), one.method)
            for one in (self.outstanding or {}).values()
        ]
        return records.SessionSnapshot(
            RECORD_VERSION, self.connect_head, self.last_uuid, self.last_hash, unanswered,
            self.rx_bytes, self.tx_bytes, self.messages,
        )  # fmt: skip

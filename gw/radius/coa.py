"""Requests of servers and operators to devices (CoA, Disconnect), and the answers back.

RFC 5176; southbound.md 6.1. Free of I/O. Each request gets an identifier of the device's own
space and is signed anew, as the requests to servers are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import msgspec

from gw.radius import packet as wire
from gw.radius.accounting import Session, Sessions, disconnect_of
from gw.radius.outlets import Deadlines, Limits, Outlets, Tally
from gw.radius.packet import Attr, Attribute, Code, Packet, PacketError
from gw.radius.pools import IDENTIFIERS, Identifiers, Server
from gw.radius.routing import proxy_state, route_of, serial_of_request

REQUESTS: Final = (Code.DISCONNECT_REQUEST, Code.COA_REQUEST)
_ANSWERS: Final = {
    Code.DISCONNECT_REQUEST: (Code.DISCONNECT_ACK, Code.DISCONNECT_NAK),
    Code.COA_REQUEST: (Code.COA_ACK, Code.COA_NAK),
}
NOT_ROUTABLE: Final = 502
"""Error-Cause of a request whose device is unknown or away (RFC 5176 3.6)."""

Done = Callable[[Packet | str], None]
"""Gets the device's answer to an operator's request, or why there is none."""


class _Request:
    """A request that waits for its device."""

    __slots__ = ("done", "identifier", "key", "request", "secret", "sender", "sent", "serial",
                 "server", "state")  # fmt: skip

    def __init__(self, serial: str, secret: bytes, request: Packet) -> None:
        self.serial = serial
        self.secret = secret
        """Shared with the device."""
        self.request = request
        """As the server sent it."""
        self.identifier = 0
        self.sent = request
        self.server: Server | None = None
        self.sender: Hashable = None
        self.key: Hashable = None
        self.state: Attribute | None = None
        """The Proxy-State that was added for the device, and that the server did not send."""
        self.done: Done | None = None


class Changes:
    """All requests to devices under way."""

    def __init__(
        self,
        limits: Limits,
        sessions: Sessions,
        deadlines: Deadlines,
        outlets: Outlets,
        tally: Tally,
    ) -> None:
        self._limits = limits
        self._sessions = sessions
        self._deadlines = deadlines
        self._outlets = outlets
        self._tally = tally
        self._devices: dict[str, Identifiers] = {}
        self._keys: set[Hashable] = set()

    # -- to devices

    def from_server(
        self, sender: Hashable, servers: Sequence[Server], packet: Packet, now: float
    ) -> None:
        """Take a request of a server; `servers` are those that `sender` can be."""
        if packet.code not in REQUESTS:
            self._tally.dropped("bad_code", code=packet.code)
            return
        server = next((one for one in servers if wire.request_holds(packet, one.secret)), None)
        if server is None:
            self._tally.dropped("bad_authenticator", sender=str(sender))
            return
        self._tally.packet("from_server", "coa")
        key = (sender, packet.code, packet.identifier, packet.authenticator)
        if key in self._keys:
            self._tally.dropped("repeated")
            return
        serial = serial_of_request(packet) or self._sessions.owner(
            packet.text(Attr.ACCT_SESSION_ID)
        )
        if serial is None:
            self._tally.dropped("no_device", server=server.destination)
            self._refuse(sender, server, packet)
            return
        request = _Request(serial, server.device_secret, packet)
        request.server, request.sender, request.key = server, sender, key
        if route_of(packet) is None:
            session = self._sessions.by_station(serial, packet)
            request.state = proxy_state(serial, session.interface if session else "")
        reason = self._send(request, now)
        if reason:
            self._tally.dropped(reason, serial=serial)
            self._refuse(sender, server, packet)

    def disconnect(self, session: Session, done: Done, now: float) -> str:
        """Ask a device to end a station's session; returns "" or why it was not asked."""
        state = proxy_state(session.serial, session.interface)
        packet = disconnect_of(session, 0, state)
        request = _Request(session.serial, session.secret, packet)
        request.done = done
        return self._send(request, now)

    def _send(self, request: _Request, now: float) -> str:
        # Not always from 0: devices may take an identifier of a moment ago for a repetition.
        first = random.randrange(IDENTIFIERS)  # noqa: S311 - not a secret
        device = self._devices.setdefault(request.serial, Identifiers(first))
        room = len(device.in_flight) < self._limits.max_in_flight_per_device
        identifier = device.take(request) if room else None
        if identifier is None:
            return "device_busy"
        request.identifier = identifier
        packet = msgspec.structs.replace(request.request, identifier=identifier)
        if request.state is not None:
            packet = msgspec.structs.replace(
                packet, attributes=(*packet.attributes, request.state)
            )  # fmt: skip
        try:
            request.sent = wire.sign_request(packet, request.secret)
            data = wire.encode(request.sent)
        except PacketError:
            self._finish(request)
            return "too_big"
        if not self._outlets.to_device(request.serial, 0, "coa", data):
            self._finish(request)
            return "undeliverable"
        if request.key is not None:
            self._keys.add(request.key)
        self._tally.packet("to_device", "coa")
        self._deadlines.at(now + self._limits.coa_seconds, lambda _: self._overdue(request))
        return ""

    def _refuse(self, sender: Hashable, server: Server, packet: Packet) -> None:
        code = Code.COA_NAK if packet.code == Code.COA_REQUEST else Code.DISCONNECT_NAK
        cause = wire.attribute(Attr.ERROR_CAUSE, NOT_ROUTABLE)
        states = (wire.attribute(Attr.PROXY_STATE, one) for one in packet.all(Attr.PROXY_STATE))
        answer = Packet(code, packet.identifier, packet.authenticator, (cause, *states))
        signed = wire.sign_answer(answer, packet.authenticator, server.secret)
        if self._outlets.to_sender(sender, wire.encode(signed)):
            self._tally.packet("to_server", "coa")

    # -- from devices

    def from_device(self, serial: str, packet: Packet) -> None:
        """Take what a device sent as `coa`: the answer to a request."""
        device = self._devices.get(serial)
        request = device.in_flight.get(packet.identifier) if device is not None else None
        if not isinstance(request, _Request):
            self._tally.dropped("unexpected_answer", serial=serial)
            return
        if packet.code not in _ANSWERS[Code(request.sent.code)]:
            self._tally.dropped("bad_code", serial=serial, code=packet.code)
            return
        if not wire.answer_holds(packet, request.sent.authenticator, request.secret):
            self._tally.dropped("bad_answer", serial=serial)
            return
        self._finish(request)
        if request.done is not None:
            request.done(packet)
        elif request.server is not None:
            self._answer(request, request.server, packet)

    def _answer(self, request: _Request, server: Server, packet: Packet) -> None:
        kept = tuple(one for one in packet.attributes if one != request.state)
        original = request.request
        answer = Packet(packet.code, original.identifier, original.authenticator, kept)
        signed = wire.sign_answer(answer, original.authenticator, server.secret)
        if self._outlets.to_sender(request.sender, wire.encode(signed)):
            self._tally.packet("to_server", "coa")
        else:
            self._tally.dropped("unreachable", server=server.destination)

    # -- ends

    def device_gone(self, serial: str) -> None:
        """A device is not connected: nothing that it was asked will be answered."""
        device = self._devices.get(serial)
        for request in list(device.in_flight.values()) if device is not None else ():
            assert isinstance(request, _Request)
            self._finish(request)
            self._tally.dropped("undeliverable", serial=serial)
            if request.done is not None:
                request.done("the device is not connected")
            elif request.server is not None:
                self._refuse(request.sender, request.server, request.request)

    def _overdue(self, request: _Request) -> None:
        device = self._devices.get(request.serial)
        if device is None or device.in_flight.get(request.identifier) is not request:
            return
        self._finish(request)
        self._tally.dropped("device_silent", serial=request.serial)
        if request.done is not None:
            request.done("the device did not answer in time")

    def _finish(self, request: _Request) -> None:
        device = self._devices.get(request.serial)
        if device is not None:
            device.give_back(request.identifier, request)
            if not device.in_flight:
                del self._devices[request.serial]
        self._keys.discard(request.key)

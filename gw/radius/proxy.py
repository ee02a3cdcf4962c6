"""Requests of devices to servers, and the answers back. Free of I/O: `Outlets` send.

Each request gets an identifier of the server's own space, is signed anew for it, and its answer
is given back under the device's identifier. Times `now` are monotonic seconds.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from typing import Final

import msgspec

from gw.radius import packet as wire
from gw.radius.accounting import Session, Sessions, stop_of
from gw.radius.hiding import rehide
from gw.radius.outlets import Deadlines, Limits, Outlets, Tally
from gw.radius.packet import Attr, Code, Packet, PacketError
from gw.radius.pools import Choice, Endpoint, Pool, Pools, Server
from gw.radius.routing import Route, route_of

_REQUESTS: Final = {"auth": Code.ACCESS_REQUEST, "acct": Code.ACCOUNTING_REQUEST}
_ANSWERS: Final = {
    "auth": (Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCESS_CHALLENGE),
    "acct": (Code.ACCOUNTING_RESPONSE,),
}
_PROBE_ANSWERS: Final = (
    Code.ACCESS_ACCEPT, Code.ACCESS_REJECT, Code.ACCOUNTING_RESPONSE, Code.COA_ACK, Code.COA_NAK,
)  # fmt: skip
_CONVERSATION_SECONDS: Final = 60.0


class Attempt:
    """A request as it was sent to one server."""

    __slots__ = ("exchange", "identifier", "sent", "server")

    def __init__(self, exchange: Exchange, server: Server, identifier: int, sent: Packet) -> None:
        self.exchange = exchange
        self.server = server
        self.identifier = identifier
        self.sent = sent


class Exchange:
    """A request of a device that waits for its answer.

    With a retry the earlier attempts stay valid: a late answer is an answer.
    """

    __slots__ = (
        "attempts", "choice", "done", "key", "kind", "last", "pinned", "request", "secret", "sends",
        "serial", "session", "started",
    )  # fmt: skip

    def __init__(
        self,
        serial: str,
        session: int,
        kind: str,
        request: Packet,
        choice: Choice,
        secret: bytes,
        server: Server,
        started: float,
        *,
        pinned: bool = False,
    ) -> None:
        self.serial = serial
        self.session = session
        """Of the device; -1: the request is the gateway's own, and nobody waits for an answer."""
        self.kind = kind
        self.request = request
        self.choice = choice
        self.secret = secret
        """Shared with the device."""
        self.started = started
        self.last = server
        """Asked last."""
        self.pinned = pinned
        """No other server can answer it."""
        self.sends = 0
        self.attempts: list[Attempt] = []
        """One per server that was asked."""
        self.done = False
        self.key = (serial, kind, request.identifier, request.authenticator)


class Probe:
    """A Status-Server that waits for its answer (RFC 5997)."""

    __slots__ = ("identifier", "sent", "server")

    def __init__(self, server: Server, identifier: int, sent: Packet) -> None:
        self.server = server
        self.identifier = identifier
        self.sent = sent


class Proxy:
    """All requests under way."""

    def __init__(
        self,
        limits: Limits,
        pools: Pools,
        sessions: Sessions,
        deadlines: Deadlines,
        outlets: Outlets,
        tally: Tally,
    ) -> None:
        self._limits = limits
        self._pools = pools
        self._sessions = sessions
        self._deadlines = deadlines
        self._outlets = outlets
        self._tally = tally
        self._exchanges: dict[tuple[str, str, int, bytes], Exchange] = {}
        self._per_device: Counter[str] = Counter()
        self._conversations: OrderedDict[tuple[str, bytes], tuple[Server, float]] = OrderedDict()
        self.changed: set[str] = set()
        """Devices whose number of sessions may have changed."""

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer."""
        return len(self._exchanges)

    @property
    def conversations(self) -> int:
        """Authentications whose server is remembered."""
        return len(self._conversations)

    # -- from devices

    def from_device(
        self, kind: str, serial: str, session: int, packet: Packet, now: float
    ) -> None:  # fmt: skip
        """Take a request (`auth` or `acct`) that a device sent."""
        if packet.code != _REQUESTS[kind]:
            self._tally.dropped("bad_code", serial=serial, code=packet.code)
            return
        route = route_of(packet) or Route(serial, "", 0, "")
        if route.serial != serial:
            self._tally.dropped("foreign_serial", serial=serial)
            return
        pool = self._pools.find(route.address)
        if pool is None:
            self._tally.dropped("no_pool", serial=serial, address=route.address)
            return
        if (serial, kind, packet.identifier, packet.authenticator) in self._exchanges:
            self._tally.dropped("repeated")
            return
        if self._per_device[serial] >= self._limits.max_in_flight_per_device:
            self._tally.dropped("device_busy", serial=serial)
            return
        signed = kind == "acct" or packet.get(Attr.MESSAGE_AUTHENTICATOR) is not None
        if self._limits.require_message_authenticator and not signed:
            self._tally.dropped("no_message_authenticator", serial=serial)
            return
        choice = pool.choices[kind].for_user(packet.text(Attr.USER_NAME))
        preferred = self._preferred(serial, kind, packet, pool, now)
        server = choice.choose(now, prefer=preferred)
        if server is None:
            self._tally.dropped("no_server", serial=serial, pool=pool.name)
            return
        secret = _device_secret(kind, packet, choice, server)
        if secret is None:
            self._tally.dropped("bad_authenticator", serial=serial, pool=pool.name)
            return
        if kind == "acct":
            self._account(packet, route, pool, server, secret, now)
        pinned = kind == "auth" and server is preferred
        exchange = Exchange(
            serial, session, kind, packet, choice, secret, server, now, pinned=pinned
        )
        self._begin(exchange, now)

    def _preferred(
        self, serial: str, kind: str, packet: Packet, pool: Pool, now: float
    ) -> Server | None:
        """Return the server that knows this conversation or session already."""
        if kind == "auth":
            found = self._conversations.get((serial, packet.get(Attr.STATE) or b""))
            return found[0] if found is not None and found[1] > now else None
        session = self._sessions.by_station(serial, packet)
        if session is None or session.pool != pool.name:
            return None
        servers = pool.choices[kind].servers
        return next((one for one in servers if one.destination == session.destination), None)

    def _account(
        self, packet: Packet, route: Route, pool: Pool, server: Server, secret: bytes, now: float
    ) -> None:
        refused = self._sessions.refused
        self._sessions.note(
            packet,
            route,
            pool.name,
            server.destination,
            secret,
            now=int(time.time()),
            seen=now,
        )
        if self._sessions.refused != refused:
            self._tally.dropped("sessions_full", serial=route.serial)
        self.changed.add(route.serial)

    def _begin(self, exchange: Exchange, now: float) -> None:
        self._exchanges[exchange.key] = exchange
        self._per_device[exchange.serial] += 1
        self._attempt(exchange, exchange.last, now)

    # -- to servers

    def _attempt(self, exchange: Exchange, server: Server | None, now: float) -> None:
        """Send to a server; to the next one if it cannot be sent there."""
        tried = [one.server for one in exchange.attempts]
        reason = "no_server"
        while server is not None:
            reason = self._send(exchange, server)
            if not reason:
                exchange.last = server
                self._deadlines.at(
                    now + self._limits.answer_seconds, lambda at: self._overdue(exchange, at)
                )
                return
            if exchange.pinned and exchange.attempts:
                break
            tried.append(server)
            rest = [one for one in exchange.choice.servers if one not in tried]
            server = exchange.choice.choose(now, without=tried) if rest else None
        if not exchange.attempts:
            self._tally.dropped(reason, serial=exchange.serial)
            self._finish(exchange)

    def _send(self, exchange: Exchange, server: Server) -> str:
        """Send one attempt; returns "" or why it was not sent."""
        for earlier in exchange.attempts:
            if earlier.server is server:
                return self._send_again(earlier)
        attempt = Attempt(exchange, server, 0, exchange.request)
        identifier = server.endpoint.take(attempt)
        if identifier is None:
            return "server_busy"
        attempt.identifier = identifier
        try:
            attempt.sent = _upstream(exchange, server, identifier)
            data = wire.encode(attempt.sent)
        except PacketError:
            server.endpoint.give_back(identifier, attempt)
            return "too_big"
        if not self._outlets.to_server(server.endpoint, data):
            server.endpoint.give_back(identifier, attempt)
            return "unreachable"
        exchange.attempts.append(attempt)
        exchange.sends += 1
        self._tally.packet("to_server", exchange.kind)
        return ""

    def _send_again(self, attempt: Attempt) -> str:
        """Repeat an attempt to the letter: the server can tell that it is a repetition."""
        if not self._outlets.to_server(attempt.server.endpoint, wire.encode(attempt.sent)):
            return "unreachable"
        attempt.exchange.sends += 1
        self._tally.packet("to_server", attempt.exchange.kind)
        return ""

    def _overdue(self, exchange: Exchange, now: float) -> None:
        if exchange.done:
            return
        last = exchange.last
        self._silent(last.endpoint, now)
        sends = exchange.sends
        if sends <= self._limits.retries:
            tried = [one.server for one in exchange.attempts]
            # A conversation means nothing to other servers than the one that began it.
            server = last if exchange.pinned else exchange.choice.choose(now, without=tried)
            self._attempt(exchange, server, now)
        self._tally.timed_out(exchange.sends > sends)
        if exchange.sends == sends:
            self._tally.dropped("no_answer", serial=exchange.serial, server=last.destination)
            self._finish(exchange)

    def _silent(self, endpoint: Endpoint, now: float) -> None:
        if endpoint.health.unanswered(now):
            self._tally.server_changed(endpoint, up=False)

    def _finish(self, exchange: Exchange) -> None:
        exchange.done = True
        for attempt in exchange.attempts:
            attempt.server.endpoint.give_back(attempt.identifier, attempt)
        self._exchanges.pop(exchange.key, None)
        self._per_device[exchange.serial] -= 1
        if self._per_device[exchange.serial] <= 0:
            del self._per_device[exchange.serial]

    # -- from servers

    def from_server(self, endpoint: Endpoint, packet: Packet, now: float) -> None:
        """Take an answer that came from an endpoint."""
        holder = endpoint.in_flight.get(packet.identifier)
        if not isinstance(holder, (Attempt, Probe)):
            self._tally.dropped("unexpected_answer", server=endpoint.key.ip)
            return
        if not wire.answer_holds(packet, holder.sent.authenticator, holder.server.secret):
            self._tally.dropped("bad_answer", server=holder.server.destination)
            return
        if isinstance(holder, Attempt) and self._unprotected(endpoint, packet):
            self._tally.dropped("no_message_authenticator", server=holder.server.destination)
            return
        if endpoint.health.answered():
            self._tally.server_changed(endpoint, up=True)
        if isinstance(holder, Probe):
            endpoint.give_back(holder.identifier, holder)
            self._tally.probed(packet.code in _PROBE_ANSWERS)
            return
        exchange = holder.exchange
        if packet.code not in _ANSWERS[exchange.kind]:
            self._tally.dropped("bad_code", server=holder.server.destination, code=packet.code)
            return
        self._tally.packet("from_server", exchange.kind)
        self._tally.answered(now - exchange.started)
        self._converse(exchange, holder.server, packet, now)
        self._finish(exchange)
        if exchange.session >= 0:
            self._answer(exchange, holder, packet)

    def _unprotected(self, endpoint: Endpoint, packet: Packet) -> bool:
        """Tell whether an answer could be forged on its way, which TLS and accounting rule out."""
        return (
            self._limits.require_message_authenticator
            and endpoint.key.transport == "auth"
            and packet.get(Attr.MESSAGE_AUTHENTICATOR) is None
        )

    def _answer(self, exchange: Exchange, attempt: Attempt, packet: Packet) -> None:
        request = exchange.request
        authenticator = attempt.sent.authenticator
        answer = rehide(packet, authenticator, attempt.server.secret, exchange.secret)
        answer = msgspec.structs.replace(answer, identifier=request.identifier)
        data = wire.encode(wire.sign_answer(answer, request.authenticator, exchange.secret))
        if self._outlets.to_device(exchange.serial, exchange.session, exchange.kind, data):
            self._tally.packet("to_device", exchange.kind)
        else:
            self._tally.dropped("undeliverable", serial=exchange.serial)

    def _converse(self, exchange: Exchange, server: Server, packet: Packet, now: float) -> None:
        """Remember who sent a challenge: its `State` means nothing to other servers."""
        state = packet.get(Attr.STATE)
        if packet.code != Code.ACCESS_CHALLENGE or state is None:
            return
        self._conversations[exchange.serial, state] = (server, now + _CONVERSATION_SECONDS)
        self._conversations.move_to_end((exchange.serial, state))
        while self._conversations:
            oldest, (_, until) = next(iter(self._conversations.items()))
            if until > now and len(self._conversations) <= self._limits.max_conversations:
                break
            del self._conversations[oldest]

    # -- what is due

    def device_gone(self, serial: str, now: float) -> None:
        """A device's connection ended: its sessions end with a Stop (southbound.md 6.1)."""
        removed = self._sessions.remove_device(serial)
        if removed:
            self.changed.add(serial)
        for session in removed:
            self._stop(session, now)

    def _stop(self, session: Session, now: float) -> None:
        pool = self._pools.named(session.pool)
        if pool is None:
            self._tally.dropped("no_pool", serial=session.serial, pool=session.pool)
            return
        choice = pool.choices["acct"]
        same = (one for one in choice.servers if one.destination == session.destination)
        server = choice.choose(now, prefer=next(same, None))
        if server is None:
            self._tally.dropped("no_server", serial=session.serial, pool=pool.name)
            return
        stop = wire.sign_request(stop_of(session, int(time.time())), session.secret)
        exchange = Exchange(session.serial, -1, "acct", stop, choice, session.secret, server, now)
        if exchange.key not in self._exchanges:
            self._begin(exchange, now)

    def expire(self, now: float) -> None:
        """Forget the sessions that were silent for too long."""
        for session in self._sessions.expire(now - self._limits.session_idle_seconds):
            self.changed.add(session.serial)

    def probe(self, now: float) -> None:
        """Send the Status-Server requests that are due."""
        for server in self._pools.servers():
            endpoint = server.endpoint
            if server.probed and now >= endpoint.probe_at:
                endpoint.probe_at = now + (server.keep_alive or self._limits.probe_seconds)
                self._probe(server, now)

    def _probe(self, server: Server, now: float) -> None:
        probe = Probe(server, 0, Packet(Code.STATUS_SERVER, 0, wire.NO_AUTHENTICATOR))
        identifier = server.endpoint.take(probe)
        if identifier is None:
            return  # so busy that its answers tell
        state = wire.attribute(Attr.PROXY_STATE, f"status:{server.pool}"[:250])
        probe.identifier = identifier
        probe.sent = wire.status_server(identifier, server.secret, state)
        if not self._outlets.to_server(server.endpoint, wire.encode(probe.sent)):
            server.endpoint.give_back(identifier, probe)
            return
        self._deadlines.at(
            now + self._limits.answer_seconds, lambda at: self._probe_overdue(probe, at)
        )

    def _probe_overdue(self, probe: Probe, now: float) -> None:
        endpoint = probe.server.endpoint
        if endpoint.in_flight.get(probe.identifier) is probe:
            endpoint.give_back(probe.identifier, probe)
            self._tally.probed(False)
            self._silent(endpoint, now)


def _device_secret(kind: str, packet: Packet, choice: Choice, server: Server) -> bytes | None:
    """Return the secret that the device signed with; None if it is no server's of the pool.

    A device has one secret for a pool, whose servers may have several.
    """
    holds = wire.access_request_holds if kind == "auth" else wire.request_holds
    for secret in dict.fromkeys(
        (server.device_secret, *(one.device_secret for one in choice.servers))
    ):
        if holds(packet, secret):
            return secret
    return None


def _upstream(exchange: Exchange, server: Server, identifier: int) -> Packet:
    """Return the request as a server gets it."""
    request = exchange.request
    packet = msgspec.structs.replace(request, identifier=identifier)
    packet = rehide(packet, request.authenticator, exchange.secret, server.secret)
    if exchange.kind == "auth":
        return wire.sign_access_request(packet, server.secret)
    return wire.sign_request(packet, server.secret)

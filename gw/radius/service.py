"""The proxy at work: sockets, RadSec connections and queues around its rules."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Hashable
from typing import Final

import msgspec

from gw._native.ring import Record
from gw.core import records
from gw.core.ids import serial_from_int
from gw.core.records import Kind
from gw.core.settings import Radius
from gw.ops import logs, metrics
from gw.radius import configuration
from gw.radius import packet as wire
from gw.radius.accounting import Sessions
from gw.radius.coa import REQUESTS, Changes
from gw.radius.monitor import Monitors
from gw.radius.outlets import Deadlines, Limits
from gw.radius.packet import Packet, PacketError
from gw.radius.pools import Endpoint, EndpointKey, Pools
from gw.radius.proxy import Proxy
from gw.radius.queries import Queries
from gw.radius.queues import Queues
from gw.radius.radsec import Connection
from gw.radius.tally import MetricsTally
from gw.radius.udp import SocketError, UdpSockets

log = logs.get("radius")

_TICK_SECONDS: Final = 0.05
_SECOND: Final = 1.0
_IN_FLIGHT: Final = metrics.index("gw_radius_in_flight")
_SESSIONS: Final = metrics.index("gw_radius_sessions")
_CONVERSATIONS: Final = metrics.index("gw_radius_conversations")
_DOWN: Final = metrics.index("gw_radius_servers_down")
_CONNECTIONS: Final = metrics.index("gw_radius_connections")
_FAILURES: Final = metrics.index("gw_radius_connection_failures_total")


class Service:
    """One per radius process. It is the Outlets of the rules."""

    def __init__(
        self, settings: Radius, counters: metrics.CounterPage, queues: Queues, generation: int
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._queues = queues
        self._generation = generation
        self._tally = MetricsTally(counters)
        limits = msgspec.convert(
            {name: getattr(settings, name) for name in Limits.__struct_fields__}, Limits
        )
        chance = random.SystemRandom()
        self._pools = Pools(settings.down_after, settings.down_seconds, chance)
        self._sessions = Sessions(settings.max_sessions, settings.max_sessions_per_device)
        self._deadlines = Deadlines()
        self._proxy = Proxy(
            limits, self._pools, self._sessions, self._deadlines, self, self._tally
        )  # fmt: skip
        self._changes = Changes(limits, self._sessions, self._deadlines, self, self._tally)
        self._queries = Queries(self._sessions, self._changes, queues)
        self._monitors = Monitors(settings, self._pools, self._tally)
        ports = {
            "auth": settings.auth_port, "acct": settings.acct_port, "coa": settings.coa_port,
        }  # fmt: skip
        self._udp = UdpSockets(settings.host, ports, self._datagram)
        self._connections: dict[EndpointKey, Connection] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the sockets and begin. Raises SocketError."""
        self._udp.open()
        self._queues.start(self._record)
        self._queues.started(self._generation)
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    async def stop(self) -> None:
        """End; requests under way are left, as datagrams are."""
        if self._ticker is not None:
            self._ticker.cancel()
        self._queues.stop()
        self._monitors.stop()
        await asyncio.gather(*(one.stop() for one in self._connections.values()), *self._stopping)
        self._udp.close()

    # -- Outlets

    def to_server(self, endpoint: Endpoint, data: bytes) -> bool:
        """Send to a server."""
        key = endpoint.key
        if key.transport != "radsec":
            return self._udp.send(key.transport, key.ip, key.port, data)
        connection = self._connections.get(key)
        return connection is not None and connection.send(data)

    def to_device(self, serial: str, session: int, kind: str, data: bytes) -> bool:
        """Send to a device."""
        return self._queues.packet(serial, session, kind, data)

    def to_sender(self, sender: Hashable, data: bytes) -> bool:
        """Answer the sender of a CoA request: an address, or an endpoint's key."""
        if isinstance(sender, EndpointKey):
            connection = self._connections.get(sender)
            return connection is not None and connection.send(data)
        assert isinstance(sender, tuple)
        return self._udp.send("coa", sender[0], sender[1], data)

    # -- from servers

    def _datagram(self, kind: str, ip: str, port: int, data: bytes) -> None:
        now = time.monotonic()
        if kind == "coa":
            servers = self._pools.senders("coa", ip)
            packet = self._parse(data) if servers else None
            if packet is not None:
                self._changes.from_server((ip, port), servers, packet, now)
            elif not servers:
                self._tally.dropped("unknown_sender", kind=kind, address=ip)
            return
        endpoint = self._pools.endpoints.get(EndpointKey(kind, ip, port))
        if endpoint is None:
            self._tally.dropped("unknown_sender", kind=kind, address=ip)
            return
        packet = self._parse(data)
        if packet is not None:
            self._proxy.from_server(endpoint, packet, now)

    def _streamed(self, endpoint: Endpoint, data: bytes) -> None:
        """A packet of a RadSec connection: an answer, or a request for a device."""
        packet = self._parse(data)
        if packet is None:
            return
        now = time.monotonic()
        if packet.code in REQUESTS:
            servers = self._pools.senders("radsec", endpoint.key.ip)
            own = [one for one in servers if one.endpoint is endpoint]
            self._changes.from_server(endpoint.key, own, packet, now)
        else:
            self._proxy.from_server(endpoint, packet, now)

    def _parse(self, data: bytes) -> Packet | None:
        try:
            return wire.parse(data)
        except PacketError as error:
            self._tally.dropped("malformed", detail=str(error))
            return None

    def _connection_changed(self, endpoint: Endpoint, stands: bool) -> None:
        if stands:
            endpoint.health.answered()
            endpoint.probe_at = 0.0
        else:
            self._counters.add(_FAILURES)
            endpoint.health.lost(time.monotonic())
        self._gauges()

    # -- from the coordinator

    def _record(self, record: Record) -> None:
        match record.kind:
            case Kind.RADIUS:
                self._packet(record)
            case Kind.RADIUS_UNDELIVERED:
                self._changes.device_gone(serial_from_int(record.serial))
            case Kind.RADIUS_DEVICE_GONE:
                serial = serial_from_int(record.serial)
                self._changes.device_gone(serial)
                self._proxy.device_gone(serial, time.monotonic())
            case Kind.RADIUS_POOLS:
                self._apply(record.body)
            case Kind.REQUEST:
                self._queries.serve(records.decode(records.Request, record.head))
            case Kind.HELLO:  # it knows nothing of us
                self._queues.started(self._generation)
                self._proxy.changed.update(self._sessions.serials())
            case _:
                log.error("unknown kind of record", kind=record.kind)

    def _packet(self, record: Record) -> None:
        kind = records.decode(records.RadiusPacket, record.head).kind
        serial = serial_from_int(record.serial)
        self._tally.packet("from_device", kind)
        packet = self._parse(record.body)
        if packet is None:
            return
        if kind == "coa":
            self._changes.from_device(serial, packet)
        else:
            self._proxy.from_device(kind, serial, record.session, packet, time.monotonic())

    def _apply(self, document: bytes) -> None:
        """Work by a new configuration, at once."""
        pools = configuration.read(document or b"{}")
        unused = self._pools.apply(pools)
        for endpoint in unused:
            connection = self._connections.pop(endpoint.key, None)
            if connection is not None:
                task = asyncio.get_running_loop().create_task(connection.stop())
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)
        for server in self._pools.servers():
            key = server.endpoint.key
            if key.transport != "radsec":
                try:
                    self._udp.open_for(key.transport, key.ip)
                except SocketError as error:
                    log.error("no socket for a server", server=server.name, detail=str(error))
            elif key not in self._connections:
                server.endpoint.health.lost(time.monotonic())
                connection = Connection(
                    server.endpoint, server.entry, self._settings, self._streamed,
                    self._connection_changed,
                )  # fmt: skip
                self._connections[key] = connection
                connection.start()
        self._monitors.apply()
        self._gauges()
        log.info("pools applied", pools=len(list(self._pools)), servers=len(self._pools.endpoints))

    # -- time

    async def _tick(self) -> None:
        second = 0.0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            try:
                for action in self._deadlines.due(now):
                    action(now)
                self._tell_changed()
                if now - second >= _SECOND:
                    second = now
                    self._each_second(now)
            except Exception as error:
                log.exception("a deadline failed", detail=repr(error))

    def _tell_changed(self) -> None:
        changed = self._proxy.changed
        while changed:
            serial = changed.pop()
            if not self._queues.sessions(serial, self._sessions.count(serial)):
                changed.add(serial)  # no room; later
                return

    def _each_second(self, now: float) -> None:
        self._proxy.expire(now)
        self._proxy.probe(now)
        for connection in self._connections.values():
            if connection.stands and not connection.endpoint.health.up:
                connection.cut()
        self._gauges()

    def _gauges(self) -> None:
        endpoints = self._pools.endpoints.values()
        self._counters.set(_IN_FLIGHT, self._proxy.in_flight)
        self._counters.set(_SESSIONS, len(self._sessions))
        self._counters.set(_CONVERSATIONS, self._proxy.conversations)
        self._counters.set(_DOWN, sum(not one.health.up for one in endpoints))
        self._counters.set(_CONNECTIONS, sum(one.stands for one in self._connections.values()))

"""The rules of the proxy with everything around them made up: servers, devices, time."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec

from gw.radius import packet as wire
from gw.radius.accounting import Sessions
from gw.radius.coa import Changes
from gw.radius.configuration import KindEntry, PoolEntry, PoolsDocument, ServerEntry
from gw.radius.outlets import Deadlines, Limits
from gw.radius.packet import Attr, Attribute, Code, Packet
from gw.radius.pools import Endpoint, Pools
from gw.radius.proxy import Proxy

SERIAL = "02a0e2000001"
SECRET = b"testing123"


def limits(**more: Any) -> Limits:
    """Small bounds."""
    values = {
        "answer_seconds": 5.0, "retries": 2, "coa_seconds": 5.0, "probe_seconds": 10.0,
        "down_after": 3, "down_seconds": 30.0, "max_in_flight_per_device": 256,
        "max_sessions": 100,
        "max_sessions_per_device": 50, "require_message_authenticator": False,
        "max_conversations": 3, "session_idle_seconds": 600.0,
    } | more  # fmt: skip
    return Limits(**values)


def server(name: str, weight: int = 1, **more: Any) -> ServerEntry:
    """A server; its name is the last part of its address."""
    values = {"ip": f"10.0.0.{name}", "port": 1812, "secret": SECRET.decode(), "weight": weight}
    return ServerEntry(name=name, **(values | more))


def pool(*servers: ServerEntry, kind: dict[str, Any] | None = None, **more: Any) -> PoolEntry:
    """A pool with the same servers for every kind."""
    entry = KindEntry(servers=list(servers), **({"strategy": "round_robin"} | (kind or {})))
    values: dict[str, Any] = {
        "name": "pool", "pool_proxy_ip": "0.0.1.1", "auth_config": entry, "acct_config": entry,
        "coa_config": entry,
    }  # fmt: skip
    return PoolEntry(**(values | more))


class Bench:
    """The rules, and what came of them."""

    def __init__(self, *pools: PoolEntry, **more: Any) -> None:
        self.limits = limits(**more)
        self.now = 1000.0
        self.drops: Counter[str] = Counter()
        self.packets: Counter[tuple[str, str]] = Counter()
        self.to_servers: list[tuple[Endpoint, bytes]] = []
        self.to_devices: list[tuple[str, int, str, Packet]] = []
        self.to_senders: list[tuple[Any, Packet]] = []
        self.unreachable: set[str] = set()
        self.changes_of_health: list[tuple[str, bool]] = []
        self.pools = Pools(
            self.limits.down_after, self.limits.down_seconds, random.Random(1)
        )  # fmt: skip
        self.pools.apply(PoolsDocument(pools=list(pools)))
        self.sessions = Sessions(self.limits.max_sessions, self.limits.max_sessions_per_device)
        self.deadlines = Deadlines()
        self.proxy = Proxy(self.limits, self.pools, self.sessions, self.deadlines, self, self)
        self.coa = Changes(self.limits, self.sessions, self.deadlines, self, self)

    # -- outlets

    def to_server(self, endpoint: Endpoint, data: bytes) -> bool:
        if endpoint.key.ip in self.unreachable:
            return False
        self.to_servers.append((endpoint, data))
        return True

    def to_device(self, serial: str, session: int, kind: str, data: bytes) -> bool:
        if serial in self.unreachable:
            return False
        self.to_devices.append((serial, session, kind, wire.parse(data)))
        return True

    def to_sender(self, sender: Any, data: bytes) -> bool:
        self.to_senders.append((sender, wire.parse(data)))
        return True

    # -- tally

    def packet(self, direction: str, kind: str) -> None:
        self.packets[direction, kind] += 1

    def dropped(self, reason: str, **about: object) -> None:
        self.drops[reason] += 1

    def timed_out(self, retried: bool) -> None:
        self.drops["retried" if retried else "gave up"] += 1

    def answered(self, seconds: float) -> None:
        assert seconds >= 0

    def probed(self, answered: bool) -> None:
        self.drops["probe answered" if answered else "probe silent"] += 1

    def server_changed(self, endpoint: Endpoint, up: bool) -> None:
        self.changes_of_health.append((endpoint.key.ip, up))

    # -- acting

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for action in self.deadlines.due(self.now):
            action(self.now)

    def send(self, packet: Packet, serial: str = SERIAL) -> None:
        kind = "auth" if packet.code == Code.ACCESS_REQUEST else "acct"
        self.proxy.from_device(kind, serial, 77, packet, self.now)

    def asked(self) -> list[str]:
        """Last parts of the addresses of the servers that were asked since the last call."""
        found = [endpoint.key.ip.rpartition(".")[2] for endpoint, _ in self.to_servers]
        self.last = list(self.to_servers)
        self.to_servers.clear()
        return found

    def answer(self, place: int = -1, code: int = 0, *attributes: Attribute) -> None:
        """Answer what `asked` told of."""
        endpoint, data = self.last[place]
        request = wire.parse(data)
        code = code or {1: 2, 4: 5, 12: 2}[request.code]
        answer = Packet(code, request.identifier, bytes(16), attributes)
        signed = wire.sign_answer(answer, request.authenticator, SECRET)
        self.proxy.from_server(endpoint, signed, self.now)


def access(identifier: int = 1, *more: Attribute, serial: str = SERIAL) -> Packet:
    """An Access-Request of a device."""
    state = Attribute(Attr.PROXY_STATE, f"{serial}:0.0.1.1:1812:up0v0".encode())
    authenticator = identifier.to_bytes(16, "big")
    packet = Packet(Code.ACCESS_REQUEST, identifier % 256, authenticator, (state, *more))
    return wire.sign_access_request(packet, SECRET)


def account(status: int, session: str = "s", identifier: int = 1, **numbers: int) -> Packet:
    """An Accounting-Request of a device."""
    attributes = (
        wire.attribute(Attr.ACCT_STATUS_TYPE, status),
        wire.attribute(Attr.ACCT_SESSION_ID, session),
        wire.attribute(Attr.CALLING_STATION_ID, "3C-22-FB-10-4E-01"),
        wire.attribute(Attr.NAS_IDENTIFIER, "nas"),
        *(wire.attribute(getattr(Attr, name), value) for name, value in numbers.items()),
        Attribute(Attr.PROXY_STATE, f"{SERIAL}:0.0.1.1:1813:up0v0".encode()),
    )
    packet = Packet(Code.ACCOUNTING_REQUEST, identifier, bytes(16), attributes)
    return wire.sign_request(packet, SECRET)


def replace(packet: Packet, **values: Any) -> Packet:
    """Return a packet with other members."""
    return msgspec.structs.replace(packet, **values)

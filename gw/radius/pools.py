"""Pools at work: which server takes a packet, and which servers are fit to. Free of I/O.

A server that does not answer is left out until a probe, or a packet tried on it, is answered.
Times are monotonic seconds.
"""

from __future__ import annotations

import ipaddress
import math
import random
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from gw.radius.configuration import (
    KINDS,
    RADSEC_SECRET,
    KindEntry,
    PoolEntry,
    PoolsDocument,
    ServerEntry,
)

IDENTIFIERS: Final = 256
"""Requests that a server can be asked at a time: the identifier is one byte (RFC 2865 3)."""


class EndpointKey(NamedTuple):
    """What tells one place that packets go to from all others."""

    transport: str
    """`auth`, `acct` or `coa`: the UDP socket of that kind; `radsec`: a TLS connection."""
    ip: str
    port: int
    material: str = ""
    """Of a RadSec connection: what it is made with."""


class Health:
    """Whether an endpoint answers."""

    def __init__(self, down_after: int, down_seconds: float) -> None:
        self._down_after = down_after
        self._down_seconds = down_seconds
        self.silent = 0
        """Requests without an answer since the last answer."""
        self.down_since = 0.0
        self._trial_at = 0.0

    @property
    def up(self) -> bool:
        """Whether it is taken to answer."""
        return self.silent < self._down_after

    def answered(self) -> bool:
        """It answered; returns whether it was down."""
        was_down = not self.up
        self.silent = 0
        return was_down

    def unanswered(self, now: float) -> bool:
        """A request to it had no answer; returns whether it is down since now."""
        was_up = self.up
        self.silent = min(self.silent + 1, self._down_after)
        if was_up and not self.up:
            self.down_since = now
            self._trial_at = now + self._down_seconds
            return True
        return False

    def lost(self, now: float) -> None:
        """There is no way to it until `answered`: nothing is tried."""
        self.silent = self._down_after
        self.down_since = now
        self._trial_at = math.inf

    def may_try(self, now: float) -> bool:
        """Tell whether a packet may be tried on it: always while up, once in a while when down.

        The call that says so for one that is down takes the turn.
        """
        if self.up:
            return True
        if now < self._trial_at:
            return False
        self._trial_at = now + self._down_seconds
        return True


class Identifiers:
    """The identifiers that are in use towards one peer, and what waits for an answer to each."""

    def __init__(self, first: int = 0) -> None:
        self.in_flight: dict[int, object] = {}
        self._next = first

    def take(self, holder: object) -> int | None:
        """Give `holder` an identifier; None if all are in use. The longest unused is given."""
        for _ in range(IDENTIFIERS):
            identifier, self._next = self._next, (self._next + 1) % IDENTIFIERS
            if identifier not in self.in_flight:
                self.in_flight[identifier] = holder
                return identifier
        return None

    def give_back(self, identifier: int, holder: object) -> None:
        """Free an identifier, if it is still of `holder`."""
        if self.in_flight.get(identifier) is holder:
            del self.in_flight[identifier]


class Endpoint(Identifiers):
    """One place that packets go to, and whether it answers.

    Servers of several pools may share it: answers tell no more than where they come from.
    """

    def __init__(self, key: EndpointKey, down_after: int, down_seconds: float) -> None:
        super().__init__()
        self.key = key
        self.health = Health(down_after, down_seconds)
        self.probe_at = 0.0
        """When the next Status-Server is due."""


class Server(msgspec.Struct, frozen=True, eq=False):
    """One server of a pool, for one kind of packet."""

    name: str
    pool: str
    entry: ServerEntry
    endpoint: Endpoint
    device_secret: bytes
    """Shared with the devices."""
    secret: bytes
    """Shared with the server."""
    probed: bool
    """Whether it is sent Status-Server requests."""
    keep_alive: int
    """Seconds between them on a RadSec connection; 0: as the settings say."""

    @property
    def destination(self) -> str:
        """Where it is, for people."""
        key = self.endpoint.key
        host = f"[{key.ip}]" if ":" in key.ip else key.ip
        return f"{host}:{key.port}"


class Choice:
    """The servers of one kind in one pool, and how one of them is chosen."""

    def __init__(
        self,
        entry: KindEntry,
        servers: list[Server],
        chance: random.Random,
        *,
        realms: bool = False,
    ) -> None:
        """`realms`: the servers' `radsecRealms` count (see `for_user`)."""
        self.entry = entry
        self.servers = servers
        self._chance = chance
        self._turn = 0
        self._credits = [0.0] * len(servers)
        self._realms = _by_realm(entry, servers, chance) if realms else {}

    def for_user(self, user_name: str) -> Choice:
        """Return the choice among the servers that serve the user's realm.

        Those with `radsecRealms` serve these realms only, `*` being any; those without serve all,
        unless there is one for just this realm.
        """
        if not self._realms:
            return self
        realm = user_name.rpartition("@")[2].lower() if "@" in user_name else ""
        return self._realms.get(realm, self._realms[""])

    def choose(
        self, now: float, *, without: Collection[Server] = (), prefer: Server | None = None
    ) -> Server | None:
        """Return the server for a packet; None if there is none at all.

        `prefer` is taken if it is up. `without` were tried already. One that is up goes before
        one whose turn it is to be tried again, and that before any: a packet is never dropped
        for the health of servers alone.
        """
        usable = prefer is not None and prefer in self.servers and prefer not in without
        if prefer is not None and usable and prefer.endpoint.health.up:
            return prefer
        rest = [one for one in self.servers if one not in without]
        due = next(
            (
                one
                for one in rest
                if not one.endpoint.health.up and one.endpoint.health.may_try(now)
            ),
            None,
        )
        if due is not None and not self.entry.monitor:
            return due
        up = [one for one in rest if one.endpoint.health.up]
        return self._pick(up or rest or self.servers)

    def _pick(self, candidates: list[Server]) -> Server | None:
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        if self.entry.strategy == "round_robin":
            # By place in the whole list, so that the turn goes on where servers come and go.
            for step in range(len(self.servers)):
                server = self.servers[(self._turn + step) % len(self.servers)]
                if server in candidates:
                    self._turn = (self._turn + step + 1) % len(self.servers)
                    return server
        if self.entry.strategy == "weighted":
            return self._weighted(candidates)
        return self._chance.choice(candidates)

    def _weighted(self, candidates: list[Server]) -> Server:
        """Smooth weighted round robin: each gets its share, evenly spread."""
        total = 0
        best = -1
        for place, server in enumerate(self.servers):
            if server not in candidates:
                continue
            weight = max(server.entry.weight, 1)
            total += weight
            self._credits[place] += weight
            if best < 0 or self._credits[place] > self._credits[best]:
                best = place
        self._credits[best] -= total
        return self.servers[best]


def _by_realm(entry: KindEntry, servers: list[Server], chance: random.Random) -> dict[str, Choice]:
    """Return the choice for each realm that is named, and under "" that for all others."""
    named: dict[str, list[Server]] = {}
    others: list[Server] = []
    for server in servers:
        realms = {realm.lower() for realm in server.entry.radsec_realms}
        for realm in realms - {"*"}:
            named.setdefault(realm, []).append(server)
        if not realms or "*" in realms:
            others.append(server)
    if not named:
        return {}
    choices = {realm: Choice(entry, some, chance) for realm, some in named.items()}
    return {"": Choice(entry, others, chance)} | choices


class Pool:
    """One enabled pool."""

    def __init__(self, entry: PoolEntry, choices: dict[str, Choice]) -> None:
        self.entry = entry
        self.choices = choices

    @property
    def name(self) -> str:
        """Name of the pool."""
        return self.entry.name


class Pools:
    """All enabled pools, by their virtual addresses."""

    def __init__(
        self, down_after: int, down_seconds: float, chance: random.Random | None = None
    ) -> None:
        self._down_after = down_after
        self._down_seconds = down_seconds
        self._chance = chance or random.SystemRandom()
        self._by_address: dict[str, Pool] = {}
        self._by_name: dict[str, Pool] = {}
        self._default: Pool | None = None
        self._senders: dict[tuple[str, str], list[Server]] = {}
        self.endpoints: dict[EndpointKey, Endpoint] = {}

    def apply(self, document: PoolsDocument) -> list[Endpoint]:
        """Work by a new document; returns the endpoints that are no longer used.

        An endpoint that stays keeps its health and what it is asked.
        """
        old, self.endpoints = self.endpoints, {}
        self._by_address, self._by_name, self._default = {}, {}, None
        for entry in document.pools:
            if not entry.enabled:
                continue
            pool = Pool(entry, {kind: self._choice(entry, kind, old) for kind in KINDS})
            self._by_address[entry.pool_proxy_ip] = self._by_name[entry.name] = pool
            if entry.use_by_default:
                self._default = pool
        self._senders = {}
        for server in self.servers():
            key = server.endpoint.key
            self._senders.setdefault((key.transport, key.ip), []).append(server)
        return [one for key, one in old.items() if key not in self.endpoints]

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._by_address.values())

    def find(self, address: str) -> Pool | None:
        """Return the pool of a virtual address; else the one that is used by default."""
        return self._by_address.get(address, self._default)

    def named(self, name: str) -> Pool | None:
        """Return a pool by its name."""
        return self._by_name.get(name)

    def servers(self) -> Iterable[Server]:
        """Yield every server of every kind and pool."""
        for pool in self:
            for choice in pool.choices.values():
                yield from choice.servers

    def senders(self, kind: str, ip: str) -> list[Server]:
        """Return the servers of a kind (or `radsec`) that have an address, whatever the port."""
        return self._senders.get((kind, ip), [])

    def _choice(self, pool: PoolEntry, kind: str, old: dict[EndpointKey, Endpoint]) -> Choice:
        entry = pool.kind(kind)
        servers = [self._server(pool, kind, one, old) for one in entry.servers if not one.ignore]
        return Choice(entry, servers, self._chance, realms=pool.is_radsec)

    def _server(
        self, pool: PoolEntry, kind: str, entry: ServerEntry, old: dict[EndpointKey, Endpoint]
    ) -> Server:
        key = endpoint_key(pool, kind, entry)
        endpoint = self.endpoints.get(key) or old.get(key)
        if endpoint is None:
            endpoint = Endpoint(key, self._down_after, self._down_seconds)
        self.endpoints[key] = endpoint
        secret = entry.secret.encode()
        if pool.is_radsec:
            upstream = (entry.radsec_secret or RADSEC_SECRET).encode()
            keep_alive = pool.radsec_keep_alive
            own = secret or upstream
            return Server(entry.name, pool.name, entry, endpoint, own, upstream, True, keep_alive)
        monitor = pool.kind(kind)
        # From CoA servers requests come; they are asked nothing.
        probed = monitor.monitor and monitor.monitor_method == "radius" and kind != "coa"
        return Server(entry.name, pool.name, entry, endpoint, secret, secret, probed, 0)


def endpoint_key(pool: PoolEntry, kind: str, entry: ServerEntry) -> EndpointKey:
    """Return where the packets of a server go."""
    ip = str(ipaddress.ip_address(entry.ip))
    if not pool.is_radsec:
        return EndpointKey(kind, ip, entry.port)
    material = (
        pool.name, entry.radsec_cert, entry.radsec_key, entry.radsec_secret,
        "\0".join(entry.radsec_cacerts), str(entry.allow_self_signed),
    )  # fmt: skip
    return EndpointKey("radsec", ip, entry.radsec_port, "\0".join(material))

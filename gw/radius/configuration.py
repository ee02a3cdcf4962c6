"""The pools that operators configure: their document and its rules (southbound.md 6.1)."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterator
from typing import Any, Final

import msgspec

STRATEGIES: Final = ("random", "round_robin", "weighted")
MONITORS: Final = ("none", "https", "radius")
POOL_TYPES: Final = ("generic", "radsec", "globalreach", "orion")
KINDS: Final = ("auth", "acct", "coa")
RADSEC_SECRET: Final = "radsec"  # noqa: S105 - the secret that RFC 6614 2.3 fixes for all
MAX_POOLS: Final = 500
MAX_SERVERS: Final = 64
MAX_NAME: Final = 128
MAX_SECRET: Final = 256
MAX_PEM: Final = 65_536
MAX_DOCUMENT: Final = 1_000_000
"""Bytes: it crosses a queue in one record."""
_FIRST_ADDRESS: Final = int(ipaddress.IPv4Address("0.0.1.1"))
_LAST_ADDRESS: Final = int(ipaddress.IPv4Address("0.0.2.254"))


class ServerEntry(msgspec.Struct, rename="camel", kw_only=True):
    """One RADIUS server of a pool."""

    name: str = ""
    ip: str = ""
    port: int = 0
    weight: int = 0
    secret: str = ""
    """Shared with the devices, and with the server unless it is a RadSec one."""
    certificate: str = ""
    radsec: bool = False
    allow_self_signed: bool = False
    radsec_port: int = 2083
    radsec_secret: str = ""
    """Shared with a RadSec server; empty: `radsec`."""
    radsec_key: str = ""
    """PEM text, as it is or in base64; so are the next two."""
    radsec_cert: str = ""
    radsec_cacerts: list[str] = []
    radsec_realms: list[str] = []
    ignore: bool = False


class KindEntry(msgspec.Struct, rename="camel", kw_only=True):
    """Servers of a pool for one kind of packet."""

    strategy: str = "random"
    monitor: bool = False
    monitor_method: str = "none"
    method_parameters: list[str] = []
    servers: list[ServerEntry] = []


class PoolEntry(msgspec.Struct, rename="camel", kw_only=True):
    """One pool."""

    name: str = ""
    description: str = ""
    auth_config: KindEntry = msgspec.field(default_factory=KindEntry)
    acct_config: KindEntry = msgspec.field(default_factory=KindEntry)
    coa_config: KindEntry = msgspec.field(default_factory=KindEntry)
    radsec_pool_type: str = "generic"
    """generic (UDP), or radsec, globalreach, orion (TLS)."""
    pool_proxy_ip: str = ""
    """Virtual address by which devices name the pool; empty: the next free one is given."""
    radsec_keep_alive: int = 25
    """Seconds between Status-Server requests on a RadSec connection."""
    use_by_default: bool = False
    """Takes packets that name no pool."""
    enabled: bool = True

    @property
    def is_radsec(self) -> bool:
        """Whether its servers are reached by TLS."""
        return self.radsec_pool_type != "generic"

    def kind(self, kind: str) -> KindEntry:
        """Return the servers for `auth`, `acct` or `coa`."""
        found: KindEntry = getattr(self, f"{kind}_config")
        return found


class PoolsDocument(msgspec.Struct, kw_only=True):
    """The whole configuration of the proxy."""

    pools: list[PoolEntry] = []


class PoolsError(ValueError):
    """A document that is not acceptable; `number` is one of gw.core.errors."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


_decode = msgspec.json.Decoder(PoolsDocument).decode


def read(document: bytes) -> PoolsDocument:
    """Decode a stored document. Raises msgspec.DecodeError."""
    return _decode(document)


def complete(document: PoolsDocument) -> PoolsDocument:
    """Return the document, checked, and with an address for each pool.

    Raises PoolsError, which names the field.
    """
    pools = document.pools
    if not pools:
        raise PoolsError(1003, "pools is empty")
    if len(pools) > MAX_POOLS:
        raise PoolsError(1003, f"pools has {len(pools)} entries, of {MAX_POOLS} at most")
    names: set[str] = set()
    taken: set[str] = set()
    for where, pool in _places("pools", pools):
        _check_pool(where, pool)
        if pool.name in names:
            raise PoolsError(1138, f"{where}.name: {pool.name} is there twice")
        names.add(pool.name)
        if pool.pool_proxy_ip:
            pool.pool_proxy_ip = str(ipaddress.IPv4Address(pool.pool_proxy_ip))
            if pool.pool_proxy_ip in taken:
                text = f"{where}.poolProxyIp: {pool.pool_proxy_ip} is another pool's"
                raise PoolsError(1003, text)
            taken.add(pool.pool_proxy_ip)
    if sum(pool.use_by_default and pool.enabled for pool in pools) > 1:
        raise PoolsError(1003, "useByDefault is set for more than one enabled pool")
    free = (
        text
        for number in range(_FIRST_ADDRESS, _LAST_ADDRESS + 1)
        if (text := str(ipaddress.IPv4Address(number))) not in taken
        # Pools of 0.0.1.0/24 and 0.0.2.0/24: neither network nor broadcast addresses.
        and number & 0xFF not in (0, 0xFF)
    )
    for pool in pools:
        if not pool.pool_proxy_ip:
            pool.pool_proxy_ip = next(free)
    if len(msgspec.json.encode(document)) > MAX_DOCUMENT:
        raise PoolsError(1003, f"the document is above {MAX_DOCUMENT} bytes")
    return document


def without_secrets(document: PoolsDocument) -> PoolsDocument:
    """Return a copy in which secrets and private keys are empty."""
    copied = msgspec.convert(msgspec.to_builtins(document), PoolsDocument)
    for pool in copied.pools:
        for kind in KINDS:
            for server in pool.kind(kind).servers:
                server.secret = server.radsec_secret = server.radsec_key = ""
    return copied


def pem(text: str) -> bytes:
    """Return the PEM text of a field that holds it as it is, or in base64. Raises ValueError."""
    if "-----BEGIN" in text:
        return text.encode()
    try:
        found = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        found = b""
    if b"-----BEGIN" not in found:
        raise ValueError("neither PEM nor base64 of PEM")
    return found


def _places(name: str, items: list[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{name}[{index}]", item) for index, item in enumerate(items))


def _check_pool(where: str, pool: PoolEntry) -> None:
    if not pool.name or len(pool.name) > MAX_NAME or not pool.name.isprintable():
        raise PoolsError(1138, f"{where}.name: 1 to {MAX_NAME} printable characters")
    if pool.radsec_pool_type not in POOL_TYPES:
        raise PoolsError(1177, f"{where}.radsecPoolType")
    if pool.pool_proxy_ip:
        try:
            ipaddress.IPv4Address(pool.pool_proxy_ip)
        except ValueError:
            raise PoolsError(1003, f"{where}.poolProxyIp is an IPv4 address") from None
    if not 1 <= pool.radsec_keep_alive <= 3600:
        raise PoolsError(1003, f"{where}.radsecKeepAlive: 1 to 3600 seconds")
    for kind in KINDS:
        _check_kind(f"{where}.{kind}Config", pool, pool.kind(kind))
    if pool.enabled and not any(pool.kind(kind).servers for kind in KINDS):
        raise PoolsError(1141, f"{where}: an enabled pool needs a server")


def _check_kind(where: str, pool: PoolEntry, entry: KindEntry) -> None:
    if entry.strategy not in STRATEGIES:
        raise PoolsError(1139, f"{where}.strategy")
    if entry.monitor_method not in MONITORS:
        raise PoolsError(1140, f"{where}.monitorMethod")
    if entry.monitor and entry.monitor_method == "https":
        url = entry.method_parameters[0] if entry.method_parameters else ""
        if not url.startswith("https://") or len(url) > 2048:
            raise PoolsError(1140, f"{where}.methodParameters[0] is an https:// URL")
    if len(entry.servers) > MAX_SERVERS:
        raise PoolsError(1142, f"{where}.servers: {MAX_SERVERS} at most")
    for place, server in _places(f"{where}.servers", entry.servers):
        _check_server(place, pool, entry, server)


def _check_server(where: str, pool: PoolEntry, entry: KindEntry, server: ServerEntry) -> None:
    if not server.name or len(server.name) > MAX_NAME or not server.name.isprintable():
        raise PoolsError(1142, f"{where}.name: 1 to {MAX_NAME} printable characters")
    try:
        server.ip = str(ipaddress.ip_address(server.ip))
    except ValueError:
        raise PoolsError(1142, f"{where}.ip is an IPv4 or IPv6 address") from None
    if not pool.is_radsec and not 1 <= server.port <= 65_535:
        raise PoolsError(1142, f"{where}.port: 1 to 65535")
    if pool.is_radsec and not 1 <= server.radsec_port <= 65_535:
        raise PoolsError(1142, f"{where}.radsecPort: 1 to 65535")
    if not 0 <= server.weight <= 1_000_000:
        raise PoolsError(1143, f"{where}.weight: 0 to 1000000")
    if entry.strategy == "weighted" and server.weight == 0:
        raise PoolsError(1143, f"{where}.weight")
    if not pool.is_radsec and not server.secret:
        raise PoolsError(1142, f"{where}.secret is missing")
    for name, text in (("secret", server.secret), ("radsecSecret", server.radsec_secret)):
        if len(text.encode()) > MAX_SECRET:
            raise PoolsError(1142, f"{where}.{name}: {MAX_SECRET} bytes at most")
    if pool.is_radsec:
        _check_certificates(where, server)


def _check_certificates(where: str, server: ServerEntry) -> None:
    fields = [("radsecCert", server.radsec_cert), ("radsecKey", server.radsec_key)]
    fields += _places("radsecCacerts", server.radsec_cacerts)
    for name, text in fields:
        if not text:
            raise PoolsError(1142, f"{where}.{name} is missing")
        if len(text) > MAX_PEM:
            raise PoolsError(1142, f"{where}.{name}: {MAX_PEM} characters at most")
        try:
            pem(text)
        except ValueError as error:
            raise PoolsError(1142, f"{where}.{name}: {error}") from None
    if not server.radsec_cacerts and not server.allow_self_signed:
        raise PoolsError(1142, f"{where}.radsecCacerts is missing")

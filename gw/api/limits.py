"""How many requests a user, an API key, or a client address may make: token buckets."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gw.api.authentication import Caller
from gw.core.errors import ApiError
from gw.core.settings import Api

LIMITS: Final = ("user", "key", "address")
MOST: Final = 10_000
"""Buckets per limit; the one that was used longest ago is forgotten first, and is full anyway."""
_IPV6_PREFIX: Final = 64

Count = Callable[[str], None]
"""Called with the name of the limit when a request is refused."""


def uncounted(_limit: str) -> None:
    """Take no note of a refusal."""


def network_of(address: str) -> str:
    """Return what an address is counted as: all of an IPv6 /64 is one client."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address


class Buckets:
    """One bucket per name: `rate` requests a second, `rate * burst` at once. Rate 0: no limit."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic):
        """`burst` is in seconds."""
        self._rate = rate
        self._size = max(1.0, rate * burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Take a token; return 0, or the seconds after which there is one."""
        if not self._rate:
            return 0.0
        now = self._clock()
        level, at = self._buckets.pop(name, (self._size, now))
        level = min(self._size, level + (now - at) * self._rate)
        missing = max(0.0, 1.0 - level)
        self._buckets[name] = (level if missing else level - 1.0, now)
        if len(self._buckets) > MOST:
            self._buckets.popitem(last=False)
        return missing / self._rate


class Limits:
    """The three limits. One per api process: they hold for all public listeners together."""

    def __init__(self, settings: Api, count: Count = uncounted) -> None:
        burst = settings.burst_seconds
        self._rates = {
            "user": settings.requests_per_user,
            "key": settings.requests_per_key,
            "address": settings.requests_per_address,
        }
        self._buckets = {name: Buckets(rate, burst) for name, rate in self._rates.items()}
        self._count = count

    def check_address(self, address: str) -> None:
        """Count a request of an address. Raises ApiError 10."""
        self._check("address", network_of(address))

    def check_caller(self, caller: Caller) -> None:
        """Count a request of a user; of an API key apart from its owner's. Raises ApiError 10."""
        if caller.key_id:
            self._check("key", caller.key_id)
        elif caller.id:
            self._check("user", caller.id)

    def _check(self, limit: str, name: str) -> None:
        missing = self._buckets[limit].take(name)
        if missing:
            self._count(limit)
            rest = max(1, math.ceil(missing))
            text = f"{self._rates[limit]} requests a second per {limit}; again in {rest} s"
            raise ApiError(10, text, retry_after=rest)

"""How often one client address, or one user, may try to sign in."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gw.api.limits import network_of
from gw.core.errors import ApiError

_WINDOW_SECONDS: Final = 60.0
_MAX_ADDRESSES: Final = 10_000


class Throttle:
    """Counts attempts per address (or name) and minute; a minute begins with its first attempt.

    They bounded: the one that was seen longest ago is forgotten first. All of an
    IPv6 /64 is one address, since a single client owns that many.
    """

    def __init__(
        self, per_minute: int, clock: Callable[[], float] = time.monotonic, what: str = "address"
    ) -> None:
        """`what` is counted, for the text of a refusal."""
        self._what = what
        self._per_minute = per_minute
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Count an attempt of `address` and tell whether it is within the limit."""
        key = network_of(address)
        now = self._clock()
        began, count = self._windows.pop(key, (now, 0))
        if now - began >= _WINDOW_SECONDS:
            began, count = now, 0
        self._windows[key] = (began, count + 1)
        if len(self._windows) > _MAX_ADDRESSES:
            self._windows.popitem(last=False)
        return count < self._per_minute

    def check(self, address: str) -> None:
        """Count an attempt. Raises ApiError 10, which says which limit it is, and until when."""
        if self.allows(address):
            return
        began, _ = self._windows[network_of(address)]
        rest = max(1, math.ceil(began + _WINDOW_SECONDS - self._clock()))
        text = f"{self._per_minute} attempts per {self._what} and minute; again in {rest} s"
        raise ApiError(10, text, retry_after=rest)

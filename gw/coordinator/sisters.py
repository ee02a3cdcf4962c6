"""The other services that announce themselves on the bus: where they are, and their keys.

A service is known from its `join` or `keep-alive` to its `leave`, or until it was silent for
`SILENT_SECONDS` (services announce themselves every 10 s, southbound.md 5.2).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from gw.bus.service_events import ServiceEvent
from gw.coordinator.operations import Arguments, Operation
from gw.ops import logs, metrics

log = logs.get("bus")

SILENT_SECONDS: Final = 60.0
MAX_SERVICES: Final = 200
"""More are not taken: a topic that anybody writes must not fill our memory."""
_URL: Final = re.compile(r"https?://[^\s/?#]{1,253}(/[^\s?#]{0,200})?")
_TYPE: Final = re.compile(r"[a-z0-9_-]{1,32}")
_MAX_KEY: Final = 512
_MAX_TOKEN: Final = 4096
_KNOWN: Final = metrics.index("gw_sister_services")


class _Sister:
    """What one service said last."""

    __slots__ = ("event", "until")

    def __init__(self, event: ServiceEvent, until: float) -> None:
        self.event = event
        self.until = until


class Sisters:
    """An area, see gw.coordinator.operations."""

    def __init__(
        self,
        own: set[int],
        forget_token: Callable[[str], object],
        counters: metrics.CounterPage,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`own` are the numbers of this gateway's services; `forget_token` is told what another
        service takes back."""
        self._own = own
        self._forget_token = forget_token
        self._counters = counters
        self._clock = clock
        self._known: dict[str, _Sister] = {}

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names."""
        return {"sisters.list": self._list}

    def heard(self, event: ServiceEvent) -> None:
        """A service announced something."""
        if event.id in self._own:
            return
        if event.event == "remove-token":
            if 0 < len(event.token) <= _MAX_TOKEN:
                self._forget_token(event.token)
            return
        place = event.private_end_point.rstrip("/")
        if event.event == "leave":
            if self._known.pop(place, None) is not None:
                log.info("a service left", type=event.type, url=place)
        elif event.event in ("join", "keep-alive") and self._acceptable(event, place):
            if place not in self._known:
                log.info("a service was found", type=event.type, url=place)
            self._known[place] = _Sister(event, self._clock() + SILENT_SECONDS)
        self._counters.set(_KNOWN, len(self._known))

    def _acceptable(self, event: ServiceEvent, place: str) -> bool:
        return (
            (place in self._known or len(self._known) < MAX_SERVICES)
            and _URL.fullmatch(place) is not None
            and _URL.fullmatch(event.public_end_point) is not None
            and _TYPE.fullmatch(event.type.lower()) is not None
            and 0 < len(event.key) <= _MAX_KEY
            and event.key.isascii()
            and event.key.isprintable()
        )

    def expire(self) -> None:
        """Forget who was silent for too long; called now and then."""
        now = self._clock()
        for place, sister in list(self._known.items()):
            if sister.until < now:
                log.warning("a service is silent", type=sister.event.type, url=place)
                del self._known[place]
        self._counters.set(_KNOWN, len(self._known))

    async def _list(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        """Those of `type`, or all: by type and number. Keys only of one type."""
        kind = arguments.get("type", "")
        found = [one.event for one in self._known.values()]
        found.sort(key=lambda one: (one.type, one.id))
        return {
            "services": [
                {
                    "type": one.type.lower(),
                    "id": one.id,
                    "public": one.public_end_point.rstrip("/"),
                    "private": one.private_end_point.rstrip("/"),
                    "key": one.key if kind else "",
                }
                for one in found
                if not kind or one.type.lower() == kind
            ]
        }

"""`venue_broadcast`: what a device tells the others of its venue (southbound.md 2.14).

The venue is that of the device's row, or what an outside provisioning service says. Relays run
beside the intake, those of one device in order; what comes while too many wait is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Final

import msgspec

from gw.coordinator.links import Links
from gw.coordinator.presence import Presence
from gw.coordinator.venue_inventory import VenueInventory
from gw.ops import logs, metrics
from gw.protocol.messages import VenueBroadcastParams
from gw.store.errors import StoreError
from gw.store.interface import Store

log = logs.get("venues")

_CACHE_SECONDS: Final = 10.0
"""How long the devices of a venue are remembered."""
_CACHED: Final = 1000
_WAITING: Final = 1000
_AT_A_TIME: Final = 4
_Waiting = asyncio.Queue[tuple[str, VenueBroadcastParams]]
_RESULTS: Final = metrics.indexes("gw_venue_broadcasts_total")


class Venues:
    """Relays broadcasts within venues."""

    def __init__(
        self,
        store: Store,
        links: Links,
        presence: Presence,
        counters: metrics.CounterPage,
        inventory: VenueInventory | None = None,
    ) -> None:
        self._inventory = inventory
        self._store = store
        self._links = links
        self._presence = presence
        self._counters = counters
        self._cache: OrderedDict[str, tuple[float, list[str]]] = OrderedDict()
        self._waiting = [_Waiting(_WAITING // _AT_A_TIME) for _ in range(_AT_A_TIME)]
        self._tasks: list[asyncio.Task[None]] = []

    def broadcast(self, serial: str, params: VenueBroadcastParams) -> None:
        """Relay a message soon."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._run(waiting)) for waiting in self._waiting]
        try:
            self._waiting[hash(serial) % _AT_A_TIME].put_nowait((serial, params))
        except asyncio.QueueFull:
            self._counters.add(_RESULTS["dropped"])

    async def close(self) -> None:
        """Drop what waits."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, waiting: _Waiting) -> None:
        while True:
            serial, params = await waiting.get()
            try:
                await self._relay(serial, params)
            except (StoreError, ValueError) as error:
                self._counters.add(_RESULTS["dropped"])
                log.warning("a broadcast was dropped", serial=serial, detail=str(error))

    async def _relay(self, serial: str, params: VenueBroadcastParams) -> None:
        text = msgspec.json.encode(
            {"serial": serial, "timestamp": params.timestamp, "data": params.data}
        )
        count = 0
        for other in await self._beside(serial):
            session = self._presence.of(other) if other != serial else None
            if session is not None:
                sent = self._links.send_event(session.id, other, "venue_broadcast", text)
                count += sent
        self._counters.add(_RESULTS["relayed" if count else "alone"])

    async def _beside(self, serial: str) -> list[str]:
        """Return the serial numbers of the venue of a device."""
        row = await self._store.device(serial)
        if row is None or not row.venue:
            if self._inventory is not None:
                return await self._inventory.devices_beside(serial)
            return []
        known = self._cache.get(row.venue)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        found = await self._store.devices_of_venue(row.venue)
        self._cache[row.venue] = (time.monotonic() + _CACHE_SECONDS, found)
        self._cache.move_to_end(row.venue)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return found

"""What happens when the store is away and the queues fill: they are emptied into the spool.

As long as the store takes batches nothing is done here. Once a queue is half full and no space was
given back for a while, all queues go to disk, so that devices are read on and stay connected. While
the spool is being stored, what comes meanwhile follows behind it. When the spool is full as well,
the queues fill, and workers stop reading from the sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from gw.coordinator.queues import Queue, in_order
from gw.coordinator.store_spool import StoreSpool
from gw.core.settings import Settings
from gw.core.spool_file import SpoolFullError
from gw.ops import logs, metrics

log = logs.get("spool")

_LOOK_SECONDS: Final = 0.05
_RETRY_SECONDS: Final = 1.0
"""Pause after the disk failed, or the spool was full."""
_RECORDS: Final = 1024
_BYTES: Final = 4_194_304
"""Written and synced at once, about."""
_SIZE: Final = metrics.index("gw_store_spool_bytes")
_COUNT: Final = metrics.index("gw_store_spool_records")
_AGE: Final = metrics.index("gw_store_spool_oldest_seconds")
_SPOOLED: Final = metrics.index("gw_store_spooled_total")
_FULL: Final = metrics.index("gw_store_spool_full_total")
_ERRORS: Final = metrics.index("gw_store_spool_errors_total")
_LOST: Final = metrics.index("gw_store_spool_lost_bytes_total")


class Overflow:
    """Moves what is in the queues to the spool when it cannot be stored."""

    def __init__(
        self,
        queues: list[Queue],
        spool: StoreSpool,
        settings: Settings,
        counters: metrics.CounterPage,
    ) -> None:
        self.spool = spool
        self._queues = queues
        self._counters = counters
        self._patience = settings.store.spool_after_seconds
        self._reserve = settings.workers.ring_reserve_bytes
        self._since = time.monotonic()
        """Of the newest space that was given back, or of the last time it was not needed."""
        self._progressed = self._since
        self._not_before = 0.0
        self._full = False
        self._spilling = asyncio.Lock()
        self._lost = 0
        for queue in queues:
            spool.know(queue.place)

    def progress(self) -> None:
        """Space of a queue was given back: the store and the bus are there."""
        self._since = self._progressed = time.monotonic()

    async def run(self) -> None:
        """Look after the queues, for ever."""
        while True:
            await self.tick()
            await asyncio.sleep(_LOOK_SECONDS)

    async def tick(self) -> None:
        """Look once."""
        with contextlib.suppress(OSError):  # what is not freed now is freed later
            await self.spool.tidy()
        now = time.monotonic()
        if not any(map(self._crowded, self._queues)):
            self._since = now
        elif now >= self._not_before and (self.spool.unread or now - self._since >= self._patience):
            await self.spill()
        self._show()

    async def outlasts(self, drained: asyncio.Future[None]) -> bool:
        """Wait until the queues are drained into the store, at a shutdown.

        False if the store takes nothing meanwhile: then all that it did not take is on disk, for
        the next gateway.
        """
        began = time.monotonic()
        while not drained.done():
            await asyncio.wait([drained], timeout=_LOOK_SECONDS)
            idle = time.monotonic() - max(began, self._progressed)
            if idle >= self._patience and await self.spill() and not self.spool.empty:
                return drained.done()
        return True

    async def close(self) -> None:
        """Free what was given back, and let go of the spool."""
        with contextlib.suppress(OSError):
            await self.spool.tidy()
        await self.spool.close()

    def _crowded(self, queue: Queue) -> bool:
        # Where paused sessions would be read again: they must not wait between two marks.
        return queue.ring.depth_bytes > (queue.ring.capacity - self._reserve) // 2

    async def spill(self) -> bool:
        """Move everything from the queues to the spool; False if some of it could not be."""
        async with self._spilling:
            return await self._spill()

    async def _spill(self) -> bool:
        began_empty = self.spool.empty
        moved = 0
        while True:
            found = in_order([(one, one.spooled) for one in self._queues], _RECORDS, _BYTES)
            if not found:
                break
            try:
                await self.spool.append(found)
            except SpoolFullError as error:
                self._refused(_FULL, "the spool is full: devices have to wait", str(error))
                return False
            except OSError as error:
                self._refused(_ERRORS, "the spool cannot be written", str(error))
                return False
            moved += len(found)
            self._counters.add(_SPOOLED, len(found))
            ends = {id(place): record.position for place, record, _ in found}
            for queue in self._queues:
                queue.spooled = ends.get(id(queue.place), queue.spooled)
                queue.give_back(queue.spooled)
        self._full = False
        if began_empty and moved:
            log.warning("the store takes nothing: what devices send goes to the spool",
                        records=moved)  # fmt: skip
        return True

    def _refused(self, counter: int, what: str, detail: str) -> None:
        self._not_before = time.monotonic() + _RETRY_SECONDS
        if not self._full:
            self._full = True
            self._counters.add(counter)
            log.error(what, detail=detail, bytes=self.spool.bytes)

    def _show(self) -> None:
        self._counters.set(_SIZE, self.spool.bytes)
        self._counters.set(_COUNT, self.spool.records)
        self._counters.set(_AGE, round(self.spool.age()))
        lost = self.spool.damaged_bytes
        if lost > self._lost:
            log.error("a part of the spool could not be read back", bytes=lost - self._lost)
            self._counters.add(_LOST, lost - self._lost)
            self._lost = lost

"""Intake: records of the workers' queues, in order, into handlers and the store.

A record leaves its queue only after the unit of work that holds it is durable; the positions are
committed with it, so that a crash neither loses nor doubles (design.md, section 3).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from gw._native.ring import Consumer, Record, RingCorrupted
from gw.coordinator.handlers import Handlers
from gw.coordinator.patience import patiently
from gw.coordinator.work import Committer
from gw.core.bootstrap import RingEnds
from gw.core.ids import serial_from_int
from gw.ops import logs, metrics
from gw.store.interface import RingPosition, Store

log = logs.get("intake")

_RECORDS: Final = 256
"""Records taken from one queue before the next has its turn."""
_BYTES: Final = 2_097_152
_LOOK_SECONDS: Final = 0.1
"""A producer that died between publishing and waking is noticed by looking."""
_WAIT: Final = metrics.index("gw_queue_wait_seconds")


class _Queue:
    """One worker's queue."""

    def __init__(self, ends: RingEnds) -> None:
        self.name = ends.name
        self.wake_fd = ends.up_wake
        self.ring = Consumer(ends.up_memfd, ends.up_wake)
        self.incarnation = self.ring.incarnation
        self.before = self.ring.tail
        """Position up to which units hold everything."""

    def resume(self, committed: tuple[int, int] | None) -> None:
        """Go on behind what a predecessor committed, even if it did not give the space back.

        What it committed without giving the space back is stored, but the bus may not have it:
        that is read once more, from `tail` to `before`.
        """
        if committed is not None and committed[0] == self.ring.incarnation:
            self.before = max(committed[1], self.ring.tail)


class Intake:
    """Reads all queues in turn."""

    def __init__(
        self,
        rings: list[RingEnds],
        store: Store,
        work: Committer,
        handlers: Handlers,
        counters: metrics.CounterPage,
    ) -> None:
        self._queues = [_Queue(ends) for ends in rings]
        self._store = store
        self._work = work
        self._handlers = handlers
        self._counters = counters
        self._wake = asyncio.Event()
        self._stopping = False

    async def start(self) -> None:
        """Find the place where a predecessor stopped."""
        committed = await self._store.positions()
        loop = asyncio.get_running_loop()
        for queue in self._queues:
            queue.resume(committed.get(queue.name))
            await self._replay(queue)
            loop.add_reader(queue.wake_fd, self._wake.set)

    async def _replay(self, queue: _Queue) -> None:
        """Announce again what is stored already and may be missing on the bus."""
        before, count = queue.before, 0
        announcer = self._handlers.announcer
        announcer.origin = queue.incarnation
        while announcer.active and queue.ring.position < before:
            try:
                taken = queue.ring.read(_RECORDS, _BYTES)
            except RingCorrupted:
                break  # `run` meets it again, and says so
            if not taken:
                break
            await self._load(taken)
            for record in taken:
                if record.position <= before:
                    self._guarded(self._handlers.replay, record)
                    count += 1
            await self._work.room()
        queue.ring.seek(before)
        if not announcer.active:
            queue.ring.commit(before)
        elif count:
            self._work.release(queue.name, lambda: queue.ring.commit(before))
            log.info("announced again what a predecessor stored", queue=queue.name, records=count)

    def stop(self) -> None:
        """End `run` once the queues are empty."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Take records until stopped and empty."""
        while True:
            taken = 0
            for queue in self._queues:
                await self._work.room()
                taken += await self._take(queue)
            if taken:
                # Let the committer, the API and the timers have their turn.
                await asyncio.sleep(0)
                continue
            if self._stopping:
                return
            await self._sleep()

    async def _sleep(self) -> None:
        self._wake.clear()
        armed = [queue.ring.arm() for queue in self._queues]
        if not all(armed):
            return
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _take(self, queue: _Queue) -> int:
        try:
            taken = queue.ring.read(_RECORDS, _BYTES)
        except RingCorrupted as error:
            # Nothing in it can be trusted any more: what is left is lost, and said so.
            lost = queue.ring.depth_bytes
            queue.ring.skip_all()
            log.error("a queue was damaged", queue=queue.name, lost_bytes=lost, detail=str(error))
            self._advance(queue)
            return 0
        if not taken:
            return 0
        self._counters.observe(_WAIT, (time.monotonic_ns() - taken[0].received_ns) / 1e9)
        await self._load(taken)
        self._handlers.announcer.origin = queue.incarnation
        for record in taken:
            self._guarded(self._handlers.handle, record)
        self._advance(queue)
        return len(taken)

    async def _load(self, taken: list[Record]) -> None:
        """Bring the devices that records name into memory."""
        serials = {serial_from_int(record.serial) for record in taken if record.serial}
        missing = self._handlers.shadows.missing(serials)
        if missing:
            # Without them no record can be judged: intake waits as long as the store is away.
            await patiently(lambda: self._handlers.shadows.load(missing))

    @staticmethod
    def _guarded(treat: Callable[[Record], None], record: Record) -> None:
        try:
            treat(record)
        except Exception as error:
            log.exception("a record was dropped", kind=record.kind,
                          serial=serial_from_int(record.serial), detail=repr(error))  # fmt: skip

    def _advance(self, queue: _Queue) -> None:
        after = queue.ring.position
        self._work.advance(RingPosition(queue.name, queue.incarnation, queue.before, after))
        queue.before = after
        self._work.release(queue.name, lambda: queue.ring.commit(after))

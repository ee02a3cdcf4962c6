"""Intake: records of the workers' queues, in order, into handlers and the store.

A record leaves its queue only after the unit of work that holds it is durable, or after it is in
the spool; the positions are committed with the unit, so that a crash neither loses nor doubles
(design.md, section 3).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from gw._native.ring import Record
from gw.coordinator.handlers import Handlers
from gw.coordinator.overflow import Overflow
from gw.coordinator.patience import patiently
from gw.coordinator.queues import Found, Place, Queue, in_order
from gw.coordinator.store_spool import StoreSpool
from gw.coordinator.work import Committer
from gw.core.ids import serial_from_int
from gw.core.records import Kind
from gw.ops import logs, metrics
from gw.store.interface import Store

log = logs.get("intake")

_RECORDS: Final = 256
"""Treated in one turn, about."""
_BYTES: Final = 2_097_152
_DOZE_SECONDS: Final = 0.004
"""Between two looks while messages come: each would cost a wake-up on both sides otherwise."""
_LOOK_SECONDS: Final = 0.1
"""A producer that died between publishing and waking is noticed by looking."""
_RETRY_SECONDS: Final = 1.0
"""Pause after the spool could not be read."""
_WAIT: Final = metrics.index("gw_queue_wait_seconds")


class Intake:
    """Reads the spool, then all queues in order of receipt."""

    def __init__(
        self,
        queues: list[Queue],
        store: Store,
        work: Committer,
        handlers: Handlers,
        counters: metrics.CounterPage,
        overflow: Overflow | None = None,
    ) -> None:
        self._queues = queues
        self._by_place = {id(queue.place): queue for queue in queues}
        self._store = store
        self._work = work
        self._handlers = handlers
        self._counters = counters
        self._overflow = overflow
        self._spool = overflow.spool if overflow is not None else None
        self._wake = asyncio.Event()
        self._stopping = False
        self._resumed = False

    async def start(self) -> None:
        """Find the place where a predecessor stopped."""
        committed = await self._store.positions()
        loop = asyncio.get_running_loop()
        for queue in self._queues:
            queue.place.resume(committed.get(queue.name))
        if self._spool is not None:
            self._spool.resume(committed)
            await self._replay_spool()
        for queue in self._queues:
            await self._replay(queue)
            loop.add_reader(queue.wake_fd, self._wake.set)

    # -- what is stored already, and may be missing on the bus

    async def _replay(self, queue: Queue) -> None:
        """Announce again what is stored but was not given back, from `tail` to where we start."""
        begin, count = queue.ring.tail, 0
        end = queue.place.taken
        while self._handlers.announcer.active and begin < end:
            taken, _ = queue.look(begin, _RECORDS, _BYTES)
            if not taken:
                break  # damaged: `run` goes on behind it
            await self._load(taken)
            for record in taken:
                if record.position <= end:
                    self._again(Found(queue.place, record))
                    count += 1
            begin = taken[-1].position
            await self._work.room()
        self._work.release(queue.name, lambda: self._give_back(queue, end))
        if count:
            log.info("announced again what a predecessor stored", queue=queue.name, records=count)

    async def _replay_spool(self) -> None:
        assert self._spool is not None
        spool, count = self._spool, 0
        begin, end = spool.released, spool.place.taken
        while self._handlers.announcer.active and begin < end:
            found = await spool.read(begin, _RECORDS, _BYTES)
            if not found:
                break
            await self._load([one.record for one in found])
            for one in found:
                if one.sequence <= end:
                    self._again(one)
                    count += 1
            begin = found[-1].sequence
            await self._work.room()
        self._work.release(spool.place.name, lambda: spool.give_back(end))
        if count:
            log.info("announced again what a predecessor stored", queue="spool", records=count)

    def _again(self, found: Found) -> None:
        self._handlers.announcer.origin = found.place.incarnation
        self._guarded(self._handlers.replay, found.record)

    # -- running

    def stop(self) -> None:
        """End `run` once the queues are empty."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Take records until stopped and empty."""
        while True:
            await self._work.room()
            found = await self._next()
            if found:
                await self._take(found)
            elif self._stopping:
                return
            if len(found) >= _RECORDS or self._stopping:
                # Let the committer, the API and the timers have their turn.
                await asyncio.sleep(0)
            else:
                await self._sleep(doze=bool(found))

    async def _next(self) -> list[Found]:
        """Return what comes next: the spool holds what is older than anything in the queues."""
        spool = self._spool
        while spool is not None and spool.unread:
            try:
                found = await spool.read(spool.place.taken, _RECORDS, _BYTES)
            except OSError as error:
                log.error("the spool cannot be read; trying again", detail=str(error))
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if found:
                return found
        return in_order([(one, one.place.taken) for one in self._queues], _RECORDS, _BYTES)

    async def _sleep(self, *, doze: bool) -> None:
        """Sleep until there are records, or for a moment (`doze`) in which messages gather."""
        self._wake.clear()
        armed = [queue.arm(doze) for queue in self._queues]
        spooled = self._spool is not None and self._spool.unread
        if spooled or self._stopping or not all(armed):
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(_DOZE_SECONDS if doze else _LOOK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _take(self, found: list[Found]) -> None:
        now = time.monotonic_ns()
        for one in found:
            if one.record.kind == Kind.MESSAGE:
                self._counters.observe(_WAIT, (now - one.record.received_ns) / 1e9)
        if not self._resumed:
            self._resumed = True
            waited = (now - found[0].record.received_ns) / 1e9
            log.info("intake goes on", oldest_seconds=round(waited, 3))
        await self._load([one.record for one in found])
        touched: dict[int, Place] = {}
        for one in found:
            place, record, _ = one
            if record.position <= place.taken:
                # Spooled, but stored straight from its queue, by this process or an earlier one,
                # whose bus may not have got it.
                if record.position <= place.resumed and self._handlers.announcer.active:
                    self._again(one)
                continue
            self._handlers.announcer.origin = place.incarnation
            treat = self._handlers.handle if place.live else self._handlers.handle_left_over
            self._guarded(treat, record)
            place.taken = record.position
            touched[id(place)] = place
        if self._spool is not None and found[-1].sequence:
            self._spool.place.taken = found[-1].sequence
            touched[id(self._spool.place)] = self._spool.place
        for place in touched.values():
            self._advance(place)

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

    def _advance(self, place: Place) -> None:
        after = place.taken
        self._work.advance(place.advance())
        queue = self._by_place.get(id(place))
        if queue is not None:
            self._work.release(queue.name, lambda: self._give_back(queue, after))
        elif self._spool is not None and place is self._spool.place:
            spool = self._spool
            self._work.release(place.name, lambda: self._give_back(spool, after))

    def _give_back(self, source: Queue | StoreSpool, position: int) -> None:
        """Everything up to `position` is stored, and the bus has it."""
        source.give_back(position)
        if self._overflow is not None:
            self._overflow.progress()

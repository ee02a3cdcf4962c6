"""Units of work: what is written together, and what happens once it is durable.

Handlers add writes to the current unit and say what is to follow (`then`). The committer takes
units one after the other; while one is being written the next one fills (group commit).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from gw.bus.interface import Bus, Message
from gw.bus.null import NullBus
from gw.core.settings import Store as StoreSettings
from gw.ops import logs, metrics
from gw.store import interface
from gw.store.errors import BatchError, StoreError
from gw.store.interface import Batch, Op, RingPosition, Store

log = logs.get("store")

_KINDS: Final = {
    interface.InsertStatistics: "statistics",
    interface.InsertHealthCheck: "healthcheck",
    interface.InsertLog: "log",
    interface.InsertEvent: "event",
    interface.PutCommand: "command",
    interface.PatchCommand: "command",
    interface.PutRequestResult: "command",
    interface.PutUpgradeStatus: "command",
    interface.PutDevice: "device",
    interface.PatchDevice: "device",
    interface.AdoptPending: "device",
}
_COMMITTED: Final = metrics.indexes("gw_store_records_committed_total")
_SECONDS: Final = metrics.index("gw_store_batch_seconds")
_ERRORS: Final = metrics.index("gw_store_errors_total")
_HANGS_SECONDS: Final = 5.0
"""A commit that takes longer is taken for a store that is away."""
_ANNOUNCED: Final = metrics.indexes("gw_bus_messages_total")


class Unit(msgspec.Struct):
    """One transaction in the making."""

    ops: list[Op] = msgspec.field(default_factory=list)
    positions: dict[str, RingPosition] = msgspec.field(default_factory=dict)
    after: list[Callable[[], object]] = msgspec.field(default_factory=list)
    following: list[Callable[[], object]] = msgspec.field(default_factory=list)
    """Effects that nobody waits for."""
    messages: list[Message] = msgspec.field(default_factory=list)
    """For the bus."""
    releases: dict[str, Callable[[], object]] = msgspec.field(default_factory=dict)
    bytes: int = 0
    since: float = 0.0
    urgent: bool = False

    @property
    def empty(self) -> bool:
        """True if there is nothing to commit and nothing to follow."""
        return not (
            self.ops or self.positions or self.after or self.following or self.messages
            or self.releases
        )  # fmt: skip


class Committer:
    """Writes units to the store, in order, one at a time."""

    def __init__(
        self,
        store: Store,
        settings: StoreSettings,
        counters: metrics.CounterPage,
        bus: Bus | None = None,
    ) -> None:
        self._bus = NullBus() if bus is None else bus
        self._handed: deque[tuple[asyncio.Future[None] | None, list[Callable[[], object]]]]
        self._handed = deque()
        """Units that the bus has not got for good, and the space in queues that they hold."""
        self._store = store
        self._settings = settings
        self._counters = counters
        self._unit = Unit()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._room = asyncio.Event()
        self._room.set()
        self._stopping = False
        self.busy = False
        """True while a commit is under way."""
        self._began = 0.0
        """When the commit under way began."""
        self._failed = False

    @property
    def away(self) -> bool:
        """True if the store took nothing when it was last tried, or hangs."""
        hangs = self.busy and time.monotonic() - self._began > _HANGS_SECONDS
        return self._failed or hangs

    # -- filling

    def write(self, op: Op, size: int = 256) -> None:
        """Add a write of about `size` bytes to the current unit."""
        unit = self._unit
        if not unit.ops and not unit.positions:
            unit.since = time.monotonic()
        unit.ops.append(op)
        unit.bytes += size
        self._touched()

    def then(self, effect: Callable[[], object]) -> None:
        """Run `effect` once everything written so far is durable; commit at once."""
        self._unit.after.append(effect)
        self._unit.urgent = True
        self._touched()

    def follow(self, effect: Callable[[], object]) -> None:
        """Run `effect` once everything written so far is durable, whenever that is."""
        self._unit.following.append(effect)
        self._touched()

    def announce(self, message: Message) -> None:
        """Hand a message to the bus once everything written so far is durable."""
        unit = self._unit
        if not (unit.ops or unit.positions or unit.messages):
            unit.since = time.monotonic()
        unit.messages.append(message)
        unit.bytes += len(message.value)
        self._touched()

    def advance(self, position: RingPosition) -> None:
        """Everything up to `position.after` of a queue is in the current unit."""
        known = self._unit.positions.get(position.ring)
        if known is None or known.incarnation != position.incarnation:
            # Another incarnation begins anew: the earlier one needs no position any more.
            if not self._unit.ops:
                self._unit.since = time.monotonic()
            self._unit.positions[position.ring] = position
        else:
            known.after = position.after
        self._touched()

    def release(self, ring: str, give_back: Callable[[], object]) -> None:
        """Call `give_back` once the unit is durable and the bus has its messages.

        Only the last one of a queue counts.
        """
        self._unit.releases[ring] = give_back
        self._touched()

    async def durable(self) -> None:
        """Wait until everything written so far is durable."""
        done = asyncio.get_running_loop().create_future()

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        self.then(finish)
        await done

    async def room(self) -> None:
        """Wait until the current unit is below its bounds: the queues wait meanwhile."""
        await self._room.wait()

    def _touched(self) -> None:
        self._idle.clear()
        if self._full():
            self._room.clear()
        self._wake.set()

    def _full(self) -> bool:
        unit = self._unit
        return (
            max(len(unit.ops), len(unit.messages)) >= self._settings.batch_records
            or unit.bytes >= self._settings.batch_bytes
        )

    # -- committing

    async def drained(self) -> None:
        """Wait until nothing is left to commit."""
        await self._idle.wait()

    def stop(self) -> None:
        """End `run` once nothing is left."""
        self._stopping = True
        self._unit.urgent = True
        self._wake.set()

    async def run(self) -> None:
        """Commit units until stopped.

        Raises PositionConflictError if another coordinator has taken over, which ends the process.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._unit.empty:
                self._idle.set()
                if self._stopping:
                    return
                continue
            await self._company()
            unit, self._unit = self._unit, Unit()
            self._room.set()
            self.busy = True
            try:
                await self._commit(unit)
            finally:
                self.busy = False
            self._hand_over(unit)
            self._run_all(unit.after)
            self._run_all(unit.following)
            self._wake.set()

    def _hand_over(self, unit: Unit) -> None:
        """Give the unit's messages to the bus, and its space back once the bus has them."""
        accepted = None
        if unit.messages:
            for message in unit.messages:
                self._counters.add(_ANNOUNCED[message.topic])
            accepted = self._bus.publish_batch(unit.messages)
        self._handed.append((accepted, list(unit.releases.values())))
        if accepted is None:
            self._give_back()
        else:
            accepted.add_done_callback(lambda _: self._give_back())

    def _give_back(self) -> None:
        """In order: the space of a later unit includes that of an earlier one."""
        while self._handed and (self._handed[0][0] is None or self._handed[0][0].done()):
            self._run_all(self._handed.popleft()[1])

    @staticmethod
    def _run_all(effects: list[Callable[[], object]]) -> None:
        for effect in effects:
            try:
                effect()
            except Exception as error:
                log.exception("an effect of a commit failed", detail=repr(error))

    async def _company(self) -> None:
        """Let a unit that nobody waits for grow for a moment."""
        limit = self._settings.batch_milliseconds / 1000
        while not (self._unit.urgent or self._full() or self._stopping):
            left = self._unit.since + limit - time.monotonic()
            if left <= 0:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(left):
                    await self._wake.wait()
            except TimeoutError:
                return

    async def _commit(self, unit: Unit) -> None:
        batch = Batch(list(unit.ops), list(unit.positions.values()))
        if not batch.ops and not batch.positions:
            return
        started = self._began = time.monotonic()
        pause = 0.05
        while True:
            try:
                await self._store.commit(batch)
                break
            except BatchError as error:
                # One write can never succeed: lose that one, and say so; the rest goes on.
                self._counters.add(_ERRORS)
                dropped = batch.ops.pop(error.index)
                log.error("a write was dropped", op=type(dropped).__name__, detail=str(error))
            except StoreError as error:
                self._counters.add(_ERRORS)
                if not error.retriable:
                    raise
                self._failed = True
                log.warning("the store is away; trying again", detail=str(error), seconds=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
        self._failed = False
        self._counters.observe(_SECONDS, time.monotonic() - started)
        for op in batch.ops:
            self._counters.add(_COMMITTED[_KINDS.get(type(op), "other")])

"""While the store takes nothing, queues go to disk; all is stored once, in order, afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from gw._native import ring
from gw.coordinator.intake import Intake
from gw.coordinator.overflow import Overflow
from gw.coordinator.queues import Queue, in_order
from gw.coordinator.store_spool import StoreSpool
from gw.coordinator.work import Committer
from gw.core.bootstrap import RingEnds
from gw.core.settings import Settings, Workers
from gw.core.settings import Store as StoreSettings
from gw.ops import metrics
from gw.store.errors import StoreError
from gw.store.interface import InsertLog, PositionConflictError

WAIT = 60.0
SERIAL = "02a0a7000000"
MESSAGE = 4
RING = 65_536
SETTINGS = Settings(
    workers=Workers(ring_bytes=RING, ring_reserve_bytes=8192),
    store=StoreSettings(spool_after_seconds=0.05, batch_records=20, batch_milliseconds=1),
)


class Store:
    """Keeps rows and positions, with the compare-and-set; can be away."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.kept: dict[str, tuple[int, int]] = {}
        self.here = asyncio.Event()
        self.here.set()

    async def positions(self):
        return dict(self.kept)

    async def commit(self, batch) -> None:
        if not self.here.is_set():
            raise StoreError("away", retriable=True)
        await asyncio.sleep(0)
        for one in batch.positions:
            found = self.kept.get(one.ring)
            if found is not None and found[0] == one.incarnation and found[1] != one.before:
                raise PositionConflictError(f"{one} does not follow {found}")
        for one in batch.positions:
            self.kept[one.ring] = (one.incarnation, one.after)
        self.rows += [op.log for op in batch.ops]
        await asyncio.sleep(0)  # who is killed here has committed, and does not know


class Handlers:
    """Stores the body of each record."""

    def __init__(self, work: Committer) -> None:
        self._work = work
        self.announcer = SimpleNamespace(active=True, origin=0)
        self.shadows = SimpleNamespace(missing=lambda _: [])
        self.again: list[str] = []
        self.left_over: list[str] = []

    def handle(self, record) -> None:
        self._work.write(InsertLog(SERIAL, 0, 6, 0, 0, record.body.decode(), b""))

    def handle_left_over(self, record) -> None:
        self.left_over.append(record.body.decode())
        self.handle(record)

    def replay(self, record) -> None:
        self.again.append(record.body.decode())


class Coordinator:
    """The parts of one, from the queues to the store."""

    def __init__(self, ends: list[RingEnds], store: Store, folder, spool_bytes: int) -> None:
        self.counters = metrics.CounterPage.private()
        self.queues = [Queue(one) for one in ends]
        self.spool = StoreSpool(folder, spool_bytes)
        self.overflow = Overflow(self.queues, self.spool, SETTINGS, self.counters)
        self.work = Committer(store, SETTINGS.store, self.counters)
        self.handlers = Handlers(self.work)
        self.intake = Intake(
            self.queues, store, self.work, self.handlers, self.counters, self.overflow
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.tasks = [
            asyncio.create_task(self.work.run()),
            asyncio.create_task(self.overflow.run()),
        ]
        await self.intake.start()
        self.tasks.append(asyncio.create_task(self.intake.run()))

    async def kill(self) -> None:
        """End it as a signal would: nothing is finished or given back."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for queue in self.queues:
            asyncio.get_running_loop().remove_reader(queue.wake_fd)
        await self.spool.close()

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not what():
                for task in self.tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.005)  # the parts have no event for it


class Fleet:
    """Numbered records of two workers, in turns."""

    def __init__(self) -> None:
        self.ends = [_ends("worker-0"), _ends("worker-1")]
        self.producers = [ring.Producer(one.up_memfd, one.up_wake) for one in self.ends]
        self.sent: list[str] = []

    def push(self, worker: int, size: int = 100) -> bool:
        """False if the queue is full."""
        text = f"{len(self.sent)}".ljust(size, ".")
        producer = self.producers[worker]
        if not producer.push(MESSAGE, 1, 0, time.monotonic_ns(), b"head", text.encode()):
            return False
        self.sent.append(text)
        return True

    async def flood(self, count: int, chance: random.Random) -> None:
        """Push `count` records, waiting for room where there is none."""
        for _ in range(count):
            async with asyncio.timeout(WAIT):
                while not self.push(chance.randrange(2), chance.randrange(10, 800)):
                    await asyncio.sleep(0.005)
            if chance.random() < 0.1:
                await asyncio.sleep(0)

    def close(self) -> None:
        for one in self.producers:
            one.close()
        for one in self.ends:
            for descriptor in (one.up_memfd, one.up_wake, one.down_memfd, one.down_wake):
                os.close(descriptor)


def _ends(name: str) -> RingEnds:
    files = []
    for _ in range(2):
        files += [ring.create(RING), os.eventfd(0, os.EFD_NONBLOCK)]
    return RingEnds(name, *files)


@pytest.fixture
def workers():
    made = Fleet()
    yield made
    made.close()


@pytest.fixture
def coordinator(workers, tmp_path):
    @asynccontextmanager
    async def run(store: Store, *, spool_bytes: int = 10**9, ends=None):
        one = Coordinator(ends or workers.ends, store, tmp_path / "spool", spool_bytes)
        await one.start()
        try:
            yield one
        finally:
            await one.kill()

    return run


async def test_an_absent_store_does_not_stop_the_queues(workers, coordinator):
    store, chance = Store(), random.Random(1)
    async with coordinator(store) as one:
        await workers.flood(50, chance)
        await one.until(lambda: len(store.rows) == 50)
        assert one.spool.empty
        store.here.clear()
        await workers.flood(2000, chance)  # many times what the queues hold
        assert one.spool.records > 1000
        assert one.spool.bytes > 4 * RING
        store.here.set()
        await one.until(lambda: len(store.rows) == len(workers.sent))
        assert store.rows == workers.sent, "once, and in the order of receipt over both workers"
        await one.until(lambda: one.spool.empty)
        await workers.flood(50, chance)
        await one.until(lambda: len(store.rows) == len(workers.sent))
        assert store.rows == workers.sent
        assert one.handlers.again == one.handlers.left_over == []


async def test_when_the_spool_is_full_the_queues_fill_and_nothing_is_lost(workers, coordinator):
    store, chance = Store(), random.Random(2)
    store.here.clear()
    async with coordinator(store, spool_bytes=400_000) as one:
        flood = asyncio.create_task(workers.flood(3000, chance))
        full = metrics.index("gw_store_spool_full_total")
        await one.until(lambda: one.counters.get(full) == 1)
        assert one.spool.bytes <= 400_000
        await one.until(lambda: all(p.used > RING * 3 // 4 for p in workers.producers))
        assert not flood.done()
        store.here.set()
        await flood
        await one.until(lambda: len(store.rows) == len(workers.sent))
        assert store.rows == workers.sent


@pytest.mark.parametrize("seed", range(6))
async def test_killed_at_random_moments_nothing_is_lost_or_doubled(workers, coordinator, seed):
    """Also in the middle of the spool, with a store that comes and goes."""
    store, chance = Store(), random.Random(seed)
    store.here.clear()
    flood = asyncio.create_task(workers.flood(2500, chance))
    async with coordinator(store) as one:
        await one.until(lambda: one.spool.records > 100)
    for _ in range(8):
        async with coordinator(store):
            for _ in range(chance.randrange(4)):
                (store.here.clear if store.here.is_set() else store.here.set)()
                await asyncio.sleep(chance.uniform(0, 0.15))
    store.here.set()
    async with coordinator(store) as one:
        await flood
        await one.until(lambda: len(store.rows) >= len(workers.sent))
        await one.until(lambda: one.spool.empty)
    assert store.rows == workers.sent


async def test_what_a_gateway_that_ended_had_spooled_is_stored(workers, coordinator):
    """Its queues are gone, and others have their names."""
    store, chance = Store(), random.Random(3)
    async with coordinator(store) as one:
        await workers.flood(30, chance)
        await one.until(lambda: len(store.rows) == 30)
        store.here.clear()
        await workers.flood(1500, chance)
        await one.overflow.spill()
    others = Fleet()
    try:
        await others.flood(40, chance)
        store.here.set()
        async with coordinator(store, ends=others.ends) as one:
            await one.until(lambda: len(store.rows) == len(workers.sent) + 40)
            assert store.rows == workers.sent + others.sent
            assert one.handlers.left_over == workers.sent[-len(one.handlers.left_over) :]
            await one.until(lambda: one.spool.empty)
        async with coordinator(store, ends=others.ends) as one:
            await others.flood(5, chance)
            await one.until(lambda: len(store.rows) == len(workers.sent) + 45)
    finally:
        others.close()


async def test_stored_but_not_announced_is_announced_again(workers, coordinator):
    store, chance = Store(), random.Random(4)
    store.here.clear()
    async with coordinator(store) as one:
        await workers.flood(1000, chance)
        one.work._give_back = lambda: None  # the bus never has anything
        store.here.set()
        await one.until(lambda: len(store.rows) == len(workers.sent))
    async with coordinator(store) as one:
        await one.until(lambda: len(set(one.handlers.again)) == len(workers.sent))
        await one.until(lambda: one.spool.empty)
    assert store.rows == workers.sent


async def test_a_disk_that_takes_nothing_leaves_all_in_the_queues(
    workers, coordinator, monkeypatch
):
    store, chance = Store(), random.Random(5)
    store.here.clear()

    def fail(*_):
        raise OSError(28, "no space")

    async with coordinator(store) as one:
        monkeypatch.setattr("gw.coordinator.overflow._RETRY_SECONDS", 0.01)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", fail)
            flood = asyncio.create_task(workers.flood(1500, chance))
            errors = metrics.index("gw_store_spool_errors_total")
            await one.until(lambda: one.counters.get(errors) == 1)
            assert one.spool.empty
        await flood
        assert one.spool.records > 100
        store.here.set()
        await one.until(lambda: len(store.rows) == len(workers.sent))
    assert store.rows == workers.sent


async def test_without_spool_the_queues_fill(workers):
    store, chance = Store(), random.Random(6)
    store.here.clear()
    counters = metrics.CounterPage.private()
    work = Committer(store, SETTINGS.store, counters)
    queues = [Queue(one) for one in workers.ends]
    intake = Intake(queues, store, work, Handlers(work), counters)
    tasks = [asyncio.create_task(work.run())]
    await intake.start()
    tasks.append(asyncio.create_task(intake.run()))
    flood = asyncio.create_task(workers.flood(1500, chance))
    async with asyncio.timeout(WAIT):
        while not all(one.used > RING * 3 // 4 for one in workers.producers):
            await asyncio.sleep(0.005)
    store.here.set()
    async with asyncio.timeout(WAIT):
        await flood
        while len(store.rows) < len(workers.sent):
            await asyncio.sleep(0.005)
    assert store.rows == workers.sent
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(5))
def test_records_of_several_queues_come_by_time_of_receipt(workers, seed):
    chance = random.Random(seed)
    while workers.push(chance.choice((0, 1, 1, 1)), chance.randrange(10, 3000)):
        pass
    queues = [Queue(one) for one in workers.ends]
    seen: list[str] = []
    while True:
        found = in_order([(one, one.place.taken) for one in queues], 64, 20_000)
        if not found:
            break
        for one in found:
            assert one.record.position > one.place.taken
            one.place.taken = one.record.position
            seen.append(one.record.body.decode())
    assert seen == workers.sent

"""The janitor: what it asks the store for, in which steps, and that intake goes on between."""

import asyncio

import pytest

from gw.coordinator.janitor import Janitor
from gw.coordinator.work import Committer
from gw.core.retention import KINDS
from gw.core.settings import Retention, Settings, Store
from gw.ops import metrics
from gw.store import interface as ops
from gw.store.interface import Batch, DeleteExpired
from gw.store.sqlite import SqliteStore

A = "02a0a9000003"
NOW = 100 * 86_400


class Watched(SqliteStore):
    """A store that notes the steps of retention, and how long each is to have taken."""

    def __init__(self, path):
        super().__init__(path)
        self.steps = []
        self.others = 0
        self.seconds = 0.0

    async def commit(self, batch):
        await super().commit(batch)
        found = [op for op in batch.ops if isinstance(op, DeleteExpired)]
        for op in found:
            op.seconds = self.seconds
        self.steps += found
        self.others += len(batch.ops) - len(found)


class Bench:
    def __init__(self, store, **retention):
        self.settings = Settings(retention=Retention(time_share=1.0, **retention))
        self.counters = metrics.CounterPage.private()
        self.store = store
        self.work = Committer(store, Store(batch_milliseconds=0.0), self.counters)
        self.janitor = Janitor(self.work, self.settings, self.counters)

    def metric(self, name, kind):
        return self.counters.get(metrics.index(name, kind))

    def limits(self, kind):
        return [step.limit for step in self.store.steps if step.kind == kind]


@pytest.fixture
async def make(tmp_path):
    store = Watched(tmp_path / "gw.db")
    await store.migrate()
    running = []

    def made(**retention):
        bench = Bench(store, **retention)
        running.append((bench, asyncio.create_task(bench.work.run())))
        return bench

    yield made
    for bench, task in running:
        bench.work.stop()
        await task
    await store.close()


async def old_statistics(bench, count):
    await bench.store.commit(Batch([ops.InsertStatistics(A, 1, n, b"12345") for n in range(count)]))
    bench.store.others = 0


async def test_a_round_deletes_all_that_is_old_in_growing_steps_and_counts(make):
    bench = make(step_rows=400)
    await old_statistics(bench, 1500)
    await bench.store.commit(Batch([ops.InsertStatistics(A, 1, NOW, b"{}")]))
    await bench.janitor.round(NOW)
    assert await bench.store.count_statistics(A) == 1
    assert bench.limits("statistics") == [100, 200, 400, 400, 400, 400]
    assert bench.metric("gw_retention_removed_total", "statistics") == 1500
    assert bench.metric("gw_retention_removed_bytes_total", "statistics") == 7500
    assert bench.metric("gw_retention_lag_seconds", "statistics") == 0
    assert {step.kind for step in bench.store.steps} == set(KINDS)


async def test_steps_shrink_while_they_take_too_long(make):
    bench = make(step_milliseconds=10)
    await old_statistics(bench, 180)
    bench.store.seconds = 0.011
    await bench.janitor.round(NOW)
    assert bench.limits("statistics") == [100, 50, 25, 12]
    assert await bench.store.count_statistics(A) == 0


async def test_the_lag_is_shown_while_there_is_more(make):
    bench = make()
    await old_statistics(bench, 150)
    lags = []
    note = bench.janitor._note

    def noted(step):
        note(step)
        lags.append(bench.metric("gw_retention_lag_seconds", "statistics"))

    bench.janitor._note = noted
    await bench.janitor.round(NOW)
    before = NOW - 7 * 86_400
    assert lags[0] == before - 99
    assert lags[-1] == 0


async def test_the_kinds_take_turns(make):
    bench = make(step_rows=100)
    await old_statistics(bench, 1000)
    await bench.store.commit(Batch([ops.InsertEvent(A, 1, "t", b"{}")]))
    bench.store.steps.clear()
    await bench.janitor.round(NOW)
    kinds = [step.kind for step in bench.store.steps]
    assert kinds.index("events") < len(KINDS)
    assert kinds.count("statistics") == 11


async def test_intake_goes_on_between_the_steps(make):
    """While thousands of rows are deleted, records that come in are committed one by one."""
    bench = make(step_rows=100)
    await old_statistics(bench, 3000)
    deleting = asyncio.create_task(bench.janitor.round(NOW))
    committed = 0
    while not deleting.done():
        bench.work.write(ops.InsertEvent(A, NOW, "t", b"{}"))
        before = len(bench.store.steps)
        await bench.work.durable()
        committed += 1
        # A record waits for one step at the most, besides the one that is under way.
        assert len(bench.store.steps) - before <= 2
    await deleting
    assert committed > 10
    assert len(await bench.store.events(A, limit=10_000)) == committed

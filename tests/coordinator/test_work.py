"""The committer: order, durability before effects, and what a failing store does to it."""

import asyncio

import pytest

from gw.bus.interface import Message
from gw.coordinator.work import Committer
from gw.core.settings import Store as StoreSettings
from gw.ops import metrics
from gw.store.errors import BatchError, StoreError
from gw.store.interface import Batch, InsertEvent, PositionConflictError, RingPosition

COMMITTED = metrics.indexes("gw_store_records_committed_total")["event"]
ERRORS = metrics.index("gw_store_errors_total")


def event(number: int) -> InsertEvent:
    return InsertEvent("0a1b2c3d4e5f", number, "x", b"{}")


class FakeStore:
    """Notes batches; each commit waits for the gate, and may be told to fail."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[int], dict[str, tuple[int, int]]]] = []
        self.failures: list[Exception] = []
        self.attempts = 0
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, batch: Batch) -> None:
        self.attempts += 1
        numbers = [op.recorded for op in batch.ops]
        self.begun.set()
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        positions = {one.ring: (one.before, one.after) for one in batch.positions}
        self.batches.append((numbers, positions))


class Rig:
    """A running committer over a fake store."""

    def __init__(self, **settings: float) -> None:
        self.store = FakeStore()
        self.counters = metrics.CounterPage.private()
        self.work = Committer(self.store, StoreSettings(**settings), self.counters)
        self.task = asyncio.create_task(self.work.run())

    async def stop(self) -> None:
        self.work.stop()
        await asyncio.wait_for(self.task, 60)


@pytest.fixture
async def rig():
    made = Rig(batch_milliseconds=60_000)
    yield made
    made.store.gate.set()
    if not made.task.done():
        await made.stop()


async def test_what_comes_while_a_unit_is_written_makes_the_next_unit(rig):
    rig.store.gate.clear()
    rig.work.write(event(1))
    rig.work.then(lambda: None)
    await asyncio.wait_for(rig.store.begun.wait(), 60)
    assert rig.work.busy
    rig.work.write(event(2))
    rig.work.write(event(3))
    rig.store.gate.set()
    await asyncio.wait_for(rig.work.durable(), 60)
    assert rig.store.batches == [([1], {}), ([2, 3], {})]
    assert rig.counters.get(COMMITTED) == 3


async def test_effects_follow_the_commit_in_order(rig):
    seen = []

    def effect(name):
        return lambda: seen.append((name, len(rig.store.batches)))

    rig.store.gate.clear()
    rig.work.write(event(1))
    rig.work.then(effect("a"))
    rig.work.then(effect("b"))
    await asyncio.wait_for(rig.store.begun.wait(), 60)
    assert seen == []
    rig.store.gate.set()
    await asyncio.wait_for(rig.work.durable(), 60)
    assert seen == [("a", 1), ("b", 1)]


async def test_effect_alone_waits_for_the_unit_before_it(rig):
    seen = []
    rig.store.gate.clear()
    rig.work.write(event(1))
    rig.work.then(lambda: None)
    await asyncio.wait_for(rig.store.begun.wait(), 60)
    rig.work.then(lambda: seen.append(len(rig.store.batches)))
    rig.store.gate.set()
    await asyncio.wait_for(rig.work.durable(), 60)
    assert seen == [1]
    assert rig.store.attempts == 1  # nothing was left to write for the second unit


async def test_effect_that_fails_stops_nothing(rig):
    seen = []
    rig.work.then(lambda: 1 / 0)
    rig.work.then(lambda: seen.append("next"))
    await asyncio.wait_for(rig.work.durable(), 60)
    rig.work.write(event(1))
    await asyncio.wait_for(rig.work.durable(), 60)
    assert seen == ["next"]
    assert rig.store.batches == [([1], {})]


async def test_positions_are_joined_and_space_is_given_back_once(rig):
    given = []
    for before, after in ((0, 10), (10, 25)):
        rig.work.advance(RingPosition("up-0", 5, before, after))
        rig.work.release("up-0", lambda after=after: given.append((after, rig.store.attempts)))
    rig.work.advance(RingPosition("up-1", 6, 3, 4))
    rig.work.write(event(1))
    await asyncio.wait_for(rig.work.durable(), 60)
    assert rig.store.batches == [([1], {"up-0": (0, 25), "up-1": (3, 4)})]
    assert given == [(25, 1)]


async def test_urgent_and_full_units_go_at_once_others_wait_for_company():
    rig = Rig(batch_milliseconds=60_000, batch_records=3)
    try:
        rig.work.write(event(1))
        rig.work.write(event(2))
        for _ in range(20):
            await asyncio.sleep(0)
        assert rig.store.attempts == 0
        rig.work.write(event(3))
        await asyncio.wait_for(rig.work.drained(), 60)
        assert rig.store.batches == [([1, 2, 3], {})]
    finally:
        await rig.stop()


async def test_lonely_unit_goes_when_its_time_is_up():
    rig = Rig(batch_milliseconds=5)
    try:
        rig.work.write(event(1))
        await asyncio.wait_for(rig.work.drained(), 60)
        assert rig.store.batches == [([1], {})]
    finally:
        await rig.stop()


@pytest.mark.parametrize("bound", [{"batch_records": 2}, {"batch_bytes": 500}])
async def test_room_holds_the_queues_back_while_the_next_unit_is_full(bound):
    rig = Rig(batch_milliseconds=60_000, **bound)
    try:
        await asyncio.wait_for(rig.work.room(), 60)
        rig.store.gate.clear()
        for number in (1, 2):
            rig.work.write(event(number))
        await asyncio.wait_for(rig.store.begun.wait(), 60)
        await asyncio.wait_for(rig.work.room(), 60)
        rig.work.write(event(3))
        await asyncio.wait_for(rig.work.room(), 60)
        rig.work.write(event(4))
        waiting = asyncio.create_task(rig.work.room())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        rig.store.gate.set()
        await asyncio.wait_for(waiting, 60)
        await asyncio.wait_for(rig.work.drained(), 60)
        assert rig.store.batches == [([1, 2], {}), ([3, 4], {})]
    finally:
        rig.store.gate.set()
        await rig.stop()


async def test_write_that_can_never_be_done_is_dropped_alone(rig):
    rig.store.failures = [BatchError("no such column", index=1), BatchError("nor this", index=1)]
    for number in (1, 2, 3, 4):
        rig.work.write(event(number))
    rig.work.advance(RingPosition("up-0", 5, 0, 10))
    await asyncio.wait_for(rig.work.durable(), 60)
    assert rig.store.batches == [([1, 4], {"up-0": (0, 10)})]
    assert rig.counters.get(ERRORS) == 2
    assert rig.counters.get(COMMITTED) == 2


async def test_store_that_is_away_is_asked_again(rig):
    rig.store.failures = [StoreError("disk full", retriable=True)]
    rig.work.write(event(1))
    await asyncio.wait_for(rig.work.durable(), 60)
    assert rig.store.batches == [([1], {})]
    assert (rig.store.attempts, rig.counters.get(ERRORS)) == (2, 1)
    assert not rig.work.away


@pytest.mark.parametrize("how", ["fails", "hangs"])
async def test_it_is_told_that_the_store_is_away(rig, how, monkeypatch):
    monkeypatch.setattr("gw.coordinator.work._HANGS_SECONDS", 0.05)
    assert not rig.work.away
    if how == "hangs":
        rig.store.gate.clear()
    else:
        rig.store.failures = [StoreError("disk full", retriable=True)] * 5
    rig.work.write(event(1))
    done = asyncio.create_task(rig.work.durable())
    async with asyncio.timeout(60):
        while not rig.work.away:
            await asyncio.sleep(0.005)  # nobody is told: those who ask look
    rig.store.gate.set()
    await asyncio.wait_for(done, 60)
    assert not rig.work.away


@pytest.mark.parametrize(
    "error", [PositionConflictError("taken over"), StoreError("the database is damaged")]
)
async def test_run_ends_and_no_effect_follows(rig, error):
    seen = []
    rig.store.failures = [error]
    rig.work.write(event(1))
    rig.work.release("up-0", lambda: seen.append("release"))
    rig.work.then(lambda: seen.append("effect"))
    with pytest.raises(type(error)):
        await asyncio.wait_for(rig.task, 60)
    assert seen == []
    assert not rig.work.busy


async def test_stop_commits_what_is_left():
    rig = Rig(batch_milliseconds=60_000)
    rig.work.write(event(1))
    await rig.stop()
    assert rig.store.batches == [([1], {})]
    await asyncio.wait_for(rig.work.drained(), 60)


class SlowBus:
    """Notes batches, and has them for good when told so."""

    def __init__(self) -> None:
        self.batches: list[list[Message]] = []
        self.futures: list[asyncio.Future[None]] = []
        self.given = asyncio.Event()

    def publish_batch(self, messages):
        self.batches.append(messages)
        self.futures.append(asyncio.get_running_loop().create_future())
        self.given.set()
        return self.futures[-1]


def message(number: int) -> Message:
    return Message("state", "02a0e7000002", b"%d" % number)


@pytest.fixture
async def announcing(rig):
    bus = SlowBus()
    rig.work._bus = bus
    yield rig, bus
    for future in bus.futures:
        if not future.done():
            future.set_result(None)


async def test_messages_go_to_the_bus_after_the_commit(announcing):
    rig, bus = announcing
    rig.store.gate.clear()
    rig.work.write(event(1))
    rig.work.announce(message(1))
    rig.work.announce(message(2))
    rig.work.then(lambda: None)
    await asyncio.wait_for(rig.store.begun.wait(), 60)
    assert bus.batches == []
    rig.store.gate.set()
    await asyncio.wait_for(bus.given.wait(), 60)
    assert bus.batches == [[message(1), message(2)]]
    assert rig.store.batches == [([1], {})]


async def test_messages_alone_are_handed_over_without_a_transaction(announcing):
    rig, bus = announcing
    rig.work.announce(message(1))
    await asyncio.wait_for(rig.work.durable(), 60)
    assert bus.batches == [[message(1)]]
    assert rig.store.attempts == 0


async def test_space_is_given_back_in_order_once_the_bus_has_the_messages(announcing):
    rig, bus = announcing
    given = []
    effects = []
    for number in (1, 2):
        rig.work.advance(RingPosition("up-0", 5, number * 10, number * 10 + 10))
        rig.work.announce(message(number))
        rig.work.release("up-0", lambda number=number: given.append(number))
        rig.work.then(lambda number=number: effects.append(number))
        await asyncio.wait_for(rig.work.durable(), 60)
    assert effects == [1, 2]  # commands do not wait for the bus
    assert given == []
    bus.futures[1].set_result(None)
    await asyncio.sleep(0)
    assert given == []  # the space of the second unit includes that of the first
    bus.futures[0].set_result(None)
    await asyncio.sleep(0)
    assert given == [1, 2]


async def test_many_messages_make_a_unit_full_as_well():
    rig = Rig(batch_milliseconds=60_000, batch_records=2)
    rig.work._bus = bus = SlowBus()
    try:
        rig.work.announce(message(1))
        rig.work.announce(message(2))
        await asyncio.wait_for(bus.given.wait(), 60)
    finally:
        await rig.stop()

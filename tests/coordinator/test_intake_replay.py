"""What a predecessor stored, but perhaps did not announce, is announced by its successor."""

from __future__ import annotations

import asyncio
import os
import time
from types import SimpleNamespace

import pytest

from gw._native import ring
from gw.coordinator.intake import Intake
from gw.coordinator.queues import Queue
from gw.coordinator.work import Committer
from gw.core.bootstrap import RingEnds
from gw.core.settings import Store as StoreSettings
from gw.ops import metrics

RECORDS = 5


class Handlers:
    """Notes what it is given."""

    def __init__(self, *, announces: bool) -> None:
        self.handled: list[bytes] = []
        self.replayed: list[bytes] = []
        self.announcer = SimpleNamespace(active=announces, origin=0)
        self.shadows = SimpleNamespace(missing=lambda _: [])
        self.enough = asyncio.Event()

    def handle(self, record) -> None:
        self.handled.append(record.body)
        self.enough.set()

    def replay(self, record) -> None:
        self.replayed.append(record.body)


class Store:
    """Has committed what its position says."""

    def __init__(self, committed) -> None:
        self.committed = committed
        self.batches = []

    async def positions(self):
        return {"worker-0": self.committed}

    async def commit(self, batch) -> None:
        self.batches.append(batch)


@pytest.fixture
def ends():
    files = []
    for _ in range(2):
        files += [ring.create(65_536), os.eventfd(0, os.EFD_NONBLOCK)]
    yield RingEnds("worker-0", *files)
    for one in files:
        os.close(one)


def fill(ends) -> list[int]:
    producer = ring.Producer(ends.up_memfd, ends.up_wake)
    positions = []
    for number in range(RECORDS):
        assert producer.push(4, 1, 0, time.monotonic_ns(), b"", b"%d" % number)
        positions.append(producer.position)
    return positions


@pytest.mark.parametrize("announces", [True, False])
@pytest.mark.parametrize("committed", [0, 3, RECORDS])
async def test_records_are_stored_once_and_announced_at_least_once(ends, committed, announces):
    positions = fill(ends)
    incarnation = ring.Consumer(ends.up_memfd, ends.up_wake).incarnation
    store = Store((incarnation, positions[committed - 1] if committed else 0))
    counters = metrics.CounterPage.private()
    work = Committer(store, StoreSettings(), counters)
    committing = asyncio.create_task(work.run())
    handlers = Handlers(announces=announces)
    intake = Intake([Queue(ends)], store, work, handlers, counters)
    await asyncio.wait_for(intake.start(), 60)
    bodies = [b"%d" % number for number in range(RECORDS)]
    assert handlers.replayed == (bodies[:committed] if announces else [])
    intake.stop()
    await asyncio.wait_for(intake.run(), 60)
    assert handlers.handled == bodies[committed:]
    work.stop()
    await asyncio.wait_for(committing, 60)
    moved = [one for batch in store.batches for one in batch.positions]
    assert [one.before for one in moved[:1]] == ([store.committed[1]] if moved else [])
    assert bool(moved) == (committed < RECORDS)
    assert ring.Consumer(ends.up_memfd, ends.up_wake).tail == positions[-1]


async def test_of_another_incarnation_nothing_is_announced_again(ends):
    fill(ends)
    store = Store((12345, 40))
    counters = metrics.CounterPage.private()
    work = Committer(store, StoreSettings(), counters)
    handlers = Handlers(announces=True)
    intake = Intake([Queue(ends)], store, work, handlers, counters)
    await asyncio.wait_for(intake.start(), 60)
    assert handlers.replayed == []

"""What a page, a time filter, a count and a step of retention do does not grow with the table.

Steps of SQLite's machine and bytes written are counted instead of time: those are the same on a
busy machine. The table is a day of statistics, of a few devices and of eight times as many.
"""

import contextlib
import time

import pytest

from gw.store import interface as ops
from gw.store import sqlite_threads
from gw.store.interface import Batch
from gw.store.sqlite_batch import write_batch
from gw.store.sqlite_connection import open_for_writing
from gw.store.sqlite_queries import SqliteReader

SMALL, LARGE = 250, 2000
"""Devices."""
EVERY = 1800
"""Seconds between two records of a device."""
DAY = 86_400
SERIAL = "0000000000ef"
"""A device whose records come late in each round, so that the step of retention leaves them."""
PAGE = 4120
"""Bytes of a page in the WAL."""


def fill(connection, first, last, now):
    """Add a day of statistics of devices, in the order in which they come."""
    connection.execute(
        "WITH RECURSIVE "
        "device(n) AS (SELECT ? UNION ALL SELECT n + 1 FROM device WHERE n + 1 < ?), "
        "at(t) AS (SELECT ? UNION ALL SELECT t + ? FROM at WHERE t + ? < ?) "
        "INSERT INTO statistics (serial_number, uuid, recorded, data) "
        "SELECT printf('%012x', n), 1, t + n % 60, zeroblob(200) FROM at, device",
        (first, last, now - DAY, EVERY, EVERY, now),
    )


class Bench:
    """A store, and what is counted in it."""

    def __init__(self, path, monkeypatch):
        self.path = path
        self.steps = 0
        self.connection = open_for_writing(path, "normal")
        monkeypatch.setattr(sqlite_threads, "_LOOK_EVERY", 1)
        monkeypatch.setattr(sqlite_threads._Lane, "_is_late", self.step)
        monkeypatch.setattr("gw.store.sqlite_queries.THREADS", 1)

    def step(self, lane=None):
        self.steps += 1
        return False

    async def cost(self, question):
        before = self.steps
        found = await question
        return self.steps - before, found

    def expire(self, now, limit):
        """Do a step of retention; returns its steps and the bytes that it wrote."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        op = ops.DeleteExpired("statistics", now - DAY + EVERY // 2, limit)
        self.connection.set_progress_handler(self.step, 1)
        before = self.steps
        write_batch(self.connection, Batch([op]))
        self.connection.set_progress_handler(None, 0)
        assert (op.removed, op.more) == (limit, True)
        return self.steps - before, self.path.with_name(f"{self.path.name}-wal").stat().st_size


async def measured(bench, now):
    """Return the costs by what was asked, of a store as it is now."""
    costs = {}
    async with SqliteReader(bench.path) as read:
        await read.positions()  # opens the connection
        noon = {"start": now - DAY // 2, "end": now - DAY // 4}
        for newest in (False, True):
            for bounds in ({}, noon):
                for page in range(3):
                    name = f"page {page}, newest {newest}, from to {bool(bounds)}"
                    costs[name], found = await bench.cost(
                        read.statistics(SERIAL, newest=newest, offset=page * 3, limit=3, **bounds)
                    )
                    assert len(found) == 3, name
        costs["count"], count = await bench.cost(read.count_statistics(SERIAL))
        assert count == DAY // EVERY
        costs["count from to"], count = await bench.cost(read.count_statistics(SERIAL, **noon))
        assert 10 < count < 20
        costs["newest states"], found = await bench.cost(read.newest_states([SERIAL]))
    costs["retention"], costs["bytes written"] = bench.expire(now, SMALL // 2)
    return costs


@pytest.fixture
def bench(tmp_path, monkeypatch):
    from gw.store.migrations import migrate_sqlite

    made = Bench(tmp_path / "gw.db", monkeypatch)
    migrate_sqlite(made.connection, "gw.db")
    with contextlib.closing(made.connection):
        yield made


async def test_a_day_of_eight_times_the_devices_costs_the_same(bench):
    now = int(time.time()) // DAY * DAY
    fill(bench.connection, 0, SMALL, now)
    small = await measured(bench, now)
    # What retention took is there again: of the other devices.
    fill(bench.connection, SMALL, LARGE, now)
    large = await measured(bench, now)
    print(f"\n{SMALL} devices: {small}\n{LARGE} devices: {large}")
    assert small["retention"] > SMALL // 2
    assert small["count"] > DAY // EVERY
    # A row that goes changes a page of the index by device, rows together those of the others; of
    # a small table several rows have that page in common, of a larger one no more than that.
    written = large.pop("bytes written"), small.pop("bytes written")
    assert max(written) <= (SMALL // 2 + 60) * PAGE
    for name, few in small.items():
        # An index of eight times the size may be a level higher.
        assert large[name] <= few * 1.3 + 30, (name, few, large[name])


async def test_the_whole_day_expires_in_steps_of_one_size(bench):
    """From the first step to the last, none does more than the first, but for a few pages."""
    now = int(time.time()) // DAY * DAY
    fill(bench.connection, 0, SMALL, now)
    total = SMALL * DAY // EVERY
    costs = []
    bench.connection.set_progress_handler(bench.step, 1)
    while True:
        op = ops.DeleteExpired("statistics", now + DAY, 1000)
        before = bench.steps
        write_batch(bench.connection, Batch([op]))
        costs.append((bench.steps - before, op.removed))
        if not op.more:
            break
    bench.connection.set_progress_handler(None, 0)
    assert sum(removed for _, removed in costs) == total
    assert len(costs) == total // 1000 + 1
    first = costs[0][0]
    assert max(steps for steps, _ in costs) <= first * 1.2

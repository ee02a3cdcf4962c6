"""A batch of states into SQLite, durable when the call returns."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from gw.store.interface import Batch, InsertStatistics, RingPosition
from gw.store.sqlite import SqliteStore

BATCH = 250
DEVICES = 50


@pytest.fixture(params=["full", "normal"])
def store(request, tmp_path):
    """A store and the loop that it lives in."""
    loop = asyncio.new_event_loop()
    made = SqliteStore(tmp_path / "gw.db", synchronous=request.param)
    loop.run_until_complete(made.migrate())
    yield made, loop
    loop.run_until_complete(made.close())
    loop.close()


def test_commit_of_250_states(benchmark, store, state):
    made, loop = store
    position = itertools.count(0, BATCH)

    def commit():
        at = next(position)
        ops = [
            InsertStatistics(f"02a0c90000{number % DEVICES:02x}", 1, at + number, state)
            for number in range(BATCH)
        ]
        batch = Batch(ops, [RingPosition("worker-0", 1, at, at + BATCH)])
        loop.run_until_complete(made.commit(batch))

    benchmark(commit)
    benchmark.extra_info["records"] = BATCH
    assert loop.run_until_complete(made.positions())["worker-0"][1] == next(position)

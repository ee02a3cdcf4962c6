"""The queues on disk in front of a broker: one bound, an order of importance, disks that fail."""

from __future__ import annotations

import errno
import os

import pytest

from gw.bus.spools import DISK, SPOOL_FULL, Shed, Spools
from gw.bus.topics import COMMAND, DEVICE_TELEMETRY, STATE, TOPICS
from gw.core.spool_file import Entry
from gw.ops import metrics


def entries(first: int, count: int, size: int = 1000) -> list[Entry]:
    return [Entry(first + n, 1_700_000_000_000_000_000 + n, b"x" * size) for n in range(count)]


def positions(found: list[Entry]) -> list[int]:
    return [one.position for one in found]


@pytest.fixture
async def spools(tmp_path):
    made = Spools(tmp_path, 1_000_000, TOPICS, metrics.CounterPage.private())
    yield made
    await made.close()


async def test_topics_are_queues_of_their_own(spools, tmp_path):
    assert spools.empty(STATE)
    assert await spools.append(STATE, entries(1, 5)) == []
    assert await spools.append(COMMAND, entries(1, 2)) == []
    assert positions(await spools.read(STATE, 3, 1 << 20)) == [1, 2, 3]
    await spools.release(STATE, 3)
    assert positions(await spools.read(STATE, 10, 1 << 20)) == [4, 5]
    assert spools.end(COMMAND) == 2
    assert spools.oldest == 1_700_000_000_000_000_000
    await spools.release(STATE, 5)
    assert spools.empty(STATE)
    again = Spools(tmp_path, 1_000_000, TOPICS, metrics.CounterPage.private())
    assert positions(await again.read(COMMAND, 10, 1 << 20)) == [1, 2]
    assert again.end(STATE) == 5
    await again.close()


async def test_the_least_important_gives_way(spools):
    for topic in (COMMAND, STATE, DEVICE_TELEMETRY):
        for first in range(1, 301, 50):
            assert await spools.append(topic, entries(first, 50)) == []
    shed = await spools.append(COMMAND, entries(301, 150))
    assert {one.topic for one in shed} == {DEVICE_TELEMETRY}
    assert {one.reason for one in shed} == {SPOOL_FULL}
    # What is left of it goes before anything of the next; and telemetry itself finds no room.
    shed = await spools.append(COMMAND, entries(451, 450))
    assert spools.empty(DEVICE_TELEMETRY)
    assert STATE in {one.topic for one in shed}
    assert COMMAND not in {one.topic for one in shed}
    assert spools.bytes <= 1_000_000
    assert positions(await spools.read(COMMAND, 2000, 1 << 30)) == list(range(1, 901))


async def test_a_full_disk_makes_room_or_loses_the_newest(spools, monkeypatch):
    assert await spools.append(STATE, entries(1, 50)) == []
    assert await spools.append(DEVICE_TELEMETRY, entries(1, 50)) == []
    real = os.pwrite

    def pwrite(file, data, offset):
        # Entries find no room until telemetry is deleted; what has its block already does.
        if len(data) > 100 and not spools._spools[DEVICE_TELEMETRY].empty:
            raise OSError(errno.ENOSPC, "no space left")
        return real(file, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    assert await spools.append(DEVICE_TELEMETRY, entries(51, 1)) == [
        Shed(DEVICE_TELEMETRY, DISK, 50)
    ]
    shed = await spools.append(STATE, entries(51, 1))
    assert shed == [Shed(DEVICE_TELEMETRY, DISK, 1)]
    assert positions(await spools.read(STATE, 100, 1 << 20)) == list(range(1, 52))


async def test_a_disk_that_takes_nothing_costs_the_new_ones_only(spools, monkeypatch):
    assert await spools.append(COMMAND, entries(1, 3)) == []

    def pwrite(file, data, offset):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "pwrite", pwrite)
    assert await spools.append(STATE, entries(1, 3)) == [Shed(STATE, DISK, 3)]
    monkeypatch.undo()
    assert await spools.append(STATE, entries(4, 1)) == []
    assert positions(await spools.read(STATE, 10, 1 << 20)) == [4]
    assert positions(await spools.read(COMMAND, 10, 1 << 20)) == [1, 2, 3]

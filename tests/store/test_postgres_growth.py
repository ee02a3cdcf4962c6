"""What a page, a count and a step of retention touch does not grow with the table.

Blocks and bytes of the log are counted instead of time: those are the same on a busy machine.
"""

import json
import time

import asyncpg
import pytest

from gw.store import interface as ops
from gw.store.interface import Batch
from gw.store.postgres import PostgresStore
from gw.store.postgres_partitions import DAY, existing, make_ahead
from gw.store.postgres_sql import translated

SMALL, LARGE = 1_000, 20_000
"""Devices; each has ten records on each of two days."""
SERIAL = "00000000000a"


class Explaining(PostgresStore):
    """A store that keeps what it was asked."""

    def __init__(self, store):
        super().__init__(store)
        self.asked = []

    async def _fetch(self, sql, values):
        self.asked.append((translated(sql), values))
        return await super()._fetch(sql, values)


async def fill(connection, first, last, times):
    for at in times:
        await connection.execute(
            "INSERT INTO statistics (serial_number, uuid, recorded, data) "
            "SELECT lpad(to_hex(device), 12, '0'), 1, $1 + record, 'x' "
            f"FROM generate_series(0, 9) AS record, generate_series({first}, {last - 1}) AS device",
            at,
        )
    await connection.execute("VACUUM ANALYZE statistics")


async def blocks(connection, sql, values):
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *values)
    plan = json.loads(text)[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


async def touched(store, connection, now):
    """Return the blocks of each question, and the bytes of the log of one step of retention."""
    store.asked = []
    for newest in (False, True):
        await store.statistics(SERIAL, newest=newest, limit=5)
        await store.statistics(SERIAL, start=now - DAY, end=now + 5, newest=newest, limit=5)
    for page in range(1, 3):
        # Behind a key that is known: the page before was answered.
        await store.statistics(SERIAL, offset=5 * page, limit=5)
        await store.statistics(SERIAL, start=now - DAY, end=now + 5, offset=5 * page, limit=5)
    await store.count_statistics(SERIAL)
    found = [await blocks(connection, *one) for one in store.asked]
    before = await connection.fetchval("SELECT pg_current_wal_lsn()")
    expire = ops.DeleteExpired("statistics", now - 2 * DAY)
    await store.commit(Batch([expire]))
    written = await connection.fetchval("SELECT pg_current_wal_lsn() - $1::pg_lsn", before)
    return found, int(written)


@pytest.mark.timeout(120)
async def test_pages_counts_and_retention_do_not_grow_with_the_table(database):
    now = int(time.time()) // DAY * DAY + 1000
    old = now - 5 * DAY
    connection = await asyncpg.connect(database.url)
    async with Explaining(database) as store:
        results = []
        done = 0
        for devices in (SMALL, LARGE):
            await make_ahead(connection, old)
            await fill(connection, done, devices, (now, now - DAY))
            await fill(connection, 0, devices, (old,))
            done = devices
            assert await store.count_statistics(SERIAL) == 30
            results.append(await touched(store, connection, now))
            assert await store.count_statistics(SERIAL) == 20
            days = [one.day for one in await existing(connection) if one.table == "statistics"]
            assert min(days) > old // DAY
        (small, small_log), (large, large_log) = results
        print(f"\nblocks {small} and {large}, bytes logged {small_log} and {large_log}")
        # An index of twenty times the size is a level higher, in each of the partitions.
        assert len(small) == 9
        for few, many in zip(small, large, strict=True):
            assert many <= few + 2 * len(await existing(connection)) // 4
        assert large_log < 2 * small_log + 100_000
    await connection.close()

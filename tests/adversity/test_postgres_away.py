"""PostgreSQL stopped, killed (SIGKILL) and paused (SIGSTOP): the store alone."""

import asyncio

import msgspec
import pytest

from gw.core import settings
from gw.store import interface as ops
from gw.store.errors import StoreError
from gw.store.interface import Batch, RingPosition
from gw.store.postgres import PostgresReader, PostgresStore

A = "02a0e9000001"
BASE = settings.Store()


def batch(number):
    """Five records, and their place in a queue."""
    return Batch(
        [ops.InsertStatistics(A, number, n, b"x" * 4_000) for n in range(5)],
        [RingPosition("worker-0", 1, 100 * number, 100 * number + 100)],
    )


async def insisted(attempt, *arguments):
    """Try until it works, as callers of the store do; returns the answer, and errors on the way."""
    errors = []
    async with asyncio.timeout(240):
        while True:
            try:
                return await attempt(*arguments), errors
            except StoreError as error:
                if not error.retriable:
                    raise
                errors.append(error)
                await asyncio.sleep(0.01)


async def insist(store, given):
    """Commit as the coordinator does; returns the errors on the way."""
    return (await insisted(store.commit, given))[1]


async def test_the_server_is_stopped_killed_and_paused(start_postgres):
    server = start_postgres()
    name = await server.make_database()
    patient = msgspec.structs.replace(BASE, url=server.url(name))
    async with PostgresStore(patient) as store:
        await store.migrate()
    store_settings = msgspec.structs.replace(
        patient, query_seconds=2.0, commit_seconds=2.0, connect_seconds=2.0
    )
    async with PostgresStore(store_settings) as store, PostgresReader(store_settings) as reader:
        for number, (take_away, bring_back) in enumerate(
            [
                (server.stop, server.start),
                (server.kill, server.start),
                (server.pause, server.resume),
            ]
        ):
            await insist(store, batch(number))
            assert (await insisted(reader.count_statistics, A))[0] == 5 * (number + 1)
            take_away()
            for _ in range(2):
                with pytest.raises(StoreError) as caught:
                    await reader.count_statistics(A)
                assert caught.value.retriable, caught.value
                assert "p@ss" not in str(caught.value)
                with pytest.raises(StoreError) as caught:
                    await store.commit(batch(number + 1))
                assert caught.value.retriable, caught.value
            bring_back()
        await insist(store, batch(3))
        assert (await insisted(reader.count_statistics, A))[0] == 20


async def test_restarted_behind_idle_connections(start_postgres):
    server = start_postgres()
    name = await server.make_database()
    store_settings = msgspec.structs.replace(BASE, url=server.url(name), read_connections=3)
    async with PostgresStore(store_settings) as store, PostgresReader(store_settings) as reader:
        await store.migrate()
        assert await asyncio.gather(*(reader.count_devices() for _ in range(9))) == [0] * 9
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        # No query has to fail for it, nor to wait for others.
        assert await asyncio.gather(*(reader.count_devices() for _ in range(9))) == [0] * 9

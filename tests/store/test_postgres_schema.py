"""Schema and migrations of PostgreSQL, partitions and retention."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import msgspec
import pytest

from gw.core import settings
from gw.store import interface as ops
from gw.store.errors import MigrationError, StoreError
from gw.store.interface import Batch
from gw.store.migrations import load, migrate_sqlite, parse
from gw.store.postgres import PostgresReader, PostgresStore
from gw.store.postgres_migrations import migrate_postgres
from gw.store.postgres_partitions import DAY, Partition, existing, make_ahead
from gw.store.sqlite_connection import open_for_writing
from gw.store.writes import TELEMETRY

ROOT = Path(__file__).parents[2]
A = "02a0e9000002"
FILES = {
    "0001_first.postgres.sql": "CREATE TABLE a (x int);\n",
    "0002_second.postgres.sql": "CREATE TABLE c (x int);\nINSERT INTO c VALUES (1);\n",
}


@pytest.fixture
async def empty(postgres_server):
    """A database that nobody has used yet: its settings."""
    name = await postgres_server.make_database()
    yield settings.Store(url=postgres_server.url(name))
    await postgres_server.drop_database(name)


@pytest.fixture
async def connection(empty):
    made = await asyncpg.connect(empty.url)
    yield made
    await made.close()


@pytest.fixture
async def migrated(database):
    made = await asyncpg.connect(database.url)
    yield made
    await made.close()


async def tables(connection):
    found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in found}


def test_the_files_are_made_from_those_of_sqlite():
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/dev/postgres-schema"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


async def test_both_databases_have_the_same_columns_and_indexes(migrated, tmp_path):
    sqlite = open_for_writing(tmp_path / "gw.db", "full")
    migrate_sqlite(sqlite, "db")
    kinds = {"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea", "REAL": "double precision"}
    compared = 0
    for (table,) in sqlite.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"):
        if table in ("schema_versions", "sqlite_sequence", "sqlite_stat1"):
            continue
        expected = {
            name: kinds[kind]
            for _, name, kind, *_ in sqlite.execute(f"PRAGMA table_xinfo({table})")
        }
        found = await migrated.fetch(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_name = $1",
            table,
        )
        assert {name: kind for name, kind, _ in found} == expected, table
        compared += 1
    assert compared > 10
    wanted = {
        name
        for (name,) in sqlite.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")
        if not name.startswith("sqlite_autoindex")
        and name not in {f"{table}_by_age" for table in TELEMETRY}
    }
    sqlite.close()
    there = {name for (name,) in await migrated.fetch("SELECT indexname FROM pg_indexes")}
    assert wanted - there == set()


async def test_bodies_are_compressed_by_lz4_and_copied_partitions_inherit_it(migrated, database):
    now = int(time.time())
    async with PostgresStore(database) as store:
        text = b'{"a": "%s"}' % (b"0123456789" * 1000)
        await store.commit(Batch([ops.InsertStatistics(A, 1, at, text) for at in (5, now)]))
    found = await migrated.fetch(
        "SELECT tableoid::regclass::text, pg_column_compression(data) FROM statistics"
    )
    assert {kind for _, kind in found} == {"lz4"}
    assert {name for name, _ in found} == {
        "statistics_other",
        Partition("statistics", now // DAY).name,
    }


async def test_each_migration_is_applied_once(connection):
    known = parse(FILES, "postgres")
    assert await migrate_postgres(connection, "db", known[:1]) == [1]
    assert await migrate_postgres(connection, "db", known) == [2]
    assert await migrate_postgres(connection, "db", known) == []
    assert await tables(connection) == {"a", "c", "schema_versions"}


async def test_a_migration_that_fails_leaves_nothing(connection):
    files = {
        **FILES,
        "0002_second.postgres.sql": "CREATE TABLE c (x int);\nCREATE TABLE a (x int);",
    }
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate_postgres(connection, "db", parse(files, "postgres"))
    assert await tables(connection) == {"a", "schema_versions"}
    assert await migrate_postgres(connection, "db", parse(FILES, "postgres")) == [2]


async def test_a_changed_file_and_a_newer_database_are_refused(connection):
    known = parse(FILES, "postgres")
    await migrate_postgres(connection, "db", known)
    with pytest.raises(MigrationError, match=r"db has schema version 2, this gw knows .* 1"):
        await migrate_postgres(connection, "db", known[:1])
    changed = parse({**FILES, "0001_first.postgres.sql": "CREATE TABLE a (y int);"}, "postgres")
    with pytest.raises(MigrationError, match="checksum"):
        await migrate_postgres(connection, "db", changed)


async def test_a_database_of_another_program_is_refused(connection, empty):
    await connection.execute("CREATE TABLE theirs (x int)")
    async with PostgresStore(empty) as store:
        with pytest.raises(MigrationError, match="not a database of gw") as caught:
            await store.migrate()
        assert not caught.value.retriable
    assert await tables(connection) == {"theirs"}


async def test_starters_at_the_same_time_take_turns(empty):
    stores = [PostgresStore(empty) for _ in range(5)]
    await asyncio.gather(*(store.migrate() for store in stores))
    for store in stores:
        assert await store.devices() == []
        await store.close()


async def test_a_reader_that_is_first_waits_for_the_schema(empty):
    async with PostgresReader(empty) as reader, PostgresStore(empty) as store:
        with pytest.raises(MigrationError, match="version 0, this gw needs") as caught:
            await reader.devices()
        assert caught.value.retriable
        await store.migrate()
        assert await reader.devices() == []


async def test_store_and_reader_refuse_a_newer_database(migrated, database):
    await migrated.execute("INSERT INTO schema_versions VALUES (99, 'future', 'x', 0)")
    text = f"has schema version 99, this gw knows versions up to {len(load('postgres'))}"
    async with PostgresStore(database) as store, PostgresReader(database) as reader:
        for attempt in (store.migrate, reader.devices):
            with pytest.raises(MigrationError, match=text) as caught:
                await attempt()
            assert not caught.value.retriable


async def test_commit_before_migrate_is_an_error_of_the_store(empty):
    async with PostgresStore(empty) as store:
        with pytest.raises(StoreError, match="does not exist") as caught:
            await store.commit(Batch([ops.InsertStatistics(A, 1, 1, b"{}")]))
        assert not caught.value.retriable


# partitions


async def where(connection, table="statistics"):
    found = await connection.fetch(
        f"SELECT tableoid::regclass::text AS name, count(*) FROM {table} GROUP BY 1 ORDER BY 1"
    )
    return dict(map(tuple, found))


async def test_partitions_are_made_ahead_and_again_only_where_they_are_missing(migrated):
    today = int(time.time()) // DAY
    there = await existing(migrated)
    assert {partition.table for partition in there} == set(TELEMETRY)
    assert {partition.day for partition in there} >= set(range(today - 1, today + 4))
    await make_ahead(migrated, time.time())
    assert await existing(migrated) == there
    await make_ahead(migrated, time.time() + DAY)
    assert len(await existing(migrated)) == len(there) + len(TELEMETRY)


async def test_what_came_from_the_future_moves_to_its_day_when_that_gets_a_partition(
    migrated, database
):
    now = int(time.time())
    later = now + 30 * DAY
    async with PostgresStore(database) as store:
        times = (now, later, later + 1, later + 90 * DAY)
        await store.commit(Batch([ops.InsertStatistics(A, 1, at, b"{}") for at in times]))
        today, then = Partition("statistics", now // DAY), Partition("statistics", later // DAY)
        assert await where(migrated) == {today.name: 1, "statistics_other": 3}
        await make_ahead(migrated, later)
        assert await where(migrated) == {today.name: 1, then.name: 2, "statistics_other": 1}
        assert [row.recorded for row in await store.statistics(A)] == list(times)
        await store.commit(Batch([ops.InsertStatistics(A, 1, later, b"{}")]))
        assert (await where(migrated))[then.name] == 3


async def test_retention_drops_whole_days(migrated, database):
    now = int(time.time())
    today = now // DAY
    for days_ago in range(12):
        await make_ahead(migrated, now - days_ago * DAY)
    async with PostgresStore(database) as store:
        times = [now - days * DAY for days in range(12)]
        await store.commit(Batch([ops.InsertStatistics(A, 1, at, b"{}") for at in times]))
        expire = ops.DeleteExpired("statistics", now - 3 * DAY)
        steps = 0
        while True:
            expire.more = False
            await store.commit(Batch([expire]))
            steps += 1
            if not expire.more:
                break
        # Bounded steps; and a day goes as a whole, once all of it is too old.
        assert 1 < steps < 10
        left = {one.day for one in await existing(migrated) if one.table == "statistics"}
        assert min(left) == today - 3
        found = await store.statistics(A)
        assert [row.recorded // DAY for row in found] == list(range(today - 3, today + 1))


async def test_toast_and_timeouts_are_those_of_the_settings(database):
    given = msgspec.structs.replace(database, synchronous="normal", query_seconds=7.0)
    async with PostgresStore(given) as store:

        async def shown(connection):
            names = ("synchronous_commit", "default_toast_compression", "statement_timeout")
            return [await connection.fetchval(f"SHOW {name}") for name in names]

        assert await store._writer.run(shown) == ["off", "lz4", "7s"]
        assert (await store._cells("SHOW default_transaction_read_only"))[0][0] == "on"

"""A store moved from SQLite to PostgreSQL: everything is there, and numbering goes on."""

import time

import pytest
from click.testing import CliRunner
from every_table import all_rows, fill_every_table, tables_in

from gw.cli.main import main
from gw.core.settings import Store
from gw.store import interface as ops
from gw.store import rows
from gw.store.errors import StoreError
from gw.store.interface import Batch, RingPosition
from gw.store.postgres import PostgresStore
from gw.store.postgres_partitions import DAY, existing
from gw.store.postgres_snapshot import PostgresSnapshot
from gw.store.sqlite import SqliteStore
from gw.store.sqlite_snapshot import SqliteSnapshot
from gw.store.sqlite_to_postgres import copy_store

A, B = "02a0e9000003", "02a0e9000004"


def quiet(table, count):
    pass


@pytest.fixture
async def filled(tmp_path):
    """A SQLite store with something of everything: its file."""
    path = tmp_path / "gw.db"
    now = int(time.time())
    async with SqliteStore(path) as store:
        await store.migrate()
        reports = [
            ops.InsertStatistics(A, n, now - n * 3600, b'{"n": "\xff\0"}') for n in range(60)
        ]
        await store.commit(
            Batch(
                [
                    ops.PutDevice(rows.DeviceRow(serial_number=A, configuration='{"a":1}')),
                    ops.PutDevice(rows.DeviceRow(serial_number=B, model="a\0b")),
                    *reports,
                    ops.InsertStatistics(B, 1, 5, b"{}"),
                    ops.InsertLog(A, 1, 1, 0, now, "l\0", b"{}"),
                    ops.InsertEvent(A, now, "t", b"{}"),
                    ops.PutUser(rows.UserRow(id="1", email="a@x", suspended=True)),
                    ops.PutCommand(
                        rows.CommandRow(
                            uuid="u", serial_number=A, command="c", status="pending",
                            execution_ms=1.5,
                        )
                    ),
                ],
                [RingPosition("worker-0", 1, 0, 10)],
            )
        )  # fmt: skip
    return path


@pytest.fixture
async def empty(postgres_server):
    name = await postgres_server.make_database()
    yield Store(url=postgres_server.url(name))
    await postgres_server.drop_database(name)


async def test_everything_is_there_and_numbering_goes_on(filled, empty):
    copied = await copy_store(filled, empty, quiet)
    assert copied["statistics"] == 61
    async with SqliteStore(filled) as old, PostgresStore(empty) as new:
        for ask in (
            lambda store: store.device(A),
            lambda store: store.statistics(A, limit=1000),
            lambda store: store.statistics(B),
            lambda store: store.users(),
            lambda store: store.commands(A),
        ):
            assert await ask(new) == await ask(old)
        assert (await new.device(B)).model == "a\ufffdb"
        assert [row.log for row in await new.logs(A)] == ["l\ufffd"]
        # Queues of an earlier life have no position.
        assert await new.positions() == {}
        last = (await new.statistics(A, newest=True, limit=1))[0]
        again = [
            ops.InsertStatistics(A, 1000, last.recorded, b"{}"),
            ops.PutCommand(rows.CommandRow(uuid="v", serial_number=A, command="c", status="p")),
        ]
        await new.commit(Batch(again))
        assert (await new.statistics(A, newest=True, limit=1))[0].uuid == 1000
        assert [row.uuid for row in await new.commands(A)] == ["u", "v"]
        days = {one.day for one in await new._writer.run(existing) if one.table == "statistics"}
        assert days >= {(int(time.time()) - n * 3600) // DAY for n in range(60)}


async def test_every_table_is_copied(tmp_path, empty):
    path = tmp_path / "every.db"
    tables = fill_every_table(path)
    copied = await copy_store(path, empty, quiet)
    assert copied == dict.fromkeys(tables, 3)
    # Only what belongs to one life of the gateway is left out.
    assert tables_in(path) - tables == {"schema_versions", "ring_positions"}
    expected = await all_rows(SqliteSnapshot(path))
    assert await all_rows(PostgresSnapshot(empty)) == expected


async def test_what_is_not_empty_is_left_alone(filled, empty):
    async with PostgresStore(empty) as store:
        await store.migrate()
        await store.commit(Batch([ops.PutBlacklist(rows.BlacklistRow(serial_number=A))]))
        with pytest.raises(StoreError, match="not empty: table blacklist"):
            await copy_store(filled, empty, quiet)
        assert await store.devices() == []


async def test_a_copy_that_fails_leaves_nothing(filled, empty):
    def fail(table, count):
        if table == "users":
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await copy_store(filled, empty, fail)
    async with PostgresStore(empty) as store:
        assert await store.devices() == []
        assert await store.statistics(A) == []
    await copy_store(filled, empty, quiet)


def test_the_command(filled, empty, tmp_path, monkeypatch):
    monkeypatch.setenv("GW_STORE__URL", empty.url)
    result = CliRunner().invoke(main, ["migrate-store", "--data", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "61  statistics" in result.output
    result = CliRunner().invoke(main, ["migrate-store", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "not empty" in result.output
    assert "p@ss" not in result.output
    result = CliRunner().invoke(main, ["migrate-store", "--data", str(tmp_path / "no")])
    assert "does not exist" in result.output
    monkeypatch.setenv("GW_STORE__URL", "")
    result = CliRunner().invoke(main, ["migrate-store", "--data", str(tmp_path)])
    assert result.exit_code == 2

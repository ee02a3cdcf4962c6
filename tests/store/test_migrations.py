import asyncio
import sqlite3
import threading

import msgspec
import pytest

from gw.store import rows
from gw.store.errors import MigrationError, StoreError
from gw.store.interface import Batch, InsertStatistics
from gw.store.migrations import (
    applied_sqlite,
    check_sqlite,
    load,
    migrate_sqlite,
    outstanding,
    parse,
    statements,
)
from gw.store.sqlite import SqliteReader, SqliteStore
from gw.store.sqlite_connection import open_for_writing
from gw.store.tables import DOCUMENTS, FINAL_STATUSES, UNFINISHED

FILES = {
    "0001_first.sqlite.sql": "CREATE TABLE a (x);\n-- note; one\nCREATE TABLE b (x);\n",
    "0002_second.sqlite.sql": "CREATE TABLE c (x);\nINSERT INTO c VALUES (';');\n",
    "0001_first.postgres.sql": "CREATE TABLE a (x text);\n",
    "notes.txt": "",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gw.db"


@pytest.fixture
def connection(path):
    made = open_for_writing(path, "full")
    yield made
    made.close()


def tables(connection):
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}


def test_the_migrations_of_this_version_are_numbered_from_one():
    assert [migration.number for migration in load("sqlite")][:1] == [1]
    postgres = [migration.number for migration in load("postgres")]
    assert postgres in ([], [migration.number for migration in load("sqlite")])


def test_parse_takes_one_dialect_and_refuses_gaps():
    assert [(m.number, m.name) for m in parse(FILES, "sqlite")] == [(1, "first"), (2, "second")]
    assert [m.number for m in parse(FILES, "postgres")] == [1]
    with pytest.raises(MigrationError):
        parse({"0002_second.sqlite.sql": ""}, "sqlite")


def test_statements_end_at_a_semicolon_outside_of_text_and_comments():
    assert len(list(statements(FILES["0001_first.sqlite.sql"]))) == 2
    assert list(statements("-- only a comment\n")) == []
    with pytest.raises(MigrationError, match="unfinished"):
        list(statements("CREATE TABLE a (x)"))


def test_each_is_applied_once(connection):
    known = parse(FILES, "sqlite")
    assert migrate_sqlite(connection, "db", known[:1]) == [1]
    assert migrate_sqlite(connection, "db", known) == [2]
    assert migrate_sqlite(connection, "db", known) == []
    assert tables(connection) >= {"a", "b", "c", "schema_versions"}


def test_a_migration_that_fails_leaves_nothing(connection):
    files = {**FILES, "0002_second.sqlite.sql": "CREATE TABLE c (x);\nCREATE TABLE a (x);\n"}
    with pytest.raises(sqlite3.OperationalError):
        migrate_sqlite(connection, "db", parse(files, "sqlite"))
    assert "c" not in tables(connection)
    assert list(applied_sqlite(connection, "db")) == [1]
    assert migrate_sqlite(connection, "db", parse(FILES, "sqlite")) == [2]


def test_a_newer_database_is_refused_with_both_versions(connection):
    known = parse(FILES, "sqlite")
    migrate_sqlite(connection, "db", known)
    with pytest.raises(MigrationError, match=r"db has schema version 2, this gw knows .* 1"):
        migrate_sqlite(connection, "db", known[:1])


def test_a_changed_file_is_refused(connection):
    migrate_sqlite(connection, "db", parse(FILES, "sqlite"))
    files = {**FILES, "0001_first.sqlite.sql": "CREATE TABLE a (y);\n"}
    with pytest.raises(MigrationError, match="checksum"):
        migrate_sqlite(connection, "db", parse(files, "sqlite"))


def test_a_history_with_a_gap_is_refused():
    with pytest.raises(MigrationError, match="lacks migration 1"):
        outstanding(parse(FILES, "sqlite"), {2: "x"}, "db")


def test_a_database_of_another_program_is_refused(connection):
    connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(MigrationError, match="not a database of gw"):
        migrate_sqlite(connection, "db")
    assert tables(connection) == {"theirs"}


def test_two_runners_at_once(path):
    known = parse(FILES, "sqlite")
    open_for_writing(path, "full").close()
    start = threading.Barrier(4)
    done, errors = [], []

    def run():
        connection = open_for_writing(path, "full")
        try:
            start.wait()
            done.extend(migrate_sqlite(connection, "db", known))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(done) == [1, 2]


async def test_two_stores_start_on_one_new_file(path):
    stores = [SqliteStore(path) for _ in range(4)]
    await asyncio.gather(*(store.migrate() for store in stores))
    for store in stores:
        assert await store.devices() == []
        await store.close()


async def test_store_and_reader_refuse_a_newer_database(path):
    store = SqliteStore(path)
    await store.migrate()
    await store.close()
    connection = open_for_writing(path, "full")
    newest = len(load("sqlite"))
    connection.execute("INSERT INTO schema_versions VALUES (99, 'future', 'x', 0)")
    connection.close()
    text = rf"gw\.db has schema version 99, this gw knows versions up to {newest}"
    async with SqliteStore(path) as newer:
        with pytest.raises(MigrationError, match=text) as caught:
            await newer.migrate()
        assert not caught.value.retriable
    async with SqliteReader(path) as reader:
        with pytest.raises(MigrationError, match=text):
            await reader.devices()


async def test_a_reader_that_is_first_waits_for_the_schema(path):
    async with SqliteReader(path) as reader:
        with pytest.raises(StoreError, match=r"gw\.db") as caught:
            await reader.devices()
        assert caught.value.retriable
        open_for_writing(path, "full").close()
        with pytest.raises(MigrationError, match="version 0, this gw needs") as caught:
            await reader.devices()
        assert caught.value.retriable
        async with SqliteStore(path) as store:
            await store.migrate()
            assert await reader.devices() == []


async def test_what_is_no_database_is_refused(path):
    path.write_bytes(b"not a database at all" * 1000)
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match="not a database") as caught:
            await store.migrate()
        assert not caught.value.retriable


async def test_commit_before_migrate_is_an_error_of_the_store(path):
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match="no such table"):
            await store.commit(Batch([InsertStatistics("aabbccddee01", 1, 1, b"{}")]))


def test_the_tables_have_the_columns_of_the_rows(connection):
    migrate_sqlite(connection, "db")

    def columns(table):
        found = connection.execute(f"PRAGMA table_info({table})")
        return {name: (kind, notnull) for _, name, kind, notnull, *_ in found}

    kinds = {str: "TEXT", int: "INTEGER", bool: "INTEGER", float: "REAL"}
    for table, row_type in (
        ("devices", rows.DeviceRow),
        ("commands", rows.CommandRow),
        ("capabilities", rows.CapabilitiesRow),
        ("default_configurations", rows.DefaultConfigurationRow),
        ("default_firmwares", rows.DefaultFirmwareRow),
        ("blacklist", rows.BlacklistRow),
        ("radius_pools", rows.RadiusPoolsRow),
        ("users", rows.UserRow),
        ("tokens", rows.TokenRow),
    ):
        expected = {f.name: (kinds[f.type], 1) for f in msgspec.structs.fields(row_type)}
        found = columns(table)
        if row_type is not rows.UserRow:
            found.pop("id", None)
        if table == "devices":
            found |= {name: columns("device_documents")[name] for name in DOCUMENTS}
        assert found == expected, table
    check_sqlite(connection, "db")


def test_the_index_of_unfinished_commands_is_the_one_of_the_query(connection):
    migrate_sqlite(connection, "db")
    (sql,) = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE name = 'commands_unfinished'"
    ).fetchone()
    assert UNFINISHED in sql
    assert all(f"'{status}'" in UNFINISHED for status in FINAL_STATUSES)


async def test_the_file_is_for_its_owner_only(path):
    async with SqliteStore(path) as store:
        await store.migrate()
        for name in (path, f"{path}-wal", f"{path}-shm"):
            assert (path.parent / name).stat().st_mode & 0o077 == 0

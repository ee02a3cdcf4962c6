"""Copies a SQLite store into an empty PostgreSQL database: all of it, or nothing."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg

from gw.core import settings
from gw.store.errors import StoreError
from gw.store.migrations import check_sqlite
from gw.store.postgres import PostgresStore
from gw.store.postgres_connection import Address, address, close, connect, store_error
from gw.store.postgres_partitions import AHEAD, DAY, Partition, existing, make
from gw.store.postgres_sql import storable
from gw.store.sqlite_connection import open_for_reading
from gw.store.sqlite_connection import store_error as sqlite_error
from gw.store.writes import TELEMETRY

Progress = Callable[[str, int], None]
"""Called with a table and the number of its rows copied so far."""

_ROWS: Final = 1000
_OLDEST_DAYS: Final = 400
"""Days back for which partitions are made; what is older goes to the one for the rest."""
_NOT_COPIED: Final = ("schema_versions", "ring_positions")
"""Positions belong to the queues of one life of the gateway: there is none now."""
_FIRST: Final = ("devices",)
"""Others refer to it."""


async def copy_store(source: Path, target: settings.Store, progress: Progress) -> dict[str, int]:
    """Copy every table of the SQLite file `source`; returns the number of rows by table.

    The schema of `target` is made if need be, and must be empty; that of `source` must be the one
    of this version. No gateway may be running on either. Raises StoreError, and leaves nothing.
    """
    at = address(target.url)
    store = PostgresStore(target)
    try:
        await store.migrate()
    finally:
        await store.close()
    try:
        reading = open_for_reading(source)
    except sqlite3.Error as error:
        raise sqlite_error(error, source) from error
    try:
        check_sqlite(reading, str(source))
        connection = await connect(at, target, "write", "gw migrate-store")
        try:
            return await _copy(reading, connection, at, progress)
        finally:
            await close(connection)
    except sqlite3.Error as error:
        raise sqlite_error(error, source) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise store_error(error, at.where) from error
    finally:
        reading.close()


async def _copy(
    reading: sqlite3.Connection, connection: asyncpg.Connection, at: Address, progress: Progress
) -> dict[str, int]:
    names = _tables(reading)
    await connection.execute("SET statement_timeout = 0")
    await _make_partitions(reading, connection)
    copied = {}
    # One transaction on either side: one moment of the source, all or nothing in the target.
    reading.execute("BEGIN")
    async with connection.transaction():
        for name in names:
            if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):  # noqa: S608
                raise StoreError(f"{at.where} is not empty: table {name} has rows")
        for name in names:
            copied[name] = await _copy_table(reading, connection, name, progress)
            found = await connection.fetchval(f"SELECT count(*) FROM {name}")  # noqa: S608
            if found != copied[name]:
                raise StoreError(f"{at.where}: table {name} has {found} rows of {copied[name]}")
    return copied


def _tables(reading: sqlite3.Connection) -> list[str]:
    found = [
        name
        for (name,) in reading.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' "
            "ORDER BY name"
        )
        if name not in _NOT_COPIED
    ]
    return sorted(found, key=lambda name: name not in _FIRST)


async def _make_partitions(reading: sqlite3.Connection, connection: asyncpg.Connection) -> None:
    today = int(time.time()) // DAY
    there = set(await existing(connection))
    for table in TELEMETRY:
        days = reading.execute(f"SELECT DISTINCT recorded / {DAY} FROM {table}")  # noqa: S608
        for (day,) in days.fetchall():
            partition = Partition(table, day)
            if today - _OLDEST_DAYS <= day <= today + AHEAD and partition not in there:
                await make(connection, partition)


async def _copy_table(
    reading: sqlite3.Connection, connection: asyncpg.Connection, name: str, progress: Progress
) -> int:
    columns = [column for _, column, *_ in reading.execute(f"PRAGMA table_info({name})")]
    order = " ORDER BY id" if "id" in columns else ""
    rows = reading.execute(f"SELECT {', '.join(columns)} FROM {name}{order}")  # noqa: S608
    count = 0
    for chunk in _chunks(rows):
        await connection.copy_records_to_table(name, columns=columns, records=chunk)
        count += len(chunk)
        progress(name, count)
    numbered = dict(
        await connection.fetch(
            "SELECT attname, pg_get_serial_sequence($1, attname) FROM pg_catalog.pg_attribute "
            "WHERE attrelid = $1::text::regclass AND attname = 'id'",
            name,
        )
    )
    if numbered.get("id"):
        await connection.execute(
            f"SELECT setval($1::text::regclass, greatest((SELECT max(id) FROM {name}), 1))",  # noqa: S608
            numbered["id"],
        )
    return count


def _chunks(rows: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    while chunk := rows.fetchmany(_ROWS):
        yield [tuple(map(storable, row)) for row in chunk]

"""Copies a SQLite store into an empty PostgreSQL database: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import asyncpg

from gw.core import settings
from gw.store.errors import StoreError
from gw.store.postgres import PostgresStore
from gw.store.postgres_connection import Address, address, close, connect, store_error
from gw.store.postgres_load import continue_numbers, copy_rows, make_partitions, refuse_rows
from gw.store.postgres_partitions import DAY
from gw.store.sqlite_snapshot import SqliteSnapshot
from gw.store.writes import TELEMETRY

Progress = Callable[[str, int], None]
"""Called with a table and the number of its rows copied so far."""


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
    async with SqliteSnapshot(source) as snapshot:
        connection = await connect(at, target, "write", "gw migrate-store")
        try:
            return await _copy(snapshot, connection, at, progress)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise store_error(error, at.where) from error
        finally:
            await close(connection)


async def _copy(
    snapshot: SqliteSnapshot, connection: asyncpg.Connection, at: Address, progress: Progress
) -> dict[str, int]:
    await connection.execute("SET statement_timeout = 0")
    await make_partitions(connection, snapshot.days(TELEMETRY, DAY))
    copied = {}
    # One transaction on either side: one moment of the source, all or nothing in the target.
    async with connection.transaction():
        await refuse_rows(connection, at.where)
        for table, columns in snapshot.tables.items():
            count = 0
            async for rows in snapshot.rows(table):
                await copy_rows(connection, table, columns, rows)
                count += len(rows)
                progress(table, count)
            found = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608
            if found != count:
                raise StoreError(f"{at.where}: table {table} has {found} rows of {count}")
            await continue_numbers(connection, table)
            copied[table] = count
    return copied

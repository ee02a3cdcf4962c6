"""Filling a PostgreSQL store: one transaction, which also drops what there was."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

import asyncpg

from gw.core import settings
from gw.store.errors import StoreError
from gw.store.load import OLDEST_DAYS, Days
from gw.store.migrations import load
from gw.store.postgres_connection import address, close, connect, store_error
from gw.store.postgres_migrations import applied_postgres, migrate_postgres
from gw.store.postgres_partitions import AHEAD, DAY, Partition, existing, make
from gw.store.postgres_snapshot import tables_of
from gw.store.postgres_sql import storable
from gw.store.snapshot import Rows

# ruff: noqa: S608 - tables and columns are those of the schema; values are always bound

_FAULTS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresLoad:
    """See gw.store.load.Load. Rights on the tables that an administrator gave are lost."""

    def __init__(self, store: settings.Store, *, version: int, replace: bool, days: Days) -> None:
        self._address = address(store.url)
        self._settings = store
        self._version = version
        self._replace = replace
        self._days = days
        self._loaded: set[str] = set()
        self._connection: asyncpg.Connection | None = None
        self._transaction: asyncpg.transaction.Transaction
        self.where = self._address.where

    async def __aenter__(self) -> Self:
        self._connection = connection = await connect(
            self._address, self._settings, "write", "gw restore"
        )
        try:
            await connection.execute(
                "SET statement_timeout = 0; SET lock_timeout = 0; "
                "SET idle_in_transaction_session_timeout = 0"
            )
            self._transaction = connection.transaction()
            await self._transaction.start()
            await self._make_room(connection)
            await migrate_postgres(connection, self.where, load("postgres")[: self._version])
            await make_partitions(connection, self._days)
        except BaseException as error:
            await self.__aexit__(None, None, None)
            if isinstance(error, _FAULTS):
                raise store_error(error, self.where) from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)  # which rolls back what is not committed

    def _open(self) -> asyncpg.Connection:
        if self._connection is None:
            raise StoreError(f"{self.where}: nothing is being loaded")
        return self._connection

    async def _make_room(self, connection: asyncpg.Connection) -> None:
        # Raises if there are tables that are not ours.
        if not await applied_postgres(connection, self.where):
            return
        if not self._replace:
            await refuse_rows(connection, self.where)
        found = await connection.fetch(
            "SELECT relname FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p') "
            "AND NOT relispartition AND relnamespace = current_schema()::regnamespace"
        )
        names = ", ".join(name for (name,) in found)
        await connection.execute(f"DROP TABLE {names} CASCADE")

    async def rows(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        """Add rows to a table."""
        try:
            await copy_rows(self._open(), table, columns, rows)
        except _FAULTS as error:
            raise store_error(error, self.where) from error
        self._loaded.add(table)

    async def finish(self) -> None:
        """Bring the schema up to date, and commit."""
        connection = self._open()
        try:
            for table in sorted(self._loaded):
                await continue_numbers(connection, table)
            await migrate_postgres(connection, self.where)
            await self._transaction.commit()
            await connection.execute("ANALYZE")
        except _FAULTS as error:
            raise store_error(error, self.where) from error


async def refuse_rows(connection: asyncpg.Connection, where: str) -> None:
    """Raise StoreError if a table has rows."""
    for table in await tables_of(connection):
        if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):
            raise StoreError(f"{where} is not empty: table {table} has rows")


async def make_partitions(connection: asyncpg.Connection, days: Days) -> None:
    """Make the partitions of the days for which there are records."""
    today = int(time.time()) // DAY
    there = set(await existing(connection))
    for table, numbers in days.items():
        for day in numbers:
            partition = Partition(table, day)
            if today - OLDEST_DAYS <= day <= today + AHEAD and partition not in there:
                await make(connection, partition)


async def copy_rows(
    connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Rows
) -> None:
    """Copy rows into a table; of texts what PostgreSQL cannot hold is replaced."""
    records = [tuple(map(storable, row)) for row in rows]
    await connection.copy_records_to_table(table, columns=columns, records=records)


async def continue_numbers(connection: asyncpg.Connection, table: str) -> None:
    """Let the ids of a table go on behind the highest that was copied into it."""
    sequence = await connection.fetchval(
        "SELECT pg_get_serial_sequence($1, attname) FROM pg_catalog.pg_attribute "
        "WHERE attrelid = $1::text::regclass AND attname = 'id'",
        table,
    )
    if sequence:
        await connection.execute(
            f"SELECT setval($1::text::regclass, greatest((SELECT max(id) FROM {table}), 1))",
            sequence,
        )

"""A PostgreSQL store as of one moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import asyncpg

from gw.core import settings
from gw.store.errors import StoreError
from gw.store.postgres_connection import address, close, connect, store_error
from gw.store.postgres_migrations import check_postgres
from gw.store.postgres_sql import translated
from gw.store.snapshot import CHUNK, Rows, ordered

# ruff: noqa: S608 - tables and columns are those of the schema; values are always bound


class PostgresSnapshot:
    """See gw.store.snapshot.Snapshot. Raises StoreError, also on opening."""

    engine = "postgres"

    def __init__(self, store: settings.Store) -> None:
        self._address = address(store.url)
        self._settings = store
        self._connection: asyncpg.Connection | None = None
        self.where = self._address.where
        self.tables: dict[str, tuple[str, ...]] = {}

    async def __aenter__(self) -> Self:
        self._connection = await connect(self._address, self._settings, "read", "gw snapshot")
        try:
            # Whoever reads it may be slow: a disk, a pipe.
            await self._connection.execute(
                "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"
            )
            await check_postgres(self._connection, self.where)
            await self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self.tables = await tables_of(self._connection)
        except BaseException as error:
            await self.__aexit__(None, None, None)
            if isinstance(error, Exception):
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
            await close(connection)

    def _open(self) -> asyncpg.Connection:
        if self._connection is None:
            raise StoreError(f"{self.where}: the snapshot is not open")
        return self._connection

    async def rows(
        self, table: str, condition: str = "true", values: Sequence[Any] = ()
    ) -> AsyncIterator[Rows]:
        """Yield the rows of a table in chunks."""
        columns = ", ".join(self.tables[table])
        sql = translated(f"SELECT {columns} FROM {table} WHERE {condition}")
        try:
            found = await self._open().cursor(sql, *values)
            while chunk := await found.fetch(CHUNK):
                yield [tuple(row) for row in chunk]
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise store_error(error, self.where) from error

    async def estimate(self, table: str) -> int:
        """About how many rows a table has, as the server believes."""
        found = await self._open().fetchval(
            "SELECT sum(n_live_tup)::bigint FROM pg_catalog.pg_stat_user_tables "
            "WHERE relid IN (SELECT relid FROM pg_partition_tree($1::text::regclass))",
            table,
        )
        return int(found or 0)


async def tables_of(connection: asyncpg.Connection) -> dict[str, tuple[str, ...]]:
    """Return the columns of the tables that are copied; computed ones are not among them.

    Partitions are not named: their tables are.
    """
    found = await connection.fetch(
        "SELECT c.relname, a.attname FROM pg_catalog.pg_class AS c "
        "JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') "
        "AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped "
        "AND a.attgenerated = '' ORDER BY c.relname, a.attnum"
    )
    tables: dict[str, tuple[str, ...]] = {}
    for table, column in found:
        tables[table] = (*tables.get(table, ()), column)
    return ordered(tables)

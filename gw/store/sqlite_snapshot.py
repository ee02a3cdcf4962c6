"""A SQLite store as of one moment. Its calls block: it is for commands, not for servers."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gw.store.errors import StoreError
from gw.store.migrations import check_sqlite
from gw.store.snapshot import CHUNK, Rows, ordered
from gw.store.sqlite_connection import open_for_reading, store_error

# ruff: noqa: S608 - tables and columns are those of the schema; values are always bound


class SqliteSnapshot:
    """See gw.store.snapshot.Snapshot. Raises StoreError, also on opening."""

    engine = "sqlite"

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.tables: dict[str, tuple[str, ...]] = {}
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        if not self._path.is_file():
            raise StoreError(f"{self._path} does not exist: see --data and store.url")
        try:
            self._connection = open_for_reading(self._path)
            # The first read fixes the moment.
            self._connection.execute("BEGIN")
            check_sqlite(self._connection, self.where)
            self.tables = tables_of(self._connection)
        except BaseException as error:
            await self.__aexit__(None, None, None)
            if isinstance(error, sqlite3.Error):
                raise store_error(error, self._path) from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.where}: the snapshot is not open")
        return self._connection

    async def rows(
        self, table: str, condition: str = "true", values: Sequence[Any] = ()
    ) -> AsyncIterator[Rows]:
        """Yield the rows of a table in chunks."""
        sql = f"SELECT {', '.join(self.tables[table])} FROM {table} WHERE {condition}"
        try:
            found = self._open().execute(sql, tuple(values))
            while chunk := found.fetchmany(CHUNK):
                yield chunk
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error

    async def estimate(self, table: str) -> int:
        """About how many rows a table has: the last row id, which rows that are gone had, too."""
        first, last = self._open().execute(f"SELECT min(rowid), max(rowid) FROM {table}").fetchone()
        return int(last - first + 1) if last else 0

    def days(self, tables: Sequence[str], seconds: int) -> dict[str, list[int]]:
        """Return the numbers of the days for which tables have records; by their index."""
        found = {}
        for table in tables:
            sql = f"SELECT DISTINCT recorded / {seconds} FROM {table}"
            found[table] = [day for (day,) in self._open().execute(sql)]
        return found


def tables_of(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """Return the columns of the tables that are copied; computed ones are not among them."""
    found = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    ).fetchall()
    # table_info leaves computed columns out.
    return ordered(
        {
            name: tuple(
                column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")
            )
            for (name,) in found
        }
    )

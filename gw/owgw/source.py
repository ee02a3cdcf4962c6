"""Databases of owgw and owsec, read as of one moment; SQLite or PostgreSQL.

Their columns are looked up by name without regard to case: SQLite keeps the spelling, PostgreSQL
does not, and versions differ in which columns there are.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

import asyncpg

from gw.core import settings
from gw.core.settings_loader import is_postgres_url
from gw.store.errors import StoreError
from gw.store.postgres_connection import address, close, connect, store_error
from gw.store.sqlite_connection import open_for_reading
from gw.store.sqlite_connection import store_error as sqlite_error

Raw = Mapping[str, Any]
"""A row; names in lower case."""

CHUNK: Final = 100
_SQLITE: Final = "sqlite:///"


class Source(Protocol):
    """A foreign database; `async with` opens it. Raises StoreError."""

    where: str
    """Its place, without a password."""
    tables: dict[str, str]
    """Names as they are, by names in lower case."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def rows(self, table: str) -> AsyncIterator[list[Raw]]:
        """Yield the rows of a table (lower case), some at a time."""
        ...


def source_of(url: str) -> Source:
    """Return the database at a URL, or in a SQLite file; nothing is opened yet."""
    if is_postgres_url(url):
        return _Postgres(url)
    return _Sqlite(Path(url.removeprefix(_SQLITE)))


class _Sqlite:
    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.tables: dict[str, str] = {}
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        if not self._path.is_file():
            raise StoreError(f"{self._path} does not exist")
        with self._faults():
            self._connection = open_for_reading(self._path)
            # A text that is not UTF-8 must not end it.
            self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            self._connection.execute("BEGIN")
            found = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            self.tables = {name.lower(): name for (name,) in found}
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise sqlite_error(error, self._path) from error

    async def rows(self, table: str) -> AsyncIterator[list[Raw]]:
        if self._connection is None:
            raise StoreError(f"{self.where} is not open")
        with self._faults():
            found = self._connection.execute(f'SELECT * FROM "{self.tables[table]}"')  # noqa: S608
            names = [column[0].lower() for column in found.description]
            while chunk := found.fetchmany(CHUNK):
                yield [dict(zip(names, row, strict=True)) for row in chunk]


class _Postgres:
    def __init__(self, url: str) -> None:
        self._address = address(url)
        self.where = self._address.where
        self.tables: dict[str, str] = {}
        self._connection: asyncpg.Connection | None = None

    async def __aenter__(self) -> Self:
        connection = await connect(self._address, settings.Store(), "read", "gw import-owgw")
        self._connection = connection
        try:
            await connection.execute(
                "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"
            )
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            found = await connection.fetch(
                "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            await close(connection)
            raise store_error(error, self.where) from error
        self.tables = {name.lower(): name for (name,) in found}
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            await close(self._connection)

    async def rows(self, table: str) -> AsyncIterator[list[Raw]]:
        if self._connection is None:
            raise StoreError(f"{self.where} is not open")
        try:
            sql = f'SELECT * FROM "{self.tables[table]}"'  # noqa: S608 - as the server names it
            found = await self._connection.cursor(sql)
            while chunk := await found.fetch(CHUNK):
                yield [{name.lower(): value for name, value in row.items()} for row in chunk]
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise store_error(error, self.where) from error

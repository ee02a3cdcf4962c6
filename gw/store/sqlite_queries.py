"""Read-only view of a SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from gw.store import rows
from gw.store.migrations import check_sqlite
from gw.store.pages import Key
from gw.store.queries import DEVICE_BY_SERIAL, Queries
from gw.store.sqlite_connection import open_for_reading
from gw.store.sqlite_threads import ConnectionThreads
from gw.store.tables import DEVICE, Shape

R = TypeVar("R", bound=rows.Row)

THREADS: Final = 4
WAITING: Final = 256
"""Queries that wait or run; one more is refused."""
SECONDS: Final = 30.0
"""Longest wait for the answer to a query, its time in the queue included."""


class SqliteReader(Queries):
    """Reader of the database at `path`, which another process may be writing.

    Nothing is opened before the first query. A query raises StoreError with `retriable` if the
    database is not there or not migrated yet, or if too much is asked at a time.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._path = Path(path)
        self._readers = ConnectionThreads(
            self._path,
            self._open_reader,
            name="store-reader",
            count=THREADS,
            capacity=WAITING,
            seconds=SECONDS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open_reader(self) -> sqlite3.Connection:
        connection = open_for_reading(self._path)
        try:
            check_sqlite(connection, str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection

    async def _cells(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return await self._readers.run(lambda c: c.execute(sql, values).fetchall())

    async def _all(self, shape: Shape[R], sql: str, *values: Any) -> list[R]:
        # The rows are made in the thread too: a page of a thousand would hold up the loop.
        return await self._readers.run(
            lambda c: [shape.row(cells) for cells in c.execute(sql, values)]
        )

    async def _keyed(self, shape: Shape[R], sql: str, *values: Any) -> tuple[list[R], Key | None]:
        def read(connection: sqlite3.Connection) -> tuple[list[R], Key | None]:
            return shape.keyed(connection.execute(sql, values).fetchall())

        return await self._readers.run(read)

    async def _chosen_devices(self, sql: str, *values: Any) -> list[rows.DeviceRow]:
        return await self._readers.run(lambda c: _devices(c, sql, values))

    async def close(self) -> None:
        """Give the connections back."""
        await self._readers.close()


def _devices(
    connection: sqlite3.Connection, sql: str, values: tuple[Any, ...]
) -> list[rows.DeviceRow]:
    connection.execute("BEGIN")
    try:
        page = connection.execute(sql, values).fetchall()
        return [
            DEVICE.row(cells) for key in page for cells in connection.execute(DEVICE_BY_SERIAL, key)
        ]
    finally:
        connection.rollback()

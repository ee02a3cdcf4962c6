"""Read-only view of a PostgreSQL database."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeVar

import asyncpg

from gw.core import settings
from gw.store import rows
from gw.store.errors import MigrationError, StoreError
from gw.store.pages import Key
from gw.store.postgres_connection import (
    Address,
    address,
    is_connection_gone,
    options,
    store_error,
)
from gw.store.postgres_migrations import check_postgres
from gw.store.postgres_sql import storable, translated
from gw.store.queries import DEVICE_COLUMNS, Queries
from gw.store.tables import DEVICE, Shape

R = TypeVar("R", bound=rows.Row)
T = TypeVar("T")

WAITING: Final = 256
"""Queries that wait or run; one more is refused."""
_AWAY_SECONDS: Final = 0.25
"""First pause after a failed connection in which queries are refused at once; it doubles."""
_AWAY_MAX_SECONDS: Final = 4.0
_CLOSE_SECONDS: Final = 5.0

_PAGE: Final = (
    f"SELECT {DEVICE_COLUMNS} "  # noqa: S608 - columns of the rows
    "FROM unnest(ARRAY(%s)) WITH ORDINALITY AS page(serial_number, place) "
    "JOIN devices AS d USING (serial_number) "
    "LEFT JOIN device_documents AS t USING (serial_number) ORDER BY place"
)


class PostgresReader(Queries):
    """Reader of the database that `store.url` names; another process is writing to it.

    Nothing is opened before the first query. A query raises StoreError with `retriable` if the
    database is away or not migrated yet, or if too much is asked at a time. After a connection
    that failed, queries are refused at once for a growing moment, so that callers of an absent
    database do not pile up.
    """

    def __init__(self, store: settings.Store) -> None:
        super().__init__()
        self._address: Address = address(store.url)
        self._settings = store
        self._pool: asyncpg.Pool | None = None
        self._busy = 0
        self._closed = False
        self._away_until = 0.0
        self._away_pause = _AWAY_SECONDS
        self._away_why = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _cells(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        cells: list[tuple[Any, ...]] = await self._fetch(sql, values)
        return cells

    async def _all(self, shape: Shape[R], sql: str, *values: Any) -> list[R]:
        return [shape.row(cells) for cells in await self._fetch(sql, values)]

    async def _keyed(self, shape: Shape[R], sql: str, *values: Any) -> tuple[list[R], Key | None]:
        return shape.keyed(await self._fetch(sql, values))

    async def _chosen_devices(self, sql: str, *values: Any) -> list[rows.DeviceRow]:
        # One statement sees one moment; ARRAY keeps the order of what it is made from.
        return await self._all(DEVICE, _PAGE % sql, *values)

    async def _fetch(self, sql: str, values: tuple[Any, ...]) -> Any:
        text = translated(sql)
        parameters = [storable(value) for value in values]
        return await self._run(lambda connection: connection.fetch(text, *parameters))

    async def _run(self, job: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Return what `job` returns on a read-only connection."""
        if self._closed:
            raise StoreError(f"{self._address.where}: the store is closed")
        if self._busy >= WAITING:
            raise StoreError(f"{self._address.where}: too many queries at a time", retriable=True)
        self._busy += 1
        try:
            async with asyncio.timeout(self._settings.query_seconds):
                try:
                    return await self._attempt(job)
                except Exception as error:
                    if isinstance(error, TimeoutError) or not is_connection_gone(error):
                        raise
                    # The pool held a connection that a restart of the server had ended.
                    return await self._attempt(job)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise store_error(error, self._address.where) from error
        finally:
            self._busy -= 1

    async def _attempt(self, job: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        pool = self._opened()
        connection = await self._acquire(pool)
        try:
            return await job(connection)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) or is_connection_gone(error):
                # An answer may still come: never to another question. Cancelling it needs a
                # server that answers.
                connection.terminate()
            raise
        finally:
            await pool.release(connection)

    def _opened(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                self._address.url,
                min_size=0,
                max_size=self._settings.read_connections,
                max_queries=1_000_000_000,
                init=self._check,
                reset=_as_it_is,
                **options(self._settings, "read", f"gw reader {os.getpid()}"),
            )
        return self._pool

    async def _acquire(self, pool: asyncpg.Pool) -> Any:
        if time.monotonic() < self._away_until:
            raise StoreError(f"{self._address.where} is away: {self._away_why}", retriable=True)
        try:
            await pool  # opens nothing, and does not give way
            connection = await pool.acquire()
        except (asyncio.CancelledError, MigrationError):
            raise
        except Exception as error:
            failed = store_error(error, self._address.where)
            self._away_why = str(failed).removeprefix(f"{self._address.where}: ")
            self._away_until = time.monotonic() + self._away_pause
            self._away_pause = min(2 * self._away_pause, _AWAY_MAX_SECONDS)
            raise failed from error
        self._away_pause = _AWAY_SECONDS
        self._away_until = 0.0
        return connection

    async def _check(self, connection: asyncpg.Connection) -> None:
        await check_postgres(connection, self._address.where)

    async def close(self) -> None:
        """Finish what is under way, for a moment, and give the connections back; repeatable."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await pool.close()
        except Exception:  # noqa: BLE001 - a server that is away cannot be told
            pool.terminate()


async def _as_it_is(_: asyncpg.Connection) -> None:
    """Queries leave nothing behind on a connection: it is given back as it is."""

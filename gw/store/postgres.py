"""The store for many devices: PostgreSQL, written by one connection, read by a pool."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import asyncpg

from gw.core import settings
from gw.store.errors import StoreError
from gw.store.interface import Batch
from gw.store.postgres_migrations import migrate_postgres
from gw.store.postgres_partitions import make_ahead
from gw.store.postgres_queries import PostgresReader
from gw.store.postgres_writer import PostgresWriter

__all__ = ["PostgresReader", "PostgresStore"]

_WAITING: Final = 64
"""Batches that wait or are being written. The coordinator hands in one or two at a time."""
_MARKS_KEPT_SECONDS: Final = 30 * 86_400


class PostgresStore(PostgresReader):
    """Store of the coordinator. Needs PostgreSQL 14 or later, and a database of its own."""

    def __init__(self, store: settings.Store) -> None:
        super().__init__(store)
        self._writer = PostgresWriter(self._address, store)
        self._migrate_seconds = store.migrate_seconds
        self._waiting = 0
        self._commits: set[asyncio.Task[None]] = set()

    async def migrate(self) -> None:
        """Bring the schema up to date; of several starters one does it, the others wait."""
        await self._writer.run(self._migrate, self._migrate_seconds)

    async def _migrate(self, connection: asyncpg.Connection) -> None:
        await migrate_postgres(connection, self._address.where)
        await make_ahead(connection, time.time())
        await connection.execute(
            "DELETE FROM writer_marks WHERE since < $1", int(time.time()) - _MARKS_KEPT_SECONDS
        )

    async def commit(self, batch: Batch) -> None:
        """Write a batch in one transaction; on return it is durable.

        Raises PositionConflictError, BatchError, or StoreError; then nothing of it is written,
        unless it is an OutcomeUnknownError. A batch that was handed in is finished even if the
        caller is cancelled.
        """
        if not batch.ops and not batch.positions:
            return
        if self._waiting >= _WAITING:
            raise StoreError(f"{self._address.where}: too many batches at a time", retriable=True)
        self._waiting += 1
        writing = asyncio.create_task(self._writer.commit(batch))
        self._commits.add(writing)
        writing.add_done_callback(self._ended)
        await asyncio.shield(writing)

    def _ended(self, writing: asyncio.Task[None]) -> None:
        self._waiting -= 1
        self._commits.discard(writing)
        if not writing.cancelled():
            writing.exception()  # of a caller that is gone: nobody else will look

    async def positions(self) -> dict[str, tuple[int, int]]:
        """Committed position of every ring: name to (incarnation, position).

        Waits for a commit under way, also one that a killed predecessor had sent.
        """

        async def read(connection: asyncpg.Connection) -> dict[str, tuple[int, int]]:
            found = await connection.fetch(
                "SELECT ring, incarnation, position FROM ring_positions FOR SHARE"
            )
            return {ring: (incarnation, position) for ring, incarnation, position in found}

        return await self._writer.run(read)

    async def close(self) -> None:
        """Finish what was handed in and close all connections."""
        await super().close()
        await self._writer.close()

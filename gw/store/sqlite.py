"""The embedded store: one SQLite file, one writer thread, a few reader threads."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Final

from gw.store.interface import Batch
from gw.store.migrations import migrate_sqlite
from gw.store.sqlite_batch import write_batch
from gw.store.sqlite_connection import (
    BUSY_SECONDS,
    WAL_BYTES,
    Synchronous,
    open_for_writing,
)
from gw.store.sqlite_queries import SqliteReader
from gw.store.sqlite_threads import ConnectionThreads

__all__ = ["SqliteReader", "SqliteStore"]

_WAITING: Final = 64
"""Batches that wait or are being written. The coordinator hands in one or two at a time."""
_TRIM_SECONDS: Final = 10.0
_TRIM_WAIT_SECONDS: Final = 0.25


class SqliteStore(SqliteReader):
    """Store of the coordinator. No other process writes to the file.

    With `synchronous` "full" a committed batch survives a power cut, with "normal" only the death
    of the process.
    """

    def __init__(self, path: str | Path, *, synchronous: Synchronous = "full") -> None:
        super().__init__(path)
        self._wal = Path(f"{self._path}-wal")
        self._trimmed = 0.0
        self._writer = ConnectionThreads(
            self._path,
            lambda: open_for_writing(self._path, synchronous),
            name="store-writer",
            count=1,
            capacity=_WAITING,
        )

    async def migrate(self) -> None:
        """Create the database, or bring its schema up to date."""
        await self._writer.run(lambda connection: migrate_sqlite(connection, str(self._path)))

    async def commit(self, batch: Batch) -> None:
        """Write a batch in one transaction; on return it is durable.

        Raises PositionConflictError, BatchError, or StoreError; then nothing of it is written.
        A batch of which the writing has begun is finished even if the caller is cancelled.
        """
        if batch.ops or batch.positions:
            await self._writer.run(lambda connection: self._write(connection, batch))

    def _write(self, connection: sqlite3.Connection, batch: Batch) -> None:
        write_batch(connection, batch)
        with contextlib.suppress(OSError, sqlite3.Error):
            self._trim(connection)

    def _trim(self, connection: sqlite3.Connection) -> None:
        """Make the next commit begin the WAL anew if it has grown large.

        The checkpoint within a commit cannot: it gives way to readers, and under readers that
        overlap without a break the file would grow forever.
        """
        if self._wal.stat().st_size < 2 * WAL_BYTES:
            return
        now = time.monotonic()
        if now - self._trimmed < _TRIM_SECONDS:
            return
        self._trimmed = now
        connection.execute(f"PRAGMA busy_timeout = {int(_TRIM_WAIT_SECONDS * 1000)}")
        try:
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")

    async def close(self) -> None:
        """Finish what was handed in and close all connections."""
        await super().close()
        # Last: on closing, the writer puts the WAL into the database, unless readers are left.
        await self._writer.close()

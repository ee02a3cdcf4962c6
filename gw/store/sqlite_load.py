"""Filling a SQLite store: a new file, which takes the place of the old one at the end."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from gw.store.errors import StoreError
from gw.store.migrations import load, migrate_sqlite
from gw.store.snapshot import Rows
from gw.store.sqlite_connection import open_for_writing, store_error
from gw.store.sqlite_snapshot import tables_of

# ruff: noqa: S608 - tables and columns are those of the schema; values are always bound


class SqliteLoad:
    """See gw.store.load.Load. What is replaced is kept beside it as `<file>.replaced`."""

    def __init__(self, path: Path, *, version: int, replace: bool) -> None:
        self.where = str(path)
        self._path = path
        self._new = path.with_name(f"{path.name}.loading")
        self._version = version
        self._replace = replace
        self._connection: sqlite3.Connection | None = None

    async def __aenter__(self) -> Self:
        try:
            if self._path.exists() and not self._replace:
                _refuse_rows(self._path)
            self._remove_new()
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = connection = open_for_writing(self._new, "normal")
            # A file that is of no use until it is whole needs no journal.
            connection.execute("PRAGMA journal_mode = OFF").fetchall()
            connection.execute("PRAGMA synchronous = OFF")
            migrate_sqlite(connection, self.where, load("sqlite")[: self._version])
            connection.execute("BEGIN")
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error
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
        self._remove_new()

    def _error(self, error: sqlite3.Error | OSError) -> StoreError:
        if isinstance(error, sqlite3.Error):
            return store_error(error, self._new)
        return StoreError(f"{error.filename or self._path}: {error.strerror}")

    def _remove_new(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{self._new}{suffix}").unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.where}: nothing is being loaded")
        return self._connection

    async def rows(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        """Add rows to a table."""
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        try:
            self._open().executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._error(error) from error

    async def finish(self) -> None:
        """Bring the schema up to date, and put the file in its place."""
        connection = self._open()
        try:
            connection.execute("COMMIT")
            if connection.execute("PRAGMA foreign_key_check").fetchone():
                raise StoreError(f"{self.where}: rows refer to devices that there are not")
            migrate_sqlite(connection, self.where)
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.close()
            self._connection = None
            _synchronize(self._new)
            if self._path.exists():
                _settle(self._path)
                self._path.replace(f"{self._path}.replaced")
            self._new.replace(self._path)
            _synchronize(self._path.parent)
        except (sqlite3.Error, OSError) as error:
            raise self._error(error) from error


def _refuse_rows(path: Path) -> None:
    """Raise StoreError if a database has rows, or is none of ours."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table in tables_of(connection):
            if connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0]:
                raise StoreError(f"{path} is not empty: table {table} has rows")


def _settle(path: Path) -> None:
    """Put what is in the WAL of a database into its file, so that it can be moved alone."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    for suffix in ("-wal", "-shm"):
        # Left behind by a file that cannot be opened; the next one must not find them.
        left = Path(f"{path}{suffix}")
        if left.exists():
            left.replace(f"{path}.replaced{suffix}")


def _synchronize(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""How SQLite connections are opened, and what its errors mean."""

from __future__ import annotations

import sqlite3
import time
import urllib.parse
from pathlib import Path
from typing import Final, Literal

from gw.store.errors import StoreError

Synchronous = Literal["full", "normal"]

BUSY_SECONDS: Final = 5.0
"""How long a statement waits for a lock of another connection."""
CHECKPOINT_PAGES: Final = 4000
"""WAL pages (4 KiB) after which a commit moves them to the database; 16 MiB."""
WAL_BYTES: Final = 67_108_864
"""A WAL file above this is cut back as soon as no reader needs it."""
_AGAIN_SECONDS: Final = 0.01

_OUTSIDE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
"""Causes outside of the call: the same call may succeed later."""

_OF_THE_DATA: Final = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_RANGE,
}

_CONNECTION_GONE: Final = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_MISUSE,
}
"""After these the connection is opened anew rather than trusted."""


def primary_code(error: sqlite3.Error) -> int:
    """Return the result code of SQLite without its extension; 0 if the error is Python's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_fault_of_data(error: Exception) -> bool:
    """Tell whether a failed write can never succeed, whatever the state of the database."""
    if isinstance(error, sqlite3.Error):
        # code 0: the sqlite3 module refused a parameter before SQLite saw it
        return primary_code(error) in _OF_THE_DATA or not primary_code(error)
    return isinstance(error, TypeError | ValueError | OverflowError | AttributeError)


def is_connection_gone(error: sqlite3.Error) -> bool:
    """Tell whether the connection is not to be used any more."""
    return primary_code(error) in _CONNECTION_GONE


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the error of the store for one of SQLite."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(f"{path}: {error} ({name})", retriable=primary_code(error) in _OUTSIDE)


def open_for_writing(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """Open, or create, the database for the one writer of this node."""
    # SQLite gives the files beside it the same mode: passwords of devices are in all of them.
    path.touch(mode=0o600)
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=512
    )
    try:
        _use_wal(connection)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -32768")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        # Debian builds with SECURE_DELETE, which writes every page of deleted telemetry once more.
        connection.execute("PRAGMA secure_delete = FAST")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to WAL, which it remembers.

    SQLite does not wait for the lock that this takes, so two processes that start on one new
    file at the same time have to try again by themselves.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
        else:
            return


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open an existing database read-only; another process may be writing to it."""
    uri = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256
    )
    try:
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -8192")
    except BaseException:
        connection.close()
        raise
    return connection

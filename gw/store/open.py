"""The store that the settings name."""

from __future__ import annotations

from pathlib import Path

from gw.core import settings
from gw.store.errors import StoreError
from gw.store.interface import Reader, Store
from gw.store.sqlite import SqliteReader, SqliteStore

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def sqlite_path(url: str, data: str) -> Path:
    """Return the file of the SQLite database that `store.url` names.

    As usual for such URLs, `sqlite:///x.db` is relative and `sqlite:////x.db` absolute; a relative
    one is looked up in the data directory. Empty: `gw.db` there.
    """
    if not url:
        return Path(data) / "gw.db"
    if url.startswith(_POSTGRES):
        raise StoreError(
            "store.url: PostgreSQL is not in this version; use sqlite:///path, or leave it empty"
        )
    path = url.removeprefix(_SQLITE)
    if path == url or not path:
        scheme = url.partition(":")[0]
        raise StoreError(
            f"store.url: cannot use {scheme[:20]!r} URLs of this form; "
            "it must be sqlite:///path, postgresql://..., or empty"
        )
    return Path(data) / path


def open_store(store: settings.Store, data: str) -> Store:
    """Return the coordinator's store; `migrate` it before use. `data` is the data directory."""
    return SqliteStore(sqlite_path(store.url, data), synchronous=store.synchronous)


def open_reader(store: settings.Store, data: str) -> Reader:
    """Return a read-only view of the store, for the API."""
    return SqliteReader(sqlite_path(store.url, data))

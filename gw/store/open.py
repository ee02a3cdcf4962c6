"""The store that the settings name."""

from __future__ import annotations

from pathlib import Path

from gw.core import settings
from gw.core.settings_loader import is_postgres_url
from gw.store.errors import StoreError
from gw.store.interface import Reader, Store
from gw.store.postgres import PostgresReader, PostgresStore
from gw.store.sqlite import SqliteReader, SqliteStore

_SQLITE = "sqlite:///"


def sqlite_path(url: str, data: str) -> Path:
    """Return the file of the SQLite database that `store.url` names.

    As usual for such URLs, `sqlite:///x.db` is relative and `sqlite:////x.db` absolute; a relative
    one is looked up in the data directory. Empty: `gw.db` there.
    """
    if not url:
        return Path(data) / "gw.db"
    path = url.removeprefix(_SQLITE)
    if path == url or not path:
        scheme = url.partition(":")[0]
        raise StoreError(
            f"store.url: cannot use {scheme[:20]!r} URLs of this form; "
            "it must be sqlite:///path, postgresql://..., or empty"
        )
    return Path(data) / path


def may_exist(store: settings.Store, data: str) -> bool:
    """Tell whether there can be a database: False for a SQLite file that nobody made yet."""
    return is_postgres_url(store.url) or sqlite_path(store.url, data).is_file()


def open_store(store: settings.Store, data: str) -> Store:
    """Return the coordinator's store; `migrate` it before use. `data` is the data directory."""
    if is_postgres_url(store.url):
        return PostgresStore(store)
    return SqliteStore(sqlite_path(store.url, data), synchronous=store.synchronous)


def open_reader(store: settings.Store, data: str) -> Reader:
    """Return a read-only view of the store, for the API."""
    if is_postgres_url(store.url):
        return PostgresReader(store)
    return SqliteReader(sqlite_path(store.url, data))

"""A whole store as of one moment, table by table: for backups, exports and moves.

A snapshot reads beside a gateway that runs, and holds up nobody; SQLite's WAL and the dead rows
of PostgreSQL grow while it is open.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self

from gw.core import settings
from gw.core.settings_loader import is_postgres_url

Rows = list[tuple[Any, ...]]

CHUNK: Final = 500
"""Rows that are handed on at a time."""
NOT_COPIED: Final = frozenset(("schema_versions", "ring_positions", "writer_marks"))
"""Positions and marks belong to one life of the gateway."""
FIRST: Final = ("devices",)
"""Tables that others refer to."""


class Snapshot(Protocol):
    """The tables of a store; `async with` opens it."""

    where: str
    """Place of the store, for people; without a password."""
    engine: str
    """`sqlite` or `postgres`."""
    tables: dict[str, tuple[str, ...]]
    """Columns by table, without those that are computed; in an order in which they can be
    loaded."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def rows(
        self, table: str, condition: str = "true", values: Sequence[Any] = ()
    ) -> AsyncIterator[Rows]:
        """Yield the rows of a table in chunks, their cells in the order of its columns.

        `condition` is SQL of this program, with `?` for `values`.
        """
        ...

    async def estimate(self, table: str) -> int:
        """About how many rows a table has; quick."""
        ...


def ordered(tables: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the tables that are copied, those first that others refer to."""
    names = sorted(
        (name for name in tables if name not in NOT_COPIED),
        key=lambda name: (name not in FIRST, name),
    )
    return {name: tables[name] for name in names}


def snapshot_of(store: settings.Store, data: str) -> Snapshot:
    """Return a snapshot of the store that the settings name; nothing is opened yet."""
    # Late, so that none of the two drivers is imported for nothing.
    if is_postgres_url(store.url):
        from gw.store.postgres_snapshot import PostgresSnapshot

        return PostgresSnapshot(store)
    from gw.store.open import sqlite_path
    from gw.store.sqlite_snapshot import SqliteSnapshot

    return SqliteSnapshot(sqlite_path(store.url, data))

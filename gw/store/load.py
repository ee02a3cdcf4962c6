"""Filling a store with whole tables: all of them, or nothing is changed.

The schema of the target is made as it was when the rows were read, and brought up to date once
they are in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from gw.core import settings
from gw.core.settings_loader import is_postgres_url
from gw.store.snapshot import Rows

OLDEST_DAYS: Final = 400
"""Days back for which partitions are made; what is older goes to the one for the rest."""

Days = Mapping[str, Sequence[int]]
"""Numbers of the days (since 1970) for which a telemetry table has records."""


class Load(Protocol):
    """A store that is being filled: `async with` begins; only `finish` makes it so."""

    where: str

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def rows(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        """Add rows to a table."""
        ...

    async def finish(self) -> None:
        """Make it so. What there was before is replaced."""
        ...


def load_into(store: settings.Store, data: str, *, version: int, replace: bool, days: Days) -> Load:
    """Return the filling of the store that the settings name; nothing is opened yet.

    `version`: number of the schema that the rows are of. Raises StoreError, then or on opening:
    without `replace`, if the store has rows.
    """
    if is_postgres_url(store.url):
        from gw.store.postgres_load import PostgresLoad

        return PostgresLoad(store, version=version, replace=replace, days=days)
    from gw.store.open import sqlite_path
    from gw.store.sqlite_load import SqliteLoad

    return SqliteLoad(sqlite_path(store.url, data), version=version, replace=replace)

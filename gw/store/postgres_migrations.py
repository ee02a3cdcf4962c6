"""The schema of PostgreSQL: versions, and one starter at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import asyncpg

from gw.store.errors import MigrationError
from gw.store.migrations import VERSIONS_TABLE, Migration, load, not_migrated, outstanding

_LOCK: Final = 0x67775F736368656D
"""Key of the advisory lock: "gw_schem". It belongs to one database."""


async def applied_postgres(connection: asyncpg.Connection, where: str) -> dict[int, str]:
    """Return number to checksum of what is applied; empty if the database is new."""
    # One statement: another starter may commit the first migration at any moment.
    new, others = await connection.fetchrow(
        "SELECT to_regclass('schema_versions') IS NULL, EXISTS (SELECT FROM pg_catalog.pg_class "
        "WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace)"
    )
    if new and others:
        raise MigrationError(
            f"{where} has tables but no schema version (this gw: "
            f"{len(load('postgres'))}): it is not a database of gw"
        )
    if new:
        return {}
    found = await connection.fetch("SELECT number, checksum FROM schema_versions")
    return {number: checksum for number, checksum in found}  # noqa: C416 - a record is no pair


async def check_postgres(connection: asyncpg.Connection, where: str) -> None:
    """Raise MigrationError unless the schema is exactly the present one.

    Retriable if the database only waits to be brought up to date.
    """
    todo = outstanding(load("postgres"), await applied_postgres(connection, where), where)
    if todo:
        raise not_migrated(where, todo)


async def migrate_postgres(
    connection: asyncpg.Connection, where: str, known: Sequence[Migration] | None = None
) -> list[int]:
    """Apply what is outstanding, each migration in one transaction; return the numbers.

    A second starter waits for the lock, and then finds nothing left to do.
    """
    known = load("postgres") if known is None else known
    done: list[int] = []
    while outstanding(known, await applied_postgres(connection, where), where):
        async with connection.transaction():
            # It may take long over large tables: nothing may cut it off half-way.
            await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            todo = outstanding(known, await applied_postgres(connection, where), where)
            if todo:
                await _apply(connection, todo[0])
                done.append(todo[0].number)
    return done


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    await connection.execute(VERSIONS_TABLE)
    # asyncpg cannot do with a script of comments only.
    await connection.execute(f"{migration.sql}\n;SELECT 1")
    await connection.execute(
        "INSERT INTO schema_versions (number, name, checksum, applied) VALUES ($1, $2, $3, $4)",
        migration.number,
        migration.name,
        migration.checksum,
        int(time.time()),
    )

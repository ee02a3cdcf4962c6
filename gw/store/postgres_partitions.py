"""Partitions of the telemetry tables: one per day (UTC), made ahead, dropped when they are old.

What belongs to none of them (a clock far off) is in `<table>_other`, until its day gets one.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from typing import Final

import asyncpg
import msgspec

from gw.ops import logs
from gw.store.writes import TELEMETRY

log = logs.get("store")

DAY: Final = 86_400
AHEAD: Final = 4
"""Days from tomorrow on that have their partition already."""
_DROPS: Final = 8
"""Partitions dropped in one step."""
LOCK: Final = 0x67775F7061727473
"""Key of the advisory lock of whoever changes partitions: "gw_parts"."""
_LOCK_MILLISECONDS: Final = 2_000
"""How long a change of partitions may wait for queries, which wait for it meanwhile."""


class Partition(msgspec.Struct, frozen=True):
    """One day of one table; `day` is its number since 1970."""

    table: str
    day: int

    @property
    def name(self) -> str:
        """Name of its table."""
        return time.strftime(f"{self.table}_%Y%m%d", time.gmtime(self.start))

    @property
    def start(self) -> int:
        """First second."""
        return self.day * DAY

    @property
    def end(self) -> int:
        """First second behind it."""
        return self.start + DAY


def wanted(now: float) -> Iterator[Partition]:
    """Yield what there should be: yesterday's (records come late) up to some days ahead."""
    today = int(now) // DAY
    for table in TELEMETRY:
        for day in range(today - 1, today + AHEAD + 1):
            yield Partition(table, day)


async def existing(connection: asyncpg.Connection) -> list[Partition]:
    """Return the partitions that there are, oldest first."""
    found = await connection.fetch(
        "SELECT parent.relname, child.relname FROM pg_catalog.pg_inherits AS i "
        "JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent "
        "JOIN pg_catalog.pg_class AS child ON child.oid = i.inhrelid "
        "WHERE parent.relnamespace = current_schema()::regnamespace AND parent.relkind = 'p' "
        "AND parent.relname = ANY($1)",
        list(TELEMETRY),
    )
    partitions = []
    for table, name in found:
        day = _day(name.removeprefix(f"{table}_"))
        if day is not None:
            partitions.append(Partition(table, day))
    return sorted(partitions, key=lambda partition: partition.day)


def _day(digits: str) -> int | None:
    try:
        return calendar.timegm(time.strptime(digits, "%Y%m%d")) // DAY
    except ValueError:
        return None  # the one for the rest, or one that somebody else made


async def make_ahead(connection: asyncpg.Connection, now: float) -> None:
    """Make the partitions that are missing; one that cannot be made now is tried again later."""
    there = set(await existing(connection))
    for partition in wanted(now):
        if partition not in there and not await make(connection, partition):
            return


async def make(connection: asyncpg.Connection, partition: Partition) -> bool:
    """Make a partition; what is in the one for the rest moves into it. False if not now."""
    return await _change(connection, f"make {partition.name}", _making(partition))


class Dropped(msgspec.Struct):
    """What went with partitions, and what is left to do."""

    rows: int = 0
    """About so many: what the server believes."""
    bytes: int = 0
    """With indexes."""
    more: bool = False
    """Some are left that may go at once."""
    busy_end: int = 0
    """End of the oldest that a query holds; 0: none is held."""


async def drop_old(connection: asyncpg.Connection, table: str, before: int) -> Dropped:
    """Drop partitions of a table whose records are all older than `before`; not many at a time."""
    old = [one for one in await existing(connection) if one.table == table and one.end <= before]
    done = Dropped(more=len(old) > _DROPS)
    for partition in old[:_DROPS]:
        rows, size = await connection.fetchrow(
            "SELECT greatest(n_live_tup, 0), pg_total_relation_size(relid) "
            "FROM pg_catalog.pg_stat_user_tables WHERE relid = $1::text::regclass",
            partition.name,
        ) or (0, 0)
        drop = [f"DROP TABLE {partition.name}"]
        if not await _change(connection, f"drop {partition.name}", drop):
            # Queries hold it: that is for the next minute, not for at once.
            return msgspec.structs.replace(done, more=False, busy_end=partition.end)
        done.rows += rows
        done.bytes += size
    return done


def _making(partition: Partition) -> list[str]:
    name, table = partition.name, partition.table
    within = f"recorded >= {partition.start} AND recorded < {partition.end}"
    return [
        f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING COMPRESSION "
        f"INCLUDING CONSTRAINTS)",
        # The default partition must not hold what belongs to the new one.
        f"LOCK TABLE {table}_other IN SHARE ROW EXCLUSIVE MODE",
        f"WITH moved AS (DELETE FROM {table}_other WHERE {within} RETURNING *) "  # noqa: S608
        f"INSERT INTO {name} SELECT * FROM moved",
        f"ALTER TABLE {table} ATTACH PARTITION {name} "
        f"FOR VALUES FROM ({partition.start}) TO ({partition.end})",
    ]


async def _change(connection: asyncpg.Connection, what: str, statements: list[str]) -> bool:
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            for statement in statements:
                await connection.execute(statement)
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
        log.warning("partitions: busy; trying again in a minute", change=what, detail=str(error))
        return False
    except asyncpg.DuplicateTableError:
        return True  # another process of ours was first
    return True

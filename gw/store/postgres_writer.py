"""The one connection that writes batches, each in one transaction.

A connection that dies during COMMIT leaves open whether the batch is written. Each transaction
therefore sets the writer's mark to the number of its batch: the next connection ends what is left
of the old one, reads the mark under its lock, and knows.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg
import msgspec

from gw.core import settings
from gw.ops import logs
from gw.store import postgres_partitions, retention
from gw.store.errors import BatchError, OutcomeUnknownError, StoreError
from gw.store.interface import Batch, DeleteExpired, Op, PositionConflictError, RingPosition
from gw.store.postgres_batch import Copy, Statement, Step, steps
from gw.store.postgres_connection import (
    Address,
    close,
    connect,
    is_connection_gone,
    is_fault_of_data,
    reason,
    store_error,
)
from gw.store.postgres_sql import translated
from gw.store.writes import TELEMETRY

log = logs.get("store")
T = TypeVar("T")

_MARK: Final = "UPDATE writer_marks SET number = $1, since = $3 WHERE writer = $2"
_ADVANCE: Final = (
    f"WITH mark AS ({_MARK}), "  # noqa: S608
    "wanted AS (SELECT * FROM unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[]) "
    "AS w(ring, incarnation, before, after)) "
    "INSERT INTO ring_positions AS p (ring, incarnation, position) "
    "SELECT ring, incarnation, after FROM wanted ORDER BY ring "
    "ON CONFLICT (ring) DO UPDATE SET incarnation = excluded.incarnation, "
    "position = excluded.position WHERE p.incarnation <> excluded.incarnation "
    "OR p.position = (SELECT before FROM wanted WHERE wanted.ring = p.ring) RETURNING p.ring"
)
"""Compare and set; a row that another transaction holds is compared once that has ended."""


_AHEAD_SECONDS: Final = 30.0
"""Time between two looks whether partitions are to be made."""


class PostgresWriter:
    """Commits batches one after the other, in the order in which they are handed in."""

    def __init__(self, at: Address, store: settings.Store) -> None:
        self._address = at
        self._settings = store
        self._writer = uuid.uuid4().hex
        self._application = f"gw writer {os.getpid()} {self._writer[:12]}"
        self._connection: asyncpg.Connection | None = None
        self._prepared = False
        """The connection has seen to what its predecessor left."""
        self._number = 0
        """Of the last batch that is known to be committed."""
        self._unsettled: Batch | None = None
        """A batch whose COMMIT was sent and not answered."""
        self._lock = asyncio.Lock()
        self._closed = False
        self._ahead_at = 0.0

    async def commit(self, batch: Batch) -> None:
        """Write a batch. Raises PositionConflictError, BatchError, StoreError.

        OutcomeUnknownError: the same batch, handed in again, is written once.
        """
        try:
            await self.run(lambda connection: self._commit(connection, batch))
        except StoreError as error:
            if self._unsettled is not batch:
                raise
            raise OutcomeUnknownError(f"{error}; it may be written all the same") from error

    async def run(
        self,
        job: Callable[[asyncpg.Connection], Awaitable[T]],
        limit_seconds: float | None = None,
    ) -> T:
        """Return what `job` returns on the connection that writes, outside of a transaction.

        `limit_seconds`: in place of `commit_seconds`, for what may take longer than a batch.
        """
        async with self._lock:
            if self._closed:
                raise StoreError(f"{self._address.where}: the store is closed")
            try:
                async with asyncio.timeout(limit_seconds or self._settings.commit_seconds):
                    return await self._guarded(job)
            except (PositionConflictError, asyncio.CancelledError):
                raise
            except Exception as error:
                raise store_error(error, self._address.where) from error

    async def close(self) -> None:
        """Finish what was handed in, and close the connection."""
        async with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                await close(connection)

    async def _guarded(self, job: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        if self._connection is None or self._connection.is_closed():
            self._prepared = False
            self._connection = await connect(
                self._address, self._settings, "write", self._application
            )
        connection = self._connection
        try:
            return await job(connection)
        except BaseException as error:
            if is_connection_gone(error):
                # An answer may still come: never to another question.
                connection.terminate()
                self._connection = None
            raise

    # -- a batch

    async def _commit(self, connection: asyncpg.Connection, batch: Batch) -> None:
        if not self._prepared and await self._prepare(connection) and self._unsettled is batch:
            self._unsettled = None
            return
        self._unsettled = None
        try:
            planned = steps(batch.ops)
            await self._transaction(connection, batch, lambda: _do_all(connection, planned))
        except Exception as error:
            if not is_fault_of_data(error):
                raise
            # Once more, in the very order given: it finds the faulty one, or there is none.
            await self._transaction(connection, batch, lambda: _one_by_one(connection, batch.ops))
        expiries = [op for op in batch.ops if isinstance(op, DeleteExpired)]
        if expiries:
            await self._keep_partitions(connection, expiries)

    async def _prepare(self, connection: asyncpg.Connection) -> bool:
        """End what is left of the connection before; True if the unsettled batch is written."""
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
            "WHERE application_name = $1 AND pid <> pg_backend_pid()",
            self._application,
        )
        await connection.execute(
            "INSERT INTO writer_marks (writer, number, since) VALUES ($1, $2, $3) "
            "ON CONFLICT DO NOTHING",
            self._writer,
            self._number,
            int(time.time()),
        )
        # Waits for the transaction before, should its COMMIT still be on the way.
        number = await connection.fetchval(
            "SELECT number FROM writer_marks WHERE writer = $1 FOR UPDATE", self._writer
        )
        written = self._unsettled is not None and number > self._number
        self._number = number
        self._prepared = True
        return written

    async def _transaction(
        self, connection: asyncpg.Connection, batch: Batch, write: Callable[[], Awaitable[None]]
    ) -> None:
        await connection.execute("BEGIN")
        try:
            await self._advance(connection, batch.positions)
            await write()
        except BaseException as error:
            if not is_connection_gone(error):
                await connection.execute("ROLLBACK")
            raise
        self._unsettled = batch
        try:
            outcome = await connection.execute("COMMIT")
        except asyncpg.PostgresError as error:
            if not is_connection_gone(error):
                self._unsettled = None  # the server said no: nothing is written
            raise
        self._unsettled = None
        if outcome != "COMMIT":
            raise StoreError(f"{self._address.where}: the batch was rolled back", retriable=True)
        self._number += 1

    async def _advance(
        self, connection: asyncpg.Connection, positions: Sequence[RingPosition]
    ) -> None:
        mark = (self._number + 1, self._writer, int(time.time()))
        if not positions:
            await connection.execute(_MARK, *mark)
        # A ring may be named more than once; a statement takes it once.
        rounds: list[dict[str, RingPosition]] = []
        for position in positions:
            for taken in rounds:
                if position.ring not in taken:
                    taken[position.ring] = position
                    break
            else:
                rounds.append({position.ring: position})
        for taken in rounds:
            chosen = list(taken.values())
            advanced = await connection.fetch(
                _ADVANCE,
                *mark,
                [position.ring for position in chosen],
                [position.incarnation for position in chosen],
                [position.before for position in chosen],
                [position.after for position in chosen],
            )
            if len(advanced) < len(chosen):
                await self._conflict(connection, taken, {ring for (ring,) in advanced})

    async def _conflict(
        self, connection: asyncpg.Connection, wanted: dict[str, RingPosition], advanced: set[str]
    ) -> None:
        ring = min(set(wanted) - advanced)
        found = await connection.fetchval(
            "SELECT position FROM ring_positions WHERE ring = $1", ring
        )
        position = wanted[ring]
        raise PositionConflictError(
            f"ring {ring} ({position.incarnation}) is at {found}, "
            f"the batch was to begin at {position.before}"
        )

    async def _keep_partitions(
        self, connection: asyncpg.Connection, expiries: list[DeleteExpired]
    ) -> None:
        """Make and drop partitions; the batch is written, whatever comes of this."""
        try:
            if time.monotonic() >= self._ahead_at:
                self._ahead_at = time.monotonic() + _AHEAD_SECONDS
                await postgres_partitions.make_ahead(connection, time.time())
            for op in expiries:
                await _drop_partitions(connection, op)
        except Exception as error:  # noqa: BLE001 - said, and tried again in a minute
            log.error("partitions: cannot be kept", detail=repr(error))
            if is_connection_gone(error):
                connection.terminate()


async def _do_all(connection: asyncpg.Connection, planned: Sequence[Step]) -> None:
    for step in planned:
        await _do(connection, step)


async def _one_by_one(connection: asyncpg.Connection, ops: Sequence[Op]) -> None:
    for index, op in enumerate(ops):
        try:
            await _do_all(connection, steps([op]))
        except Exception as error:
            if not is_fault_of_data(error):
                raise
            message = f"operation {index}, {type(op).__name__}: {reason(error)}"
            raise BatchError(message, index=index) from error


async def _do(connection: asyncpg.Connection, step: Step) -> None:
    if isinstance(step, Copy):
        await connection.copy_records_to_table(step.table, columns=step.columns, records=step.rows)
    elif isinstance(step, Statement):
        await connection.executemany(step.sql, step.rows)
    else:
        await _expire(connection, step.op)


async def _expire(connection: asyncpg.Connection, op: DeleteExpired) -> None:
    """Delete rows that are old; partitions that may go whole go after the commit."""
    started = time.monotonic()
    gone: list[Any] = []
    for partition in await _places(connection, op):
        sql = translated(retention.statement(op.kind, partition))
        step = msgspec.structs.replace(op, limit=op.limit - len(gone))
        gone += await connection.fetch(sql, *retention.values(step))
        if len(gone) >= op.limit:
            break
    retention.settle(op, gone)
    op.seconds = time.monotonic() - started


async def _places(connection: asyncpg.Connection, op: DeleteExpired) -> list[str]:
    """Return the partitions whose rows go one by one; "": the table has none."""
    table = retention.KEPT[op.kind].table
    if table not in TELEMETRY:
        return [""]
    places = [f"{table}_other"]
    whole = _whole_before(op)
    if whole < op.before:
        partitions = await postgres_partitions.existing(connection)
        places += [
            one.name for one in partitions if one.table == table and whole < one.end <= op.before
        ]
    return places


def _whole_before(op: DeleteExpired) -> int:
    return op.before if op.whole_before is None else min(op.before, op.whole_before)


async def _drop_partitions(connection: asyncpg.Connection, op: DeleteExpired) -> None:
    table = retention.KEPT[op.kind].table
    if table not in TELEMETRY:
        return
    started = time.monotonic()
    dropped = await postgres_partitions.drop_old(connection, table, _whole_before(op))
    op.removed += dropped.rows
    op.bytes += dropped.bytes
    op.more = op.more or dropped.more
    if dropped.busy_end:
        op.lag = max(op.lag, op.before - dropped.busy_end)
    op.seconds += time.monotonic() - started

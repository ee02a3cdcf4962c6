"""One batch in one transaction of SQLite."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from gw.store import interface, retention, writes
from gw.store.errors import BatchError
from gw.store.sqlite_connection import is_fault_of_data
from gw.store.writes import Run, runs


def write_batch(connection: sqlite3.Connection, batch: interface.Batch) -> None:
    """Write all of `batch`, or nothing and raise."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for position in batch.positions:
            _advance(connection, position)
        begin = 0
        for run in runs(batch.ops):
            try:
                _WRITERS[type(run[0])](connection, run)
            except Exception as error:
                if not is_fault_of_data(error):
                    raise
                index = begin + run.at
                message = f"operation {index}, {type(run[0]).__name__}: {error}"
                raise BatchError(message, index=index) from error
            begin += len(run)
        connection.execute("COMMIT")
    except BaseException:
        # SQLite rolls back by itself on some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _advance(connection: sqlite3.Connection, position: interface.RingPosition) -> None:
    found = connection.execute(
        "SELECT incarnation, position FROM ring_positions WHERE ring = ?", (position.ring,)
    ).fetchone()
    if found is not None and found[0] == position.incarnation and found[1] != position.before:
        raise interface.PositionConflictError(
            f"ring {position.ring} ({position.incarnation}) is at {found[1]}, "
            f"the batch was to begin at {position.before}"
        )
    connection.execute(
        "INSERT INTO ring_positions (ring, incarnation, position) VALUES (?, ?, ?) "
        "ON CONFLICT (ring) DO UPDATE SET incarnation = excluded.incarnation, "
        "position = excluded.position",
        (position.ring, position.incarnation, position.after),
    )


def _delete_expired(connection: sqlite3.Connection, run: Run) -> None:
    for op in run:
        started = time.monotonic()
        sql = retention.statement(op.kind)
        retention.settle(op, connection.execute(sql, retention.values(op)).fetchall())
        op.seconds = time.monotonic() - started


_WRITERS: Final[dict[type[interface.Op], Callable[[sqlite3.Connection, Run], None]]] = {
    **writes.WRITERS,
    interface.DeleteExpired: _delete_expired,
}

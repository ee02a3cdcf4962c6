"""One batch in one transaction of SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

from gw.store import interface
from gw.store.errors import BatchError
from gw.store.sqlite_connection import is_fault_of_data
from gw.store.sqlite_tables import (
    BLACKLISTED,
    COMMANDS,
    DEFAULT_CONFIGURATIONS,
    DEVICE_DOCUMENTS,
    DEVICES,
    DOCUMENTS,
    TOKENS,
    USERS,
    Table,
    between,
)


class Run(list[Any]):
    """Writes of one type that follow each other in a batch.

    `at` is the one that was last iterated over. So long as parameters are made lazily, from an
    iterator that `executemany` draws on, it is the one being written.
    """

    at = 0

    def __iter__(self) -> Iterator[Any]:
        for self.at, op in enumerate(super().__iter__()):
            yield op


TELEMETRY: Final = ("statistics", "healthchecks", "device_logs", "device_events")


def write_batch(connection: sqlite3.Connection, batch: interface.Batch) -> None:
    """Write all of `batch`, or nothing and raise."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for position in batch.positions:
            _advance(connection, position)
        begin = 0
        for run in _runs(batch.ops):
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


def _runs(ops: Sequence[interface.Op]) -> Iterator[Run]:
    for _, run in groupby(ops, _likeness):
        yield Run(run)


def _likeness(op: interface.Op) -> object:
    if isinstance(op, interface.PatchDevice | interface.PatchCommand):
        return (type(op), tuple(op.values))
    return type(op)


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


def _many(sql: str, *fields: str) -> Callable[[sqlite3.Connection, Run], None]:
    """Return the writer of a statement whose parameters are attributes of the operation."""
    parameters: Callable[[Any], Any] = attrgetter(*fields)
    if len(fields) == 1:
        one = parameters
        parameters = lambda op: (one(op),)  # noqa: E731

    def write(connection: sqlite3.Connection, run: Run) -> None:
        connection.executemany(sql, map(parameters, run))

    return write


def _put(*tables: Table[Any]) -> Callable[[sqlite3.Connection, Run], None]:
    def write(connection: sqlite3.Connection, run: Run) -> None:
        for table in tables:
            connection.executemany(table.put, (table.cells(op.row) for op in run))

    return write


def _patch(connection: sqlite3.Connection, run: Run, table: Table[Any], key: str) -> None:
    names = [name for name in run[0].values if name in table.columns]
    if names:
        connection.executemany(
            table.patch(names),
            ((*(op.values[name] for name in names), getattr(op, key)) for op in run),
        )


def _patch_device(connection: sqlite3.Connection, run: Run) -> None:
    _known(run[0].values, (*DEVICES.columns, *DOCUMENTS), DEVICES.key)
    _patch(connection, run, DEVICES, "serial")
    _patch(connection, run, DEVICE_DOCUMENTS, "serial")


def _adopt_pending(connection: sqlite3.Connection, run: Run) -> None:
    for op in run:
        adopted = connection.execute(
            "UPDATE devices SET config_uuid = pending_uuid, config_hash = pending_hash, "
            "pending_uuid = 0, pending_hash = '', pending_command = '', "
            "last_configuration_change = ? WHERE serial_number = ? AND pending_uuid = ? "
            "AND pending_uuid <> 0",
            (op.now, op.serial, op.uuid),
        )
        if adopted.rowcount:
            connection.execute(
                "UPDATE device_documents SET configuration = pending_configuration, "
                "pending_configuration = '' WHERE serial_number = ?",
                (op.serial,),
            )


def _patch_command(connection: sqlite3.Connection, run: Run) -> None:
    _known(run[0].values, COMMANDS.columns, COMMANDS.key)
    _patch(connection, run, COMMANDS, "uuid")


def _known(values: dict[str, Any], columns: Sequence[str], key: str) -> None:
    """Refuse what is no column, and the key. The names become part of the statement."""
    wrong = [name for name in values if name not in columns or name == key]
    if wrong:
        raise ValueError(f"cannot set {', '.join(wrong)}")


def _delete_device(connection: sqlite3.Connection, run: Run) -> None:
    # `device_documents` goes with `devices`.
    for table in ("devices", "capabilities", "commands", *TELEMETRY):
        connection.executemany(
            f"DELETE FROM {table} WHERE serial_number = ?",  # noqa: S608
            ((op.serial,) for op in run),
        )


def _delete_commands(connection: sqlite3.Connection, run: Run) -> None:
    for op in run:
        if op.uuid:
            connection.execute("DELETE FROM commands WHERE uuid = ?", (op.uuid,))
        elif op.serial:
            bounds, values = between("submitted", op.start, op.end)
            connection.execute(
                f"DELETE FROM commands WHERE serial_number = ?{bounds}",  # noqa: S608
                (op.serial, *values),
            )
        else:
            raise ValueError("neither a command nor a device is named")


_RECORDS: Final = {
    "statistics": "DELETE FROM statistics WHERE serial_number = ?",
    "healthchecks": "DELETE FROM healthchecks WHERE serial_number = ?",
    "logs": "DELETE FROM device_logs WHERE serial_number = ?",
}


def _delete_records(connection: sqlite3.Connection, run: Run) -> None:
    for op in run:
        if op.kind not in _RECORDS:
            raise ValueError(f"no such kind: {op.kind}")
        bounds, values = between("recorded", op.start, op.end)
        sql, parameters = _RECORDS[op.kind], [op.serial]
        if op.kind == "logs" and op.log_type is not None:
            sql += " AND log_type = ?"
            parameters.append(op.log_type)
        connection.execute(sql + bounds, [*parameters, *values])


def _delete_user(connection: sqlite3.Connection, run: Run) -> None:
    connection.executemany("DELETE FROM tokens WHERE user_id = ?", ((op.id,) for op in run))
    connection.executemany("DELETE FROM users WHERE id = ?", ((op.id,) for op in run))


def _delete_tokens(connection: sqlite3.Connection, run: Run) -> None:
    for op in run:
        if op.access_hash:
            connection.execute("DELETE FROM tokens WHERE access_hash = ?", (op.access_hash,))
        elif op.user_id:
            connection.execute("DELETE FROM tokens WHERE user_id = ?", (op.user_id,))
        else:
            raise ValueError("neither a token nor a user is named")


def _delete_expired(connection: sqlite3.Connection, run: Run) -> None:
    for op in run:
        deleted = [
            connection.execute(
                f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} "  # noqa: S608
                "WHERE recorded < ? ORDER BY recorded LIMIT ?)",
                (op.before, op.limit),
            ).rowcount
            for table in TELEMETRY
        ]
        # A session lives as long as the longer of its two tokens.
        tokens = connection.execute(
            "DELETE FROM tokens WHERE access_hash IN (SELECT access_hash FROM tokens "
            "WHERE refresh_expires <= ? AND expires <= ? ORDER BY refresh_expires LIMIT ?)",
            (op.now, op.now, op.limit),
        )
        op.more = max(*deleted, tokens.rowcount) >= op.limit


_WRITERS: Final[dict[type[interface.Op], Callable[[sqlite3.Connection, Run], None]]] = {
    interface.InsertStatistics: _many(
        "INSERT INTO statistics (serial_number, uuid, recorded, data) VALUES (?, ?, ?, ?)",
        *("serial", "uuid", "recorded", "data"),
    ),
    interface.InsertHealthCheck: _many(
        "INSERT INTO healthchecks (serial_number, uuid, sanity, recorded, data) "
        "VALUES (?, ?, ?, ?, ?)",
        *("serial", "uuid", "sanity", "recorded", "data"),
    ),
    interface.InsertLog: _many(
        "INSERT INTO device_logs (serial_number, uuid, severity, log_type, recorded, log, data) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        *("serial", "uuid", "severity", "log_type", "recorded", "log", "data"),
    ),
    interface.InsertEvent: _many(
        "INSERT INTO device_events (serial_number, recorded, type, data) VALUES (?, ?, ?, ?)",
        *("serial", "recorded", "type", "data"),
    ),
    interface.PutDevice: _put(DEVICES, DEVICE_DOCUMENTS),
    interface.PatchDevice: _patch_device,
    interface.AdoptPending: _adopt_pending,
    interface.DeleteDevice: _delete_device,
    interface.PutCapabilities: _many(
        "INSERT INTO capabilities (serial_number, capabilities, first_update, last_update) "
        "VALUES (?, ?, ?, ?) ON CONFLICT (serial_number) DO UPDATE SET "
        "capabilities = excluded.capabilities, last_update = excluded.last_update",
        *("serial", "capabilities", "now", "now"),
    ),
    interface.DeleteCapabilities: _many(
        "DELETE FROM capabilities WHERE serial_number = ?", "serial"
    ),
    interface.PutCommand: _put(COMMANDS),
    interface.PatchCommand: _patch_command,
    interface.DeleteCommands: _delete_commands,
    interface.DeleteRecords: _delete_records,
    interface.PutDefaultConfiguration: _put(DEFAULT_CONFIGURATIONS),
    interface.DeleteDefaultConfiguration: _many(
        "DELETE FROM default_configurations WHERE name = ?", "name"
    ),
    interface.PutBlacklist: _put(BLACKLISTED),
    interface.DeleteBlacklist: _many("DELETE FROM blacklist WHERE serial_number = ?", "serial"),
    interface.PutUser: _put(USERS),
    interface.DeleteUser: _delete_user,
    interface.PutToken: _put(TOKENS),
    interface.DeleteTokens: _delete_tokens,
    interface.DeleteExpired: _delete_expired,
}

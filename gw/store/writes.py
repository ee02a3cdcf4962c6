"""What each write of a batch is in SQL that every database understands.

Writers hand statements to whoever runs them and see nothing of the outcome. Retention is not among
them: how many rows went matters there; see gw.store.retention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Protocol

from gw.store import interface, security_writes
from gw.store.tables import (
    BLACKLISTED,
    COMMANDS,
    DEFAULT_CONFIGURATIONS,
    DEFAULT_FIRMWARES,
    DEVICE_DOCUMENTS,
    DEVICES,
    DOCUMENTS,
    RADIUS,
    SCRIPTS,
    TELEMETRY_SUBSCRIPTIONS,
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


class Statements(Protocol):
    """Where statements go: a connection of SQLite, or a list of what is to be done."""

    def execute(self, sql: str, values: Sequence[Any], /) -> object:
        """Run a statement; its outcome is not looked at."""

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Run it once for each of `rows`."""


Writer = Callable[[Statements, Run], None]


def runs(ops: Sequence[interface.Op]) -> Iterator[Run]:
    """Yield the operations in runs of like ones, each for one call of its writer."""
    for _, run in groupby(ops, likeness):
        yield Run(run)


def likeness(op: interface.Op) -> object:
    """Return what operations of one run have in common: they have the same statements."""
    if isinstance(op, interface.PatchDevice | interface.PatchCommand):
        return (type(op), tuple(op.values))
    return type(op)


def _many(sql: str, *fields: str) -> Writer:
    """Return the writer of a statement whose parameters are attributes of the operation."""
    parameters: Callable[[Any], Any] = attrgetter(*fields)
    if len(fields) == 1:
        one = parameters
        parameters = lambda op: (one(op),)  # noqa: E731

    def write(into: Statements, run: Run) -> None:
        into.executemany(sql, map(parameters, run))

    return write


def _put(*tables: Table[Any]) -> Writer:
    def write(into: Statements, run: Run) -> None:
        for table in tables:
            into.executemany(table.put, (table.cells(op.row) for op in run))

    return write


def _patch(into: Statements, run: Run, table: Table[Any], key: str) -> None:
    names = [name for name in run[0].values if name in table.columns]
    if names:
        into.executemany(
            table.patch(names),
            ((*(op.values[name] for name in names), getattr(op, key)) for op in run),
        )


def _patch_device(into: Statements, run: Run) -> None:
    _known(run[0].values, (*DEVICES.columns, *DOCUMENTS), DEVICES.key)
    _patch(into, run, DEVICES, "serial")
    _patch(into, run, DEVICE_DOCUMENTS, "serial")


def _adopt_pending(into: Statements, run: Run) -> None:
    for op in run:
        into.execute(
            "UPDATE device_documents SET configuration = pending_configuration, "
            "pending_configuration = '' WHERE serial_number = (SELECT serial_number FROM devices "
            "WHERE serial_number = ? AND pending_uuid = ? AND pending_uuid <> 0)",
            (op.serial, op.uuid),
        )
        into.execute(
            "UPDATE devices SET config_uuid = pending_uuid, config_hash = pending_hash, "
            "pending_uuid = 0, pending_hash = '', pending_command = '', "
            "last_configuration_change = ? WHERE serial_number = ? AND pending_uuid = ? "
            "AND pending_uuid <> 0",
            (op.now, op.serial, op.uuid),
        )


def _record_configuration(into: Statements, run: Run) -> None:
    for op in run:
        into.execute(
            "INSERT INTO configurations (serial_number, uuid, hash, recorded, author, through, "
            "configuration) SELECT serial_number, ?, ?, ?, ?, ?, configuration "
            "FROM device_documents WHERE serial_number = ?",
            (op.uuid, op.hash, op.recorded, op.author, op.through, op.serial),
        )
        into.execute(
            "DELETE FROM configurations WHERE serial_number = ? AND id <= (SELECT id "
            "FROM configurations WHERE serial_number = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (op.serial, op.serial, op.keep),
        )


def _patch_command(into: Statements, run: Run) -> None:
    _known(run[0].values, COMMANDS.columns, COMMANDS.key)
    _patch(into, run, COMMANDS, "uuid")


def _known(values: dict[str, Any], columns: Sequence[str], key: str) -> None:
    """Refuse what is no column, and the key. The names become part of the statement."""
    wrong = [name for name in values if name not in columns or name == key]
    if wrong:
        raise ValueError(f"cannot set {', '.join(wrong)}")


_FILES_OF_COMMANDS: Final = (
    "DELETE FROM files WHERE uuid IN (SELECT uuid FROM commands WHERE serial_number = ?"
)
"""Files go with their commands; a condition and a parenthesis are to follow."""


def _delete_device(into: Statements, run: Run) -> None:
    into.executemany(f"{_FILES_OF_COMMANDS})", ((op.serial,) for op in run))
    # `device_documents` goes with `devices`.
    for table in ("devices", "configurations", "capabilities", "commands", *TELEMETRY):
        into.executemany(
            f"DELETE FROM {table} WHERE serial_number = ?",  # noqa: S608
            ((op.serial,) for op in run),
        )


def _delete_commands(into: Statements, run: Run) -> None:
    for op in run:
        if op.uuid:
            into.execute("DELETE FROM files WHERE uuid = ?", (op.uuid,))
            into.execute("DELETE FROM commands WHERE uuid = ?", (op.uuid,))
        elif op.serial:
            bounds, values = between("submitted", op.start, op.end)
            into.execute(f"{_FILES_OF_COMMANDS}{bounds})", (op.serial, *values))
            into.execute(
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


def _delete_records(into: Statements, run: Run) -> None:
    for op in run:
        if op.kind not in _RECORDS:
            raise ValueError(f"no such kind: {op.kind}")
        bounds, values = between("recorded", op.start, op.end)
        sql, parameters = _RECORDS[op.kind], [op.serial]
        if op.kind == "logs" and op.log_type is not None:
            sql += " AND log_type = ?"
            parameters.append(op.log_type)
        into.execute(sql + bounds, [*parameters, *values])


def _delete_tokens(into: Statements, run: Run) -> None:
    for op in run:
        if op.access_hash:
            into.execute("DELETE FROM tokens WHERE access_hash = ?", (op.access_hash,))
        elif op.user_id:
            into.execute("DELETE FROM tokens WHERE user_id = ?", (op.user_id,))
        else:
            raise ValueError("neither a token nor a user is named")


WRITERS: Final[dict[type[interface.Op], Writer]] = {
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
    interface.RecordConfiguration: _record_configuration,
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
    interface.PutRequestResult: _many(
        "UPDATE commands SET results = ?, "
        "completed = CASE WHEN status = 'completed' THEN ? ELSE completed END "
        "WHERE uuid = ? AND serial_number = ? AND command = 'request'",
        *("results", "now", "uuid", "serial"),
    ),
    interface.PutUpgradeStatus: _many(
        "UPDATE commands SET late_answer = ? WHERE uuid = (SELECT uuid FROM commands "
        "WHERE serial_number = ? AND command = 'upgrade' AND status = 'completed' "
        "ORDER BY submitted DESC LIMIT 1)",
        *("status", "serial"),
    ),
    interface.DeleteCommands: _delete_commands,
    interface.DeleteRecords: _delete_records,
    interface.PutDefaultConfiguration: _put(DEFAULT_CONFIGURATIONS),
    interface.DeleteDefaultConfiguration: _many(
        "DELETE FROM default_configurations WHERE name = ?", "name"
    ),
    interface.PutFilePart: _many(
        "INSERT INTO files (uuid, part, created, content) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (uuid, part) DO UPDATE SET content = excluded.content",
        *("uuid", "part", "created", "content"),
    ),
    interface.DeleteFile: _many("DELETE FROM files WHERE uuid = ?", "uuid"),
    interface.PutScript: _put(SCRIPTS),
    interface.DeleteScript: _many("DELETE FROM scripts WHERE id = ?", "id"),
    interface.PutRadiusPools: _put(RADIUS),
    interface.DeleteRadiusPools: _many("DELETE FROM radius_pools WHERE name = ?", "name"),
    interface.PutDefaultFirmware: _put(DEFAULT_FIRMWARES),
    interface.DeleteDefaultFirmware: _many(
        "DELETE FROM default_firmwares WHERE device_type = ?", "device_type"
    ),
    interface.PutBlacklist: _put(BLACKLISTED),
    interface.DeleteBlacklist: _many("DELETE FROM blacklist WHERE serial_number = ?", "serial"),
    interface.PutTelemetrySubscription: _put(TELEMETRY_SUBSCRIPTIONS),
    interface.DeleteTelemetrySubscription: _many(
        "DELETE FROM telemetry_subscriptions WHERE uuid = ?", "uuid"
    ),
    interface.PutUser: _put(USERS),
    interface.DeleteUser: security_writes.delete_user,
    interface.PutToken: _put(TOKENS),
    interface.DeleteTokens: _delete_tokens,
    **security_writes.writers(_many, _put),
}

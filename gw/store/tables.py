"""Tables of the SQLite store: their columns, taken from the rows, and rows from their cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import msgspec

from gw.store import rows

R = TypeVar("R", bound=rows.Row)

FINAL_STATUSES: Final = ("completed", "failed", "timedout", "expired")
"""Of commands. The index `commands_unfinished` repeats this list and must match it."""

UNFINISHED: Final = "status NOT IN ('completed', 'failed', 'timedout', 'expired')"


def _text(cell: bytes) -> str:
    # A device may have sent what is not UTF-8; a list must not fail because of one row of it.
    return cell.decode("utf-8", "replace")


class Shape(Generic[R]):
    """Columns of a row type, in the order of its fields, and how cells become a row."""

    def __init__(self, row_type: type[R]) -> None:
        self.columns: tuple[str, ...] = row_type.__struct_fields__
        self._row_type: Callable[..., R] = row_type
        self._conversions: list[tuple[int, Callable[[Any], Any]]] = [
            (index, bool)
            for index, field in enumerate(msgspec.structs.fields(row_type))
            if field.type is bool
        ]
        if "data" in self.columns:
            self._conversions.append((self.columns.index("data"), _text))

    def select(self, alias: str = "") -> str:
        """Return the list of columns for a SELECT."""
        return ", ".join(f"{alias}{column}" for column in self.columns)

    def row(self, cells: Sequence[Any]) -> R:
        """Return the row of `cells`, which are in the order of `columns`."""
        values = dict(zip(self.columns, cells, strict=True))
        for index, convert in self._conversions:
            values[self.columns[index]] = convert(cells[index])
        return self._row_type(**values)

    def keyed(self, found: Sequence[Sequence[Any]]) -> tuple[list[R], tuple[Any, ...] | None]:
        """Return the rows, and the rest of the last one's cells, which are a key; None if none."""
        width = len(self.columns)
        made = [self.row(cells[:width]) for cells in found]
        return made, tuple(found[-1][width:]) if found else None


class Table(Generic[R]):
    """Statements that write whole rows of one table."""

    def __init__(
        self, name: str, row_type: type[R], key: str, columns: Sequence[str] | None = None
    ) -> None:
        self.name = name
        self.key = key
        self.columns = tuple(columns or row_type.__struct_fields__)
        self.cells: Callable[[R], tuple[Any, ...]] = attrgetter(*self.columns)
        places = ", ".join("?" * len(self.columns))
        updates = ", ".join(f"{c} = excluded.{c}" for c in self.columns if c != key)
        # Not INSERT OR REPLACE: that deletes the old row, and with it what refers to it.
        self.put = (
            f"INSERT INTO {name} ({', '.join(self.columns)}) VALUES ({places}) "  # noqa: S608
            f"ON CONFLICT ({key}) DO UPDATE SET {updates}"
        )

    def patch(self, names: Sequence[str]) -> str:
        """Return the UPDATE of some columns; its last parameter is the key."""
        updates = ", ".join(f"{name} = ?" for name in names)
        unless = f" AND {UNFINISHED}" if self.name == "commands" and "status" in names else ""
        return f"UPDATE {self.name} SET {updates} WHERE {self.key} = ?{unless}"  # noqa: S608


DOCUMENTS: Final = ("configuration", "pending_configuration")
"""Columns of DeviceRow that are in `device_documents`."""

DEVICE: Final = Shape(rows.DeviceRow)
SHADOW: Final = Shape(rows.ShadowRow)
FLEET: Final = Shape(rows.FleetRow)
FLEET_DEVICE: Final = Shape(rows.FleetDeviceRow)
EVENT: Final = Shape(rows.EventRow)
STATISTICS: Final = Shape(rows.StatisticsRow)
HEALTHCHECK: Final = Shape(rows.HealthCheckRow)
LOG: Final = Shape(rows.LogRow)
CAPABILITIES: Final = Shape(rows.CapabilitiesRow)
CONFIGURATION: Final = Shape(rows.ConfigurationRow)
COMMAND: Final = Shape(rows.CommandRow)
DEFAULT_CONFIGURATION: Final = Shape(rows.DefaultConfigurationRow)
DEFAULT_FIRMWARE: Final = Shape(rows.DefaultFirmwareRow)
SCRIPT: Final = Shape(rows.ScriptRow)
BLACKLIST: Final = Shape(rows.BlacklistRow)
TELEMETRY_SUBSCRIPTION: Final = Shape(rows.TelemetrySubscriptionRow)
RADIUS_POOLS: Final = Shape(rows.RadiusPoolsRow)
USER: Final = Shape(rows.UserRow)
TOKEN: Final = Shape(rows.TokenRow)

DEVICES: Final = Table(
    "devices",
    rows.DeviceRow,
    "serial_number",
    [column for column in DEVICE.columns if column not in DOCUMENTS],
)
DEVICE_DOCUMENTS: Final = Table(
    "device_documents", rows.DeviceRow, "serial_number", ["serial_number", *DOCUMENTS]
)
COMMANDS: Final = Table("commands", rows.CommandRow, "uuid")
DEFAULT_CONFIGURATIONS: Final = Table(
    "default_configurations", rows.DefaultConfigurationRow, "name"
)
DEFAULT_FIRMWARES: Final = Table("default_firmwares", rows.DefaultFirmwareRow, "device_type")
SCRIPTS: Final = Table("scripts", rows.ScriptRow, "id")
BLACKLISTED: Final = Table("blacklist", rows.BlacklistRow, "serial_number")
TELEMETRY_SUBSCRIPTIONS: Final = Table(
    "telemetry_subscriptions", rows.TelemetrySubscriptionRow, "uuid"
)
RADIUS: Final = Table("radius_pools", rows.RadiusPoolsRow, "name")
USERS: Final = Table("users", rows.UserRow, "id")
TOKENS: Final = Table("tokens", rows.TokenRow, "access_hash")


def between(column: str, start: int, end: int) -> tuple[str, list[int]]:
    """Return the condition for inclusive bounds (0: open), to be appended, and its parameters."""
    sql, values = "", []
    if start:
        sql += f" AND {column} >= ?"
        values.append(start)
    if end:
        sql += f" AND {column} <= ?"
        values.append(end)
    return sql, values

"""What is kept of a device's reports, as it is answered (northbound.md 4.3)."""

from __future__ import annotations

from typing import Any

import msgspec

from gw.store.rows import HealthCheckRow


class StatisticsEntry(msgspec.Struct):
    """One state report."""

    uuid: int = msgspec.field(name="UUID")
    recorded: int
    data: dict[str, Any]


class StatisticsAnswer(msgspec.Struct, rename="camel"):
    """State reports, oldest first unless `newest`."""

    data: list[StatisticsEntry]
    serial_number: str


class StateDocument(msgspec.Struct):
    """With `lastOnly`: the newest state as the device sent it."""


class HealthEntry(msgspec.Struct):
    """One health check."""

    uuid: int = msgspec.field(name="UUID")
    sanity: int
    recorded: int
    values: dict[str, Any]


def health_document(row: HealthCheckRow) -> dict[str, Any]:
    """Return the members of HealthEntry as they are answered."""
    return {
        "UUID": row.uuid,
        "sanity": row.sanity,
        "recorded": row.recorded,
        "values": msgspec.Raw(row.data.encode() or b"{}"),
    }


class HealthAnswer(msgspec.Struct, rename="camel"):
    """Health checks, oldest first unless `newest`."""

    values: list[HealthEntry]
    serial_number: str


class LogEntry(msgspec.Struct, rename="camel"):
    """One log line."""

    log: str
    severity: int
    recorded: int
    log_type: int
    data: dict[str, Any]
    uuid: int = msgspec.field(name="UUID")


class LogsAnswer(msgspec.Struct, rename="camel"):
    """Log lines, newest first."""

    values: list[LogEntry]
    serial_number: str


class CapabilitiesAnswer(msgspec.Struct, rename="camel"):
    """What the device said it can do."""

    capabilities: dict[str, Any]
    first_update: int
    last_update: int
    serial_number: str

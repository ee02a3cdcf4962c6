"""What is kept of a device's reports (northbound.md 4.3). Times are in epoch seconds; 0 is open."""

from __future__ import annotations

from typing import Any

from gw.api.reports_document import (
    CapabilitiesAnswer,
    HealthEntry,
    LogEntry,
    StatisticsEntry,
)
from gw.client.call import Call, member, nothing, path, query, whole


def statistics(
    serial: str, *, newest: bool = False, start: int = 0, end: int = 0, offset: int = 0,
    limit: int = 100,
) -> Call[list[StatisticsEntry]]:  # fmt: skip
    """List state reports; `newest`: the last ones first, without regard to times and offset."""
    return Call(
        method="GET",
        path=path("device", serial, "statistics"),
        params=_window(newest, start, end, offset, limit),
        read=member("data", list[StatisticsEntry]),
    )


def statistics_count(serial: str, *, start: int = 0, end: int = 0) -> Call[int]:
    """Count state reports."""
    return Call(
        method="GET",
        path=path("device", serial, "statistics"),
        params=query(countOnly=True, startDate=start, endDate=end),
        read=member("count", int),
    )


def last_state(serial: str) -> Call[dict[str, Any]]:
    """Read the newest state document of a connected device."""
    return Call(
        method="GET",
        path=path("device", serial, "statistics"),
        params=query(lastOnly=True),
        read=whole(dict[str, Any]),
    )


def delete_statistics(serial: str, *, start: int = 0, end: int = 0) -> Call[None]:
    """Delete state reports."""
    return _delete(serial, "statistics", start, end)


def healthchecks(
    serial: str, *, newest: bool = False, start: int = 0, end: int = 0, offset: int = 0,
    limit: int = 100,
) -> Call[list[HealthEntry]]:  # fmt: skip
    """List health checks; `newest`: the last ones first, without regard to times and offset."""
    return Call(
        method="GET",
        path=path("device", serial, "healthchecks"),
        params=_window(newest, start, end, offset, limit),
        read=member("values", list[HealthEntry]),
    )


def last_healthcheck(serial: str) -> Call[HealthEntry]:
    """Read the newest health check."""
    return Call(
        method="GET",
        path=path("device", serial, "healthchecks"),
        params=query(lastOnly=True),
        read=whole(HealthEntry),
    )


def delete_healthchecks(serial: str, *, start: int = 0, end: int = 0) -> Call[None]:
    """Delete health checks."""
    return _delete(serial, "healthchecks", start, end)


def logs(
    serial: str, *, log_type: int = 0, newest: bool = False, start: int = 0, end: int = 0,
    offset: int = 0, limit: int = 100,
) -> Call[list[LogEntry]]:  # fmt: skip
    """List log lines, newest first. `log_type`: 0 log, 1 crash, 2 reboot."""
    return Call(
        method="GET",
        path=path("device", serial, "logs"),
        params=_window(newest, start, end, offset, limit) | query(logType=log_type),
        read=member("values", list[LogEntry]),
    )


def delete_logs(serial: str, *, log_type: int = 0, start: int = 0, end: int = 0) -> Call[None]:
    """Delete log lines of a type."""
    return _delete(serial, "logs", start, end, log_type)


def capabilities(serial: str) -> Call[CapabilitiesAnswer]:
    """Read what the device said it can do."""
    return Call(
        method="GET", path=path("device", serial, "capabilities"), read=whole(CapabilitiesAnswer)
    )


def _window(newest: bool, start: int, end: int, offset: int, limit: int) -> dict[str, str]:
    window = {"offset": str(offset), "limit": str(limit)}
    return window | query(newest=newest, startDate=start, endDate=end)


def _delete(serial: str, kind: str, start: int, end: int, log_type: int = 0) -> Call[None]:
    return Call(
        method="DELETE",
        path=path("device", serial, kind),
        params=query(startDate=start, endDate=end, logType=log_type),
        read=nothing,
    )

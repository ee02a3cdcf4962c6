"""What is kept of a device's reports: statistics, health checks, logs, capabilities (4.3)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import query
from gw.api.context import Context
from gw.api.devices import session_statuses
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Count, document, empty
from gw.api.reports_document import (
    CapabilitiesAnswer,
    HealthAnswer,
    HealthEntry,
    LogsAnswer,
    StateDocument,
    StatisticsAnswer,
    health_document,
)
from gw.api.serials import path_serial
from gw.core.errors import ApiError

_TAG = "Reports of a device"
_DATED_STATISTICS = 100
"""Rows of a dated query of statistics, at most (northbound.md 4.3)."""


class StatisticsQuery(query.Dates):
    """Parameters of the statistics."""

    last_only: bool = False
    """Only the newest state document, bare."""
    count_only: bool = False


class HealthQuery(query.Dates):
    """Parameters of the health checks."""

    last_only: bool = False


class LogsQuery(query.Dates):
    """Parameters of the logs."""

    log_type: int = 0
    """0 log, 1 crash, 2 reboot."""


class Span(query.Query):
    """Which records to delete: epoch seconds, inclusive; 0 is open."""

    start_date: int = 0
    end_date: int = 0


class LogSpan(Span):
    """Which log lines to delete."""

    log_type: int = 0


@get(
    "/device/{serial_number:str}/statistics",
    **documented(
        "Read state reports",
        tag=_TAG,
        answer=Combined("anyOf", (StatisticsAnswer, Count, StateDocument)),
        query=StatisticsQuery,
    ),
)
async def read_statistics(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer a page of state reports, their number, or the newest document alone."""
    serial = path_serial(serial_number)
    asked = query.read(request.scope, StatisticsQuery)
    reader = context.reader
    start, end = asked.start_date, asked.end_date
    if asked.last_only:
        if serial not in await session_statuses(context, [serial]):
            raise ApiError(1033)
        last = await reader.statistics(serial, limit=1, newest=True)
        if not last:
            raise ApiError(1154)
        return document(msgspec.Raw(last[0].data.encode()))
    if asked.count_only:
        return document(Count(await reader.count_statistics(serial, start=start, end=end)))
    limit = query.bounded(asked.limit, context.max_page)
    if not asked.newest and (start or end):
        limit = min(limit, _DATED_STATISTICS)
    rows = await reader.statistics(serial, **window(asked, limit)) if limit else []
    entries = [
        {"UUID": row.uuid, "recorded": row.recorded, "data": msgspec.Raw(row.data.encode())}
        for row in rows
    ]
    return document({"data": entries, "serialNumber": serial})


@get(
    "/device/{serial_number:str}/healthchecks",
    **documented(
        "Read health checks",
        tag=_TAG,
        answer=Combined("anyOf", (HealthAnswer, HealthEntry)),
        query=HealthQuery,
    ),
)
async def read_healthchecks(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer a page of health checks, or the newest one alone."""
    serial = path_serial(serial_number)
    asked = query.read(request.scope, HealthQuery)
    if asked.last_only:
        last = await context.reader.healthchecks(serial, limit=1, newest=True)
        if not last:
            raise ApiError(404)
        return document(health_document(last[0]))
    limit = query.bounded(asked.limit, context.max_page)
    rows = await context.reader.healthchecks(serial, **window(asked, limit)) if limit else []
    return document({"values": [health_document(row) for row in rows], "serialNumber": serial})


@get(
    "/device/{serial_number:str}/logs",
    **documented("Read log lines", tag=_TAG, answer=LogsAnswer, query=LogsQuery),
)
async def read_logs(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer a page of log lines of one type, newest first."""
    serial = path_serial(serial_number)
    asked = query.read(request.scope, LogsQuery)
    limit = query.bounded(asked.limit, context.max_page)
    chosen = window(asked, limit)
    del chosen["newest"]
    rows = await context.reader.logs(serial, log_type=asked.log_type, **chosen) if limit else []
    entries = [
        {
            "log": row.log,
            "severity": row.severity,
            "recorded": row.recorded,
            "logType": row.log_type,
            "data": msgspec.Raw(row.data.encode() or b"{}"),
            "UUID": row.uuid,
        }
        for row in rows
    ]
    return document({"values": entries, "serialNumber": serial})


@get(
    "/device/{serial_number:str}/capabilities",
    **documented("Read the capabilities of a device", tag=_TAG, answer=CapabilitiesAnswer),
)
async def read_capabilities(
    context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer what the device said it can do."""
    serial = path_serial(serial_number)
    row = await context.reader.capabilities(serial)
    if row is None:
        raise ApiError(404)
    return document(
        {
            "capabilities": msgspec.Raw(row.capabilities.encode() or b"{}"),
            "firstUpdate": row.first_update,
            "lastUpdate": row.last_update,
            "serialNumber": serial,
        }
    )


@delete(
    "/device/{serial_number:str}/statistics",
    **documented("Delete state reports", tag=_TAG, query=Span),
)
async def delete_statistics(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Delete the state reports of a time span."""
    return await _delete(context, "statistics", serial_number, query.read(request.scope, Span))


@delete(
    "/device/{serial_number:str}/healthchecks",
    **documented("Delete health checks", tag=_TAG, query=Span),
)
async def delete_healthchecks(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Delete the health checks of a time span."""
    return await _delete(context, "healthchecks", serial_number, query.read(request.scope, Span))


@delete(
    "/device/{serial_number:str}/logs",
    **documented("Delete log lines", tag=_TAG, query=LogSpan),
)
async def delete_logs(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Delete the log lines of one type and a time span."""
    asked = query.read(request.scope, LogSpan)
    return await _delete(context, "logs", serial_number, asked, asked.log_type)


@delete(
    "/device/{serial_number:str}/capabilities",
    **documented("Forget the capabilities of a device", tag=_TAG),
)
async def delete_capabilities(
    context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Forget what the device said it can do, until it connects again."""
    serial = path_serial(serial_number)
    if await context.reader.capabilities(serial) is None:
        raise ApiError(404)
    await context.coordinator.request("capabilities.delete", {"serial": serial})
    return empty()


async def _delete(
    context: Context, kind: str, serial_number: str, span: Span, log_type: int | None = None
) -> Answer:
    arguments = {
        "kind": kind,
        "serial": path_serial(serial_number),
        "start": span.start_date,
        "end": span.end_date,
        "log_type": log_type,
    }
    await context.coordinator.request("records.delete", arguments)
    return empty()


def window(asked: query.Dates, limit: int) -> dict[str, Any]:
    """Return which rows to read; `newest` is without regard to dates and offset."""
    if asked.newest:
        return {"start": 0, "end": 0, "offset": 0, "limit": limit, "newest": True}
    return {
        "start": asked.start_date,
        "end": asked.end_date,
        "offset": asked.offset,
        "limit": limit,
        "newest": False,
    }

"""/devices: the fleet in pages, counts and selections (northbound.md 4.1)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import get
from litestar.di import NamedDependency

from gw.api import query
from gw.api.context import Context
from gw.api.dashboard import fleet_sessions
from gw.api.device_document import (
    ConnectionState,
    ConnectionStatistics,
    DeviceDocument,
    connection_document,
    device_document,
    with_status,
)
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Count, document
from gw.api.reports_document import HealthEntry, health_document
from gw.api.serials import path_serial
from gw.core.errors import ApiError
from gw.store.rows import DeviceRow, HealthCheckRow

SORTABLE: Final = {
    "compatible": "compatible",
    "createdTimestamp": "created",
    "deviceType": "device_type",
    "entity": "entity",
    "firmware": "firmware",
    "lastConfigurationChange": "last_configuration_change",
    "lastFWUpdate": "last_fw_update",
    "lastRecordedContact": "last_recorded_contact",
    "locale": "locale",
    "location": "location",
    "macAddress": "mac_address",
    "manufacturer": "manufacturer",
    "modified": "modified",
    "owner": "owner",
    "serialNumber": "serial_number",
    "subscriber": "subscriber",
    "venue": "venue",
}
"""Names for `orderBy`, and the columns behind them."""

_PLATFORMS: Final = ("all", "ap", "switch")
_STATUSES_AT_ONCE: Final = 40
"""Sessions per request: an answer has to fit the head of a ring's record (64 KiB)."""
_HEALTH_CHUNK: Final = 500
_ROWS_AT_ONCE: Final = 50


class DevicesQuery(query.CountedPage):
    """Parameters of the list of devices; the first that applies decides the answer."""

    connection_statistics: bool = False
    """Answer the fleet in three numbers."""
    order_spec: bool = False
    """Answer the names for `orderBy`."""
    order_by: str = ""
    """`name:a` (ascending) or `name:d`, separated by commas."""
    platform: str = "all"
    """all, ap or switch."""
    select: list[str] = msgspec.field(default_factory=list)
    """Serial numbers, separated by commas; replaces offset and limit."""
    device_with_status: bool = False
    """Merge each device with its live session, as `devicesWithStatus`."""
    complete_info: bool = False
    """Each device with its session and its newest reports."""
    serial_only: bool = False
    """Answer only `serialNumbers`."""
    health: bool = False
    """Answer the connected devices whose sanity is from `lowLimit` to `highLimit`."""
    low_limit: int = 0
    high_limit: int = 100
    include_provisioned: bool = True
    """false: only devices without entity and venue."""


class CompleteInfo(msgspec.Struct, rename="camel"):
    """A device with its session and its newest reports."""

    device_info: DeviceDocument
    connection_info: ConnectionState
    health_check_info: HealthEntry
    """The newest; all 0 if there is none."""
    stats_info: dict[str, Any]


class CompleteDevices(msgspec.Struct):
    """Answer with `completeInfo`."""

    devices: list[CompleteInfo]


class DevicesAnswer(msgspec.Struct, rename="camel"):
    """One of these members, according to the parameters."""

    devices: list[DeviceDocument] | msgspec.UnsetType = msgspec.UNSET
    devices_with_status: list[DeviceDocument] | msgspec.UnsetType = msgspec.UNSET
    """Each device has the members of ConnectionState as well."""
    serial_numbers: list[str] | msgspec.UnsetType = msgspec.UNSET
    names: list[str] | msgspec.UnsetType = msgspec.field(name="list", default=msgspec.UNSET)
    count: int | msgspec.UnsetType = msgspec.UNSET


_ANSWER: Final = Combined("anyOf", (DevicesAnswer, CompleteDevices, ConnectionStatistics))


@get(
    "/devices",
    **documented(
        "List, count or select devices", tag="Devices", answer=_ANSWER, query=DevicesQuery
    ),
)
async def list_devices(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer the first form that the parameters ask for."""
    asked = query.read(request.scope, DevicesQuery)
    if asked.connection_statistics:
        return document((await context.coordinator.request("fleet.statistics", {})).result)
    if asked.order_spec:
        return document({"list": sorted(SORTABLE)})
    order_by = _order(asked.order_by)
    platform = _platform(asked.platform)
    if asked.select:
        serials = [path_serial(s) for s in query.chosen(asked.select, context.max_page)]
        return await _rows(context, asked, await _selected(context, serials))
    if asked.count_only:
        return document(Count(await context.reader.count_devices(platform)))
    if asked.health:
        return document({"serialNumbers": await _healthy(context, asked)})
    limit = query.bounded(asked.limit, context.max_page)
    rows: list[DeviceRow] = []
    if limit:
        rows = await context.reader.devices(
            offset=asked.offset,
            limit=limit,
            platform=platform,
            order_by=order_by,
            unprovisioned=not asked.include_provisioned,
        )
    if asked.serial_only:
        return document({"serialNumbers": [row.serial_number for row in rows]})
    return await _rows(context, asked, rows)


async def _rows(context: Context, asked: DevicesQuery, rows: list[DeviceRow]) -> Answer:
    if asked.complete_info:
        return document({"devices": await complete_infos(context, rows)})
    blacklisted = await blacklisted_of(context, rows)
    documents: list[dict[str, Any]] = []
    for at, row in enumerate(rows):
        documents.append(device_document(row, blacklisted=row.serial_number in blacklisted))
        if at % _ROWS_AT_ONCE == _ROWS_AT_ONCE - 1:
            await asyncio.sleep(0)  # configurations may be large: others get their turn
    if not asked.device_with_status:
        return document({"devices": documents})
    statuses = await session_statuses(context, [row.serial_number for row in rows])
    merged = [with_status(one, statuses.get(one["serialNumber"])) for one in documents]
    return document({"devicesWithStatus": merged})


async def _selected(context: Context, serials: list[str]) -> list[DeviceRow]:
    return await context.reader.devices(limit=len(serials), select=serials)


async def session_statuses(context: Context, serials: list[str]) -> dict[str, Any]:
    """Return the live sessions of some devices by serial number; absent: not connected."""
    chunks = [
        serials[at : at + _STATUSES_AT_ONCE] for at in range(0, len(serials), _STATUSES_AT_ONCE)
    ]
    request = context.coordinator.request
    answers = await asyncio.gather(
        *(request("device.status", {"serials": chunk}) for chunk in chunks)
    )
    statuses: dict[str, Any] = {}
    for answer in answers:
        statuses |= answer.result.get("statuses", {})
    return statuses


async def blacklisted_of(context: Context, rows: list[DeviceRow]) -> set[str]:
    """Return which of some devices are refused."""
    if not rows:
        return set()
    refused = await context.reader.blacklist(limit=context.max_page)
    if len(refused) < context.max_page:
        return {one.serial_number for one in refused}
    serials = [row.serial_number for row in rows]
    return {s for s in serials if await context.reader.blacklisted(s) is not None}


_NO_HEALTH: Final = HealthCheckRow(uuid=0, sanity=0, recorded=0, data="{}")


async def complete_infos(context: Context, rows: list[DeviceRow]) -> list[dict[str, Any]]:
    """Return devices, each with its session and its newest reports."""
    statuses = await session_statuses(context, [row.serial_number for row in rows])
    blacklisted = await blacklisted_of(context, rows)
    found = []
    for row in rows:
        serial = row.serial_number
        health = await context.reader.healthchecks(serial, limit=1, newest=True)
        state = await context.reader.statistics(serial, limit=1, newest=True)
        found.append(
            {
                "deviceInfo": device_document(row, blacklisted=serial in blacklisted),
                "connectionInfo": connection_document(statuses.get(serial)),
                "healthCheckInfo": health_document(health[0] if health else _NO_HEALTH),
                "statsInfo": msgspec.Raw(state[0].data.encode() if state else b"{}"),
            }
        )
    return found


async def _healthy(context: Context, asked: DevicesQuery) -> list[str]:
    """Return the connected devices whose sanity is in the range, a chunk at a time."""
    serials = await context.reader.serial_numbers()
    found = []
    for start in range(0, len(serials), _HEALTH_CHUNK):
        sessions = await fleet_sessions(context, serials[start : start + _HEALTH_CHUNK])
        for serial, (_, sanity, *_) in sessions.items():
            if asked.low_limit <= sanity <= asked.high_limit:
                found.append(serial)
    return sorted(found)


def _order(text: str) -> list[tuple[str, bool]] | None:
    if not text:
        return None
    columns = {name.lower(): column for name, column in SORTABLE.items()}
    order: list[tuple[str, bool]] = []
    for part in text.split(","):
        name, _, direction = part.strip().partition(":")
        column = columns.get(name.lower())
        if column is None or direction not in ("a", "d", ""):
            raise ApiError(1043, part.strip()[:60])
        if column not in (known for known, _ in order):
            order.append((column, direction == "d"))
    return order


def _platform(text: str) -> str:
    platform = text.lower()
    if platform not in _PLATFORMS:
        raise ApiError(1018, "platform is all, ap or switch")
    return "" if platform == "all" else platform

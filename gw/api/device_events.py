"""GET /device/{serialNumber}/events: what a device reported as it happened. Ours."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import query
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.serials import path_serial
from gw.api.telemetry_records import window


class EventEntry(msgspec.Struct):
    """One event."""

    recorded: int
    """When it came: epoch seconds."""
    type: str
    data: Any
    """As the device sent it."""


class EventsAnswer(msgspec.Struct, rename="camel"):
    """Events, oldest first unless `newest`."""

    events: list[EventEntry]
    serial_number: str


@get(
    "/device/{serial_number:str}/events",
    **documented(
        "Read events",
        tag="Reports of a device",
        answer=EventsAnswer,
        query=query.Dates,
        details="Events that the device sent by itself (`event` messages). owgw keeps none.",
    ),
)
async def read_events(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer a page of events."""
    serial = path_serial(serial_number)
    asked = query.read(request.scope, query.Dates)
    limit = query.bounded(asked.limit, context.max_page)
    rows = await context.reader.events(serial, **window(asked, limit)) if limit else []
    entries = [
        {
            "recorded": row.recorded,
            "type": row.type,
            "data": msgspec.Raw(row.data.encode() or b"null"),
        }
        for row in rows
    ]
    return document({"events": entries, "serialNumber": serial})

"""/blacklist and /blacklist/{serialNumber}: devices that are refused (northbound.md 4.8)."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.blacklist_document import (
    BlacklistDocument,
)
from gw.api.context import Context
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Count, document, empty
from gw.api.serials import path_serial
from gw.core.errors import ApiError
from gw.store.rows import BlacklistRow

_TAG = "Blacklist"


class BlacklistBody(msgspec.Struct, rename="camel"):
    """Which device is refused, and why."""

    serial_number: str = ""
    reason: str | msgspec.UnsetType = msgspec.UNSET


class BlacklistAnswer(msgspec.Struct):
    """Refused devices by serial number."""

    devices: list[BlacklistDocument]


@get(
    "/blacklist",
    **documented(
        "List refused devices",
        tag=_TAG,
        answer=Combined("anyOf", (BlacklistAnswer, Count)),
        query=query.CountedPage,
    ),
)
async def list_blacklist(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer a page of the refused devices, or their number."""
    asked = query.read(request.scope, query.CountedPage)
    if asked.count_only:
        return document(Count(await context.reader.count_entries("blacklist")))
    limit = query.bounded(asked.limit, context.max_page)
    rows = await context.reader.blacklist(offset=asked.offset, limit=limit) if limit else []
    return document({"devices": [_document(row) for row in rows]})


@get(
    "/blacklist/{serial_number:str}",
    **documented("Read a refused device", tag=_TAG, answer=BlacklistDocument),
)
async def read_blacklisted(
    context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer why a device is refused."""
    row = await context.reader.blacklisted(path_serial(serial_number))
    if row is None:
        raise ApiError(404)
    return document(_document(row))


@post(
    "/blacklist/{serial_number:str}",
    **documented("Refuse a device", tag=_TAG, answer=BlacklistDocument, body=BlacklistBody),
)
async def refuse_device(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Refuse a device; its session, if any, ends. The body says which one, as with owgw."""
    path_serial(serial_number)
    new = await body.read(request, BlacklistBody)
    serial = path_serial(new.serial_number)
    if await context.reader.blacklisted(serial) is not None:
        raise ApiError(1021)
    reason = "" if isinstance(new.reason, msgspec.UnsetType) else new.reason
    row = BlacklistRow(
        serial_number=serial, reason=reason, author=caller.email, created=int(time.time())
    )
    await _put(context, row)
    return document(_document(row))


@put(
    "/blacklist/{serial_number:str}",
    **documented(
        "Change why a device is refused", tag=_TAG, answer=BlacklistDocument, body=BlacklistBody
    ),
)
async def change_reason(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Change the reason."""
    serial = path_serial(serial_number)
    change = await body.read(request, BlacklistBody)
    row = await context.reader.blacklisted(serial)
    if row is None:
        raise ApiError(1003, "the device is not on the blacklist")
    if not isinstance(change.reason, msgspec.UnsetType):
        row.reason = change.reason
    await _put(context, row)
    return document(_document(row))


@delete("/blacklist/{serial_number:str}", **documented("Allow a device again", tag=_TAG))
async def allow_device(context: NamedDependency[Context], serial_number: FromPath[str]) -> Answer:
    """Take a device off the blacklist."""
    serial = path_serial(serial_number)
    if await context.reader.blacklisted(serial) is None:
        raise ApiError(404)
    await context.coordinator.request("blacklist.delete", {"serial": serial})
    return empty()


async def _put(context: Context, row: BlacklistRow) -> None:
    await context.coordinator.request("blacklist.put", {"row": msgspec.to_builtins(row)})


def _document(row: BlacklistRow) -> dict[str, Any]:
    return {
        "serialNumber": row.serial_number,
        "author": row.author,
        "reason": row.reason,
        "created": row.created,
    }

"""/default_firmwares and /default_firmware/{deviceType} (northbound.md 4.6)."""

from __future__ import annotations

import time
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.context import Context
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Count, document, empty
from gw.core.errors import ApiError
from gw.protocol.firmware import is_below, version_of
from gw.store.rows import DefaultFirmwareRow

_TAG = "Default firmwares"
_LONGEST: Final = 128
_LONGEST_TEXT: Final = 4096


class DefaultFirmwareDocument(msgspec.Struct, rename="camel", kw_only=True):
    """Firmware for the devices of one type."""

    device_type: str
    """`compatible` of the devices."""
    description: str
    uri: str
    revision: str
    image_creation_date: int
    created: int
    last_modified: int
    minimum_revision: str
    """Ours, owgw has none: older devices are upgraded before they are configured."""


class DefaultFirmwareBody(msgspec.Struct, rename="camel", kw_only=True):
    """What can be set; with PUT, absent members stay."""

    description: str | None = None
    uri: str | None = None
    revision: str | None = None
    image_creation_date: int | None = None
    minimum_revision: str | None = None
    """Empty: no device is upgraded by itself."""


class DefaultFirmwaresAnswer(msgspec.Struct):
    """Default firmwares by device type."""

    firmwares: list[DefaultFirmwareDocument]


@get(
    "/default_firmwares",
    **documented(
        "List default firmwares",
        tag=_TAG,
        answer=Combined("anyOf", (DefaultFirmwaresAnswer, Count)),
        query=query.CountedPage,
    ),
)
async def list_default_firmwares(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer a page of default firmwares, or their number."""
    asked = query.read(request.scope, query.CountedPage)
    reader = context.reader
    if asked.count_only:
        return document(Count(await reader.count_entries("default_firmwares")))
    limit = query.bounded(asked.limit, context.max_page)
    rows = await reader.default_firmwares(offset=asked.offset, limit=limit) if limit else []
    return document({"firmwares": [_document(row) for row in rows]})


@get(
    "/default_firmware/{device_type:str}",
    **documented("Read a default firmware", tag=_TAG, answer=DefaultFirmwareDocument),
)
async def read_default_firmware(
    context: NamedDependency[Context], device_type: FromPath[str]
) -> Answer:
    """Answer one default firmware."""
    return document(_document(await _row(context, device_type)))


@post(
    "/default_firmware/{device_type:str}",
    **documented(
        "Create a default firmware",
        tag=_TAG,
        answer=DefaultFirmwareDocument,
        body=DefaultFirmwareBody,
    ),
)
async def create_default_firmware(
    request: AnyRequest, context: NamedDependency[Context], device_type: FromPath[str]
) -> Answer:
    """Create a default firmware."""
    if len(device_type) > _LONGEST or not device_type.isprintable():
        raise ApiError(1018, f"a device type has {_LONGEST} printable characters at most")
    new = await body.read(request, DefaultFirmwareBody)
    if await context.reader.default_firmware(device_type) is not None:
        raise ApiError(1175)
    for name, value in (("uri", new.uri), ("revision", new.revision)):
        if not value:
            raise ApiError(1018, name)
    now = int(time.time())
    row = DefaultFirmwareRow(device_type=device_type, uri="", revision="", created=now)
    return await _change(context, row, new, now)


@put(
    "/default_firmware/{device_type:str}",
    **documented(
        "Change a default firmware",
        tag=_TAG,
        answer=DefaultFirmwareDocument,
        body=DefaultFirmwareBody,
    ),
)
async def change_default_firmware(
    request: AnyRequest, context: NamedDependency[Context], device_type: FromPath[str]
) -> Answer:
    """Change the members that the body has."""
    change = await body.read(request, DefaultFirmwareBody)
    return await _change(context, await _row(context, device_type), change, int(time.time()))


@delete("/default_firmware/{device_type:str}", **documented("Delete a default firmware", tag=_TAG))
async def delete_default_firmware(
    context: NamedDependency[Context], device_type: FromPath[str]
) -> Answer:
    """Delete a default firmware, and with it the minimum of its devices."""
    await _row(context, device_type)
    await context.coordinator.request("default_firmware.delete", {"device_type": device_type})
    return empty()


async def _row(context: Context, device_type: str) -> DefaultFirmwareRow:
    row = await context.reader.default_firmware(device_type)
    if row is None:
        raise ApiError(404)
    return row


async def _change(
    context: Context, row: DefaultFirmwareRow, change: DefaultFirmwareBody, now: int
) -> Answer:
    for name in DefaultFirmwareBody.__struct_fields__:
        value = getattr(change, name)
        if value is not None:
            setattr(row, name, value)
    _check(row)
    row.last_modified = now
    await context.coordinator.request("default_firmware.put", {"row": msgspec.to_builtins(row)})
    return document(_document(row))


def _check(row: DefaultFirmwareRow) -> None:
    for name in ("uri", "description"):
        if len(getattr(row, name)) > _LONGEST_TEXT:
            raise ApiError(1018, f"{name} has {_LONGEST_TEXT} characters at most")
    for name in ("revision", "minimum_revision"):
        if len(getattr(row, name)) > _LONGEST:
            raise ApiError(1018, f"{name} has {_LONGEST} characters at most")
    if not row.revision:
        raise ApiError(1018, "revision")
    if not 0 <= row.image_creation_date < 2**53:
        raise ApiError(1018, "imageCreationDate is a Unix time")
    if not _is_url(row.uri):
        raise ApiError(1152, "uri")
    if row.minimum_revision:
        if version_of(row.minimum_revision) is None:
            raise ApiError(1018, "minimumRevision has no version, such as 4.2.0")
        if version_of(row.revision) is None or is_below(row.revision, row.minimum_revision):
            raise ApiError(1018, "revision is not known to be at least minimumRevision")


def _is_url(text: str) -> bool:
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return found.scheme in ("http", "https") and bool(found.hostname) and text.isprintable()


def _document(row: DefaultFirmwareRow) -> dict[str, Any]:
    return {
        "deviceType": row.device_type,
        "description": row.description,
        "uri": row.uri,
        "revision": row.revision,
        "imageCreationDate": row.image_creation_date,
        "created": row.created,
        "lastModified": row.last_modified,
        "minimumRevision": row.minimum_revision,
    }

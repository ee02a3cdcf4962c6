"""/default_configurations and /default_configuration/{name} (northbound.md 4.6)."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query, visibility
from gw.api.body import ConfigurationField
from gw.api.context import Context
from gw.api.default_configuration_document import (
    DefaultConfigurationDocument,
)
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Count, Success, document, empty, success
from gw.core.errors import ApiError
from gw.store.rows import DefaultConfigurationRow
from gw.validation.examination import Device

_TAG = "Default configurations"
_PLATFORMS: Final = ("ap", "switch")
_LONGEST_NAME: Final = 256
_IN_ARGUMENTS: Final = 32_768
"""Bytes of a configuration that still goes with the arguments (64 KiB in all)."""


class DefaultConfigurationBody(msgspec.Struct, rename="camel", kw_only=True):
    """What can be set; with PUT, absent members stay."""

    model_ids: list[str] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    configuration: ConfigurationField = msgspec.UNSET
    platform: str | msgspec.UnsetType = msgspec.UNSET


class DefaultConfigurationsAnswer(msgspec.Struct):
    """Default configurations by name."""

    configurations: list[DefaultConfigurationDocument]


@get(
    "/default_configurations",
    **documented(
        "List default configurations",
        tag=_TAG,
        answer=Combined("anyOf", (DefaultConfigurationsAnswer, Count)),
        query=query.CountedPage,
    ),
)
async def list_default_configurations(
    request: AnyRequest, context: NamedDependency[Context]
) -> Answer:
    """Answer a page of default configurations, or their number."""
    asked = query.read(request.scope, query.CountedPage)
    reader = context.reader
    if asked.count_only:
        return document(Count(await reader.count_entries("default_configurations")))
    limit = query.bounded(asked.limit, context.max_page)
    rows = await reader.default_configurations(offset=asked.offset, limit=limit) if limit else []
    return document({"configurations": [_document(row) for row in rows]})


@get(
    "/default_configuration/{name:str}",
    **documented("Read a default configuration", tag=_TAG, answer=DefaultConfigurationDocument),
)
async def read_default_configuration(
    context: NamedDependency[Context], name: FromPath[str]
) -> Answer:
    """Answer one default configuration."""
    return document(_document(await _row(context, name)))


@post(
    "/default_configuration/{name:str}",
    **documented(
        "Create a default configuration",
        tag=_TAG,
        answer=Success,
        body=DefaultConfigurationBody,
    ),
)
async def create_default_configuration(
    request: AnyRequest, context: NamedDependency[Context], name: FromPath[str]
) -> Answer:
    """Create a default configuration."""
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise ApiError(1018, f"a name has {_LONGEST_NAME} printable characters at most")
    new = await body.read(request, DefaultConfigurationBody)
    if await context.reader.default_configuration(name) is not None:
        raise ApiError(1099)
    if isinstance(new.model_ids, msgspec.UnsetType) or not new.model_ids:
        raise ApiError(1098)
    text = body.configuration_text(new.configuration)
    if text is None:
        raise ApiError(1018, "configuration")
    platform = _platform("ap" if isinstance(new.platform, msgspec.UnsetType) else new.platform)
    await context.validation.accept(text, Device(platform))
    now = int(time.time())
    row = DefaultConfigurationRow(
        name=name,
        configuration=text.decode(),
        model_ids=msgspec.json.encode(new.model_ids).decode(),
        description="" if isinstance(new.description, msgspec.UnsetType) else new.description,
        platform=platform,
        created=now,
        last_modified=now,
    )
    await _put(context, row)
    return success(request.method, f"default configuration {name} created")


@put(
    "/default_configuration/{name:str}",
    **documented(
        "Change a default configuration",
        tag=_TAG,
        answer=DefaultConfigurationDocument,
        body=DefaultConfigurationBody,
    ),
)
async def change_default_configuration(
    request: AnyRequest, context: NamedDependency[Context], name: FromPath[str]
) -> Answer:
    """Change the members that the body has."""
    change = await body.read(request, DefaultConfigurationBody)
    row = await _row(context, name)
    if not isinstance(change.model_ids, msgspec.UnsetType):
        if not change.model_ids:
            raise ApiError(1098)
        row.model_ids = msgspec.json.encode(change.model_ids).decode()
    if not isinstance(change.description, msgspec.UnsetType):
        row.description = change.description
    if not isinstance(change.platform, msgspec.UnsetType):
        row.platform = _platform(change.platform)
    if (text := body.configuration_text(change.configuration)) is not None:
        row.configuration = text.decode()
    if text is not None or not isinstance(change.platform, msgspec.UnsetType):
        await context.validation.accept(row.configuration.encode(), Device(row.platform))
    row.last_modified = int(time.time())
    await _put(context, row)
    return document(_document(row))


@delete(
    "/default_configuration/{name:str}",
    **documented("Delete a default configuration", tag=_TAG),
)
async def delete_default_configuration(
    context: NamedDependency[Context], name: FromPath[str]
) -> Answer:
    """Delete a default configuration; devices keep what they were given."""
    if await context.reader.default_configuration(name) is None:
        raise ApiError(1006)
    await context.coordinator.request("default_configuration.delete", {"name": name})
    return empty()


async def _row(context: Context, name: str) -> DefaultConfigurationRow:
    row = await context.reader.default_configuration(name)
    if row is None:
        raise ApiError(404)
    return row


async def _put(context: Context, row: DefaultConfigurationRow) -> None:
    """Store a row. A configuration too large for the arguments travels as the body."""
    values = msgspec.to_builtins(row)
    text = row.configuration.encode()
    if len(text) > _IN_ARGUMENTS:
        values["configuration"] = ""
    await context.coordinator.request("default_configuration.put", {"row": values}, text)


def _platform(text: str) -> str:
    platform = text.lower()
    if platform not in _PLATFORMS:
        raise ApiError(1018, "platform is ap or switch")
    return platform


def _document(row: DefaultConfigurationRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "modelIds": msgspec.Raw(row.model_ids.encode() or b"[]"),
        "description": row.description,
        "configuration": visibility.configuration(row.configuration.encode() or b"{}"),
        "created": row.created,
        "lastModified": row.last_modified,
        "platform": row.platform,
    }

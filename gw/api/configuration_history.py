"""/device/{serialNumber}/configurations: what a device was to have, compared, and put back.

Ours, not owgw's.
"""

from __future__ import annotations

import re
import uuid
from typing import Any, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import query, visibility
from gw.api.authentication import Caller
from gw.api.command_document import CommandDocument
from gw.api.configuration_history_document import (
    Difference,
    History,
    HistoryDocument,
)
from gw.api.configure import command_deleted, outcome
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.serials import path_serial
from gw.core.errors import ApiError
from gw.protocol.configuration import with_uuid
from gw.store.rows import ConfigurationRow
from gw.validation.changes import changes

_TAG = "Configurations"
_MARGIN_SECONDS: Final = 15.0
_MOST_PATHS: Final = 1000
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")


class DifferenceQuery(query.Query):
    """With what to compare."""

    to: int = 0
    """Id of another one of the device; 0: the present one."""


@get(
    "/device/{serial_number:str}/configurations",
    **documented("List the configurations that a device was to have", tag=_TAG, answer=History,
                 query=query.Page),
)  # fmt: skip
async def list_configurations(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer who wrote what when, without the configurations themselves."""
    serial = await _device(context, serial_number)
    asked = query.read(request.scope, query.Page)
    limit = query.bounded(asked.limit, context.max_page)
    found = await context.reader.configurations(serial, offset=asked.offset, limit=limit or 1)
    entries = [_entry(row) for row in found] if limit else []
    return document({"configurations": entries})


@get(
    "/device/{serial_number:str}/configurations/{number:str}",
    **documented("Read a configuration that a device was to have", tag=_TAG,
                 answer=HistoryDocument),
)  # fmt: skip
async def read_configuration(
    context: NamedDependency[Context],
    serial_number: FromPath[str],
    number: FromPath[str],
) -> Answer:
    """Answer one, whole."""
    row = await _known(context, await _device(context, serial_number), number)
    shown = visibility.configuration(with_uuid(row.configuration, row.uuid))
    return document(_entry(row) | {"configuration": shown})


@get(
    "/device/{serial_number:str}/configurations/{number:str}/difference",
    **documented("Compare a former configuration with another one", tag=_TAG, answer=Difference,
                 query=DifferenceQuery),
)  # fmt: skip
async def compare_configurations(
    request: AnyRequest,
    context: NamedDependency[Context],
    serial_number: FromPath[str],
    number: FromPath[str],
) -> Answer:
    """Answer what was added, removed and changed from this one to the other."""
    serial = await _device(context, serial_number)
    asked = query.read(request.scope, DifferenceQuery)
    row = await _known(context, serial, number)
    if asked.to:
        other = (await _known(context, serial, str(asked.to))).configuration
    else:
        device = await context.reader.device(serial)
        other = device.configuration if device is not None else ""
    found = changes(row.configuration.encode(), other.encode(), _MOST_PATHS)
    return document(msgspec.to_builtins(found))


@post(
    "/device/{serial_number:str}/configurations/{number:str}/restore",
    **documented("Put a former configuration back", tag=_TAG, answer=CommandDocument,
                 details="A `configure` like any other: it waits for the device's answer."),
)  # fmt: skip
async def restore_configuration(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
    number: FromPath[str],
) -> Answer:
    """Configure the device with what it was to have before."""
    serial = await _device(context, serial_number)
    row = await _known(context, serial, number)
    command = str(uuid.uuid4())
    await context.coordinator.request(
        "command.configure",
        {"serial": serial, "command": command, "by": caller.email, "when": 0},
        row.configuration.encode(),
        timeout=context.settings.configuration.answer_seconds + _MARGIN_SECONDS,
    )
    done = await context.reader.command(command)
    if done is None:
        raise command_deleted(command)
    return outcome(request, done, strict=False)


async def _device(context: Context, serial_number: str) -> str:
    serial = path_serial(serial_number)
    if await context.reader.device(serial) is None:
        raise ApiError(404)
    return serial


async def _known(context: Context, serial: str, number: str) -> ConfigurationRow:
    if not _NUMBER.fullmatch(number):
        raise ApiError(404)
    found = await context.reader.configurations(serial, id=int(number))
    if not found:
        raise ApiError(404)
    return found[0]


def _entry(row: ConfigurationRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "UUID": row.uuid,
        "hash": row.hash,
        "recorded": row.recorded,
        "author": row.author,
        "through": row.through,
    }

"""/commands and /command/{commandUUID}: what was asked of devices (northbound.md 4.4)."""

from __future__ import annotations

import uuid

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import query
from gw.api.authentication import Caller
from gw.api.command_document import CommandDocument, command_document
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.api.serials import path_serial
from gw.core.errors import ApiError

_TAG = "Commands"


class CommandsQuery(query.Dates):
    """Parameters of the command history; dates are of submission."""

    serial_number: str = ""
    """The device; required."""


class CommandsSpan(query.Query):
    """Which commands to delete: epoch seconds, inclusive; 0 is open."""

    serial_number: str = ""
    start_date: int = 0
    end_date: int = 0


class CommandsAnswer(msgspec.Struct):
    """Commands by time of submission."""

    commands: list[CommandDocument]


@get(
    "/commands",
    **documented("List the commands of a device", tag=_TAG, answer=CommandsAnswer,
                 query=CommandsQuery),
)  # fmt: skip
async def list_commands(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Answer a page of the command history of one device."""
    asked = query.read(request.scope, CommandsQuery)
    serial = path_serial(asked.serial_number)
    limit = query.bounded(asked.limit, context.max_page)
    if not limit:
        rows = []
    elif asked.newest:
        rows = await context.reader.commands(serial, limit=limit, newest=True)
    else:
        rows = await context.reader.commands(
            serial,
            start=asked.start_date,
            end=asked.end_date,
            offset=asked.offset,
            limit=limit,
        )
    return document({"commands": [command_document(row) for row in rows]})


@delete("/commands", **documented("Delete commands of a device", tag=_TAG, query=CommandsSpan))
async def delete_commands(request: AnyRequest, context: NamedDependency[Context]) -> Answer:
    """Delete the commands of one device and a time span."""
    asked = query.read(request.scope, CommandsSpan)
    serial, start, end = path_serial(asked.serial_number), asked.start_date, asked.end_date
    files = await context.kept_files.of_commands(serial, start, end)
    order = {"serial": serial, "start": start, "end": end}
    await context.coordinator.request("command.delete", order)
    await context.kept_files.deleted(files)
    return empty()


@get(
    "/command/{command_uuid:str}",
    **documented("Read a command", tag=_TAG, answer=CommandDocument),
)
async def read_command(context: NamedDependency[Context], command_uuid: FromPath[str]) -> Answer:
    """Answer one command with its result."""
    row = await context.reader.command(_uuid(command_uuid))
    if row is None:
        raise ApiError(404)
    return document(command_document(row))


@delete("/command/{command_uuid:str}", **documented("Cancel or delete a command", tag=_TAG))
async def delete_command(context: NamedDependency[Context], command_uuid: FromPath[str]) -> Answer:
    """Delete one command; if its device has not answered yet, the answer is not awaited."""
    name = _uuid(command_uuid)
    row = await context.reader.command(name)
    if row is None:
        raise ApiError(404)
    await context.coordinator.request("command.delete", {"uuid": name})
    if row.attach_date:
        await context.kept_files.delete(name)
    return empty()


@post(
    "/command/{command_uuid:str}/cancel",
    **documented("Cancel a command", tag=_TAG, answer=CommandDocument,
                 details="Ends it as `expired`. What was sent already may still be done by the "
                 "device. 409 if the command has ended before. Ours, not owgw's."),
)  # fmt: skip
async def cancel_command(
    context: NamedDependency[Context], caller: NamedDependency[Caller], command_uuid: FromPath[str]
) -> Answer:
    """End a command that has no final state, and answer it."""
    name = _uuid(command_uuid)
    if await context.reader.command(name) is None:
        raise ApiError(404)
    done = await context.coordinator.request("command.cancel", {"uuid": name, "by": caller.email})
    if not done.result["cancelled"]:
        raise ApiError(1137, "the command has ended already", http=409)
    row = await context.reader.command(name)
    if row is None:
        raise ApiError(404)
    return document(command_document(row))


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ApiError(404) from None

"""POST /device/{serialNumber}/{command}: all commands but configure (northbound.md 3)."""

from __future__ import annotations

import time
import uuid
from typing import Any, Final

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body
from gw.api.authentication import Caller
from gw.api.command_document import CommandDocument, Pong
from gw.api.configure import command_deleted, outcome
from gw.api.context import Context
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Success, document, success
from gw.api.scripts import fill_in
from gw.api.serials import path_serial, same_serial
from gw.core.errors import ApiError
from gw.protocol.commands import (
    BODIES,
    COMMANDS,
    Body,
    ScriptBody,
    UpgradeBody,
    build,
    file_kind,
    patience,
)
from gw.protocol.errors import ParameterError
from gw.security.roles import Operation, may
from gw.store.rows import CommandRow

_MARGIN_SECONDS: Final = 15.0
"""How much longer than the device may take the answer of the coordinator is awaited."""

_MALFORMED: Final = 1003

_SIGNATURE: Final = "FWsignature"


@post(
    "/device/{serial_number:str}/{command:str}",
    **documented(
        "Send a command to a device",
        tag="Commands",
        answer=Combined("anyOf", (CommandDocument, Pong, Success)),
        body=Body,
        details="Waits until the device has answered: `" + "`, `".join(BODIES) + "`. "
        "`factory` and `upgrade` wait for a device that is away. `ping` answers with the round "
        "trip, `rrm` once it is sent.",
    ),
)
async def device_command(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
    command: FromPath[str],
) -> Answer:
    """Send a command and answer what became of it."""
    serial = path_serial(serial_number)
    if command not in BODIES:
        raise ApiError(1031, command[:40])
    rules = COMMANDS[command]
    if rules.administrator and not may(caller.role, Operation.ADMINISTRATIVE_COMMAND):
        raise ApiError(7)
    await check_device(context, serial, command)
    identity = str(uuid.uuid4())
    order = await _order(request, context, caller, command, serial)
    params = _parameters(request, context, command, serial, identity, order)
    row = await carry_out(
        context,
        {
            "serial": serial,
            "command": identity,
            "name": command,
            "by": caller.email,
            "when": order.when,
            "file": file_kind(order),
            "deferred": isinstance(order, ScriptBody) and order.later,
        },
        params,
        patience(command, order),
    )
    if command == "ping" and row.status == "completed":
        return document(_pong(row))
    if command == "rrm" and row.status != "pending":  # pending: its time is still to come
        if row.status != "completed":
            raise ApiError(1137, row.error_text)
        return success(request.method, f"{len(params['actions'])} actions sent")
    return outcome(request, row, strict=True)


async def check_device(context: Context, serial: str, command: str) -> None:
    """See to it that a device is there for a command, and may take it.

    Raises ApiError 404, 1033 if it has no session and the command cannot wait, and 1171.
    """
    device = await context.reader.device(serial)
    if device is None:
        raise ApiError(404)
    rules = COMMANDS[command]
    if device.simulated and not rules.simulators:
        raise ApiError(1171, command)
    if not rules.later:
        live = await context.coordinator.request("device.status", {"serials": [serial]})
        if serial not in live.result["statuses"]:
            raise ApiError(1033, serial)


async def carry_out(
    context: Context, arguments: dict[str, Any], params: dict[str, Any], seconds: float
) -> CommandRow:
    """Let the coordinator run a command, and return its row once it is settled or left to wait."""
    identity = arguments["command"]
    for deadline in context.settings.commands.deadlines:
        if deadline.command == arguments["name"]:
            seconds = deadline.seconds
    await context.coordinator.request(
        "command.run",
        {**arguments, "seconds": seconds},
        msgspec.json.encode(params),
        timeout=seconds + _MARGIN_SECONDS,
    )
    row = await context.reader.command(identity)
    if row is None:
        raise command_deleted(identity)
    return row


async def _order(
    request: AnyRequest, context: Context, caller: Caller, command: str, serial: str
) -> Body:
    """Read and check the body; a stored script is filled in, an inline one is for root only."""
    try:
        order = await body.read(request, BODIES[command])
    except ApiError as error:
        if error.number == _MALFORMED and "missing required field" in error.extra:
            raise ApiError(1018, error.extra) from None
        raise
    given = order.serialNumber or order.serial
    if not given:
        raise ApiError(1001 if command == "reboot" else 1018, "serialNumber")
    same_serial(given, serial)
    if isinstance(order, ScriptBody):
        await fill_in(context, caller, order)
    if isinstance(order, UpgradeBody):
        order.signature = request.query_params.get(_SIGNATURE, order.signature)
    return order


def _parameters(
    request: AnyRequest,
    context: Context,
    command: str,
    serial: str,
    identity: str,
    order: Body,
) -> dict[str, Any]:
    """Return the params for the device. Raises ApiError if one of them is wrong."""
    try:
        upload = context.upload_url(request, identity)
        return build(command, serial, identity, order, upload)
    except ParameterError as error:
        raise ApiError(error.number, str(error)) from None


def _pong(row: CommandRow) -> Pong:
    """Return the answer to a ping."""
    found = Pong(
        serialNumber=row.serial_number,
        latency=f"{row.execution_ms:.3f}ms.",
        currentUTCTime=int(time.time() * 1000),
    )
    result = msgspec.json.decode(row.results)
    device_time = result.get("deviceUTCTime") if isinstance(result, dict) else None
    if isinstance(device_time, int) and not isinstance(device_time, bool):
        found.deviceUTCTime = device_time
    return found

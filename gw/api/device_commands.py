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
from gw.api.command_document import CommandDocument
from gw.api.configure import outcome
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.serials import path_serial, same_serial
from gw.core.errors import INTERNAL, ApiError
from gw.protocol.commands import (
    BODIES,
    COMMANDS,
    Body,
    ParameterError,
    ScriptBody,
    build,
    file_kind,
    patience,
)
from gw.security.roles import Operation, may
from gw.store.rows import CommandRow

_MARGIN_SECONDS: Final = 15.0
"""How much longer than the device may take the answer of the coordinator is awaited."""

_MALFORMED: Final = 1003

NOT_YET: Final = frozenset(("telemetry", "rrm", "package", "rtty"))
"""Commands of owgw that this version does not offer."""


@post(
    "/device/{serial_number:str}/{command:str}",
    **documented(
        "Send a command to a device",
        tag="Commands",
        answer=CommandDocument,
        body=Body,
        details="Waits until the device has answered: `" + "`, `".join(COMMANDS) + "`. "
        "`factory` and `upgrade` wait for a device that is away.",
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
    rules = COMMANDS.get(command)
    if rules is None:
        detail = f"{command[:40]} is not offered by this version of the gateway"
        raise ApiError(1031, detail if command in NOT_YET else command[:40])
    if rules.administrator and not may(caller.role, Operation.ADMINISTRATIVE_COMMAND):
        raise ApiError(7)
    if command == "script" and not may(caller.role, Operation.FREE_SCRIPT):
        raise ApiError(7)
    if await context.reader.device(serial) is None:
        raise ApiError(404)
    if not rules.later:
        live = await context.coordinator.request("device.status", {"serials": [serial]})
        if serial not in live.result["statuses"]:
            raise ApiError(1033, serial)
    identity = str(uuid.uuid4())
    upload = context.upload_url(request, identity)
    order, params = await _parameters(request, command, serial, identity, upload)
    await context.coordinator.request(
        "command.run",
        {
            "serial": serial,
            "command": identity,
            "name": command,
            "by": caller.email,
            "when": order.when,
            "file": file_kind(order),
            "deferred": isinstance(order, ScriptBody) and order.deferred,
            "seconds": patience(command, order),
        },
        params,
        timeout=patience(command, order) + _MARGIN_SECONDS,
    )
    row = await context.reader.command(identity)
    if row is None:
        raise ApiError(INTERNAL, f"command {identity} left no record")
    if command == "ping" and row.status == "completed":
        return document(_pong(row))
    return outcome(request, row, strict=True)


async def _parameters(
    request: AnyRequest, command: str, serial: str, identity: str, upload: str
) -> tuple[Body, bytes]:
    """Check the body and return it, and the params for the device."""
    try:
        order = await body.read(request, BODIES[command])
        given = order.serialNumber or order.serial
        if not given:
            raise ApiError(1001 if command == "reboot" else 1018, "serialNumber")
        same_serial(given, serial)
        return order, msgspec.json.encode(build(command, serial, identity, order, upload))
    except ParameterError as error:
        raise ApiError(error.number, str(error)) from None
    except ApiError as error:
        if error.number == _MALFORMED and "missing required field" in error.extra:
            raise ApiError(1018, error.extra) from None
        raise


def _pong(row: CommandRow) -> dict[str, Any]:
    """Return the body of a ping, which is none of a command (northbound.md 3.1)."""
    found: dict[str, Any] = {
        "serialNumber": row.serial_number,
        "latency": f"{row.execution_ms:.3f}ms.",
        "currentUTCTime": int(time.time() * 1000),
    }
    result = msgspec.json.decode(row.results)
    device_time = result.get("deviceUTCTime") if isinstance(result, dict) else None
    if isinstance(device_time, int) and not isinstance(device_time, bool):
        found["deviceUTCTime"] = device_time
    return found

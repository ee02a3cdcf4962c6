"""/device/{serialNumber}/package: list, install and remove packages (northbound.md 3.1)."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.configure import outcome
from gw.api.context import Context
from gw.api.device_commands import carry_out, check_device
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.serials import path_serial, same_serial
from gw.core.errors import ApiError
from gw.protocol.commands import COMMANDS, PackageBody, build, package_delete, package_list
from gw.protocol.errors import ParameterError
from gw.security.roles import Operation, may

_TAG = "Commands"
_NAME = "package"
_INSTALL_SECONDS = 120.0


class PackageQuery(query.Query):
    """Which package is asked about."""

    pkg_name: str = ""
    """Its name; required."""


class PackageAnswer(msgspec.Struct):
    """What the device answered."""

    serial: str
    uuid: int
    status: dict[str, Any]
    """`error` counts the failures; `packages` has a result for each."""


@get(
    "/device/{serial_number:str}/package",
    **documented("Ask a device for an installed package", tag=_TAG, answer=PackageAnswer,
                 query=PackageQuery),
)  # fmt: skip
async def list_packages(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Answer what the device says of the package."""
    serial = path_serial(serial_number)
    asked = query.read(request.scope, PackageQuery)
    try:
        params = package_list(serial, asked.pkg_name)
    except ParameterError as error:
        raise ApiError(error.number, str(error)) from None
    return await _answer(request, context, caller, serial, params, parallel=True)


@post(
    "/device/{serial_number:str}/package",
    **documented("Install packages on a device", tag=_TAG, answer=PackageAnswer, body=PackageBody),
)
async def install_packages(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Install packages from web addresses."""
    serial, order = await _order(request, caller, serial_number)
    try:
        params = build(_NAME, serial, "", order)
    except ParameterError as error:
        raise ApiError(error.number, str(error)) from None
    return await _answer(request, context, caller, serial, params, seconds=_INSTALL_SECONDS)


@delete(
    "/device/{serial_number:str}/package",
    **documented("Remove packages from a device", tag=_TAG, answer=PackageAnswer, body=PackageBody),
)
async def delete_packages(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Remove packages."""
    serial, order = await _order(request, caller, serial_number)
    try:
        params = package_delete(serial, order)
    except ParameterError as error:
        raise ApiError(error.number, str(error)) from None
    return await _answer(request, context, caller, serial, params, parallel=True)


async def _order(
    request: AnyRequest, caller: Caller, serial_number: str
) -> tuple[str, PackageBody]:
    serial = path_serial(serial_number)
    if not may(caller.role, Operation.ADMINISTRATIVE_COMMAND):
        raise ApiError(7)
    order = await body.read(request, PackageBody)
    same_serial(order.serialNumber or order.serial or serial, serial)
    return serial, order


async def _answer(
    request: AnyRequest,
    context: Context,
    caller: Caller,
    serial: str,
    params: dict[str, Any],
    *,
    parallel: bool = False,
    seconds: float = COMMANDS[_NAME].seconds,
) -> Answer:
    """Run the command; the answer is the device's `result` alone.

    If that says nothing of packages, it is the command, as for the others.
    """
    await check_device(context, serial, _NAME)
    arguments = {
        "serial": serial,
        "command": str(uuid.uuid4()),
        "name": _NAME,
        "by": caller.email,
        "parallel": parallel,
    }
    row = await carry_out(context, arguments, params, seconds)
    found = msgspec.json.decode(row.results)
    if not (row.answered and isinstance(found, dict) and isinstance(found.get("status"), dict)):
        return outcome(request, row, strict=True)
    return document(msgspec.Raw(row.results.encode()))

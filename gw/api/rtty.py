"""GET /device/{serialNumber}/rtty: open a remote terminal.

Source: southbound.md 3.17, northbound.md 3.1.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api.authentication import Caller
from gw.api.configure import outcome
from gw.api.context import Context
from gw.api.device_commands import carry_out, check_device
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.api.serials import path_serial
from gw.core.errors import ApiError
from gw.protocol import restrictions, rtty
from gw.protocol.commands import COMMANDS
from gw.protocol.errors import ParameterError

_NAME: Final = "rtty"
_FULL: Final = 1144
_UNSENT: Final = 1137
_OFF: Final = 503


class RttySession(msgspec.Struct, rename="camel", kw_only=True):
    """A session that was opened. Whoever has `connectionId` has the terminal."""

    serial_number: str
    server: str
    """Host for the browser: `https://{server}:{viewport}/connect/{connectionId}`, once."""
    port: int
    """Port for the device."""
    viewport: int
    """Port for the browser."""
    token: str
    timeout: int
    """Seconds that the device's end waits for the gateway."""
    connection_id: str
    command_uuid: str = msgspec.field(name="commandUUID")
    started: int
    password: str = ""
    """Always empty."""


@get(
    "/device/{serial_number:str}/rtty",
    **documented(
        "Open a remote terminal",
        tag="Commands",
        answer=RttySession,
        details="1144 if there are too many sessions.",
        also=((503, "Terminals are not enabled (rtty.enabled)."),),
    ),
)
async def open_terminal(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Tell the device to connect, and answer where the browser is to go."""
    limits = context.settings.rtty
    if not limits.enabled:
        return empty(_OFF)
    serial = path_serial(serial_number)
    await check_device(context, serial, _NAME)
    device = await context.reader.device(serial)
    if device is None:
        raise ApiError(404)
    held = restrictions.forbids(_NAME, {}, restrictions.stored(device.restriction_details))
    if held is not None:
        raise ApiError(held.number, held.text)
    place = context.terminals.take(time.monotonic())
    if place is None:
        raise ApiError(_FULL, f"{limits.max_sessions} (rtty.max_sessions)")
    credentials = rtty.new_credentials()
    details = rtty.Details(
        server=limits.public_host or _host(context.public_url(request)),
        port=limits.port,
        user=caller.email,
        timeout=limits.timeout_seconds,
        proof=rtty.proof(credentials),
    )
    opened = False
    try:
        row = await carry_out(
            context,
            {
                "serial": serial,
                "command": credentials.command,
                "name": _NAME,
                "by": caller.email,
                "details": msgspec.json.encode(details).decode(),
            },
            rtty.params(
                serial,
                credentials,
                details,
                device.device_password,
                is_switch=device.device_type == "switch",
            ),
            COMMANDS[_NAME].seconds,
        )
        opened = row.status == "completed"
    except ParameterError as error:
        raise ApiError(error.number, str(error)) from None
    finally:
        if not opened:
            context.terminals.give_back(place)
    if not opened and not row.error_code:
        raise ApiError(_UNSENT, row.error_text)
    if not opened:
        return outcome(request, row, strict=True)
    return document(
        RttySession(
            serial_number=serial,
            server=details.server,
            port=details.port,
            viewport=limits.viewer_port,
            token=credentials.token,
            timeout=details.timeout,
            connection_id=credentials.id,
            command_uuid=row.uuid,
            started=row.submitted,
        )
    )


def _host(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return f"[{host}]" if ":" in host else host

"""Live telemetry: start, stop and state (northbound.md 4.10), and the pages of WebSocket paths."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.context import Context
from gw.api.documented import documented
from gw.api.envelope import Answer, AnyRequest, document
from gw.api.serials import path_serial, same_serial
from gw.core.errors import ApiError

_TAG: Final = "Live"
_MAX_SECONDS: Final = 86_400
Interval = Annotated[int, msgspec.Meta(ge=0, le=_MAX_SECONDS)]
Lifetime = Annotated[int, msgspec.Meta(ge=1, le=_MAX_SECONDS)]
Type = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Types = Annotated[list[Type], msgspec.Meta(max_length=32)]


class TelemetryQuery(query.Query):
    """Parameters."""

    status_only: bool = False
    """Only tell the state."""


class TelemetryBody(msgspec.Struct, rename="camel", kw_only=True):
    """What telemetry is wanted, and for how long."""

    serial_number: str = ""
    interval: Interval | msgspec.UnsetType = msgspec.UNSET
    """Seconds between messages; 0 stops."""
    types: Types | msgspec.UnsetType = msgspec.UNSET
    """`dhcp-snooping`, `wifi-frames`, `state`; an empty list is all of these."""
    lifetime: Lifetime = 3600
    """Seconds until it ends by itself."""
    kafka: bool = False
    """For the event bus; else for WebSockets."""


class TelemetryStatus(msgspec.Struct, rename="camel"):
    """State of the telemetry of a device."""

    running: bool
    interval: int
    websocket_timer: int
    """When the last subscription of viewers ends, Unix seconds; 0: there is none."""
    kafka_timer: int
    websocket_clients: int
    kafka_clients: int
    websocket_packets: int
    kafka_packets: int


class TelemetryAnswer(msgspec.Struct, rename="camel", omit_defaults=True):
    """What was done."""

    action: str
    """`start`, `stop` or `status`."""
    status: TelemetryStatus
    serial_number: str = ""
    uuid: str = ""
    uri: str = ""
    """WebSocket that gives the messages to whoever connects."""


@post(
    "/device/{serial_number:str}/telemetry",
    **documented(
        "Start or stop live telemetry",
        tag=_TAG,
        answer=TelemetryAnswer,
        query=TelemetryQuery,
        body=TelemetryBody,
        details="Viewers share the stream of a device: the smallest interval wins, all types are "
        "asked for, each subscription ends at its own time, or with its viewer.",
    ),
)
async def telemetry(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Start, stop or tell."""
    serial = path_serial(serial_number)
    asked = query.read(request.scope, TelemetryQuery)
    if await context.reader.device(serial) is None:
        raise ApiError(404)
    ask = context.coordinator.request
    if asked.status_only:
        found = await ask("telemetry.status", {"serial": serial})
        return _answer("status", found.result, serialNumber=serial)
    order = await body.read(request, TelemetryBody)
    if not order.serial_number or order.interval is msgspec.UNSET or order.types is msgspec.UNSET:
        raise ApiError(1018, "serialNumber, interval, types")
    same_serial(order.serial_number, serial)
    identity = str(uuid.uuid4())
    arguments = {
        "serial": serial,
        "command": identity,
        "by": caller.email,
        "interval": order.interval,
        "types": order.types or ["dhcp-snooping", "state", "wifi-frames"],
        "lifetime": order.lifetime,
        "kafka": order.kafka,
    }
    if order.interval == 0:
        found = await ask("telemetry.stop", arguments)
        return _answer("stop", found.result, serialNumber=serial, uuid=identity)
    found = await ask("telemetry.start", arguments)
    more = {"serialNumber": serial, "uuid": identity}
    if not order.kafka:
        base = "wss" + context.public_url(request).removeprefix("https")
        more["uri"] = f"{base}/api/v1/ws_telemetry?uuid={identity}&serialNumber={serial}"
    return _answer("start", found.result, **more)


def _answer(action: str, status: dict[str, Any], **more: str) -> Answer:
    return document({"action": action, "status": status, **more})


@get("/ws", **documented(
    "Notifications, by WebSocket",
    tag=_TAG,
    details="The first frame is `token:<access token>`. Then notifications of the types that the "
    "answer lists. A plain GET is refused with error 1029.",
    status=400,
    public=True,
))  # fmt: skip
async def ui_socket(request: AnyRequest) -> Answer:
    """Refuse what is no upgrade."""
    raise ApiError(1029)


@get("/ws_telemetry", **documented(
    "Live telemetry, by WebSocket",
    tag=_TAG,
    details="The URL is that of the answer to `telemetry`. A plain GET is answered 405.",
    status=405,
    public=True,
))  # fmt: skip
async def telemetry_socket(request: AnyRequest) -> Answer:
    """Refuse what is no upgrade (northbound.md 4.10)."""
    raise ApiError(1029, http=405)


@get("/device/{serial_number:str}/tail", **documented(
    "Messages of one device, by WebSocket",
    tag=_TAG,
    details="For administrators. The first frame is `token:<access token>`. Then every message "
    "from and to the device: `time` (ms), `direction` (`received`, `sent`, `session`), `method`, "
    "`size`, `message`; `leftOut` says how many there was no room for. A plain GET is refused "
    "with error 1029.",
    status=400,
))  # fmt: skip
async def tail_socket(request: AnyRequest, serial_number: FromPath[str]) -> Answer:
    """Refuse what is no upgrade."""
    path_serial(serial_number)
    raise ApiError(1029)

"""/radiusSessions/{serialNumber}: accounting sessions, and their end (northbound.md 4.9)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.context import Context
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, Success, document, success
from gw.api.serials import path_serial
from gw.core.errors import ApiError

_TAG: Final = "RADIUS"
_ANY: Final = "0"
_MAX_SERIALS: Final = 100_000


class RadiusSessionsQuery(query.Query):
    """Which sessions; for the serial number `0` one of the three is needed."""

    user_name: str = ""
    """A part of the user's name, whatever its case."""
    mac: str = ""
    """A part of the station's address, whatever separates its digits."""
    serial_number_only: bool = False
    """Answer only which devices have sessions."""
    offset: int = 0
    """Sessions to skip."""
    limit: int = 1000
    """Sessions to return, at most."""


class RadiusSession(msgspec.Struct, rename="camel", kw_only=True):
    """What is known of one station's session."""

    started: int
    """Epoch seconds; so is the next."""
    last_transaction: int
    destination: str
    """The RADIUS server that accounts it."""
    serial_number: str
    user_name: str
    accounting_session_id: str
    accounting_multi_session_id: str
    input_packets: int
    output_packets: int
    input_octets: int
    output_octets: int
    input_giga_words: int
    output_giga_words: int
    session_time: int
    """Seconds."""
    calling_station_id: str
    chargeable_user_identity: str
    interface: str
    secret: str
    """Always empty."""
    nas_id: str
    called_station_id: str


class RadiusSessionsAnswer(msgspec.Struct):
    """Sessions by device."""

    sessions: list[RadiusSession]


class RadiusSerialsAnswer(msgspec.Struct, rename="camel"):
    """Devices that have sessions."""

    serial_numbers: list[str]


class RadiusOperation(query.Query):
    """What is done with the sessions that the body names."""

    operation: str = ""
    """coadm or disconnectUser."""


class RadiusSessionBody(msgspec.Struct, rename="camel", kw_only=True):
    """Which sessions end. For coadm the last three are needed, for disconnectUser the first."""

    user_name: str = ""
    calling_station_id: str = ""
    accounting_session_id: str = ""
    accounting_multi_session_id: str = ""


@get(
    "/radiusSessions/{serial_number:str}",
    **documented(
        "List RADIUS sessions",
        tag=_TAG,
        answer=Combined("anyOf", (RadiusSessionsAnswer, RadiusSerialsAnswer)),
        query=RadiusSessionsQuery,
        details="The serial number `0` stands for all devices.",
    ),
)
async def list_radius_sessions(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer the sessions of a device, a user or a station, or the devices that have some."""
    asked = query.read(request.scope, RadiusSessionsQuery)
    if asked.serial_number_only:
        return document({"serialNumbers": await _serials(context)})
    serial = _serial(serial_number)
    if not serial and not asked.user_name and not asked.mac:
        raise ApiError(1018, "userName, mac or serialNumberOnly is needed with serial number 0")
    limit = query.bounded(asked.limit, context.max_page)
    arguments = {"serial": serial, "user_name": asked.user_name[:256], "mac": asked.mac[:64]}
    return document({"sessions": await _sessions(context, arguments, asked.offset, limit)})


@put(
    "/radiusSessions/{serial_number:str}",
    **documented(
        "End RADIUS sessions",
        tag=_TAG,
        answer=Success,
        query=RadiusOperation,
        body=RadiusSessionBody,
        details="The device is asked by a Disconnect-Request (RFC 5176), and its answer awaited.",
    ),
)
async def end_radius_sessions(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Ask the device to end one session (coadm), or all of a user (disconnectUser)."""
    serial = _serial(serial_number)
    operation = query.read(request.scope, RadiusOperation).operation
    if operation not in ("coadm", "disconnectUser"):
        raise ApiError(1031, "operation is coadm or disconnectUser")
    named = await body.read(request, RadiusSessionBody)
    arguments: dict[str, Any] = {"serial": serial}
    if operation == "disconnectUser":
        if not named.user_name:
            raise ApiError(1018, "userName")
        arguments["user_name"] = named.user_name
    else:
        for name in ("calling_station_id", "accounting_session_id", "accounting_multi_session_id"):
            if not getattr(named, name):
                raise ApiError(1018, _CAMEL[name])
        arguments |= {
            "mac": named.calling_station_id,
            "session_id": named.accounting_session_id,
            "multi_session_id": named.accounting_multi_session_id,
        }
    answer = await context.coordinator.request("radius.disconnect", arguments)
    return success(request.method, f"{answer.result['ended']} sessions ended")


_CAMEL: Final = {one.name: one.encode_name for one in msgspec.structs.fields(RadiusSessionBody)}


def _serial(text: str) -> str:
    return "" if text == _ANY else path_serial(text)


async def _serials(context: Context) -> list[str]:
    found: list[str] = []
    while len(found) < _MAX_SERIALS:
        arguments = {"after": found[-1] if found else ""}
        result = (await context.coordinator.request("radius.serials", arguments)).result
        found += result["items"]
        if not result["more"]:
            break
    return found


async def _sessions(
    context: Context, arguments: dict[str, Any], offset: int, limit: int
) -> list[Any]:
    """Ask for the sessions in pieces: one answer of the coordinator has 64 KiB at most."""
    found: list[Any] = []
    after = ["", ""]
    while len(found) < limit:
        asked = arguments | {"after": after, "offset": offset, "limit": limit - len(found)}
        result = (await context.coordinator.request("radius.sessions", asked)).result
        found += [one["session"] for one in result["items"]]
        if not result["more"]:
            break
        after, offset = result["items"][-1]["key"], 0
    return found

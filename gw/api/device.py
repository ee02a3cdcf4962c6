"""/device/{serialNumber}: one device (northbound.md 4.2)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.body import ConfigurationField
from gw.api.configuration_validation import Validity
from gw.api.context import Context
from gw.api.device_document import (
    ConfigurationFacts,
    ConnectionState,
    DeviceDocument,
    configuration_facts,
    connection_document,
    device_document,
)
from gw.api.devices import CompleteInfo, complete_infos, session_statuses
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, document, empty
from gw.api.serials import path_serial, same_serial
from gw.core.errors import INTERNAL, ApiError
from gw.security.roles import Operation
from gw.validation.examination import Device

_TAG = "Devices"
_EXISTS: Final = 1021
_STATUS = Combined("allOf", (ConnectionState, ConfigurationFacts))


class DeviceQuery(query.Query):
    """Parameters of GET."""

    complete_info: bool = False
    """Also the session and the newest reports."""


class CreateQuery(query.Query):
    """Parameters of POST."""

    validate_only: bool = False
    """Create nothing: only tell whether the configuration is valid."""
    device_type: str = ""
    """`switch`, or it is an access point; empty: as stored. Only for `validateOnly`."""
    strict: bool = False
    """Also refuse what the schema could not judge."""


class Note(msgspec.Struct):
    """A remark; author and date are set by the gateway."""

    note: str


class NewDevice(msgspec.Struct, rename="camel", kw_only=True):
    """A device to be created. Strings default to empty."""

    serial_number: str = ""
    configuration: ConfigurationField = msgspec.UNSET
    """An object, or a string that holds one. Numbers keep their spelling."""
    device_type: str = "ap"
    compatible: str = ""
    manufacturer: str = ""
    mac_address: str = ""
    owner: str = ""
    location: str = ""
    venue: str = ""
    entity: str = ""
    subscriber: str = ""
    device_password: str = ""
    fw_update_policy: str = ""
    notes: list[Note] = msgspec.field(default_factory=list)


class DeviceChange(msgspec.Struct, rename="camel", kw_only=True):
    """What PUT may change; absent members stay. Notes are appended."""

    configuration: ConfigurationField = msgspec.UNSET
    venue: str | msgspec.UnsetType = msgspec.UNSET
    owner: str | msgspec.UnsetType = msgspec.UNSET
    location: str | msgspec.UnsetType = msgspec.UNSET
    subscriber: str | msgspec.UnsetType = msgspec.UNSET
    entity: str | msgspec.UnsetType = msgspec.UNSET
    notes: list[Note] = msgspec.field(default_factory=list)


@get(
    "/device/{serial_number:str}",
    **documented(
        "Read a device",
        tag=_TAG,
        answer=Combined("anyOf", (DeviceDocument, CompleteInfo)),
        query=DeviceQuery,
    ),
)
async def read_device(
    request: AnyRequest, context: NamedDependency[Context], serial_number: FromPath[str]
) -> Answer:
    """Answer one device."""
    serial = path_serial(serial_number)
    if not query.read(request.scope, DeviceQuery).complete_info:
        return await _device(context, serial, missing=ApiError(404))
    row = await context.reader.device(serial)
    if row is None:
        raise ApiError(404)
    return document((await complete_infos(context, [row]))[0])


@post(
    "/device/{serial_number:str}",
    **documented(
        "Create a device",
        tag=_TAG,
        answer=Combined("anyOf", (DeviceDocument, Validity)),
        query=CreateQuery,
        body=NewDevice,
    ),
)
async def create_device(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Create a device, or only look at its configuration."""
    serial = path_serial(serial_number)
    asked = query.read(request.scope, CreateQuery)
    new = await body.read(request, NewDevice)
    text = body.configuration_text(new.configuration)
    if asked.validate_only:
        row = await context.reader.device(serial)
        facts = await context.device_facts(row, asked.device_type)
        stored = "" if row is None else row.config_hash
        return document(
            await context.validation.dry_run(text, facts, strict=asked.strict, stored_hash=stored)
        )
    if text is None:
        raise ApiError(1008, "the device needs a configuration")
    await context.validation.accept(text, Device(new.device_type), strict=asked.strict)
    same_serial(path_serial(new.serial_number, 1020), serial)
    fields = {
        "device_type": new.device_type,
        "compatible": new.compatible,
        "manufacturer": new.manufacturer,
        "mac_address": new.mac_address,
        "owner": new.owner,
        "location": new.location,
        "venue": new.venue,
        "entity": new.entity,
        "subscriber": new.subscriber,
        "device_password": new.device_password,
        "fw_update_policy": new.fw_update_policy,
    }
    arguments = {
        "serial": serial,
        # Empty ones are left out, so that the coordinator's own defaults stand.
        "fields": {name: value for name, value in fields.items() if value},
        "notes": _notes(new.notes),
        "by": caller.email,
    }
    try:
        await context.coordinator.request("device.create", arguments, text)
    except ApiError as error:
        if error.number == _EXISTS:
            raise ApiError(1011, "the device exists already") from None  # as owgw says it
        raise
    return await _device(context, serial, missing=ApiError(INTERNAL))


@put(
    "/device/{serial_number:str}",
    **documented("Change a device", tag=_TAG, answer=DeviceDocument, body=DeviceChange),
)
async def change_device(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Change the stored configuration, who owns the device and where it is, or add notes."""
    serial = path_serial(serial_number)
    change = await body.read(request, DeviceChange)
    text = body.configuration_text(change.configuration)
    row = await context.reader.device(serial)
    if row is None:
        raise ApiError(404)
    if text is not None:
        await context.validation.accept(text, Device(row.device_type))
    names = ("venue", "owner", "location", "subscriber", "entity")
    fields = {n: v for n in names if (v := getattr(change, n)) is not msgspec.UNSET}
    await context.coordinator.request(
        "device.update",
        {"serial": serial, "fields": fields, "notes": _notes(change.notes), "by": caller.email},
        text or b"",
    )
    return await _device(context, serial, missing=ApiError(404))


@delete("/device/{serial_number:str}", **documented("Delete a device", tag=_TAG))
async def delete_device(
    context: NamedDependency[Context], caller: NamedDependency[Caller], serial_number: FromPath[str]
) -> Answer:
    """Delete a device with all that is kept of it, and end its session. Root and admin only."""
    serial = path_serial(serial_number)
    caller.require(Operation.DELETE_DEVICE)
    if await context.reader.device(serial) is None:
        raise ApiError(404)
    await context.delete_device(serial)
    return empty()


@get(
    "/device/{serial_number:str}/status",
    **documented("Read the live session of a device", tag=_TAG, answer=_STATUS),
)
async def read_status(context: NamedDependency[Context], serial_number: FromPath[str]) -> Answer:
    """Answer the session of a device, and how it stands to its configuration."""
    serial = path_serial(serial_number)
    status = (await session_statuses(context, [serial])).get(serial)
    row = await context.reader.device(serial)
    facts: dict[str, Any] = {} if row is None else configuration_facts(row)
    live = {"connected": False} if status is None else connection_document(status)
    return document({"serialNumber": serial} | live | facts)


async def _device(context: Context, serial: str, *, missing: ApiError) -> Answer:
    row = await context.reader.device(serial)
    if row is None:
        raise missing
    refused = await context.reader.blacklisted(serial) is not None
    return document(device_document(row, blacklisted=refused))


def _notes(notes: list[Note]) -> list[dict[str, str]]:
    return [{"note": one.note} for one in notes]

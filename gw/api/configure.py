"""POST /device/{serialNumber}/{command}: commands to a device (northbound.md 3)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath

from gw.api import body, query
from gw.api.authentication import Caller
from gw.api.body import ConfigurationField
from gw.api.command_document import ConfigureDocument, command_document
from gw.api.configuration_validation import Validity
from gw.api.context import Context
from gw.api.documented import Combined, documented
from gw.api.envelope import Answer, AnyRequest, document, failure
from gw.api.serials import path_serial, same_serial
from gw.core.errors import ApiError
from gw.store.rows import CommandRow
from gw.validation.problems import Problem

_TAG = "Commands"
_MARGIN_SECONDS: Final = 15.0
"""How much longer than the device may take the answer of the coordinator is awaited."""

Epoch = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class ConfigureQuery(query.Query):
    """Parameters of configure."""

    strict: bool = False
    """Answer 400 when the device has an error to report, or the schema could not judge."""
    force: bool = False
    """Send it even if the device refused the same configuration before. Ours, not owgw's."""
    validate_only: bool = False
    """Send and store nothing: tell whether it is valid, and what it would change. Ours."""


class ConfigureBody(msgspec.Struct, rename="camel", kw_only=True):
    """A configuration for a device."""

    serial_number: str | msgspec.UnsetType = msgspec.UNSET
    uuid: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="UUID", default=msgspec.UNSET)
    """Must be there; its value is not used: the gateway gives the number."""
    configuration: ConfigurationField = msgspec.UNSET
    """An object, or a string that holds one. Numbers keep their spelling."""
    when: Epoch = 0
    """Epoch seconds; 0: now."""


@post(
    "/device/{serial_number:str}/configure",
    **documented(
        "Configure a device",
        tag=_TAG,
        answer=Combined("anyOf", (ConfigureDocument, Validity)),
        query=ConfigureQuery,
        body=ConfigureBody,
        details="Waits until the device has answered. `errorCode` 1: applied with "
        "substitutions, 2: refused; `results.status.rejected` says why.",
    ),
)
async def configure(
    request: AnyRequest,
    context: NamedDependency[Context],
    caller: NamedDependency[Caller],
    serial_number: FromPath[str],
) -> Answer:
    """Send a configuration and answer what became of it."""
    serial = path_serial(serial_number)
    asked = query.read(request.scope, ConfigureQuery)
    device = await context.reader.device(serial)
    if device is None:
        raise ApiError(404)
    order = await body.read(request, ConfigureBody)
    text = body.configuration_text(order.configuration)
    facts = await context.device_facts(device)
    if asked.validate_only:
        return document(
            await context.validation.dry_run(
                text, facts, strict=asked.strict, stored_hash=device.config_hash
            )
        )
    absent = [
        name
        for name, given in (
            ("serialNumber", order.serial_number is not msgspec.UNSET),
            ("UUID", order.uuid is not msgspec.UNSET),
            ("configuration", text is not None),
        )
        if not given
    ]
    if absent or text is None:
        raise ApiError(1018, ", ".join(absent))
    same_serial(str(order.serial_number), serial)
    found = await context.validation.accept(text, facts, strict=asked.strict)
    command = str(uuid.uuid4())
    await context.coordinator.request(
        "command.configure",
        {
            "serial": serial,
            "command": command,
            "by": caller.email,
            "when": order.when,
            "force": asked.force,
            "strict": asked.strict,
        },
        text,
        timeout=context.settings.configuration.answer_seconds + _MARGIN_SECONDS,
    )
    row = await context.reader.command(command)
    if row is None:
        raise command_deleted(command)
    return outcome(request, row, strict=asked.strict, warnings=found.warnings)


def command_deleted(command: str) -> ApiError:
    """Return what a call is told that waited for a command while another one deleted it."""
    return ApiError(1137, f"command {command} was deleted before it ended")


def outcome(
    request: AnyRequest, row: CommandRow, *, strict: bool, warnings: Sequence[Problem] = ()
) -> Answer:
    """Answer a command that came to an end, or waits for its device.

    With `strict`, what the device refused is a 400 whose body is still the command; clients
    that look for the members of an error find those as well.
    """
    found = command_document(row)
    if row.status == "executing":
        found["status"] = "pending"  # sent, and the answer may still come (northbound.md 3)
    if warnings:
        found["warnings"] = warnings
    if not (strict and row.error_code != 0):
        return document(found)
    found["status"] = "failed"
    error = ApiError(1137, row.error_text or f"the device answered error {row.error_code}")
    envelope = failure(error, request.method)
    found["ErrorCode"] = envelope.error_code
    found["ErrorDetails"] = envelope.error_details
    found["ErrorDescription"] = envelope.error_description
    return document(found, error.http)

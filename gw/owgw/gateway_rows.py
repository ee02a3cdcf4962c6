"""Rows of owgw's own database as rows of ours. No I/O here."""

from __future__ import annotations

from typing import Any

import msgspec

from gw._native import ConfigError, config_hash
from gw.core.ids import MAX_CONFIG_UUID, mac_address, normalize_serial
from gw.owgw.cells import RowError, array, flag, names_in, notes, number, text
from gw.owgw.source import Raw
from gw.protocol import configuration as rules
from gw.store import rows


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def serial_of(row: Raw) -> str:
    """Return the serial number of a row. Raises RowError."""
    try:
        return normalize_serial(text(row, "serialnumber"), separators=True)
    except ValueError as error:
        raise RowError(f"serialnumber: {error}") from None


def _configuration(row: Raw, name: str) -> tuple[str, str]:
    """Return a configuration without its id, and its hash; empty ones for none."""
    raw = text(row, name).strip()
    if not raw:
        return "", ""
    try:
        document = rules.without_uuid(raw.encode())
        return document.decode(), config_hash(document)
    except (msgspec.MsgspecError, ConfigError, ValueError, RecursionError):
        raise RowError(f"{name}: is no JSON object that can be a configuration") from None


def _platform(row: Raw, name: str) -> str:
    return "switch" if "switch" in text(row, name).lower() else "ap"


def device(row: Raw) -> rows.DeviceRow:
    """Return a device, with the configuration that it is to have. Raises RowError.

    Its id stays, so that a device which runs it is in step from its first report on.
    """
    serial = serial_of(row)
    configuration, content = _configuration(row, "configuration")
    pending, pending_content = _configuration(row, "pendingconfiguration")
    uuid = number(row, "uuid")
    pending_uuid = number(row, "pendinguuid")
    for name, one in (("uuid", uuid), ("pendinguuid", pending_uuid)):
        if one > MAX_CONFIG_UUID:
            raise RowError(f"{name}: {one} is above {MAX_CONFIG_UUID}, which no device can follow")
    if not pending or pending_uuid <= uuid:
        pending, pending_content, pending_uuid = "", "", 0
    details = text(row, "restrictiondetails") or "{}"
    try:
        msgspec.json.decode(details, type=dict[str, Any])
    except msgspec.MsgspecError:
        details = "{}"
    created = number(row, "creationtimestamp")
    return rows.DeviceRow(
        serial_number=serial,
        device_type=_platform(row, "devicetype"),
        compatible=text(row, "compatible"),
        model=text(row, "manufacturer"),
        manufacturer=text(row, "manufacturer"),
        mac_address=text(row, "macaddress") or mac_address(serial),
        firmware=text(row, "firmware"),
        fw_update_policy=text(row, "fwupdatepolicy"),
        owner=text(row, "owner"),
        location=text(row, "location"),
        venue=text(row, "venue"),
        entity=text(row, "entity"),
        subscriber=text(row, "subscriber"),
        device_password=text(row, "devicepassword"),
        notes=_json(notes(row)),
        locale=text(row, "locale"),
        restricted_device=flag(row, "restricteddevice"),
        restriction_details=details,
        simulated=flag(row, "simulated"),
        connect_reason=text(row, "connectreason"),
        created=created,
        modified=number(row, "modified") or created,
        last_configuration_change=number(row, "lastconfigurationchange"),
        last_configuration_download=number(row, "lastconfigurationdownload"),
        last_fw_update=number(row, "lastfwupdate"),
        last_recorded_contact=number(row, "lastrecordedcontact"),
        certificate_expiry=number(row, "certificateexpirydate"),
        configuration=configuration,
        config_uuid=uuid if configuration else 0,
        config_hash=content,
        pending_configuration=pending,
        pending_uuid=pending_uuid,
        pending_hash=pending_content,
    )


def capabilities(row: Raw) -> rows.CapabilitiesRow:
    """Return what a device announced of itself. Raises RowError."""
    raw = text(row, "capabilities")
    try:
        msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise RowError("capabilities: is no JSON object") from None
    return rows.CapabilitiesRow(
        serial_number=serial_of(row),
        capabilities=raw,
        first_update=number(row, "firstupdate"),
        last_update=number(row, "lastupdate"),
    )


def default_configuration(row: Raw) -> rows.DefaultConfigurationRow:
    """Return a configuration for new devices. Raises RowError."""
    configuration, _ = _configuration(row, "configuration")
    if not configuration:
        raise RowError("configuration: is empty")
    name = text(row, "name").strip().lower()
    if not name:
        raise RowError("name: is empty")
    return rows.DefaultConfigurationRow(
        name=name,
        configuration=configuration,
        model_ids=_json(names_in(row, "models")),
        description=text(row, "description"),
        platform=_platform(row, "platform"),
        created=number(row, "created"),
        last_modified=number(row, "lastmodified"),
    )


def default_firmware(row: Raw) -> rows.DefaultFirmwareRow:
    """Return the firmware for a type of devices. Raises RowError."""
    found = rows.DefaultFirmwareRow(
        device_type=text(row, "devicetype").strip().lower(),
        uri=text(row, "uri"),
        revision=text(row, "revision"),
        description=text(row, "description"),
        image_creation_date=number(row, "imagecreationdate"),
        created=number(row, "created"),
        last_modified=number(row, "lastmodified"),
    )
    for name in ("device_type", "uri", "revision"):
        if not getattr(found, name):
            raise RowError(f"{name.replace('_', '')}: is empty")
    return found


def blacklisted(row: Raw) -> rows.BlacklistRow:
    """Return a device that is refused. Raises RowError."""
    return rows.BlacklistRow(
        serial_number=serial_of(row),
        reason=text(row, "reason"),
        author=text(row, "author"),
        created=number(row, "created"),
    )


def script(row: Raw) -> rows.ScriptRow:
    """Return a stored script. Raises RowError."""
    for name in ("id", "name", "content"):
        if not text(row, name).strip():
            raise RowError(f"{name}: is empty")
    return rows.ScriptRow(
        id=text(row, "id"),
        name=text(row, "name"),
        type=text(row, "type") or "shell",
        content=text(row, "content"),
        description=text(row, "description"),
        uri=text(row, "uri"),
        version=text(row, "version"),
        author=text(row, "author"),
        restricted=_json([one for one in array(row, "restricted") if isinstance(one, str)]),
        deferred=flag(row, "deferred"),
        timeout=number(row, "timeout") or 30,
        default_upload_uri=text(row, "defaultuploaduri"),
        created=number(row, "created"),
        modified=number(row, "modified"),
    )

"""Devices that say `connect`: known ones are updated, unknown ones treated by policy."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec

from gw._native import config_hash
from gw.coordinator.presence import DeviceSession
from gw.coordinator.shadow import Shadow, from_device
from gw.coordinator.work import Committer
from gw.core.ids import MAX_CONFIG_UUID, mac_address
from gw.ops import logs
from gw.protocol import configuration as rules
from gw.protocol import restrictions
from gw.protocol.country import insert_country
from gw.protocol.messages import Capabilities, ConnectParams, capabilities
from gw.store.interface import PutCapabilities, PutDevice
from gw.store.rows import DefaultConfigurationRow, DeviceRow

log = logs.get("onboarding")

ACCESS_POINT_DEFAULT: Final = (
    b'{"unit":{"leds-active":true},'
    b'"interfaces":[{"name":"WAN","role":"upstream","services":["ssh","lldp"],'
    b'"ethernet":[{"select-ports":["WAN*"]}],"ipv4":{"addressing":"dynamic"}}],'
    b'"metrics":{"statistics":{"interval":60,"types":["ssids","lldp","clients"]},'
    b'"health":{"interval":120}},'
    b'"services":{"lldp":{"describe":"uCentral","location":"universe"},"ssh":{"port":22}}}'
)
"""For access points that no default configuration names: reachable, and no radio is opened."""


def find_default(
    found: Capabilities, defaults: dict[str, DefaultConfigurationRow]
) -> tuple[bytes, str]:
    """Return a default configuration (without uuid) for a new device, and where it is from.

    The first by name whose models hold the device's `compatible` or `*`, and whose platform, if
    it has one, is the device's (southbound.md 4.5). Empty: the device is to be configured by hand.
    """
    for name in sorted(defaults):
        row = defaults[name]
        models = msgspec.json.decode(row.model_ids, type=list[str])
        fits = found.compatible in models or "*" in models
        if fits and row.platform.lower() in ("", found.platform):
            return rules.without_uuid(row.configuration.encode()), name
    if found.platform == "ap":
        return ACCESS_POINT_DEFAULT, "built in"
    return b"", ""


def create(
    serial: str,
    params: ConnectParams,
    session: DeviceSession,
    defaults: dict[str, DefaultConfigurationRow],
    *,
    quarantined: bool,
    work: Committer,
    provisioned: bytes | None = None,
    country: str = "",
) -> Shadow:
    """Add an unknown device with the configuration that was provisioned, or a default one.

    `country` is for its radios that have none (southbound.md 4.5).
    """
    now = int(time.time())
    found = capabilities(params.capabilities)
    if quarantined:
        document, origin = b"", ""
    elif provisioned is not None:
        document, origin = provisioned, "provisioned"
    else:
        document, origin = find_default(found, defaults)
    document, locale = insert_country(document, country) if document else (b"", "")
    uuid = 0
    if document:
        used = (params.uuid,) if params.uuid < MAX_CONFIG_UUID else ()
        uuid = rules.next_uuid(now, *used)
    note = (
        "In quarantine." if quarantined else f"Created at first connect; configuration: {origin}."
    )
    row = DeviceRow(
        serial_number=serial,
        device_type=found.platform,
        compatible=found.compatible,
        model=found.model,
        manufacturer=found.model,
        mac_address=mac_address(serial),
        notes=msgspec.json.encode(
            [{"created": now, "createdBy": "*system", "note": note}]
        ).decode(),
        created=now,
        modified=now,
        locale=locale,
        quarantined=quarantined,
        configuration=document.decode(),
        config_uuid=uuid,
        config_hash=config_hash(document) if document else "",
        last_configuration_change=now if document else 0,
        last_configuration_download=now if document else 0,
    )
    work.write(PutDevice(row), 512 + len(document))
    log.info("device created", serial=serial, compatible=found.compatible, origin=origin,
             quarantined=quarantined)  # fmt: skip
    return from_device(row)


def update(shadow: Shadow, params: ConnectParams, session: DeviceSession, work: Committer) -> None:
    """Bring a device's row up to what its `connect` says."""
    now = int(time.time())
    row = shadow.row
    found = capabilities(params.capabilities)
    values: dict[str, Any] = {
        "simulated": session.certificate.verdict == "SIMULATED",
        "certificate_expiry": session.certificate.not_after,
    }
    if params.firmware != row.firmware:
        values["firmware"] = params.firmware
        if row.firmware:
            log.info("firmware changed", serial=row.serial_number, old=row.firmware,
                     new=params.firmware)  # fmt: skip
        values["last_fw_update"] = now
    if found.compatible:
        values["compatible"] = found.compatible
    if found.platform:
        values["device_type"] = found.platform
    if params.reason is not None:
        values["connect_reason"] = params.reason
    # Absent means unknown, not empty: the stored one stays. Quirk: no-reason-no-password.
    if params.password is not None:
        values["device_password"] = params.password
    if not row.last_recorded_contact:
        values["last_recorded_contact"] = now
    limits = restrictions.announced(found.restrictions, found.developer)
    values["restricted_device"] = limits is not None
    values["restriction_details"] = "{}" if limits is None else limits.document()
    shadow.set(work, **values)
    session.firmware = params.firmware
    session.reason = row.connect_reason
    text = bytes(params.capabilities).decode()
    work.write(PutCapabilities(row.serial_number, text, now), len(text))

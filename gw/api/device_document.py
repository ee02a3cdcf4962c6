"""The Device and ConnectionState objects of northbound.md 2.7, and our additions to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import structlog

from gw.api import visibility
from gw.core.ids import mac_address
from gw.protocol.configuration import (
    HOLD_NOTHING,
    HOLD_REJECTED,
    HOLD_REJECTED_ID,
    HOLD_UNMANAGED,
    with_uuid,
)
from gw.store.rows import DeviceRow

_log = structlog.get_logger("gw.api")

ConfigurationState = Literal[
    "in_step", "pending", "drifted", "rejected", "held", "unmanaged", "unknown"
]

_NO_RESTRICTIONS: Final = msgspec.Raw(
    b'{"dfs":false,"ssh":false,"rtty":false,"tty":false,"developer":false,"upgrade":false,'
    b'"commands":false,"country":[],"key_info":{"vendor":"","algo":""}}'
)
_EMPTY_OBJECT: Final = msgspec.Raw(b"{}")


class ConfigurationFacts(msgspec.Struct, kw_only=True):
    """How a device stands to its configuration. Ours: owgw has none of it."""

    configuration_hash: str = msgspec.field(name="configurationHash", default="")
    """Content hash of the stored configuration."""
    applied_uuid: int = msgspec.field(name="appliedUUID", default=0)
    """Configuration that the device reported last; 0: it never did."""
    applied_hash: str = msgspec.field(name="appliedHash", default="")
    """Content hash that the device reported; empty if its agent reports none."""
    rejected_uuid: int = msgspec.field(name="rejectedUUID", default=0)
    """Configuration that the device refused last; 0: none."""
    rejections: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Array of {parameter, reason, substitution}."""
    rejected_text: str = msgspec.field(name="rejectedText", default="")
    configuration_state: ConfigurationState = msgspec.field(
        name="configurationState", default="unknown"
    )
    hold: str = ""
    """Why nothing is sent although the device is not in step; empty: no reason."""


class DeviceDocument(ConfigurationFacts, rename="camel", kw_only=True):
    """A device as `/device` and `/devices` answer it."""

    serial_number: str
    device_type: str
    black_listed: bool = False
    mac_address: str
    manufacturer: str
    uuid: int = msgspec.field(name="UUID")
    configuration: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """The stored configuration, with its `uuid`."""
    notes: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Array of {created, createdBy, note}."""
    created_timestamp: int
    last_configuration_change: int
    last_configuration_download: int
    last_fw_update: int = msgspec.field(name="lastFWUpdate")
    owner: str
    location: str
    venue: str
    firmware: str
    compatible: str
    fw_update_policy: str
    device_password: str
    subscriber: str
    entity: str
    modified: int
    locale: str
    restricted_device: bool
    pending_configuration: str
    pending_configuration_cmd: str
    restriction_details: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    pending_uuid: int = msgspec.field(name="pendingUUID")
    simulated: bool
    last_recorded_contact: int
    certificate_expiry_date: int
    connect_reason: str


class ConnectionState(msgspec.Struct, rename="camel", kw_only=True):
    """The live session of a device; the defaults are those of a device without one."""

    ip_address: str = ""
    tx_bytes: int = 0
    rx_bytes: int = 0
    message_count: int = 0
    uuid: int = msgspec.field(name="UUID", default=0)
    connected: bool = False
    firmware: str = ""
    last_contact: int | str = ""
    associations_2g: int = msgspec.field(name="associations_2G", default=0)
    associations_5g: int = msgspec.field(name="associations_5G", default=0)
    associations_6g: int = msgspec.field(name="associations_6G", default=0)
    web_socket_clients: int = 0
    websocket_packets: int = 0
    kafka_clients: int = 0
    kafka_packets: int = 0
    locale: str = ""
    started: int = 0
    session_id: int = 0
    connection_completion_time: float = 0.0
    total_connection_time: int = 0
    certificate_expiry_date: int = 0
    certificate_issuer_name: str = ""
    connect_reason: str = ""
    uptime: int = 0
    compatible: str = ""
    has_radius_sessions: int = msgspec.field(name="hasRADIUSSessions", default=0)
    has_gps: bool = msgspec.field(name="hasGPS", default=False)
    sanity: int = 0
    memory_used: float = 0.0
    load: float = 0.0
    temperature: float = 0.0
    verified_certificate: str = "NO_CERTIFICATE"
    listener: str = ""
    """Beyond owgw: name of the listener that it came in by; empty: it is not connected."""


class ConnectionStatistics(msgspec.Struct, rename="camel"):
    """The fleet in three numbers."""

    connected_devices: int
    average_connection_time: int
    connecting_devices: int


NO_CONNECTION: Final[dict[str, Any]] = msgspec.to_builtins(ConnectionState())
_STORED_TOO: Final = frozenset(
    ("UUID", "firmware", "locale", "certificateExpiryDate", "connectReason", "compatible")
)


def configuration_state(row: DeviceRow) -> ConfigurationState:
    """Tell in one word how a device stands to its configuration."""
    if not (row.config_uuid or row.pending_uuid) or row.hold in (HOLD_UNMANAGED, HOLD_NOTHING):
        return "unmanaged"
    if row.pending_uuid:
        return "pending"
    refused = row.rejected_hash != "" and row.rejected_hash == row.config_hash
    if refused or row.hold in (HOLD_REJECTED, HOLD_REJECTED_ID):
        return "rejected"
    if row.applied_uuid == row.config_uuid and row.applied_hash in ("", row.config_hash):
        return "in_step"
    if row.hold:
        return "held"
    return "drifted" if row.applied_at else "unknown"


def configuration_facts(row: DeviceRow) -> dict[str, Any]:
    """Return the members of ConfigurationFacts as they are answered."""
    return {
        "configurationHash": row.config_hash,
        "appliedUUID": row.applied_uuid,
        "appliedHash": row.applied_hash,
        "rejectedUUID": row.rejected_uuid,
        "rejections": visibility.rejections(row.rejections),
        "rejectedText": row.rejected_text,
        "configurationState": configuration_state(row),
        "hold": row.hold,
    }


def device_document(row: DeviceRow, *, blacklisted: bool = False) -> dict[str, Any]:
    """Return the members of DeviceDocument as they are answered.

    Stored JSON goes out as it is: a number keeps the spelling that the operator chose.
    """
    restrictions = row.restriction_details
    return {
        "serialNumber": row.serial_number,
        "deviceType": row.device_type,
        "blackListed": blacklisted,
        "macAddress": row.mac_address or mac_address(row.serial_number),
        "manufacturer": row.manufacturer,
        "UUID": row.config_uuid,
        "configuration": _configuration(row.serial_number, row.configuration, row.config_uuid),
        "notes": msgspec.Raw(row.notes.encode() or b"[]"),
        "createdTimestamp": row.created,
        "lastConfigurationChange": row.last_configuration_change,
        "lastConfigurationDownload": row.last_configuration_download,
        "lastFWUpdate": row.last_fw_update,
        "owner": row.owner,
        "location": row.location,
        "venue": row.venue,
        "firmware": row.firmware,
        "compatible": row.compatible,
        "fwUpdatePolicy": row.fw_update_policy,
        "devicePassword": visibility.secret(row.device_password),
        "subscriber": row.subscriber,
        "entity": row.entity,
        "modified": row.modified,
        "locale": row.locale,
        "restrictedDevice": row.restricted_device,
        "pendingConfiguration": _pending(row),
        "pendingConfigurationCmd": row.pending_command,
        "restrictionDetails": (
            _NO_RESTRICTIONS if restrictions in ("", "{}") else msgspec.Raw(restrictions.encode())
        ),
        "pendingUUID": row.pending_uuid,
        "simulated": row.simulated,
        "lastRecordedContact": row.last_recorded_contact,
        "certificateExpiryDate": row.certificate_expiry,
        "connectReason": row.connect_reason,
        **configuration_facts(row),
    }


def with_status(device: dict[str, Any], status: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a device merged with its session, as `deviceWithStatus=true` answers it."""
    if status is None:
        # What is stored as well must not be hidden by the zeros of an absent session.
        zeros = {name: zero for name, zero in NO_CONNECTION.items() if name not in _STORED_TOO}
        return device | zeros
    return device | connection_document(status)


def connection_document(status: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a session as the coordinator tells it, with every member that clients expect."""
    if status is None:
        return dict(NO_CONNECTION)
    return NO_CONNECTION | {name: status[name] for name in NO_CONNECTION if name in status}


def _configuration(serial: str, text: str, uuid: int) -> msgspec.Raw:
    if not text:
        return _EMPTY_OBJECT
    try:
        return visibility.configuration(with_uuid(text, uuid))
    except msgspec.DecodeError as error:
        # One broken row must not take a page of healthy devices with it.
        _log.error("stored configuration is not JSON", serial=serial, error=str(error))
        return _EMPTY_OBJECT


def _pending(row: DeviceRow) -> str:
    if not row.pending_configuration:
        return ""
    pending = _configuration(row.serial_number, row.pending_configuration, row.pending_uuid)
    return bytes(pending).decode()

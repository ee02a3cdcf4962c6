"""Rows of the store. Times are Unix seconds (UTC) unless the name says otherwise."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, kw_only=True):
    """Base of the rows."""


class DeviceRow(Row):
    """A device, its desired configuration, and what it last reported (southbound.md 6.9)."""

    serial_number: str
    device_type: str = ""
    """Platform: `ap`, `switch`."""
    compatible: str = ""
    model: str = ""
    manufacturer: str = ""
    mac_address: str = ""
    firmware: str = ""
    fw_update_policy: str = ""
    owner: str = ""
    location: str = ""
    venue: str = ""
    entity: str = ""
    subscriber: str = ""
    device_password: str = ""
    notes: str = "[]"
    """JSON array of {created, createdBy, note}."""
    locale: str = ""
    restricted_device: bool = False
    restriction_details: str = "{}"
    simulated: bool = False
    quarantined: bool = False
    connect_reason: str = ""
    created: int = 0
    modified: int = 0
    last_configuration_change: int = 0
    last_configuration_download: int = 0
    last_fw_update: int = 0
    last_recorded_contact: int = 0
    certificate_expiry: int = 0
    firmware_image: str = ""
    """URL of the image that an `upgrade` of the gateway's own was sent for; empty: none."""

    configuration: str = ""
    """Desired configuration: JSON text without a top-level uuid; empty: none."""
    config_uuid: int = 0
    config_hash: str = ""
    pending_configuration: str = ""
    """A change under way; empty: none."""
    pending_uuid: int = 0
    pending_hash: str = ""
    pending_command: str = ""
    """UUID of the command that carries the change."""

    applied_uuid: int = 0
    """As the device last reported; 0: it never did."""
    applied_hash: str = ""
    applied_at: int = 0
    rejected_uuid: int = 0
    rejected_hash: str = ""
    """Content hash of the configuration that the device refused; empty: none."""
    rejected_at: int = 0
    rejected_text: str = ""
    rejections: str = "[]"
    """JSON array of {parameter, reason, substitution}: of a refusal, or of substitutions."""
    sends: int = 0
    """How often the present target was sent without being confirmed."""
    last_sent: int = 0
    hold: str = ""
    """Why nothing is sent although the device is not in step; empty: no reason."""


class ShadowRow(Row):
    """The part of DeviceRow that the coordinator keeps in memory; same names and meaning."""

    serial_number: str
    device_type: str
    compatible: str
    firmware: str
    device_password: str
    locale: str
    connect_reason: str
    simulated: bool
    quarantined: bool
    restricted_device: bool
    restriction_details: str
    last_recorded_contact: int
    last_configuration_change: int
    last_fw_update: int
    certificate_expiry: int
    firmware_image: str
    config_uuid: int
    config_hash: str
    pending_uuid: int
    pending_hash: str
    pending_command: str
    applied_uuid: int
    applied_hash: str
    rejected_uuid: int
    rejected_hash: str
    sends: int
    last_sent: int
    hold: str


class FleetRow(Row):
    """What the summary of the fleet needs of one device."""

    serial_number: str
    compatible: str
    last_recorded_contact: int


class FleetDeviceRow(Row):
    """What a list of the fleet shows of one device."""

    serial_number: str
    device_type: str
    compatible: str
    firmware: str
    venue: str
    entity: str
    simulated: bool
    quarantined: bool
    last_recorded_contact: int
    certificate_expiry: int
    config_uuid: int
    applied_uuid: int
    configuration_state: str
    """Computed by the database: how the device stands to its configuration."""
    hold: str
    rejected_text: str
    rejected_at: int


class FleetSearch(msgspec.Struct, kw_only=True, frozen=True):
    """Which devices a list of the fleet wants; what is empty does not matter."""

    text: str = ""
    """The start of a serial number, or of its last six or four digits; of a type or firmware."""
    state: str = ""
    firmware: str = ""
    compatible: str = ""
    platform: str = ""
    certificate_before: int = 0
    """Only devices whose certificate ends before."""


class EventRow(Row):
    """One event that a device reported."""

    recorded: int
    type: str
    data: str


class StatisticsRow(Row):
    """One `state` report."""

    uuid: int
    recorded: int
    data: str


class HealthCheckRow(Row):
    """One `healthcheck` report."""

    uuid: int
    sanity: int
    recorded: int
    data: str


class LogRow(Row):
    """One log line: `log_type` 0 log, 1 crash or recovery, 2 reboot."""

    log: str
    severity: int
    recorded: int
    log_type: int
    data: str
    uuid: int


class CapabilitiesRow(Row):
    """Capabilities as the device announced them."""

    serial_number: str
    capabilities: str
    first_update: int
    last_update: int


class CommandRow(Row):
    """A command and its one result (southbound.md 3.3, 6.9)."""

    uuid: str
    serial_number: str
    command: str
    status: str
    submitted_by: str = ""
    submitted: int = 0
    executed: int = 0
    completed: int = 0
    run_at: int = 0
    last_try: int = 0
    error_code: int = 0
    error_text: str = ""
    details: str = "{}"
    results: str = "{}"
    custom: int = 0
    waiting_for_file: int = 0
    attach_date: int = 0
    attach_size: int = 0
    attach_type: str = ""
    execution_ms: float = 0.0
    deferred: bool = False
    attempts: int = 0
    """How often it was sent."""
    answered: int = 0
    """When the device answered, Unix seconds; 0: it did not."""
    late_answer: str = ""
    """What the device said after the command had its final status, as JSON text."""


class ConfigurationRow(Row):
    """A configuration that was the desired one of a device, from `recorded` on."""

    id: int
    serial_number: str
    uuid: int
    hash: str
    recorded: int
    author: str
    through: str
    """How it came: `configure`, `device`, `onboarding`, `provisioning`, `restore` or `import`."""
    configuration: str


class ScriptRow(Row):
    """A script that operators keep for devices (southbound.md 6.7)."""

    id: str
    name: str
    type: str
    content: str
    description: str = ""
    uri: str = ""
    version: str = ""
    author: str = ""
    restricted: str = "[]"
    """JSON array of roles that may run it; empty: only root."""
    deferred: bool = False
    timeout: int = 30
    """Seconds."""
    default_upload_uri: str = ""
    created: int = 0
    modified: int = 0


class DefaultConfigurationRow(Row):
    """Configuration for new devices of some models."""

    name: str
    configuration: str
    model_ids: str = "[]"
    """JSON array; `*` is any."""
    description: str = ""
    platform: str = ""
    created: int = 0
    last_modified: int = 0


class DefaultFirmwareRow(Row):
    """Firmware for the devices of one type (northbound.md 2.7)."""

    device_type: str
    """`compatible` of the devices."""
    uri: str
    revision: str
    minimum_revision: str = ""
    """Devices with an older one are upgraded before they are configured; empty: none is."""
    description: str = ""
    image_creation_date: int = 0
    created: int = 0
    last_modified: int = 0


class BlacklistRow(Row):
    """A device that is refused."""

    serial_number: str
    reason: str = ""
    author: str = ""
    created: int = 0


class TelemetrySubscriptionRow(Row):
    """A request for the live telemetry of a device, while its lifetime lasts."""

    uuid: str
    """Of the command that made it."""
    serial_number: str
    kafka: bool
    """For the bus; else for viewers."""
    seconds: int
    """Interval."""
    types: str
    """JSON array."""
    until: int


class RadiusPoolsRow(Row):
    """The configuration of the RADIUS proxy: one row."""

    name: str = "pools"
    document: str = ""
    """JSON text; it holds secrets."""
    modified: int = 0


class UserRow(Row):
    """A user of the security service; `document` holds the rest of UserInfo as JSON."""

    id: str
    email: str
    name: str = ""
    role: str = ""
    password: str = ""
    """Argon2 hash in PHC form."""
    old_passwords: str = "[]"
    change_password: bool = False
    suspended: bool = False
    waiting_for_email_check: bool = False
    created: int = 0
    modified: int = 0
    last_login: int = 0
    document: str = "{}"


class TokenRow(Row):
    """A session of a user. Tokens are kept only as SHA-256."""

    access_hash: str
    refresh_hash: str
    user_id: str
    created: int
    expires: int
    refresh_expires: int
    last_refresh: int = 0


class ApiKeyRow(Row):
    """An API key of a user. The key is kept only as SHA-256."""

    id: str
    user_id: str
    name: str
    description: str = ""
    key_hash: str = ""
    hint: str = ""
    """Its first characters, so that people can tell keys apart."""
    rights: str = "{}"
    """JSON object {acls: [{service, access}]}; no acls: all rights of the owner."""
    created: int = 0
    expires_on: int = 0
    last_use: int = 0


class ActionLinkRow(Row):
    """A link that was mailed to a user. Its id is kept only as SHA-256."""

    link_hash: str
    action: str
    user_id: str
    created: int
    expires: int


class AvatarRow(Row):
    """Picture of a user."""

    user_id: str
    media_type: str
    image: bytes
    modified: int


class SecretRow(Row):
    """A secret of the system that clients ask for by name."""

    name: str
    value: str
    """As `gw.security.sealing` seals it."""


class AuditRow(Row):
    """What somebody did by the API."""

    id: int
    """Order of writing."""
    entry: str
    """UUID that the API gave the request."""
    recorded: int
    author: str
    """E-mail of the user, or name of the sister service."""
    role: str
    via: str
    """`token`, `key <name>`, `internal`, or `sign-in`."""
    address: str
    request: str
    """Method and path, with the names of its parameters in place of their values."""
    operation: str
    target: str
    result: int
    """Number of the error; 0: done; -1: no result was written, the coordinator ended before."""
    detail: str = ""

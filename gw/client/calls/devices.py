"""/devices and /device/{serialNumber} (northbound.md 4.1, 4.2), and former configurations."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gw.api.command_document import CommandDocument, ConfigureDocument
from gw.api.configuration_history_document import Difference, HistoryDocument, HistoryEntry
from gw.api.configuration_validation import Validity
from gw.api.device_document import (
    ConfigurationFacts,
    ConnectionState,
    ConnectionStatistics,
    DeviceDocument,
)
from gw.client.call import (
    Call,
    Pages,
    Reply,
    body,
    configuration,
    member,
    nothing,
    path,
    query,
    whole,
)

Configuration = Mapping[str, Any] | bytes | str
"""An object, or its JSON text, which is sent to the letter."""

CONFIGURE_SECONDS: Final = 150.0
"""How long the gateway may wait for a device at `configure`."""


@dataclass(frozen=True)
class DeviceWithStatus:
    """A device, and its live session."""

    device: DeviceDocument
    connection: ConnectionState


@dataclass(frozen=True)
class Status:
    """The live session of a device, and how it stands to its configuration."""

    connection: ConnectionState
    configuration: ConfigurationFacts


def devices(
    *, offset: int = 0, limit: int = 100, platform: str = "", order_by: str = "",
    select: Sequence[str] = (),
) -> Call[list[DeviceDocument]]:  # fmt: skip
    """List devices: a page, or those of `select`. `platform` is ap or switch; empty: all.

    `order_by` is such as `venue:a,serialNumber:d`.
    """
    params = _page(offset, limit, platform, order_by) | query(select=",".join(select))
    return Call(
        method="GET", path="devices", params=params, read=member("devices", list[DeviceDocument])
    )


def all_devices(
    *, page: int = 100, platform: str = "", order_by: str = ""
) -> Pages[DeviceDocument]:
    """Go through all devices, `page` of them at a time.

    What is created or deleted meanwhile may shift the pages.
    """
    return Pages(lambda at: devices(offset=at, limit=page, platform=platform, order_by=order_by),
                 page)  # fmt: skip


def devices_with_status(
    *, offset: int = 0, limit: int = 100, platform: str = "", order_by: str = "",
    select: Sequence[str] = (),
) -> Call[list[DeviceWithStatus]]:  # fmt: skip
    """List devices as `devices` does, each with its live session."""
    params = _page(offset, limit, platform, order_by)
    params |= query(select=",".join(select), deviceWithStatus=True)
    return Call(method="GET", path="devices", params=params, read=_with_status)


def all_devices_with_status(
    *, page: int = 100, platform: str = "", order_by: str = ""
) -> Pages[DeviceWithStatus]:
    """Go through all devices as `all_devices` does, each with its live session."""
    return Pages(
        lambda at: devices_with_status(offset=at, limit=page, platform=platform, order_by=order_by),
        page,
    )


def device_count(*, platform: str = "") -> Call[int]:
    """Count the devices."""
    return Call(
        method="GET",
        path="devices",
        params=query(countOnly=True, platform=platform),
        read=member("count", int),
    )


def serial_numbers(*, offset: int = 0, limit: int = 100, platform: str = "") -> Call[list[str]]:
    """List serial numbers."""
    params = _page(offset, limit, platform, "") | query(serialOnly=True)
    return Call(
        method="GET", path="devices", params=params, read=member("serialNumbers", list[str])
    )


def connection_statistics() -> Call[ConnectionStatistics]:
    """Read the fleet in three numbers."""
    return Call(
        method="GET",
        path="devices",
        params=query(connectionStatistics=True),
        read=whole(ConnectionStatistics),
    )


def device(serial: str) -> Call[DeviceDocument]:
    """Read a device."""
    return Call(method="GET", path=path("device", serial), read=whole(DeviceDocument))


def create_device(
    serial: str, config: Configuration, *, device_type: str = "ap", compatible: str = "",
    manufacturer: str = "", mac_address: str = "", owner: str = "", location: str = "",
    venue: str = "", entity: str = "", subscriber: str = "", device_password: str = "",
    fw_update_policy: str = "", notes: Sequence[str] = (),
) -> Call[DeviceDocument]:  # fmt: skip
    """Create a device with a configuration."""
    given = body(
        serialNumber=serial, configuration=configuration(config), deviceType=device_type,
        compatible=compatible, manufacturer=manufacturer, macAddress=mac_address, owner=owner,
        location=location, venue=venue, entity=entity, subscriber=subscriber,
        devicePassword=device_password, fwUpdatePolicy=fw_update_policy, notes=_notes(notes),
    )  # fmt: skip
    return Call(method="POST", path=path("device", serial), body=given, read=whole(DeviceDocument))


def update_device(
    serial: str, config: Configuration | None = None, *, owner: str | None = None,
    location: str | None = None, venue: str | None = None, entity: str | None = None,
    subscriber: str | None = None, notes: Sequence[str] = (),
) -> Call[DeviceDocument]:  # fmt: skip
    """Change a device; None leaves a member as it is, notes are added.

    A configuration is stored and sent, and the device's answer is not awaited.
    """
    given = body(
        serialNumber=serial, configuration=configuration(config), owner=owner,
        location=location, venue=venue, entity=entity, subscriber=subscriber,
        notes=_notes(notes),
    )  # fmt: skip
    return Call(method="PUT", path=path("device", serial), body=given, read=whole(DeviceDocument))


def delete_device(serial: str) -> Call[None]:
    """Delete a device with all that is kept of it."""
    return Call(method="DELETE", path=path("device", serial), read=nothing)


def status(serial: str) -> Call[Status]:
    """Read the live session of a device, and how it stands to its configuration."""
    return Call(method="GET", path=path("device", serial, "status"), read=_status)


def configure(
    serial: str, config: Configuration, *, when: int = 0, strict: bool = False, force: bool = False
) -> Call[ConfigureDocument]:
    """Configure a device, wait for its answer, and return the command.

    `when` is in epoch seconds, 0 is now. With `strict` a refusal of the device is raised.
    `force` sends what is unchanged as well.
    """
    return Call(
        method="POST",
        path=path("device", serial, "configure"),
        params=query(strict=strict, force=force),
        body=body(serialNumber=serial, UUID=0, when=when, configuration=configuration(config)),
        read=whole(ConfigureDocument),
        patience=CONFIGURE_SECONDS,
    )


def validate_configuration(
    serial: str, config: Configuration, *, strict: bool = False
) -> Call[Validity]:
    """Tell whether a configuration is valid for a device, and what it would change."""
    return Call(
        method="POST",
        path=path("device", serial, "configure"),
        params=query(validateOnly=True, strict=strict),
        body=body(serialNumber=serial, UUID=0, configuration=configuration(config)),
        read=whole(Validity),
    )


def configurations(serial: str, *, offset: int = 0, limit: int = 100) -> Call[list[HistoryEntry]]:
    """List what the device was to have, newest first."""
    return Call(
        method="GET",
        path=path("device", serial, "configurations"),
        params={"offset": str(offset), "limit": str(limit)},
        read=member("configurations", list[HistoryEntry]),
    )


def former_configuration(serial: str, number: int) -> Call[HistoryDocument]:
    """Read one of `configurations`, whole, by its `id`."""
    return Call(
        method="GET",
        path=path("device", serial, "configurations", str(number)),
        read=whole(HistoryDocument),
    )


def compare_configurations(serial: str, number: int, *, to: int = 0) -> Call[Difference]:
    """Compare one of `configurations` with another one; 0: with the present one."""
    return Call(
        method="GET",
        path=path("device", serial, "configurations", str(number), "difference"),
        params=query(to=to),
        read=whole(Difference),
    )


def restore_configuration(serial: str, number: int) -> Call[CommandDocument]:
    """Configure the device with one of `configurations`, and wait for its answer."""
    return Call(
        method="POST",
        path=path("device", serial, "configurations", str(number), "restore"),
        read=whole(CommandDocument),
        patience=CONFIGURE_SECONDS,
    )


def _page(offset: int, limit: int, platform: str, order_by: str) -> dict[str, str]:
    page = {"offset": str(offset), "limit": str(limit)}
    return page | query(platform=platform, orderBy=order_by)


def _status(reply: Reply) -> Status:
    return Status(whole(ConnectionState)(reply), whole(ConfigurationFacts)(reply))


def _notes(notes: Sequence[str]) -> list[dict[str, str]] | None:
    return [{"note": one} for one in notes] or None


def _with_status(reply: Reply) -> list[DeviceWithStatus]:
    found = functools.partial(member, "devicesWithStatus")
    of_devices = found(list[DeviceDocument])(reply)
    of_sessions = found(list[ConnectionState])(reply)
    return [DeviceWithStatus(*pair) for pair in zip(of_devices, of_sessions, strict=True)]

"""Default configurations, refused devices, and what runs there (northbound.md 4.6, 4.8, 4.12)."""

from __future__ import annotations

from collections.abc import Sequence

from gw.api.blacklist_document import BlacklistDocument
from gw.api.default_configuration_document import DefaultConfigurationDocument
from gw.api.system_document import SystemInfo, SystemResources
from gw.client.call import Call, body, configuration, member, nothing, path, query, whole
from gw.client.calls.devices import Configuration


def default_configurations(
    *, offset: int = 0, limit: int = 100
) -> Call[list[DefaultConfigurationDocument]]:
    """List default configurations."""
    return Call(
        method="GET",
        path="default_configurations",
        params={"offset": str(offset), "limit": str(limit)},
        read=member("configurations", list[DefaultConfigurationDocument]),
    )


def default_configuration(name: str) -> Call[DefaultConfigurationDocument]:
    """Read a default configuration."""
    return Call(
        method="GET",
        path=path("default_configuration", name),
        read=whole(DefaultConfigurationDocument),
    )


def create_default_configuration(
    name: str, config: Configuration, models: Sequence[str], *, description: str = "",
    platform: str = "ap",
) -> Call[None]:  # fmt: skip
    """Create a configuration for new devices of some models; the model `*` is any."""
    return Call(
        method="POST",
        path=path("default_configuration", name),
        body=body(
            configuration=configuration(config),
            modelIds=list(models),
            description=description,
            platform=platform,
        ),
        read=nothing,
    )


def update_default_configuration(
    name: str, config: Configuration | None = None, models: Sequence[str] | None = None, *,
    description: str | None = None, platform: str | None = None,
) -> Call[DefaultConfigurationDocument]:  # fmt: skip
    """Change a default configuration; None leaves a member as it is."""
    return Call(
        method="PUT",
        path=path("default_configuration", name),
        body=body(
            configuration=configuration(config),
            modelIds=None if models is None else list(models),
            description=description,
            platform=platform,
        ),
        read=whole(DefaultConfigurationDocument),
    )


def delete_default_configuration(name: str) -> Call[None]:
    """Delete a default configuration."""
    return Call(method="DELETE", path=path("default_configuration", name), read=nothing)


def blacklist(*, offset: int = 0, limit: int = 100) -> Call[list[BlacklistDocument]]:
    """List refused devices."""
    return Call(
        method="GET",
        path="blacklist",
        params={"offset": str(offset), "limit": str(limit)},
        read=member("devices", list[BlacklistDocument]),
    )


def blacklisted(serial: str) -> Call[BlacklistDocument]:
    """Read why a device is refused; ApiError 404: it is not."""
    return Call(method="GET", path=path("blacklist", serial), read=whole(BlacklistDocument))


def refuse_device(serial: str, reason: str = "") -> Call[BlacklistDocument]:
    """Put a device on the blacklist; its session ends."""
    return Call(
        method="POST",
        path=path("blacklist", serial),
        body=body(serialNumber=serial, reason=reason),
        read=whole(BlacklistDocument),
    )


def change_reason(serial: str, reason: str) -> Call[BlacklistDocument]:
    """Change why a device is refused."""
    return Call(
        method="PUT",
        path=path("blacklist", serial),
        body=body(serialNumber=serial, reason=reason),
        read=whole(BlacklistDocument),
    )


def allow_device(serial: str) -> Call[None]:
    """Take a device off the blacklist."""
    return Call(method="DELETE", path=path("blacklist", serial), read=nothing)


def system_info() -> Call[SystemInfo]:
    """Read what runs there."""
    return Call(method="GET", path="system", params=query(command="info"), read=whole(SystemInfo))


def system_resources() -> Call[SystemResources]:
    """Read what the API's process uses."""
    return Call(
        method="GET",
        path="system",
        params=query(command="resources"),
        read=whole(SystemResources),
    )

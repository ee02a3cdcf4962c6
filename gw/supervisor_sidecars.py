"""Optional roles ("sidecars"): which there are, when they run, and what each is given.

A sidecar is a process `python -m gw.<role>` that runs if `<role>.enabled` is set. It starts once
the coordinator is ready (the schema is in place, it may read the store), is restarted as every
other role is, and ends after the workers and before the coordinator, together with the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from gw.core.settings import Settings

SidecarRole = Literal["radius", "rtty"]


class Port(NamedTuple):
    """One listening socket (TCP) of a sidecar, made by the supervisor."""

    name: str
    """Its name in `Bootstrap.sockets` and in the ready file."""
    setting: str
    """Key of the port in the section of the sidecar; the host is `host` there."""
    scheme: str
    """What its address begins with in the ready file."""


class Sidecar(NamedTuple):
    """One optional role."""

    role: SidecarRole
    """Also the name of its settings section, of its module below `gw`, and of its queues."""
    rings: bool
    """Whether there is a pair of queues between it and the coordinator, named as the role."""
    ports: tuple[Port, ...] = ()


SIDECARS: Final = (
    # Binds its UDP sockets itself: with datagrams there is no backlog to be kept over a restart.
    Sidecar("radius", rings=True),
    Sidecar(
        "rtty",
        rings=False,
        ports=(Port("rtty", "port", ""), Port("rtty_viewer", "viewer_port", "https://")),
    ),
)


def enabled_sidecars(settings: Settings) -> list[Sidecar]:
    """Return those that the settings ask for."""
    return [one for one in SIDECARS if getattr(settings, one.role).enabled]


def with_ports(settings: Settings, sidecars: Sequence[Sidecar], ports: dict[str, int]) -> Settings:
    """Return the settings with the ports that were opened, by socket name, in place of 0.

    Other roles tell devices and clients where a sidecar listens.
    """
    sections = {
        one.role: msgspec.structs.replace(
            getattr(settings, one.role), **{port.setting: ports[port.name] for port in one.ports}
        )
        for one in sidecars
        if one.ports
    }
    return msgspec.structs.replace(settings, **sections)

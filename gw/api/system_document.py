"""What runs here, as it is answered (northbound.md 4.12)."""

from __future__ import annotations

import msgspec


class Certificate(msgspec.Struct, rename="camel"):
    """A certificate file and when it ends."""

    filename: str
    expires_on: int


class SystemInfo(msgspec.Struct, rename="camel"):
    """Answer to `command=info`."""

    version: str
    uptime: int
    """Seconds."""
    start: int
    os: str
    processors: int
    hostname: str
    certificates: list[Certificate]
    ui: str = msgspec.field(name="UI", default="")


class ExtraConfiguration(msgspec.Struct):
    """Answer to `command=extraConfiguration`: this service has none."""


class SystemResources(msgspec.Struct, rename="camel"):
    """Answer to `command=resources`; memory in kB."""

    number_of_file_descriptors: int
    curr_real_mem: int
    peak_real_mem: int
    curr_virt_mem: int
    peak_virt_mem: int


class TagValue(msgspec.Struct):
    """A kind of process and the level of its log."""

    tag: str
    value: str


class TagList(msgspec.Struct, rename="camel"):
    """Answer to `getloglevels`."""

    tag_list: list[TagValue]


class Names(msgspec.Struct):
    """Answer to `getloglevelnames` and `getsubsystemnames`."""

    names: list[str] = msgspec.field(name="list")

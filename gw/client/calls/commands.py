"""Commands to devices, their history, and what devices uploaded (northbound.md 3, 4.4, 4.5)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gw.api.command_document import CommandDocument
from gw.client.call import Call, Pages, Reply, member, nothing, path, query, whole
from gw.client.errors import UnexpectedAnswerError
from gw.protocol import commands as bodies

_NOT_YET: Final = 202
_FILE_NAME: Final = re.compile(r'filename="?([^";]+)')
_PACKAGE_SECONDS: Final = 330.0


@dataclass(frozen=True)
class File:
    """What a device uploaded."""

    name: str
    content: bytes


def _send(
    name: str, serial: str, order: bodies.Body, params: dict[str, str] | None = None
) -> Call[CommandDocument]:
    order.serialNumber = order.serial = serial
    return Call(
        method="POST",
        path=path("device", serial, name),
        params=params,
        body=msgspec.json.encode(order),
        read=whole(CommandDocument),
        patience=bodies.patience(name, order),
    )


def _answered(name: str, serial: str, order: bodies.Body) -> Call[dict[str, Any]]:
    """Return a command whose answer is not that of a command."""
    order.serialNumber = order.serial = serial
    return Call(
        method="POST",
        path=path("device", serial, name),
        body=msgspec.json.encode(order),
        read=whole(dict[str, Any]),
        patience=bodies.patience(name, order),
    )


def reboot(serial: str, *, when: int = 0) -> Call[CommandDocument]:
    """Restart a device. `when` of all commands is in epoch seconds; 0: now."""
    return _send("reboot", serial, bodies.Body(when=when))


def factory(serial: str, *, keep_redirector: bool = True, when: int = 0) -> Call[CommandDocument]:
    """Reset a device to the factory's state; waits for a device that is away."""
    return _send("factory", serial, bodies.FactoryBody(keepRedirector=keep_redirector, when=when))


def upgrade(
    serial: str, uri: str, *, keep_redirector: bool = True, signature: str = "", when: int = 0
) -> Call[CommandDocument]:
    """Let a device install firmware from `uri`; waits for a device that is away."""
    order = bodies.UpgradeBody(uri=uri, keepRedirector=keep_redirector, when=when)
    return _send("upgrade", serial, order, query(FWsignature=signature))


def leds(serial: str, pattern: str, *, duration: int = 30, when: int = 0) -> Call[CommandDocument]:
    """Switch the lights `on` or `off`, or let them `blink`, for `duration` seconds."""
    return _send("leds", serial, bodies.LedsBody(pattern=pattern, duration=duration, when=when))


def ping(serial: str) -> Call[dict[str, Any]]:
    """Measure how long a device takes to answer; the answer has a `latency`."""
    return _answered("ping", serial, bodies.Body())


def request(serial: str, message: str, *, when: int = 0) -> Call[CommandDocument]:
    """Ask a device for its `state` or `healthcheck` now."""
    return _send("request", serial, bodies.RequestBody(message=message, when=when))


def wifiscan(
    serial: str, *, override_dfs: bool = True, active: bool = False, bandwidth: int = 0,
    ies: Sequence[int] = (),
) -> Call[CommandDocument]:  # fmt: skip
    """Let a device scan its neighbourhood. `bandwidth` is in MHz; 0: the device's own."""
    order = bodies.WifiScanBody(
        override_dfs=override_dfs, activeScan=active, bandwidth=bandwidth, ies=list(ies)
    )
    return _send("wifiscan", serial, order)


def eventqueue(serial: str, types: Sequence[str]) -> Call[CommandDocument]:
    """Fetch the queued events of these types, such as `dhcp-snooping` and `wifi-frames`."""
    return _send("eventqueue", serial, bodies.EventQueueBody(types=list(types)))


def trace(
    serial: str, *, network: str = "", interface: str = "", duration: int = 0, packets: int = 0
) -> Call[CommandDocument]:
    """Let a device capture packets for so many seconds, or so many packets; see `file`."""
    order = bodies.TraceBody(
        network=network, interface=interface, duration=duration, numberOfPackets=packets
    )
    return _send("trace", serial, order)


def script(
    serial: str, script: str | bytes = b"", *, type: str = "shell", script_id: str = "",
    timeout: int | None = None, deferred: bool | None = None, uri: str = "",
    signature: str = "", when: int = 0,
) -> Call[CommandDocument]:  # fmt: skip
    """Run a script, or a stored one by `script_id`. `timeout` is in seconds.

    `deferred`: the device uploads the output; see `file`.
    """
    text = script.encode() if isinstance(script, str) else script
    order = bodies.ScriptBody(
        type=type, script=base64.b64encode(text).decode(), scriptId=script_id, uri=uri,
        timeout=msgspec.UNSET if timeout is None else timeout,
        deferred=msgspec.UNSET if deferred is None else deferred,
        signature=signature, when=when,
    )  # fmt: skip
    return _send("script", serial, order)


def rrm(serial: str, actions: Sequence[Mapping[str, Any]]) -> Call[dict[str, Any]]:
    """Steer radios and their clients; no answer of the device is awaited."""
    return _answered("rrm", serial, bodies.RrmBody(actions=[dict(one) for one in actions]))


def powercycle(serial: str, ports: Mapping[str, int], *, when: int = 0) -> Call[CommandDocument]:
    """Cut the power of ports for so many milliseconds each."""
    chosen = [bodies.Port(name=name, cycle=cycle) for name, cycle in ports.items()]
    return _send("powercycle", serial, bodies.PowerCycleBody(ports=chosen, when=when))


def cable_diagnostics(serial: str, ports: Sequence[str], *, when: int = 0) -> Call[CommandDocument]:
    """Test the cables of ports."""
    return _send("cable-diagnostics", serial, bodies.CableBody(ports=list(ports), when=when))


def reenroll(serial: str, *, when: int = 0) -> Call[CommandDocument]:
    """Let a device fetch a new certificate."""
    return _send("reenroll", serial, bodies.Body(when=when))


def fixedconfig(serial: str, country: str, *, when: int = 0) -> Call[CommandDocument]:
    """Set the country that the factory would have set, two letters."""
    return _send("fixedconfig", serial, bodies.FixedConfigBody(country=country, when=when))


def certupdate(serial: str, encoded_certificate: str) -> Call[CommandDocument]:
    """Replace a device's certificate by an encoded package of files."""
    return _send(
        "certupdate", serial, bodies.CertUpdateBody(encodedCertificate=encoded_certificate)
    )


def transfer(serial: str, server: str, port: int) -> Call[CommandDocument]:
    """Move a device to another controller."""
    return _send("transfer", serial, bodies.TransferBody(server=server, port=port))


def packages(serial: str, *, name: str = "") -> Call[dict[str, Any]]:
    """List the packages of a device, or look for one."""
    return Call(
        method="GET", path=path("device", serial, "package"), params=query(pkgName=name),
        read=whole(dict[str, Any]), patience=_PACKAGE_SECONDS,
    )  # fmt: skip


def install_packages(serial: str, packages: Mapping[str, str]) -> Call[dict[str, Any]]:
    """Install packages from web addresses, by name."""
    return _packages("POST", serial, packages)


def delete_packages(serial: str, names: Sequence[str]) -> Call[dict[str, Any]]:
    """Remove packages."""
    return _packages("DELETE", serial, dict.fromkeys(names, ""))


def _packages(method: str, serial: str, packages: Mapping[str, str]) -> Call[dict[str, Any]]:
    chosen = [bodies.Package(name=name, url=url) for name, url in packages.items()]
    order = bodies.PackageBody(serialNumber=serial, serial=serial, packages=chosen)
    return Call(
        method=method, path=path("device", serial, "package"), body=msgspec.json.encode(order),
        read=whole(dict[str, Any]), patience=_PACKAGE_SECONDS,
    )  # fmt: skip


def commands(
    serial: str, *, newest: bool = False, start: int = 0, end: int = 0, offset: int = 0,
    limit: int = 100,
) -> Call[list[CommandDocument]]:  # fmt: skip
    """List what was asked of a device by time, in epoch seconds; 0 is open.

    `newest`: the last ones first, without regard to times and offset.
    """
    params = query(serialNumber=serial, newest=newest, startDate=start, endDate=end)
    return Call(
        method="GET",
        path="commands",
        params=params | {"offset": str(offset), "limit": str(limit)},
        read=member("commands", list[CommandDocument]),
    )


def all_commands(
    serial: str, *, start: int = 0, end: int = 0, page: int = 100
) -> Pages[CommandDocument]:
    """Go through what was asked of a device, oldest first, `page` of them at a time."""
    return Pages(lambda at: commands(serial, start=start, end=end, offset=at, limit=page), page)


def command(uuid: str) -> Call[CommandDocument]:
    """Read a command."""
    return Call(method="GET", path=path("command", uuid), read=whole(CommandDocument))


def cancel_command(uuid: str) -> Call[CommandDocument]:
    """End a command that has not ended yet, and return it."""
    return Call(method="POST", path=path("command", uuid, "cancel"), read=whole(CommandDocument))


def delete_command(uuid: str) -> Call[None]:
    """Delete a command; if its device has not answered yet, the answer is not awaited."""
    return Call(method="DELETE", path=path("command", uuid), read=nothing)


def file(uuid: str, serial: str) -> Call[File | None]:
    """Download what a device uploaded for a command; None: it has not done so yet."""
    return Call(
        method="GET",
        path=path("file", uuid),
        params=query(serialNumber=serial),
        read=_file,
    )


def delete_file(uuid: str, serial: str) -> Call[None]:
    """Delete what a device uploaded; the command stays."""
    return Call(
        method="DELETE",
        path=path("file", uuid),
        params=query(serialNumber=serial),
        read=nothing,
    )


def _file(reply: Reply) -> File | None:
    if reply.status == _NOT_YET:
        return None
    found = _FILE_NAME.search(reply.headers.get("content-disposition", ""))
    if found is None:
        raise UnexpectedAnswerError("the file has no name")
    # The name is for people and for `open`: it must not lead elsewhere.
    return File(found[1].replace("\\", "/").rpartition("/")[2], reply.body)

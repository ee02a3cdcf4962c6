"""What a device says unasked, beside states and health checks (agents.md, "What comes unasked")."""

from __future__ import annotations

import base64
import random
import time
from typing import Any, Final

from gw.core.ids import mac_address
from gw.simulator import messages

Said = tuple[str, dict[str, Any]]
"""Method and parameters."""

RADIUS: Final = "radius"
"""Stands for a RADIUS envelope, which has no method."""


def alarm(serial: str, text: str, severity: str = "major") -> dict[str, Any]:
    """Return an alarm of a switch: all of its members are text."""
    data = {
        "id": "12", "resource": "psu", "text": text, "time_created": str(int(time.time())),
        "type_id": "7", "severity": severity,
    }  # fmt: skip
    return {"serial": serial, "data": data}


def wifiscan(serial: str, uuid: Any) -> dict[str, Any]:
    """Return a scan that an access point makes now and then."""
    cell = {
        "bssid": "d8:07:b6:11:90:2a", "ssid": "Neighbour", "frequency": 5180, "channel": 36,
        "signal": -73, "ies": [{"type": 11, "data": "BQA9AAA="}],
    }  # fmt: skip
    return {"serial": serial, "uuid": uuid, "data": [cell]}


def venue_broadcast(serial: str) -> dict[str, Any]:
    """Return what an access point tells the others of its venue."""
    data = {"rrm": {"op": "neighbors", "bss": [mac_address(serial)]}}
    return {"serial": serial, "timestamp": int(time.time()), "data": data}


def crashlog(serial: str, uuid: Any, lines: list[str]) -> dict[str, Any]:
    """Return the log of a crash."""
    return {"serial": serial, "uuid": uuid, "loglines": lines}


def telemetry(
    platform: messages.Platform, serial: str, uuid: Any, types: list[str], *, adhoc: bool = False
) -> dict[str, Any]:
    """Return one packet of telemetry.

    An access point sorts pairs of time and payload by type; a switch has states only, with
    `timestamp` beside them.
    """
    now = int(time.time())
    if platform == "switch":
        state = {"uuid": uuid, "serial": serial, "state": {"unit": {"localtime": now}}}
        return {"serial": serial, "data": {"state": [[now, state]], "timestamp": now}}
    samples: dict[str, Any] = {
        "dhcp-snooping": {"ack": {"client": "3c:22:fb:10:4e:01", "addr": "10.20.5.101"}},
        "wifi-frames": {"probe": {"sta": "60:f2:62:00:11:22", "signal": -80}},
        "state": {"unit": {"localtime": now}},
    }
    data = {kind: [[now, samples.get(kind, {"type": kind})]] for kind in types}
    return {"serial": serial, "data": data} | ({"adhoc": True} if adhoc else {})


def anything(
    platform: messages.Platform, serial: str, uuid: Any, chance: random.Random, clock: int = 0
) -> Said:
    """Return one of the messages that the agent of `platform` sends now and then.

    `clock` is by how many seconds the device's clock is wrong.
    """
    now = int(time.time()) + clock
    port = {"port": "Ethernet3"} if platform == "switch" else {"iface": "wlan0"}
    both: list[Said] = [
        ("log", messages.log(serial, "uc-client: reconnected\n", 5)),
        ("event", messages.event(serial, "wired.carrier-up", port, now)),
        ("deviceupdate", {"serial": serial, "currentPassword": f"pw-{chance.randrange(10**6)}"}),
    ]
    switch: list[Said] = [
        ("alarm", alarm(serial, "PoE budget exceeded")),
        ("event", messages.event(serial, "wired.poe.overload", port, now)),
    ]
    reboot = messages.reboot_log(serial, uuid, "console", ["[ 812.113] Kernel panic"])
    ap: list[Said] = [
        ("rebootLog", reboot | {"date": max(0, now)}),
        ("crashlog", crashlog(serial, uuid, ["[ 812.113] Kernel panic"])),
        ("wifiscan", wifiscan(serial, uuid)),
        ("telemetry", telemetry("ap", serial, uuid, ["event"], adhoc=True)),
        ("venue_broadcast", venue_broadcast(serial)),
        ("ping", messages.ping(serial, uuid, uuid)),
        ("cfgpending", messages.cfgpending(serial, uuid, uuid)),
        ("recovery", messages.recovery(serial, uuid, "v1", ["gave up"], reboot=False)),
        (RADIUS, {"radius": "acct", "data": base64.b64encode(b"\x04\x01\x00\x14" + bytes(16))}),
    ]
    method, params = chance.choice(both + (switch if platform == "switch" else ap))
    if method == RADIUS:
        params["data"] = bytes(params["data"]).decode("ascii")
    return method, params

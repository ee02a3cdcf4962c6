"""The coordinator dies after each state change of a command: one result, and nothing twice."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from gateway import Gateway

from gw.core import faultpoints
from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.messages import result

pytestmark = pytest.mark.e2e

WAIT = 60.0
SCRIPT = {"type": "diagnostic", "deferred": True}

# command, body, fault point, how it ends, how often the device gets it
CASES = {
    "reboot-executing": ("reboot", {}, "reboot.executing", {"completed"}, 1),
    "reboot-sent": ("reboot", {}, "reboot.sent", {"completed"}, 1),
    "reboot-completed": ("reboot", {}, "reboot.completed", {"completed"}, 1),
    # The change is decided, and not durable yet: it is as if it had not happened.
    "reboot-before-executing": ("reboot", {}, "before.reboot.executing", {"completed"}, 1),
    "reboot-before-completed": ("reboot", {}, "before.reboot.completed", {"completed"}, 1),
    "trace-before-waiting": ("trace", {"network": "up"}, "before.trace.waiting", {"completed"}, 1),
    "factory-before-failed": (
        "factory",
        {"keepRedirector": True},
        "before.factory.failed",
        {"failed"},
        1,
    ),
    "configure-before-completed": (
        "configure",
        {},
        "before.configure.completed",
        {"completed"},
        1,
    ),
    "leds-pending": ("leds", {"pattern": "on"}, "leds.pending", {"completed"}, 1),
    "leds-executing": ("leds", {"pattern": "on"}, "leds.executing", {"completed"}, 1),
    "rrm-sent": (
        "rrm",
        {"actions": [{"action": "kick", "addr": "a4:cf:12:99:3b:77"}]},
        "rrm.sent",
        {"completed"},
        1,
    ),
    "trace-waiting": ("trace", {"network": "up"}, "trace.waiting", {"completed"}, 1),
    "script-waiting": ("script", SCRIPT, "script.waiting", {"completed"}, 1),
    "script-executed": (
        "script",
        SCRIPT | {"uri": "https://elsewhere.example.org/x"},
        "script.executed",
        {"completed", "failed"},
        1,
    ),
    "factory-failed": ("factory", {"keepRedirector": True}, "factory.failed", {"failed"}, 1),
    "configure-pending": ("configure", {}, "configure.pending", {"completed"}, 1),
    "configure-executing": ("configure", {}, "configure.executing", {"completed"}, 1),
    "configure-completed": ("configure", {}, "configure.completed", {"completed"}, 1),
}


async def ask(gateway: Gateway, serial: str, name: str, body: dict[str, object]) -> httpx.Response:
    order = {"serialNumber": serial, "when": 0} | body
    if name == "configure":
        order |= {"UUID": 1, "configuration": {"unit": {"name": "after the kill"}}}
    return await gateway._post(f"device/{serial}/{name}", json.dumps(order))


async def upload(gateway: Gateway, uri: str) -> None:
    async with httpx.AsyncClient(verify=gateway._tls, timeout=WAIT) as client:
        answer = await client.post(
            uri.replace("//localhost:", "//127.0.0.1:"),
            data={"name": "x"},
            files={"data": ("f", b"content", "application/octet-stream")},
        )
        assert answer.status_code == 200, answer.text


def refuse(device: SimulatedDevice) -> None:
    """Let it answer every command with an error."""

    def react(message, incoming) -> None:
        status = {"error": 2, "text": "not today"}
        body = result(incoming.id, device.serial, device.uuid, status)
        device._answer(message.method, [body], message)

    device._react = react


@pytest.mark.parametrize("case", CASES)
async def test_killed_after_a_state_change(
    case, start_gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    name, body, point, ends, times = CASES[case]
    serial = f"02a0d700{list(CASES).index(case):02x}00"
    marker = tmp_path / "reached"
    monkeypatch.setenv(faultpoints.VARIABLE, f"{point}@{marker}")
    gateway = await start_gateway()
    pki.device(gateway.pki, [serial])
    # A switch has no default configuration, so that no `configure` but ours is sent.
    device = SimulatedDevice(
        serial,
        gateway.pki,
        "127.0.0.1",
        gateway.device_port,
        platform="switch",
        action_delay=1.0 if name == "script" else 3600,
    )
    if "factory.failed" in point:
        refuse(device)
    await device.connect(deadline=WAIT)
    await gateway.wait_device(serial, deviceType="switch")
    asking = asyncio.create_task(ask(gateway, serial, name, body))
    async with asyncio.timeout(WAIT):
        while not marker.exists():
            await asyncio.sleep(0.02)  # a file appears: there is no event to await
    await gateway.wait_ready(without={"coordinator": gateway.ready["pids"]["coordinator"]})
    if name in ("trace", "script") and "uri" not in body:
        message = await device.wait_for(name, WAIT)
        await gateway.wait_metric("gw_devices_connected", 1)
        await upload(gateway, message.params["uri"])
    answer = await asking
    assert answer.status_code in (200, 400), answer.text

    async with asyncio.timeout(WAIT):
        while True:
            rows = gateway.sql(
                "SELECT uuid, status, submitted_by FROM commands WHERE command = ?", name
            )
            if rows and rows[0][1] in ("completed", "failed", "timedout", "expired"):
                break
            await asyncio.sleep(0.05)  # the store has no event to await
    assert len(rows) == 1, rows
    assert rows[0][1] in ends, rows
    await device.confirm(WAIT)
    got = [one for one in device.received if one.method == name]
    assert len(got) == times
    # The final state stays: ask again after a further restart.
    await gateway.kill("coordinator")
    await gateway.wait_metric("gw_devices_connected", 1)
    await device.confirm(WAIT)
    again = gateway.sql("SELECT uuid, status FROM commands WHERE command = ?", name)
    assert again == [rows[0][:2]]
    assert len([one for one in device.received if one.method == name]) == times
    device.stop()

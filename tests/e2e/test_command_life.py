"""What commands of operators go through: second and late answers, cancelling, times, scripts."""

from __future__ import annotations

import asyncio
import base64
import json
import time

import httpx
import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator import messages
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults

pytestmark = pytest.mark.e2e

WAIT = 60.0


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


async def send(
    gateway: Gateway, device: SimulatedDevice, name: str, *, method: str = "POST", **body: object
) -> httpx.Response:
    text = json.dumps({"serialNumber": device.serial, "when": 0} | body)
    return await gateway._post(f"device/{device.serial}/{name}", text, method)


async def ended(gateway: Gateway, uuid: str, *, status: str) -> dict[str, object]:
    """Wait until a command shows a status."""
    command: dict[str, object] = {}
    async with asyncio.timeout(WAIT):
        while command.get("status") != status:
            command = await gateway.get(f"command/{uuid}")
            await asyncio.sleep(0.05)  # REST has no event to await
    return command


def answer(device: SimulatedDevice, request: object, **status: object) -> None:
    """Answer a request of the gateway by hand."""
    body = messages.result(request.id, device.serial, device.uuid, status)
    device.send_text(json.dumps(body).encode())


async def test_rrm_has_id_0_and_is_done_once_it_was_sent(gateway, join):
    device = await join("02a0d8000001")
    actions = [
        {"action": "kick", "addr": "a4:cf:12:99:3b:77"},
        {"action": "neighbors", "bssid": "24:f5:a2:07:a1:32",
         "neighbors": [["24:f5:a2:07:a1:33", "Corp-Net", "24f5"]]},
    ]  # fmt: skip
    reply = await send(gateway, device, "rrm", actions=actions)
    assert (reply.status_code, reply.json()["Code"]) == (200, 0), reply.text
    message = await device.wait_for("rrm", WAIT)
    assert message.id == 0
    assert message.params["actions"][0] == actions[0] | {"reason": 5, "ban_time": 30}
    assert message.params["actions"][1] == actions[1]
    rows = (await gateway.get(f"commands?serialNumber={device.serial}"))["commands"]
    assert [one["status"] for one in rows if one["command"] == "rrm"] == ["completed"]
    for wrong in (
        [],
        [{"action": "dance"}],
        [{"action": "kick"}],
        [{"action": "kick", "addr": "nobody"}],
        [{"action": "channel_switch", "bssid": "24:f5:a2:07:a1:32", "channel": 0}],
    ):
        reply = await send(gateway, device, "rrm", actions=wrong)
        assert reply.status_code == 400
        number = reply.json()["ErrorDescription"][:4]
        assert number == ("1192" if wrong else "1018"), reply.text


async def test_packages(gateway, join):
    device = await join("02a0d8000002", faults=Faults(silent=frozenset({"package"})))
    path = f"device/{device.serial}/package"
    cases = [
        ("GET", f"{path}?pkgName=iperf3", None, {"op": "list", "package": "iperf3"},
         {"package": "iperf3 - 3.9-1"}),
        ("POST", path, {"packages": [{"name": "iperf3", "url": "https://p.example.org/i.apk"}]},
         {"op": "install", "packages": [{"name": "iperf3", "url": "https://p.example.org/i.apk"}]},
         {"error": 1, "packages": [{"name": "iperf3", "result": "no space"}]}),
        ("DELETE", path, {"packages": [{"name": "iperf3"}]},
         {"op": "delete", "packages": [{"name": "iperf3"}]},
         {"error": 0, "packages": [{"name": "iperf3", "result": "success"}]}),
    ]  # fmt: skip
    for method, url, body, params, status in cases:
        if method == "GET":
            asking = asyncio.create_task(gateway.request("GET", url))
        else:
            asking = asyncio.create_task(send(gateway, device, "package", method=method, **body))
        message = await device.wait_for("package", WAIT)
        assert message.params == {"serial": device.serial} | params
        answer(device, message, **status)
        reply = await asking
        assert reply.status_code == 200, reply.text
        assert reply.json()["status"] == status
    for wrong in ({"packages": []}, {"packages": [{"name": "../x", "url": "https://x/y"}]},
                  {"packages": [{"name": "x", "url": "file:///x"}]}):  # fmt: skip
        assert (await send(gateway, device, "package", **wrong)).status_code == 400
    assert (await gateway.request("GET", path)).status_code == 400


@pytest.mark.operation(
    "GET /scripts",
    "GET /script/{uuid}",
    "POST /script/{uuid}",
    "PUT /script/{uuid}",
    "DELETE /script/{uuid}",
)
async def test_stored_script(gateway, join):
    device = await join("02a0d8000003")
    script = {
        "name": "uptime", "author": "me", "type": "shell", "version": "1",
        "content": "#!/bin/sh\nuptime\n", "timeout": 45, "restricted": ["admin"],
    }  # fmt: skip
    made = (await gateway._post("script/0", json.dumps(script))).json()
    assert script.items() <= made.items()
    assert made in (await gateway.get("scripts"))["scripts"]
    changed = await gateway._post(f"script/{made['id']}", '{"description":"says how long"}', "PUT")
    assert changed.json()["description"] == "says how long"
    assert await gateway.get(f"script/{made['id']}") == changed.json()

    for which in (made["id"], "uptime"):
        reply = await send(gateway, device, "script", type="shell", scriptId=which)
        assert reply.json()["status"] == "completed", reply.text
        message = await device.wait_for("script", WAIT)
        assert base64.b64decode(message.params["script"]).decode() == script["content"]
        assert (message.params["timeout"], message.params["type"]) == (45, "shell")
    both = await send(gateway, device, "script", type="shell", scriptId="x", script="bHM=")
    assert (both.status_code, both.json()["ErrorCode"]) == (403, 1153)
    neither = await send(gateway, device, "script", type="shell")
    assert neither.status_code == 400
    assert "1153" in neither.text
    for wrong in ({"type": "perl"}, {"restricted": ["nobody"]}, {"uri": "ftp://x"}):
        assert (await gateway._post("script/0", json.dumps(script | wrong))).status_code == 400
    assert (await gateway.request("DELETE", f"script/{made['id']}")).status_code == 200
    assert (await gateway.request("GET", f"script/{made['id']}")).status_code == 404


async def test_second_answer_of_a_deferred_script_ends_it(gateway, join):
    device = await join("02a0d8000004", faults=Faults(silent=frozenset({"script"})))
    for error, result, status in ((0, "done", "completed"), (1, "timed out", "failed")):
        asking = asyncio.create_task(
            send(
                gateway, device, "script",
                type="diagnostic", deferred=True, uri="https://elsewhere.example.org/x",
            )
        )  # fmt: skip
        message = await device.wait_for("script", WAIT)
        answer(device, message, error=0, result="pending")
        command = (await asking).json()
        assert command["status"] == "executed", command
        answer(device, message, error=error, result=result)
        command = await ended(gateway, command["UUID"], status=status)
        assert command["results"]["status"]["result"] == result
        assert command["errorCode"] == error


async def test_late_answer_is_kept_and_changes_nothing(start_gateway):
    deadlines = [{"command": name, "seconds": 0.5} for name in ("leds", "upgrade")]
    gateway = await start_gateway(**{"commands.deadlines": deadlines})
    serial = "02a0d8000005"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(
        serial, gateway.pki, "127.0.0.1", gateway.device_port, platform="switch",
        faults=Faults(silent=frozenset({"leds", "upgrade"})), action_delay=3600,
    )  # fmt: skip
    await device.connect(deadline=WAIT)
    await gateway.wait_device(serial, deviceType="switch")
    # Firmware is answered after its download: the call ends, the command goes on.
    uri = "https://firmware.example.org/image.bin"
    upgrade = (await send(gateway, device, "upgrade", uri=uri)).json()
    assert (upgrade["status"], upgrade["executed"] > 0) == ("pending", True)
    message = await device.wait_for("upgrade", WAIT)
    answer(device, message, error=0, text="Success")
    await ended(gateway, upgrade["UUID"], status="completed")
    command = (await send(gateway, device, "leds", pattern="on")).json()
    assert (command["status"], command["errorText"]) == ("failed", "no answer came in time")
    message = await device.wait_for("leds", WAIT)
    answer(device, message, error=0, text="Success")
    async with asyncio.timeout(WAIT):
        while "lateAnswer" not in command:
            command = await gateway.get(f"command/{command['UUID']}")
            await asyncio.sleep(0.05)  # REST has no event to await
    assert command["status"] == "failed"
    assert command["lateAnswer"]["status"]["text"] == "Success"
    # A second one to the same request, and one to no request at all, are counted.
    answer(device, message, error=0, text="Success")
    await gateway.wait_metric("gw_protocol_errors_total", 1, reason="foreign_answer")
    device.stop()


async def test_upgrade_that_says_2_and_then_0_is_completed(gateway, join):
    device = await join("02a0d8000006", faults=Faults(silent=frozenset({"upgrade"})))
    for last, status in ((0, "completed"), (None, "failed")):
        asking = asyncio.create_task(
            send(gateway, device, "upgrade", uri="https://firmware.example.org/i.bin")
        )
        message = await device.wait_for("upgrade", WAIT)
        answer(device, message, error=2, text="no configuration to keep")
        if last is not None:
            answer(device, message, error=last, text="Triggering FW upgrade")
        assert (await asking).json()["status"] == status


async def test_command_is_cancelled(gateway, join):
    device = await join("02a0d8000007", faults=Faults(silent=frozenset({"leds"})))
    asking = asyncio.create_task(send(gateway, device, "leds", pattern="on"))
    await device.wait_for("leds", WAIT)
    rows = (await gateway.get(f"commands?serialNumber={device.serial}"))["commands"]
    uuid = next(one["UUID"] for one in rows if one["command"] == "leds")
    cancelled = await gateway._post(f"command/{uuid}/cancel", "{}")
    assert cancelled.json()["status"] == "expired"
    assert cancelled.json()["errorText"] == "cancelled by admin@localhost"
    assert (await asking).json()["status"] == "expired"
    assert (await gateway._post(f"command/{uuid}/cancel", "{}")).status_code == 409
    # The device is free for others at once.
    assert (await send(gateway, device, "ping")).status_code == 200


async def test_configure_and_command_for_later(gateway, join):
    device = await join("02a0d8000008", platform="switch")
    at = int(time.time()) + 8  # all of it is asked before that
    body = {"serialNumber": device.serial, "UUID": 1, "when": at,
            "configuration": {"unit": {"name": "overtaken"}}}  # fmt: skip
    path = f"device/{device.serial}/configure"
    first = (await gateway._post(path, json.dumps(body))).json()
    body["configuration"] = {"unit": {"name": "later"}}
    second = (await gateway._post(path, json.dumps(body))).json()
    assert (first["status"], second["status"]) == ("pending", "pending")
    assert second["when"] == at
    leds = (await send(gateway, device, "leds", pattern="on", when=at)).json()
    assert leds["status"] == "pending"
    await ended(gateway, second["UUID"], status="completed")
    command = await ended(gateway, first["UUID"], status="expired")
    assert command["errorText"] == "superseded by a newer command"
    await ended(gateway, leds["UUID"], status="completed")
    assert int(time.time()) >= at
    assert device.config["unit"] == {"name": "later"}
    assert device.counters.configures == 1


async def test_scheduled_command_waits_over_a_restart(start_gateway):
    gateway = await start_gateway()
    serial = "02a0d8000009"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(
        serial, gateway.pki, "127.0.0.1", gateway.device_port, platform="switch"
    )
    await device.connect(deadline=WAIT)
    await gateway.wait_device(serial, deviceType="switch")
    when = int(time.time()) + 4
    leds = (await send(gateway, device, "leds", pattern="on", when=when)).json()
    body = {"serialNumber": serial, "UUID": 1, "when": when,
            "configuration": {"unit": {"name": "later"}}}  # fmt: skip
    change = (await gateway._post(f"device/{serial}/configure", json.dumps(body))).json()
    await gateway.kill("coordinator")
    await ended(gateway, leds["UUID"], status="completed")
    await ended(gateway, change["UUID"], status="completed")
    assert device.config["unit"] == {"name": "later"}
    assert (device.counters.commands, device.counters.configures) == (1, 1)
    device.stop()


async def test_restricted_device(gateway, join):
    capabilities = messages.capabilities("02a0d800000a", "ap", "x", "edgecore_eap102") | {
        "restrictions": {"dfs": True, "commands": True, "sysupgrade": True,
                         "key_info": {"vendor": "acme", "algo": "dgst-sha256"}}
    }  # fmt: skip
    device = await join("02a0d800000a", capabilities=capabilities)
    scan = await send(gateway, device, "wifiscan")
    assert scan.status_code == 400
    assert "1151" in scan.text
    assert (await send(gateway, device, "wifiscan", override_dfs=False)).status_code == 200
    for name, body in (
        ("script", {"type": "shell", "script": "bHM="}),
        ("upgrade", {"uri": "https://firmware.example.org/i.bin"}),
    ):
        refused = await send(gateway, device, name, **body)
        assert refused.status_code == 400
        assert "1146" in refused.text, refused.text
    signed = await send(gateway, device, "script", type="shell", script="bHM=", signature="c2ln")
    assert signed.json()["status"] == "completed"
    assert (await device.wait_for("script", WAIT)).params["signature"] == "c2ln"


async def test_command_above_the_receive_buffer_is_refused(gateway, join):
    device = await join("02a0d800000b")
    script = base64.b64encode(b"# the same line again and again\n" * 2000).decode()
    reply = await send(gateway, device, "script", type="shell", script=script)
    assert reply.status_code == 400
    assert "receives 32512 at most" in reply.json()["ErrorDescription"]
    assert device.counters.commands == 0

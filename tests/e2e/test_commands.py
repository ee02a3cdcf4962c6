"""Commands of operators reach real agents, and end in exactly one result."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults

pytestmark = pytest.mark.e2e

WAIT = 60.0


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


async def send(gateway: Gateway, device: SimulatedDevice, name: str, **body: object):
    text = json.dumps({"serialNumber": device.serial, "when": 0} | body)
    return await gateway._post(f"device/{device.serial}/{name}", text)


COMMANDS = {
    "reboot": ({}, {"when": 0}),
    "factory": ({"keepRedirector": True}, {"keep_redirector": 1, "when": 0}),
    "leds": ({"pattern": "blink", "duration": 20},
             {"pattern": "blink", "duration": 20, "when": 0}),
    "wifiscan": ({"activeScan": True, "bandwidth": 80},
                 {"override_dfs": True, "active": True, "bandwidth": 80}),
    "eventqueue": ({"types": ["dhcp-snooping"]}, {"types": ["dhcp-snooping"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
async def test_command_is_sent_as_the_agent_knows_it(gateway, join, name):
    device = await join(f"02a0d30000{list(COMMANDS).index(name):02x}")
    body, params = COMMANDS[name]
    answer = await send(gateway, device, name, **body)
    command = answer.json()
    assert (answer.status_code, command["status"]) == (200, "completed"), command
    message = await device.wait_for({"eventqueue": "event"}.get(name, name), WAIT)
    assert message.params == {"serial": device.serial} | params
    assert command["details"] == message.params
    assert (command["command"], command["submittedBy"]) == (name, "admin@localhost")
    assert command["results"]["status"]["error"] == command["errorCode"] == 0
    assert await gateway.get(f"command/{command['UUID']}") == command


async def test_ping_answers_with_the_round_trip(gateway, join):
    device = await join("02a0d3000010")
    answer = (await send(gateway, device, "ping")).json()
    assert answer["serialNumber"] == device.serial
    assert answer["latency"].endswith("ms.")
    assert float(answer["latency"][:-3]) > 0


@pytest.mark.parametrize("wanted", ["state", "healthcheck"])
async def test_request_brings_the_message_with_its_id(gateway, join, wanted):
    """The message is the command's result; it comes after the answer, which has the status."""
    device = await join("02a0d3000011" if wanted == "state" else "02a0d3000018")
    command = (await send(gateway, device, "request", message=wanted)).json()
    assert command["status"] == "completed"
    message = await device.wait_for("request", WAIT)
    assert message.params["request_uuid"] == command["UUID"]
    async with asyncio.timeout(WAIT):
        while "unit" not in command["results"]:
            await asyncio.sleep(0.05)
            command = await gateway.get(f"command/{command['UUID']}")
    assert (command["status"], command["errorCode"]) == ("completed", 0)
    newest = "statistics" if wanted == "state" else "healthchecks"
    shown = await gateway.get(f"device/{device.serial}/{newest}?lastOnly=true")
    assert command["results"] == (shown if wanted == "state" else shown["values"])
    # Another device, or another command, is not changed by naming it.
    other = await join("02a0d3000019" if wanted == "state" else "02a0d300001a")
    other.send("healthcheck", {"uuid": 1, "sanity": 1, "data": {}, "request_uuid": command["UUID"]})
    await other.confirm(WAIT)
    least = 2 if wanted == "healthcheck" else 1
    await gateway.wait_metric("gw_store_records_committed_total", least, kind="healthcheck")
    assert await gateway.get(f"command/{command['UUID']}") == command


async def test_requested_message_may_come_before_the_answer_or_without_it(gateway, join):
    """Then it settles the command, and the answer changes nothing."""
    device = await join("02a0d300001b", faults=Faults(silent=frozenset({"request"})))
    device.faults = Faults(silent=frozenset({"request"}))
    asking = asyncio.create_task(send(gateway, device, "request", message="healthcheck"))
    message = await device.wait_for("request", WAIT)
    command = (await asking).json()
    assert (command["status"], command["results"]) == ("completed", {"unit": {"memory": 27.4}})
    status = {"error": 1, "text": "too late"}
    body = {"serial": device.serial, "uuid": device.uuid, "status": status}
    device.send_text(json.dumps({"jsonrpc": "2.0", "id": message.id, "result": body}).encode())
    await device.confirm(WAIT)
    device.send_state()
    await gateway.wait_metric("gw_store_records_committed_total", 1, kind="statistics")
    shown = await gateway.get(f"command/{command['UUID']}")
    assert shown.pop("lateAnswer")["status"] == status
    assert shown == command
    # Its place is free for the next one.
    assert (await send(gateway, device, "leds", pattern="on")).status_code == 200


async def test_devices_refusal_is_a_400_with_the_command(gateway, join):
    device = await join("02a0d3000012", platform="switch")
    answer = await send(gateway, device, "factory", keepRedirector=False)
    assert answer.status_code == 200  # a switch answers everything with success
    device = await join("02a0d3000013")
    asking = asyncio.create_task(
        send(gateway, device, "upgrade", uri="https://firmware.example.org/image.bin")
    )
    message = await device.wait_for("upgrade", WAIT)
    assert message.params["keep_redirector"] == 1
    answer = await asking
    assert answer.json()["status"] == "completed"


WRONG = {
    "no serial": ("leds", {"serialNumber": "", "pattern": "on"}, "1018"),
    "another serial": ("leds", {"serialNumber": "02a0d3ffffff", "pattern": "on"}, "1030"),
    "pattern": ("leds", {"pattern": "disco"}, "1018"),
    "duration": ("leds", {"pattern": "on", "duration": 0}, "1018"),
    "no keepRedirector": ("factory", {}, "1018"),
    "uri": ("upgrade", {"uri": "file:///etc/passwd"}, "1152"),
    "message": ("request", {"message": "password"}, "1018"),
    "no types": ("eventqueue", {"types": []}, "1018"),
    "cycle": ("powercycle", {"ports": [{"name": "Ethernet0", "cycle": 60_001}]}, "1018"),
    "unknown": ("dance", {}, "1031"),
}


async def test_wrong_parameters_send_nothing(gateway, join):
    device = await join("02a0d3000014")
    for what, (name, body, number) in WRONG.items():
        answer = await send(gateway, device, name, **body)
        assert answer.status_code == 400, (what, answer.text)
        assert answer.json()["ErrorDescription"].startswith(number), (what, answer.text)
    await device.confirm(WAIT)
    assert device.counters.commands == 0


async def test_absent_device(gateway, join):
    device = await join("02a0d3000015")
    await device.drop()
    await gateway.wait_metric("gw_session_ends_total", 1)
    answer = await send(gateway, device, "leds", pattern="on")
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1033")
    # What may wait does, is superseded by a newer one, and goes out once.
    first = (await send(gateway, device, "factory", keepRedirector=False)).json()
    second = (await send(gateway, device, "factory", keepRedirector=True)).json()
    assert (first["status"], second["status"]) == ("pending", "pending")
    await device.connect(deadline=WAIT)
    message = await device.wait_for("factory", WAIT)
    assert message.params["keep_redirector"] == 1
    async with asyncio.timeout(WAIT):
        while (await gateway.get(f"command/{second['UUID']}"))["status"] != "completed":
            await asyncio.sleep(0.05)
    ended = await gateway.get(f"command/{first['UUID']}")
    assert (ended["status"], ended["errorText"]) == ("expired", "superseded by a newer command")


async def test_one_command_at_a_time(gateway, join):
    device = await join("02a0d3000016", faults=Faults(silent=frozenset({"leds"})))
    asking = asyncio.create_task(send(gateway, device, "leds", pattern="on"))
    await device.wait_for("leds", WAIT)
    for name, body in (("ping", {}), ("leds", {"pattern": "off"})):
        answer = await send(gateway, device, name, **body)
        assert answer.status_code == 400
        assert answer.json()["ErrorDescription"].startswith("1145")
    configure = await gateway.configure(device.serial, {"unit": {"name": "busy"}})
    assert configure.json()["ErrorDescription"].startswith("1145")
    # A device that leaves ends it: nobody waits for ever.
    await device.drop()
    answer = (await asking).json()
    assert answer["status"] == "failed"
    assert "connection was lost" in answer["errorText"]


async def test_reboot_is_sent_once_also_over_a_restart_of_the_coordinator(start_gateway):
    gateway = await start_gateway()
    serial = "02a0d3000017"
    pki.device(gateway.pki, [serial])
    faults = Faults(silent=frozenset({"reboot"}))
    device = SimulatedDevice(
        serial, gateway.pki, "127.0.0.1", gateway.device_port, faults=faults, action_delay=3600
    )
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    asking = asyncio.create_task(send(gateway, device, "reboot"))
    await device.wait_for("reboot", WAIT)
    await gateway.kill("coordinator")
    await gateway.wait_metric("gw_devices_connected", 1)
    await device.drop()
    await asyncio.gather(asking, return_exceptions=True)
    await device.connect(deadline=WAIT)
    await device.confirm(WAIT)
    rows = gateway.sql("SELECT status FROM commands WHERE command = 'reboot'")
    assert len(rows) == 1
    assert device.counters.commands == 1
    device.stop()


async def upload(
    gateway: Gateway, url: str, content: bytes, kind: str = "application/octet-stream"
) -> httpx.Response:
    """Upload a file as an access point does: a form with the parts `name` and `data`."""
    url = url.replace("//localhost:", "//127.0.0.1:")
    async with httpx.AsyncClient(verify=gateway._tls, timeout=WAIT) as client:
        return await client.post(
            url, data={"name": "a device"}, files={"data": ("trace.pcap", content, kind)}
        )


async def file_of(gateway: Gateway, device: SimulatedDevice, command: str) -> httpx.Response:
    return await gateway.request("GET", f"file/{command}?serialNumber={device.serial}")


async def test_files_in_the_database(start_gateway):
    gateway = await start_gateway(**{"files.store": "database"})
    serial = "02a0d3000023"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(
        serial, gateway.pki, "127.0.0.1", gateway.device_port, platform="switch"
    )
    await device.connect(deadline=WAIT)
    await gateway.wait_device(serial, deviceType="switch")
    command = (await send(gateway, device, "trace", network="up")).json()
    message = await device.wait_for("trace", WAIT)
    content = bytes(range(256)) * 10_000  # more than one part
    assert (await upload(gateway, message.params["uri"], content)).status_code == 200
    file = await file_of(gateway, device, command["UUID"])
    assert (file.status_code, file.content) == (200, content)
    assert gateway.sql("SELECT count(*) FROM files") == [(3,)]
    assert not any((gateway.folder / "data" / "files").iterdir())
    # The file goes with its command.
    assert (await gateway.request("DELETE", f"command/{command['UUID']}")).status_code == 200
    assert gateway.sql("SELECT count(*) FROM files") == [(0,)]
    device.stop()


async def test_files_go_with_the_commands_and_with_the_device(gateway, join):
    device = await join("02a0a4000021", platform="switch")
    folder = gateway.folder / "data" / "files"
    for path in (f"commands?serialNumber={device.serial}&startDate=1", f"device/{device.serial}"):
        command = (await send(gateway, device, "trace", network="up")).json()
        message = await device.wait_for("trace", WAIT)
        assert (await upload(gateway, message.params["uri"], b"captured")).status_code == 200
        assert (folder / command["UUID"]).exists()
        assert (await gateway.request("DELETE", path)).status_code == 200
        assert not (folder / command["UUID"]).exists()
        assert (await gateway.request("GET", f"command/{command['UUID']}")).status_code == 404


@pytest.mark.operation(
    "GET /file/{uuid}", "DELETE /file/{uuid}", "owgw-upload POST /v1/upload/{uuid}"
)
async def test_trace_is_uploaded_and_downloaded(gateway, join):
    device = await join("02a0d3000020")
    command = (await send(gateway, device, "trace", network="up", duration=5)).json()
    assert (command["status"], command["waitingForFile"]) == ("completed", 1), command
    message = await device.wait_for("trace", WAIT)
    assert (message.params["network"], message.params["duration"]) == ("up", 5)
    uri = message.params["uri"]
    assert uri.endswith(f"/v1/upload/{command['UUID']}")
    assert (await file_of(gateway, device, command["UUID"])).status_code == 202

    # What cannot be a file of this command is refused, and the command goes on waiting.
    for wrong in (uri[:-1] + "0" * 1, uri.replace("/v1/upload/", "/v1/other/")):
        if wrong != uri:
            assert (await upload(gateway, wrong, b"x")).status_code == 404
    content = bytes(range(256)) * 1000
    answer = await upload(gateway, uri, content)
    assert (answer.status_code, answer.json()) == (
        200, {"filename": command["UUID"], "error": 0}
    )  # fmt: skip
    file = await file_of(gateway, device, command["UUID"])
    assert (file.status_code, file.content) == (200, content)
    assert file.headers["content-disposition"] == f"attachment; filename={command['UUID']}.pcap"
    shown = await gateway.get(f"command/{command['UUID']}")
    assert shown["waitingForFile"] == 0
    assert shown["attachFile"] > 0
    # Good for one upload, and for this device only.
    assert (await upload(gateway, uri, b"again")).status_code == 404
    other = await gateway.request("GET", f"file/{command['UUID']}?serialNumber=02a0d3ffffff")
    assert other.status_code == 404
    gone = await gateway.request("DELETE", f"file/{command['UUID']}?serialNumber={device.serial}")
    assert gone.status_code == 200
    assert (await file_of(gateway, device, command["UUID"])).status_code == 404


async def test_script(gateway, join):
    device = await join("02a0d3000021")
    script = base64.b64encode(b"#!/bin/sh\nuptime\n").decode()
    command = (await send(gateway, device, "script", type="shell", script=script)).json()
    assert command["status"] == "completed"
    assert command["results"]["status"]["result"] == "simulated output\n"
    message = await device.wait_for("script", WAIT)
    assert message.params["timeout"] == 30
    assert "uri" not in message.params

    later = (await send(gateway, device, "script", type="diagnostic", deferred=True)).json()
    assert (later["status"], later["waitingForFile"]) == ("completed", 1)
    message = await device.wait_for("script", WAIT)
    assert "timeout" not in message.params
    assert (await upload(gateway, message.params["uri"], b"bundle")).status_code == 200
    assert (await file_of(gateway, device, later["UUID"])).content == b"bundle"


@pytest.mark.operation("owgw-upload POST /v1/upload/{uuid}")
async def test_upload_is_bounded(start_gateway):
    gateway = await start_gateway(**{"files.max_bytes": 100_000})
    serial = "02a0d3000022"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    await gateway.wait_device(serial, configurationState="in_step")
    for number, (content, kind, status) in enumerate(
        [
            (bytes(200_000), "application/octet-stream", 413),
            (b"x", "text/plain", 400),
            (bytes(100_000), "application/octet-stream", 200),
        ]
    ):
        command = (await send(gateway, device, "trace", network="up")).json()
        message = await device.wait_for("trace", WAIT)
        answer = await upload(gateway, message.params["uri"], content, kind)
        assert answer.status_code == status, (number, answer.text)
        shown = await gateway.get(f"command/{command['UUID']}")
        assert shown["waitingForFile"] == 0
        assert shown["errorText"].startswith("File rejected") == (status != 200)
    device.stop()

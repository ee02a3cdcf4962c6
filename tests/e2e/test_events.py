"""Events of a real gateway, as a consumer of its bus sees them (docs/events.md)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from gateway import DEADLINE, Gateway
from picows import WSMsgType

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
TOPICS = (
    "connection", "state", "healthcheck", "wifiscan", "alerts", "command", "device_event_queue",
    "rrm", "device_telemetry",
)  # fmt: skip


class Events:
    """Reads the file of a gateway's bus."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def all(self, topic: str, key: str) -> list[dict[str, Any]]:
        """Values of a topic and key, in order."""
        lines = self.file.read_bytes().split(b"\n")[:-1] if self.file.exists() else []
        events = [json.loads(line) for line in lines if line.endswith(b"}}")]
        return [one["value"] for one in events if (one["topic"], one["key"]) == (topic, key)]

    async def wait(self, topic: str, key: str, test=lambda payload: True) -> dict[str, Any]:
        """Wait for a payload that passes a test."""
        async with asyncio.timeout(DEADLINE):
            while True:
                for value in self.all(topic, key):
                    assert set(value) == {"system", "payload"}
                    if test(value["payload"]):
                        return value["payload"]
                await asyncio.sleep(0.02)  # a file grows: there is no event to await

    async def queued(self, key: str, kind: str) -> dict[str, Any]:
        """Wait for an event of the queue."""
        return await self.wait("device_event_queue", key, lambda one: one.get("type") == kind)


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory, pki_dir):
    folder = tmp_path_factory.mktemp("gateway")
    gateway = Gateway(
        folder, pki_dir,
        **{"bus.file": str(folder / "events"), "bus.update_seconds": 0.2,
           "bus.private_url": "https://gw.test:17002/"},
    )  # fmt: skip
    asyncio.run(gateway.start())
    yield gateway
    assert asyncio.run(gateway.stop()) == 0, gateway.log()[-4000:]


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    return shared_gateway


@pytest.fixture
def events(gateway: Gateway) -> Events:
    return Events(gateway.folder / "events")


@pytest.fixture
async def join(gateway: Gateway):
    """Connect devices, cut at the end."""
    made: list[SimulatedDevice] = []

    async def connect(serial: str, *, accepted: bool = True, **options: Any) -> SimulatedDevice:
        pki.device(gateway.pki, [serial])
        device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port, **options)
        made.append(device)
        await device.connect(deadline=WAIT)
        if accepted:
            await device.wait_for_configure(WAIT)
            await gateway.wait_device(serial, configurationState="in_step")
        return device

    yield connect
    for device in made:
        device.stop()


async def test_life_of_a_connection(gateway, events, join):
    serial = "02a0e7100001"
    device = await join(serial)
    sent = device.connect_params("powerup")
    told = await events.wait("connection", serial, lambda one: "capabilities" in one)
    status = await gateway.get(f"device/{serial}/status")
    assert told["uuid"] == status["sessionId"]
    assert told["connectionIp"] == f"{serial}@{status['ipAddress']}"
    assert told["capabilities"] == sent["capabilities"]
    assert told["firmware"] == sent["firmware"]
    assert {"timestamp", "locale", "reason"} <= told.keys()
    envelope = events.all("connection", serial)[0]["system"]
    number = int((gateway.folder / "data" / "system.id").read_text())
    assert envelope == {"id": number, "host": "https://gw.test:17002"}

    device.send_frame(WSMsgType.PING, b"x")
    ping = (await events.wait("connection", serial, lambda one: "ping" in one))["ping"]
    assert ping.pop("timestamp") >= told["timestamp"]
    assert ping == {
        "serialNumber": serial, "uuid": told["uuid"], "connectionIp": told["connectionIp"],
        "firmware": told["firmware"], "compatible": sent["capabilities"]["compatible"],
        "locale": "",
    }  # fmt: skip

    await device.disconnect()
    end = await events.wait("connection", serial, lambda one: "disconnection" in one)
    assert end["disconnection"].pop("timestamp") >= told["timestamp"]
    assert end["disconnection"] == {"serialNumber": serial, "uuid": told["uuid"]}
    kinds = [next(iter(one["payload"])) for one in events.all("connection", serial)]
    assert kinds[-1] == "disconnection"


@pytest.mark.covers("alarm", "wifiscan", "event")
async def test_what_devices_send_is_told_as_they_sent_it(events, join):
    serial = "02a0e7100002"
    device = await join(serial)
    device.send_state()
    state = await events.wait("state", serial)
    assert state["serial"] == serial
    assert {"unit", "interfaces"} <= state["state"].keys()
    device.send_healthcheck(93)
    health = await events.wait("healthcheck", serial)
    assert (health["serial"], health["sanity"]) == (serial, 93)

    for method, topic, data in (
        ("alarm", "alerts", {"x": [1]}),
        ("wifiscan", "wifiscan", [{"bssid": "a"}]),
    ):
        params = {"serial": serial, "data": data, "more": 1.5}
        device.send(method, params)
        assert await events.wait(topic, serial) == params

    device.send_log("a line", 4)
    line = await events.queued(serial, "device_log")
    assert line["payload"]["recorded"] == line["timestamp"]
    assert (line["payload"]["log"], line["payload"]["severity"]) == ("a line", 4)
    assert line["payload"]["logType"] == 0
    assert line["payload"].keys() == {"data", "log", "severity", "recorded", "logType", "UUID"}

    device.send_event("client.join", {"client": "aa"}, at=1795503600)
    event = await events.queued(serial, "client.join")
    assert event == {
        "type": "client.join", "timestamp": 1795503600, "payload": {"client": "aa"}
    }  # fmt: skip
    device.send_event("rrm.neighbors", {"n": 1}, at=1795503600123)
    assert await events.wait("rrm", serial) == {
        "type": "rrm.neighbors", "timestamp": 1795503600123, "payload": {"n": 1}
    }  # fmt: skip
    device.send_event("client.leave", {})
    await events.queued(serial, "client.leave")
    queue = [one["payload"]["type"] for one in events.all("device_event_queue", serial)]
    assert "rrm.neighbors" not in queue


def without_elements(result):
    for cell in result["status"].get("scan", []):
        cell.pop("ies", None)
    return result


async def test_results_of_scans_and_event_queues_are_told(gateway, events, join):
    serial = "02a0e7100003"
    await join(serial)
    for name, topic, body in (
        ("wifiscan", "wifiscan", {}),
        ("eventqueue", "device_event_queue", {"types": ["dhcp-snooping"]}),
    ):
        text = json.dumps({"serialNumber": serial, "when": 0} | body)
        answer = (await gateway._post(f"device/{serial}/{name}", text)).json()
        assert answer["status"] == "completed"
        told = await events.wait(topic, serial, lambda one: "status" in one)
        # In the answer of REST the elements of a scan are decoded; the bus has them as sent.
        assert without_elements(told) == without_elements(answer["results"])


async def test_changes_are_told(gateway, events, join):
    serial = "02a0e7100004"
    device = await join(serial)
    answer = await gateway.configure(serial, {"interfaces": [], "services": {"a": 1}})
    assert answer.status_code == 200
    change = await events.queued(serial, "unit.configuration_change")
    configuration = change["payload"]["configuration"]
    assert configuration.pop("uuid") == (await gateway.device(serial))["UUID"]
    assert configuration == {"interfaces": [], "services": {"a": 1}}
    old = device.connect_params("")["firmware"]
    await device.disconnect()

    await join(serial, firmware="another one", accepted=False)
    told = await events.queued(serial, "unit.firmware_change")
    assert told["payload"] == {"oldFirmware": old, "newFirmware": "another one"}

    assert (await gateway.request("DELETE", f"device/{serial}")).status_code == 200
    deleted = await events.wait("command", serial)
    assert deleted.keys() == {"command", "timestamp"}
    assert deleted["command"] == "device_deleted"


async def test_refusals_are_told(gateway, events, join):
    serial = "02a0e7100005"
    body = {"serialNumber": serial, "reason": "stolen"}
    assert (await gateway.request("POST", f"blacklist/{serial}", json=body)).status_code == 200
    device = await join(serial, accepted=False)
    await device.closed
    told = (await events.queued(serial, "blacklisted_device"))["payload"]
    assert told.pop("created") > 0
    assert told == {"reason": "stolen", "author": "admin@localhost", "ipaddress": "127.0.0.1"}
    assert events.all("connection", serial) == []


async def test_a_session_that_the_blacklist_ends_is_told(gateway, events, join):
    serial = "02a0e4900005"
    device = await join(serial)
    body = {"serialNumber": serial, "reason": "stolen meanwhile"}
    assert (await gateway.request("POST", f"blacklist/{serial}", json=body)).status_code == 200
    await device.closed
    told = (await events.queued(serial, "blacklisted_device"))["payload"]
    assert told.pop("created") > 0
    assert told == {
        "reason": "stolen meanwhile", "author": "admin@localhost", "ipaddress": "127.0.0.1",
    }  # fmt: skip


async def test_load_is_summed_up(events, join):
    serial = "02a0e7100006"
    await join(serial)
    told = await events.wait(
        "device_event_queue", "system",
        lambda one: one["payload"]["content"]["numberOfDevices"] > 0,
    )  # fmt: skip
    assert told["type"] == "load-update"
    assert told["payload"]["type_id"] == 1000
    assert told["payload"]["content"].keys() == {
        "numberOfDevices", "averageConnectedTime", "numberOfConnectingDevices", "rx", "tx"
    }  # fmt: skip
    numbers = [
        one["payload"]["payload"]["notification_id"]
        for one in events.all("device_event_queue", "system")
    ]
    assert numbers == sorted(set(numbers))


async def test_telemetry_for_the_bus(gateway, events, join):
    serial = "02a0e7100009"
    device = await join(serial)
    device.send("telemetry", {"serial": serial, "adhoc": 0, "data": {"event": [[1, {"n": 0}]]}})
    told = await events.wait("device_telemetry", serial)
    assert told.pop("timestamp") > 1_700_000_000
    assert told == {"event": [[1, {"n": 0}]]}

    body = {"serialNumber": serial, "interval": 3, "types": ["state"], "kafka": True}
    answer = (await gateway._post(f"device/{serial}/telemetry", json.dumps(body))).json()
    assert "uri" not in answer
    assert (answer["status"]["kafkaClients"], answer["status"]["websocketClients"]) == (1, 0)
    assert answer["status"]["kafkaTimer"] > 1_700_000_000
    start = await device.wait_for("telemetry", WAIT)
    assert start.params == {"serial": serial, "interval": 3, "types": ["state"]}
    device.send("telemetry", {"serial": serial, "data": {"state": [[1, {"n": 1}]]}})
    await events.wait("device_telemetry", serial, lambda one: "state" in one)
    status = await gateway.get(f"device/{serial}/status")
    assert (status["kafkaClients"], status["kafkaPackets"]) == (1, 1)

    text = json.dumps(body | {"interval": 0})
    answer = (await gateway._post(f"device/{serial}/telemetry", text)).json()
    assert answer["status"]["running"] is False
    stop = await device.wait_for("telemetry", WAIT)
    assert stop.params == {"serial": serial, "interval": 0}


async def test_this_service_announces_itself(start_gateway, tmp_path):
    file = tmp_path / "events"
    gateway = await start_gateway(
        **{"bus.file": str(file), "workers.count": 1, "api.public_url": "https://gw.test:16002/",
           "bus.private_url": "https://gw.test:17002"}
    )  # fmt: skip
    assert await gateway.stop() == 0
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    told = [one for one in lines if one["topic"] == "service_events"]
    assert {one["key"] for one in told} == {"https://gw.test:17002", "https://gw.test:0"}
    number = int((gateway.folder / "data" / "system.id").read_text())
    for kind, key in (("owgw", "https://gw.test:17002"), ("owsec", "https://gw.test:0")):
        of_kind = [one["value"] for one in told if one["value"]["type"] == kind]
        assert {one["privateEndPoint"] for one in of_kind} == {key}
        assert [one["event"] for one in of_kind][:1] == ["join"]
        assert [one["event"] for one in of_kind][-1:] == ["leave"]
        assert {one["id"] == number for one in of_kind} == {kind == "owgw"}
    value = next(one["value"] for one in told if one["value"]["type"] == "owgw")
    assert value.pop("version")
    assert value == {
        "event": "join", "id": int((gateway.folder / "data" / "system.id").read_text()),
        "type": "owgw", "publicEndPoint": "https://gw.test:16002",
        "privateEndPoint": "https://gw.test:17002",
        "key": (gateway.folder / "data" / "internal.key").read_text().strip(),
    }  # fmt: skip


async def test_unknown_devices_that_are_refused_are_told(start_gateway, tmp_path):
    serial = "02a0e7100007"
    events = Events(tmp_path / "events")
    gateway = await start_gateway(
        **{"bus.file": str(events.file), "devices.unknown": "refuse", "workers.count": 1,
           "bus.skip_topics": ["state"]}
    )  # fmt: skip
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.closed
    told = (await events.queued(serial, "device.not_provisioned"))["payload"]
    assert told.pop("IP").startswith(f"{serial}@127.0.0.1:")
    assert told == {"firmware": device.connect_params("")["firmware"], "deviceType": "ap"}
    device.stop()


async def test_killed_coordinator_tells_every_state_at_least_once(start_gateway, tmp_path):
    serial = "02a0e7100008"
    events = Events(tmp_path / "events")
    gateway = await start_gateway(**{"bus.file": str(events.file), "workers.count": 1})
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    last = 0
    for _ in range(3):
        pid = gateway.ready["pids"]["coordinator"]
        for _ in range(40):
            last = device.send_state()
        os.kill(pid, signal.SIGKILL)
        for _ in range(40):
            last = device.send_state()
        await gateway.wait_ready(without={"coordinator": pid})
    number = device_sequence()
    await events.wait("state", serial, lambda one: number(one) == last)
    numbers = [number(one["payload"]) for one in events.all("state", serial)]
    first = list(dict.fromkeys(numbers))
    assert first == list(range(first[0], last + 1)), "one is missing, or out of order"
    device.stop()


def device_sequence():
    """Return how the simulator numbers its states."""
    return lambda params: params["state"]["unit"]["sequence"]

"""Events of a real gateway on Kafka, read by a client that shares nothing with it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import southbound_vectors as vectors
from gateway import Gateway
from kafka_broker import DEADLINE
from kafka_bus import prefix
from picows import WSMsgType

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
HOST = "https://gw.test:17002"
WHOLE = {
    "state": "state", "healthcheck": "healthcheck", "wifiscan_unsolicited": "wifiscan",
    "alarm": "alerts",
}  # fmt: skip
"""Messages of the specification that are published as they are, and their topics."""


class Topics:
    """What an independent client read of all topics of a gateway, from their beginning."""

    def __init__(self, broker, names: str) -> None:
        self.prefix = names
        self._reader = broker.reader(*(names + topic for topic in TOPICS))

    async def until(self, enough) -> None:
        """Read until `enough()`."""
        await asyncio.to_thread(self._reader.read_until, lambda _: enough())

    def messages(self, topic: str, key: str) -> list[Any]:
        """Messages of a topic and key, in order."""
        return [
            one for one in self._reader.messages
            if one.topic() == self.prefix + topic and one.key() == key.encode()
        ]  # fmt: skip

    def values(self, topic: str, key: str) -> list[dict[str, Any]]:
        """Their values."""
        return [json.loads(one.value()) for one in self.messages(topic, key)]

    def payloads(self, topic: str, key: str) -> list[dict[str, Any]]:
        """What is in their envelopes."""
        return [one["payload"] for one in self.values(topic, key)]

    def all(self) -> list[Any]:
        """All messages."""
        return self._reader.messages

    def close(self) -> None:
        """End reading."""
        self._reader.close()


TOPICS = (
    "connection", "state", "healthcheck", "wifiscan", "alerts", "command", "device_event_queue",
    "rrm", "device_telemetry", "service_events", "provisioning_change",
)  # fmt: skip


@pytest.fixture
def topics(request):
    """Open the topics of a broker; closed at the end."""
    made: list[Topics] = []

    def open_topics(broker, names: str = "") -> Topics:
        made.append(Topics(broker, names))
        return made[-1]

    yield open_topics
    for one in made:
        one.close()


def kafka(broker, **more: object) -> dict[str, object]:
    return {
        "kafka.bootstrap_servers": broker.address(), "bus.private_url": HOST,
        "api.public_url": "https://gw.test:16002", "workers.count": 1,
    } | {f"kafka.{name}": value for name, value in more.items()}  # fmt: skip


async def join(gateway: Gateway, serial: str) -> SimulatedDevice:
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    await gateway.wait_device(serial, configurationState="in_step")
    return device


async def test_each_topic_has_what_the_specification_says(start_gateway, kafka_broker, topics):
    serial, names = "02a0a5100001", prefix()
    gateway = await start_gateway(**kafka(kafka_broker, topic_prefix=names, compression="lz4"))
    read = topics(kafka_broker, names)
    device = await join(gateway, serial)
    sent: dict[str, Any] = {}
    for name in (*WHOLE, "log", "event", "event_rrm", "telemetry_adhoc"):
        message = json.loads(json.dumps(vectors.load(name)).replace("24f5a207a130", serial))
        device.send(message["method"], message["params"])
        sent[name] = message["params"]
    device.send_frame(WSMsgType.PING, b"x")
    await read.until(lambda: any("ping" in one for one in read.payloads("connection", serial)))
    session = (await gateway.get(f"device/{serial}/status"))["sessionId"]
    await device.disconnect()
    await read.until(
        lambda: any("disconnection" in one for one in read.payloads("connection", serial))
    )
    assert (await gateway.request("DELETE", f"device/{serial}")).status_code == 200
    await read.until(
        lambda: read.values("command", serial) and read.values("device_telemetry", serial)
        and read.values("rrm", serial) and all(read.values(one, serial) for one in WHOLE.values())
        and len(read.values("device_event_queue", serial)) >= 2
    )  # fmt: skip
    assert await gateway.stop() == 0
    await read.until(
        lambda: any(one["event"] == "leave" for one in read.values("service_events", HOST))
    )
    node = int((gateway.folder / "data" / "system.id").read_text())

    # As they were sent.
    for name, topic in WHOLE.items():
        assert sent[name] in read.payloads(topic, serial)
    timestamp, event = sent["event_rrm"]["data"]["event"]
    assert read.payloads("rrm", serial) == [
        {"type": event["type"], "timestamp": timestamp, "payload": event["payload"]}
    ]
    told = read.payloads("device_telemetry", serial)[0]
    assert told.pop("timestamp") > 1_700_000_000
    assert told == sent["telemetry_adhoc"]["data"]
    # As the gateway makes them.
    queue = {one["type"]: one for one in read.payloads("device_event_queue", serial)}
    timestamp, event = sent["event"]["data"]["event"]
    assert queue[event["type"]] == {
        "type": event["type"], "timestamp": timestamp, "payload": event["payload"]
    }  # fmt: skip
    line = queue["device_log"]
    assert line["payload"].keys() == {"data", "log", "severity", "recorded", "logType", "UUID"}
    assert line["payload"]["log"] == sent["log"]["log"]
    assert line["timestamp"] == line["payload"]["recorded"]
    first, *others = read.payloads("connection", serial)
    expected = device.connect_params("")
    assert {name: first[name] for name in ("serial", "firmware", "capabilities")} == {
        name: expected[name] for name in ("serial", "firmware", "capabilities")
    }
    assert first["uuid"] == session
    assert first["connectionIp"].startswith(f"{serial}@127.0.0.1:")
    assert {"locale", "timestamp"} <= first.keys()
    ping = next(one["ping"] for one in others if "ping" in one)
    assert ping.keys() == {
        "firmware", "serialNumber", "compatible", "connectionIp", "timestamp", "uuid", "locale"
    }  # fmt: skip
    end = others[-1]["disconnection"]
    assert end.keys() == {"serialNumber", "timestamp", "uuid"}
    assert (end["serialNumber"], end["uuid"]) == (serial, session)
    (gone,) = read.payloads("command", serial)
    assert gone.keys() == {"command", "timestamp"}
    assert gone["command"] == "device_deleted"
    announced = read.values("service_events", HOST)
    assert [announced[0]["event"], announced[-1]["event"]] == ["join", "leave"]
    assert announced[0].keys() == {
        "event", "id", "type", "publicEndPoint", "privateEndPoint", "key", "version"
    }  # fmt: skip
    assert announced[0]["privateEndPoint"] == HOST
    assert announced[0]["publicEndPoint"] == "https://gw.test:16002"
    # Envelopes and headers; a name of a message is there once.
    seen = set()
    for one in read.all():
        topic, value = one.topic().removeprefix(names), json.loads(one.value())
        if topic != "service_events":
            assert value.keys() == {"system", "payload"}
            assert value["system"] == {"id": node, "host": HOST}
        headers = dict(one.headers())
        assert headers.keys() == {"node", "sequence"}
        assert headers["node"] == b"%d" % node
        assert (topic, headers["sequence"]) not in seen
        seen.add((topic, headers["sequence"]))
    assert "provisioning_change" not in {topic for topic, _ in seen}


async def test_a_gateway_starts_without_its_broker_and_its_coordinator_may_die(
    start_gateway, start_kafka, topics
):
    serial = "02a0a6100001"
    broker = start_kafka(running=False)
    gateway = await start_gateway(**kafka(broker, spool_after_seconds=0.2, close_seconds=0.5))
    device = await join(gateway, serial)
    sent = []

    async def send(count: int) -> None:
        for _ in range(count):
            device.send(
                "state", vectors.load("state")["params"] | {"serial": serial, "n": len(sent)}
            )
            sent.append(len(sent))
        await device.drain()

    await send(20)
    await gateway.wait_metric("gw_kafka_spool_messages", 20)
    await gateway.kill("coordinator")
    await send(20)
    await gateway.wait_metric("gw_kafka_spool_messages", 40)
    assert await gateway.metric("gw_kafka_connected") == 0
    assert await gateway.metric("gw_kafka_dropped_total") == 0
    await asyncio.to_thread(broker.start)
    await send(20)
    read = topics(broker)
    async with asyncio.timeout(DEADLINE):
        await read.until(
            lambda: {one.get("n") for one in read.payloads("state", serial)} >= set(sent)
        )
    numbers = [one.get("n") for one in read.payloads("state", serial)]
    assert [one for one in dict.fromkeys(numbers) if one is not None] == sent
    # A repeat can be told: it has the name of the first.
    names = {}
    for one, number in zip(read.messages("state", serial), numbers, strict=True):
        assert names.setdefault(dict(one.headers())["sequence"], number) == number
    # The device noticed nothing.
    assert device.connected
    await read.until(lambda: read.payloads("connection", serial))
    assert {one["uuid"] for one in read.payloads("connection", serial)} == {
        (await gateway.get(f"device/{serial}/status"))["sessionId"]
    }
    await gateway.wait_metric("gw_kafka_connected", 1)
    device.stop()

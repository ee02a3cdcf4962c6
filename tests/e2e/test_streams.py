"""Live streams: notifications, telemetry and tails, with real devices and WebSocket clients."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import websockets
from gateway import DEADLINE, Gateway
from websockets.asyncio.client import ClientConnection, connect

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
STATUS = {
    "running", "interval", "websocketTimer", "kafkaTimer", "websocketClients", "kafkaClients",
    "websocketPackets", "kafkaPackets",
}  # fmt: skip


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    return shared_gateway


class Clients:
    """WebSocket clients of one gateway, closed at the end."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.made: list[ClientConnection] = []

    def url(self, path: str, service: str = "api") -> str:
        base = self.gateway.ready[service].replace("https://localhost", "wss://127.0.0.1")
        return f"{base.replace('https://', 'wss://')}/api/v1/{path}"

    async def open(self, path: str, service: str = "api", **more: Any) -> ClientConnection:
        url = path if path.startswith("wss://") else self.url(path, service)
        client = await connect(
            url.replace("//localhost", "//127.0.0.1"), ssl=self.gateway._tls, open_timeout=WAIT,
            **more,
        )  # fmt: skip
        self.made.append(client)
        return client

    async def sign_in(self, path: str, service: str = "api") -> tuple[ClientConnection, Any]:
        """Open a socket that wants a token; returns it with its greeting."""
        client = await self.open(path, service)
        await client.send(f"token:{await self.gateway.sign_in()}")
        return client, await receive(client)


async def receive(client: ClientConnection, test=lambda message: True) -> Any:
    """Return the next JSON text that passes a test."""
    async with asyncio.timeout(DEADLINE):
        while True:
            message = json.loads(await client.recv())
            if test(message):
                return message


async def notice(client: ClientConnection, kind: int, serial: str) -> dict[str, Any]:
    found = await receive(
        client,
        lambda one: (
            one.get("notification", {}).get("type_id") == kind
            and one["notification"]["content"]["serialNumber"] == serial
        ),
    )
    return found["notification"]


@pytest.fixture
async def clients(gateway: Gateway):
    made = Clients(gateway)
    yield made
    for client in made.made:
        await client.close()


@pytest.fixture
async def join(gateway: Gateway):
    """Connect devices, cut at the end."""
    made: list[SimulatedDevice] = []

    async def connect_device(serial: str, *, known: bool = False) -> SimulatedDevice:
        pki.device(gateway.pki, [serial])
        device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
        made.append(device)
        await device.connect(deadline=WAIT)
        if not known:
            await device.wait_for_configure(WAIT)
            await gateway.wait_device(serial, configurationState="in_step")
        return device

    yield connect_device
    for device in made:
        device.stop()


# -- notifications


@pytest.mark.operation("GET /ws")
async def test_ui_gets_notifications_of_all_types(gateway, clients, join):
    serial = "02a0e7200001"
    ui, greeting = await clients.sign_in("ws")
    assert {one["id"]: one["helper"] for one in greeting["notificationTypes"]} == {
        1: "log", 1000: "device_connections_statistics", 2000: "device_configuration_upgrade",
        3000: "device_firmware_upgrade", 4000: "device_connection", 5000: "device_disconnection",
        6000: "device_statistics",
    }  # fmt: skip
    assert greeting["success"]
    sums = await receive(ui, lambda one: one["notification"]["type_id"] == 1000)
    assert sums["notification"]["content"].keys() == {
        "numberOfDevices", "averageConnectedTime", "numberOfConnectingDevices", "rx", "tx"
    }  # fmt: skip
    device = await join(serial)
    assert (await notice(ui, 4000, serial))["content"] == {"serialNumber": serial}
    sent = (await notice(ui, 2000, serial))["content"]
    assert sent["newUUID"] == (await gateway.device(serial))["UUID"]
    assert sent["oldUUID"] != sent["newUUID"]
    device.send_state()
    first = await notice(ui, 6000, serial)
    await device.disconnect()
    last = await notice(ui, 5000, serial)
    assert last["notification_id"] > first["notification_id"]
    assert last["content"] == {"serialNumber": serial}


async def test_ui_mutes_types(gateway, clients, join):
    serial = "02a0e7200002"
    device = await join(serial)
    ui, _ = await clients.sign_in("ws")
    await ui.send(json.dumps({"drop-notifications": [6000]}))
    await ui.send("{}")
    assert await receive(ui, lambda one: "notification" not in one) == {}  # it is heard by now
    device.send_state()
    await device.disconnect()
    kinds = []

    def kind(message):
        kinds.append(message["notification"]["type_id"])
        return kinds[-1] == 5000 and message["notification"]["content"]["serialNumber"] == serial

    await receive(ui, kind)
    assert 6000 not in kinds


@pytest.mark.operation("GET /ws")
async def test_ui_searches_serial_numbers(gateway, clients, join):
    for number in (1, 2):
        await join(f"02a0e72000a{number}")
    ui, _ = await clients.sign_in("ws")
    for prefix, found in (
        ("02a0e72000a", ["02a0e72000a1", "02a0e72000a2"]),
        ("02A0E72000A2", ["02a0e72000a2"]),
        ("*00a1", ["02a0e72000a1"]),
        ("ffffffffffff", []),
    ):
        command = {"command": "serial_number_search", "serial_prefix": prefix, "id": 7}
        await ui.send(json.dumps(command))
        answer = await receive(ui, lambda one: "notification" not in one)
        assert answer == {"serialNumbers": found}
    for prefix in ("", "*", "xyz", "1234567890123", 5, None):
        await ui.send(json.dumps({"command": "serial_number_search", "serial_prefix": prefix}))
        answer = await receive(ui, lambda one: "notification" not in one)
        assert "serial_prefix" in answer["error"]


@pytest.mark.parametrize(("frame", "key"), [('{"command":"dance"}', "error"), ("[1]", "error"),
                                            ('{"drop-notifications":["x"]}', "error")])  # fmt: skip
async def test_what_ui_says_wrong_is_answered(clients, frame, key):
    ui, _ = await clients.sign_in("ws")
    await ui.send(frame)
    assert key in await receive(ui, lambda one: "notification" not in one)


async def closed(client: ClientConnection) -> int:
    """Read until the socket is closed; returns the code."""
    async with asyncio.timeout(DEADLINE):
        try:
            while True:
                await client.recv()
        except websockets.ConnectionClosed:
            assert client.close_code is not None
            return client.close_code


async def test_ui_leaves_and_is_ended(clients):
    ui, _ = await clients.sign_in("ws")
    await ui.send('{"command":"exit"}')
    assert await receive(ui, lambda one: "notification" not in one) == {"success": "Goodbye."}
    assert await closed(ui) == 1000
    ui, _ = await clients.sign_in("ws")
    await ui.send("no JSON")
    assert await closed(ui) == 1007
    ui, _ = await clients.sign_in("ws")
    await ui.send("x" * 100_000)
    assert await closed(ui) == 1009


@pytest.mark.parametrize("path", ["ws", "device/02a0e7200001/tail"])
@pytest.mark.parametrize("frame", ["token:", "token:nonsense", "hello", "token:" + "x" * 5000])
async def test_sockets_without_a_token_learn_nothing(gateway, clients, path, frame):
    await gateway.mark()
    client = await clients.open(path)
    await client.send(frame)
    answer = json.loads(await client.recv())
    assert answer.keys() == {"error"}
    assert answer["error"].startswith("8:")
    assert await closed(client) == 1008
    await gateway.wait_metric("gw_stream_refusals_total", 1, reason="token")


@pytest.mark.operation("owsec GET /ws")
async def test_security_service_has_a_socket_for_its_log(clients):
    _, greeting = await clients.sign_in("ws", "security")
    assert greeting["notificationTypes"] == [{"id": 1, "helper": "log"}]


async def test_administrators_see_log_lines(clients, join):
    serial = "02a0e7200004"
    ui, _ = await clients.sign_in("ws")
    await join(serial)

    def line(message):
        content = message.get("notification", {}).get("content", {})
        return content.get("msg", "").startswith("device connected") and serial in content["msg"]

    found = (await receive(ui, line))["notification"]
    assert found["type_id"] == 1
    content = found["content"]
    assert (content["level"], content["source"]) == ("information", "devices")
    assert content["thread_name"] == "coordinator"
    assert content["thread_id"] == clients.gateway.ready["pids"]["coordinator"]
    assert abs(content["timestamp"] - time.time()) < 600
    service, _ = await clients.sign_in("ws", "security")
    clients.gateway._token = ""
    await clients.gateway.sign_in()
    signed_in = (await receive(service))["notification"]["content"]
    assert signed_in["thread_name"] == "api"
    assert "Right-Horse" not in json.dumps(signed_in)


async def test_notifications_survive_the_coordinator(gateway, clients, join):
    ui, _ = await clients.sign_in("ws")
    device = await join("02a0e7200003")
    await gateway.kill("coordinator")
    async with asyncio.timeout(DEADLINE):
        while True:  # until the new coordinator knows of the viewer
            device.send_state()
            try:
                async with asyncio.timeout(0.5):
                    await notice(ui, 6000, device.serial)
                break
            except TimeoutError:
                continue


async def test_plain_requests_are_refused(gateway):
    answer = await gateway.request("GET", "ws")
    assert (answer.status_code, answer.json()["ErrorDescription"][:4]) == (400, "1029")
    assert (await gateway.request("GET", "ws_telemetry")).status_code == 405
    answer = await gateway.request("GET", "device/02a0e7200001/tail")
    assert (answer.status_code, answer.json()["ErrorDescription"][:4]) == (400, "1029")


async def refused(clients: Clients, path: str, **more: Any) -> int:
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await clients.open(path, **more)
    return refusal.value.response.status_code


async def test_unknown_paths_are_refused(clients):
    assert await refused(clients, "nothing") == 404
    assert await refused(clients, "device/xyz/tail") == 400


# -- telemetry


async def telemetry(gateway: Gateway, serial: str, query: str = "", **body: Any) -> Any:
    text = json.dumps({"serialNumber": serial, "types": [], "interval": 5} | body)
    return await gateway._post(f"device/{serial}/telemetry{query}", text)


async def told(device: SimulatedDevice) -> dict[str, Any]:
    return (await device.wait_for("telemetry", WAIT)).params


def push(device: SimulatedDevice, number: int, **more: Any) -> None:
    params = {"serial": device.serial, "data": {"state": [[1795503600, {"n": number}]]}}
    device.send("telemetry", params | more)


@pytest.mark.covers("telemetry")
@pytest.mark.asks("telemetry")
@pytest.mark.operation("GET /ws_telemetry")
async def test_telemetry_reaches_viewers_until_the_last_one_goes(gateway, clients, join):
    serial = "02a0e7200010"
    device = await join(serial)
    began = time.time()
    answer = (await telemetry(gateway, serial, interval=7, types=["state"])).json()
    assert answer.keys() == {"action", "serialNumber", "uuid", "uri", "status"}
    assert answer["uri"].startswith("wss://")
    assert answer["uri"].endswith(
        f"/api/v1/ws_telemetry?uuid={answer['uuid']}&serialNumber={serial}"
    )
    status = answer["status"]
    assert began + 3590 < status.pop("websocketTimer") < time.time() + 3610
    assert status == {
        "running": True, "interval": 7, "kafkaTimer": 0, "websocketClients": 1,
        "kafkaClients": 0, "websocketPackets": 0, "kafkaPackets": 0,
    }  # fmt: skip
    assert await told(device) == {"serial": serial, "interval": 7, "types": ["state"]}
    command = await gateway.get(f"command/{answer['uuid']}")
    assert (command["command"], command["status"]) == ("telemetry", "completed")
    assert command["results"] == {"result": "success"}

    viewer = await clients.open(answer["uri"])
    await viewer.send("token:ignored")
    other = await clients.open(answer["uri"])
    push(device, 1)
    for one in (viewer, other):
        packet = await receive(one)
        assert abs(packet.pop("timestamp") - time.time()) < 600
        assert packet == {"state": [[1795503600, {"n": 1}]]}
    live = await gateway.get(f"device/{serial}/status")
    assert (live["webSocketClients"], live["websocketPackets"]) == (1, 1)

    await other.close()
    push(device, 2)
    assert (await receive(viewer))["state"][0][1] == {"n": 2}
    await viewer.close()
    assert await told(device) == {"serial": serial, "interval": 0}
    status = (await telemetry(gateway, serial, "?statusOnly=true")).json()["status"]
    assert status.keys() == STATUS
    assert (status["running"], status["websocketClients"]) == (False, 0)
    assert await refused(clients, answer["uri"]) == 400  # it is over


async def test_viewers_share_the_smallest_interval_and_all_types(gateway, join):
    serial = "02a0e7200011"
    device = await join(serial)
    await telemetry(gateway, serial, interval=30, types=["state"])
    assert (await told(device))["interval"] == 30
    await telemetry(gateway, serial, interval=60, types=["state"])
    answer = (await telemetry(gateway, serial, interval=10, types=["wifi-frames"])).json()
    assert (answer["status"]["interval"], answer["status"]["websocketClients"]) == (10, 3)
    # An agent that runs refuses a second start.
    assert await told(device) == {"serial": serial, "interval": 0}
    assert await told(device) == {
        "serial": serial, "interval": 10, "types": ["state", "wifi-frames"]
    }  # fmt: skip
    for left in (2, 1):
        status = (await telemetry(gateway, serial, interval=0)).json()
        assert status["action"] == "stop"
        assert status["status"]["websocketClients"] == left
    assert (await telemetry(gateway, serial, interval=0)).json()["status"]["running"] is False
    async with asyncio.timeout(DEADLINE):
        while (await told(device))["interval"]:
            pass


async def test_telemetry_ends_with_its_lifetime_whether_or_not_packets_come(gateway, clients, join):
    serial = "02a0e7200012"
    device = await join(serial)
    answer = (await telemetry(gateway, serial, lifetime=2)).json()
    assert (await told(device))["interval"] == 5
    viewer = await clients.open(answer["uri"])
    assert await closed(viewer) == 1000
    assert await told(device) == {"serial": serial, "interval": 0}


async def test_telemetry_outlives_the_session_and_the_coordinator(gateway, clients, join):
    serial = "02a0e7200013"
    device = await join(serial)
    answer = (await telemetry(gateway, serial, interval=9, types=["state"])).json()
    await told(device)
    viewer = await clients.open(answer["uri"])
    await device.disconnect()
    device = await join(serial, known=True)
    start = {"serial": serial, "interval": 9, "types": ["state"]}
    assert await told(device) == start
    await gateway.kill("coordinator")
    assert await told(device) == {"serial": serial, "interval": 0}
    assert await told(device) == start
    async with asyncio.timeout(DEADLINE):
        number = 0
        while True:  # until the new coordinator knows of the viewer
            number += 1
            push(device, number)
            try:
                async with asyncio.timeout(0.5):
                    await receive(viewer)
                break
            except TimeoutError:
                continue


async def test_viewers_of_an_api_that_died_are_given_up(gateway, clients, join):
    serial = "02a0e7200017"
    device = await join(serial)
    answer = (await telemetry(gateway, serial)).json()
    await told(device)
    viewer = await clients.open(answer["uri"])
    live = await gateway.get(f"device/{serial}/status")
    assert live["webSocketClients"] == 1
    await gateway.kill("api")
    assert await told(device) == {"serial": serial, "interval": 0}
    assert await closed(viewer) == 1006


async def test_telemetry_nobody_asked_for_is_stopped(gateway, join):
    serial = "02a0e7200014"
    device = await join(serial)
    push(device, 1)
    assert await told(device) == {"serial": serial, "interval": 0}
    await gateway.wait_metric("gw_telemetry_unasked_total", 1)
    push(device, 2, adhoc=1)  # such is sent on purpose
    push(device, 3)
    await gateway.wait_metric("gw_telemetry_unasked_total", 2)
    assert await gateway.metric("gw_telemetry_unasked_total") == 2


async def test_telemetry_needs_a_device_that_is_here(gateway, join):
    serial = "02a0e7200015"
    device = await join(serial)
    await device.disconnect()
    await gateway.wait_metric("gw_devices_connected", 0)
    async with asyncio.timeout(DEADLINE):
        while (answer := await telemetry(gateway, serial)).status_code == 200:
            await asyncio.sleep(0.05)  # REST has no event to await
    assert answer.json()["ErrorDescription"].startswith("1033")
    assert (await telemetry(gateway, "02a0e72000ff")).status_code == 404


WRONG = (
    ({"interval": -1}, 1003), ({"interval": 1e9}, 1003), ({"lifetime": 0}, 1003),
    ({"types": "state"}, 1003), ({"types": [""]}, 1003), ({"types": None}, 1003),
    ({"serialNumber": ""}, 1018), ({"serialNumber": "02a0e72000fe"}, 0), ({"kafka": True}, 1034),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(WRONG)))
async def test_wrong_telemetry_is_refused_with_the_reason(gateway, join, number):
    body, error = WRONG[number]
    serial = f"02a0e720010{number}"
    await join(serial, known=True)
    async with asyncio.timeout(DEADLINE):
        while (await telemetry(gateway, serial, "?statusOnly=true")).status_code != 200:
            await asyncio.sleep(0.05)  # until it is taken: REST has no event to await
    answer = await telemetry(gateway, serial, **body)
    assert answer.status_code == 400, answer.text
    if error:
        assert answer.json()["ErrorDescription"].startswith(str(error))
    assert (await telemetry(gateway, serial, "?statusOnly=true")).json()["status"][
        "running"
    ] is False


@pytest.mark.parametrize(
    "query", ["", "?uuid=x", "?uuid=x&serialNumber=02a0e7200010", "?serialNumber=zz&uuid=1"]
)
async def test_telemetry_url_is_not_guessed(clients, query):
    assert await refused(clients, f"ws_telemetry{query}") == 400


# -- tails


async def test_tail_shows_every_message_both_ways(gateway, clients, join):
    serial = "02a0e7200020"
    device = await join(serial)
    tail, start = await clients.sign_in(f"device/{serial}/tail")
    assert start == {"tail": {"serialNumber": serial, "connected": True}}
    device.send_log("a line", 5)
    line = await receive(tail)
    assert abs(line["time"] / 1000 - time.time()) < 600
    assert (line["direction"], line["method"], line["leftOut"]) == ("received", "log", 0)
    assert line["message"]["log"] == "a line"
    text = json.dumps({"serialNumber": serial, "when": 0, "pattern": "on"})
    await gateway._post(f"device/{serial}/leds", text)
    order, answer = await receive(tail), await receive(tail)
    assert (order["direction"], order["method"]) == ("sent", "leds")
    assert order["message"]["pattern"] == "on"
    assert (answer["direction"], answer["method"]) == ("received", "answer to leds")
    assert answer["message"]["result"]["status"]["error"] == 0
    await device.disconnect()
    end = await receive(tail)
    assert (end["direction"], end["method"]) == ("session", "disconnected")
    await join(serial, known=True)
    assert (await receive(tail))["method"] == "connect"


async def test_tail_is_of_one_device_and_large_messages_are_not_shown(gateway, clients, join):
    one, other = await join("02a0e7200021"), await join("02a0e7200022")
    tail, _ = await clients.sign_in(f"device/{one.serial}/tail")
    other.send_log("of another device")
    await other.confirm(WAIT)
    one.send_event("large", {"x": "y" * 70_000})
    large = await receive(tail)
    assert (large["method"], large["message"]) == ("event", None)
    assert large["size"] > 70_000


async def test_tail_needs_an_administrator_and_a_device(gateway, clients, join):
    body = {"email": "csr@example.org", "currentPassword": "Right-Horse-8!", "userRole": "csr",
            "changePassword": False, "emailValidated": True}  # fmt: skip
    made = await gateway.request("POST", "user/0", json=body, service="security")
    assert made.status_code == 200, made.text
    answer = await gateway.request(
        "POST", "oauth2", service="security", signed=False,
        json={"userId": "csr@example.org", "password": "Right-Horse-8!"},
    )  # fmt: skip
    token = answer.json()["access_token"]
    tail = await clients.open("device/02a0e7200020/tail")
    await tail.send(f"token:{token}")
    assert (await receive(tail))["error"].startswith("7:")
    assert await closed(tail) == 1008
    tail = await clients.open("device/02a0e72000fd/tail")
    await tail.send(f"token:{await gateway.sign_in()}")
    assert "404" in (await receive(tail))["error"]


# -- venues


@pytest.mark.covers("venue_broadcast")
async def test_venue_broadcasts_reach_the_others_of_the_venue(gateway, join):
    serials = [f"02a0e720003{number}" for number in range(3)]
    devices = [await join(serial) for serial in serials]
    for serial, venue in zip(serials, ("v1", "v1", "v2"), strict=True):
        body = json.dumps({"serialNumber": serial, "venue": venue})
        assert (await gateway._post(f"device/{serial}", body, "PUT")).status_code == 200
    params = {"serial": serials[0], "timestamp": 1795503600, "data": {"rrm": {"op": "x"}}}
    devices[0].send("venue_broadcast", params)
    relayed = await devices[1].wait_for("venue_broadcast", WAIT)
    assert relayed.params == params
    assert relayed.id is None
    devices[2].send("venue_broadcast", params | {"serial": serials[2]})
    await gateway.wait_metric("gw_venue_broadcasts_total", 1, result="alone")
    assert await gateway.metric("gw_venue_broadcasts_total", result="relayed") == 1


# -- limits


async def test_caps_and_origins(start_gateway):
    gateway = await start_gateway(
        **{"streams.max_sockets": 3, "streams.max_sockets_per_user": 1, "workers.count": 1,
           "streams.authenticate_seconds": 5, "streams.max_unauthenticated": 2,
           "api.cors_origins": ["https://ui.example.org"]}
    )  # fmt: skip
    await gateway.sign_in()
    clients = Clients(gateway)
    silent = [await clients.open("ws") for _ in range(2)]
    assert await refused(clients, "ws") == 503  # too many whose token has not come
    for client in silent:
        await client.close()
    assert await refused(clients, "ws", origin="https://evil.example.org") == 403
    silent = await clients.open("ws", origin="https://ui.example.org")
    same = gateway.ready["api"].replace("localhost", "127.0.0.1")
    await clients.open("ws", origin=same)
    assert await closed(silent) == 1008  # its token did not come
    first, _ = await clients.sign_in("ws")
    second = await clients.open("ws")
    await second.send(f"token:{await gateway.sign_in()}")
    assert (await receive(second))["error"].startswith("10:")
    open_sockets = [first]
    status = 0
    async with asyncio.timeout(DEADLINE):
        while status != 503:
            try:
                open_sockets.append(await clients.open("ws_telemetry?uuid=x&serialNumber=y"))
            except websockets.InvalidStatus as refusal:
                status = refusal.response.status_code
            try:
                open_sockets.append(await clients.open("ws"))
            except websockets.InvalidStatus as refusal:
                status = refusal.response.status_code
    await gateway.wait_metric("gw_stream_refusals_total", 1, reason="limit")
    stopping = asyncio.create_task(gateway.stop())
    assert await closed(first) == 1012  # the gateway restarts
    assert await stopping == 0
    for client in clients.made:
        await client.close()


async def test_a_viewer_that_does_not_read_is_ended_and_holds_up_nobody(start_gateway):
    serial = "02a0e7200040"
    gateway = await start_gateway(**{"streams.queue_items": 20, "workers.count": 1})
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    answer = (await telemetry(gateway, serial)).json()
    clients = Clients(gateway)
    idle = await clients.open(answer["uri"], max_queue=1)
    reading = await clients.open(answer["uri"])
    async with asyncio.timeout(DEADLINE):
        number = 0
        while not await gateway.metric("gw_stream_refusals_total", reason="slow"):
            for _ in range(20):
                number += 1
                data = {"state": [[number, {"n": "x" * 50_000}]]}
                device.send("telemetry", {"serial": serial, "data": data})
                assert (await receive(reading))["state"][0][0] == number
    await gateway.get(f"device/{serial}")
    assert await gateway.metric("gw_stream_left_out_total", stream="telemetry") >= 1
    async with asyncio.timeout(DEADLINE):
        while await gateway.metric("gw_stream_sockets", stream="telemetry") != 1:
            await asyncio.sleep(0.05)  # a scrape has no event to await
    for client in (reading, idle):
        client.transport.abort()
    device.stop()

"""The simulated device over mutual TLS, against a gateway of a few lines."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import time
import zlib

import pytest
from few_lines_gateway import SERIAL, WAIT, Server, joined, settled
from picows import WSCloseCode, WSMsgType

from gw.protocol import messages as protocol
from gw.security import pki
from gw.simulator.backoff import Backoff
from gw.simulator.configure import config_hash
from gw.simulator.connection import Closed
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import GARBAGE, Faults, Rejection
from gw.simulator.fleet import Plan, make_fleet
from gw.simulator.upload import upload


async def test_connect_message_of_an_access_point(make, server):
    device = make(uuid=100)
    await device.connect(deadline=WAIT)
    message = await server.message()
    params = message["params"]
    assert (message["jsonrpc"], message["method"]) == ("2.0", "connect")
    assert (params["serial"], params["uuid"], params["reason"]) == (SERIAL, 100, "boot")
    assert params["capabilities"]["platform"] == "ap"
    assert params["capabilities"]["compress_cmd"] is True
    assert params["config_hash"] == config_hash(b"{}")
    peer = server.peer
    assert peer.request.headers["Sec-WebSocket-Protocol"] == "ucentral-broker"
    assert peer.request.headers["Host"] == "127.0.0.1"
    subject = peer.transport.underlying_transport.get_extra_info("peercert")["subject"]
    assert subject == ((("organizationName", "TIP"),), (("commonName", SERIAL),))


async def test_connect_message_of_a_switch(make, server):
    device = make(platform="switch", report_hash=False)
    await device.connect(deadline=WAIT)
    params = (await server.message())["params"]
    assert "reason" not in params
    assert "config_hash" not in params
    assert "compress_cmd" not in params["capabilities"]
    assert params["capabilities"]["platform"] == "switch"


@pytest.mark.parametrize("pack", [False, True])
async def test_configure_is_answered_and_kept(make, server, tmp_path, pack):
    device = await joined(make, server, state_dir=tmp_path)
    server.peer.configure(200, {"unit": {"name": "lobby"}}, pack=pack)
    message = await device.wait_for_configure(WAIT)
    assert message.outcome.applied
    assert message.config == {"uuid": 200, "unit": {"name": "lobby"}}
    answer = await server.message("result")
    assert answer["id"] == 7
    assert answer["result"]["uuid"] == 200
    assert answer["result"]["status"] == {"error": 0, "text": "Success"}
    assert answer["result"]["config_hash"] == config_hash(b'{"unit":{"name":"lobby"}}')
    device.stop()

    again = make(state_dir=tmp_path)
    assert (again.uuid, again.config_hash) == (200, device.config_hash)
    await again.connect(deadline=WAIT)
    assert (await server.message("connect"))["params"]["uuid"] == 200
    assert [file.name for file in tmp_path.iterdir()] == [f"{SERIAL}.json"]


async def test_wrong_hash_is_counted(make, server):
    device = await joined(make, server)
    server.peer.configure(200, {"unit": {}}, config_hash="0" * 32)
    await device.wait_for_configure(WAIT)
    server.peer.configure(201, {"unit": {}}, config_hash=config_hash(b'{"unit":{}}'))
    await device.wait_for_configure(WAIT)
    assert device.counters.hash_mismatches == 1


async def test_states_are_numbered_and_compressed(make, server):
    device = await joined(make, server, uuid=100)
    for number in (1, 2):
        assert device.send_state() == number
        params = (await server.message("state"))["params"]
        assert set(params) == {"compress_64", "compress_sz"}
        text = zlib.decompress(base64.b64decode(params["compress_64"]))
        assert len(text) == params["compress_sz"]
        assert 4_000 < len(text) < 8_000
        state = json.loads(text)
        assert (state["serial"], state["uuid"]) == (SERIAL, 100)
        assert state["config_hash"] == device.config_hash
        assert state["state"]["unit"]["sequence"] == number


async def test_gateway_may_turn_compression_off(make, server):
    device = await joined(make, server)
    server.peer.configure(200, {}, compress=False)
    await device.wait_for_configure(WAIT)
    device.send_state()
    assert "state" in (await server.message("state"))["params"]


async def test_switch_reports_what_it_was_last_asked_for(make, server):
    faults = Faults(reject=[Rejection(at="bad")])
    device = await joined(make, server, platform="switch", uuid=100, faults=faults)

    async def reported():
        device.send_state()
        return (await server.message("state"))["params"]["uuid"]

    assert await reported() == 0
    server.peer.configure(200, {"bad": 1})
    await device.wait_for_configure(WAIT)
    assert (await server.message())["method"] == "log"
    answer = await server.message()
    assert answer["result"]["status"]["error"] == 2
    assert await reported() == 200
    device.send_healthcheck()
    assert (await server.message("healthcheck"))["params"]["uuid"] == 100


async def test_requests_of_state_and_healthcheck(make, server):
    device = await joined(make, server, compress=False)
    for kind in ("state", "healthcheck"):
        server.peer.request_of("request", {"message": kind, "request_uuid": "u-1"})
        assert (await server.message("result"))["result"]["status"]["error"] == 0
        assert (await server.message(kind))["params"]["request_uuid"] == "u-1"
    assert device.counters.commands == 2


@pytest.mark.parametrize(
    ("platform", "method", "error"),
    [
        ("ap", "ping", 0),
        ("ap", "reboot", 1),
        ("ap", "made-up", None),
        ("ap", "certupdate", None),
        ("switch", "ping", 0),
        ("switch", "made-up", 0),
        ("switch", "request", 0),
        ("switch", "reboot", 1),
    ],
)
async def test_commands(make, server, platform, method, error):
    device = await joined(make, server, platform=platform)
    server.peer.request_of(method, {})
    await device.wait_for(method, WAIT)
    device.send_log("after")
    message = await server.message()
    if error is None:
        assert message["method"] == "log"
    else:
        assert message["result"]["status"]["error"] == error


async def test_reboot_comes_back_with_its_reason(make, server):
    device = make(action_delay=0.0, backoff_scale=0.001)
    staying = asyncio.create_task(device.stay_connected())
    await server.message("connect")
    server.peer.request_of("reboot", {"serial": SERIAL, "when": 0})
    assert (await server.message("result"))["result"]["status"]["error"] == 0
    assert (await server.message("connect"))["params"]["reason"] == "reboot"
    staying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await staying
    assert device.counters.reboots == 1


async def test_factory_forgets_the_configuration(make, server):
    device = await joined(make, server, uuid=100, action_delay=0.0)
    server.peer.request_of("factory", {"serial": SERIAL, "keep_redirector": 1})
    async with asyncio.timeout(WAIT):
        assert (await asyncio.shield(device.closed)).by == "device"
    assert (device.uuid, device.config) == (1, {})


async def test_reconnects_when_the_gateway_was_away(make, server):
    device = make(backoff_scale=0.001, uuid=100)
    staying = asyncio.create_task(device.stay_connected())
    await server.message("connect")
    port = server.port
    await server.stop()
    async with asyncio.timeout(WAIT):
        await asyncio.shield(device.closed)
    await server.start(port)
    params = (await server.message("connect"))["params"]
    assert params["uuid"] == 100
    staying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await staying


async def test_close_code_and_reason_are_told(make, server):
    device = await joined(make, server)
    server.peer.transport.send_close(WSCloseCode.POLICY_VIOLATION, b"unknown device")
    async with asyncio.timeout(WAIT):
        closed = await asyncio.shield(device.closed)
    assert closed == Closed(1008, "unknown device", "peer")
    assert not device.connected
    with pytest.raises(ConnectionError):
        device.send_state()


async def test_closing_handshake(make, server):
    device = await joined(make, server)
    assert await device.disconnect() == Closed(1000, "", "device")


async def test_message_in_parts_is_lost_as_in_the_field(make, server):
    device = await joined(make, server)
    text = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}).encode()
    server.peer.transport.send(WSMsgType.TEXT, text[:10], fin=False)
    server.peer.transport.send(WSMsgType.CONTINUATION, text[10:])
    for _ in range(2):
        assert "Failed to parse" in (await server.message())["params"]["log"]
    assert device.counters.fragments == 2


async def test_message_above_the_buffer_is_lost(make, server):
    device = await joined(make, server)
    server.peer.configure(200, {"x": "y" * 40_000})
    assert (await server.message())["method"] == "log"
    assert (device.counters.oversized, device.uuid) == (1, 1)


async def test_answer_without_method_is_complained_about(make, server):
    device = await joined(make, server)
    server.peer.send({"jsonrpc": "2.0", "id": 1, "result": {}})
    assert "invalid jsonrpc" in (await server.message())["params"]["log"]
    await device.wait_for("", WAIT)


async def test_silent_device_applies_and_says_nothing(make, server):
    device = await joined(make, server, faults=Faults(silent=frozenset({"configure"})))
    server.peer.configure(200, {})
    await device.wait_for_configure(WAIT)
    device.send_log("after")
    assert (await server.message())["method"] == "log"
    assert device.uuid == 200


async def test_late_answer_comes_after_the_next_state(make, server):
    device = await joined(make, server, faults=Faults(answer_delay=0.05), keep=0)
    answered = asyncio.create_task(device.wait_for_configure(WAIT))
    await asyncio.sleep(0)
    server.peer.configure(200, {})
    answer = await server.message("result")
    assert answer["result"]["uuid"] == 200
    await answered


async def test_drift_is_reported_and_mended(make, server):
    device = await joined(make, server, uuid=100, compress=False)
    before = device.config_hash

    async def reported():
        device.send_state()
        params = (await server.message("state"))["params"]
        return params["uuid"], params["config_hash"]

    assert device.drift("content")
    uuid, content = await reported()
    assert uuid == 100
    assert content != before
    assert device.drift("older")
    assert (await reported())[0] == 99
    assert device.drift("ahead")
    assert (await reported())[0] == 1099
    server.peer.configure(1200, {})
    await device.wait_for_configure(WAIT)
    assert await reported() == (1200, before)


async def test_device_without_configuration_cannot_drift(make):
    assert not make().drift("older")


async def test_drop_after_so_many_states(make, server):
    device = await joined(make, server, faults=Faults(drop_every=3))
    device._phase = 0
    for _ in range(3):
        device.send_state()
    with pytest.raises(ConnectionError):
        device.send_state()
    async with asyncio.timeout(WAIT):
        assert (await asyncio.shield(device.closed)).by == "device"
    assert device.counters.drops == 1


@pytest.mark.parametrize("kind", [k for k in GARBAGE if k not in ("bomb", "oversize")])
async def test_garbage_is_sent_as_it_is(make, server, kind):
    device = await joined(make, server)
    device.send_garbage(kind)
    await settled(device)
    assert server.frames.qsize() == 1


async def test_wait_has_a_deadline_and_says_what_came(make, server):
    device = await joined(make, server)
    with pytest.raises(TimeoutError, match="no configure within"):
        await device.wait_for_configure(0.01)


async def test_server_of_another_authority_is_refused(server, tmp_path):
    pki.init(tmp_path)
    pki.device(tmp_path, [SERIAL])
    device = SimulatedDevice(SERIAL, tmp_path, "127.0.0.1", server.port)
    with pytest.raises(ssl.SSLError, match=r"(?i)verify.failed"):
        await device.connect(deadline=WAIT)
    assert device.counters.failures == 1
    assert "verify_failed" in device.last_error.lower().replace(" ", "_")


async def test_missing_certificate_names_the_command(server, certificates):
    device = SimulatedDevice("02a0c9ffffff", certificates, "127.0.0.1", server.port)
    with pytest.raises(FileNotFoundError, match="gw pki device"):
        await device.connect(deadline=WAIT)


def test_backoff_of_the_agents():
    switch, ap = Backoff("switch"), Backoff("ap")
    assert [switch.wait() for _ in range(3)] == [5.0, 5.0, 5.0]
    assert [ap.wait() for _ in range(4)] == [0.0, 10.0, 20.0, 30.0]
    ap.connected()
    assert ap.wait() == 10.0
    while not ap.restarted():
        assert ap.wait() <= 900.0
    assert ap.wait() == 10.0


async def test_fleet_sends_every_state_once(server, certificates):
    serials = pki.numbered_serials("02a0ca", 4)
    plan = Plan(full_speed=True, states=50, backoff_scale=0.001)
    fleet = make_fleet(f"127.0.0.1:{server.port}", certificates, serials, plan)
    async with asyncio.timeout(WAIT):
        report = await fleet.run()
    assert (report.connected, report.states_confirmed) == (4, 200)
    assert report.states_sent == dict.fromkeys(serials, 50)
    seen = {}
    while not server.frames.empty():
        message = json.loads(server.frames.get_nowait())
        if message["method"] == "state":
            text = zlib.decompress(base64.b64decode(message["params"]["compress_64"]))
            state = json.loads(text)
            seen.setdefault(state["serial"], []).append(state["state"]["unit"]["sequence"])
    assert seen == {serial: list(range(1, 51)) for serial in serials}


async def test_fleet_comes_back_after_faults_and_reports(server, certificates):
    serials = pki.numbered_serials("02a0ca", 4)
    plan = Plan(full_speed=True, states=40, backoff_scale=0.001, faults=Faults(drop_every=15))
    fleet = make_fleet(
        f"127.0.0.1:{server.port}",
        certificates,
        serials,
        plan,
        platform=lambda number: "switch" if number % 2 else "ap",
    )
    async with asyncio.timeout(WAIT):
        report = await fleet.run()
    assert report.states_sent == dict.fromkeys(serials, 40)
    assert report.reconnects >= 4
    assert report.connects == 4 + report.reconnects
    assert all(len(starts) >= 2 for starts in report.sessions.values())


async def test_fleet_stops_when_told(server, certificates):
    serials = pki.numbered_serials("02a0ca", 2)
    fleet = make_fleet(f"127.0.0.1:{server.port}", certificates, serials, Plan())
    running = asyncio.create_task(fleet.run())
    for _ in serials:
        await server.message("connect")
    server.peer.configure(200, {})
    await server.message("result")
    fleet.stop()
    async with asyncio.timeout(WAIT):
        report = await running
    assert (report.devices, report.connected, report.configures) == (2, 2, 1)
    assert report.configure_seconds.count == 1
    assert sorted(report.uuids.values()) == [1, 200]


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ("switch", {"jsonrpc": 2.0, "id": 1, "method": "ping", "params": {}}),
        ("switch", {"jsonrpc": "2.0", "id": 1, "method": 7, "params": {}}),
        ("switch", {"jsonrpc": "2.0", "id": 1, "method": "configure", "params": {
            "serial": SERIAL, "uuid": 5, "config": {"unit": {"system-password": 5}}}}),
        ("switch", {"jsonrpc": "2.0", "id": 1, "method": "configure", "params": {
            "serial": SERIAL, "uuid": 5, "config": {"ethernet": [{"select-ports": [1]}]}}}),
        ("ap", {"jsonrpc": "2.0", "id": 1, "method": "leds", "params": {"serial": SERIAL}}),
    ],
)  # fmt: skip
async def test_what_crashes_an_agent(make, server, platform, message):
    """It is gone without an answer, and its next start tells of a crash."""
    device = await joined(make, server, platform=platform)
    server.peer.send(message)
    async with asyncio.timeout(WAIT):
        assert (await asyncio.shield(device.closed)).by == "device"
    assert device.counters.crashes == 1
    await device.connect(deadline=WAIT)
    await server.message("connect")
    if platform == "ap":
        assert (await server.message())["params"]["type"] == "crashlog"
    else:
        assert (await server.message())["params"]["data"]["event"][1]["type"] == "device.crash"


async def test_what_crashes_an_access_point_does_no_harm_to_a_switch(make, server):
    device = await joined(make, server, platform="switch")
    server.peer.request_of("leds", {})
    assert (await server.message())["result"]["status"]["error"] == 0
    assert device.counters.crashes == 0


@pytest.mark.parametrize(
    ("platform", "method", "said"),
    [
        ("ap", "reboot", [(0, "triggered command action"), (1, "reboot failed")]),
        ("ap", "transfer", [(0, "triggered command action"), (1, "transfer failed")]),
        ("ap", "upgrade", [(2, "download failed")]),
        ("ap", "leds", [(1, "leds failed")]),
        ("switch", "reboot", [(0, "Reboot requested successfully"), (1, "reboot failed")]),
        ("switch", "upgrade", [(0, "upgrade requested successfully")]),
    ],
)
async def test_commands_that_fail(make, server, platform, method, said):
    """What was answered already fails by a second result with the same id."""
    faults = Faults(failing=frozenset({method}))
    device = await joined(make, server, platform=platform, faults=faults, action_delay=0.0)
    server.peer.request_of(method, {"serial": SERIAL, "pattern": "on", "uri": "https://x/y"})
    for error, text in said:
        answer = await server.message()
        assert (answer["id"], answer["result"]["status"]["error"]) == (7, error)
        assert answer["result"]["status"]["text"] == text
    if (platform, method) == ("switch", "upgrade"):
        event = (await server.message())["params"]["data"]["event"][1]
        assert event["payload"] == {"operation": "fail"}
    await settled(device)
    assert (device.counters.reboots, device.connected) == (0, True)


async def test_error_instead_of_a_result(make, server):
    await joined(make, server, faults=Faults(errors=frozenset({"reboot"})), action_delay=0.0)
    server.peer.request_of("reboot", {"serial": SERIAL})
    assert (await server.message())["error"]["code"] == -32601


async def test_answers_that_are_repeated_or_nobody_asked_for(make, server):
    device = await joined(make, server, faults=Faults(repeats=2, foreign_every=1))
    server.peer.request_of("ping", {"serial": SERIAL}, 9)
    assert [(await server.message())["id"] for _ in range(3)] == [9, 9, 9]
    device.send_state()
    await server.message("state")
    assert (await server.message())["id"] == 0


async def test_what_is_ignored_is_neither_done_nor_answered(make, server):
    device = await joined(make, server, uuid=100, faults=Faults(ignored=frozenset({"*"})))
    server.peer.configure(200, {})
    server.peer.request_of("ping", {"serial": SERIAL})
    await device.wait_for("ping", WAIT)
    device.send_log("after")
    assert (await server.message())["method"] == "log"
    assert (device.uuid, device.counters.unanswered) == (100, 2)


async def test_first_configures_are_refused(make, server):
    device = await joined(make, server, uuid=100, faults=Faults(reject_first=2))
    for uuid, error in ((200, 2), (201, 2), (202, 0)):
        server.peer.configure(uuid, {})
        assert (await server.message("result"))["result"]["status"]["error"] == error
    assert device.uuid == 202


async def test_device_that_falls_silent_stays_connected(make, server):
    device = await joined(make, server, faults=Faults(silence_after=2))
    for _ in range(4):
        device.send_state()
    server.peer.request_of("ping", {"serial": SERIAL})
    await device.wait_for("ping", WAIT)
    await settled(device)
    assert device.connected
    assert server.frames.qsize() == 2


async def test_wrong_clock(make, server):
    device = await joined(make, server, faults=Faults(clock=-86_400), compress=False)
    device.send_state()
    state = (await server.message("state"))["params"]["state"]
    assert abs(time.time() - 86_400 - state["unit"]["localtime"]) < 600
    device.send_event("wired.carrier-up", {})
    at = (await server.message("event"))["params"]["data"]["event"][0]
    assert abs(time.time() - 86_400 - at) < 600


async def test_device_without_capabilities_sends_a_log_and_no_connect(make, server):
    device = make(faults=Faults(no_capabilities=True))
    await device.connect(deadline=WAIT)
    message = await server.message()
    assert message["method"] == "log"
    assert "capabilities" in message["params"]["log"]


@pytest.mark.parametrize("platform", ["ap", "switch"])
async def test_everything_that_comes_unasked_is_a_message_of_the_protocol(make, server, platform):
    device = await joined(make, server, platform=platform, faults=Faults(chatter_every=1))
    seen = set()
    for _ in range(60):
        device.send_state()
        await server.message("state")
        message = await server.message()
        if "radius" in message:
            seen.add("radius")
            base64.b64decode(message["data"], validate=True)
        else:
            seen.add(message["method"])
            protocol.decode(message["method"], json.dumps(message["params"]).encode())
    assert len(seen) > (6 if platform == "ap" else 3)


@pytest.mark.parametrize("platform", ["ap", "switch"])
async def test_telemetry_is_streamed_until_it_is_stopped(make, server, platform):
    device = await joined(make, server, platform=platform, streams=True)
    types = ["dhcp-snooping"] if platform == "ap" else ["state"]
    server.peer.request_of("telemetry", {"serial": SERIAL, "interval": 1, "types": types})
    assert (await server.message("result"))["result"]["status"]["error"] == 0
    data = (await server.message("telemetry"))["params"]["data"]
    assert data[types[0]][0][0] > 0
    server.peer.request_of("telemetry", {"serial": SERIAL, "interval": 0})
    await server.message("result")
    assert device._stream is None


async def test_transfer_moves_to_another_gateway(make, server, certificates):
    other = Server(server.context)
    await other.start()
    device = make(action_delay=0.0, backoff_scale=0.001)
    staying = asyncio.create_task(device.stay_connected())
    await server.message("connect")
    server.peer.request_of(
        "transfer", {"serial": SERIAL, "server": "127.0.0.1", "port": other.port}
    )
    await server.message("result")
    assert (await other.message("connect"))["params"]["serial"] == SERIAL
    staying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await staying
    await other.stop()


@pytest.mark.parametrize(("platform", "lines"), [("ap", 0), ("switch", 2)])
async def test_failed_attempts_are_told_once_there_is_a_connection(make, server, platform, lines):
    """By a switch; behind its connect."""
    device = make(platform=platform)
    port = server.port
    device._port = 1
    for _ in range(2):
        with pytest.raises(OSError):
            await device.connect(deadline=WAIT)
    device._port = port
    await device.connect(deadline=WAIT)
    device.send_log("last")
    assert (await server.message())["method"] == "connect"
    told = [(await server.message())["params"]["log"] for _ in range(lines + 1)]
    assert told[-1] == "last"
    assert all(line.startswith("uc-client: ") for line in told[:-1])


async def test_access_point_answers_an_error_that_is_none(make, server):
    await joined(make, server)
    server.peer.send({"jsonrpc": "2.0", "id": 4, "error": {"code": 1}})
    assert "error" in (await server.message())["params"]["log"]
    answer = await server.message()
    assert (answer["id"], answer["result"]["status"]["error"]) == (0, 1)


async def test_upload(certificates):
    """A form with the parts `name` and `data`; the status of the answer is told."""
    received = []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        received.append(head + await reader.readexactly(size))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener:
        uri = f"http://127.0.0.1:{port}/v1/upload/1"
        assert await upload(uri, SERIAL, b"content", None) == 404
    assert received[0].startswith(b"POST /v1/upload/1 HTTP/1.1")
    assert SERIAL.encode() in received[0]
    assert b"application/octet-stream\r\n\r\ncontent\r\n" in received[0]
    for wrong in ("file:///etc/passwd", "x"):
        with pytest.raises(ValueError):
            await upload(wrong, SERIAL, b"", None)

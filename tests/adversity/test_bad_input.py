"""What a device with a valid certificate may send: each bad input ends in a clear reason, costs
bounded memory, and disturbs nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import struct
import zlib

import psutil
import pytest
from gateway import Gateway
from picows import WSMsgType

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.tls import client_context

pytestmark = pytest.mark.e2e

WAIT = 60.0
GOOD = "02a0ce000001"
BAD = "02a0ce000002"


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


@pytest.fixture
async def bad(gateway: Gateway):
    """A device that misbehaves; beside it a good one must stay, and no process may end."""
    pki.device(gateway.pki, [GOOD, BAD])
    devices = [
        SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
        for serial in (GOOD, BAD)
    ]
    for device in devices:
        await device.connect(deadline=WAIT)
        await device.wait_for_configure(WAIT)
    good, bad = devices
    pids = gateway.pids()
    yield bad
    await good.confirm(WAIT)
    assert good.counters.connects == 1, "the good device was disturbed"
    assert gateway.pids() == pids, "a process ended"
    assert await gateway.metric("gw_process_starts_total") == 0
    assert not gateway.logged("a record was dropped")
    for device in devices:
        device.stop()


async def ended(gateway: Gateway, device: SimulatedDevice, code: int, reason: str) -> None:
    """The session is closed with this code, logged and counted with this reason."""
    closed = await asyncio.wait_for(asyncio.shield(device.closed), WAIT)
    assert closed.code == code, closed
    await gateway.wait_metric("gw_session_ends_total", 1, reason=reason)


def memory(gateway: Gateway) -> int:
    """Resident bytes of the workers."""
    return sum(psutil.Process(pid).memory_info().rss for pid in gateway.ready["pids"]["workers"])


MALFORMED = {
    "not JSON": b"{nonsense",
    "cut short": b'{"jsonrpc":"2.0","method":"state","params":{"serial":"',
    "an array": b"[1,2,3]",
    "a string": b'"connect"',
    "a number": b"12",
    "not UTF-8": b'{"jsonrpc":"2.0","method":"log","params":{"serial":"\xff\xfe"}}',
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_text_ends_the_session(gateway, bad, text):
    bad.send_text(text)
    await ended(gateway, bad, 1007, "bad_json")


DEEP = 100_000


@pytest.mark.parametrize("where", ["root", "params"])
async def test_deep_nesting_ends_the_session(gateway, bad, where):
    nest = "[" * DEEP + "]" * DEEP
    text = f'{{"jsonrpc":"2.0","x":{nest}}}' if where == "root" else (
        f'{{"jsonrpc":"2.0","method":"state","params":{{"serial":"{BAD}","uuid":1,"state":{nest}}}}}'
    )  # fmt: skip
    bad.send_text(text.encode())
    await ended(gateway, bad, 1007, "depth")


def message(method: str, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()


BOMB = base64.b64encode(zlib.compress(bytes(64_000_000), 9)).decode()
TOLERATED = {
    "no jsonrpc": (b'{"method":"state","params":{}}', "not_jsonrpc"),
    "method is a number": (b'{"jsonrpc":"2.0","method":1,"params":{}}', "not_jsonrpc"),
    "params is an array": (b'{"jsonrpc":"2.0","method":"state","params":[]}', "bad_params"),
    "unknown method": (message("nonsense", serial=BAD), "unknown_method"),
    "serial is a number": (message("state", serial=1, uuid=1, state={}), "bad_params"),
    "uuid is text": (message("state", serial=BAD, uuid="1", state={}), "bad_params"),
    "uuid is negative": (message("state", serial=BAD, uuid=-1, state={}), "bad_params"),
    "uuid is above 64 bits": (message("state", serial=BAD, uuid=2**64, state={}), "bad_params"),
    "uuid is huge": (message("state", serial=BAD, uuid=10**400, state={}), "bad_params"),
    "state is an array": (message("state", serial=BAD, uuid=1, state=[]), "bad_params"),
    "a number beyond a double": (
        message("state", serial=BAD, uuid=1, state={"x": 1}).replace(b'"x": 1', b'"x": 1e999'),
        "number_range"),
    "a number of 400 digits": (
        message("alarm", serial=BAD, data={"x": 10**400}), "number_range"),
    "sanity above 100": (
        message("healthcheck", serial=BAD, uuid=1, sanity=101, data={}), "bad_params"),
    "severity above 7": (message("log", serial=BAD, log="x", severity=8), "bad_params"),
    "not base64": (message("state", compress_64="***"), "bad_compression"),
    "not zlib": (message("state", compress_64="bm90IHpsaWI="), "bad_compression"),
    "a zlib bomb": (message("state", compress_64=BOMB), "bad_compression"),
    "firmware is too long": (
        message("connect", serial=BAD, uuid=1, firmware="x" * 513, capabilities={}), "bad_params"),
    "an alarm is too large": (
        message("alarm", serial=BAD, data={"text": "x" * 70_000}), "bad_params"),
}  # fmt: skip
WARNED = {
    "neither call nor answer": (b'{"jsonrpc":"2.0"}', "not_jsonrpc"),
    "an error without id": (b'{"jsonrpc":"2.0","error":{"code":-32700}}', "not_jsonrpc"),
    "no params": (b'{"jsonrpc":"2.0","method":"state"}', "bad_params"),
    "no serial": (message("state", uuid=1, state={}), "bad_params"),
    "no uuid": (message("state", serial=BAD, state={}), "bad_params"),
    "no pair": (message("event", serial=BAD, data={"event": [1]}), "bad_params"),
    "compressed nonsense": (
        message("state", compress_64=base64.b64encode(zlib.compress(b"{nope")).decode()),
        "bad_params"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), TOLERATED.values(), ids=TOLERATED.keys())
async def test_protocol_error_is_counted_and_the_session_goes_on(gateway, bad, text, reason):
    bad.send_text(text)
    bad.send_state()
    await bad.confirm(WAIT)
    assert await gateway.wait_metric("gw_protocol_errors_total", 1, reason=reason) == 1
    assert bad.connected
    for _ in range(9):
        bad.send_text(text)
    await ended(gateway, bad, 1008, "protocol_errors")


@pytest.mark.parametrize(("text", "reason"), WARNED.values(), ids=WARNED.keys())
async def test_what_owgw_only_warns_of_is_counted_and_ends_no_session(gateway, bad, text, reason):
    for _ in range(30):
        bad.send_text(text)
    await bad.confirm(WAIT)
    assert await gateway.metric("gw_protocol_errors_total", reason=reason) == 30
    assert bad.connected
    logged = [one for one in gateway.logged("protocol error") if one["serial"] == BAD]
    assert len(logged) == 10, "not a line for each"


async def test_answer_to_no_request_is_counted_and_ignored(gateway, bad):
    for rpc_id in (7, 2**40, "x", None, -1, 1.5):
        bad.send_text(json.dumps({"jsonrpc": "2.0", "id": rpc_id, "result": {}}).encode())
    await bad.confirm(WAIT)
    assert await gateway.metric("gw_protocol_errors_total", reason="foreign_answer") == 6
    assert bad.connected


async def test_binary_frame_ends_the_session(gateway, bad):
    bad.send_frame(WSMsgType.BINARY, b"\x00" * 100)
    await ended(gateway, bad, 1003, "binary")


async def test_control_frames_keep_out_of_messages(gateway, bad):
    whole = message("log", serial=BAD, log="in three parts", severity=6)
    bad.send_frame(WSMsgType.TEXT, whole[:20], fin=False)
    bad.send_frame(WSMsgType.PING, b"abc")
    bad.send_frame(WSMsgType.CONTINUATION, whole[20:40], fin=False)
    bad.send_frame(WSMsgType.PONG, b"def")
    bad.send_frame(WSMsgType.CONTINUATION, whole[40:])
    await bad.confirm(WAIT)
    async with asyncio.timeout(WAIT):
        while not gateway.sql("SELECT log FROM device_logs WHERE serial_number = ?", BAD):
            await asyncio.sleep(0.02)
    assert gateway.sql("SELECT log FROM device_logs WHERE serial_number = ?", BAD) == [
        ("in three parts",)
    ]


async def test_fragments_without_end_are_bounded(gateway, bad):
    before = memory(gateway)
    bad.send_frame(WSMsgType.TEXT, b"x" * 400_000, fin=False)
    for _ in range(50):
        if not bad.connected:
            break
        bad.send_frame(WSMsgType.CONTINUATION, b"x" * 400_000, fin=False)
        await bad.drain()
    await ended(gateway, bad, 1009, "too_big")
    assert memory(gateway) - before < 16_000_000


async def raw_websocket(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A websocket of the bad device, frames by hand."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        gateway.device_port,
        ssl=client_context(gateway.pki, BAD),
        server_hostname="gateway",
    )
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with asyncio.timeout(WAIT):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_frame_of_100_mb_is_refused_in_bounded_memory(gateway, bad):
    """The length alone is refused; what the peer sends on regardless is not kept."""
    before = memory(gateway)
    _, writer = await raw_websocket(gateway)
    writer.write(struct.pack("!BBQI", 0x81, 0xFF, 100_000_000, 0))
    sent = 0
    try:
        async with asyncio.timeout(WAIT):
            while sent < 100_000_000:
                writer.write(bytes(1_000_000))
                sent += 1_000_000
                await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    await gateway.wait_metric("gw_session_ends_total", 1, reason="too_big")
    assert memory(gateway) - before < 16_000_000
    writer.transport.abort()


async def test_plain_http_and_half_requests_are_refused(gateway, bad):
    context = client_context(gateway.pki, BAD)
    for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"nonsense\r\n\r\n"):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.device_port, ssl=context, server_hostname="gateway"
        )
        writer.write(request)
        async with asyncio.timeout(WAIT):
            assert b" 101 " not in await reader.read()
        writer.transport.abort()
    assert await gateway.wait_metric("gw_handshake_failures_total", 2, reason="not_websocket") == 2


async def test_half_open_handshakes_time_out_and_keep_nobody_out(start_gateway):
    gateway = await start_gateway(**{"devices.handshake_seconds": 1.0, "devices.max_handshakes": 4})
    pki.device(gateway.pki, [GOOD])
    silent = [socket.create_connection(("127.0.0.1", gateway.device_port)) for _ in range(40)]
    for one in silent[:20]:
        one.sendall(b"\x16\x03\x01\x02\x00\x01")  # a hello that never goes on
    device = SimulatedDevice(GOOD, gateway.pki, "127.0.0.1", gateway.device_port)
    living = asyncio.create_task(device.stay_connected())  # the short limit is on it as well
    await device.wait_for_configure(WAIT)
    await gateway.wait_metric("gw_handshake_failures_total", 40, reason="timeout")
    living.cancel()
    await asyncio.gather(living, return_exceptions=True)
    device.stop()
    for one in silent:
        one.close()


async def test_session_without_connect_or_silent_is_ended(start_gateway):
    gateway = await start_gateway(**{"devices.connect_seconds": 3.0, "devices.idle_seconds": 5.0})
    pki.device(gateway.pki, [GOOD, BAD])
    mute = SimulatedDevice(BAD, gateway.pki, "127.0.0.1", gateway.device_port)
    await mute.connect(deadline=WAIT, announce=False)
    await ended(gateway, mute, 1008, "no_connect")
    silent = SimulatedDevice(GOOD, gateway.pki, "127.0.0.1", gateway.device_port)
    await silent.connect(deadline=WAIT)
    await silent.wait_for_configure(WAIT)
    await ended(gateway, silent, 1001, "idle")


async def test_slow_reader_is_cut_at_the_bound(start_gateway):
    """A device that reads nothing costs its bound of unsent bytes, and nothing more."""
    gateway = await start_gateway(
        **{
            "devices.send_buffer_bytes": 100_000,
            "configuration.answer_seconds": 1.0,
            "configuration.resend_at_once": 1000,
            "configuration.resend_limit": 1000,
        }
    )
    pki.device(gateway.pki, [BAD])
    device = SimulatedDevice(BAD, gateway.pki, "127.0.0.1", gateway.device_port, platform="switch")
    _, writer = await raw_websocket(gateway)
    writer.transport.pause_reading()

    def say(text: bytes) -> None:
        writer.write(struct.pack("!BBHI", 0x81, 0xFE, len(text), 0) + text)

    say(message("connect", **(device.connect_params("x") | {"uuid": 1})))
    await gateway.wait_device(BAD, deviceType="switch")
    body = {"unit": {"name": "x" * 3_000_000}}
    assert (await gateway.put_device(BAD, body)).status_code == 200
    async with asyncio.timeout(WAIT):
        while not await gateway.metric("gw_session_ends_total", reason="slow"):
            say(message("healthcheck", serial=BAD, uuid=2, sanity=100, data={"pad": "x" * 100}))
            await asyncio.sleep(0.2)  # the gateway waits for an answer that never comes
    writer.transport.abort()

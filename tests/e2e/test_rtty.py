"""A remote terminal from REST to the shell of a device, through the real program."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway import Gateway
from postgres import Postgres
from websockets.asyncio.client import ClientConnection, connect

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults
from gw.simulator.messages import capabilities

pytestmark = pytest.mark.e2e

WAIT = 60.0
RTTY = {
    "rtty.enabled": "true", "rtty.host": "127.0.0.1", "rtty.port": 0, "rtty.viewer_port": 0,
    "rtty.public_host": "127.0.0.1",
}  # fmt: skip
Join = Callable[..., Awaitable[SimulatedDevice]]


@pytest.fixture(scope="module")
def terminal_gateway(tmp_path_factory: pytest.TempPathFactory, pki_dir: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("gateway"), pki_dir, **RTTY)
    asyncio.run(gateway.start())
    yield gateway
    assert asyncio.run(gateway.stop()) == 0, gateway.log()[-4000:]


@pytest.fixture
async def gateway(terminal_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    await terminal_gateway.mark()
    return terminal_gateway


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    """Connect devices to a gateway, cut at the end."""
    made: list[SimulatedDevice] = []

    async def connect(gateway: Gateway, serial: str, **options: Any) -> SimulatedDevice:
        pki.device(gateway.pki, [serial])
        device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port, **options)
        made.append(device)
        await device.connect(deadline=WAIT)
        wanted = {"deviceType": "switch"} if device.platform == "switch" else (
            {"configurationState": "in_step"}
        )  # fmt: skip
        if device.platform == "ap":
            await device.wait_for_configure(WAIT)
        await gateway.wait_device(serial, **wanted)
        return device

    yield connect
    for device in made:
        await device.end_terminals()
        device.stop()


def view(gateway: Gateway, session: dict[str, Any]) -> connect:
    """Open what the user interface opens, as a socket."""
    url = f"wss://{session['server']}:{session['viewport']}/connect/{session['connectionId']}"
    context = ssl.create_default_context(cafile=str(gateway.pki / "ca.pem"))
    return connect(url, ssl=context, compression=None, proxy=None)


async def until(viewer: ClientConnection, end: bytes) -> bytes:
    """What is shown, up to `end`; texts are left out."""
    found = bytearray()
    async with asyncio.timeout(WAIT):
        while not found.endswith(end):
            message = await viewer.recv()
            if isinstance(message, bytes):
                found += message
    return bytes(found)


async def text(viewer: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(WAIT):
        while True:
            message = await viewer.recv()
            if isinstance(message, str):
                told: dict[str, Any] = json.loads(message)
                return told


@pytest.mark.parametrize(
    ("platform", "serial"), [("ap", "02a0e3010001"), ("switch", "02a0e3010002")]
)
@pytest.mark.asks("rtty")
async def test_from_rest_to_the_shell(
    gateway: Gateway, join: Join, platform: str, serial: str
) -> None:
    device = await join(gateway, serial, platform=platform, password="s3cr3t-9f")
    before = int(time.time())
    session = await gateway.get(f"device/{serial}/rtty")
    port, viewport = (
        int(gateway.ready[name].rpartition(":")[2]) for name in ("rtty", "rtty_viewer")
    )
    assert re.fullmatch("[0-9a-f]{32}", session["connectionId"])
    assert re.fullmatch("[0-9a-f]{32}", session["token"])
    assert before <= session["started"] <= time.time()
    assert session == {
        "serialNumber": serial, "server": "127.0.0.1", "port": port, "viewport": viewport,
        "token": session["token"], "timeout": 60, "connectionId": session["connectionId"],
        "commandUUID": session["commandUUID"], "started": session["started"], "password": "",
    }  # fmt: skip
    message = await device.wait_for("rtty", WAIT)
    assert message.params == {
        "method": "rtty", "serial": serial, "id": session["connectionId"],
        "token": session["token"], "server": "127.0.0.1", "port": port,
        "user": "admin@localhost", "timeout": 60, "password": "s3cr3t-9f",
    }  # fmt: skip
    async with view(gateway, session) as viewer:
        await until(viewer, b"# ")
        await viewer.send(b"\0uptime\r")
        assert await until(viewer, b"# ") == b"uptime\r\n-ash: uptime: not found\r\n# "
        assert await gateway.metric("gw_rtty_sessions") == 1
        assert (await gateway.metric("gw_rtty_bytes_total", direction="from_device")) > 0
    await gateway.wait_metric("gw_rtty_session_ends_total", 1, reason="viewer")
    assert await gateway.metric("gw_rtty_sessions") == 0


async def test_nobody_else_learns_what_opens_the_session(gateway: Gateway, join: Join) -> None:
    device = await join(gateway, "02a0e3010003", password="s3cr3t-9f")
    session = await gateway.get("device/02a0e3010003/rtty")
    await device.wait_for("rtty", WAIT)
    shown = await gateway.get(f"command/{session['commandUUID']}")
    assert (shown["command"], shown["status"]) == ("rtty", "completed")
    assert shown["submittedBy"] == shown["details"]["user"] == "admin@localhost"
    rows = gateway.sql("SELECT * FROM commands WHERE serial_number = ?", "02a0e3010003")
    for where in (json.dumps(shown), repr(rows), gateway.log(), await gateway.scrape()):
        assert session["connectionId"] not in where
        assert session["token"] not in where
        assert "s3cr3t-9f" not in where


async def test_two_at_a_time_and_beside_another_command(gateway: Gateway, join: Join) -> None:
    serial = "02a0e3010004"
    device = await join(gateway, serial, faults=Faults(silent=frozenset({"wifiscan"})))
    scan = asyncio.create_task(
        gateway.request("POST", f"device/{serial}/wifiscan", json={"serialNumber": serial})
    )
    await device.wait_for("wifiscan", WAIT)
    first, second = [await gateway.get(f"device/{serial}/rtty") for _ in range(2)]
    async with view(gateway, first) as one, view(gateway, second) as two:
        await until(one, b"# ")
        await until(two, b"# ")
        await one.send(b"\0a\r")
        await two.send(b"\0b\r")
        assert b"-ash: a" in await until(one, b"found\r\n# ")
        assert b"-ash: b" in await until(two, b"found\r\n# ")
    (running,) = [
        row for row in (await gateway.get(f"commands?serialNumber={serial}"))["commands"]
        if row["command"] == "wifiscan"
    ]  # fmt: skip
    assert running["status"] == "executing"
    assert (await gateway.request("DELETE", f"command/{running['UUID']}")).status_code == 200
    await asyncio.wait_for(scan, WAIT)


async def test_a_device_that_is_away_or_unknown(gateway: Gateway, join: Join) -> None:
    device = await join(gateway, "02a0e3010005")
    await device.disconnect()
    await gateway.wait_metric("gw_session_ends_total", 1)
    answer = await gateway.request("GET", "device/02a0e3010005/rtty")
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1033")
    assert (await gateway.request("GET", "device/02a0e30100ff/rtty")).status_code == 404
    answer = await gateway.request("POST", "device/02a0e3010005/rtty", json={})
    assert answer.status_code in (400, 405)


async def test_a_restricted_device(gateway: Gateway, join: Join) -> None:
    for serial, developer, status in (("02a0e3010006", False, 400), ("02a0e3010007", True, 200)):
        told = capabilities(serial, "ap", "OpenWrt", "edgecore_eap102")
        told["restrictions"] = {"rtty": True, "developer": developer}
        await join(gateway, serial, capabilities=told)
        answer = await gateway.request("GET", f"device/{serial}/rtty")
        assert answer.status_code == status, answer.text
        if status == 400:
            assert answer.json()["ErrorDescription"].startswith("1151")


async def test_a_device_that_does_not_want_to(
    gateway: Gateway, join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old agent that does not know the params: the operator learns its reason."""
    from gw.simulator import commands

    monkeypatch.setattr(commands, "_RTTY_MEMBERS", frozenset({"not there"}))
    await join(gateway, "02a0e3010008")
    answer = await gateway.request("GET", "device/02a0e3010008/rtty")
    assert answer.status_code == 400
    assert answer.json()["status"] == "failed"
    assert (answer.json()["errorCode"], answer.json()["errorText"]) == (2, "invalid parameters")


async def test_a_killed_relay_is_replaced_and_the_gateway_goes_on(
    gateway: Gateway, join: Join
) -> None:
    serial = "02a0e3010009"
    device = await join(gateway, serial)
    lost = await gateway.get(f"device/{serial}/rtty")
    async with view(gateway, lost) as viewer:
        await until(viewer, b"# ")
        before = dict(gateway.ready["pids"])
        await gateway.kill("rtty")
        async with asyncio.timeout(WAIT):
            await viewer.wait_closed()
    assert {**gateway.ready["pids"], "rtty": 0} == {**before, "rtty": 0}
    assert device.connected
    assert await gateway.metric("gw_rtty_sessions") == 0
    session = await gateway.get(f"device/{serial}/rtty")
    async with view(gateway, session) as viewer:
        await until(viewer, b"# ")
        await viewer.send(b"\0exit\r")
        assert await text(viewer) == {"type": "logout", "reason": "the shell has ended"}


async def test_more_sessions_than_there_is_room_for(
    start_gateway: Callable[..., Awaitable[Gateway]], join: Join
) -> None:
    gateway = await start_gateway(**RTTY, **{"rtty.max_sessions": 1})
    serial = "02a0e301000a"
    await join(gateway, serial)
    session = await gateway.get(f"device/{serial}/rtty")
    answer = await gateway.request("GET", f"device/{serial}/rtty")
    assert answer.status_code == 400
    assert answer.json()["ErrorDescription"].startswith("1144")
    async with view(gateway, session) as viewer:
        await until(viewer, b"# ")
        answer = await gateway.request("GET", f"device/{serial}/rtty")
        assert answer.json()["ErrorDescription"].startswith("1144")
        await viewer.send(b"\0exit\r")
    await gateway.wait_metric("gw_rtty_session_ends_total", 1)
    await gateway.get(f"device/{serial}/rtty")


async def test_with_postgresql(
    start_gateway: Callable[..., Awaitable[Gateway]], join: Join, postgres_server: Postgres
) -> None:
    """The relay reads the other database as well."""
    url = postgres_server.url(await postgres_server.make_database())
    gateway = await start_gateway(**RTTY, **{"store.url": url})
    await join(gateway, "02a0e301000d", platform="switch")
    session = await gateway.get("device/02a0e301000d/rtty")
    async with view(gateway, session) as viewer:
        await until(viewer, b"# ")
        await viewer.send(b"\0exit\r")
        assert (await text(viewer))["type"] == "logout"


async def test_secure_rtty_is_what_the_device_declared(gateway: Gateway, join: Join) -> None:
    """A device that declared it, but whose agent shows no certificate."""
    serial = "02a0e301000b"
    told = capabilities(serial, "ap", "OpenWrt", "edgecore_eap102")
    told["secure-rtty"] = True
    device = await join(gateway, serial, capabilities=told)
    session = await gateway.get(f"device/{serial}/rtty")
    async with view(gateway, session) as viewer:
        await until(viewer, b"# ")
    from gw.rtty.frames import Registration
    from gw.simulator.rtty import RttyAgent

    session = await gateway.get(f"device/{serial}/rtty")
    device.stop()
    registration = Registration(session["connectionId"], serial, session["token"])
    context = ssl.create_default_context(cafile=str(gateway.pki / "ca.pem"))
    bare = RttyAgent("127.0.0.1", session["port"], registration, context=context)
    assert await asyncio.wait_for(bare.run(), WAIT) == "refused"
    assert await gateway.metric("gw_rtty_refused_total", end="device", reason="certificate") == 1


async def test_a_gateway_without_it_says_so(shared_gateway: Gateway) -> None:
    answer = await shared_gateway.request("GET", "device/02a0e301000c/rtty")
    assert (answer.status_code, answer.text) == (503, "")
    assert "rtty" not in shared_gateway.ready["pids"]

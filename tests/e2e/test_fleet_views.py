"""The whole fleet and one device's events as a UI sees them, and logs whose level changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway import DEADLINE, Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
AP = "02a0f1000001"


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory, pki_dir):
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"), pki_dir, **{"api.dashboard_seconds": 0.05}
    )
    asyncio.run(gateway.start())
    yield gateway
    assert asyncio.run(gateway.stop()) == 0, gateway.log()[-4000:]


@pytest.fixture
async def device(shared_gateway):
    pki.device(shared_gateway.pki, [AP])
    made = SimulatedDevice(AP, shared_gateway.pki, "127.0.0.1", shared_gateway.device_port)
    await made.connect(deadline=WAIT)
    await made.wait_for_configure(WAIT)
    yield made
    made.stop()


async def until(read, test) -> Any:
    """Read until a test holds: REST has no event to await."""
    async with asyncio.timeout(DEADLINE):
        while not test(found := await read()):
            await asyncio.sleep(0.05)
    return found


def tags(entries):
    return {one["tag"]: one["value"] for one in entries}


@pytest.mark.operation("GET /deviceDashboard")
async def test_dashboard(shared_gateway, device):
    device.send_healthcheck(70)
    device.send_state()

    async def read():
        return await shared_gateway.get("deviceDashboard")

    found = await until(read, lambda one: one["upTimes"] and ">60%" in tags(one["healths"]))
    assert found["numberOfDevices"] == 1
    assert tags(found["status"]) == {"connected": 1}
    assert tags(found["lastContact"]) == {"now": 1}
    assert tags(found["certificates"]) == {"verified": 1}
    for name in ("memoryUsed", "load1", "load5", "load15", "upTimes", "deviceType", "vendors"):
        assert sum(tags(found[name]).values()) == 1, name
    serials = await shared_gateway.get("devices?health=true&lowLimit=60&highLimit=70")
    assert serials == {"serialNumbers": [AP]}


@pytest.mark.operation("GET /device/{serialNumber}/events")
async def test_events(shared_gateway, device):
    for number in range(3):
        device.send_event("wifi.start", {"number": number})

    async def read(query=""):
        return await shared_gateway.get(f"device/{AP}/events{query}")

    found = await until(read, lambda one: len(one["events"]) == 3)
    assert found["serialNumber"] == AP
    assert [(one["type"], one["data"]) for one in found["events"]] == [
        ("wifi.start", {"number": number}) for number in range(3)
    ]
    newest = await read("?newest=true&limit=1")
    assert [one["data"]["number"] for one in newest["events"]] == [2]
    page = await read(f"?offset=1&limit=1&startDate={found['events'][0]['recorded']}")
    assert [one["data"]["number"] for one in page["events"]] == [1]
    assert (await read("?limit=0"))["events"] == []
    assert (await read("?endDate=1"))["events"] == []


@pytest.mark.operation("POST /system")
async def test_levels_hold_in_other_processes(shared_gateway):
    unknown = "02a0f1000002"
    pki.device(shared_gateway.pki, [unknown])
    await shared_gateway.request("POST", f"blacklist/{unknown}", json={"serialNumber": unknown})

    async def knock() -> None:
        made = SimulatedDevice(unknown, shared_gateway.pki, "127.0.0.1", shared_gateway.device_port)
        await made.connect(deadline=WAIT)
        await asyncio.wait_for(made.closed, WAIT)
        made.stop()

    async def level(value: str) -> None:
        body = {"command": "setloglevel", "subsystems": [{"tag": "coordinator", "value": value}]}
        answer = await shared_gateway.request("POST", "system", json=body)
        assert answer.status_code == 200

    await level("error")
    await knock()
    assert shared_gateway.logged("device refused", serial=unknown) == []
    assert await shared_gateway.metric("gw_log_level", role="coordinator") == 40
    await level("information")
    await knock()
    assert len(shared_gateway.logged("device refused", serial=unknown)) == 1


@pytest.mark.operation("POST /system")
async def test_reload_of_everything(shared_gateway):
    await shared_gateway.mark()
    body = {"command": "reload", "subsystems": ["daemon"]}
    assert (await shared_gateway.request("POST", "system", json=body)).status_code == 200

    async def reloads():
        return shared_gateway.logged("certificate reloaded")

    # The api process itself, and once more because the supervisor tells all processes.
    await until(reloads, lambda lines: len(lines) >= 2)

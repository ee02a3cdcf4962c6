"""How commands end when something is in the way: too many at once, odd answers, odd order."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from gateway import Gateway

from gw.simulator import messages
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults

pytestmark = pytest.mark.e2e

WAIT = 60.0


@pytest.fixture(scope="module")
def module_settings() -> dict[str, object]:
    """Devices may owe few answers."""
    return {"devices.max_outstanding": 2}


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


def answer(device: SimulatedDevice, request: object, **status: object) -> None:
    """Answer a request of the gateway by hand."""
    body = messages.result(request.id, device.serial, device.uuid, status)
    device.send_text(json.dumps(body).encode())


async def test_the_oldest_of_too_many_ends_with_a_reason(gateway, join):
    device = await join("02a0a4000011", faults=Faults(silent=frozenset({"package"})))
    path = f"device/{device.serial}/package?pkgName=iperf3"
    asking, requests = [], []
    for _ in range(3):
        asking.append(asyncio.create_task(gateway.request("GET", path)))
        requests.append(await device.wait_for("package", WAIT))
    ended = (await asking[0]).json()
    assert ended["status"] == "failed"
    assert "devices.max_outstanding" in ended["errorText"]
    for request in requests[1:]:
        answer(device, request, error=0, package="iperf3")
    for one in asking[1:]:
        assert (await one).json()["status"]["package"] == "iperf3"
    assert await gateway.metric("gw_device_requests_given_up_total") == 1
    answer(device, requests[0], error=0, package="iperf3")
    await gateway.wait_metric("gw_protocol_errors_total", 1, reason="foreign_answer")
    assert (await gateway.get(f"command/{ended['UUID']}"))["status"] == "failed"


@pytest.mark.parametrize("name", ["leds", "package"])
async def test_answers_that_are_no_result(gateway, join, name):
    """A JSON-RPC error is the device's refusal; without a status it is neither that nor success."""
    device = await join("02a0a4000012", faults=Faults(silent=frozenset({name})))

    async def ask(**answer: object) -> httpx.Response:
        if name == "package":
            path = f"device/{device.serial}/package?pkgName=iperf3"
            asking = asyncio.create_task(gateway.request("GET", path))
        else:
            order = json.dumps({"serialNumber": device.serial, "pattern": "on"})
            asking = asyncio.create_task(gateway._post(f"device/{device.serial}/leds", order))
        request = await device.wait_for(name, WAIT)
        device.send_text(json.dumps({"jsonrpc": "2.0", "id": request.id, **answer}).encode())
        return await asking

    refused = await ask(error={"code": -32601, "message": "Method not found"})
    assert refused.status_code == 400
    found = refused.json()
    assert (found["status"], found["errorText"]) == ("failed", "Method not found")
    assert "Method not found" in found["ErrorDescription"]
    assert found["results"] == {"error": {"code": -32601, "message": "Method not found"}}
    unclear = await ask(result={"serial": device.serial})
    assert unclear.status_code == 200
    found = unclear.json()
    assert (found["status"], found["errorCode"]) == ("failed", 0)
    assert found["errorText"] == "the answer has no status"


@pytest.mark.parametrize("name", ["leds", "configure"])
@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_a_stuck_command_is_let_go_while_its_caller_waits(gateway, join, name, how):
    """The caller is told at once; the device is free for the next one."""
    serial = f"02a0a40000{'4' if name == 'leds' else '5'}{'1' if how == 'cancel' else '2'}"
    device = await join(serial)
    device.faults = Faults(silent=frozenset({name}))

    def ask(color: str) -> asyncio.Task[httpx.Response]:
        if name == "configure":
            return asyncio.create_task(gateway.configure(serial, {"unit": {"name": color}}))
        order = json.dumps({"serialNumber": serial, "pattern": color})
        return asyncio.create_task(gateway._post(f"device/{serial}/leds", order))

    asking = ask("on")
    request = await device.wait_for(name, WAIT)
    rows = (await gateway.get(f"commands?serialNumber={serial}&newest=true"))["commands"]
    [stuck] = [one for one in rows if one["command"] == name and not one["completed"]]
    busy = await gateway._post(f"device/{serial}/ping", json.dumps({"serialNumber": serial}))
    assert busy.json()["ErrorDescription"].startswith("1145: ")
    assert f"UUID={stuck['UUID']} Command={name}" in busy.json()["ErrorDescription"]
    if how == "cancel":
        answered = await gateway.request("POST", f"command/{stuck['UUID']}/cancel")
        assert answered.json()["status"] == "expired", answered.text
        told = await asking
        assert (told.status_code, told.json()["status"]) == (200, "expired")
        again = await gateway.request("POST", f"command/{stuck['UUID']}/cancel")
        assert again.status_code == 409
    else:
        deleted = await gateway.request("DELETE", f"command/{stuck['UUID']}")
        assert deleted.status_code == 200
        told = await asking
        assert told.status_code == 400
        assert "deleted before it ended" in told.json()["ErrorDescription"]
        assert (await gateway.request("GET", f"command/{stuck['UUID']}")).status_code == 404
    device.faults = Faults()
    assert (await ask("off")).json()["status"] == "completed"
    if how == "cancel":
        answer(device, request, error=0, text="late")
        async with asyncio.timeout(WAIT):
            while True:
                shown = await gateway.get(f"command/{stuck['UUID']}")
                if "lateAnswer" in shown:
                    break
                await asyncio.sleep(0.05)  # REST has no event to await
        assert shown["status"] == "expired"
        assert shown["lateAnswer"]["status"]["text"] == "late"

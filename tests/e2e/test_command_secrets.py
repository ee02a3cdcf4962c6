"""What devices answer may hold secrets: sealed at rest, hidden from some roles."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from gateway import PASSWORD, Gateway

from gw.simulator import messages
from gw.simulator.faults import Faults

pytestmark = pytest.mark.e2e

WAIT = 60.0
USER = "noc@example.org"


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


async def as_noc(gateway: Gateway) -> dict[str, str]:
    """Return the headers of a user whose role sees no secrets."""
    body = {"email": USER, "userRole": "noc", "currentPassword": PASSWORD}
    made = await gateway.request("POST", "user/0", json=body, service="security")
    assert made.status_code == 200, made.text
    session = await gateway.request(
        "POST", "oauth2", json={"userId": USER, "password": PASSWORD},
        service="security", signed=False,
    )  # fmt: skip
    return {"Authorization": f"Bearer {session.json()['access_token']}"}


async def test_what_a_script_printed(gateway, join):
    """In the first answer, in one that came late, in the text of one that failed, in its file."""
    headers = await as_noc(gateway)
    device = await join("02a0a4000001", faults=Faults(silent=frozenset(("script",))))

    async def see(path: str) -> httpx.Response:
        return await gateway.request("GET", path, signed=False, extra_headers=headers)

    order = {"serialNumber": device.serial, "type": "shell", "script": "bHM=", "when": 0}
    asking = asyncio.create_task(gateway._post(f"device/{device.serial}/script", json.dumps(order)))
    request = await device.wait_for("script", WAIT)
    for status in ({"error": 3, "result": "first-words"}, {"error": 0, "result": "late-words"}):
        answer = messages.result(request.id, device.serial, device.uuid, status)
        device.send_text(json.dumps(answer).encode())
        command = (await asking).json()
    assert command["errorText"] == "first-words"
    async with asyncio.timeout(WAIT):
        while "lateAnswer" not in command:
            command = await gateway.get(f"command/{command['UUID']}")
            await asyncio.sleep(0.05)  # REST has no event to await
    assert command["lateAnswer"]["status"]["result"] == "late-words"
    assert command["results"]["status"]["result"] == "first-words"
    for path in (f"command/{command['UUID']}", f"commands?serialNumber={device.serial}"):
        shown = await see(path)
        assert shown.status_code == 200, shown.text
        assert "-words" not in shown.text
        assert "********" in shown.text
    file = f"file/{command['UUID']}?serialNumber={device.serial}"
    assert (await see(file)).json()["ErrorCode"] == 7
    assert (await gateway.request("GET", file)).status_code == 404
    for stored in (gateway.folder / "data").glob("gw.db*"):
        assert b"-words" not in stored.read_bytes(), stored

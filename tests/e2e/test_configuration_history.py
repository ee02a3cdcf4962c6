"""What a device was to have: kept, compared, put back; secrets sealed at rest and hidden."""

from __future__ import annotations

import json

import pytest
from gateway import PASSWORD, Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
PSK = "a-pre-shared-key"


def wifi(name: str, key: str = PSK) -> dict[str, object]:
    """A configuration with a secret."""
    ssid = {"name": name, "encryption": {"proto": "psk2", "key": key}}
    return {"interfaces": [{"name": "up", "role": "upstream", "ssids": [ssid]}]}


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


async def connected(gateway: Gateway, serial: str) -> SimulatedDevice:
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    await gateway.wait_device(serial, configurationState="in_step")
    return device


async def test_history_is_kept_compared_and_put_back(gateway):
    serial = "02a0d9000001"
    device = await connected(gateway, serial)
    assert (await gateway.configure(serial, wifi("one"))).status_code == 200
    assert (await gateway.put_device(serial, wifi("two"))).status_code == 200
    await gateway.wait_device(serial, configurationState="in_step")
    path = f"device/{serial}/configurations"
    entries = (await gateway.get(path))["configurations"]
    assert [one["through"] for one in entries] == ["device", "configure", "onboarding"]
    assert [one["author"] for one in entries] == ["admin@localhost", "admin@localhost", "*system"]
    assert len({one["hash"] for one in entries}) == 3
    former = entries[1]["id"]
    whole = await gateway.get(f"{path}/{former}")
    assert whole["configuration"]["interfaces"] == wifi("one")["interfaces"]
    assert (await gateway.get(f"{path}/{former}/difference"))["changed"] == [
        "interfaces/0/ssids/0/name"
    ]
    restored = await gateway._post(f"{path}/{former}/restore", "{}")
    assert restored.json()["status"] == "completed", restored.text
    assert device.config["interfaces"] == wifi("one")["interfaces"]
    entries = (await gateway.get(path))["configurations"]
    assert (len(entries), entries[0]["hash"]) == (4, entries[2]["hash"])
    assert (await gateway.request("GET", f"{path}/{2**62}")).status_code == 404
    device.stop()


async def test_history_is_bounded_and_goes_with_the_device(start_gateway):
    gateway = await start_gateway(**{"configuration.history": 3})
    serial = "02a0d9000002"
    device = await connected(gateway, serial)
    for number in range(5):
        assert (await gateway.configure(serial, wifi(f"n{number}"))).status_code == 200
    entries = (await gateway.get(f"device/{serial}/configurations"))["configurations"]
    assert len(entries) == 3
    newest = await gateway.get(f"device/{serial}/configurations/{entries[0]['id']}")
    assert newest["configuration"]["interfaces"] == wifi("n4")["interfaces"]
    device.stop()
    await gateway.request("DELETE", f"device/{serial}")
    assert gateway.sql("SELECT count(*) FROM configurations") == [(0,)]


async def test_secrets_are_not_in_the_database(gateway):
    serial = "02a0d9000003"
    device = await connected(gateway, serial)
    assert (await gateway.configure(serial, wifi("sealed", "never-in-clear"))).status_code == 200
    await gateway._post(
        "default_configuration/sealed",
        json.dumps({"modelIds": ["x"], "configuration": wifi("sealed", "never-in-clear")}),
    )
    shown = await gateway.device(serial)
    assert shown["configuration"]["interfaces"] == wifi("sealed", "never-in-clear")["interfaces"]
    for file in (gateway.folder / "data").glob("gw.db*"):
        assert b"never-in-clear" not in file.read_bytes(), file
    assert "never-in-clear" not in gateway.log()
    device.stop()


async def test_some_roles_see_no_secrets(gateway):
    serial = "02a0d9000004"
    device = await connected(gateway, serial)
    assert (await gateway.configure(serial, wifi("hidden"))).status_code == 200
    body = {"email": "noc@example.org", "userRole": "noc", "currentPassword": PASSWORD}
    made = await gateway.request("POST", "user/0", json=body, service="security")
    assert made.status_code == 200, made.text
    token = (
        await gateway.request(
            "POST", "oauth2", json={"userId": "noc@example.org", "password": PASSWORD},
            service="security", signed=False,
        )
    ).json()["access_token"]  # fmt: skip
    headers = {"Authorization": f"Bearer {token}"}

    async def see(path: str) -> str:
        answer = await gateway.request("GET", path, signed=False, extra_headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.text

    entries = (await gateway.get(f"device/{serial}/configurations"))["configurations"]
    for path in (
        f"device/{serial}",
        f"devices?select={serial}",
        f"devices?select={serial}&completeInfo=true",
        f"commands?serialNumber={serial}",
        f"device/{serial}/configurations/{entries[0]['id']}",
    ):
        text = await see(path)
        assert PSK not in text, path
        assert "********" in text, path
        assert PSK in (await gateway.request("GET", path)).text
    # What was hidden from its reader does not come back as the secret.
    refused = await gateway.configure(serial, wifi("hidden", "********"))
    assert refused.status_code == 400
    assert "1008" in refused.text
    device.stop()

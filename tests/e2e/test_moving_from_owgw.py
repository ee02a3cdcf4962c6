"""A gateway on what was taken over from owgw and owsec: devices are in step, users sign in."""

from __future__ import annotations

import json

import msgspec
import pytest
from gateway import Gateway
from owgw_database import GATEWAY, SECURITY, device, in_sqlite, salted, unsalted, user

from gw.core.settings import Run, Settings
from gw.owgw.run import import_from
from gw.security import pki
from gw.simulator.configure import config_hash
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
SERIAL, CHANGED = "02a0a9000061", "02a0a9000062"
PASSWORD = "Right-Horse-7!"
KEY = "e" * 64
UUID = 1_700_000_000


@pytest.fixture
async def moved(tmp_path, pki_dir):
    """A gateway whose first start is on an imported store."""
    pending = json.dumps({"uuid": UUID + 9, "interfaces": [], "unit": {"name": "pending"}})
    devices = in_sqlite(
        tmp_path / "devices.db",
        GATEWAY,
        {
            "Devices": [
                device(SERIAL, UUID),
                device(CHANGED, UUID, pendingConfiguration=pending, pendingUUID=UUID + 9),
            ]
        },
    )
    users = in_sqlite(
        tmp_path / "users.db",
        SECURITY,
        {
            "Users": [
                user("u-1", "root@x", salted(PASSWORD, "root@x", "salt"), userRole="root"),
                user("u-2", "tip@ucentral.com", unsalted("openwifi", "tip@ucentral.com"),
                     userRole="root", changePassword=True),
            ],
            "ApiKeys": [
                {"id": "k", "userUuid": "u-1", "name": "robot", "apiKey": KEY,
                 "expiresOn": 4_000_000_000, "rights": ""},
            ],
        },
    )  # fmt: skip
    folder = tmp_path / "gateway"
    await import_from(Settings(run=Run(data=str(folder / "data"))), devices=devices, security=users)
    gateway = Gateway(folder, pki_dir, **{"devices.unknown": "refuse"})
    await gateway.start()
    yield gateway
    assert await gateway.stop() == 0


async def sign_in(gateway, email, password, **more):
    body = {"userId": email, "password": password} | more
    return await gateway.request("POST", "oauth2", json=body, service="security", signed=False)


async def test_devices_are_in_step_and_users_sign_in(moved):
    gateway = moved
    answer = await sign_in(gateway, "root@x", PASSWORD)
    assert answer.status_code == 200, answer.text
    gateway._token = answer.json()["access_token"]
    assert (await sign_in(gateway, "root@x", "Wrong-Horse-7!")).status_code == 403
    # The hash of owsec is gone with the first sign-in.
    (row,) = gateway.sql("SELECT password FROM users WHERE email = 'root@x'")
    assert row[0].startswith("$argon2id$")
    assert (await sign_in(gateway, "root@x", PASSWORD)).status_code == 200
    # The first user of owsec has to change the password, as there.
    refused = await sign_in(gateway, "tip@ucentral.com", "openwifi")
    assert (refused.status_code, refused.json()["ErrorCode"]) == (403, 1)
    changed = await sign_in(gateway, "tip@ucentral.com", "openwifi", newPassword="New-Horse-8!")
    assert changed.status_code == 200, changed.text
    assert gateway.sql("SELECT count(*) FROM users") == [(2,)]

    pki.device(gateway.pki, [SERIAL, CHANGED])
    still = SimulatedDevice(SERIAL, gateway.pki, "127.0.0.1", gateway.device_port, uuid=UUID)
    running = msgspec.Raw(device(SERIAL, UUID)["Configuration"].encode())
    still.memory = msgspec.structs.replace(still.memory, config=running)
    still.config_hash = config_hash(running)
    await still.connect(deadline=WAIT)
    await gateway.wait_device(SERIAL, configurationState="in_step")
    assert await gateway.metric("gw_config_pushes_total") == 0
    # A change that owgw had not brought to its device yet.
    moving = SimulatedDevice(CHANGED, gateway.pki, "127.0.0.1", gateway.device_port, uuid=UUID)
    await moving.connect(deadline=WAIT)
    await moving.wait_for_configure(WAIT)
    shown = await gateway.wait_device(CHANGED, configurationState="in_step")
    assert shown["configuration"]["unit"] == {"name": "pending"}
    assert moving.config["unit"] == {"name": "pending"}
    assert await gateway.metric("gw_config_pushes_total") == 1
    listed = await gateway.request("GET", "devices", signed=False, extra_headers={"X-API-KEY": KEY})
    assert [one["serialNumber"] for one in listed.json()["devices"]] == [SERIAL, CHANGED]
    still.stop()
    moving.stop()

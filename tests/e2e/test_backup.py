"""A gateway is backed up while it runs, put back elsewhere, and its devices are in step there."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys

import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
SERIAL = "02a0a9000031"
WIFI = {"name": "lobby", "encryption": {"proto": "psk2", "key": "a-pre-shared-key"}}
CONFIGURATION = {"interfaces": [{"name": "up", "role": "upstream", "ssids": [WIFI]}]}


async def gw(*words: object, url: str = "") -> str:
    """Run a command of gw, which must succeed; returns what it prints."""
    known = {name: one for name, one in os.environ.items() if not name.startswith("GW_")}
    command = [sys.executable, "-m", "gw", *map(str, words)]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False,
        env=known | ({"GW_STORE__URL": url} if url else {}), timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
async def make_gateway(tmp_path, pki_dir):
    """Gateways whose data directories a test may fill before it starts them."""
    made: list[Gateway] = []

    def make(url: str) -> Gateway:
        folder = tmp_path / f"gateway-{len(made)}"
        (folder / "data").mkdir(parents=True)
        made.append(Gateway(folder, pki_dir, **({"store.url": url} if url else {})))
        return made[-1]

    yield make
    for gateway in made:
        assert await gateway.stop() == 0


@pytest.mark.parametrize("engines", [("sqlite", "postgres"), ("postgres", "sqlite")])
async def test_devices_are_in_step_with_a_restored_gateway(
    make_gateway, postgres_server, pki_dir, tmp_path, engines
):
    urls = []
    for engine in engines:
        url = postgres_server.url(await postgres_server.make_database())
        urls.append(url if engine == "postgres" else "")
    old, new = make_gateway(urls[0]), make_gateway(urls[1])
    await old.start()
    pki.device(pki_dir, [SERIAL])
    device = SimulatedDevice(SERIAL, pki_dir, "127.0.0.1", old.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    await old.wait_device(SERIAL, configurationState="in_step")
    assert (await old.configure(SERIAL, CONFIGURATION)).status_code == 200
    device.send_state()
    await device.confirm(WAIT)
    await old.wait_metric("gw_store_records_committed_total", 1, kind="statistics")
    history = await old.get(f"device/{SERIAL}/configurations")
    backup = tmp_path / "backup.zip"
    said = await gw("backup", "--data", old.folder / "data", backup, url=urls[0])
    assert "1  devices" in said
    assert b"a-pre-shared-key" not in backup.read_bytes()
    device.stop()
    assert await old.stop() == 0

    # Elsewhere: another data directory, another database, and the key that was kept.
    shutil.copy(old.folder / "data" / "sealing.key", new.folder / "data" / "sealing.key")
    said = await gw("restore", "--data", new.folder / "data", backup, url=urls[1])
    assert "is restored" in said
    await new.start()
    device._port = new.device_port
    await device.connect(deadline=WAIT)
    await new.wait_metric("gw_devices_connected", 1)
    shown = await new.wait_device(SERIAL, configurationState="in_step")
    assert shown["configuration"]["interfaces"] == CONFIGURATION["interfaces"]
    assert shown["UUID"] == device.uuid
    # It had what it is to have: nothing was sent.
    assert await new.metric("gw_config_pushes_total") == 0
    assert len((await new.get(f"device/{SERIAL}/statistics"))["data"]) == 1
    assert await new.get(f"device/{SERIAL}/configurations") == history
    changed = {"interfaces": CONFIGURATION["interfaces"], "unit": {"name": "moved"}}
    assert (await new.configure(SERIAL, changed)).json()["status"] == "completed"
    device.stop()


async def test_a_running_gateway_is_not_restored_over(gateway, tmp_path):
    backup = tmp_path / "backup.zip"
    await gw("backup", "--data", gateway.folder / "data", backup)
    with pytest.raises(AssertionError, match=r"a gateway runs on .* stop it first"):
        await gw("restore", "--data", gateway.folder / "data", "--replace", backup)
    await gateway.get("devices")

"""The wall clock of the machine is set, hours ahead and back: nothing runs out, nothing waits."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from pathlib import Path

import pytest

from gw.security import pki
from gw.simulator.device import SimulatedDevice
from gw.simulator.faults import Faults

pytestmark = pytest.mark.e2e

WAIT = 60.0
HOUR = 3600


class Clock:
    """Sets the wall clock of all processes of a gateway (tests/clock/sitecustomize.py)."""

    def __init__(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._file = file
        self.ahead = 0.0
        self.jump(0)
        folder = str(Path(__file__).parents[1] / "clock")
        monkeypatch.setenv("GW_TEST_CLOCK", str(file))
        monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def jump(self, seconds: float) -> None:
        """Set it ahead, or back if negative."""
        self.ahead += seconds
        if not self._file.exists():
            self._file.write_bytes(bytes(8))
        with self._file.open("r+b") as file:  # in place: it is mapped
            file.write(struct.pack("d", self.ahead))

    def now(self) -> float:
        """Return what the gateway takes for the time."""
        return time.time() + self.ahead


@pytest.fixture
def clock(tmp_path, monkeypatch) -> Clock:
    return Clock(tmp_path / "clock", monkeypatch)


@pytest.fixture
async def join():
    """Connect devices to a gateway, cut at the end."""
    made: list[SimulatedDevice] = []

    async def connect(gateway, serial: str, **options: object) -> SimulatedDevice:
        pki.device(gateway.pki, [serial])
        made.append(
            SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port, **options)
        )
        await made[-1].connect(deadline=WAIT)
        await made[-1].wait_for_configure(WAIT)
        await gateway.wait_device(serial, configurationState="in_step")
        return made[-1]

    yield connect
    for device in made:
        device.stop()


@pytest.mark.parametrize("hours", [3, -3])
async def test_clock_is_set_under_a_session(clock, start_gateway, join, hours):
    """Sessions, commands under way, repairs and tokens do not depend on it."""
    gateway = await start_gateway(**{"configuration.resend_at_once": 2})
    await gateway.sign_in()
    device = await join(gateway, "02a0a7c00001")
    slow = await join(gateway, "02a0a7c00002", faults=Faults(answer_delay=3.0))

    under_way = asyncio.create_task(gateway.configure(slow.serial, {"unit": {"name": "slow"}}))
    await slow.wait_for_configure(WAIT)
    clock.jump(hours * HOUR)
    answer = await under_way
    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
    # On a busy machine the answer may have come just before the jump.
    since = abs(answer.json()["completed"] - clock.now())
    assert min(since, abs(since - abs(hours) * HOUR)) < HOUR / 2

    device.send_state()
    await device.confirm(WAIT)
    await gateway.wait_metric("gw_store_records_committed_total", 1, kind="statistics")
    (found,) = (await gateway.get(f"device/{device.serial}/statistics"))["data"]
    assert abs(found["recorded"] - clock.now()) < HOUR / 2
    device.drift("older")
    device.send_state()
    await device.wait_for_configure(WAIT)
    await gateway.wait_device(device.serial, configurationState="in_step")
    assert await gateway.metric("gw_session_ends_total") == 0
    assert await gateway.metric("gw_commands_total", status="timedout") == 0
    assert await gateway.metric("gw_devices_connected") == 2


@pytest.mark.parametrize("role", ["coordinator", "worker"])
async def test_clock_is_put_back_over_a_restart(clock, start_gateway, join, role):
    """What was written by the later clock holds up nothing."""
    gateway = await start_gateway(**{"log.level": "warning"})
    device = await join(gateway, "02a0a7c00003")
    living = asyncio.create_task(device.stay_connected())
    try:
        clock.jump(-24 * HOUR)
        for slot in range(2 if role == "worker" else 1):
            await gateway.kill(role, slot)
        await device.wait_connected(WAIT)
        await gateway.wait_metric("gw_devices_connected", 1)
        answer = await gateway.configure(device.serial, {"unit": {"name": "back"}})
        assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
        await gateway.wait_device(device.serial, configurationState="in_step")
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)

"""Fixtures of the suites that talk to the real program as devices and operators do."""

from __future__ import annotations

import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice

WAIT = 60.0


@pytest.fixture
async def join(gateway: Gateway):
    """Connect devices to the module's gateway, cut at the end; modules may have their own."""
    made: list[SimulatedDevice] = []

    async def connect(serial: str, **options: object) -> SimulatedDevice:
        pki.device(gateway.pki, [serial])
        device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port, **options)
        made.append(device)
        await device.connect(deadline=WAIT)
        if device.platform == "ap":
            await device.wait_for_configure(WAIT)
            await gateway.wait_device(serial, configurationState="in_step")
        else:
            await gateway.wait_device(serial, deviceType="switch")
        return device

    yield connect
    for device in made:
        device.stop()

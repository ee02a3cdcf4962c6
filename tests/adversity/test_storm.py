"""Everybody at once: the coordinator was away while the whole fleet drifted."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

DEVICES = 600
WAIT = 120.0


async def test_fleet_that_drifted_at_once_is_put_right(start_gateway):
    gateway = await start_gateway(**{"log.level": "warning"})
    serials = pki.numbered_serials("02a0d0", DEVICES)
    pki.device(gateway.pki, serials)
    devices = [
        SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port) for serial in serials
    ]
    coordinator = gateway.ready["pids"]["coordinator"]
    try:
        for start in range(0, DEVICES, 50):
            part = devices[start : start + 50]
            await asyncio.gather(*(device.connect(deadline=WAIT) for device in part))
        await asyncio.gather(*(device.wait_for_configure(WAIT) for device in devices))
        os.kill(coordinator, signal.SIGSTOP)
        try:
            for device in devices:
                device.drift("older")
                device.send_state()
            await asyncio.gather(*(device.confirm(WAIT) for device in devices))
        finally:
            os.kill(coordinator, signal.SIGCONT)
        messages = await asyncio.gather(*(device.wait_for_configure(WAIT) for device in devices))
        assert all(message.outcome.applied for message in messages)
        await gateway.wait_metric("gw_config_pushes_total", 2 * DEVICES)
        assert await gateway.metric("gw_config_pushes_total") == 2 * DEVICES
        assert gateway.ready["pids"]["coordinator"] == coordinator
        assert await gateway.metric("gw_process_starts_total", process="coordinator") == 1
    finally:
        for device in devices:
            device.stop()

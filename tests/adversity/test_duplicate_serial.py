"""Two connections of one device: the newest acts, also for a coordinator that starts anew."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0


async def test_newest_wins_over_a_restart_of_the_coordinator(start_gateway):
    gateway: Gateway = await start_gateway()
    serials = pki.numbered_serials("02a0d1", 8)
    pki.device(gateway.pki, serials)

    def make(serial: str) -> SimulatedDevice:
        return SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)

    older, newer = [make(one) for one in serials], [make(one) for one in serials]
    # The coordinator is stopped, so that both connections of a device stay until it starts anew.
    coordinator = gateway.ready["pids"]["coordinator"]
    os.kill(coordinator, signal.SIGSTOP)
    for device in (*older, *newer):
        await device.connect(deadline=WAIT)
        await device.confirm(WAIT)
    for device in older:
        # Those on another worker than the newer connection are still there, and speak last.
        with contextlib.suppress(ConnectionError):
            device.send_log("still here")
            await device.confirm(WAIT)
    os.kill(coordinator, signal.SIGKILL)
    await gateway.wait_ready(without={"coordinator": coordinator})
    for device in older:
        closed = await asyncio.wait_for(asyncio.shield(device.closed), WAIT)
        assert closed.code == 1008
    for device in newer:
        await device.wait_for_configure(WAIT)
        assert device.connected
        device.stop()

"""A device is deleted, or blacklisted, while it talks."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from gateway import Gateway

from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0


@pytest.fixture
async def gateway(shared_gateway: Gateway) -> Gateway:
    """One gateway for the module."""
    return shared_gateway


async def talk(device: SimulatedDevice) -> None:
    """Send states until the connection ends."""
    while device.connected:
        device.send_state()
        await device.drain()
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", range(5))
async def test_device_deleted_while_it_talks_leaves_nothing(gateway, number):
    serial = f"02a0d200000{number}"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    talking = asyncio.create_task(talk(device))
    await gateway.wait_metric("gw_device_messages_received_total", 20, method="state")
    answer = await gateway.request("DELETE", f"device/{serial}")
    assert answer.status_code == 200, answer.text
    closed = await asyncio.wait_for(asyncio.shield(device.closed), WAIT)
    assert closed.code == 1008
    await talking
    assert (await gateway.request("GET", f"device/{serial}")).status_code == 404
    # It comes back as a device that was never seen, and gets its configuration.
    await device.connect(deadline=WAIT)
    await gateway.wait_device(serial, configurationState="in_step")
    for table in ("statistics", "device_logs", "commands"):
        count = gateway.sql(
            f"SELECT count(*) FROM {table} WHERE serial_number = ? "
            "AND serial_number NOT IN (SELECT serial_number FROM devices)",
            serial,
        )
        assert count == [(0,)], table
    device.stop()


async def test_blacklisted_device_is_cut_and_kept_out(gateway):
    serial = "02a0d2000010"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(serial, gateway.pki, "127.0.0.1", gateway.device_port)
    await device.connect(deadline=WAIT)
    await device.wait_for_configure(WAIT)
    body = f'{{"serialNumber":"{serial}","reason":"stolen"}}'
    answer = await gateway._post(f"blacklist/{serial}", body)
    assert answer.status_code == 200, answer.text
    closed = await asyncio.wait_for(asyncio.shield(device.closed), WAIT)
    assert closed.code == 1008
    # Neither with nor without `connect` may it say anything.
    for announce in (True, False):
        with contextlib.suppress(ConnectionError):
            await device.connect(deadline=WAIT, announce=announce)
            device.send_log("let me in")
        closed = await asyncio.wait_for(asyncio.shield(device.closed), WAIT)
        assert closed.code == 1008
    assert gateway.sql("SELECT * FROM device_logs WHERE serial_number = ?", serial) == []
    assert (await gateway.request("DELETE", f"blacklist/{serial}")).status_code == 200
    await device.connect(deadline=WAIT)
    await gateway.wait_metric("gw_devices_connected", 1)
    device.stop()

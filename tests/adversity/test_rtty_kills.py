"""The coordinator dies while a remote terminal is opened: one result, and one terminal at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from gateway import Gateway

from gw.core import faultpoints
from gw.security import pki
from gw.simulator.device import SimulatedDevice

pytestmark = pytest.mark.e2e

WAIT = 60.0
RTTY = {
    "rtty.enabled": "true", "rtty.host": "127.0.0.1", "rtty.port": 0, "rtty.viewer_port": 0,
    "rtty.public_host": "127.0.0.1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("point", "status", "times"),
    [
        # Its params are not kept, so that it cannot be sent by the successor.
        ("rtty.executing", "failed", 0),
        ("rtty.sent", "completed", 1),
        ("rtty.completed", "completed", 1),
    ],
)
async def test_killed_while_it_is_opened(
    start_gateway: Callable[..., Awaitable[Gateway]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    status: str,
    times: int,
) -> None:
    marker = tmp_path / "reached"
    monkeypatch.setenv(faultpoints.VARIABLE, f"{point}@{marker}")
    gateway = await start_gateway(**RTTY)
    serial = f"02a0e302000{times}"
    pki.device(gateway.pki, [serial])
    device = SimulatedDevice(
        serial, gateway.pki, "127.0.0.1", gateway.device_port, platform="switch"
    )
    await device.connect(deadline=WAIT)
    await gateway.wait_device(serial, deviceType="switch")
    asking = asyncio.create_task(gateway.request("GET", f"device/{serial}/rtty", timeout=150.0))
    async with asyncio.timeout(WAIT):
        while not marker.exists():
            await asyncio.sleep(0.02)  # a file appears: there is no event to await
    await gateway.wait_ready(without={"coordinator": gateway.ready["pids"]["coordinator"]})
    answer = await asking
    if status == "completed":
        assert answer.status_code == 200, answer.text
        await gateway.wait_metric("gw_rtty_sessions", 1)
    else:
        assert answer.status_code == 400, answer.text
        assert answer.json()["ErrorDescription"].startswith("1137")
        assert await gateway.metric("gw_rtty_sessions_total") == 0
    assert gateway.sql("SELECT status FROM commands WHERE command = 'rtty'") == [(status,)]
    await gateway.wait_metric("gw_devices_connected", 1)
    await device.confirm(WAIT)
    assert len([one for one in device.received if one.method == "rtty"]) == times
    await device.end_terminals()
    device.stop()

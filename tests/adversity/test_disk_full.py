"""The disk of the SQLite database is full: devices stay, errors are clear, all catches up."""

from __future__ import annotations

import pytest
from faults import SmallDisk
from numbered_states import NumberedStates

pytestmark = pytest.mark.e2e

PREFIX = "02a0a7d"
DEVICES = 20
STATES = 150
WAIT = 120.0


@pytest.fixture
def disk(tmp_path):
    """A file system of its own for the database."""
    made = SmallDisk(tmp_path / "disk", 64)
    yield made
    made.remove()


async def test_a_full_disk_loses_nothing(disk, start_gateway):
    gateway = await start_gateway(
        **{
            "store.url": f"sqlite:///{disk.folder}/gw.db", "store.spool_after_seconds": 0.2,
            "workers.ring_bytes": 1_048_576, "workers.ring_reserve_bytes": 262_144,
            "devices.max_frame_bytes": 262_144, "devices.max_message_bytes": 262_144,
            "devices.max_expanded_bytes": 262_144, "api.max_body_bytes": 262_144,
        }
    )  # fmt: skip
    await gateway.sign_in()
    fleet = NumberedStates(gateway, PREFIX, DEVICES, STATES)

    async def fill() -> None:
        disk.fill()
        await gateway.wait_metric("gw_store_spool_records", 500, patience=WAIT)
        (*_, told) = gateway.logged("the store is away; trying again")
        assert "FULL" in told["detail"], told
        # Reading goes on, and who wants to write is told.
        assert (await gateway.request("GET", "devices?limit=1")).status_code == 200
        body = {"serialNumber": fleet.serials[0], "pattern": "blink", "when": 0}
        answer = await gateway.request("POST", f"device/{fleet.serials[0]}/leds", json=body)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) > 0
        assert await gateway.metric("gw_devices_connected") == DEVICES
        disk.free()
        await gateway.wait_metric(
            "gw_store_records_committed_total", 500, patience=WAIT, kind="statistics"
        )

    lost, ended = await fleet.run([(0.1, fill)])
    assert (lost, ended) == (0, 0)
    assert await gateway.metric("gw_store_spool_lost_bytes_total") == 0

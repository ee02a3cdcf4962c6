"""kill -9 of a worker and of the coordinator under full load: nothing stored twice, nothing lost
that was published, order per device kept (design.md, section 3)."""

from __future__ import annotations

import pytest
from gateway import Gateway
from numbered_states import NumberedStates

pytestmark = pytest.mark.e2e

DEVICES = 200
STATES = 120
"""Numbered states per device."""
SENT = DEVICES * STATES


async def run_fleet(gateway: Gateway, kills: list[tuple[float, str, int]]) -> tuple[int, float]:
    """Send all states while roles are killed; returns states lost, and sessions that ended."""

    def kill(role: str, slot: int):
        return lambda: gateway.kill(role, slot)

    fleet = NumberedStates(gateway, "02a0cb", DEVICES, STATES)
    return await fleet.run([(share, kill(role, slot)) for share, role, slot in kills])


async def test_coordinator_killed_under_load_loses_nothing(start_gateway):
    gateway = await start_gateway()
    lost, ended = await run_fleet(gateway, [(0.2, "coordinator", 0), (0.5, "coordinator", 0)])
    print(f"\n{SENT} states, coordinator killed twice: {lost} lost")
    assert lost == 0
    assert ended == 0, "no device session was dropped"


async def test_worker_killed_under_load_loses_only_what_was_not_published(start_gateway):
    gateway = await start_gateway()
    lost, _ = await run_fleet(gateway, [(0.2, "worker", 0), (0.5, "worker", 1)])
    print(f"\n{SENT} states, both workers killed: {lost} lost with their connections")
    assert lost < SENT / 4
    assert await gateway.metric("gw_process_starts_total", process="worker-0") == 2


async def test_worker_and_coordinator_killed_together(start_gateway):
    gateway = await start_gateway()
    lost, _ = await run_fleet(
        gateway, [(0.2, "worker", 0), (0.3, "coordinator", 0), (0.5, "worker", 1)]
    )
    print(f"\nworkers and coordinator killed: {lost} lost with their connections")

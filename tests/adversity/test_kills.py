"""kill -9 of a worker and of the coordinator under full load: nothing stored twice, nothing lost
that was published, order per device kept (design.md, section 3)."""

from __future__ import annotations

import os
import signal
import time

import pytest
from gateway import Gateway, gone
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


async def test_the_pause_of_a_killed_coordinator_is_measured(start_gateway):
    """Intake goes on by itself, no device notices; how long it took is told by test and log."""
    gateway = await start_gateway()
    fleet = NumberedStates(gateway, "02a0a7e", 50, pace=0.1)
    pauses = []

    async def kill() -> None:
        pid = gateway.ready["pids"]["coordinator"]
        os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        await gone(pid)
        stored = await gateway.metric("gw_store_records_committed_total", kind="statistics")
        await gateway.wait_metric("gw_store_records_committed_total", stored + 1, kind="statistics")
        pauses.append(time.monotonic() - began)
        await gateway.wait_ready(without={"coordinator": pid})

    lost, ended = await fleet.run([(0.0, kill)] * 3)
    assert (lost, ended) == (0, 0), "no state was lost, no device session was dropped"
    told = [one["oldest_seconds"] for one in gateway.logged("intake goes on")][-3:]
    print(
        "\nuntil records were stored again, three kills: "
        + ", ".join(f"{one:.2f} s" for one in pauses)
        + "; oldest record then, by the log: "
        + ", ".join(f"{one:.2f} s" for one in told)
    )
    assert len(told) == 3
    assert all(one > 0 for one in told)
    assert all(0 < one < 60 for one in pauses)

"""The store takes nothing while devices flood: memory is bounded, nobody is sent away."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from faults import held, resident
from gateway import gone
from numbered_states import NumberedStates

pytestmark = pytest.mark.e2e

PREFIX = "02a0a7"
DEVICES = 20
STATES = 200
SMALL = {
    "workers.ring_bytes": 1_048_576, "workers.ring_reserve_bytes": 262_144,
    "devices.max_frame_bytes": 262_144, "devices.max_message_bytes": 262_144,
    "devices.max_expanded_bytes": 262_144, "api.max_body_bytes": 262_144,
    "store.spool_after_seconds": 0.2,
}  # fmt: skip
"""Queues that are soon full."""
GROWTH = 48 * 2**20
"""Bytes that a process may take more: its queue, what is under way, and the allocator."""
WAIT = 120.0


def memory(gateway) -> dict[str, int]:
    pids = gateway.ready["pids"]
    found = {f"worker-{slot}": resident(pid) for slot, pid in enumerate(pids["workers"])}
    return found | {"coordinator": resident(pids["coordinator"])}


async def reached(what, least: float) -> None:
    async with asyncio.timeout(WAIT):
        while await what() < least:
            await asyncio.sleep(0.05)  # a scrape has no event to await


def grown(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return {name: now[name] - size for name, size in before.items()}


async def test_a_full_queue_stops_reading_before_memory_grows(start_gateway):
    """Without a spool: from the store back to the sockets, and then on, each state once."""
    gateway = await start_gateway(**SMALL, **{"store.spool_bytes": 0})
    fleet = NumberedStates(gateway, PREFIX, DEVICES, STATES)

    async def received() -> float:
        return await gateway.metric("gw_device_messages_received_total", method="state")

    def sent() -> int:
        return sum(device.sequence for device in fleet.devices)

    async def hold() -> None:
        before = memory(gateway)
        with held(gateway.folder / "data" / "gw.db"):
            await gateway.wait_metric("gw_queue_waits_total", 2)
            async with asyncio.timeout(WAIT):
                while True:  # until devices send, and nothing of it is read
                    count, begin = await received(), sent()
                    while sent() < min(begin + 300, DEVICES * STATES):
                        await asyncio.sleep(0.01)
                    if await received() == count and sent() > count + 500:
                        break
            more = grown(before, memory(gateway))
            print(f"\n{sent()} sent, {count:.0f} read; MiB more:",
                  {name: size >> 20 for name, size in more.items()})  # fmt: skip
            assert max(more.values()) < GROWTH, more
            depth = await gateway.metric("gw_queue_depth_bytes", direction="up")
            assert depth <= 3 * SMALL["workers.ring_bytes"]
            assert await gateway.metric("gw_devices_connected") == DEVICES

    lost, ended = await fleet.run([(0.05, hold)])
    assert (lost, ended) == (0, 0)
    assert await gateway.metric("gw_store_spooled_total") == 0


async def test_what_the_queues_do_not_hold_goes_to_disk(start_gateway):
    """With a spool: devices are read on; killed in the middle, each state is stored once."""
    gateway = await start_gateway(**SMALL)
    fleet = NumberedStates(gateway, PREFIX, DEVICES, STATES)

    async def hold() -> None:
        before = memory(gateway)
        with held(gateway.folder / "data" / "gw.db"):
            await gateway.wait_metric("gw_store_spool_records", 1000, patience=WAIT)
            more = grown(before, memory(gateway))
            print("\nMiB more:", {name: size >> 20 for name, size in more.items()})
            assert max(more.values()) < GROWTH, more
            assert await gateway.metric("gw_store_spool_bytes") > 4 * SMALL["workers.ring_bytes"]
            assert await gateway.metric("gw_devices_connected") == DEVICES
        began = time.monotonic()
        await gateway.wait_metric(
            "gw_store_records_committed_total", 500, patience=WAIT, kind="statistics"
        )
        await gateway.kill("coordinator")
        await gateway.kill("coordinator")
        await reached(lambda: negative(gateway.metric("gw_store_spool_records")), 0)
        print(f"the spool was empty after {time.monotonic() - began:.1f} s, two kills included")

    async def negative(metric) -> float:
        return -(await metric)

    lost, ended = await fleet.run([(0.05, hold)])
    assert (lost, ended) == (0, 0)
    assert await gateway.metric("gw_store_spool_lost_bytes_total") == 0
    assert not list((gateway.folder / "data" / "spool").glob("*/*.spool"))


async def test_a_gateway_that_ends_keeps_what_it_had(start_gateway):
    """Stopped while the store takes nothing, and started again: what it had is stored, once."""
    gateway = await start_gateway(**SMALL)
    fleet = NumberedStates(gateway, PREFIX, DEVICES, STATES)
    kept = []

    async def hold() -> None:
        with held(gateway.folder / "data" / "gw.db"):
            await gateway.wait_metric("gw_store_spool_records", 1000, patience=WAIT)
            # All that devices were read of, also what is in the queues only.
            name = "gw_device_messages_received_total"
            kept.append(int(await gateway.metric(name, method="state")))
            assert await gateway.stop() == 0
            assert gateway.logged(
                "the store takes nothing: what it did not take stays in the spool"
            )
        gateway.settings = gateway.settings | {"devices.port": gateway.device_port}
        await gateway.start()

    lost, _ = await fleet.run([(0.05, hold)])
    sent = DEVICES * STATES
    print(f"\n{kept[0]} had to be kept; {lost} of {sent} lost in sockets")
    rows = gateway.sql("SELECT count(*) FROM statistics")
    assert rows[0][0] == sent - lost >= kept[0]


async def test_a_gateway_told_to_end_before_its_store_is_there_keeps_what_it_had(
    start_gateway, start_postgres
):
    """Its coordinator was killed, and the successor waits for the store when all is to end."""
    server = start_postgres()
    gateway = await start_gateway(
        **SMALL, **{"store.url": server.url(await server.make_database())}
    )
    fleet = NumberedStates(gateway, PREFIX, 5, 40)
    kept = []

    async def hold() -> None:
        name = "gw_device_messages_received_total"
        await asyncio.to_thread(server.stop)
        pid = gateway.ready["pids"]["coordinator"]
        os.kill(pid, signal.SIGKILL)
        await gone(pid)
        await gateway.wait_metric(name, 150, method="state")
        kept.append(int(await gateway.metric(name, method="state")))
        assert await gateway.stop() == 0
        await asyncio.to_thread(server.start)
        gateway.settings = gateway.settings | {"devices.port": gateway.device_port}
        await gateway.start()

    lost, _ = await fleet.run([(0.1, hold)])
    rows = gateway.sql("SELECT count(*) FROM statistics")
    assert rows[0][0] == 5 * 40 - lost >= kept[0]

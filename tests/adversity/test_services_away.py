"""PostgreSQL and Kafka away, alone and together: devices stay, and everything catches up.

Away for as long as it takes both spools to fill somewhat; `make soak` has the full minute.
"""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from faults import resident
from kafka_states import KafkaStates, first_occurrences
from numbered_states import NumberedStates, stored

pytestmark = pytest.mark.e2e

PREFIX = "02a0a8"
DEVICES = 40
GROWTH = 160 * 2**20
"""Bytes: Kafka's buffer (`kafka.buffer_bytes`), two units of work, and the allocator."""
WAIT = 300.0


async def refused(gateway) -> None:
    answer = await gateway.request("GET", "devices")
    assert answer.status_code == 503, answer.text
    assert "database does not answer" in answer.json()["ErrorDescription"]
    assert int(answer.headers["retry-after"]) > 0


async def both_away(start_postgres, start_kafka, start_gateway, seconds: float, pace: float):
    server, broker = start_postgres(), start_kafka()
    name = await server.make_database()
    gateway = await start_gateway(
        **{
            "store.url": server.url(name), "store.query_seconds": 2, "store.commit_seconds": 5,
            "store.connect_seconds": 5, "store.spool_after_seconds": 0.5,
            "kafka.bootstrap_servers": broker.address(), "kafka.spool_after_seconds": 1,
            "kafka.request_seconds": 5, "workers.ring_bytes": 2_097_152,
            "workers.ring_reserve_bytes": 524_288, "devices.max_frame_bytes": 524_288,
            "devices.max_message_bytes": 524_288, "devices.max_expanded_bytes": 524_288,
            "api.max_body_bytes": 262_144, "log.level": "warning",
        }
    )  # fmt: skip
    await gateway.sign_in()
    fleet = NumberedStates(gateway, PREFIX, DEVICES, pace=pace, idle_ping=10.0)
    pids = gateway.ready["pids"]
    took: list[str] = []

    async def away() -> None:
        processes = [pids["coordinator"], *pids["workers"]]
        before = [resident(pid) for pid in processes]
        began = time.monotonic()
        await asyncio.to_thread(broker.pause)
        await gateway.wait_metric("gw_kafka_spool_messages", 200, patience=WAIT)
        await asyncio.to_thread(server.kill)
        await refused(gateway)
        await gateway.wait_metric("gw_store_spool_records", 500, patience=WAIT)
        while time.monotonic() - began < seconds:
            await refused(gateway)
            await asyncio.sleep(1)
        more = [resident(pid) - size for pid, size in zip(processes, before, strict=True)]
        assert max(more) < GROWTH, more
        assert await gateway.metric("gw_devices_connected") == DEVICES
        took.append(f"{time.monotonic() - began:.0f} s away, "
                    f"{await gateway.metric('gw_store_spool_records'):.0f} records spooled, "
                    f"{max(more) >> 20} MiB more")  # fmt: skip
        began = time.monotonic()
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(broker.resume)
        sent = sum(device.sequence for device in fleet.devices)
        await gateway.wait_metric(
            "gw_store_records_committed_total", sent, patience=WAIT, kind="statistics"
        )
        took.append(f"{sent} states caught up in {time.monotonic() - began:.1f} s")

    lost, ended = await fleet.run([(0.0, away)])
    print("\n" + "; ".join(took))
    assert (lost, ended) == (0, 0)
    assert all(len(starts) == 1 for starts in fleet.boundaries.starts.values()), "no device left"
    reader = KafkaStates(broker)
    try:
        published = await asyncio.to_thread(
            reader.read, {device.serial: device.sequence for device in fleet.devices}
        )
    finally:
        reader.close()
    for device in fleet.devices:
        numbers = stored(gateway, device.serial)
        assert numbers == list(range(1, device.sequence + 1)), device.serial
        assert first_occurrences(published[device.serial]) == numbers, device.serial
    assert await gateway.metric("gw_bus_dropped_total") == 0
    await gateway.wait_metric("gw_kafka_acknowledged_total", 1)
    for gauge in ("gw_store_spool_records", "gw_kafka_spool_messages"):
        async with asyncio.timeout(WAIT):
            while await gateway.metric(gauge):
                await asyncio.sleep(0.05)  # a scrape has no event to await


@pytest.mark.timeout(900)
async def test_both_away(start_postgres, start_kafka, start_gateway):
    await both_away(start_postgres, start_kafka, start_gateway, seconds=0, pace=0.05)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_both_away_for_a_minute(start_postgres, start_kafka, start_gateway):
    seconds = float(os.environ.get("AWAY_SECONDS", "60"))
    await both_away(start_postgres, start_kafka, start_gateway, seconds, pace=0.2)

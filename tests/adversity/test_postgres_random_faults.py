"""Worker, coordinator and PostgreSQL killed or paused at random moments, under states and writes.

Short here; `make soak` runs it with more devices and more faults (SOAK_FAULTS of each, 10 unless
set). The seed is printed, and taken from FAULT_SEED if that is set.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter

import httpx
import pytest
from numbered_states import NumberedStates

from gw.protocol.lifecycle import FINAL
from gw.security.sealing import Sealer, sealing_key

pytestmark = pytest.mark.e2e

PREFIX = "02a0e8"
WAIT = 120.0


class Writes:
    """Configurations written by REST meanwhile, one device after the other."""

    def __init__(self, fleet: NumberedStates, chance: random.Random) -> None:
        self.fleet = fleet
        self.chance = chance
        self.tried: dict[str, list[int]] = {}
        self.succeeded: dict[str, int] = {}
        self.refused: Counter[str] = Counter()

    async def go_on(self) -> None:
        number = 0
        # All are in the store: from here on none may be unknown.
        gateway, count = self.fleet.gateway, self.fleet.count
        while gateway.sql("SELECT count(*) FROM devices")[0][0] < count:
            await asyncio.sleep(0.05)
        while not self.fleet.over.is_set():
            number += 1
            serial = self.chance.choice(self.fleet.serials)
            self.tried.setdefault(serial, []).append(number)
            try:
                answer = await gateway.configure(serial, {"unit": {"name": str(number)}})
            except httpx.HTTPError as error:
                self.refused[type(error).__name__] += 1
                continue
            if answer.status_code == 200 and answer.json()["status"] == "completed":
                self.succeeded[serial] = number
            else:
                self.refused[f"{answer.status_code} {answer.text[:70]}"] += 1
                await asyncio.sleep(0.05)

    def check(self) -> None:
        """What is stored is what the last successful write said, or one tried after it."""
        assert self.succeeded
        assert not [what for what in self.refused if what.startswith("404")]
        rows = self.fleet.gateway.sql(
            "SELECT serial_number, configuration FROM device_documents "
            "WHERE serial_number >= ? AND serial_number < ?", PREFIX, PREFIX + "g",
        )  # fmt: skip
        sealer = Sealer(sealing_key("", str(self.fleet.gateway.folder / "data")))
        # One that was not written is the default of its model, which has no name.
        stored = {
            serial: json.loads(sealer.open(text, "configuration"))["unit"].get("name")
            for serial, text in rows
            if text
        }
        for serial, number in self.succeeded.items():
            later = [one for one in self.tried[serial] if one > number]
            named = [str(one) for one in (number, *later)]
            assert stored[serial] in named, f"{serial}: {stored[serial]}, not in {named}"


async def random_faults(start_postgres, start_gateway, devices: int, of_each: int) -> None:
    seed = int(os.environ.get("FAULT_SEED") or time.time_ns() % 1_000_000)
    chance = random.Random(seed)
    server = start_postgres()
    name = await server.make_database()
    gateway = await start_gateway(
        **{
            "store.url": server.url(name), "store.query_seconds": 5, "store.commit_seconds": 5,
            "store.connect_seconds": 5, "log.level": "warning",
        }
    )  # fmt: skip
    await gateway.sign_in()
    fleet = NumberedStates(gateway, PREFIX, devices, pace=0.1)
    writes = Writes(fleet, chance)

    async def away(take, bring) -> None:
        await asyncio.to_thread(take)
        await asyncio.sleep(chance.uniform(0, 2))
        await asyncio.to_thread(bring)
        async with asyncio.timeout(WAIT):
            while (await gateway.request("GET", "devices?limit=1")).status_code != 200:
                await asyncio.sleep(0.1)  # REST has no event to await

    faults = [
        lambda: gateway.kill("worker", 0),
        lambda: gateway.kill("worker", 1),
        lambda: gateway.kill("coordinator"),
        lambda: gateway.kill("coordinator"),
        lambda: away(server.kill, server.start),
        lambda: away(server.pause, server.resume),
    ] * of_each
    chance.shuffle(faults)

    def at_random(fault):
        async def wait_and_do() -> None:
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            await fault()

        return wait_and_do

    print(f"\nseed {seed}, {len(faults)} faults")
    lost, ended = await fleet.run([(0.0, at_random(fault)) for fault in faults], writes.go_on)
    sent = sum(device.sequence for device in fleet.devices)
    print(
        f"{sent} states, {lost} lost with a connection, {ended:.0f} sessions ended by the gateway; "
        f"{sum(map(len, writes.tried.values()))} configurations written"
        f", not at once: {dict(writes.refused)}"
    )
    # Only with the connections of a killed worker, before they were published.
    assert lost < sent / 4
    writes.check()
    async with asyncio.timeout(WAIT):
        while True:
            rows = gateway.sql("SELECT status, count(*) FROM commands GROUP BY status")
            counts = {status: count for status, count in rows}  # noqa: C416 - a record is no pair
            if set(counts) <= FINAL:
                break
            await asyncio.sleep(0.5)  # deadlines of commands run out: there is no event to await
    print(f"commands: {counts}")


async def test_random_faults(start_postgres, start_gateway):
    await random_faults(start_postgres, start_gateway, devices=60, of_each=1)


@pytest.mark.soak
async def test_many_random_faults(start_postgres, start_gateway):
    of_each = int(os.environ.get("SOAK_FAULTS", "10")) // 2
    await random_faults(start_postgres, start_gateway, devices=300, of_each=max(1, of_each))

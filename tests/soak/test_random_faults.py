"""Everything is killed or paused at random moments, under states, configurations and commands.

Workers, coordinator, PostgreSQL and Kafka, each twice in `make test`, ten times in `make soak`
(SOAK_FAULTS of each). Afterwards every state is in PostgreSQL once and in Kafka at least once, in
order; every command has one end; devices have what was written last. The seed is printed, and
taken from FAULT_SEED if that is set.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx
import pytest
from kafka_states import KafkaStates, first_occurrences
from numbered_states import NumberedStates, stored

from gw.protocol.lifecycle import FINAL
from gw.security.sealing import Sealer, sealing_key

pytestmark = pytest.mark.e2e

PREFIX = "02a0e8"
DEVICES = 300
PACE = 0.75
"""Seconds between two states of a device."""
WAIT = 180.0


class Writes:
    """Configurations and commands sent by REST meanwhile, one device after the other."""

    def __init__(self, fleet: NumberedStates, chance: random.Random) -> None:
        self.fleet = fleet
        self.chance = chance
        self.number = 0
        self._known = asyncio.Event()
        self.tried: dict[str, list[int]] = {}
        self.succeeded: dict[str, int] = {}
        self.answered: set[str] = set()
        """Commands that REST said are completed."""
        self.refused: Counter[str] = Counter()

    async def all_known(self) -> None:
        """Wait until all devices are in the store: from here on none may be unknown."""
        gateway, count = self.fleet.gateway, self.fleet.count
        async with asyncio.timeout(WAIT):
            while gateway.sql("SELECT count(*) FROM devices")[0][0] < count:
                await asyncio.sleep(0.05)  # the store tells nobody
        self._known.set()

    async def go_on(self) -> None:
        """Write from then on, until the faults are over."""
        await self._known.wait()
        while not self.fleet.over.is_set():
            serial = self.chance.choice(self.fleet.serials)
            try:
                if self.chance.random() < 0.5:
                    await self._configure(serial)
                else:
                    await self._command(serial)
            except httpx.HTTPError as error:
                self.refused[type(error).__name__] += 1

    async def _configure(self, serial: str) -> None:
        self.number += 1
        self.tried.setdefault(serial, []).append(self.number)
        configuration = {"unit": {"name": str(self.number)}}
        answer = await self.fleet.gateway.configure(serial, configuration)
        if await self._completed(answer):
            self.succeeded[serial] = self.number

    async def _command(self, serial: str) -> None:
        body = {"serialNumber": serial, "when": 0, "pattern": "blink", "duration": 1}
        answer = await self.fleet.gateway.request(
            "POST", f"device/{serial}/leds", json=body, timeout=WAIT
        )
        await self._completed(answer)

    async def _completed(self, answer: httpx.Response) -> bool:
        found = answer.json()
        if answer.status_code == 200 and found["status"] == "completed":
            self.answered.add(found["UUID"])
            return True
        what = found["status"] if answer.status_code == 200 else found["ErrorDescription"][:60]
        self.refused[f"{answer.status_code} {what}"] += 1
        await asyncio.sleep(0.05)
        return False

    def check_configurations(self) -> int:
        """What is stored is what the last successful write said, or one tried after it."""
        assert self.succeeded
        assert not [what for what in self.refused if what.startswith("404")]
        rows = self.fleet.gateway.sql(
            "SELECT serial_number, configuration FROM device_documents "
            "WHERE serial_number >= ? AND serial_number < ?", PREFIX, PREFIX + "g",
        )  # fmt: skip
        sealer = Sealer(sealing_key("", str(self.fleet.gateway.folder / "data")))
        # One that was not written is the default of its model, which has no name.
        kept = {
            serial: json.loads(sealer.open(text, "configuration"))["unit"].get("name")
            for serial, text in rows
            if text
        }
        for serial, number in self.succeeded.items():
            later = [one for one in self.tried[serial] if one > number]
            named = [str(one) for one in (number, *later)]
            assert kept[serial] in named, f"{serial}: {kept[serial]}, not in {named}"
        return len(self.succeeded)

    async def check_commands(self) -> Counter[str]:
        """Every command has one end, and those that REST said are completed are."""
        async with asyncio.timeout(WAIT):
            while True:
                rows = self.fleet.gateway.sql("SELECT uuid, status FROM commands")
                ends = {uuid: status for uuid, status in rows}  # noqa: C416 - a record is no pair
                if set(ends.values()) <= FINAL:
                    break
                await asyncio.sleep(0.5)  # deadlines of commands run out: there is no event
        assert len(ends) == len(rows)
        assert {ends.get(uuid) for uuid in self.answered} == {"completed"}
        return Counter(ends.values())


class Faults:
    """What is done to the parts, and how often it was."""

    def __init__(self, gateway, server, broker, chance: random.Random) -> None:
        self._gateway, self._server, self._broker = gateway, server, broker
        self._chance = chance
        self._broker_back: asyncio.Task[None] | None = None
        self.done: Counter[str] = Counter()

    def all(self, of_each: int) -> list[Callable[[], Awaitable[None]]]:
        """Return `of_each` faults of each part (an even number), in random order."""
        server, broker = self._server, self._broker
        found = [
            lambda: self._kill("worker", 0),
            lambda: self._kill("worker", 1),
            lambda: self._kill("coordinator", 0),
            lambda: self._kill("coordinator", 0),
            lambda: self._database("killed", server.kill, server.start),
            lambda: self._database("paused", server.pause, server.resume),
            lambda: self._kafka("killed", broker.kill, broker.start),
            lambda: self._kafka("paused", broker.pause, broker.resume),
        ] * (of_each // 2)
        self._chance.shuffle(found)
        return [self._at_random(one) for one in found]

    def _at_random(self, fault: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def wait_and_do() -> None:
            await asyncio.sleep(self._chance.uniform(0.2, 1.5))
            await fault()

        return wait_and_do

    async def _kill(self, role: str, slot: int) -> None:
        await self._gateway.kill(role, slot)
        self.done[f"{role} killed"] += 1

    async def _database(self, how: str, take, bring) -> None:
        await asyncio.to_thread(take)
        await asyncio.sleep(self._chance.uniform(0, 2))
        await asyncio.to_thread(bring)
        self.done[f"PostgreSQL {how}"] += 1
        async with asyncio.timeout(WAIT):
            while (await self._gateway.request("GET", "devices?limit=1")).status_code != 200:
                await asyncio.sleep(0.1)  # REST has no event to await

    async def _kafka(self, how: str, take, bring) -> None:
        """Other faults happen while the broker is away."""
        await self.broker_is_back()
        await asyncio.to_thread(take)
        self.done[f"Kafka {how}"] += 1
        seconds = self._chance.uniform(0, 4)

        async def back() -> None:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(bring)

        self._broker_back = asyncio.create_task(back())

    async def broker_is_back(self) -> None:
        """Wait until the broker answers again."""
        if self._broker_back is not None:
            await self._broker_back


async def random_faults(start_postgres, start_kafka, start_gateway, of_each: int) -> None:
    seed = int(os.environ.get("FAULT_SEED") or time.time_ns() % 1_000_000)
    chance = random.Random(seed)
    server, broker = start_postgres(), start_kafka()
    name = await server.make_database()
    gateway = await start_gateway(
        **{
            "store.url": server.url(name), "store.query_seconds": 5, "store.commit_seconds": 5,
            "store.connect_seconds": 5, "store.spool_after_seconds": 0.5, "log.level": "warning",
            "kafka.bootstrap_servers": broker.address(), "kafka.spool_after_seconds": 1,
            "kafka.request_seconds": 5, "workers.ring_bytes": 2_097_152,
            "workers.ring_reserve_bytes": 524_288, "devices.max_frame_bytes": 524_288,
            "devices.max_message_bytes": 524_288, "devices.max_expanded_bytes": 524_288,
            "api.max_body_bytes": 262_144,
            "commands.deadlines": [{"command": "leds", "seconds": 10}],
        }
    )  # fmt: skip
    await gateway.sign_in()
    fleet = NumberedStates(gateway, PREFIX, DEVICES, pace=PACE)
    writes = Writes(fleet, chance)
    faults = Faults(gateway, server, broker, chance)
    planned = faults.all(of_each)
    steps = [(0.0, one) for one in (writes.all_known, *planned)]
    print(f"\nseed {seed}, {DEVICES} devices, {len(planned)} faults")
    began = time.monotonic()
    lost, ended = await fleet.run(steps, writes.go_on)
    await faults.broker_is_back()
    sent = sum(device.sequence for device in fleet.devices)
    print(f"{time.monotonic() - began:.0f} s of faults: {dict(faults.done)}")
    print(
        f"{sent} states sent, {lost} lost with a connection before they were published, "
        f"{ended:.0f} sessions ended by the gateway, "
        f"{await gateway.metric('gw_store_spooled_total'):.0f} records by way of the spool"
    )
    # Only with the connections of a killed worker, before they were published.
    assert lost < sent / 4
    kept = await asyncio.to_thread(
        lambda: {device.serial: stored(gateway, device.serial) for device in fleet.devices}
    )
    reader = KafkaStates(broker)
    try:
        published = await asyncio.to_thread(
            reader.read, {serial: numbers[-1] for serial, numbers in kept.items()}
        )
    finally:
        reader.close()
    for serial, numbers in kept.items():
        assert first_occurrences(published[serial]) == numbers, serial
    total, repeats = sum(map(len, kept.values())), sum(map(len, published.values()))
    print(f"{total} states in PostgreSQL, each once; {repeats} in Kafka, {repeats - total} repeats")
    assert await gateway.metric("gw_bus_dropped_total") == 0
    assert await gateway.metric("gw_store_spool_lost_bytes_total") == 0
    written = writes.check_configurations()
    print(
        f"{writes.number} configurations tried, {written} devices have their last one; "
        f"{len(writes.answered)} requests completed, others: {dict(writes.refused)}"
    )
    print(f"commands: {dict(await writes.check_commands())}")
    for part in ("worker", "coordinator", "PostgreSQL", "Kafka"):
        done = sum(count for what, count in faults.done.items() if what.startswith(part))
        assert done == of_each, faults.done


@pytest.mark.timeout(600)
async def test_each_twice(start_postgres, start_kafka, start_gateway):
    await random_faults(start_postgres, start_kafka, start_gateway, 2)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_each_many_times(start_postgres, start_kafka, start_gateway):
    of_each = int(os.environ.get("SOAK_FAULTS", "10")) // 2 * 2
    await random_faults(start_postgres, start_kafka, start_gateway, max(2, of_each))

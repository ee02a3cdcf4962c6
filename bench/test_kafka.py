"""A batch of states to Kafka, against a bare send of the same bytes with the same library."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from gw.bus.interface import Message
from gw.bus.kafka import KafkaBus
from gw.bus.topics import STATE
from gw.core.settings import Kafka, Settings
from gw.ops import metrics

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from gateway import make_pki
from kafka_broker import KafkaBroker  # the broker that the tests start

MESSAGES = 600
"""States of 6 KB in a batch under load: `store.batch_bytes` is 4 MiB."""
DEVICES = [f"02a0a5{number:06x}" for number in range(200)]
ROUNDS = 12
PARTITIONS = 6
_names = itertools.count()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = KafkaBroker(make_pki(tmp_path_factory.mktemp("pki")))
    try:
        made.create()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


class Bus:
    """The bus, as the coordinator uses it: a unit's messages, and the future of all of them."""

    def __init__(self, broker: KafkaBroker, folder: Path, state: bytes) -> None:
        self._name = f"bus{next(_names)}"
        broker.make_topics(f"{self._name}-{STATE}", partitions=PARTITIONS)
        settings = Settings(
            kafka=Kafka(bootstrap_servers=broker.address(), topic_prefix=f"{self._name}-")
        )
        settings.run.data = str(folder)
        self._bus = KafkaBus(settings, 1, metrics.CounterPage.private())
        self._state = state
        self._sequence = 0

    async def once(self) -> None:
        batch = []
        for number in range(MESSAGES):
            self._sequence += 1
            key = DEVICES[number % len(DEVICES)]
            batch.append(Message(STATE, key, self._state, 1, self._sequence))
        await self._bus.publish_batch(batch)

    async def close(self) -> None:
        await self._bus.close()


class Bare:
    """The library's `send`, idempotent, with batches of the same size, and nothing else."""

    def __init__(self, broker: KafkaBroker, state: bytes) -> None:
        self._name = f"bare{next(_names)}"
        broker.make_topics(self._name, partitions=PARTITIONS)
        self._broker = broker
        self._state = state
        self._producer: AIOKafkaProducer | None = None

    async def once(self) -> None:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._broker.address(), enable_idempotence=True,
                max_batch_size=Kafka().batch_bytes,
            )  # fmt: skip
            await self._producer.start()
        send = self._producer.send
        futures = [
            await send(self._name, self._state, key=DEVICES[number % len(DEVICES)].encode())
            for number in range(MESSAGES)
        ]
        await asyncio.gather(*futures)

    async def close(self) -> None:
        assert self._producer is not None
        await self._producer.stop()


def cpu(loop: asyncio.AbstractEventLoop, one: Bus | Bare) -> float:
    """Return the CPU seconds of this process for one batch: the broker is another."""
    before = time.process_time()
    loop.run_until_complete(one.once())
    return time.process_time() - before


def test_a_state_costs_no_more_than_a_bare_send(broker, loop, state, tmp_path):
    async def made() -> Bus:
        return Bus(broker, tmp_path, state)

    ours, bare = loop.run_until_complete(made()), Bare(broker, state)
    try:
        for _ in range(3):  # connections, caches
            cpu(loop, ours)
            cpu(loop, bare)
        ratios = []
        for _ in range(ROUNDS):
            ratios.append(cpu(loop, ours) / cpu(loop, bare))
        print("cpu of the bus / cpu of a bare send:", [f"{one:.2f}" for one in ratios])
        assert statistics.median(ratios) < 1.5
    finally:
        loop.run_until_complete(ours.close())
        loop.run_until_complete(bare.close())


@pytest.mark.parametrize("which", ["bus", "bare"])
def test_time(benchmark, broker, loop, state, tmp_path, which):
    async def made() -> Bus:
        return Bus(broker, tmp_path, state)

    one = loop.run_until_complete(made()) if which == "bus" else Bare(broker, state)
    try:
        loop.run_until_complete(one.once())
        benchmark.pedantic(
            lambda: loop.run_until_complete(one.once()), rounds=ROUNDS, warmup_rounds=2
        )
    finally:
        loop.run_until_complete(one.close())

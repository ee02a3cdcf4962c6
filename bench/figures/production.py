"""What a `state` of 6 KB costs on the way to PostgreSQL and Kafka."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaProducer

from bench.figures.rig import (
    Cost,
    Figure,
    Scale,
    bare_server,
    everybody,
    gateway,
    load,
    serials,
)
from gw.core.settings import Kafka, Store
from gw.store.postgres import PostgresStore
from tests.kafka_broker import KafkaBroker
from tests.postgres import Postgres

_GAP = 0.004
"""Seconds between two states of a device: 20 devices send up to 5,000 a second."""
_BODY = b"x" * 6_300
_TOPIC = "bare"
_SECONDS = "gw_store_batch_seconds_count"
_ROWS = "gw_store_records_committed_total"


async def measure(folder: Path, pki_dir: Path, scale: Scale) -> list[Figure]:
    """Return two figures."""
    server, broker = Postgres(), KafkaBroker(pki_dir)
    try:
        await asyncio.to_thread(server.create)
        await asyncio.to_thread(broker.create)
        return await _measure(folder, pki_dir, scale, server, broker)
    finally:
        await asyncio.to_thread(broker.remove)
        await asyncio.to_thread(server.remove)


async def _measure(
    folder: Path, pki_dir: Path, scale: Scale, server: Postgres, broker: KafkaBroker
) -> list[Figure]:
    devices = serials(pki_dir, scale.devices)
    total = scale.devices * scale.states
    broker.make_topics(_TOPIC, partitions=6)
    production = {
        "store.url": server.url(await server.make_database()),
        "kafka.bootstrap_servers": broker.address(),
        "devices.unknown": "create",
    }
    coordinator, whole, floor, floor_of_all = [], [], [], []
    async with (
        gateway(folder / "production", pki_dir, **production) as ours,
        bare_server(pki_dir) as bare,
        load(pki_dir, ours.device_port) as to_us,
        load(pki_dir, bare.port) as to_bare,
        _Floor(server, broker) as engines,
    ):
        await to_us.do("connect", serials=devices)
        await to_us.do("settled")
        await to_bare.do("connect", serials=devices)
        for one in (to_us, to_bare):
            await one.do("states", each=20, gap=_GAP)
        await engines.cost(100, 50)
        for _ in range(scale.repeats):
            rows = await ours.metric(_ROWS, kind="statistics")
            batches = await ours.metric(_SECONDS)
            in_coordinator = Cost([ours.ready["pids"]["coordinator"]])
            in_all = Cost(everybody(ours))
            await to_us.do("states", each=scale.states, gap=_GAP)
            await ours.wait_metric(_ROWS, rows + total, kind="statistics")
            await asyncio.sleep(0.5)  # Kafka's acknowledgements
            coordinator.append(in_coordinator.microseconds() / total)
            whole.append(in_all.microseconds() / total)
            size = max(1, round(total / (await ours.metric(_SECONDS) - batches)))
            floor.append(await engines.cost(total, size))
            in_bare = Cost([bare.pid])
            await to_bare.do("states", each=scale.states, gap=_GAP)
            floor_of_all.append(floor[-1] + in_bare.microseconds() / total)
    name = "coordinator CPU per state to PostgreSQL and Kafka"
    note = "bare COPY + bare aiokafka send, batches of the same size"
    return [
        Figure(name, "µs", coordinator, floor, 1.5, note),
        Figure("all processes' CPU per state there", "µs", whole, floor_of_all, 1.5,
               "bare receive + " + note),
    ]  # fmt: skip


class _Floor:
    """The same bytes by the libraries alone."""

    def __init__(self, server: Postgres, broker: KafkaBroker) -> None:
        self._server = server
        self._broker = broker
        self._connection: asyncpg.Connection | None = None
        self._producer: AIOKafkaProducer | None = None

    async def __aenter__(self) -> _Floor:
        url = self._server.url(await self._server.make_database())
        async with PostgresStore(Store(url=url)) as store:
            await store.migrate()
        self._connection = await asyncpg.connect(url)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._broker.address(), enable_idempotence=True,
            max_batch_size=Kafka().batch_bytes,
        )  # fmt: skip
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._connection is not None
        assert self._producer is not None
        await self._producer.stop()
        await self._connection.close()

    async def cost(self, total: int, size: int) -> float:
        """Return the CPU of this process per state, µs, in batches of `size`."""
        before = time.process_time_ns()
        for start in range(0, total, size):
            await self._batch(min(size, total - start))
        return (time.process_time_ns() - before) / 1000 / total

    async def _batch(self, size: int) -> None:
        assert self._connection is not None
        assert self._producer is not None
        now = int(time.time())
        async with self._connection.transaction():
            await self._connection.copy_records_to_table(
                "statistics",
                columns=("serial_number", "uuid", "recorded", "data"),
                records=[(f"02a0c90000{n % 20:02x}", 1, now, _BODY) for n in range(size)],
            )
        sent = [
            await self._producer.send(_TOPIC, _BODY, key=f"02a0c90000{n % 20:02x}".encode())
            for n in range(size)
        ]
        await asyncio.gather(*sent)

"""A Kafka broker that is away, dies, hangs, is slow, or refuses: nothing is lost, order is kept."""

from __future__ import annotations

import asyncio
import contextlib
import time

from kafka_broker import DEADLINE, PASSWORD, USER
from kafka_bus import count, firsts, message, numbers, opened, prefix, until

from gw.bus.topics import (
    ALERTS,
    COMMAND,
    CONNECTION,
    DEVICE_TELEMETRY,
    STATE,
    TOPICS,
    WIFISCAN,
)  # fmt: skip

DEVICES = 10


class Stream:
    """Publishes numbered messages of some devices, batch after batch, until it is ended."""

    def __init__(self, bus, topic=STATE, *, size=0):
        self.bus = bus
        self.topic = topic
        self.size = size
        self.sent = 0
        self.futures: list[asyncio.Future[None]] = []
        self._task = asyncio.create_task(self._run())

    async def _run(self):
        while True:
            batch = [
                message(number, self.topic, number % DEVICES, size=self.size)
                for number in range(self.sent, self.sent + 5)
            ]
            done = self.bus.publish_batch(batch)
            self.sent += len(batch)
            self.futures.append(done)
            await asyncio.sleep(0.01)

    async def reach(self, least):
        """Go on until `least` messages were published."""
        await until(lambda: self.sent >= least or self._task.done())

    async def end(self):
        """Publish no more; all messages must become safe, whatever the broker does."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*self.futures)
        return self.sent


async def read_all(broker, topic, total):
    reader = broker.reader(topic)
    try:
        return await asyncio.to_thread(
            reader.read_until, lambda read: len(set(numbers(read))) >= total
        )
    finally:
        reader.close()


def whole_and_in_order(found, total):
    for device in range(DEVICES):
        assert firsts(numbers(found, device)) == list(range(device, total, DEVICES))


@contextlib.contextmanager
def stopped(broker):
    broker.stop()
    yield
    broker.start()


@contextlib.contextmanager
def killed(broker):
    broker.kill()
    yield
    broker.start()


@contextlib.contextmanager
def paused(broker):
    broker.pause()
    yield
    broker.resume()


async def test_nothing_is_lost_and_nobody_waits(start_kafka, tmp_path):
    broker = start_kafka()
    async with opened(broker, tmp_path, spool_after_seconds=0.5, buffer_bytes=2_000_000) as bus:
        stream = Stream(bus)
        await until(lambda: count(bus, "gw_kafka_acknowledged_total", STATE) > 0)
        for fault in (paused, stopped, killed):
            with contextlib.ExitStack() as stack:
                await asyncio.to_thread(stack.enter_context, fault(broker))
                await until(lambda: count(bus, "gw_kafka_spool_messages") > 0)
                before = stream.sent
                await stream.reach(before + 200)
                # What is on disk is safe: the space in the queues is given back meanwhile.
                async with asyncio.timeout(DEADLINE):
                    await asyncio.gather(*stream.futures[: before // 5])
                await until(lambda: count(bus, "gw_kafka_connected") == 0)
                assert bus.buffered < 2_000_000
                await asyncio.to_thread(stack.close)
            await until(lambda: count(bus, "gw_kafka_connected") == 1)
            await until(lambda: count(bus, "gw_kafka_spool_messages") == 0)
        total = await stream.end()
        whole_and_in_order(await read_all(broker, STATE, total), total)
        assert count(bus, "gw_bus_dropped_total") == 0
        # Once it has caught up, the disk is out of the way.
        async with asyncio.timeout(DEADLINE):
            await bus.publish_batch([message(0)])
        assert not bus._lanes[STATE].spooling


async def test_a_slow_broker_costs_no_memory(start_kafka, tmp_path):
    broker = start_kafka()
    limit = 400_000
    async with opened(
        broker, tmp_path, spool_after_seconds=0.3, buffer_bytes=limit, batch_bytes=50_000
    ) as bus:
        stream = Stream(bus, size=2000)
        highest = 0
        for _ in range(12):
            broker.pause()
            await asyncio.sleep(0.4)  # the fault itself: most of the time nothing answers
            broker.resume()
            await asyncio.sleep(0.02)
            highest = max(highest, bus.buffered)
        total = await stream.end()
        # More may come before a slow disk has taken what was there; here nobody holds it back.
        assert highest < 5 * limit
        found = await read_all(broker, STATE, total)
    whole_and_in_order(found, total)


async def test_another_broker_leads(start_kafka, tmp_path):
    first = start_kafka()
    second = start_kafka(joins=first)
    for broker in (first, second):
        await asyncio.to_thread(broker.wait)
    async with opened(
        first, tmp_path, topic_replication=2, spool_after_seconds=0.5, request_seconds=5.0
    ) as bus:
        stream = Stream(bus)
        await until(lambda: count(bus, "gw_kafka_acknowledged_total", STATE) > 100)
        found = first.admin().list_topics(timeout=DEADLINE).topics[STATE].partitions
        assert {one.leader for one in found.values()} == {1, 2}
        await asyncio.to_thread(second.kill)
        before = count(bus, "gw_kafka_acknowledged_total", STATE)
        await until(lambda: count(bus, "gw_kafka_acknowledged_total", STATE) > before + 300)
        total = await stream.end()
        whole_and_in_order(await read_all(first, STATE, total), total)


async def test_the_spool_survives_a_kill_of_the_process(start_kafka, tmp_path):
    """The bus is dropped as SIGKILL does: no close, and the newest entry is torn."""
    broker = start_kafka(running=False)
    bus = await opened(broker, tmp_path, spool_after_seconds=0.1).__aenter__()
    await bus.publish_batch([message(number, device=number % DEVICES) for number in range(300)])
    for task in (bus._connecting, bus._watching, *(one._task for one in bus._lanes.values())):
        task.cancel()
    await asyncio.sleep(0)
    await bus._spools.close()
    (segment,) = (tmp_path / "kafka-spool" / STATE).glob("*.spool")
    with segment.open("ab") as file:
        file.write(b"\x40\0\0\0 torn")
    await asyncio.to_thread(broker.start)
    async with opened(broker, tmp_path) as bus:
        await bus.publish_batch([message(300, device=0)])
        whole_and_in_order(await read_all(broker, STATE, 301), 301)


async def test_at_the_bound_telemetry_goes_first_and_commands_last(start_kafka, tmp_path):
    broker = start_kafka(running=False)
    async with opened(
        broker, tmp_path, spool_after_seconds=0.1, spool_bytes=1_000_000, close_seconds=0.1
    ) as bus:
        lots = {DEVICE_TELEMETRY: 100, STATE: 300, WIFISCAN: 50, ALERTS: 50, COMMAND: 50}
        for topic, amount in lots.items():
            for start in range(0, amount, 10):
                batch = [message(n, topic, size=2500) for n in range(start, start + 10)]
                await bus.publish_batch(batch)
        lost = {topic: count(bus, "gw_kafka_dropped_total", topic, "spool_full") for topic in lots}
        # All of what goes first is gone before the next group loses anything.
        assert lost[DEVICE_TELEMETRY] == 100
        assert 0 < lost[STATE] < 300
        assert lost[ALERTS] == lost[COMMAND] == 0
        assert count(bus, "gw_kafka_spool_bytes") <= 1_000_000
        # Nothing important goes for the sake of telemetry: it is lost itself.
        await bus.publish_batch([message(n, CONNECTION, size=2500) for n in range(400)])
        gone = count(bus, "gw_kafka_dropped_total", CONNECTION, "spool_full")
        assert 0 < gone < 100
        await bus.publish_batch([message(n, DEVICE_TELEMETRY, size=2500) for n in range(100)])
        assert count(bus, "gw_kafka_dropped_total", DEVICE_TELEMETRY, "spool_full") > 150
        assert count(bus, "gw_kafka_dropped_total", CONNECTION, "spool_full") == gone
    await asyncio.to_thread(broker.start)
    async with opened(broker, tmp_path):
        found = numbers(await read_all(broker, CONNECTION, 300))
    # The oldest of a topic goes first, a file at a time.
    assert found == list(range(400 - len(found), 400))


async def test_a_message_that_the_broker_refuses_costs_only_itself(kafka_broker, tmp_path):
    names = prefix()
    kafka_broker.make_topics(names + STATE, partitions=1, max_message_bytes=20_000)
    async with opened(kafka_broker, tmp_path, topic_prefix=names, max_message_bytes=100_000) as bus:
        batch = [message(n, size=30_000 if n in (7, 13) else 10) for n in range(30)]
        batch.append(message(30, size=200_000))
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(bus.publish_batch(batch), bus.publish_batch([message(0, COMMAND)]))
        assert count(bus, "gw_kafka_dropped_total", STATE, "too_big") == 3
        assert bus.buffered == 0
        async with asyncio.timeout(DEADLINE):
            await bus.publish_batch([message(31)])
        found = await read_all(kafka_broker, names + STATE, 29)
    kept = [n for n in range(32) if n not in (7, 13, 30)]
    assert firsts(numbers(found)) == kept


async def test_a_topic_that_is_missing_costs_only_itself(kafka_broker, tmp_path):
    names = prefix()
    kafka_broker.make_topics(*(names + topic for topic in TOPICS if topic != STATE))
    async with opened(
        kafka_broker, tmp_path, topic_prefix=names, create_topics=False,
        refused_seconds=1.0, spool_after_seconds=0.3,
    ) as bus:  # fmt: skip
        started = time.monotonic()
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(
                bus.publish_batch([message(1)]), bus.publish_batch([message(2, COMMAND)])
            )
        await until(lambda: count(bus, "gw_kafka_dropped_total", STATE, "unknown_topic") == 1)
        assert time.monotonic() - started >= 1.0
        await until(lambda: count(bus, "gw_kafka_acknowledged_total", COMMAND) == 1)
        await until(lambda: count(bus, "gw_kafka_refused_topics") == 1)
        # Once somebody has made it, it is used.
        kafka_broker.make_topics(names + STATE)
        number = 10
        while not count(bus, "gw_kafka_acknowledged_total", STATE):
            number += 1
            await bus.publish_batch([message(number)])
            await asyncio.sleep(0.2)  # it is looked for now and then
        await until(lambda: count(bus, "gw_kafka_refused_topics") == 0)
        found = await read_all(kafka_broker, names + STATE, 1)
    assert 1 not in numbers(found)


async def test_a_topic_that_is_forbidden_costs_only_itself(kafka_broker, tmp_path, pki_dir):
    names = prefix()
    kafka_broker.make_topics(*(names + topic for topic in TOPICS))
    await asyncio.to_thread(kafka_broker.forbid_writing, names + STATE)
    async with opened(
        kafka_broker, tmp_path, bootstrap_servers=kafka_broker.address("SASL_SSL"), tls=True,
        ca_file=str(pki_dir / "ca.pem"), sasl_mechanism="SCRAM-SHA-256", username=USER,
        password=PASSWORD, topic_prefix=names, refused_seconds=0.5, spool_after_seconds=0.3,
    ) as bus:  # fmt: skip
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(
                bus.publish_batch([message(1)]), bus.publish_batch([message(2, COMMAND)])
            )
        await until(lambda: count(bus, "gw_kafka_dropped_total", STATE, "unauthorized") == 1)
        async with asyncio.timeout(DEADLINE):
            await bus.publish_batch([message(3, COMMAND)])
        await until(lambda: count(bus, "gw_kafka_acknowledged_total", COMMAND) == 2)


async def test_a_deleted_topic_is_made_again(kafka_broker, tmp_path):
    names = prefix()
    async with opened(kafka_broker, tmp_path, topic_prefix=names, spool_after_seconds=0.5) as bus:
        async with asyncio.timeout(DEADLINE):
            await bus.publish_batch([message(1)])
            await asyncio.to_thread(kafka_broker.delete_topics, names + STATE)
            # More than one: the first may still be taken by what is about to be deleted.
            stream = Stream(bus)
            await until(lambda: kafka_broker.topics().keys() >= {names + STATE})
            total = await stream.end()
        found = await read_all(kafka_broker, names + STATE, 1)
    assert firsts(numbers(found, 9))[-1] == total - 1

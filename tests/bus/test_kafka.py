"""The bus that is Kafka, at a real broker, read by another client."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.partitioner import murmur2
from kafka_broker import PASSWORD, USER
from kafka_bus import NODE, count, firsts, message, numbers, opened, prefix, until

from gw.bus.interface import Message
from gw.bus.topics import COMMAND, CONNECTION, STATE, TOPICS


async def read(broker, *topics, enough):
    reader = broker.reader(*topics)
    try:
        return await asyncio.to_thread(reader.read_until, enough)
    finally:
        reader.close()


async def test_messages_arrive_with_key_value_and_headers(kafka_broker, tmp_path):
    names = prefix()
    async with opened(kafka_broker, tmp_path, topic_prefix=names) as bus:
        assert all(bus.wants(topic) for topic in TOPICS)
        done = bus.publish_batch([message(1), message(2), message(3, CONNECTION)])
        bus.publish(Message(COMMAND, "02a0a5000001", b'{"n":4}'))
        async with asyncio.timeout(60):
            await done
        found = await read(
            kafka_broker, names + STATE, names + CONNECTION, names + COMMAND,
            enough=lambda read: len(read) == 4,
        )  # fmt: skip
        assert count(bus, "gw_kafka_acknowledged_total", STATE) == 2
        assert count(bus, "gw_kafka_connected") == 1
    by_topic = {one.topic().removeprefix(names): one for one in found}
    assert numbers([one for one in found if one.topic() == names + STATE]) == [1, 2]
    state = by_topic[CONNECTION]
    assert state.key() == b"02a0a5000001"
    assert state.headers() == [("node", b"%d" % NODE), ("sequence", b"7-3")]
    # What came from no queue is numbered by the bus, so that a repeat can be told, too.
    origin, _, sequence = dict(by_topic[COMMAND].headers())["sequence"].partition(b"-")
    assert int(origin) > 0
    assert int(sequence) == 1


async def test_a_device_has_one_partition_the_one_that_java_would_choose(kafka_broker, tmp_path):
    names = prefix()
    async with opened(kafka_broker, tmp_path, topic_prefix=names, topic_partitions=5) as bus:
        sent = [message(number, device=number % 20) for number in range(400)]
        await bus.publish_batch(sent)
        found = await read(kafka_broker, names + STATE, enough=lambda read: len(read) >= 400)
    assert kafka_broker.topics()[names + STATE] == 5
    for device in range(20):
        assert numbers(found, device) == list(range(device, 400, 20))
    for one in found:
        assert one.partition() == (murmur2(one.key()) & 0x7FFFFFFF) % 5


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4", "zstd", "snappy"])
async def test_compressed_batches_are_read_by_others(kafka_broker, tmp_path, compression):
    names = prefix()
    async with opened(kafka_broker, tmp_path, topic_prefix=names, compression=compression) as bus:
        await bus.publish_batch([message(number, size=2000) for number in range(100)])
        found = await read(kafka_broker, names + STATE, enough=lambda read: len(read) >= 100)
    assert sorted(numbers(found)) == list(range(100))
    assert len(found[0].value()) > 2000


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_sasl_over_tls(kafka_broker, tmp_path, pki_dir, mechanism):
    names = prefix()
    safe = {
        "bootstrap_servers": kafka_broker.address("SASL_SSL"), "topic_prefix": names, "tls": True,
        "ca_file": str(pki_dir / "ca.pem"), "sasl_mechanism": mechanism, "username": USER,
    }  # fmt: skip
    async with opened(kafka_broker, tmp_path, **safe, password=PASSWORD) as bus:
        await bus.publish_batch([message(1)])
        assert count(bus, "gw_kafka_acknowledged_total", STATE) == 1
    async with opened(
        kafka_broker, tmp_path, **safe, password="wrong", spool_after_seconds=0.2, close_seconds=0.1
    ) as bus:
        # It is safe on disk, but nobody says that it was acknowledged.
        async with asyncio.timeout(60):
            await bus.publish_batch([message(2)])
        await until(lambda: count(bus, "gw_kafka_connects_total", "failed") > 0)
        assert count(bus, "gw_kafka_acknowledged_total", STATE) == 0
        assert count(bus, "gw_kafka_connected") == 0
    async with opened(kafka_broker, tmp_path, **safe, password=PASSWORD) as bus:
        found = await read(kafka_broker, names + STATE, enough=lambda read: len(read) >= 2)
    assert numbers(found) == [1, 2]


async def test_what_is_not_acknowledged_at_the_end_is_sent_by_the_next(start_kafka, tmp_path):
    broker = start_kafka(running=False)
    async with opened(broker, tmp_path, close_seconds=0.1) as bus:
        done = bus.publish_batch([message(number) for number in range(50)])
        assert not done.done()
    assert done.done()
    await asyncio.to_thread(broker.start)
    async with opened(broker, tmp_path) as bus:
        await bus.publish_batch([message(50)])
        found = await read(broker, STATE, enough=lambda read: len(read) >= 51)
        await until(lambda: count(bus, "gw_kafka_spool_messages") == 0)
    assert firsts(numbers(found)) == list(range(51))

"""The fixture itself: the broker that the other tests rely on."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer
from kafka_broker import DEADLINE, PASSWORD, USER, KafkaBroker


def produce(broker: KafkaBroker, topic: str, *values: bytes, seconds: float = DEADLINE) -> int:
    """Returns how many were not acknowledged in time."""
    producer = Producer({"bootstrap.servers": broker.address(), "log_level": 0})
    for value in values:
        producer.produce(topic, value, b"02a0a5000001")
    left = producer.flush(seconds)
    producer.purge()
    return left


def values(messages: list) -> list[bytes]:
    return [one.value() for one in messages]


def test_topics_are_made_and_read_by_another_client(kafka_broker):
    kafka_broker.make_topics("fixture", partitions=2)
    assert kafka_broker.topics()["fixture"] == 2
    assert produce(kafka_broker, "fixture", b"one", b"two") == 0
    reader = kafka_broker.reader("fixture")
    read = reader.read_until(lambda read: len(read) >= 2)
    reader.close()
    assert values(read) == [b"one", b"two"]
    assert {one.key() for one in read} == {b"02a0a5000001"}
    kafka_broker.delete_topics("fixture")
    assert "fixture" not in kafka_broker.topics()


def test_killed_and_started_again_it_has_what_it_acknowledged(start_kafka):
    broker = start_kafka()
    broker.make_topics("kept")
    assert produce(broker, "kept", b"one") == 0
    broker.kill()
    assert produce(broker, "kept", b"lost", seconds=0.3) == 1
    broker.start()
    assert produce(broker, "kept", b"two") == 0
    broker.pause()
    assert produce(broker, "kept", b"late", seconds=0.3) == 1
    broker.resume()
    reader = broker.reader("kept")
    read = reader.read_until(lambda read: len(read) >= 2)
    reader.close()
    assert values(read)[:2] == [b"one", b"two"]


@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_sasl_wants_the_password(kafka_broker, pki_dir, listener, mechanism):
    settings = {
        "bootstrap.servers": kafka_broker.address(listener), "security.protocol": listener,
        "sasl.mechanisms": mechanism, "sasl.username": USER, "sasl.password": PASSWORD,
        "ssl.ca.location": str(pki_dir / "ca.pem"),
    }  # fmt: skip
    kafka_broker.make_topics("guarded")
    assert produce(kafka_broker, "guarded", b"one") == 0
    reader = kafka_broker.reader("guarded", **settings)
    assert reader.read_until(len)
    reader.close()
    refused = kafka_broker.reader("guarded", **(settings | {"sasl.password": "wrong"}))
    assert refused.refused()
    refused.close()

"""A record through the ring: pushed, read, committed."""

from __future__ import annotations

import os

import pytest

from gw._native import ring

CAPACITY = 16 * 1024 * 1024
BODY = os.urandom(6_000)
BATCH = 100


@pytest.fixture
def ends():
    memfd = ring.create(CAPACITY)
    wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    producer, consumer = ring.Producer(memfd, wake), ring.Consumer(memfd, wake)
    yield producer, consumer
    producer.close()
    consumer.close()
    os.close(memfd)
    os.close(wake)


def test_push_read_commit_one_at_a_time(benchmark, ends):
    producer, consumer = ends

    def once():
        producer.push(1, 1, 0x02A0C9000001, 1, b"head", BODY)
        (record,) = consumer.read()
        consumer.commit(record.position)

    benchmark(once)
    assert consumer.depth_bytes == 0


def test_push_read_commit_100(benchmark, ends):
    """As under load: the consumer finds many."""
    producer, consumer = ends

    def batch():
        for _ in range(BATCH):
            producer.push(1, 1, 0x02A0C9000001, 1, b"head", BODY)
        records = consumer.read(BATCH, 16 * BATCH * len(BODY))
        consumer.commit(records[-1].position)
        return len(records)

    assert benchmark(batch) == BATCH
    benchmark.extra_info["records"] = BATCH

"""Help for tests of the bus that is Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from kafka_broker import DEADLINE, KafkaBroker

from gw.bus.interface import Message
from gw.bus.kafka import KafkaBus
from gw.bus.topics import STATE
from gw.core.settings import Kafka, Settings
from gw.ops import metrics

NODE = 4711
_prefixes = itertools.count()


def prefix() -> str:
    """Return a prefix of topics that no other test of this process has."""
    return f"t{next(_prefixes)}-"


def message(number: int, topic: str = STATE, device: int = 1, *, size: int = 0) -> Message:
    """Return a message that says its number; `device` is part of the key."""
    pad = b"x" * size
    return Message(
        topic, f"02a0a5{device:06x}", b'{"n":%d,"pad":"%b"}' % (number, pad), 7, number
    )  # fmt: skip


@contextlib.asynccontextmanager
async def opened(
    broker: KafkaBroker, folder: Path, *, skip: Iterable[str] = (), **kafka: Any
) -> AsyncIterator[KafkaBus]:
    """A bus at a broker; `counters` of it is a page of its own."""
    kafka = {"bootstrap_servers": broker.address(), "close_seconds": 10.0} | kafka
    settings = Settings(kafka=Kafka(**kafka))
    settings.run.data = str(folder)
    settings.bus.skip_topics = list(skip)
    bus = KafkaBus(settings, NODE, metrics.CounterPage.private())
    try:
        yield bus
    finally:
        await bus.close()


def count(bus: KafkaBus, name: str, *labels: str) -> int:
    """Return a metric of the bus."""
    return bus._counters.get(metrics.index(name, *labels))


async def until(condition: Callable[[], object]) -> None:
    """Wait for what shows in counters only."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)  # counters have no event to await


def numbers(messages: Iterable[Any], device: int | None = None) -> list[int]:
    """Return the numbers that messages say, in the order they were read."""
    key = None if device is None else f"02a0a5{device:06x}".encode()
    return [
        json.loads(one.value())["n"] for one in messages if key is None or one.key() == key
    ]  # fmt: skip


def firsts(found: list[int]) -> list[int]:
    """Return numbers without repeats."""
    return list(dict.fromkeys(found))

"""The bus that is Kafka (docs/kafka.md); see gw.bus.interface.Bus.

Each topic has a lane of its own (gw.bus.kafka_lane), so that one that is refused or slow holds up
no other. All share one producer (gw.bus.kafka_link) and one spool (gw.bus.spools). Messages are
safe, and the future of `publish_batch` is done, once the broker has acknowledged them or they are
on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from gw.bus import kafka_options
from gw.bus.interface import Message
from gw.bus.kafka_lane import OVERHEAD, Chunk, Lane, Ticket
from gw.bus.kafka_link import Link
from gw.bus.spools import Shed, Spools
from gw.bus.topics import TOPICS
from gw.core.settings import Settings
from gw.ops import logs, metrics

log = logs.get("bus")

_LOOK_SECONDS: Final = 0.1
_LOST_SECONDS: Final = 10.0
"""At most one line so often tells what was lost to a bound."""
_STUCK: Final = 3
"""A round that takes so many requests' time gets a new producer."""
_DROPPED: Final = metrics.index("gw_bus_dropped_total")
_CONNECTED: Final = metrics.index("gw_kafka_connected")
_REFUSED: Final = metrics.index("gw_kafka_refused_topics")
_BUFFER: Final = metrics.index("gw_kafka_buffer_bytes")
_AGE: Final = metrics.index("gw_kafka_spool_age_seconds")


class KafkaBus:
    """Publishes to Kafka, by way of the disk while it is away."""

    def __init__(self, settings: Settings, node: int, counters: metrics.CounterPage) -> None:
        """Open the spool, and begin to connect; needs a running event loop.

        `node` is the number of this gateway. Raises ValueError for what is wrong with the
        settings, OSError or SpoolError for the spool.
        """
        kafka = self._settings = settings.kafka
        self._counters = counters
        self._topics = [one for one in TOPICS if one not in settings.bus.skip_topics]
        names = kafka_options.topic_names(kafka, self._topics)
        self._link = Link(kafka, list(names.values()), counters)
        folder = Path(kafka.spool_dir or Path(settings.run.data) / "kafka-spool")
        # All topics: what is left of one that is skipped now is not forgotten.
        self._spools = Spools(folder, kafka.spool_bytes, TOPICS, counters)
        self._incarnation = time.time_ns()
        """Origin of messages that came from no queue."""
        self._sequence = 0
        self._lost_at = 0.0
        self._lanes = {
            topic: Lane(
                topic, names[topic], node, self._link, self._spools, kafka, counters, self._lost
            )
            for topic in self._topics
        }
        loop = asyncio.get_running_loop()
        self._connecting = loop.create_task(self._link.run())
        self._watching = loop.create_task(self._watch())
        for lane in self._lanes.values():
            lane.start()

    def wants(self, topic: str) -> bool:
        """All but those that the settings leave out."""
        return topic in self._lanes

    def publish(self, message: Message) -> None:
        """Publish one message soon; it is dropped if the memory for messages is full."""
        if message.topic not in self._lanes:
            return
        if self.buffered > self._settings.buffer_bytes:
            self._lost([Shed(message.topic, "buffer_full", 1)])
            return
        self._put([message])

    def publish_batch(self, messages: list[Message]) -> asyncio.Future[None] | None:
        """Publish messages soon; done once they are acknowledged, on disk, or shed."""
        return self._put(messages)

    def _put(self, messages: list[Message]) -> asyncio.Future[None] | None:
        groups: dict[str, list[Message]] = {}
        limit = self._settings.max_message_bytes
        for message in messages:
            if message.topic not in self._lanes:
                continue
            if len(message.value) + OVERHEAD > limit:
                self._too_big(message)
                continue
            numbered = message
            if not message.origin:
                self._sequence += 1
                numbered = message._replace(origin=self._incarnation, sequence=self._sequence)
            groups.setdefault(message.topic, []).append(numbered)
        if not groups:
            return None
        future = asyncio.get_running_loop().create_future()
        ticket = Ticket(future, len(groups))
        stamp, since = time.time_ns(), time.monotonic()
        for topic, group in groups.items():
            size = sum(len(one.value) for one in group) + OVERHEAD * len(group)
            self._lanes[topic].put(Chunk(group, size, stamp, since, ticket))
        if self.buffered > self._settings.buffer_bytes:
            self._spill(self._lanes.values())
        return future

    @property
    def buffered(self) -> int:
        """Bytes in memory that are neither acknowledged nor on disk."""
        return sum(one.buffered for one in self._lanes.values())

    # -- looking after the lanes

    async def _watch(self) -> None:
        """Move to the disk what waits too long; replace a producer that is stuck; count."""
        settings = self._settings
        stuck = _STUCK * settings.request_seconds
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            lanes = self._lanes.values()
            self._spill(
                one for one in lanes if now - one.waiting_since > settings.spool_after_seconds
            )
            working = [one for one in lanes if not one.refused]
            sending = min((one.sending_since for one in working), default=now)
            if self._link.connected and now - sending > stuck:
                self._link.renew("no answer")
            self._counters.set(
                _CONNECTED,
                int(self._link.connected and now - sending <= settings.spool_after_seconds),
            )
            self._counters.set(_REFUSED, sum(one.refused for one in lanes))
            self._counters.set(_BUFFER, self.buffered)
            oldest = self._spools.oldest
            age = (time.time_ns() - oldest) // 1_000_000_000 if oldest else 0
            self._counters.set(_AGE, age)

    @staticmethod
    def _spill(lanes: Iterable[Lane]) -> None:
        for lane in list(lanes):
            if not lane.spooling:
                log.warning("Kafka does not follow; events go to the spool", topic=lane.topic)
                lane.spill()

    # -- what is lost

    def _too_big(self, message: Message) -> None:
        log.error(
            "an event is too big for Kafka; it is dropped",
            topic=message.topic,
            serial=message.key,
            bytes=len(message.value),
            limit=self._settings.max_message_bytes,
        )
        self._count(message.topic, "too_big", 1)

    def _count(self, topic: str, reason: str, messages: int) -> None:
        self._counters.add(metrics.index("gw_kafka_dropped_total", topic, reason), messages)
        self._counters.add(_DROPPED, messages)

    def _lost(self, shed: Sequence[Shed]) -> None:
        for topic, reason, messages in shed:
            self._count(topic, reason, messages)
        now = time.monotonic()
        if now - self._lost_at > _LOST_SECONDS:
            self._lost_at = now
            topic, reason, messages = shed[0]
            log.error("events for Kafka are lost", topic=topic, reason=reason, messages=messages)

    # -- the end

    async def close(self) -> None:
        """Wait for the broker a while, put the rest on disk, and end."""
        self._watching.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.close_seconds):
                while self._link.connected and self.buffered:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # the lanes have no event in common
        for lane in self._lanes.values():
            if lane.buffered:
                lane.spill()
        await asyncio.gather(*(lane.settled() for lane in self._lanes.values()))
        await asyncio.gather(*(lane.stop() for lane in self._lanes.values()))
        self._connecting.cancel()
        await asyncio.gather(self._watching, self._connecting, return_exceptions=True)
        await self._spools.close()

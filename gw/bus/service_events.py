"""What sister services announce of themselves on `service_events` (southbound.md 5.2), read.

The one topic that this gateway reads. Every gateway reads all of it, from half a minute ago on:
there is no consumer group, and nothing is kept of how far it came. What was missed while Kafka was
away is told again by the next keep-alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, errors

from gw.bus import kafka_options
from gw.bus.topics import SERVICE_EVENTS
from gw.core.settings import Settings
from gw.ops import logs, metrics

log = logs.get("bus")

_MAX_BYTES: Final = 16_384
"""Of one announcement; owgw's have some 500."""
_BEFORE_SECONDS: Final = 30.0
_PAUSE: Final = 0.5
_METADATA_MILLISECONDS: Final = 10_000
"""How soon a topic or partition that was made later is found."""
_READ: Final = metrics.indexes("gw_service_events_total")


class ServiceEvent(msgspec.Struct, rename="camel"):
    """One announcement, as any service makes it."""

    event: str
    """`join`, `keep-alive`, `leave` or `remove-token`."""
    id: int = 0
    type: str = ""
    public_end_point: str = ""
    private_end_point: str = ""
    key: str = ""
    """What the service wants to see as `X-API-KEY` on its private endpoint."""
    version: str = ""
    token: str = ""
    """Of `remove-token`: not valid any more."""


_decode = msgspec.json.Decoder(ServiceEvent).decode


class ServiceEventsReader:
    """Reads announcements until it is cancelled."""

    def __init__(
        self,
        settings: Settings,
        counters: metrics.CounterPage,
        heard: Callable[[ServiceEvent], object],
    ) -> None:
        """`heard` is called with each announcement. Raises ValueError for the settings."""
        self._settings = settings.kafka
        self._options = kafka_options.client_options(settings.kafka)
        self._topic = kafka_options.topic_names(settings.kafka, (SERVICE_EVENTS,))[SERVICE_EVENTS]
        self._counters = counters
        self._heard = heard

    async def run(self) -> None:
        """Read; connect again, with growing pauses, when that ends."""
        pause = _PAUSE
        while True:
            consumer = AIOKafkaConsumer(
                self._topic,
                group_id=None,
                auto_offset_reset="latest",
                enable_auto_commit=False,
                metadata_max_age_ms=_METADATA_MILLISECONDS,
                **self._options,
            )
            try:
                async with asyncio.timeout(3 * self._settings.request_seconds):
                    await consumer.start()
                    await self._rewind(consumer)
                log.info("listening to other services", topic=self._topic)
                pause = _PAUSE
                async for record in consumer:
                    self.take(record.value)
            except (errors.KafkaError, OSError, TimeoutError) as error:
                log.debug("service events cannot be read", detail=str(error))
            finally:
                with contextlib.suppress(errors.KafkaError, OSError, TimeoutError):
                    await consumer.stop()
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._settings.reconnect_seconds)

    @staticmethod
    async def _rewind(consumer: AIOKafkaConsumer) -> None:
        """Begin a little earlier: who is there is known at once, not at the next keep-alive."""
        since = int((time.time() - _BEFORE_SECONDS) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(consumer.assignment(), since))
        for partition, place in found.items():
            if place is not None:
                consumer.seek(partition, place.offset)

    def take(self, value: Any) -> None:
        """Read one record; what is none of ours is counted, and costs nothing else."""
        if not isinstance(value, bytes) or len(value) > _MAX_BYTES:
            self._counters.add(_READ["invalid"])
            return
        try:
            event = _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._counters.add(_READ["invalid"])
            return
        self._counters.add(_READ["read"])
        self._heard(event)

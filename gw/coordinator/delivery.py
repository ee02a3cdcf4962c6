"""Delivery: reads the document of a push from the store and hands it to the device's worker.

A few at a time: after a storm of reconnects thousands are due at once, and the store's readers
serve others too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from gw.coordinator.links import Links
from gw.coordinator.shadow import InFlight, Shadow
from gw.core import records
from gw.core.records import RECORD_VERSION
from gw.ops import logs
from gw.protocol import configuration as rules
from gw.protocol.messages import capabilities
from gw.store.errors import StoreError
from gw.store.interface import Reader

log = logs.get("delivery")

_AT_A_TIME: Final = 8
_RETRY_SECONDS: Final = 0.1
_RETRY_MAX_SECONDS: Final = 2.0

Undelivered = Callable[[Shadow, InFlight, str], None]


class Delivery:
    """The queue of pushes that are durable and not yet with a worker: one per device at most."""

    def __init__(
        self, reader: Reader, links: Links, answer_seconds: float, undelivered: Undelivered
    ) -> None:
        self._reader = reader
        self._links = links
        self._answer_ms = int(answer_seconds * 1000)
        self._undelivered = undelivered
        self._due: asyncio.Queue[tuple[Shadow, InFlight]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    def put(self, shadow: Shadow, flight: InFlight) -> None:
        """Deliver the configuration of `flight` soon, unless something overtakes it."""
        if not self._tasks:
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._run()) for _ in range(_AT_A_TIME)]
        self._due.put_nowait((shadow, flight))

    async def drained(self) -> None:
        """Wait until nothing is due."""
        await self._due.join()

    async def close(self) -> None:
        """End; what is not delivered is decided anew at the next report."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _run(self) -> None:
        while True:
            shadow, flight = await self._due.get()
            try:
                reason = await self._deliver(shadow, flight)
            except Exception as error:
                log.exception("delivery failed", serial=shadow.serial, detail=repr(error))
                reason = "the configuration could not be read"
            if reason and shadow.in_flight is flight:
                self._undelivered(shadow, flight, reason)
            self._due.task_done()

    async def _deliver(self, shadow: Shadow, flight: InFlight) -> str:
        """Return "" or why nothing was sent."""
        pause = _RETRY_SECONDS
        while shadow.in_flight is flight:
            try:
                row = await self._reader.device(shadow.serial)
                kept = await self._reader.capabilities(shadow.serial)
            except StoreError as error:
                if not error.retriable or time.monotonic() > flight.deadline:
                    raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, _RETRY_MAX_SECONDS)
                continue
            if shadow.in_flight is not flight:
                return ""
            if row is None or flight.uuid not in (row.pending_uuid, row.config_uuid):
                return "a newer change came first"
            pending = row.pending_uuid == flight.uuid
            text = row.pending_configuration if pending else row.configuration
            document = rules.with_uuid(text, flight.uuid)
            params = rules.configure_params(shadow.serial, flight.uuid, 0, document, flight.hash)
            compress = kept is not None and capabilities(kept.capabilities.encode()).compress_cmd
            order = records.SendRpc(
                RECORD_VERSION,
                flight.command,
                "configure",
                self._answer_ms,
                compress,
                flight.uuid,
                flight.hash,
            )
            if self._links.send_rpc(flight.session, shadow.serial, order, params):
                return ""
            return "the queue to the worker is full"
        return ""

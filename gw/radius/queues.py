"""The proxy's ends of the two queues between it and the coordinator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from gw._native.ring import Consumer, Producer, Record, RingError
from gw.core import records
from gw.core.bootstrap import RingEnds
from gw.core.ids import serial_to_int
from gw.core.records import RECORD_VERSION, Kind
from gw.ops import logs

log = logs.get("radius")

_SLICE: Final = 64
"""Records that are handled before sockets have their turn."""
_LOOK_SECONDS: Final = 0.1
"""A producer that died between publishing and waking is noticed by looking."""

Handle = Callable[[Record], None]


class Queues:
    """Takes records of the coordinator, and publishes to it."""

    def __init__(self, ends: RingEnds) -> None:
        self._up = Producer(ends.up_memfd, ends.up_wake)
        self._down = Consumer(ends.down_memfd, ends.down_wake)
        self._wake_fd = ends.down_wake
        self._handle: Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception when a queue is unusable; the process must then end."""

    def start(self, handle: Handle) -> None:
        """Begin; what a predecessor left is of another time."""
        self._handle = handle
        self._down.skip_all()
        asyncio.get_running_loop().add_reader(self._wake_fd, self._run)
        self._run()

    def stop(self) -> None:
        """Take no more records."""
        asyncio.get_running_loop().remove_reader(self._wake_fd)
        if self._timer is not None:
            self._timer.cancel()
        self.failed.cancel()

    def _look(self) -> None:
        self._timer = None
        self._run()

    def _run(self) -> None:
        try:
            for record in self._down.read(_SLICE):
                self._one(record)
            self._down.commit(self._down.position)
            armed = self._down.arm()
        except RingError as error:
            if not self.failed.done():
                self.failed.set_exception(error)
            return
        loop = asyncio.get_running_loop()
        if not armed:
            loop.call_soon(self._run)
        elif self._timer is None:
            self._timer = loop.call_later(_LOOK_SECONDS, self._look)

    def _one(self, record: Record) -> None:
        assert self._handle is not None
        try:
            self._handle(record)
        except RingError:
            raise
        except Exception as error:  # one bad record must not stop the others
            log.exception("a record was dropped", kind=record.kind, detail=repr(error))

    # -- to the coordinator

    def packet(self, serial: str, session: int, kind: str, data: bytes) -> bool:
        """Publish a packet for a device; False if there is no room."""
        head = records.RadiusPacket(RECORD_VERSION, kind)
        return self._push(Kind.RADIUS, session, serial_to_int(serial), head, data)

    def started(self, generation: int) -> bool:
        """Ask for the pools."""
        head = records.RadiusStarted(RECORD_VERSION, generation)
        return self._push(Kind.RADIUS_STARTED, 0, 0, head)

    def sessions(self, serial: str, count: int) -> bool:
        """Tell how many sessions a device has; False if there is no room."""
        head = records.RadiusSessions(RECORD_VERSION, count)
        return self._push(Kind.RADIUS_SESSIONS, 0, serial_to_int(serial), head)

    def respond(self, request: int, result: dict[str, Any], error: int, detail: str) -> bool:
        """Answer a request of the API."""
        head = records.Response(RECORD_VERSION, request, error, detail, result)
        return self._push(Kind.RESPONSE, 0, 0, head)

    def _push(
        self, kind: Kind, session: int, serial: int, head: records.Head, body: bytes = b""
    ) -> bool:
        return self._up.push(
            kind, session, serial, time.monotonic_ns(), records.encode(head), body
        )  # fmt: skip

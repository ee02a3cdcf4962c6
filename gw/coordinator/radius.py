"""The coordinator's part of RADIUS: hands packets on, keeps the pools, asks the proxy for facts.

Packets are never looked into here; southbound.md 6.1 is the proxy's (`gw.radius`).
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from typing import Any, Final

from gw._native.ring import Consumer, Record, RingCorrupted
from gw.coordinator.links import Links
from gw.coordinator.operations import Arguments, Operation
from gw.coordinator.presence import Presence
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.bootstrap import RingEnds
from gw.core.errors import ApiError
from gw.core.ids import serial_from_int, serial_to_int
from gw.core.records import RECORD_VERSION, Kind
from gw.core.settings import Radius as RadiusSettings
from gw.ops import logs, metrics
from gw.store import interface, rows
from gw.store.interface import Reader

log = logs.get("radius")

_LOOK_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 12.0
"""Longest wait for the proxy; the API waits for 15 s."""
_CONNECT_SECONDS: Final = 30.0
"""How long the workers' live sessions may take to be known to a new coordinator."""
_MAX_WAITING: Final = 1000
_UNDELIVERED: Final = metrics.index("gw_radius_undelivered_total")


class Radius:
    """An area (see gw.coordinator.operations), and the coordinator's end of the proxy's queues.

    Without `ends` the proxy is off: its configuration is kept nevertheless.
    """

    def __init__(
        self,
        ends: RingEnds | None,
        links: Links,
        presence: Presence,
        work: Committer,
        store: Reader,
        settings: RadiusSettings,
        counters: metrics.CounterPage,
    ) -> None:
        self._ends = ends
        self._links = links
        self._presence = presence
        self._work = work
        self._store = store
        self._settings = settings
        self._counters = counters
        self._ids = itertools.count(time.monotonic_ns())
        self._waiting: dict[int, asyncio.Future[records.Response]] = {}
        self._counts: dict[str, int] = {}
        self._absent: set[str] = set()
        """Devices with sessions that are looked for once more."""

    # -- packets

    def from_device(self, record: Record) -> None:
        """Hand a device's packet to the proxy; dropped, as UDP would, if its queue is full."""
        if not self._links.to_radius(
            Kind.RADIUS, record.session, record.serial, record.head, record.body, wait=False
        ):
            self._counters.add(_UNDELIVERED)

    def device_gone(self, serial: str) -> None:
        """A device's connection ended: tell the proxy, unless the device is back soon.

        Its stations are still there then, and their accounting goes on.
        """
        if self._ends is not None:
            asyncio.get_running_loop().call_later(
                self._settings.gone_seconds, self._stay_away, serial
            )

    def _stay_away(self, serial: str) -> None:
        self._absent.discard(serial)
        if self._presence.of(serial) is None:
            number = serial_to_int(serial)
            self._links.to_radius(Kind.RADIUS_DEVICE_GONE, 0, number, b"", b"", wait=True)

    def sessions(self, serial: str) -> int:
        """Return the number of accounting sessions of a device."""
        return self._counts.get(serial, 0)

    async def run(self) -> None:
        """Take what the proxy says, until cancelled; nothing to do if it is off."""
        if self._ends is None:
            return
        ring = Consumer(self._ends.up_memfd, self._ends.up_wake)
        wake = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._ends.up_wake, wake.set)
        try:
            while True:
                taken = self._read(ring)
                for record in taken:
                    await self._take(record)
                ring.commit(ring.position)
                if taken:
                    await asyncio.sleep(0)
                    continue
                wake.clear()
                if ring.arm():
                    try:
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await wake.wait()
                    except TimeoutError:
                        pass
        finally:
            loop.remove_reader(self._ends.up_wake)

    def _read(self, ring: Consumer) -> list[Record]:
        try:
            return ring.read(64)
        except RingCorrupted as error:
            ring.skip_all()
            log.error("the proxy's queue was damaged", detail=str(error))
            return []

    async def _take(self, record: Record) -> None:
        try:
            match record.kind:
                case Kind.RADIUS:
                    self._to_device(record)
                case Kind.RESPONSE:
                    self._answered(records.decode(records.Response, record.head))
                case Kind.RADIUS_SESSIONS:
                    self._count(record)
                case Kind.RADIUS_STARTED:
                    self._counts.clear()
                    await self.send_pools()
                case _:
                    log.error("unknown kind of record", kind=record.kind)
        except Exception as error:
            log.exception("a record of the proxy was dropped", kind=record.kind, detail=repr(error))

    def _to_device(self, record: Record) -> None:
        """Through the session that acts for the device; before `connect`, the one that asked."""
        present = self._presence.of(serial_from_int(record.serial))
        session = present.id if present is not None else record.session
        if session and self._links.send_radius(session, record.serial, record.head, record.body):
            return
        self._counters.add(_UNDELIVERED)
        if not session:
            self._links.to_radius(
                Kind.RADIUS_UNDELIVERED, 0, record.serial, record.head, b"", wait=True
            )

    def _answered(self, response: records.Response) -> None:
        waiting = self._waiting.pop(response.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(response)

    def _count(self, record: Record) -> None:
        head = records.decode(records.RadiusSessions, record.head)
        serial = serial_from_int(record.serial)
        if not head.count:
            self._counts.pop(serial, None)
            return
        self._counts[serial] = head.count
        if self._presence.of(serial) is None and serial not in self._absent:
            # It went away while no coordinator was there to see it, or is about to connect.
            self._absent.add(serial)
            delay = self._settings.gone_seconds + _CONNECT_SECONDS
            asyncio.get_running_loop().call_later(delay, self._stay_away, serial)

    async def send_pools(self) -> None:
        """Give the proxy the configuration that is stored."""
        row = await self._store.radius_pools()
        document = row.document.encode() if row is not None else b""
        head = records.encode(records.RadiusPools(RECORD_VERSION))
        self._links.to_radius(Kind.RADIUS_POOLS, 0, 0, head, document, wait=True)

    # -- operations

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names."""
        return {
            "radius.put": self._put,
            "radius.delete": self._delete,
            "radius.sessions": self._sessions,
            "radius.serials": self._serials,
            "radius.disconnect": self._disconnect,
        }

    async def _put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = rows.RadiusPoolsRow(document=body.decode(), modified=int(time.time()))
        self._work.write(interface.PutRadiusPools(row), len(body))
        await self._work.durable()
        await self.send_pools()
        return {}

    async def _delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        self._work.write(interface.DeleteRadiusPools(), 64)
        await self._work.durable()
        await self.send_pools()
        return {}

    async def _sessions(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._ask("sessions", arguments)

    async def _serials(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._ask("serials", arguments)

    async def _disconnect(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        if self._ends is None:
            raise ApiError(1137, "the RADIUS proxy is off: radius.enabled")
        return await self._ask("disconnect", arguments)

    async def _ask(self, operation: str, arguments: Arguments) -> dict[str, Any]:
        """Have the proxy carry it out."""
        if self._ends is None:
            return {"items": [], "more": False}
        if len(self._waiting) >= _MAX_WAITING:
            raise ApiError(1002, f"{_MAX_WAITING} requests wait for the RADIUS proxy", http=503)
        request = records.Request(RECORD_VERSION, next(self._ids), operation, arguments)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = waiting
        try:
            head = records.encode(request)
            if not self._links.to_radius(Kind.REQUEST, 0, 0, head, b"", wait=False):
                raise ApiError(1002, "the RADIUS proxy's queue is full", http=503)
            async with asyncio.timeout(_ANSWER_SECONDS):
                response: records.Response = await waiting
        except TimeoutError:
            raise ApiError(1002, "the RADIUS proxy does not answer", http=503) from None
        finally:
            self._waiting.pop(request.id, None)
        if response.error:
            raise ApiError(response.error, response.detail)
        return response.result

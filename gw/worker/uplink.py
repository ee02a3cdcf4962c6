"""The worker's end of the queue to the coordinator, with back-pressure down to the sockets.

Over the high mark a session that sends is told to stop reading; what is already buffered for it
still finds room in the reserve, and after that waits here, in order, up to a bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple, Protocol

from gw._native.ring import RECORD_OVERHEAD, Producer, RingError
from gw.core.records import Kind
from gw.ops import metrics

_REFUSED: Final = metrics.index("gw_queue_refused_total")
_WAITS: Final = metrics.index("gw_queue_waits_total")
_RETRY_SECONDS: Final = 0.005
_LAZY: Final = frozenset((Kind.MESSAGE, Kind.DEVICE_PING))
"""Kinds that nobody waits for: a coordinator that looks again soon is not woken for them."""


class Pausable(Protocol):
    """A session as the uplink sees it."""

    def pause_reading(self) -> None:
        """Take no more bytes from the socket."""

    def resume_reading(self) -> None:
        """Go on."""

    def overloaded(self) -> None:
        """End the session: what it sent cannot be kept."""


class _Held(NamedTuple):
    kind: Kind
    session: int
    serial: int
    received_ns: int
    head: bytes
    body: bytes


class Uplink:
    """Publishes records; keeps order per session even when the queue is full."""

    def __init__(
        self,
        ring: Producer,
        counters: metrics.CounterPage,
        *,
        reserve: int,
        max_held_bytes: int = 67_108_864,
    ) -> None:
        self._ring = ring
        self._counters = counters
        self._reserve = reserve
        self._max_held = max_held_bytes
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._paused: dict[int, Pausable] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.failed: asyncio.Future[None] | None = None
        """Gets the exception when the ring is unusable; the process must then end."""

    @property
    def drained(self) -> bool:
        """True if everything given to `publish` is in the ring."""
        return not self._held

    def publish(
        self,
        kind: Kind,
        session: int,
        serial: int,
        received_ns: int,
        head: bytes,
        body: bytes,
        owner: Pausable | None = None,
    ) -> None:
        """Publish a record. `owner` is the session whose socket is to stop if there is no room.

        Records without an owner (connects, answers, ends of sessions) may use the reserve.
        Raises ValueError for a record that this ring can never take.
        """
        if len(head) + len(body) + RECORD_OVERHEAD + 7 > self._ring.max_record_bytes:
            # Held, it would be refused for ever and block all that wait behind it.
            raise ValueError(f"a record of {len(body)} bytes is too large for the queue")
        if not self._held:
            reserve = self._reserve if owner is not None else 0
            lazy = kind in _LAZY
            if self._ring.push(kind, session, serial, received_ns, head, body, 0, reserve, lazy):
                return
            if owner is not None:
                self._pause(session, owner)
                if self._ring.push(kind, session, serial, received_ns, head, body, 0, 0):
                    return
        elif owner is not None:
            self._pause(session, owner)
        self._hold(_Held(kind, session, serial, received_ns, head, bytes(body)), owner)

    def offer(self, kind: Kind, session: int, serial: int, received_ns: int, head: bytes) -> bool:
        """Publish a record that may be left out: False if the reserve would be touched."""
        return not self._held and self._ring.push(
            kind, session, serial, received_ns, head, b"", 0, self._reserve, kind in _LAZY
        )

    def _pause(self, session: int, owner: Pausable) -> None:
        if session not in self._paused:
            self._counters.add(_WAITS)
            self._paused[session] = owner
            owner.pause_reading()
            self._schedule()

    def _hold(self, record: _Held, owner: Pausable | None) -> None:
        self._counters.add(_REFUSED)
        size = len(record.head) + len(record.body) + 64
        if owner is not None and self._held_bytes + size > self._max_held:
            owner.overloaded()
            return
        self._held.append(record)
        self._held_bytes += size
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._timer = None
        try:
            self._flush()
        except RingError as error:
            if self.failed is not None and not self.failed.done():
                self.failed.set_exception(error)

    def _flush(self) -> None:
        while self._held:
            record = self._held[0]
            if not self._ring.push(*record, 0, 0):
                break
            self._held.popleft()
            self._held_bytes -= len(record.head) + len(record.body) + 64
        # Half of the unreserved part free again: a low mark, so that sessions do not flap.
        if not self._held and self._ring.used <= (self._ring.capacity - self._reserve) // 2:
            paused, self._paused = self._paused, {}
            for owner in paused.values():
                owner.resume_reading()
        if self._held or self._paused:
            self._schedule()

    def forget(self, session: int) -> None:
        """The session is gone."""
        self._paused.pop(session, None)

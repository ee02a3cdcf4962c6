"""The coordinator's ends of the queues towards the workers and the API."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from gw._native.ring import Producer
from gw.coordinator.presence import slot_of
from gw.core import records
from gw.core.bootstrap import RingEnds
from gw.core.ids import serial_from_int, serial_to_int
from gw.core.records import RECORD_VERSION, Head, Kind
from gw.ops import logs

log = logs.get("links")

_RETRY_SECONDS: Final = 0.01
_MAX_WAITING: Final = 100_000
"""Orders that wait for room in one queue: a close for every session, and more."""


class _Order(NamedTuple):
    kind: Kind
    session: int
    serial: int
    head: bytes
    body: bytes


class _Link:
    """One queue, and the small orders that found it full: none of them may be lost."""

    def __init__(self, ends: RingEnds) -> None:
        self.name = ends.name
        self._ring = Producer(ends.down_memfd, ends.down_wake)
        self._waiting: deque[_Order] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def push(self, order: _Order) -> bool:
        """Send now; False if there is no room, or if others wait for some."""
        return not self._waiting and self._push(order)

    def push_or_wait(self, order: _Order) -> None:
        """Send now, or as soon as there is room; order is kept."""
        if self.push(order):
            return
        if len(self._waiting) >= _MAX_WAITING:
            log.error("an order was dropped", queue=self.name, kind=order.kind.name)
            return
        self._waiting.append(order)
        self._schedule()

    def offer(self, order: _Order) -> bool:
        """Send now if half of the queue stays free."""
        ring = self._ring
        return not self._waiting and ring.push(
            order.kind, order.session, order.serial, time.monotonic_ns(), order.head, order.body,
            0, ring.capacity // 2,
        )  # fmt: skip

    def _push(self, order: _Order) -> bool:
        return self._ring.push(
            order.kind, order.session, order.serial, time.monotonic_ns(), order.head, order.body
        )

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        while self._waiting and self._push(self._waiting[0]):
            self._waiting.popleft()
        if self._waiting:
            self._schedule()


class Links:
    """Sends orders to workers and answers to the API."""

    def __init__(self, rings: list[RingEnds]) -> None:
        self._workers: dict[int, _Link] = {}
        self._api: _Link | None = None
        self.tap: Callable[[str, str, bytes], object] | None = None
        """Called with serial number, method and params of what is sent to devices."""
        self._radius: _Link | None = None
        for ends in rings:
            role, _, slot = ends.name.rpartition("-")
            if role == "worker":
                self._workers[int(slot)] = _Link(ends)
            elif ends.name == "api":
                self._api = _Link(ends)
            elif ends.name == "radius":
                self._radius = _Link(ends)

    def hello(self, generation: int) -> None:
        """Tell everybody that this coordinator is new."""
        for link in (*self._workers.values(), self._api, self._radius):
            if link is not None:
                link.push_or_wait(_hello(generation))

    def hello_worker(self, slot: int, generation: int) -> None:
        """Repeat it for one worker that started meanwhile."""
        self._workers[slot].push_or_wait(_hello(generation))

    def close(self, session: int, serial: str, code: int, reason: str) -> None:
        """Close a session."""
        link = self._workers.get(slot_of(session))
        if link is not None:
            head = records.SessionClose(RECORD_VERSION, code, reason)
            link.push_or_wait(_order(Kind.SESSION_CLOSE, session, serial, head, b""))

    def send_rpc(self, session: int, serial: str, order: records.SendRpc, params: bytes) -> bool:
        """Have a request sent; False if the worker's queue is full."""
        link = self._workers.get(slot_of(session))
        if link is None or not link.push(_order(Kind.SEND_RPC, session, serial, order, params)):
            return False
        if self.tap is not None:
            self.tap(serial, order.method, params)
        return True

    def send_event(self, session: int, serial: str, method: str, params: bytes) -> bool:
        """Have a message sent that is not answered; False if the worker's queue is full."""
        link = self._workers.get(slot_of(session))
        head = records.SendEvent(RECORD_VERSION, method)
        if link is None or not link.push(_order(Kind.SEND_EVENT, session, serial, head, params)):
            return False
        if self.tap is not None:
            self.tap(serial, method, params)
        return True

    def offer(self, item: records.StreamItem, serial: int, body: bytes) -> bool:
        """Show something to the API's viewers; False if its queue is half full."""
        if self._api is None:
            return False
        try:
            return self._api.offer(_Order(Kind.STREAM, 0, serial, records.encode(item), body))
        except ValueError:  # larger than a record can be
            return False

    def forget_token(self, token: str) -> None:
        """Tell the API that another service took a token back; left out if its queue is full."""
        if self._api is not None:
            self._api.push(_Order(Kind.TOKEN_REMOVED, 0, 0, b"", token.encode()))

    def respond(self, response: records.Response, body: bytes) -> bool:
        """Answer a request of the API; False if its queue is full."""
        return self._api is not None and self._api.push(
            _Order(Kind.RESPONSE, 0, 0, records.encode(response), body)
        )

    def send_radius(self, session: int, serial: int, head: bytes, packet: bytes) -> bool:
        """Have a RADIUS packet sent to a device; False if the worker's queue is full."""
        link = self._workers.get(slot_of(session))
        if link is None or not link.push(_Order(Kind.RADIUS, session, serial, head, packet)):
            return False
        if self.tap is not None:
            self.tap(serial_from_int(serial), "radius", packet)
        return True

    def to_radius(
        self, kind: Kind, session: int, serial: int, head: bytes, body: bytes, *, wait: bool
    ) -> bool:
        """Tell the RADIUS proxy; `wait` for room in its queue, or return False if there is none."""
        link = self._radius
        if link is None:
            return False
        order = _Order(kind, session, serial, head, body)
        if wait:
            link.push_or_wait(order)
            return True
        return link.push(order)


def _order(kind: Kind, session: int, serial: str, head: Head, body: bytes) -> _Order:
    return _Order(kind, session, serial_to_int(serial), records.encode(head), body)


def _hello(generation: int) -> _Order:
    return _Order(Kind.HELLO, 0, 0, records.encode(records.Hello(RECORD_VERSION, generation)), b"")

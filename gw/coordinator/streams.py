"""Live streams to the API: notifications, telemetry of viewers, tails of single devices.

The API says what anybody looks at (`stream.interest`, renewed while somebody does); nothing else
is made or sent. What finds the API's queue half full is left out and counted: the other half is
for answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gw._native.ring import Record
from gw.coordinator.links import Links
from gw.coordinator.operations import Arguments, Operation
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.ids import serial_from_int, serial_to_int
from gw.core.records import RECORD_VERSION, Kind, Stream, StreamItem
from gw.ops import log_notice, logs, metrics

LEASE_SECONDS: Final = 30.0
"""How long an interest holds unless the API renews it: the API may have died."""
MAX_TAIL_BYTES: Final = 65_536
"""Larger messages are shown in a tail without their content."""

_SENT: Final = metrics.indexes("gw_stream_items_total")
_LEFT_OUT: Final = metrics.indexes("gw_stream_left_out_total")
_RADIUS: Final = "radius"
"""Packets, not JSON, and with credentials in them: only their size is shown."""
_encode = msgspec.json.Encoder().encode

CONNECTIONS: Final = 1000
CONFIGURATION: Final = 2000
FIRMWARE: Final = 3000
CONNECTED: Final = 4000
DISCONNECTED: Final = 5000
STATISTICS: Final = 6000
"""Types of notifications (northbound.md 4.11)."""


class Streams:
    """What the API looks at now; an area, see gw.coordinator.operations."""

    def __init__(self, work: Committer, links: Links, counters: metrics.CounterPage) -> None:
        self._work = work
        self._links = links
        self._counters = counters
        self._until = 0.0
        self._notices = False
        self._generation = 0
        self._number = 0
        self.tails: dict[str, int] = {}
        """Serial numbers whose messages are shown, and how many were left out since the last."""
        self.joined: Callable[[], object] = lambda: None
        """Called when somebody gets notifications after nobody did."""
        self.viewers_changed: Callable[[set[str]], object] = lambda _: None
        """Called with the telemetry subscriptions that have a viewer, whenever the API tells."""

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names."""
        return {"stream.interest": self._interest}

    async def _interest(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        """Replace what was of interest: all of it is told each time."""
        generation = arguments["generation"]
        if generation < self._generation:
            return {}  # a request of a process that is gone
        self._generation = generation
        self._until = time.monotonic() + LEASE_SECONDS
        joined = bool(arguments.get("notices")) and not self._notices
        self._notices = bool(arguments.get("notices"))
        logs.listen(self._line if arguments.get("logs") else None)
        wanted = arguments.get("tails", [])
        self.tails = {serial: self.tails.get(serial, 0) for serial in wanted}
        self._links.tap = self.sent if self.tails else None
        self.viewers_changed(set(arguments.get("telemetry", [])))
        if joined:
            self.joined()
        return {}

    def expire(self) -> None:
        """Forget what an API that is gone was interested in; called once a second."""
        if self._until and time.monotonic() > self._until:
            self._until = 0.0
            self._notices = False
            logs.listen(None)
            self.tails = {}
            self._links.tap = None
            self.viewers_changed(set())

    # -- notifications

    @property
    def listening(self) -> bool:
        """True if anybody gets notifications."""
        return self._notices

    def notify(self, kind: int, content: dict[str, Any]) -> None:
        """Notify UIs once what was written is durable (northbound.md 4.11)."""
        if self._notices:
            self._work.follow(lambda: self._notify(kind, content))

    def _line(self, line: Mapping[str, Any]) -> None:
        self._notify(log_notice.LOG, log_notice.content(line))

    def _notify(self, kind: int, content: dict[str, Any]) -> None:
        self._number += 1
        text = _encode(
            {
                "notification": {
                    "notification_id": self._number,
                    "type_id": kind,
                    "content": content,
                }
            }
        )
        self._offer(StreamItem(RECORD_VERSION, Stream.NOTICE, kind), 0, text)

    # -- telemetry

    def telemetry(self, serial: str, payload: bytes) -> bool:
        """Send a telemetry message to the viewers of a device; False if it was left out."""
        return self._offer(
            StreamItem(RECORD_VERSION, Stream.TELEMETRY), serial_to_int(serial), payload
        )

    def telemetry_ended(self, serial: str, subscription: str) -> None:
        """The subscription of some viewers is over."""
        item = StreamItem(RECORD_VERSION, Stream.TELEMETRY_END, uuid=subscription)
        self._offer(item, serial_to_int(serial), b"")

    # -- tails

    def received(self, record: Record) -> None:
        """A record of a device whose messages are shown came in."""
        serial = serial_from_int(record.serial)
        if serial not in self.tails:
            return
        match record.kind:
            case Kind.CONNECT:
                self._tail(serial, "received", "connect", record.body)
            case Kind.MESSAGE:
                method = records.decode(records.DeviceMessage, record.head).method
                self._tail(serial, "received", method, record.body)
            case Kind.ANSWER:
                method = records.decode(records.Answer, record.head).method
                self._tail(serial, "received", f"answer to {method}", record.body)
            case Kind.RADIUS:
                self._tail(serial, "received", _RADIUS, record.body)
            case Kind.DISCONNECT:
                reason = records.decode(records.Disconnect, record.head).reason
                self._tail(serial, "session", "disconnected", _encode({"reason": reason}))
            case Kind.RPC_UNSENT:
                head = records.decode(records.RpcUnsent, record.head)
                self._tail(serial, "session", "not sent", _encode({"reason": head.reason}))

    def sent(self, serial: str, method: str, params: bytes) -> None:
        """Something for a device is on its way; `Links` calls this while anything is shown."""
        if serial in self.tails:
            self._tail(serial, "sent", method, params)

    def _tail(self, serial: str, direction: str, method: str, message: bytes) -> None:
        size = len(message)
        left_out = self.tails[serial]
        text = b'{"time":%d,"direction":"%b","method":%b,"size":%d,"leftOut":%d,"message":%b}' % (
            int(time.time() * 1000),
            direction.encode(),
            _encode(method),
            size,
            left_out,
            message if size <= MAX_TAIL_BYTES and method != _RADIUS else b"null",
        )
        item = StreamItem(RECORD_VERSION, Stream.TAIL, left_out=left_out)
        if self._offer(item, serial_to_int(serial), text):
            self.tails[serial] = 0
        else:
            self.tails[serial] = left_out + 1

    def _offer(self, item: StreamItem, serial: int, text: bytes) -> bool:
        offered = self._links.offer(item, serial, text)
        label = _LABELS[item.stream]
        self._counters.add(_SENT[label] if offered else _LEFT_OUT[label])
        return offered


_LABELS: Final = {
    Stream.NOTICE: "notice",
    Stream.TELEMETRY: "telemetry",
    Stream.TELEMETRY_END: "telemetry",
    Stream.TAIL: "tail",
}

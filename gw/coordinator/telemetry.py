"""The `telemetry` command: subscriptions with lifetimes, and the packets of devices.

Subscriptions are kept in the store, so that they outlive sessions of the device and this process.
What a device is to be told follows from them (gw.protocol.telemetry).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gw._native.ring import Record
from gw.bus import envelopes, topics
from gw.coordinator import commands as states
from gw.coordinator.announcer import Announcer
from gw.coordinator.links import Links
from gw.coordinator.operations import Arguments, Operation
from gw.coordinator.presence import Presence
from gw.coordinator.streams import Streams
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.errors import ApiError
from gw.core.records import RECORD_VERSION
from gw.ops import logs, metrics
from gw.protocol import telemetry as rules
from gw.protocol.messages import TelemetryParams
from gw.protocol.telemetry import NOTHING, UNKNOWN, DeviceStream, Subscription, Wanted
from gw.store.interface import (
    DeleteTelemetrySubscription,
    PutCommand,
    PutTelemetrySubscription,
    Store,
)
from gw.store.rows import CommandRow, TelemetrySubscriptionRow

log = logs.get("telemetry")

_ANSWER_MS: Final = 30_000
_RETRY_SECONDS: Final = 2.0
"""Time until what found a full queue is tried again."""
_STOP_SECONDS: Final = 5.0
"""Time between two stops for a device that sends unasked."""
_SUCCESS: Final = '{"result":"success"}'
_RUNAWAYS: Final = metrics.index("gw_telemetry_unasked_total")
_STREAMS: Final = metrics.index("gw_telemetry_streams")


class Telemetry:
    """The telemetry of all devices; an area, see gw.coordinator.operations."""

    def __init__(
        self,
        work: Committer,
        store: Store,
        links: Links,
        presence: Presence,
        streams: Streams,
        announcer: Announcer,
        counters: metrics.CounterPage,
    ) -> None:
        self._work = work
        self._store = store
        self._links = links
        self._presence = presence
        self._streams = streams
        self._announcer = announcer
        self._counters = counters
        self._devices: dict[str, DeviceStream] = {}
        self._stopped: dict[str, float] = {}
        """Devices that sent unasked and were told to stop, and when (monotonic)."""
        streams.viewers_changed = self._viewers

    async def load(self) -> None:
        """Find the subscriptions of a predecessor."""
        for row in await self._store.telemetry_subscriptions():
            types = msgspec.json.decode(row.types, type=list[str])
            stream = self._devices.setdefault(row.serial_number, DeviceStream(row.serial_number))
            stream.subscriptions[row.uuid] = Subscription(
                row.uuid, row.serial_number, row.kafka, row.seconds, types, row.until
            )
        self._counters.set(_STREAMS, len(self._devices))

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names."""
        return {
            "telemetry.start": self._start,
            "telemetry.stop": self._stop,
            "telemetry.status": self._status,
            "telemetry.viewer": self._viewer,
        }

    # -- what operators want

    async def _start(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        serial, uuid, kafka = arguments["serial"], arguments["command"], arguments["kafka"]
        self._must_be_here(serial)
        if kafka and not self._announcer.wants(topics.DEVICE_TELEMETRY):
            raise ApiError(1034, "kafka: no event bus takes device_telemetry here (bus, kafka)")
        stream = self._devices.setdefault(serial, DeviceStream(serial))
        if uuid not in stream.subscriptions:
            subscription = Subscription(
                uuid, serial, kafka, arguments["interval"], arguments["types"],
                time.time() + arguments["lifetime"],
            )  # fmt: skip
            try:
                stream.add(subscription)
            except OverflowError as error:
                raise ApiError(1034, str(error)) from None
            self._work.write(PutTelemetrySubscription(_row(subscription)))
            self._note(arguments)
            self._counters.set(_STREAMS, len(self._devices))
            log.info("telemetry started", serial=serial, interval=subscription.interval,
                     kafka=kafka, by=arguments.get("by", ""))  # fmt: skip
            self._tell(stream)
        await self._work.durable()
        return stream.status()

    async def _stop(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        """Give up one subscription: of those without a viewer the oldest."""
        serial = arguments["serial"]
        self._must_be_here(serial)
        stream = self._devices.get(serial)
        found = stream.of_kind(arguments["kafka"]) if stream is not None else []
        self._note(arguments)
        if stream is not None and found:
            self._end(stream, found[0])
        await self._work.durable()
        return (stream or DeviceStream(serial)).status()

    async def _status(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        self._must_be_here(arguments["serial"])
        return self.status(arguments["serial"])

    async def _viewer(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        """A viewer wants to connect; raises ApiError 404 unless the pair is known."""
        stream = self._devices.get(arguments["serial"])
        found = stream.subscriptions.get(arguments["uuid"]) if stream is not None else None
        if found is None or found.kafka:
            raise ApiError(404)
        return {"left": max(0.0, found.until - time.time())}

    def _must_be_here(self, serial: str) -> None:
        if self._presence.of(serial) is None:
            raise ApiError(1033, serial)

    def _note(self, arguments: Arguments) -> None:
        """The command is done as soon as it is taken (3.14)."""
        now = int(time.time())
        names = ("interval", "types", "lifetime", "kafka")
        details = {name: arguments[name] for name in names if name in arguments}
        row = CommandRow(
            uuid=arguments["command"],
            serial_number=arguments["serial"],
            command="telemetry",
            status=states.COMPLETED,
            submitted_by=arguments.get("by", ""),
            submitted=now,
            executed=now,
            completed=now,
            details=msgspec.json.encode(details).decode(),
            results=_SUCCESS,
        )
        self._work.write(PutCommand(row), 1024)

    def status(self, serial: str) -> dict[str, Any]:
        """Return the `status` of a device's telemetry."""
        return (self._devices.get(serial) or DeviceStream(serial)).status()

    def counts(self, serial: str) -> dict[str, Any]:
        """Return the part of ConnectionState that is about telemetry (northbound.md 2.7)."""
        status = self.status(serial)
        return {
            "webSocketClients": status["websocketClients"],
            "websocketPackets": status["websocketPackets"],
            "kafkaClients": status["kafkaClients"],
            "kafkaPackets": status["kafkaPackets"],
        }

    # -- time, viewers, sessions

    def due(self) -> None:
        """End what is over, and tell devices what they could not be told; once a second."""
        now = time.time()
        for stream in list(self._devices.values()):
            for subscription in stream.expired(now):
                self._end(stream, subscription)
            self._tell_now(stream)
        limit = time.monotonic() - _STOP_SECONDS
        self._stopped = {one: at for one, at in self._stopped.items() if at > limit}

    def _viewers(self, attached: set[str]) -> None:
        """These subscriptions have a viewer; one that had and has none any more is given up."""
        for stream in list(self._devices.values()):
            for subscription in list(stream.subscriptions.values()):
                if subscription.uuid in attached:
                    subscription.attached = True
                elif subscription.attached:
                    self._end(stream, subscription)

    def _end(self, stream: DeviceStream, subscription: Subscription) -> None:
        stream.subscriptions.pop(subscription.uuid, None)
        self._work.write(DeleteTelemetrySubscription(subscription.uuid))
        log.info("telemetry ended", serial=stream.serial, kafka=subscription.kafka)
        if subscription.attached:
            self._streams.telemetry_ended(stream.serial, subscription.uuid)
        self._tell(stream)

    def connected(self, serial: str) -> None:
        """A device is here, perhaps again: it knows of nothing."""
        stream = self._devices.get(serial)
        if stream is not None:
            self._tell(stream)

    def resumed(self, serial: str, session: int) -> None:
        """A session outlived a coordinator; what the device was told is not known."""
        stream = self._devices.get(serial)
        if stream is not None:
            stream.session, stream.told = session, UNKNOWN
            self._tell(stream)

    def unsent(self, serial: str, command: str) -> None:
        """What a device was told did not reach it."""
        stream = self._devices.get(serial)
        if stream is not None and stream.command == command:
            stream.session = 0
            stream.retry_at = time.monotonic() + _RETRY_SECONDS

    def forget(self, serial: str) -> None:
        """The device is deleted."""
        stream = self._devices.get(serial) or DeviceStream(serial)
        for subscription in list(stream.subscriptions.values()):
            self._end(stream, subscription)

    def _tell(self, stream: DeviceStream) -> None:
        """Bring the device to what is wanted, once that is durable."""
        self._work.then(lambda: self._tell_now(stream))

    def _tell_now(self, stream: DeviceStream) -> None:
        if self._devices.get(stream.serial) is not stream:
            return  # over, and perhaps begun anew
        session = self._presence.of(stream.serial)
        if session is not None and time.monotonic() >= stream.retry_at:
            for order in stream.orders(session.id):
                stream.command = states.new_uuid()
                if not self._send(stream.serial, session.id, order, stream.command):
                    stream.retry_at = time.monotonic() + _RETRY_SECONDS
                    return
                stream.told = order
        if not stream.running and (session is None or stream.told == NOTHING):
            self._devices.pop(stream.serial, None)
            self._counters.set(_STREAMS, len(self._devices))

    def _send(self, serial: str, session: int, what: Wanted, command: str) -> bool:
        order = records.SendRpc(RECORD_VERSION, command, "telemetry", _ANSWER_MS, False)
        return self._links.send_rpc(session, serial, order, rules.params(serial, what))

    # -- what devices send

    def packet(self, record: Record, serial: str, params: TelemetryParams, now: int) -> None:
        """A device sent telemetry (southbound.md 2.11)."""
        stream = self._devices.get(serial)
        adhoc = params.adhoc is not msgspec.UNSET
        if not adhoc and (stream is None or not stream.running):
            self._unasked(record.session, serial)
            return
        payload = envelopes.telemetry(bytes(params.data), now)
        if adhoc:
            self._announcer.put(topics.DEVICE_TELEMETRY, serial, payload, record)
            return
        assert stream is not None
        if stream.of_kind(kafka=True):
            stream.kafka_packets += 1
            self._announcer.put(topics.DEVICE_TELEMETRY, serial, payload, record)
        if stream.of_kind(kafka=False):
            stream.websocket_packets += 1
            if any(one.attached for one in stream.subscriptions.values()):
                self._streams.telemetry(serial, payload)

    def replay(self, record: Record, serial: str, params: TelemetryParams, now: int) -> None:
        """Publish again what a predecessor may not have published."""
        stream = self._devices.get(serial)
        adhoc = params.adhoc is not msgspec.UNSET
        if adhoc or (stream is not None and stream.of_kind(kafka=True)):
            payload = envelopes.telemetry(bytes(params.data), now)
            self._announcer.put(topics.DEVICE_TELEMETRY, serial, payload, record)

    def answered(self, serial: str, body: bytes) -> None:
        """A device answered `telemetry`: nothing depends on it, but a refusal is worth a line."""
        log.debug("telemetry answered", serial=serial, answer=body[:200].decode(errors="replace"))

    def _unasked(self, session: int, serial: str) -> None:
        self._counters.add(_RUNAWAYS)
        now = time.monotonic()
        if now - self._stopped.get(serial, -_STOP_SECONDS) < _STOP_SECONDS:
            return
        self._stopped[serial] = now
        log.info("unasked telemetry is stopped", serial=serial)
        self._send(serial, session, NOTHING, states.new_uuid())


def _row(subscription: Subscription) -> TelemetrySubscriptionRow:
    return TelemetrySubscriptionRow(
        uuid=subscription.uuid,
        serial_number=subscription.serial,
        kafka=subscription.kafka,
        seconds=subscription.interval,
        types=msgspec.json.encode(subscription.types).decode(),
        until=int(subscription.until),
    )

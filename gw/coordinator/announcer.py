"""What happened, told to the event bus: which message goes to which topic, and when.

A message is handed over with the unit of work that makes what it tells durable, so that nothing
is announced that a crash could undo. Envelopes are in gw.bus.envelopes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from gw._native.ring import Record
from gw.bus import envelopes, topics
from gw.bus.envelopes import Envelope
from gw.bus.interface import Bus, Message
from gw.coordinator import streams as notices
from gw.coordinator.presence import Presence
from gw.coordinator.streams import Streams
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.ids import serial_from_int
from gw.ops import logs
from gw.protocol import configuration as rules
from gw.protocol import jsonrpc, messages
from gw.store.errors import StoreError
from gw.store.interface import InsertLog, Reader
from gw.store.rows import BlacklistRow

log = logs.get("bus")

_WHOLE: Final = {
    "state": topics.STATE,
    "healthcheck": topics.HEALTHCHECK,
    "alarm": topics.ALERTS,
    "wifiscan": topics.WIFISCAN,
}
"""Methods whose params are published as they are."""
_RESULTS: Final = {"wifiscan": topics.WIFISCAN, "event": topics.DEVICE_EVENT_QUEUE}
"""Commands, by their method, whose result is published as it is."""
_decode_event = msgspec.json.Decoder(messages.EventParams).decode


class Announcer:
    """Makes the messages of the bus; does nothing for a topic that the bus does not want."""

    def __init__(
        self, work: Committer, reader: Reader, bus: Bus, envelope: Envelope, streams: Streams
    ) -> None:
        self._work = work
        self._streams = streams
        self._reader = reader
        self._tasks: set[asyncio.Task[None]] = set()
        self._wrap = envelope.wrap
        self._wanted = frozenset(topic for topic in topics.TOPICS if bus.wants(topic))
        self.origin = 0
        """Incarnation of the queue whose records are being treated."""
        self._updates = 0

    @property
    def active(self) -> bool:
        """True if anything is published."""
        return bool(self._wanted)

    def wants(self, topic: str) -> bool:
        """Tell whether messages of a topic are published."""
        return topic in self._wanted

    def put(self, topic: str, key: str, payload: bytes, record: Record | None = None) -> None:
        """Publish a payload; `record` is what brought it, if anything did."""
        if topic not in self._wanted:
            return
        value = self._wrap(payload)
        if record is None:
            self._work.announce(Message(topic, key, value))
        else:
            self._work.announce(Message(topic, key, value, self.origin, record.position))

    # -- sessions

    def connected(
        self, record: Record, head: records.Connect, locale: str, now: int, *, late: bool = False
    ) -> None:
        """A device said `connect`, and was taken; `late`: its record is committed already."""
        serial = serial_from_int(record.serial)
        self._streams.notify(notices.CONNECTED, {"serialNumber": serial})
        if topics.CONNECTION in self._wanted:
            payload = envelopes.connected(
                record.body, serial, head.address, record.session, locale, now
            )
            self.put(topics.CONNECTION, serial, payload, None if late else record)

    def pinged(
        self,
        record: Record,
        head: records.DevicePing,
        firmware: str,
        compatible: str,
        locale: str,
        now: int,
    ) -> None:
        """A device sent a WebSocket PING."""
        serial = serial_from_int(record.serial)
        payload = envelopes.pinged(
            serial, head.address, record.session, firmware, compatible, locale, now
        )
        self.put(topics.CONNECTION, serial, payload, record)

    def disconnected(
        self, serial: str, session: int, now: int, record: Record | None = None
    ) -> None:
        """The session of a device ended."""
        self._streams.notify(notices.DISCONNECTED, {"serialNumber": serial})
        payload = envelopes.disconnected(serial, session, now)
        self.put(topics.CONNECTION, serial, payload, record)

    def firmware_changed(self, record: Record, serial: str, old: str, new: str, now: int) -> None:
        """A device came back with another firmware."""
        content = {"serialNumber": serial, "newFirmware": new}
        self._streams.notify(notices.FIRMWARE, content)
        payload = envelopes.firmware_change(old, new, now)
        self.put(topics.DEVICE_EVENT_QUEUE, serial, payload, record)

    def blacklisted(
        self, address: str, entry: BlacklistRow, now: int, record: Record | None = None
    ) -> None:
        """A device on the blacklist was refused, or its open session was ended."""
        address = address.rpartition(":")[0].strip("[]")
        payload = envelopes.blacklisted(entry.reason, entry.author, entry.created, address, now)
        self.put(topics.DEVICE_EVENT_QUEUE, entry.serial_number, payload, record)

    def not_provisioned(
        self,
        record: Record,
        head: records.Connect,
        params: messages.ConnectParams,
        now: int,
        *,
        late: bool = False,
    ) -> None:
        """An unknown device was refused; `late`: its record is committed already."""
        serial = serial_from_int(record.serial)
        platform = messages.capabilities(params.capabilities).platform
        payload = envelopes.not_provisioned(serial, params.firmware, platform, head.address, now)
        self.put(topics.DEVICE_EVENT_QUEUE, serial, payload, None if late else record)

    # -- messages and answers

    def message(self, record: Record, method: str, serial: str) -> None:
        """A device sent a message other than a log or telemetry."""
        topic = _WHOLE.get(method)
        if method == "state":
            self._streams.notify(notices.STATISTICS, {"serialNumber": serial})
        if topic is not None:
            self.put(topic, serial, record.body, record)
        elif method == "event":
            timestamp, event = _decode_event(record.body).data.event
            rrm = event.type.startswith("rrm.")
            topic = topics.RRM if rrm else topics.DEVICE_EVENT_QUEUE
            payload = envelopes.queued(event.type, timestamp, bytes(event.payload))
            self.put(topic, serial, payload, record)

    def logged(self, record: Record, row: InsertLog) -> None:
        """A device sent a `log`, `crashlog`, `rebootLog` or `recovery`, stored as `row`."""
        if topics.DEVICE_EVENT_QUEUE in self._wanted:
            payload = envelopes.device_log(
                row.data, row.log, row.severity, row.recorded, row.log_type, row.uuid
            )
            self.put(topics.DEVICE_EVENT_QUEUE, row.serial, payload, record)

    def answered(self, record: Record, method: str, serial: str) -> None:
        """A device answered a command."""
        topic = _RESULTS.get(method)
        if topic is None or topic not in self._wanted:
            return
        result = jsonrpc.read_answer(record.body).result
        if result is not msgspec.UNSET:
            self.put(topic, serial, bytes(result), record)

    # -- what operators and time bring

    def device_deleted(self, serial: str) -> None:
        """The row of a device was deleted."""
        self.put(topics.COMMAND, serial, envelopes.device_deleted(int(time.time())))

    def configuration_sent(self, serial: str, old: int, new: int) -> None:
        """A configuration is on its way to a device that has another one."""
        content = {"serialNumber": serial, "oldUUID": old, "newUUID": new}
        self._streams.notify(notices.CONFIGURATION, content)

    def configuration_adopted(self, serial: str) -> None:
        """An operator's configuration is the stored one, as of the unit of work being made."""
        if topics.DEVICE_EVENT_QUEUE in self._wanted:
            self._work.then(lambda: self._spawn(self._announce_configuration(serial)))

    async def _announce_configuration(self, serial: str) -> None:
        try:
            row = await self._reader.device(serial)
        except StoreError as error:
            log.error("a change was not announced", serial=serial, detail=str(error))
            return
        if row is not None:
            document = rules.with_uuid(row.configuration, row.config_uuid)
            payload = envelopes.configuration_change(document, int(time.time()))
            self.put(topics.DEVICE_EVENT_QUEUE, serial, payload)

    def _spawn(self, task: Coroutine[Any, Any, None]) -> None:
        running = asyncio.get_running_loop().create_task(task)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)

    def notify_connections(self, presence: Presence) -> None:
        """Tell UIs the number of connections."""
        self._streams.notify(notices.CONNECTIONS, presence.update())

    def update(self, presence: Presence) -> None:
        """Sum up the connections; called now and then."""
        if topics.DEVICE_EVENT_QUEUE not in self._wanted and not self._streams.listening:
            return
        self._updates += 1
        content = presence.update()
        self._streams.notify(notices.CONNECTIONS, content)
        text = msgspec.json.encode(content)
        payload = envelopes.load_update(self._updates, text, int(time.time()))
        self.put(topics.DEVICE_EVENT_QUEUE, topics.SYSTEM_KEY, payload)

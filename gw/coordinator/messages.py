"""Messages of devices, as the coordinator treats them: to the store, and to the keeper."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from gw._native.ring import Record
from gw.coordinator.announcer import Announcer
from gw.coordinator.executor import Executor
from gw.coordinator.keeper import Keeper
from gw.coordinator.presence import DeviceSession
from gw.coordinator.shadow import Shadow
from gw.coordinator.telemetry import Telemetry
from gw.coordinator.venues import Venues
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.records import DeviceMessage
from gw.ops import logs
from gw.protocol import messages
from gw.protocol.configuration import Report, Source
from gw.store.interface import (
    InsertEvent,
    InsertHealthCheck,
    InsertLog,
    InsertStatistics,
    PutRequestResult,
    PutUpgradeStatus,
)

log = logs.get("messages")

LOG, CRASH, REBOOT = 0, 1, 2
"""Kinds of device logs (southbound.md 6.10)."""

_UPGRADE: Final = "firmware_upgrade_status"
_UPGRADE_BYTES: Final = 4096
"""Longest status of an upgrade that is kept with its command."""
_LOGS: Final = frozenset(("log", "crashlog", "rebootLog", "recovery"))
_SOURCES: Final = {"state": Source.STATE, "healthcheck": Source.HEALTHCHECK}


def received_at(record: Record) -> int:
    """Return when a worker received a record, Unix seconds, however long it waited in a queue."""
    return int(time.time() - (time.monotonic_ns() - record.received_ns) / 1e9)


class Messages:
    """Stores what devices tell."""

    def __init__(
        self,
        work: Committer,
        keeper: Keeper,
        executor: Executor,
        announcer: Announcer,
        telemetry: Telemetry,
        venues: Venues | None,
    ) -> None:
        self._announcer = announcer
        self._telemetry = telemetry
        self._venues = venues
        self._work = work
        self._keeper = keeper
        self._executor = executor

    def handle(self, record: Record, shadow: Shadow, session: DeviceSession | None) -> None:
        """Store one message of a known device.

        `session` is None if the message comes from a session that is no longer, or not yet again,
        the one that acts: what it tells is kept, but is no news of the configuration.
        """
        head = records.decode(DeviceMessage, record.head)
        now = received_at(record)
        self._store(head, record, shadow, session, now)
        self._announcer.message(record, head.method, shadow.serial)
        if session is None:
            return
        session.traffic(head.rx_bytes, head.tx_bytes, head.messages)
        if head.method == "state":
            session.last_state = now
        if head.uuid >= 0:
            source = _SOURCES.get(head.method, Source.OTHER)
            self._keeper.report(shadow, session, Report(head.uuid, head.config_hash, source))

    def replay(self, record: Record, shadow: Shadow) -> None:
        """Announce a message again that a predecessor stored, but perhaps did not announce."""
        head = records.decode(DeviceMessage, record.head)
        if head.method in _LOGS:
            params = messages.decode(head.method, record.body)
            row = _log_row(shadow, params, received_at(record))
            if row is not None:
                self._announcer.logged(record, row)
        elif head.method == "telemetry":
            packet = messages.decode("telemetry", record.body)
            assert isinstance(packet, messages.TelemetryParams)
            self._telemetry.replay(record, shadow.serial, packet, received_at(record))
        self._announcer.message(record, head.method, shadow.serial)

    def _store(
        self,
        head: DeviceMessage,
        record: Record,
        shadow: Shadow,
        session: DeviceSession | None,
        now: int,
    ) -> None:
        """Write what is to be kept, once (southbound.md 2.2 to 2.12)."""
        serial, body = shadow.serial, record.body
        document = body[head.start : head.start + head.size]
        if head.method == "state":
            # The most frequent one: it is not decoded again.
            op = InsertStatistics(serial, head.uuid, now, document)
            self._work.write(op, len(document) + 64)
            beside = body[: head.start] + body[head.start + head.size :]
            if b'"request_uuid"' in beside:
                state = messages.decode("state", body)
                assert isinstance(state, messages.StateParams)
                self._requested(serial, state.request_uuid, document, now)
            return
        params = messages.decode(head.method, body)
        row = _log_row(shadow, params, now)
        if row is not None:
            self._work.write(row, len(row.log) + len(row.data) + 64)
            self._announcer.logged(record, row)
        match params:
            case messages.HealthCheckParams() as health:
                op_health = InsertHealthCheck(serial, head.uuid, health.sanity, now, document)
                self._work.write(op_health, len(document) + 64)
                self._requested(serial, health.request_uuid, document, now)
                if session is not None:
                    session.last_sanity = health.sanity
            case messages.RecoveryParams() as recovery:
                self._recovery(recovery, record, shadow, now)
            case messages.EventParams(data=messages.EventData(event=(_, event))):
                self._work.write(InsertEvent(serial, now, event.type, bytes(event.payload)))
                if event.type == _UPGRADE:
                    self._upgrade(serial, bytes(event.payload))
            case messages.TelemetryParams() as telemetry:
                self._telemetry.packet(record, serial, telemetry, now)
            case messages.VenueBroadcastParams() as broadcast:
                if self._venues is not None:
                    self._venues.broadcast(serial, broadcast)
            case messages.DeviceUpdateParams(currentPassword=str(password)):
                shadow.set(self._work, device_password=password)
            case _:
                pass  # passed on, or logged only

    def _requested(self, serial: str, command: str | None, document: bytes, now: int) -> None:
        """The message that a `request` asked for: the command's result (2.2, 3.12)."""
        if not command:
            return
        text = document.decode()
        if not self._executor.requested(serial, command, text):
            self._work.write(PutRequestResult(command, serial, text, now), len(text) + 256)

    def _upgrade(self, serial: str, status: bytes) -> None:
        """Keep how an upgrade goes on with its command. Quirk: upgrade-events."""
        if status.startswith(b"{") and len(status) <= _UPGRADE_BYTES:
            self._work.write(PutUpgradeStatus(serial, status.decode()), len(status) + 256)

    def _recovery(
        self, params: messages.RecoveryParams, record: Record, shadow: Shadow, now: int
    ) -> None:
        if not params.reboot:
            return
        details = b'{"serial":"%s","when":0}' % shadow.serial.encode()
        self._executor.system(shadow, record.session, "reboot", details)


def _log_row(shadow: Shadow, params: messages.Params, now: int) -> InsertLog | None:
    """Return what is to be stored of a message that is a log of some kind."""
    serial = shadow.serial
    match params:
        case messages.LogParams():
            data = b"{}"
            if params.data is not msgspec.UNSET and bytes(params.data)[:1] in (b"{", b"["):
                data = bytes(params.data)
            # Quirk: log-newline. Quirk: log-before-result.
            text = params.log.rstrip("\r\n")
            uuid = shadow.row.applied_uuid
            return InsertLog(serial, uuid, params.severity, LOG, now, text, data)
        case messages.CrashLogParams():
            return InsertLog(serial, params.uuid, 0, CRASH, now, _lines(params.loglines), b"{}")
        case messages.RebootLogParams():
            data = msgspec.json.encode({"info": params.info})
            return InsertLog(serial, params.uuid, 6, REBOOT, params.date, params.type, data)
        case messages.RecoveryParams():
            text = f"Firmware: {params.firmware}\r\n{_lines(params.loglines)}"
            return InsertLog(serial, 0, 0, CRASH, now, text, b"{}")
    return None


def _lines(lines: list[str]) -> str:
    return "".join(f"{one}\r\n" for one in lines)

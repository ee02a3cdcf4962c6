"""Messages of devices, as the coordinator treats them: to the store, and to the keeper."""

from __future__ import annotations

import time
from typing import Any, Final, TypeVar

import msgspec

from gw._native.ring import Record
from gw.coordinator import commands as states
from gw.coordinator.commands import Commands
from gw.coordinator.keeper import Keeper
from gw.coordinator.links import Links
from gw.coordinator.presence import DeviceSession
from gw.coordinator.shadow import Shadow
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.records import RECORD_VERSION, DeviceMessage
from gw.ops import logs
from gw.protocol import messages
from gw.protocol.configuration import Report, Source
from gw.store.interface import InsertEvent, InsertHealthCheck, InsertLog, InsertStatistics
from gw.store.rows import CommandRow

log = logs.get("messages")

LOG, CRASH, REBOOT = 0, 1, 2
"""Kinds of device logs (southbound.md 6.10)."""

_REBOOT_SECONDS: Final = 30
_SOURCES: Final = {"state": Source.STATE, "healthcheck": Source.HEALTHCHECK}


def received_at(record: Record) -> int:
    """Return when a worker received a record, Unix seconds, however long it waited in a queue."""
    return int(time.time() - (time.monotonic_ns() - record.received_ns) / 1e9)


class Messages:
    """Stores what devices tell."""

    def __init__(self, work: Committer, keeper: Keeper, commands: Commands, links: Links) -> None:
        self._work = work
        self._keeper = keeper
        self._commands = commands
        self._links = links

    def handle(self, record: Record, shadow: Shadow, session: DeviceSession | None) -> None:
        """Store one message of a known device.

        `session` is None if the message comes from a session that is no longer, or not yet again,
        the one that acts: what it tells is kept, but is no news of the configuration.
        """
        head = records.decode(DeviceMessage, record.head)
        now = received_at(record)
        self._store(head, record, shadow, now)
        if session is None:
            return
        session.traffic(head.rx_bytes, head.tx_bytes, head.messages)
        if head.method == "state":
            session.last_state = now
        if head.uuid >= 0:
            source = _SOURCES.get(head.method, Source.OTHER)
            self._keeper.report(shadow, session, Report(head.uuid, head.config_hash, source))

    def _store(self, head: DeviceMessage, record: Record, shadow: Shadow, now: int) -> None:
        serial, body = shadow.serial, record.body
        document = body[head.start : head.start + head.size]
        match head.method:
            case "state":
                op = InsertStatistics(serial, head.uuid, now, document)
                self._work.write(op, len(document) + 64)
            case "healthcheck":
                health = _decode(messages.HealthCheckParams, body)
                op_health = InsertHealthCheck(serial, head.uuid, health.sanity, now, document)
                self._work.write(op_health, len(document) + 64)
            case "log":
                line = _decode(messages.LogParams, body)
                data = b"{}"
                if line.data is not msgspec.UNSET and bytes(line.data)[:1] in (b"{", b"["):
                    data = bytes(line.data)
                self._log(shadow, shadow.row.applied_uuid, line.severity, LOG, now, line.log, data)
            case "crashlog":
                crash = _decode(messages.CrashLogParams, body)
                text = "".join(f"{one}\r\n" for one in crash.loglines)
                self._log(shadow, crash.uuid, 0, CRASH, now, text, b"{}")
            case "rebootLog":
                reboot = _decode(messages.RebootLogParams, body)
                data = msgspec.json.encode({"info": reboot.info})
                self._log(shadow, reboot.uuid, 6, REBOOT, reboot.date, reboot.type, data)
            case "recovery":
                self._recovery(_decode(messages.RecoveryParams, body), record, shadow, now)
            case "event":
                event = _decode(messages.EventParams, body).data.event[1]
                self._work.write(InsertEvent(serial, now, event.type, bytes(event.payload)))
            case "deviceupdate":
                update = _decode(messages.DeviceUpdateParams, body)
                if update.currentPassword is not None:
                    shadow.set(self._work, device_password=update.currentPassword)

    def _log(
        self,
        shadow: Shadow,
        uuid: int,
        severity: int,
        kind: int,
        recorded: int,
        text: str,
        data: bytes,
    ) -> None:
        op = InsertLog(shadow.serial, uuid, severity, kind, recorded, text, data)
        self._work.write(op, len(text) + len(data) + 64)

    def _recovery(
        self, params: messages.RecoveryParams, record: Record, shadow: Shadow, now: int
    ) -> None:
        text = f"Firmware: {params.firmware}\r\n" + "".join(f"{one}\r\n" for one in params.loglines)
        self._log(shadow, 0, 0, CRASH, now, text, b"{}")
        if not params.reboot:
            return
        command = states.new_uuid()
        details = f'{{"serial":"{shadow.serial}","when":0}}'
        self._commands.create(
            CommandRow(
                uuid=command,
                serial_number=shadow.serial,
                command="reboot",
                status=states.EXECUTING,
                submitted_by=states.SYSTEM,
                submitted=now,
                executed=now,
                last_try=now,
                details=details,
            )
        )
        order = records.SendRpc(RECORD_VERSION, command, "reboot", _REBOOT_SECONDS * 1000, False)
        self._commands.await_answer(command, _REBOOT_SECONDS)

        def send() -> None:
            if not self._links.send_rpc(record.session, shadow.serial, order, details.encode()):
                self._commands.unsent(command, "the queue to the worker is full")

        self._work.then(send)


_P = TypeVar("_P", bound=messages.Params)
_decoders: dict[type[messages.Params], Any] = {}


def _decode(kind: type[_P], body: bytes) -> _P:
    """Decode params that the worker has validated."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    result: _P = decoder.decode(body)
    return result

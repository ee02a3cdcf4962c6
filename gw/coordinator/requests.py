"""Requests of the API: each operation by name. Every write of the node goes through here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from gw._native import ConfigError, config_hash
from gw._native.ring import Consumer, Record, RingCorrupted
from gw.coordinator import status
from gw.coordinator.audit import Audit
from gw.coordinator.commands import SYSTEM, Commands
from gw.coordinator.configure import Configure
from gw.coordinator.executor import Executor
from gw.coordinator.handlers import Handlers
from gw.coordinator.keeper import Keeper
from gw.coordinator.links import Links
from gw.coordinator.operations import Area, Arguments, Operation
from gw.coordinator.presence import Presence
from gw.coordinator.shadow import Shadow, from_device
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.bootstrap import RingEnds
from gw.core.errors import ApiError
from gw.core.ids import mac_address
from gw.core.records import RECORD_VERSION, Kind
from gw.ops import logs
from gw.protocol import configuration as rules
from gw.store import interface, rows
from gw.store.errors import StoreError, unreadable
from gw.store.interface import Op, Store

log = logs.get("requests")

_LOOK_SECONDS: Final = 0.1
_POLICY_VIOLATION: Final = 1008


class Requests:
    """Reads the API's queue; each request runs as a task of its own.

    Requests need no committed position: the API repeats those without an answer to a new
    coordinator, and operations are idempotent.
    """

    def __init__(
        self,
        ends: RingEnds,
        store: Store,
        work: Committer,
        links: Links,
        presence: Presence,
        commands: Commands,
        keeper: Keeper,
        executor: Executor,
        handlers: Handlers,
        answer_seconds: float,
        areas: Iterable[Area] = (),
    ) -> None:
        """`areas` bring operations of their own: see gw.coordinator.operations."""
        self._ring = Consumer(ends.up_memfd, ends.up_wake)
        self._wake_fd = ends.up_wake
        self._store = store
        self._work = work
        self._audit = Audit(work)
        self._links = links
        self._presence = presence
        self._commands = commands
        self._keeper = keeper
        self._executor = executor
        self._handlers = handlers
        self._shadows = handlers.shadows
        self._configure = Configure(
            store, work, keeper, commands, executor, presence, answer_seconds
        )
        executor.waiting.configure_later = self._configure.due
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        """Held by operations that read, change and write a row: one at a time."""
        self._operations: dict[str, Operation] = {
            "device.status": self._device_status,
            "fleet.statistics": self._fleet_statistics,
            "fleet.sessions": self._fleet_sessions,
            "device.create": self._device_create,
            "device.update": self._device_update,
            "device.delete": self._device_delete,
            "command.configure": self._command_configure,
            "command.run": self._command_run,
            "command.cancel": self._command_cancel,
            "command.delete": self._command_delete,
            "file.part": self._file_part,
            "file.delete": self._file_delete,
            "file.received": self._file_received,
            "file.rejected": self._file_rejected,
            "records.delete": self._records_delete,
            "capabilities.delete": self._capabilities_delete,
        }
        self._operations.update(self._audit.operations())
        for area in areas:
            self._operations.update(area.operations())

    async def run(self) -> None:
        """Take requests until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._wake_fd, self._wake.set)
        try:
            while True:
                taken = self._read()
                for record in taken:
                    if record.kind == Kind.REQUEST:
                        task = loop.create_task(self._serve(record))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
                self._ring.commit(self._ring.position)
                if taken:
                    await asyncio.sleep(0)
                    continue
                self._wake.clear()
                if self._ring.arm():
                    try:
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
        finally:
            loop.remove_reader(self._wake_fd)

    def _read(self) -> list[Record]:
        try:
            return self._ring.read(64)
        except RingCorrupted as error:
            # The API repeats what it has no answer to.
            self._ring.skip_all()
            log.error("the API's queue was damaged", detail=str(error))
            return []

    async def _serve(self, record: Record) -> None:
        request = records.decode(records.Request, record.head)
        error, detail, result, http = 0, "", {}, 0
        begun = False
        try:
            operation = self._operations.get(request.operation)
            if operation is None:
                raise ApiError(1050, f"unknown operation {request.operation}")
            if self._work.away and self._audit.concerns(request):
                # It would wait, and so would all that others ask meanwhile.
                raise StoreError("the store takes nothing just now", retriable=True)
            begun = True
            self._audit.begin(request)
            result = await operation(request.arguments, record.body)
        except ApiError as failed:
            error, detail = failed.number, failed.extra
        except ConfigError as failed:
            error, detail = 1008, str(failed)
        except OverflowError as failed:
            error, detail = 1012, str(failed)
        except StoreError as failed:
            log.error("the store failed", operation=request.operation, detail=str(failed))
            error, detail, http = 1002, unreadable(retriable=failed.retriable), 503
        except Exception as failed:
            log.exception("a request failed", operation=request.operation, detail=repr(failed))
            error, detail = 1002, "the coordinator could not carry it out; its log says why"
        if begun:
            self._audit.end(request, error, detail)
        response = records.Response(RECORD_VERSION, request.id, error, detail, result, http)
        try:
            records.encode(response)
        except (OverflowError, TypeError, ValueError) as failed:
            log.error("an answer cannot be sent", operation=request.operation, detail=str(failed))
            text = "the answer has a value that cannot be sent"
            response = records.Response(RECORD_VERSION, request.id, 1002, text, {})
        pause = 0.005
        for _ in range(12):  # the API's queue is full: some 10 s in all, then the API asks no more
            if self._links.respond(response, b""):
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _known(self, serial: str) -> Shadow:
        shadow = await self._shadows.get(serial)
        if shadow is None:
            raise ApiError(1019, serial, http=404)
        return shadow

    async def _put(self, *ops: Op) -> dict[str, Any]:
        for op in ops:
            self._work.write(op, 1024)
        await self._work.durable()
        return {}

    # -- live facts

    async def _device_status(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        statuses = {}
        for serial in arguments["serials"]:
            session = self._presence.of(serial)
            if session is not None:
                statuses[serial] = await status.connection_state(
                    session,
                    self._shadows.cached(serial),
                    self._store,
                    self._handlers.radius.sessions(serial),
                )
                statuses[serial] |= self._handlers.telemetry.counts(serial)
        return {"statuses": statuses}

    async def _fleet_statistics(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return self._presence.statistics()

    async def _fleet_sessions(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        """Return the sessions of some devices, each as (contact, sanity, verdict, last state)."""
        found = ((serial, self._presence.of(serial)) for serial in arguments["serials"])
        return {
            "sessions": {
                serial: (
                    session.last_contact,
                    session.last_sanity,
                    session.certificate.verdict,
                    session.last_state,
                )
                for serial, session in found
                if session is not None
            }
        }

    # -- devices

    async def _device_create(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        serial = arguments["serial"]
        async with self._writing:
            known = await self._shadows.get(serial)
            document = rules.without_uuid(body) if body else b""
            if known is not None:
                # The API repeats a request whose answer was lost with a predecessor of ours.
                again = document and config_hash(document) == known.row.config_hash
                if arguments.get("again") and again:
                    return {}
                raise ApiError(1021, serial)
            now = int(time.time())
            fields = {
                name: value
                for name, value in arguments.get("fields", {}).items()
                if name in rows.DeviceRow.__struct_fields__
            }
            row = rows.DeviceRow(
                **{"mac_address": mac_address(serial), **fields},
                serial_number=serial,
                notes=_notes("[]", arguments, now),
                created=now,
                modified=now,
                configuration=document.decode(),
                config_uuid=rules.next_uuid(now) if document else 0,
                config_hash=config_hash(document) if document else "",
                last_configuration_change=now if document else 0,
            )
            shadow = from_device(row)
            self._shadows.add(shadow)
            self._work.write(interface.PutDevice(row), 1024)
            self._keeper.record(shadow, arguments.get("by", SYSTEM), "device")
            await self._work.durable()
        return {}

    async def _device_update(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        shadow = await self._known(arguments["serial"])
        document = rules.without_uuid(body) if body else b""
        content = config_hash(document) if document else ""
        async with self._writing:
            await self._configure.check_size(shadow, document)
            values: dict[str, Any] = dict(arguments.get("fields", {}))
            now = int(time.time())
            if arguments.get("notes"):
                row = await self._store.device(shadow.serial)
                values["notes"] = _notes(row.notes if row else "[]", arguments, now)
            if document and shadow.row.quarantined:
                values["quarantined"] = False  # a configuration by an operator is the approval
            shadow.set(self._work, **values, modified=now)
            if document:
                self._keeper.replace(shadow, document, content, arguments.get("by", SYSTEM))
            await self._work.durable()
        return {}

    async def _device_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        serial = arguments["serial"]
        await self._known(serial)
        session = self._presence.of(serial)
        for one in self._commands.of_device(serial):
            self._executor.cancel(one.uuid, "the device was deleted")
        shadow = self._shadows.drop(serial)
        if shadow is not None:
            self._keeper.forget(shadow)
        if session is not None:
            self._presence.remove(serial, session.id)
            self._work.then(
                lambda: self._links.close(session.id, serial, _POLICY_VIOLATION, "deleted")
            )
        self._handlers.announcer.device_deleted(serial)
        self._handlers.telemetry.forget(serial)
        await self._put(interface.DeleteDevice(serial))
        self._shadows.dropped(serial)
        return {}

    async def _records_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._put(
            interface.DeleteRecords(
                arguments["kind"],
                arguments["serial"],
                arguments.get("start", 0),
                arguments.get("end", 0),
                arguments.get("log_type"),
            )
        )

    async def _capabilities_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._put(interface.DeleteCapabilities(arguments["serial"]))

    # -- commands

    async def _command_configure(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        shadow = await self._known(arguments["serial"])
        return {"status": await self._configure.run(shadow, arguments, body)}

    async def _command_run(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        shadow = await self._known(arguments["serial"])
        return {"status": await self._executor.run(shadow, arguments, body)}

    async def _command_cancel(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        """End a command that has no final state; what the device does is its own affair."""
        uuid, text = arguments["uuid"], f"cancelled by {arguments.get('by', SYSTEM)}"
        one = self._commands.get(uuid)
        if one is None:
            return {"cancelled": False}
        shadow = await self._shadows.get(one.serial)
        if shadow is not None and shadow.row.pending_command == uuid:
            self._keeper.cancel(shadow)
        cancelled = self._executor.cancel(uuid, text)  # it may have ended meanwhile
        await self._work.durable()
        return {"cancelled": cancelled}

    async def _command_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        """Delete commands; those that have no final state are cancelled first."""
        uuid, serial = arguments.get("uuid", ""), arguments.get("serial", "")
        start, end = arguments.get("start", 0), arguments.get("end", 0)
        found = self._commands.get(uuid)
        chosen = [found] if found is not None else []
        if not uuid:
            chosen = [
                one
                for one in self._commands.of_device(serial)
                if start <= one.submitted and (not end or one.submitted <= end)
            ]
        for one in chosen:
            shadow = await self._shadows.get(one.serial)
            if shadow is not None and shadow.row.pending_command == one.uuid:
                self._keeper.cancel(shadow)
            self._executor.cancel(one.uuid, "deleted")
        return await self._put(interface.DeleteCommands(uuid, serial, start, end))

    async def _file_part(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        now = int(time.time())
        return await self._put(
            interface.PutFilePart(arguments["uuid"], arguments["part"], now, body)
        )

    async def _file_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._put(interface.DeleteFile(arguments["uuid"]))

    async def _file_received(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        self._executor.answers.file_received(arguments["uuid"], arguments["size"])
        return await self._put()

    async def _file_rejected(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        self._executor.answers.file_rejected(arguments["uuid"], arguments["text"])
        return await self._put()


def _notes(stored: str, arguments: Arguments, now: int) -> str:
    """Append the notes of a request; author and date are ours (northbound.md 4.2)."""
    notes = msgspec.json.decode(stored, type=list[Any])
    by = arguments.get("by", SYSTEM)
    for one in arguments.get("notes", []):
        notes.append({"created": now, "createdBy": by, "note": one.get("note", "")})
    return msgspec.json.encode(notes).decode()

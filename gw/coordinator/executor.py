"""Commands of operators other than `configure`: a durable row, one request, one final result.

What may wait for its time, or for a device that is away, does; what changes or restarts a device
is sent at most once: the row says `executing` before anything leaves.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import msgspec

from gw.coordinator import commands as states
from gw.coordinator.commands import Commands
from gw.coordinator.links import Links
from gw.coordinator.presence import DeviceSession, Presence
from gw.coordinator.shadow import Shadow, Shadows
from gw.coordinator.work import Committer
from gw.core import records
from gw.core.errors import ApiError
from gw.core.records import RECORD_VERSION
from gw.ops import logs
from gw.protocol.commands import COMMANDS, LATE_SECONDS, Command, read_answer
from gw.store.interface import Store
from gw.store.rows import CommandRow

log = logs.get("commands")

_BY_METHOD: Final = {command.method: name for name, command in COMMANDS.items()}


_GRACE_SECONDS: Final = 5.0
"""A REST call that waits decides first."""


_LONGEST_SECONDS: Final = 660.0


class Running(msgspec.Struct):
    """The command that a device is to answer."""

    uuid: str
    name: str
    session: int
    until: float
    """Monotonic; the device is free for others from then on, answered or not."""


class Waiting(msgspec.Struct):
    """A command that waits for its time, or for its device."""

    uuid: str
    run_at: int


class Executor:
    """Runs commands, one at a time per device."""

    def __init__(
        self,
        work: Committer,
        store: Store,
        links: Links,
        presence: Presence,
        shadows: Shadows,
        commands: Commands,
    ) -> None:
        self._work = work
        self._store = store
        self._links = links
        self._presence = presence
        self._shadows = shadows
        self._commands = commands
        self._running: dict[str, Running] = {}
        self._waiting: dict[str, list[Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Find what waits, and what a predecessor had sent."""
        for name, command in COMMANDS.items():
            for row in await self._store.unfinished_commands(name):
                if row.submitted_by == states.SYSTEM:
                    continue
                if row.status == states.PENDING and not row.executed:
                    self._wait_for(row.serial_number, row.uuid, row.run_at)
                else:
                    left = row.executed + self._patience(command, command.seconds) - time.time()
                    self._commands.await_answer(row.uuid, max(1.0, left))

    def running(self, serial: str) -> Running | None:
        """Return the command that a device is to answer."""
        return self._running.get(serial)

    async def run(self, shadow: Shadow, arguments: dict[str, Any], params: bytes) -> str:
        """Carry out one command; returns its status once it is settled, or left to wait.

        Repeating it with the same command UUID joins the first. Raises ApiError if the device is
        away (1033) or busy (1145).
        """
        uuid, name, serial = arguments["command"], arguments["name"], shadow.serial
        command = COMMANDS[name]
        known = await self._store.command(uuid)
        if known is not None:
            return known.status if known.status in states.FINAL else await self._settled(
                uuid, command.seconds
            )  # fmt: skip
        now = int(time.time())
        session = self._presence.of(serial)
        when = max(0, arguments.get("when", 0))
        if session is None and not command.later:
            raise ApiError(1033, serial)
        self._free(shadow)
        row = CommandRow(
            uuid=uuid,
            serial_number=serial,
            command=name,
            status=states.PENDING,
            submitted_by=arguments.get("by", ""),
            submitted=now,
            run_at=when,
            details=params.decode(),
            waiting_for_file=int(bool(arguments.get("file"))),
            attach_type=arguments.get("file", ""),
            deferred=bool(arguments.get("deferred")),
        )
        seconds = max(command.seconds, min(arguments.get("seconds", 0.0), _LONGEST_SECONDS))
        await self._supersede(serial, name)
        if session is None or when > now:
            self._commands.create(row)
            self._wait_for(serial, uuid, when)
            await self._work.durable()
            return states.PENDING
        self._start(row, session, command, params, seconds)
        return await self._settled(uuid, seconds)

    def _free(self, shadow: Shadow) -> None:
        """One command of an operator at a time (northbound.md 3)."""
        running, flight = self._running.get(shadow.serial), shadow.in_flight
        if running is not None:
            raise ApiError(1145, f"UUID={running.uuid} Command={running.name}")
        if flight is not None and not flight.system:
            raise ApiError(1145, f"UUID={flight.command} Command=configure")

    async def _supersede(self, serial: str, name: str) -> None:
        """End a waiting command of the same kind: it ends as such instead of vanishing."""
        for waiting in list(self._waiting.get(serial, [])):
            row = await self._store.command(waiting.uuid)
            if row is not None and row.command == name:
                self._forget(serial, waiting.uuid)
                self._commands.finish(
                    waiting.uuid, states.EXPIRED, error_text="superseded by a newer command"
                )

    def _start(
        self,
        row: CommandRow,
        session: DeviceSession,
        command: Command,
        params: bytes,
        seconds: float,
    ) -> None:
        now = int(time.time())
        row.status, row.executed, row.last_try = states.EXECUTING, now, now
        self._commands.create(row)
        serial, uuid = row.serial_number, row.uuid
        until = time.monotonic() + seconds
        patience = self._patience(command, seconds)
        self._running[serial] = Running(uuid, row.command, session.id, until)
        self._commands.await_answer(uuid, patience)
        order = records.SendRpc(RECORD_VERSION, uuid, command.method, int(patience * 1000), False)
        log.info("command sent", serial=serial, command=row.command, by=row.submitted_by)

        def send() -> None:
            if not self._links.send_rpc(session.id, serial, order, params):
                self.unsent(serial, uuid, "the queue to the worker is full")

        self._work.then(send)

    @staticmethod
    def _patience(command: Command, seconds: float) -> float:
        """Firmware is answered after its download: what waits long is settled late."""
        return LATE_SECONDS if command.later else seconds + _GRACE_SECONDS

    async def _settled(self, uuid: str, seconds: float) -> str:
        """Wait for the final status, for as long as a REST call does."""
        status = await self._commands.settled(uuid, seconds)
        if status is not None:
            return status
        row = await self._store.command(uuid)
        if row is None:
            return states.EXPIRED
        self._end(row.serial_number, uuid)  # others may follow
        if COMMANDS[row.command].later:
            return states.PENDING  # the answer may still come
        self._commands.unsent(uuid, "no answer came in time")
        await self._work.durable()
        return states.FAILED

    # -- what devices and workers say

    def answered(self, serial: str, answer: records.Answer, message: bytes) -> None:
        """A device answered; an answer to a command that is settled already changes nothing."""
        self._end(serial, answer.command)
        if not self._commands.answered(answer.command):
            log.info("late answer, not applied", serial=serial, command=answer.command)
            return
        outcome = read_answer(_BY_METHOD.get(answer.method, answer.method), message)
        self._commands.finish(
            answer.command,
            states.COMPLETED if outcome.error == 0 else states.FAILED,
            error_code=outcome.error,
            error_text=outcome.text,
            results=outcome.results,
            execution_ms=answer.elapsed_ms,
        )

    def unsent(self, serial: str, uuid: str, reason: str) -> None:
        """A command did not reach its device."""
        self._end(serial, uuid)
        self._commands.unsent(uuid, reason)

    def session_ended(self, serial: str, session: int) -> None:
        """Nothing on this session will be answered.

        What restarts the device may have been done; it is not sent again, and ends unanswered.
        """
        running = self._running.get(serial)
        if running is not None and running.session == session:
            self.unsent(serial, running.uuid, "the connection was lost before an answer came")

    def connected(self, serial: str) -> None:
        """The device is here: what waits for it may go."""
        if serial in self._waiting:
            self._spawn(serial)

    def due(self) -> None:
        """Look for commands whose time has come, or is up; called once a second."""
        for serial, running in list(self._running.items()):
            if time.monotonic() >= running.until + _GRACE_SECONDS:
                del self._running[serial]
        now = time.time()
        for serial, waiting in list(self._waiting.items()):
            if self._presence.of(serial) and any(one.run_at <= now for one in waiting):
                self._spawn(serial)

    def _spawn(self, serial: str) -> None:
        task = asyncio.get_running_loop().create_task(self._next(serial))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _next(self, serial: str) -> None:
        """Send the first waiting command whose time has come, if the device is free."""
        now = time.time()
        for waiting in list(self._waiting.get(serial, [])):
            if waiting.run_at > now:
                continue
            row = await self._store.command(waiting.uuid)
            if row is None or row.status in states.FINAL:
                self._forget(serial, waiting.uuid)
                continue
            if now - max(row.submitted, row.run_at) > LATE_SECONDS:
                self._forget(serial, waiting.uuid)
                self._commands.finish(row.uuid, states.EXPIRED, error_text="the device stayed away")
                continue
            session, shadow = self._presence.of(serial), self._shadows.cached(serial)
            busy = serial in self._running or (shadow is not None and shadow.in_flight is not None)
            if session is None or shadow is None or busy:
                return  # looked at again in a second
            self._forget(serial, waiting.uuid)
            command = COMMANDS[row.command]
            self._start(row, session, command, row.details.encode(), command.seconds)
            return

    def cancel(self, serial: str, uuid: str) -> None:
        """An operator deletes a command: what waits is not sent, what runs is let go."""
        self._forget(serial, uuid)
        self._end(serial, uuid)
        self._commands.answered(uuid)
        self._commands.tell(uuid, states.EXPIRED)

    def _wait_for(self, serial: str, uuid: str, run_at: int) -> None:
        self._waiting.setdefault(serial, []).append(Waiting(uuid, run_at))

    def _forget(self, serial: str, uuid: str) -> None:
        left = [one for one in self._waiting.get(serial, []) if one.uuid != uuid]
        if left:
            self._waiting[serial] = left
        else:
            self._waiting.pop(serial, None)

    def _end(self, serial: str, uuid: str) -> None:
        running = self._running.get(serial)
        if running is not None and running.uuid == uuid:
            del self._running[serial]

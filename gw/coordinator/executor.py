"""Commands of operators other than `configure`: a durable row, one request, one final result.

What may wait for its time, or for a device that is away, does; what changes or restarts a device
is sent at most once: the row says `executing` before anything leaves, and after a restart of the
gateway the workers tell what had reached them.
"""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

import msgspec

from gw.coordinator import commands as states
from gw.coordinator.answers import Answers
from gw.coordinator.command_checks import CommandChecks
from gw.coordinator.commands import Commands, Open
from gw.coordinator.links import Links
from gw.coordinator.presence import Presence
from gw.coordinator.shadow import Shadow, Shadows
from gw.coordinator.waiting import CONFIGURE, Waiting
from gw.coordinator.work import Committer
from gw.core import faultpoints, records
from gw.core.errors import ApiError
from gw.core.records import RECORD_VERSION
from gw.core.settings import Settings
from gw.ops import logs
from gw.protocol.commands import COMMANDS, Command
from gw.protocol.lifecycle import Kind, State, after_loss
from gw.store.interface import Store
from gw.store.rows import CommandRow

log = logs.get("commands")

_GRACE_SECONDS: Final = 5.0
"""A REST call that waits decides first."""
_LONGEST_SECONDS: Final = 3660.0


class Running(msgspec.Struct):
    """The command that a device is to answer."""

    uuid: str
    name: str
    session: int
    until: float
    """Monotonic; the device is free for others from then on, answered or not."""


class Prepared(NamedTuple):
    """A request that is ready to leave."""

    command: Command
    params: bytes
    seconds: float
    """How long a REST call waits for the answer."""
    parallel: bool
    """Others may run beside it."""


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
        checks: CommandChecks,
        settings: Settings,
    ) -> None:
        self._work = work
        self._store = store
        self._links = links
        self._presence = presence
        self._commands = commands
        self._checks = checks
        self._settings = settings.commands
        self.answers = Answers(commands, settings.files)
        self._deadlines = {one.command: one.seconds for one in self._settings.deadlines}
        self._running: dict[str, Running] = {}
        self.waiting = Waiting(
            store,
            presence,
            shadows,
            commands,
            self._settings.late_seconds,
            self._may_go,
            self._send_waiting,
        )

    def load(self) -> None:
        """Take up what a predecessor left: what waits, and what it had sent."""
        now = time.time()
        for one in self._commands.all():
            if one.state is State.PENDING and one.run_at > 0 and one.name == CONFIGURE:
                self.waiting.put(one, one.run_at)
            command = COMMANDS.get(one.name)
            if command is None:
                continue
            if one.state is State.PENDING and command.secret:
                text = "the gateway restarted before it was sent"
                self._commands.finish(one.uuid, State.FAILED, error_text=text)
            elif one.state is State.PENDING:
                self.waiting.put(one, one.run_at)
            elif one.state is State.WAITING:
                self.answers.await_file(one, now)
            elif one.state is State.EXECUTED:
                self.answers.await_second(one, now)
            elif one.verdict is not None:
                self.answers.await_more(one, one.verdict)
            else:
                patience = self._patience(command, self._seconds(one.name, 0.0))
                self._commands.until(one.uuid, max(1.0, one.executed + patience - now))

    # -- what operators ask

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
        seconds = self._seconds(name, arguments.get("seconds", 0.0))
        known = await self._store.command(uuid)
        if known is not None:
            one = self._commands.get(uuid)
            if one is None or one.state in (State.EXECUTED, State.WAITING) or one.unsent:
                return await self.ended(uuid)
            return await self._settled(uuid, seconds)
        now = int(time.time())
        when = max(0, arguments.get("when", 0))
        parallel = bool(arguments.get("parallel", command.parallel))
        if not parallel:
            self._free(shadow)
        params = await self._checks.permitted(shadow, name, params)
        self._checks.fits(shadow, params)
        if not parallel:
            self._free(shadow)  # another may have come while these were looked at
        row = CommandRow(
            uuid=uuid,
            serial_number=serial,
            command=name,
            status=State.PENDING,
            submitted_by=arguments.get("by", ""),
            submitted=now,
            run_at=when,
            details=arguments.get("details") or params.decode(),
            waiting_for_file=int(bool(arguments.get("file"))),
            attach_type=arguments.get("file", ""),
            deferred=bool(arguments.get("deferred")),
        )
        session = self._presence.of(serial)
        if session is None and not command.later and when <= now:
            raise ApiError(1033, serial)
        self._supersede(serial, name, parallel=parallel)
        if session is None or when > now:
            if self.waiting.count(serial) >= self._settings.max_waiting:
                limit = self._settings.max_waiting
                raise ApiError(
                    1145, f"{limit} commands wait for this device (commands.max_waiting)"
                )
            self._commands.create(row)
            self.waiting.put(self._open(uuid), when)
            await self._work.durable()
            return State.PENDING
        self._commands.create(row)
        request = Prepared(command, params, seconds, parallel)
        self._send(self._open(uuid), session.id, request)
        return await self._settled(uuid, seconds)

    def system(self, shadow: Shadow, session: int, name: str, params: bytes) -> str:
        """Send a command of the gateway's own, which nobody waits for; returns its UUID."""
        now = int(time.time())
        row = CommandRow(
            uuid=states.new_uuid(),
            serial_number=shadow.serial,
            command=name,
            status=State.PENDING,
            submitted_by=states.SYSTEM,
            submitted=now,
            details=params.decode(),
        )
        self._commands.create(row)
        command = COMMANDS[name]
        request = Prepared(command, params, command.seconds, True)
        self._send(self._open(row.uuid), session, request)
        return row.uuid

    def _open(self, uuid: str) -> Open:
        found = self._commands.get(uuid)
        assert found is not None
        return found

    def _free(self, shadow: Shadow) -> None:
        """One command of an operator at a time (northbound.md 3)."""
        running, flight = self._running.get(shadow.serial), shadow.in_flight
        if running is not None:
            raise ApiError(1145, f"UUID={running.uuid} Command={running.name}")
        if flight is not None and not flight.system:
            raise ApiError(1145, f"UUID={flight.command} Command=configure")

    def _supersede(self, serial: str, name: str, *, parallel: bool) -> None:
        """End an unfinished command of the same kind: it ends as such instead of vanishing.

        Not one that runs beside others, and not one whose file is still to come.
        """
        for one in self._commands.of_device(serial):
            # Of what cannot wait, only what runs beside others is unanswered on a free device.
            runs_beside = one.state is not State.PENDING and (
                parallel or (one.state is State.EXECUTING and not COMMANDS[name].later)
            )
            if one.name != name or one.system or one.state is State.WAITING or runs_beside:
                continue
            self._let_go(one)
            text = "superseded by a newer command"
            self._commands.finish(one.uuid, State.EXPIRED, error_text=text)

    # -- sending

    def _send(self, one: Open, session: int, request: Prepared) -> None:
        """Write that it is being sent; it leaves once that is durable."""
        command, serial, uuid = request.command, one.serial, one.uuid
        if not request.parallel:
            until = time.monotonic() + request.seconds
            self._running[serial] = Running(uuid, one.name, session, until)
        patience = self._patience(command, request.seconds)
        one.session = session
        self._commands.sent(uuid)
        self._commands.until(uuid, patience)
        order = records.SendRpc(
            RECORD_VERSION,
            uuid,
            command.method,
            int(patience * 1000),
            False,
            again=command.again,
            oneway=command.kind is Kind.FIRE_AND_FORGET,
        )
        log.info("command sent", serial=serial, command=one.name, uuid=uuid)

        def send() -> None:
            if not self._links.send_rpc(session, serial, order, request.params):
                self.unsent(serial, uuid, "the queue to the worker is full")
            if faultpoints.ARMED:
                faultpoints.reached(f"{command.method}.sent")

        self._work.then(send)

    def _seconds(self, name: str, wanted: float) -> float:
        """Return how long a REST call waits for the answer."""
        return min(wanted, _LONGEST_SECONDS) or self._deadlines.get(name, COMMANDS[name].seconds)

    def _patience(self, command: Command, seconds: float) -> float:
        """Firmware is answered after its download: what waits long is settled late."""
        return self._settings.late_seconds if command.later else seconds + _GRACE_SECONDS

    async def ended(self, uuid: str) -> str:
        """Return the status of a command that nothing more is waited for."""
        await self._work.durable()
        row = await self._store.command(uuid)
        return row.status if row is not None else State.EXPIRED

    async def _settled(self, uuid: str, seconds: float) -> str:
        """Wait for the final status, for as long as a REST call does."""
        status = await self._commands.settled(uuid, seconds)
        if status is not None:
            return status
        one = self._commands.get(uuid)
        if one is None:
            return await self.ended(uuid)
        self._end(one.serial, uuid)  # others may follow
        if COMMANDS[one.name].later or one.state is not State.EXECUTING:
            return State.PENDING  # the answer may still come
        self._commands.finish(uuid, State.FAILED, error_text="no answer came in time")
        await self._work.durable()
        return State.FAILED

    # -- what devices and workers say

    def answered(self, serial: str, answer: records.Answer, message: bytes) -> None:
        """A device answered; it is free for others now."""
        self._end(serial, answer.command)
        self.answers.take(serial, answer, message)

    def requested(self, serial: str, uuid: str, document: str) -> bool:
        """The message that a `request` asked for has come before its answer: that settles it.

        False if no such command is still to be answered.
        """
        one = self._commands.get(uuid)
        if one is None or (one.serial, one.name) != (serial, "request"):
            return False
        if one.state is not State.EXECUTING:
            return False
        self._end(serial, uuid)
        self._commands.finish(uuid, State.COMPLETED, results=document, answered=True)
        return True

    def sent(self, uuid: str) -> None:
        """A worker has handed a request that is not answered to its device's socket."""
        self._commands.finish(uuid, State.COMPLETED, results='{"result":"sent"}')

    def unsent(self, serial: str, uuid: str, reason: str) -> None:
        """A command did not reach its device, for sure."""
        self._end(serial, uuid)
        one = self._commands.get(uuid)
        if one is not None and one.state is State.EXECUTING:
            self._lost(one, False, reason)

    def resume(self, serial: str, session: int, unanswered: list[records.Unanswered]) -> None:
        """A worker tells a new coordinator what its device is still to answer.

        It has read its queue to the end before: what it does not name, and was not answered,
        never left.
        """
        left = {one.command: one.left_ms / 1000 for one in unanswered}
        for one in self._commands.of_device(serial):
            command = COMMANDS.get(one.name)
            if command is None or one.session or one.state not in (State.EXECUTING, State.EXECUTED):
                continue
            if one.uuid in left:
                one.session = session
                if one.state is State.EXECUTED or one.verdict is not None:
                    continue
                seconds = left[one.uuid]
                self._commands.until(one.uuid, max(1.0, seconds))
                if command.later:  # its deadline is far; the device is not kept for it
                    seconds = min(seconds, self._seconds(one.name, 0.0))
                if not command.parallel and seconds > 0:
                    until = time.monotonic() + seconds
                    self._running[serial] = Running(one.uuid, one.name, session, until)
            elif one.state is State.EXECUTING and command.kind is not Kind.FIRE_AND_FORGET:
                self._lost(one, False, "the gateway restarted before it was sent")

    def session_ended(self, serial: str, session: int) -> None:
        """Nothing on this session will be answered.

        What restarts the device may have been done; it is not sent again, and ends unanswered.
        """
        for one in self._commands.of_device(serial):
            if one.name in COMMANDS and one.session in (0, session):
                self._cut_off(one, "the connection was lost")

    def given_up(self, uuid: str, reason: str) -> None:
        """The worker awaits the answer to a command no more: others came after it."""
        one = self._commands.get(uuid)
        if one is not None and one.name in COMMANDS:
            self._cut_off(one, reason)

    def _cut_off(self, one: Open, reason: str) -> None:
        """Nothing will be answered to what the device has got."""
        if one.state is State.EXECUTING:
            self._end(one.serial, one.uuid)
            self._lost(one, None, f"{reason} before an answer came")
        elif one.state is State.EXECUTED:
            text = f"{reason} before the second answer came"
            self._commands.finish(one.uuid, State.FAILED, error_text=text)

    def _lost(self, one: Open, arrived: bool | None, reason: str) -> None:
        """No answer will come: send it again some time, or end it."""
        command = COMMANDS[one.name]
        if one.verdict is not None:
            self._commands.finish(one.uuid, **one.verdict)
            return
        waits = command.later or one.run_at > 0 or (arrived is False and one.session == 0)
        waits = waits and not command.secret
        limit = self._settings.attempts
        to = after_loss(
            command.kind, arrived=arrived, waits=waits, attempts=one.attempts, limit=limit
        )
        if to is State.PENDING:
            pause = self._settings.retry_seconds if one.session else 0.0
            one.session = 0
            self._commands.postponed(one.uuid, reason)
            self.waiting.put(one, pause=pause)
        else:
            self._commands.finish(one.uuid, State.FAILED, error_text=reason)

    # -- what waits

    def connected(self, serial: str) -> None:
        """The device is here: what waits for it may go."""
        self.waiting.connected(serial)

    def due(self) -> None:
        """Look for commands whose time has come, or is up; called once a second."""
        for serial, running in list(self._running.items()):
            if time.monotonic() >= running.until + _GRACE_SECONDS:
                del self._running[serial]
        self.waiting.due()

    def _may_go(self, shadow: Shadow, command: Command) -> bool:
        """Tell whether a device is here, and free for a command."""
        if self._presence.of(shadow.serial) is None:
            return False
        busy = shadow.serial in self._running or shadow.in_flight is not None
        return command.parallel or not busy

    def _send_waiting(self, one: Open, row: CommandRow, command: Command) -> None:
        session = self._presence.of(one.serial)
        assert session is not None
        seconds = self._seconds(one.name, 0.0)
        request = Prepared(command, row.details.encode(), seconds, command.parallel)
        self._send(one, session.id, request)

    def schedule(self, uuid: str, when: float) -> None:
        """Let a pending command wait for its time, Unix seconds."""
        self.waiting.put(self._open(uuid), when)

    def cancel(self, uuid: str, text: str) -> bool:
        """An operator ends a command: what waits is not sent, what runs is let go."""
        one = self._commands.get(uuid)
        if one is None:
            return False
        self._let_go(one)
        self._commands.finish(uuid, State.EXPIRED, error_text=text)
        return True

    def _let_go(self, one: Open) -> None:
        self.waiting.remove(one)
        self._end(one.serial, one.uuid)

    def _end(self, serial: str, uuid: str) -> None:
        running = self._running.get(serial)
        if running is not None and running.uuid == uuid:
            del self._running[serial]

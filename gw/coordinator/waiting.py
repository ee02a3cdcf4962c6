"""Commands that wait for their time, or for their device: none stops another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from gw.coordinator.commands import Commands, Open
from gw.coordinator.presence import Presence
from gw.coordinator.shadow import Shadow, Shadows
from gw.ops import logs
from gw.protocol.commands import COMMANDS, Command
from gw.protocol.lifecycle import State
from gw.store.errors import StoreError
from gw.store.interface import Store
from gw.store.rows import CommandRow

log = logs.get("commands")

CONFIGURE: Final = "configure"
_AT_A_TIME: Final = 8
"""Commands that are read from the store together: others read there too."""

Later = Callable[[Shadow, CommandRow], Awaitable[None]]
"""Carries out a `configure` whose time has come."""

Send = Callable[[Open, CommandRow, Command], None]
"""Sends a command to its device, which is here and free."""

Free = Callable[[Shadow, Command], bool]
"""Tells whether a device that is here may be sent a command now."""


class _Due(NamedTuple):
    """When a command may be sent: a time that an operator named, and the end of a pause.

    The pause is by the monotonic clock, so that it stays as long as it is when the other is set.
    """

    at: float
    not_before: float

    def come(self) -> bool:
        """Tell whether that is now."""
        return self.at <= time.time() and self.not_before <= time.monotonic()


class Waiting:
    """Brings commands that wait on their way."""

    def __init__(
        self,
        store: Store,
        presence: Presence,
        shadows: Shadows,
        commands: Commands,
        late_seconds: float,
        free: Free,
        send: Send,
    ) -> None:
        self._store = store
        self._presence = presence
        self._shadows = shadows
        self._commands = commands
        self._late_seconds = late_seconds
        self._free = free
        self._send = send
        self._waiting: dict[str, dict[str, _Due]] = {}
        """By device: commands that wait, and until when."""
        self._looking: dict[str, asyncio.Task[None]] = {}
        """By device: who looks through what waits for it; one at a time."""
        self._reads = asyncio.Semaphore(_AT_A_TIME)
        self.configure_later: Later | None = None

    def put(self, one: Open, at: float = 0.0, *, pause: float = 0.0) -> None:
        """Let a pending command wait until `at`, Unix seconds, and for `pause` seconds at least."""
        self._waiting.setdefault(one.serial, {})[one.uuid] = _Due(at, time.monotonic() + pause)

    def remove(self, one: Open) -> None:
        """A command waits no more."""
        waiting = self._waiting.get(one.serial)
        if waiting is not None:
            waiting.pop(one.uuid, None)
            if not waiting:
                del self._waiting[one.serial]

    def count(self, serial: str) -> int:
        """Return how many commands wait for a device."""
        return len(self._waiting.get(serial, ()))

    def connected(self, serial: str) -> None:
        """The device is here: what waits for it may go."""
        if serial in self._waiting:
            self._look(serial)

    def due(self) -> None:
        """Look for commands whose time has come, or is up; called once a second."""
        now = time.time()
        for serial, waiting in list(self._waiting.items()):
            if any(self._ripe(uuid, due, now) for uuid, due in waiting.items()):
                self._look(serial)

    def _ripe(self, uuid: str, due: _Due, now: float) -> bool:
        one = self._commands.get(uuid)
        if one is None or not due.come():
            return one is None
        here = self._presence.of(one.serial) is not None
        return here or one.name == CONFIGURE or self._too_late(one, now)

    def _too_late(self, one: Open, now: float) -> bool:
        return now - max(one.submitted, one.run_at) > self._late_seconds

    def _look(self, serial: str) -> None:
        if serial in self._looking:
            return  # the store is slow; `due` asks again in a second
        task = asyncio.get_running_loop().create_task(self._next(serial))
        self._looking[serial] = task
        task.add_done_callback(lambda _: self._looking.pop(serial, None))

    async def _next(self, serial: str) -> None:
        """Send what waits for a device and may go now, oldest first."""
        for uuid, due in list(self._waiting.get(serial, {}).items()):
            now = time.time()
            one = self._commands.get(uuid)
            if one is None:
                self._waiting.get(serial, {}).pop(uuid, None)
                continue
            if not due.come():
                continue
            if one.name != CONFIGURE and self._too_late(one, now):
                self.remove(one)
                text = "the device stayed away"
                self._commands.finish(uuid, State.EXPIRED, error_text=text)
                continue
            if one.name != CONFIGURE and self._presence.of(serial) is None:
                continue
            try:
                async with self._reads:
                    await self._go(one)
            except StoreError as error:
                log.warning("a command waits for the store", uuid=uuid, detail=str(error))
                if error.retriable:
                    return  # looked at again in a second
                self._give_up(one)
            except Exception as error:
                log.exception("a waiting command failed", uuid=uuid, detail=repr(error))
                self._give_up(one)
        if not self._waiting.get(serial, True):
            del self._waiting[serial]

    async def _go(self, one: Open) -> None:
        """Send a command if its device is here and free."""
        command = COMMANDS.get(one.name)  # None: a configuration, which goes to the keeper
        shadow = await self._shadows.get(one.serial)
        if command is not None and shadow is not None and not self._free(shadow, command):
            return
        row = await self._store.command(one.uuid)
        if one.uuid not in self._waiting.get(one.serial, {}):
            return  # cancelled meanwhile
        if row is None or shadow is None:
            self.remove(one)
        elif command is None:
            self.remove(one)
            if self.configure_later is not None:
                await self.configure_later(shadow, row)
        elif self._free(shadow, command):
            self.remove(one)
            self._send(one, row, command)

    def _give_up(self, one: Open) -> None:
        """End a command that cannot be carried out, rather than leave it for ever."""
        self.remove(one)
        shadow = self._shadows.cached(one.serial)
        if shadow is not None and shadow.row.pending_command == one.uuid:
            return  # it is the device's pending change by now, whose report settles it
        text = "the gateway could not carry it out; its log says why"
        self._commands.finish(one.uuid, State.FAILED, error_text=text)

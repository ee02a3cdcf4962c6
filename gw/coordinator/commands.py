"""Commands as durable rows: every move of their states, their deadlines, and who waits for them.

A row is written before anything is sent. What becomes of a command is decided by `keeper` for
`configure` and by `executor` for all others; that it is a move of `gw.protocol.lifecycle` is
seen to here.
"""

from __future__ import annotations

import asyncio
import time
import uuid as uuid_module
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from gw.coordinator.work import Committer
from gw.core import faultpoints
from gw.ops import logs, metrics
from gw.protocol.lifecycle import FINAL as FINAL_STATES
from gw.protocol.lifecycle import State, may_move
from gw.store.interface import PatchCommand, PutCommand, Store
from gw.store.rows import CommandRow

log = logs.get("commands")

SYSTEM: Final = "*system"
"""Who submits what the gateway does by itself."""

PENDING, EXECUTING, EXECUTED = State.PENDING, State.EXECUTING, State.EXECUTED
WAITING, COMPLETED, FAILED = State.WAITING, State.COMPLETED, State.FAILED
EXPIRED, TIMED_OUT = State.EXPIRED, State.TIMED_OUT
FINAL: Final = FINAL_STATES

_ENDED: Final = metrics.indexes("gw_commands_total")
_OPEN: Final = metrics.index("gw_commands_open")


def new_uuid() -> str:
    """Return a UUID for a command."""
    return str(uuid_module.uuid4())


class Open(msgspec.Struct):
    """What is known in memory of a command that has no final state."""

    uuid: str
    serial: str
    name: str
    state: State
    system: bool
    run_at: int
    """Unix seconds; 0: at once."""
    submitted: int
    attempts: int
    file: str
    """Kind of the file that the device is to upload; empty: none, or it is here already."""
    deferred: bool
    by: str = ""
    """Who asked for it."""
    executed: int = 0
    rejected: str = ""
    """Why the file that came before the answer was refused."""
    session: int = 0
    """Session on which it was sent; 0: not known."""
    deadline: float = 0.0
    """Monotonic; 0: none. Then it ends as `verdict`, or as timed out."""
    verdict: dict[str, Any] | None = None
    overdue: str = "no answer came"

    @property
    def unsent(self) -> bool:
        """True if it waits for its time or its device, and was never sent: nobody waits for it."""
        return self.state is State.PENDING and self.attempts == 0


class Commands:
    """Writes command rows, and tells waiters what became of them."""

    def __init__(self, work: Committer, counters: metrics.CounterPage) -> None:
        self._work = work
        self._counters = counters
        self._open: dict[str, Open] = {}
        self._by_device: dict[str, dict[str, Open]] = {}
        self._waiters: dict[str, list[Callable[[str], None]]] = {}
        self._deadlines: dict[str, Open] = {}

    async def load(self, store: Store) -> None:
        """Take over the commands that a predecessor left without a final state."""
        for row in await store.unfinished_commands():
            self._remember(row)

    # -- what is open

    def get(self, command: str) -> Open | None:
        """Return an open command."""
        return self._open.get(command)

    def of_device(self, serial: str) -> list[Open]:
        """Return the open commands of a device, oldest first."""
        return list(self._by_device.get(serial, {}).values())

    def all(self) -> Iterator[Open]:
        """Every open command."""
        return iter(list(self._open.values()))

    def _remember(self, row: CommandRow) -> Open:
        one = Open(
            row.uuid,
            row.serial_number,
            row.command,
            State(row.status),
            row.submitted_by == SYSTEM,
            row.run_at,
            row.submitted,
            row.attempts,
            row.attach_type if row.waiting_for_file else "",
            row.deferred,
            row.submitted_by,
            row.executed,
        )
        if row.attach_type and not row.waiting_for_file and not row.attach_date:
            one.rejected = row.error_text
        if one.state is State.EXECUTING and row.answered and row.error_code:
            one.verdict = {
                "status": FAILED,
                "error_code": row.error_code,
                "error_text": row.error_text,
                "results": row.results,
                "execution_ms": row.execution_ms,
            }
        self._open[row.uuid] = one
        self._by_device.setdefault(row.serial_number, {})[row.uuid] = one
        self._counters.set(_OPEN, len(self._open))
        return one

    def forget(self, command: str) -> None:
        """The row is deleted, or final: nothing more becomes of the command."""
        self._deadlines.pop(command, None)
        one = self._open.pop(command, None)
        if one is None:
            return
        device = self._by_device[one.serial]
        del device[command]
        if not device:
            del self._by_device[one.serial]
        self._counters.set(_OPEN, len(self._open))

    # -- moves

    def create(self, row: CommandRow) -> None:
        """Write a new command."""
        self._work.write(PutCommand(row), 512 + len(row.details))
        if row.status not in FINAL:
            self._remember(row)
        self._moved(row.command, State(row.status))

    def note(self, command: str, **values: object) -> None:
        """Set columns of a command that are no part of its state."""
        self._work.write(PatchCommand(command, values), 4096)

    def move(self, command: str, to: State, **values: object) -> bool:
        """Bring a command to another state; False, and nothing done, if there is no such move."""
        one = self._open.get(command)
        if one is None or not may_move(one.state, to):
            if one is not None:
                log.error("no such move of a command", command=command, state=one.state, to=to)
            return False
        one.state = to
        size = sum(len(value) for value in values.values() if isinstance(value, str))
        self._work.write(PatchCommand(command, {"status": str(to), **values}), 512 + size)
        self._moved(one.name, to)
        if to in FINAL:
            self.forget(command)
        return True

    def _moved(self, name: str, state: State) -> None:
        if state in FINAL:
            self._counters.add(_ENDED[str(state)])
        if faultpoints.ARMED:
            faultpoints.reached(f"before.{name}.{state}")
            self._work.then(lambda: faultpoints.reached(f"{name}.{state}"))

    def sent(self, command: str) -> None:
        """The command is being sent now."""
        now = int(time.time())
        one = self._open.get(command)
        if one is None:
            return
        one.attempts += 1
        one.executed = now
        values: dict[str, object] = {"executed": now, "last_try": now, "attempts": one.attempts}
        if one.state is EXECUTING:  # a predecessor had sent it, and nothing came of it
            self.note(command, **values)
        else:
            self.move(command, EXECUTING, **values)

    def postponed(self, command: str, text: str) -> None:
        """The command could not be sent, or was not answered: it is still to be settled."""
        self._deadlines.pop(command, None)
        self.move(command, PENDING, error_text=text)

    def finish(
        self,
        command: str,
        status: State,
        *,
        error_code: int = 0,
        error_text: str = "",
        results: str | None = None,
        execution_ms: float | None = None,
        answered: bool = False,
        **more: object,
    ) -> None:
        """Give a command its final status, and tell whoever waits once that is durable."""
        now = int(time.time())
        values: dict[str, object] = {
            "completed": now,
            "error_code": error_code,
            "error_text": error_text,
            "waiting_for_file": 0,
            **more,
        }
        if results is not None:
            values["results"] = results
        if execution_ms is not None:
            values["execution_ms"] = execution_ms
        if answered or results is not None:
            values["answered"] = now
        if self.move(command, status, **values):
            self.tell(command, status)

    # -- deadlines

    def until(self, command: str, seconds: float, text: str = "no answer came") -> None:
        """An open command ends as timed out, with this text, unless it is settled by then."""
        one = self._open.get(command)
        if one is not None:
            one.deadline = time.monotonic() + seconds
            one.overdue, one.verdict = text, None
            self._deadlines[command] = one

    def unless_more(self, command: str, seconds: float, **verdict: Any) -> None:
        """An open command ends by `finish(**verdict)` unless the device says more by then.

        What the device has said is written at once: a successor comes to the same end.
        """
        self.until(command, seconds)
        one = self._open.get(command)
        if one is not None:
            one.verdict = verdict

    def expire(self) -> None:
        """End the commands that are overdue."""
        now = time.monotonic()
        for command, one in list(self._deadlines.items()):
            if now < one.deadline:
                continue
            del self._deadlines[command]
            if one.verdict is not None:
                self.finish(command, **one.verdict)
            else:
                self.finish(command, TIMED_OUT, error_text=one.overdue)

    # -- waiting

    async def settled(self, command: str, seconds: float) -> str | None:
        """Wait until a command is settled or given up for now; returns its status.

        None if that takes longer than `seconds`.
        """
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def settle(status: str) -> None:
            if not done.done():
                done.set_result(status)

        self.wait(command, settle)
        try:
            async with asyncio.timeout(seconds):
                return await done
        except TimeoutError:
            return None
        finally:
            self.stop_waiting(command, settle)

    def wait(self, command: str, waiter: Callable[[str], None]) -> None:
        """Call `waiter` with the status once the command is settled or given up for now."""
        self._waiters.setdefault(command, []).append(waiter)

    def stop_waiting(self, command: str, waiter: Callable[[str], None]) -> None:
        """Undo `wait`."""
        waiters = self._waiters.get(command, [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop(command, None)

    def awaited(self, command: str) -> bool:
        """Tell whether somebody waits."""
        return command in self._waiters

    def tell(self, command: str, status: str) -> None:
        """Wake those who wait for a command, once what was written is durable."""
        waiters = self._waiters.pop(command, None)
        if waiters:

            def wake() -> None:
                for waiter in waiters:
                    waiter(status)

            self._work.then(wake)

"""Commands as durable rows, and who waits for them.

A row is written before anything is sent. Who decides what becomes of it is `keeper` for
`configure` and `executor` for all others.
"""

from __future__ import annotations

import asyncio
import time
import uuid as uuid_module
from collections.abc import Callable

from gw.coordinator.work import Committer
from gw.store.interface import PatchCommand, PutCommand
from gw.store.rows import CommandRow

SYSTEM = "*system"
"""Who submits what the gateway does by itself."""

PENDING = "pending"
EXECUTING = "executing"
COMPLETED = "completed"
FAILED = "failed"
EXPIRED = "expired"
TIMED_OUT = "timedout"
FINAL = frozenset((COMPLETED, FAILED, EXPIRED, TIMED_OUT))


def new_uuid() -> str:
    """Return a UUID for a command."""
    return str(uuid_module.uuid4())


class Commands:
    """Writes command rows, and tells waiters the final status."""

    def __init__(self, work: Committer) -> None:
        self._work = work
        self._waiters: dict[str, list[Callable[[str], None]]] = {}
        self._deadlines: dict[str, float] = {}
        """Sent commands other than `configure` that must be answered by then, monotonic."""

    def create(self, row: CommandRow) -> None:
        """Write a new command."""
        self._work.write(PutCommand(row), 512 + len(row.details))

    def note(self, command: str, **values: object) -> None:
        """Set columns of a command that are no part of its state."""
        self._work.write(PatchCommand(command, values), 4096)

    def sent(self, command: str) -> None:
        """The command is being sent now."""
        now = int(time.time())
        self._work.write(
            PatchCommand(command, {"status": EXECUTING, "executed": now, "last_try": now})
        )

    def postponed(self, command: str, text: str) -> None:
        """The command could not be sent, or was not answered: it is still to be settled."""
        self._work.write(PatchCommand(command, {"status": PENDING, "error_text": text}))

    def finish(
        self,
        command: str,
        status: str,
        *,
        error_code: int = 0,
        error_text: str = "",
        results: str | None = None,
        execution_ms: float | None = None,
    ) -> None:
        """Give a command its final status, and tell whoever waits once that is durable."""
        values: dict[str, object] = {
            "status": status,
            "completed": int(time.time()),
            "error_code": error_code,
            "error_text": error_text,
        }
        if status != COMPLETED or error_code:
            values["waiting_for_file"] = 0
        if results is not None:
            values["results"] = results
        if execution_ms is not None:
            values["execution_ms"] = execution_ms
        self._work.write(PatchCommand(command, values), 512 + len(results or ""))
        self.tell(command, status)

    def await_answer(self, command: str, seconds: float) -> None:
        """The command just sent ends as timed out if it is not answered."""
        self._deadlines[command] = time.monotonic() + seconds

    def answered(self, command: str) -> bool:
        """An answer came; False if the command has its final status already."""
        return self._deadlines.pop(command, None) is not None

    def unsent(self, command: str, reason: str) -> None:
        """A command that is sent at most once could not be sent."""
        if self.answered(command):
            self.finish(command, FAILED, error_text=reason)

    def expire(self) -> None:
        """End the commands whose answer is overdue."""
        now = time.monotonic()
        for command in [one for one, deadline in self._deadlines.items() if now >= deadline]:
            del self._deadlines[command]
            self.finish(command, TIMED_OUT, error_text="no answer came")

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

    def tell(self, command: str, status: str) -> None:
        """Wake those who wait for a command, once what was written is durable."""
        waiters = self._waiters.pop(command, None)
        if waiters:

            def wake() -> None:
                for waiter in waiters:
                    waiter(status)

            self._work.then(wake)

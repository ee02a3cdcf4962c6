"""What devices answer to commands, and the files that they upload for them.

One final result: what comes after it is kept beside it, and changes nothing.
"""

from __future__ import annotations

import time
from typing import Any, Final

from gw.coordinator.commands import Commands, Open
from gw.core import records
from gw.core.settings import Files
from gw.ops import logs
from gw.protocol.commands import COMMANDS, Outcome, read_answer
from gw.protocol.information_elements import decoded
from gw.protocol.lifecycle import State

log = logs.get("commands")

_BY_METHOD: Final = {command.method: name for name, command in COMMANDS.items()}
_SECOND_ANSWER_SECONDS: Final = 3.0
"""An access point's upgrade may say 2 and then 0 under the same id (agents.md)."""


class Answers:
    """Moves commands on by what devices say."""

    def __init__(self, commands: Commands, files: Files) -> None:
        self._commands = commands
        self._file_seconds = {"pcap": files.trace_seconds}
        self._script_seconds = files.script_seconds

    def take(self, serial: str, answer: records.Answer, message: bytes) -> None:
        """A device answered; what comes after the final status is kept, and changes nothing."""
        name = _BY_METHOD.get(answer.method, answer.method)
        outcome = read_answer(name, message)
        if name == "wifiscan":
            outcome.results = decoded(outcome.results)
        one = self._commands.get(answer.command)
        if one is None or one.state in (State.PENDING, State.WAITING):
            if one is not None and one.state is State.WAITING:
                self._more(one, outcome)
                return
            log.info("late answer, not applied", serial=serial, command=answer.command)
            now = int(time.time())
            self._commands.note(answer.command, late_answer=outcome.results, answered=now)
            return
        values: dict[str, Any] = {
            "error_code": outcome.error,
            "error_text": outcome.text,
            "results": outcome.results,
            "execution_ms": answer.elapsed_ms,
        }
        if outcome.failed:
            if one.name == "upgrade" and answer.nth == 1:
                self._commands.note(one.uuid, answered=int(time.time()), **values)
                self.await_more(one, {"status": State.FAILED, **values})
                return
            self._commands.finish(one.uuid, State.FAILED, **values)
        elif one.rejected:
            values["error_text"] = one.rejected
            self._commands.finish(one.uuid, State.FAILED, **values)
        elif one.file:
            self._answered(one, values)
        elif one.deferred and one.state is State.EXECUTING:
            self._acknowledged(one, values)
        else:
            self._commands.finish(one.uuid, State.COMPLETED, **values)

    def _answered(self, one: Open, values: dict[str, Any]) -> None:
        """The device has answered, and is going to upload a file."""
        now = int(time.time())
        if self._commands.move(one.uuid, State.WAITING, answered=now, **values):
            self.await_file(one, time.time())
            self._commands.tell(one.uuid, State.WAITING)

    def _acknowledged(self, one: Open, values: dict[str, Any]) -> None:
        """A script runs in the device, which uploads to elsewhere and then answers again."""
        if self._commands.move(one.uuid, State.EXECUTED, answered=int(time.time()), **values):
            self.await_second(one, time.time())
            self._commands.tell(one.uuid, State.EXECUTED)

    def _more(self, one: Open, outcome: Outcome) -> None:
        """A second answer while the file is awaited: the script's end, or its failure."""
        if outcome.failed:
            self._commands.finish(
                one.uuid,
                State.FAILED,
                error_code=outcome.error,
                error_text=outcome.text,
                results=outcome.results,
            )
        else:
            self._commands.note(one.uuid, results=outcome.results)

    def file_received(self, uuid: str, size: int) -> None:
        """The file of a command is here."""
        values: dict[str, Any] = {"waiting_for_file": 0, "attach_date": int(time.time())}
        values["attach_size"] = size
        one = self._commands.get(uuid)
        if one is not None:
            one.file = ""
            if one.state is State.WAITING and self._commands.move(
                uuid, State.COMPLETED, completed=int(time.time()), **values
            ):
                self._commands.tell(uuid, State.COMPLETED)
                return
        self._commands.note(uuid, **values)

    def file_rejected(self, uuid: str, text: str) -> None:
        """The file of a command was refused; its ticket is spent."""
        one = self._commands.get(uuid)
        text = f"File rejected: {text}"
        if one is not None and one.state is State.WAITING:
            self._commands.finish(uuid, State.FAILED, error_text=text)
        else:
            if one is not None:
                one.file, one.rejected = "", text  # it fails when the device has answered
            self._commands.note(uuid, waiting_for_file=0, error_text=text)

    def await_more(self, one: Open, verdict: dict[str, Any]) -> None:
        """End a command with what its device answered, unless that answers again at once."""
        self._commands.unless_more(one.uuid, _SECOND_ANSWER_SECONDS, **verdict)

    def await_second(self, one: Open, now: float) -> None:
        """End a command that runs in its device when its time is up; `now` is Unix time."""
        left = one.executed + self._script_seconds - now
        self._commands.until(one.uuid, max(1.0, left), "no second answer came")

    def await_file(self, one: Open, now: float) -> None:
        """End a command that waits for its file when its time is up; `now` is Unix time."""
        window = self._file_seconds.get(one.file, self._script_seconds)
        text = f"the device sent no {one.file} file within {window:g} s"
        self._commands.until(one.uuid, max(1.0, one.executed + window - now), text)

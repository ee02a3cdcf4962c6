"""The CommandInfo object of northbound.md 2.7."""

from __future__ import annotations

from typing import Any

import msgspec

from gw.api import visibility
from gw.protocol.lifecycle import ON_THE_WIRE
from gw.store.rows import CommandRow
from gw.validation.problems import Problem


class CommandDocument(msgspec.Struct, rename="camel", kw_only=True):
    """A command, its state and its one result."""

    uuid: str = msgspec.field(name="UUID")
    serial_number: str
    command: str
    status: str
    """pending, executing, executed, completed, timedout, failed or expired."""
    submitted_by: str
    submitted: int
    executed: int
    completed: int
    when: int
    last_try: int
    error_code: int
    error_text: str
    details: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What was asked."""
    results: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What the device answered; `status.rejected` lists what it could not apply."""
    custom: int
    waiting_for_file: int
    attach_file: int
    execution_time: float
    """Milliseconds."""
    deferred: bool
    attempts: int
    """How often it was sent."""
    answered: int
    """When the device answered, epoch seconds; 0: it did not."""
    late_answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """What the device said after the command had ended; it changed nothing."""


class ConfigureDocument(CommandDocument, kw_only=True):
    """A command of `configure`, and what the device cannot do of the configuration."""

    warnings: list[Problem] | msgspec.UnsetType = msgspec.UNSET
    """By the device's own capabilities; absent if there are none. Ours, not owgw's."""


class Pong(msgspec.Struct, kw_only=True):
    """Answer to `ping`, which is none of a command (northbound.md 3.1)."""

    serialNumber: str  # noqa: N815
    latency: str
    """The round trip, `12.345ms.`."""
    currentUTCTime: int  # noqa: N815
    """Milliseconds."""
    deviceUTCTime: int | msgspec.UnsetType = msgspec.UNSET  # noqa: N815
    """What the device takes the time for, if it says so."""


_FREE_TEXT = "script"
"""The command whose answer is what an operator's program printed."""


def command_document(row: CommandRow) -> dict[str, Any]:
    """Return the members of CommandDocument as they are answered."""
    free, by = row.command == _FREE_TEXT, row.submitted_by
    printed = free and row.error_code != 0  # then the text is what it printed
    hidden = printed and not visibility.free_text_is_seen(by)
    found: dict[str, Any] = {
        "UUID": row.uuid,
        "serialNumber": row.serial_number,
        "command": row.command,
        "status": ON_THE_WIRE.get(row.status, row.status),
        "submittedBy": row.submitted_by,
        "submitted": row.submitted,
        "executed": row.executed,
        "completed": row.completed,
        "when": row.run_at,
        "lastTry": row.last_try,
        "errorCode": row.error_code,
        "errorText": visibility.secret(row.error_text) if hidden else row.error_text,
        "details": visibility.configuration(row.details.encode() or b"{}"),
        "results": visibility.answer(row.results, by=by, free=free),
        "custom": row.custom,
        "waitingForFile": row.waiting_for_file,
        "attachFile": row.attach_date,
        "executionTime": row.execution_ms,
        "deferred": row.deferred,
        "attempts": row.attempts,
        "answered": row.answered,
    }
    if row.late_answer:
        found["lateAnswer"] = visibility.answer(row.late_answer, by=by, free=free)
    return found

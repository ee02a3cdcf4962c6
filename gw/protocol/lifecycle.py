"""The life of a command: its states, the moves between them, and what is sent again.

Pure. A command has exactly one final state. What a device answered (`error_code`, `results`,
`answered`) and what the gateway did (`status`, `error_text`, `attempts`) are separate facts.

    new ── PENDING ── EXECUTING ──┬── EXECUTED ──┬── WAITING ── COMPLETED | FAILED | TIMED_OUT
              ▲           │       │              │
              └───────────┘       └──────────────┴── COMPLETED | FAILED | TIMED_OUT | EXPIRED
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a command is; the value is `status` of the store (southbound.md 3.3)."""

    PENDING = "pending"
    """It waits: for its time, for the device, or (a `configure`) for the device's report."""
    EXECUTING = "executing"
    """It is being sent, or was sent, and nothing was answered yet."""
    EXECUTED = "executed"
    """The device has begun, and will answer a second time."""
    WAITING = "waiting"
    """The device has answered; the file that it uploads is still to come."""
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timedout"
    """It was sent, and what is missing did not come in time."""
    EXPIRED = "expired"
    """It was given up before an end: too old, cancelled, or superseded by a newer one."""


FINAL: Final = frozenset((State.COMPLETED, State.FAILED, State.TIMED_OUT, State.EXPIRED))
OPEN: Final = frozenset(State) - FINAL

MOVES: Final[dict[State, frozenset[State]]] = {
    State.PENDING: frozenset((State.PENDING, State.EXECUTING)) | FINAL,
    State.EXECUTING: frozenset((State.PENDING, State.EXECUTED, State.WAITING)) | FINAL,
    State.EXECUTED: frozenset((State.WAITING,)) | FINAL,
    State.WAITING: FINAL,
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.TIMED_OUT: frozenset(),
    State.EXPIRED: frozenset(),
}
"""Every move there is. A final state has none."""

FIRST: Final = frozenset((State.PENDING, State.EXECUTING, State.COMPLETED))
"""What a new command may begin as; COMPLETED: there was nothing to do."""

ON_THE_WIRE: Final[dict[str, str]] = {"waiting": "completed"}
"""What clients are told where they know no such state: `waitingForFile` says the rest."""


class Kind(StrEnum):
    """How often a command may be sent."""

    IDEMPOTENT = "idempotent"
    """To do it twice is to do it once."""
    AT_MOST_ONCE = "at most once"
    """It changes or restarts the device: never sent while an earlier send may have arrived."""
    FIRE_AND_FORGET = "fire and forget"
    """It is not answered: it is done once it was handed to the socket."""


def may_move(state: State, to: State) -> bool:
    """Tell whether a command in `state` may go to `to`."""
    return to in MOVES[state]


def after_loss(
    kind: Kind, *, arrived: bool | None, waits: bool, attempts: int, limit: int
) -> State:
    """Return what becomes of a command whose answer cannot come any more.

    `arrived`: whether the device got it; None: unknown. `waits`: it may be sent later, since
    nobody is waiting for it or since it may wait for its device. `attempts` of `limit` sends
    were made.
    """
    again = arrived is False or (arrived is None and kind is Kind.IDEMPOTENT)
    return State.PENDING if again and waits and attempts < limit else State.FAILED

"""Requests of one session that its device may still answer, and which of them is given up first."""

from __future__ import annotations

import msgspec


class Outstanding(msgspec.Struct, gc=False):
    """A request that the device has not answered."""

    command: str
    method: str
    sent_ns: int
    timeout_ms: int
    uuid: int
    hash: str
    again: bool
    """It stays here after its first answer: another one may follow."""
    answers: int = 0

    def left_ms(self, now: int) -> int:
        """Return how long an answer may still take; negative: its time is up."""
        return self.timeout_ms - (now - self.sent_ns) // 1_000_000


def make_room(outstanding: dict[int, Outstanding], now: int) -> Outstanding:
    """Give up one request, and return it; `now` is monotonic, nanoseconds.

    The oldest of those whose time is up, else of those that were answered once, else of all.
    """

    def worth(rpc_id: int) -> int:
        one = outstanding[rpc_id]
        return 0 if one.left_ms(now) <= 0 else 1 if one.answers else 2

    return outstanding.pop(min(outstanding, key=worth))

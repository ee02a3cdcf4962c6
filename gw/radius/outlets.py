"""What the proxy's rules need of the outside: ways to send, deadlines, counters."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Protocol

import msgspec

from gw.radius.pools import Endpoint


class Outlets(Protocol):
    """Where packets go. Each returns False if the packet cannot be sent now."""

    def to_server(self, endpoint: Endpoint, data: bytes) -> bool:
        """Send to a server."""

    def to_device(self, serial: str, session: int, kind: str, data: bytes) -> bool:
        """Send to a device; `session` is the one it last spoke through, 0 if unknown."""

    def to_sender(self, sender: Hashable, data: bytes) -> bool:
        """Answer whoever sent a CoA or Disconnect request."""


class Tally(Protocol):
    """What is counted."""

    def packet(self, direction: str, kind: str) -> None:
        """A packet passed: `from_device`, `to_device`, `from_server` or `to_server`."""

    def dropped(self, reason: str, **about: object) -> None:
        """A packet was dropped; `about` is for the log."""

    def timed_out(self, retried: bool) -> None:
        """A server did not answer in time."""

    def answered(self, seconds: float) -> None:
        """A server answered a device's request."""

    def probed(self, answered: bool) -> None:
        """A Status-Server was answered, or was not."""

    def server_changed(self, endpoint: Endpoint, up: bool) -> None:
        """A server went down or came back."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the proxy (settings `radius.*`)."""

    answer_seconds: float
    retries: int
    coa_seconds: float
    probe_seconds: float
    down_after: int
    down_seconds: float
    max_in_flight_per_device: int
    require_message_authenticator: bool
    max_sessions: int
    max_sessions_per_device: int
    max_conversations: int
    session_idle_seconds: float


class Deadlines:
    """What is due when: callbacks, each at most once."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], Any]]] = []
        self._count = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, action: Callable[[float], Any]) -> None:
        """Have `action` called with the time, at `when` or soon after."""
        heapq.heappush(self._heap, (when, next(self._count), action))

    def due(self, now: float) -> Iterator[Callable[[float], Any]]:
        """Yield what is due."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[2]

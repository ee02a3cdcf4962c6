"""What an access point keeps of its events, until somebody asks or it can tell (agents.md)."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

MAX_EVENTS: Final = 250
"""Events that are kept; a further one pushes the oldest out."""


class Event(NamedTuple):
    """One event, with the time in seconds."""

    at: int
    kind: str
    payload: dict[str, Any]


class KeptEvents:
    """The newest events."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event) -> None:
        """Keep an event."""
        self._events.append(event)

    def take(self, kinds: object) -> dict[str, list[list[Any]]]:
        """Return [time, payload] by kind, and forget them; `kinds` None: all.

        A kind that is asked for and has none has an empty list.
        """
        if not isinstance(kinds, list):
            kinds = list(dict.fromkeys(event.kind for event in self._events))
        wanted = [kind for kind in kinds if isinstance(kind, str)]
        found: dict[str, list[list[Any]]] = {kind: [] for kind in wanted}
        for event in self._events:
            if event.kind in found:
                found[event.kind].append([event.at, event.payload])
        self._events = deque(
            (event for event in self._events if event.kind not in found), maxlen=MAX_EVENTS
        )
        return found

    def drain(self) -> list[Event]:
        """Return all of them, the oldest first, and forget them."""
        events = list(self._events)
        self._events.clear()
        return events

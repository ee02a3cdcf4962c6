"""How many terminal sessions there are, as well as the api process can tell."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from gw.core.settings import Rtty


class Place(NamedTuple):
    """A place that was taken: when, and how many sessions had begun until then."""

    at: float
    begun: int


class TerminalPlaces:
    """Whether there is room for another session, as well as it can be told from here.

    The rtty process holds to the limit; it counts sessions from the first end that comes. What was
    asked for since, and has not come yet, is counted here.
    """

    def __init__(self, limits: Rtty, count: Callable[[], tuple[int, int]]) -> None:
        """`count` returns the sessions that there are, and how many there ever were."""
        self._limits = limits
        self._count = count
        self._asked: deque[Place] = deque(maxlen=limits.max_sessions)

    def take(self, now: float) -> Place | None:
        """Take a place at `now` (monotonic seconds); None if there is none."""
        asked = self._asked
        while asked and now - asked[0].at > self._limits.complete_seconds:
            asked.popleft()
        live, begun = self._count()
        came = begun - asked[0].begun if asked else 0
        if live + max(0, len(asked) - came) >= self._limits.max_sessions:
            return None
        asked.append(Place(now, begun))
        return asked[-1]

    def give_back(self, place: Place) -> None:
        """Nobody will come."""
        if place in self._asked:
            self._asked.remove(place)

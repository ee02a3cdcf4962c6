"""Where pages of a list begin, so that a far page costs what the first one does.

Clients page by offset. A database would have to step over all rows before it; instead the last
key of each page that was answered is remembered for the one that follows.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

SIZE: Final = 10_000
"""Pages that are remembered."""
SECONDS: Final = 60.0
"""For how long: rows that come and go meanwhile shift what an offset means."""


class Pages:
    """The keys at which pages begin, by list and offset."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Hashable, int], tuple[str, float]] = OrderedDict()

    def start(self, which: Hashable, offset: int) -> tuple[str, int]:
        """Return the key behind which a page begins, and how many rows to skip from there."""
        found = self._known.get((which, offset))
        if found is None or found[1] < time.monotonic():
            return "", offset
        return found[0], 0

    def note(self, which: Hashable, offset: int, last: str) -> None:
        """Remember that the page at `offset` begins behind the key `last`."""
        place = (which, offset)
        self._known[place] = (last, time.monotonic() + SECONDS)
        self._known.move_to_end(place)
        if len(self._known) > SIZE:
            self._known.popitem(last=False)

"""Pages of lists by offset, so that a far page costs what the first one does.

Clients page by offset. A database would have to step over all rows before it; instead the last
key of each page that was answered is remembered, and the page that follows begins behind it. A
page that nobody led up to begins at the nearest key before it.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Final, TypeVar

import msgspec

from gw.store import rows
from gw.store.tables import Shape, between

# S608 below: what is put into statements are column lists made from the rows and conditions of
# the store's modules; values are always bound.
# ruff: noqa: S608

R = TypeVar("R", bound=rows.Row)

Key = tuple[Any, ...]

LISTS: Final = 1000
"""Lists that are remembered."""
PLACES: Final = 1000
"""Pages of one list; beyond, every second one is forgotten."""
SECONDS: Final = 60.0
"""For how long: rows that come and go meanwhile shift what an offset means."""


class _List(msgspec.Struct):
    offsets: list[int] = msgspec.field(default_factory=list)
    places: dict[int, tuple[Key, float]] = msgspec.field(default_factory=dict)

    def forget(self, offset: int) -> None:
        self.offsets.remove(offset)
        del self.places[offset]


class Pages:
    """The keys at which pages begin, by list and offset. Bounded by LISTS and PLACES."""

    def __init__(self) -> None:
        self._lists: OrderedDict[Hashable, _List] = OrderedDict()

    def start(self, which: Hashable, offset: int) -> tuple[Key | None, int]:
        """Return the key behind which to begin (None: at the start), and the rows to skip then."""
        one = self._lists.get(which)
        while one is not None and (at := bisect_right(one.offsets, offset)):
            found = one.offsets[at - 1]
            key, until = one.places[found]
            if until >= time.monotonic():
                return key, offset - found
            one.forget(found)
        return None, offset

    def note(self, which: Hashable, offset: int, last: Key) -> None:
        """Remember that the page at `offset` begins behind the key `last`."""
        one = self._lists.setdefault(which, _List())
        self._lists.move_to_end(which)
        if len(self._lists) > LISTS:
            self._lists.popitem(last=False)
        if len(one.offsets) >= PLACES:
            for found in one.offsets[::2]:
                one.forget(found)
        if offset not in one.places:
            insort(one.offsets, offset)
        one.places[offset] = (last, time.monotonic() + SECONDS)


class Paged(ABC):
    """Lists in pages, over one way to run a SELECT."""

    def __init__(self) -> None:
        self._pages = Pages()

    @abstractmethod
    async def _keyed(self, shape: Shape[R], sql: str, *values: Any) -> tuple[list[R], Key | None]:
        """Return the rows of a SELECT of the columns of `shape` and then those of a key.

        With them the key of the last row; None if there are no rows.
        """

    async def _page(
        self,
        shape: Shape[R],
        table: str,
        keys: tuple[str, ...],
        offset: int,
        limit: int,
        *,
        where: str = "true",
        values: tuple[Any, ...] = (),
        start: int = 0,
        end: int = 0,
        descending: bool = False,
    ) -> list[R]:
        """Return a page of a table in the order of `keys`, which an index has behind `where`.

        `start` and `end`: inclusive bounds of the first key; 0: open.
        """
        which = (table, where, values, start, end, descending)
        after, rest = self._pages.start(which, offset)
        named = ", ".join(keys)
        behind: Key = ()
        if after is not None:
            # In place of the bound that it is within: of two, SQLite may take the wrong one.
            behind = after
            start, end = (start, 0) if descending else (0, end)
        bounds, limits = between(keys[0], start, end)
        if behind:
            places = ", ".join("?" * len(keys))
            bounds += f" AND ({named}) {'<' if descending else '>'} ({places})"
        order = ", ".join(f"{key} DESC" for key in keys) if descending else named
        sql = (
            f"SELECT {shape.select()}, {named} FROM {table} WHERE {where}{bounds} "
            f"ORDER BY {order} LIMIT ? OFFSET ?"
        )
        found, last = await self._keyed(shape, sql, *values, *limits, *behind, limit, rest)
        if last is not None and len(found) == limit:
            self._pages.note(which, offset + limit, last)
        return found

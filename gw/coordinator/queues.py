"""The coordinator's ends of the workers' queues, and the order of what is in several of them.

A device may have spoken through one worker and then through another: records of all queues are
taken in the order in which they were received, as far as each queue tells it.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Final, NamedTuple

from gw._native.ring import Consumer, Record, RingCorrupted
from gw.core.bootstrap import RingEnds
from gw.ops import logs
from gw.store.interface import RingPosition

log = logs.get("intake")

_LEAST_RECORDS: Final = 32
"""Taken from each queue, however many there are."""


class Place:
    """How far one incarnation of one queue was treated."""

    __slots__ = ("before", "incarnation", "live", "name", "resumed", "taken")

    def __init__(self, name: str, incarnation: int, *, live: bool = False) -> None:
        self.name = name
        self.incarnation = incarnation
        self.live = live
        """False for a queue of a gateway that ended: only the spool has something of it."""
        self.taken = 0
        """Position up to which records were treated."""
        self.before = 0
        """Position up to which units of work hold everything."""
        self.resumed = 0
        """Position up to which the store held everything when this process started."""

    def resume(self, committed: tuple[int, int] | None) -> None:
        """Go on behind what the store holds: (incarnation, position); None: nothing."""
        if committed is not None and committed[0] == self.incarnation:
            self.taken = self.before = self.resumed = committed[1]

    def advance(self) -> RingPosition:
        """Return the step to `taken`, for the unit of work that holds what is up to there."""
        step = RingPosition(self.name, self.incarnation, self.before, self.taken)
        self.before = self.taken
        return step


class Queue:
    """One worker's queue. Its cursor is set anew by each look: two parties read it."""

    def __init__(self, ends: RingEnds) -> None:
        self.wake_fd = ends.up_wake
        self.ring = Consumer(ends.up_memfd, ends.up_wake)
        self.place = Place(ends.name, self.ring.incarnation, live=True)
        self.spooled = 0
        """Position up to which the spool holds what the store does not."""

    @property
    def name(self) -> str:
        """Name of the ring."""
        return self.place.name

    def look(self, start: int, records: int, size: int) -> tuple[list[Record], bool]:
        """Return records behind position `start`, and whether there are more behind them."""
        ring = self.ring
        start = max(start, ring.tail)
        try:
            if ring.position != start:
                ring.seek(start)
            found = ring.read(records, size)
        except RingCorrupted as error:
            # Nothing in it can be trusted any more: what is left is lost, and said so.
            lost = ring.depth_bytes
            ring.skip_all()
            log.error("a queue was damaged", queue=self.name, lost_bytes=lost, detail=str(error))
            return [], False
        return found, ring.position < ring.tail + ring.depth_bytes

    def arm(self, doze: bool = False) -> bool:
        """Get ready to sleep until there is something behind what was taken; False: there is.

        `doze`: the next look comes soon anyway, so that messages need not wake.
        """
        start = max(self.place.taken, self.ring.tail)
        if self.ring.position != start:
            self.ring.seek(start)
        return self.ring.arm(doze)

    def give_back(self, position: int) -> None:
        """Nobody needs what is up to `position` any more."""
        ring = self.ring
        if position <= ring.tail:
            return
        if ring.position < position:
            ring.seek(position)
        ring.commit(position)


class Found(NamedTuple):
    """A record, and where it belongs."""

    place: Place
    record: Record
    sequence: int = 0
    """Position in the spool; 0: it comes straight from its queue."""


def in_order(wanted: list[tuple[Queue, int]], records: int, size: int) -> list[Found]:
    """Return the next records of queues, each behind the position given, by time of receipt.

    `records` and `size` (bytes) are about what is returned altogether. Nothing is moved: what a
    later record of a queue waits for in another one is left for the next call.
    """
    share = max(_LEAST_RECORDS, records // len(wanted))
    chunks: list[list[tuple[int, Found]]] = []
    limit: int | None = None
    for queue, start in wanted:
        found, more = queue.look(start, share, size // len(wanted))
        if not found:
            continue
        chunk = []
        newest = 0
        for record in found:
            # Within a queue its own order counts, whatever the times say.
            newest = max(newest, record.received_ns)
            chunk.append((newest, Found(queue.place, record)))
        chunks.append(chunk)
        if more:
            limit = newest if limit is None else min(limit, newest)
    if len(chunks) == 1:
        return [found for _, found in chunks[0]]
    every = [one for chunk in chunks for one in chunk if limit is None or one[0] <= limit]
    every.sort(key=itemgetter(0))
    return [found for _, found in every]

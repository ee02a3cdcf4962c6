"""The spool in front of the store: records of the queues, on disk while the store is away.

It is a longer queue: records leave it the way they leave a ring, and the store keeps its position
as that of a ring, by the name `spool`. Each record keeps its own queue, incarnation and position,
so that what was already stored straight from its queue is recognised, and the bus gets the same
origin and sequence.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from gw._native.ring import Record
from gw.coordinator.queues import Found, Place
from gw.core.spool_file import SUFFIX, Entry, Spool, SpoolError

P = ParamSpec("P")
T = TypeVar("T")

NAME: Final = "spool"
"""Under which the store keeps its position."""
_PREFIX: Final = "store-"
_RECORD: Final = struct.Struct("<HHQQqQQBI")
"""Kind, flags, session, serial, received, incarnation and position in the queue; lengths of the
queue's name and of the head."""


class StoreSpool:
    """Reads and writes the spool in threads, one call after the other."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Open the spool in `folder`, or begin one. Raises OSError and SpoolError."""
        found = [one for one in sorted(folder.glob(_PREFIX + "*")) if _in_use(one)]
        if len(found) > 1:
            raise SpoolError(f"{found[0]} and {found[1]} are both in use")
        # An empty one is begun anew: its positions mean nothing in another incarnation.
        path = found[0] if found else folder / f"{_PREFIX}{secrets.randbits(63):016x}"
        self._spool = Spool(path, max_bytes=max_bytes)
        self.place = Place(NAME, int(path.name.removeprefix(_PREFIX), 16))
        self._lock = asyncio.Lock()
        self._done = self._spool.released
        self._places: dict[tuple[str, int], Place] = {}

    def know(self, place: Place) -> None:
        """Records of this queue and incarnation belong to `place`."""
        self._places[place.name, place.incarnation] = place

    def resume(self, committed: dict[str, tuple[int, int]]) -> None:
        """Go on behind what the store holds."""
        self.place.resume(committed.get(NAME))
        for name, (incarnation, position) in committed.items():
            if (name, incarnation) not in self._places:
                # Of a gateway that ended: its last records may be here.
                self.know(Place(name, incarnation))
                self._places[name, incarnation].resume((incarnation, position))

    # -- what is in it

    @property
    def unread(self) -> bool:
        """True if there is something behind what was taken."""
        return self._spool.end > self.place.taken and not self._spool.empty

    @property
    def empty(self) -> bool:
        """True if nothing is in it."""
        return self._spool.empty

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return self._spool.bytes

    @property
    def records(self) -> int:
        """Records in it, about."""
        return self._spool.records

    @property
    def damaged_bytes(self) -> int:
        """What could not be read back since this process started."""
        return self._spool.damaged_bytes + self._spool.torn_bytes

    @property
    def released(self) -> int:
        """Position up to which all is done."""
        return max(0, self._spool.released)

    def age(self) -> float:
        """Return the age of the oldest record, in seconds; 0 if there is none."""
        oldest = self._spool.oldest
        return max(0.0, time.time() - oldest / 1e9) if oldest else 0.0

    # -- both ends

    async def append(self, found: list[Found]) -> None:
        """Add records of the queues at the end; they are on disk when it returns.

        Raises SpoolFullError if they do not fit, OSError if the disk fails: nothing is added.
        """
        async with self._lock:
            await _finished(self._append, found)

    def _append(self, found: list[Found]) -> None:
        sequence = max(self._spool.end, 0)
        clock = time.time_ns() - time.monotonic_ns()
        entries = []
        for place, record, _ in found:
            sequence += 1
            name = place.name.encode()
            start = _RECORD.pack(
                record.kind, record.flags, record.session, record.serial, record.received_ns,
                place.incarnation, record.position, len(name), len(record.head),
            )  # fmt: skip
            payload = b"".join((start, name, record.head, record.body))
            entries.append(Entry(sequence, clock + record.received_ns, payload))
        self._spool.append(entries)

    async def read(self, after: int, records: int, size: int) -> list[Found]:
        """Return the records behind a position of the spool. Raises OSError."""
        async with self._lock:
            entries = await _finished(self._spool.read, after, records, size)
            if not entries and after >= self.place.taken:
                # What was there is damaged. Nobody appends while the lock is held.
                self.place.taken = max(self._spool.end, self.place.taken)
        return [self._found(entry) for entry in entries]

    def _found(self, entry: Entry) -> Found:
        payload = entry.payload
        (kind, flags, session, serial, received, incarnation, position, name_size,
         head_size) = _RECORD.unpack_from(payload)  # fmt: skip
        head_at = _RECORD.size + name_size
        body_at = head_at + head_size
        name = payload[_RECORD.size : head_at].decode()
        place = self._places.get((name, incarnation))
        if place is None:
            place = Place(name, incarnation)
            self.know(place)
        head, body = payload[head_at:body_at], payload[body_at:]
        if not place.live:
            # The monotonic clock of a machine that may have been started anew since.
            received = time.monotonic_ns() - max(0, time.time_ns() - entry.stamp)
        record = Record(kind, flags, session, serial, received, head, body, position)
        return Found(place, record, entry.position)

    def give_back(self, position: int) -> None:
        """Nobody needs what is up to `position` any more; `tidy` frees it."""
        self._done = max(self._done, position)

    async def tidy(self) -> None:
        """Free what was given back. Raises OSError."""
        if self._done > self._spool.released:
            async with self._lock:
                await _finished(self._spool.release, self._done)

    async def close(self) -> None:
        """Let go of the files, once a call under way has ended."""
        async with self._lock:
            self._spool.close()


def _in_use(folder: Path) -> bool:
    """Tell whether there is anything in a spool; what is empty goes. Raises OSError."""
    if any(folder.glob("*" + SUFFIX)):
        return True
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return False


async def _finished(function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Call a function in a thread; who is cancelled meanwhile waits for its end."""
    call = asyncio.ensure_future(asyncio.to_thread(function, *given, **named))
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        await asyncio.wait([call])
        raise

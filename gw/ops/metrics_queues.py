"""What the queues between the processes hold, read from their shared headers.

Attaching an end of `gw._native.ring` would supersede the process that works there, so the header
page is read as it lies: the offsets below are those of `gw_ring_header` in `ring.pyx`.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import Final, NamedTuple

_MAGIC: Final = 0x31676E6972207767
_VERSION: Final = 1
_START: Final = struct.Struct("<QIIQQ")
_WORD: Final = struct.Struct("<Q")
_HEAD: Final = 64
_TAIL: Final = 128
_REFUSED: Final = 264
_WAKEUPS: Final = 272
_RECEIVED: Final = 32
"""In a record: when it was received, by the monotonic clock in nanoseconds; 0: unknown."""


class QueueState(NamedTuple):
    """One queue at one moment."""

    queue: str
    direction: str
    """`up` to the coordinator, or `down` from it."""
    depth_bytes: int
    """Published and not yet committed."""
    capacity: int
    refused: int
    wakeups: int
    oldest_seconds: float
    """Age of the oldest record in it; 0 if there is none."""


class QueueProbe:
    """Reads one ring without being an end of it. The caller may close `memfd` afterwards."""

    def __init__(self, queue: str, direction: str, memfd: int) -> None:
        self._queue = queue
        self._direction = direction
        start = os.pread(memfd, _START.size, 0).ljust(_START.size, b"\0")
        magic, version, self._data, self._capacity, _ = _START.unpack(start)
        if (magic, version) != (_MAGIC, _VERSION):
            raise ValueError(f"queue {queue}: its memory is not a ring of this version")
        self._page = mmap.mmap(memfd, mmap.PAGESIZE, prot=mmap.PROT_READ)
        self._memfd = os.dup(memfd)

    def read(self) -> QueueState:
        """Look at the header now."""
        # Tail first: read in the other order the two could seem to have crossed.
        tail = self._word(_TAIL)
        depth = self._word(_HEAD) - tail
        return QueueState(
            self._queue,
            self._direction,
            min(depth, self._capacity),
            self._capacity,
            self._word(_REFUSED),
            self._word(_WAKEUPS),
            self._age(tail) if depth else 0.0,
        )

    def _age(self, tail: int) -> float:
        start = self._data + (tail & (self._capacity - 1))
        received: int = _WORD.unpack(os.pread(self._memfd, 8, start + _RECEIVED))[0]
        # The record may have been given back, and written over, while it was looked at.
        if received == 0 or self._word(_TAIL) != tail:
            return 0.0
        return max(0.0, (time.monotonic_ns() - received) / 1e9)

    def _word(self, offset: int) -> int:
        value: int = _WORD.unpack_from(self._page, offset)[0]
        return value

    def close(self) -> None:
        """Unmap."""
        self._page.close()
        os.close(self._memfd)

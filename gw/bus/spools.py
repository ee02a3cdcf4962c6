"""What a broker could not take yet, on disk: one queue a topic, one bound for all of them.

When the bound is reached, or the disk is full, the oldest of the least important topic goes first
(gw.bus.topics.SHED_ORDER), but never for the sake of something less important than itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from gw.bus.topics import SHED_ORDER
from gw.core.spool_file import ENTRY_OVERHEAD, Dropped, Entry, Spool
from gw.ops import logs, metrics

log = logs.get("bus")

SPOOL_FULL: Final = "spool_full"
DISK: Final = "disk"
_SEGMENT_BYTES: Final = (65_536, 8_388_608)
"""Smallest and largest segment: what is shed at once."""
_PARTS: Final = 16
_UNBOUNDED: Final = 1 << 62
_RANK: Final = {topic: rank for rank, group in enumerate(SHED_ORDER) for topic in group}
_BYTES: Final = metrics.index("gw_kafka_spool_bytes")
_MESSAGES: Final = metrics.index("gw_kafka_spool_messages")
_DAMAGED: Final = metrics.index("gw_kafka_spool_damaged_bytes_total")
_T = TypeVar("_T")


class Shed(NamedTuple):
    """What was lost to make room, or for lack of it."""

    topic: str
    reason: str
    messages: int


class _Facts(NamedTuple):
    """What is known of one queue, since its last use."""

    bytes: int
    messages: int
    oldest: int
    end: int
    released: int
    damaged: int


class Spools:
    """The queues of all topics. Whatever touches the disk runs in one thread of their own."""

    def __init__(
        self, folder: Path, max_bytes: int, topics: Iterable[str], counters: metrics.CounterPage
    ) -> None:
        """Open `folder`, which is made if need be, with a queue for each of `topics`.

        `max_bytes` is the bound for all together. Raises OSError, and SpoolError for files of
        others.
        """
        self._max_bytes = max_bytes
        self._counters = counters
        low, high = _SEGMENT_BYTES
        segment = min(max(max_bytes // 32, low), high)
        self._spools: dict[str, Spool] = {}
        self._facts: dict[str, _Facts] = {}
        for topic in topics:
            self._spools[topic] = Spool(folder / topic, max_bytes=_UNBOUNDED, segment_bytes=segment)
            self._look(topic)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")

    # -- what is in them

    def empty(self, topic: str) -> bool:
        """True if a topic has nothing on disk."""
        return self._facts[topic].messages == 0

    def end(self, topic: str) -> int:
        """Position of the newest entry of a topic, ever."""
        return self._facts[topic].end

    @property
    def oldest(self) -> int:
        """When the oldest entry arose, Unix time in nanoseconds; 0 if there is none."""
        return min((one.oldest for one in self._facts.values() if one.messages), default=0)

    @property
    def bytes(self) -> int:
        """Bytes on disk."""
        return sum(one.bytes for one in self._facts.values())

    # -- use

    async def append(self, topic: str, entries: list[Entry]) -> list[Shed]:
        """Add entries at the end; they are on disk afterwards, but for what is returned."""
        return await self._run(self._append, topic, entries)

    async def read(self, topic: str, max_messages: int, max_bytes: int) -> list[Entry]:
        """Return the oldest entries that are not released; none if the disk cannot be read."""
        return await self._run(self._read, topic, max_messages, max_bytes)

    async def release(self, topic: str, position: int) -> None:
        """Forget the entries up to `position`."""
        await self._run(self._release, topic, position)

    async def close(self) -> None:
        """Let go of the files; what is in them stays."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    # -- in the thread

    async def _run(self, work: Callable[..., _T], topic: str, *more: object) -> _T:
        before = self._facts
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._thread, work, topic, *more)
        self._counters.set(_BYTES, self.bytes)
        self._counters.set(_MESSAGES, sum(one.messages for one in self._facts.values()))
        damaged = self._facts[topic].damaged - before[topic].damaged
        if damaged:
            self._counters.add(_DAMAGED, damaged)
            log.error("a spool was damaged", topic=topic, lost_bytes=damaged)
        return result

    def _append(self, topic: str, entries: list[Entry]) -> list[Shed]:
        shed: list[Shed] = []
        # In parts that are small beside the bound: little is shed at a time, and for nothing else.
        limit, part, size = self._max_bytes // _PARTS, list[Entry](), 0
        for entry in entries:
            entry_size = ENTRY_OVERHEAD + len(entry.payload)
            if part and size + entry_size > limit:
                shed += self._append_part(topic, part, size)
                part, size = [], 0
            part.append(entry)
            size += entry_size
        if part:
            shed += self._append_part(topic, part, size)
        return shed

    def _append_part(self, topic: str, entries: list[Entry], size: int) -> list[Shed]:
        shed: list[Shed] = []
        while True:
            reason = SPOOL_FULL
            if self.bytes + size <= self._max_bytes:
                try:
                    self._spools[topic].append(entries)
                    break
                except OSError as error:
                    reason = DISK
                    log.error("the spool cannot be written", topic=topic, detail=str(error))
            victim = self._victim(topic)
            dropped = self._drop(victim) if victim else None
            if victim is None or dropped is None:
                shed.append(Shed(topic, reason, len(entries)))
                break
            shed.append(Shed(victim, reason, dropped.records))
        self._look(topic)
        return shed

    def _victim(self, topic: str) -> str | None:
        """Return the topic that loses its oldest for one that needs room, if any may."""
        for group in SHED_ORDER[: _RANK[topic] + 1]:
            full = [one for one in group if one in self._spools and not self._spools[one].empty]
            if full:
                return min(full, key=lambda one: self._spools[one].oldest)
        return None

    def _drop(self, topic: str) -> Dropped | None:
        try:
            dropped = self._spools[topic].drop_oldest()
        except OSError as error:
            log.error("the spool cannot be written", topic=topic, detail=str(error))
            return None
        self._look(topic)
        return dropped

    def _read(self, topic: str, max_messages: int, max_bytes: int) -> list[Entry]:
        spool = self._spools[topic]
        try:
            return spool.read(spool.released, max_messages, max_bytes)
        except OSError as error:
            log.error("the spool cannot be read", topic=topic, detail=str(error))
            return []
        finally:
            self._look(topic)

    def _release(self, topic: str, position: int) -> None:
        try:
            self._spools[topic].release(position)
        except OSError as error:
            # They will be published once more, after a restart.
            log.error("the spool cannot be written", topic=topic, detail=str(error))
        self._look(topic)

    def _look(self, topic: str) -> None:
        one = self._spools[topic]
        facts = _Facts(one.bytes, one.records, one.oldest, one.end, one.released, one.damaged_bytes)
        self._facts = self._facts | {topic: facts}

    def _close(self) -> None:
        for one in self._spools.values():
            one.close()

"""The way of one topic to Kafka: memory first, and the disk while the broker does not follow.

One round of messages is under way at a time: grouped by partition, sent as batches, acknowledged.
If the oldest message has waited too long (the bus decides), all that is not acknowledged goes to
the spool, and so does what comes after, until the spool is read empty: so order is kept. What is
under way stays so, and is on disk as well: delivered once if the broker comes back, repeated if
the process dies before.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from aiokafka.partitioner import murmur2

from gw.bus.interface import Message
from gw.bus.kafka_link import Away, Link, RefusedError, RejectedError
from gw.bus.spools import Shed, Spools
from gw.core.settings import Kafka
from gw.core.spool_file import Entry
from gw.ops import logs, metrics

log = logs.get("bus")

OVERHEAD: Final = 100
"""Bytes that a message takes beside its value, about."""
_HEAD: Final = struct.Struct("<QQB")
_WRITE_BYTES: Final = 2_097_152
_REFUSED_PAUSE: Final = 5.0
_FAILURES: Final = 3
_ACKNOWLEDGED: Final = metrics.indexes("gw_kafka_acknowledged_total")
_SECONDS: Final = metrics.index("gw_kafka_acknowledge_seconds")


class Ticket:
    """Tells who handed messages over that all of them are safe."""

    __slots__ = ("_left", "future")

    def __init__(self, future: asyncio.Future[None], left: int) -> None:
        self.future = future
        self._left = left

    def done(self) -> None:
        """One of the chunks is safe."""
        self._left -= 1
        if self._left <= 0 and not self.future.done():
            self.future.set_result(None)


class Chunk(NamedTuple):
    """Messages of one topic that were handed over together."""

    messages: list[Message]
    size: int
    stamp: int
    """Unix time in nanoseconds."""
    since: float
    """The same on the monotonic clock, in seconds."""
    ticket: Ticket | None


class _Round:
    """What is under way: from memory (`chunks`), or from the spool (`position`), or from both."""

    __slots__ = ("chunks", "messages", "position", "since")

    def __init__(
        self,
        messages: list[tuple[Message, int]],
        chunks: list[Chunk],
        position: int,
        since: float,
    ) -> None:
        self.messages = messages
        """With their times, Unix time in milliseconds."""
        self.chunks = chunks
        """Whose tickets wait for the broker."""
        self.position = position
        """To be released from the spool afterwards; -1: nothing."""
        self.since = since


@lru_cache(65_536)
def _hash(key: str) -> int:
    """Return the number that chooses the partition, as clients in Java do."""
    return int(murmur2(key.encode())) & 0x7FFFFFFF


def packed(message: Message) -> bytes:
    """Return a message as it lies in the spool of its topic."""
    key = message.key.encode()[:255]
    return _HEAD.pack(message.origin, message.sequence, len(key)) + key + message.value


def unpacked(topic: str, payload: bytes) -> Message:
    """Return what `packed` made."""
    origin, sequence, length = _HEAD.unpack_from(payload)
    start = _HEAD.size + length
    key = payload[_HEAD.size : start].decode(errors="replace")
    return Message(topic, key, payload[start:], origin, sequence)


class Lane:
    """Takes the messages of one topic, and gives them to the broker in order."""

    def __init__(
        self,
        topic: str,
        name: str,
        node: int,
        link: Link,
        spools: Spools,
        settings: Kafka,
        counters: metrics.CounterPage,
        lost: Callable[[Sequence[Shed]], object],
    ) -> None:
        """`name` is that of the topic at the broker; `lost` is told what is dropped."""
        self.topic = topic
        self._name = name
        self._node = str(node).encode()
        self._link = link
        self._spools = spools
        self._settings = settings
        self._counters = counters
        self._lost = lost
        self._memory: deque[Chunk] = deque()
        self._round: _Round | None = None
        self.buffered = 0
        """Bytes in memory that are neither acknowledged nor on disk."""
        self.spooling = not spools.empty(topic)
        self._position = spools.end(topic)
        """Of the newest message that was or will be written to the spool."""
        self._written = self._position
        self._unwritten: deque[Chunk] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._refused_since = 0.0
        self._dropping_until = 0.0
        self._task: asyncio.Task[None] | None = None

    # -- what the bus sees

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def refused(self) -> bool:
        """True while the broker does not want the topic."""
        return self._refused_since > 0

    @property
    def waiting_since(self) -> float:
        """Since when the oldest message waits in memory alone; infinity if none does."""
        if self._round is not None and self._round.chunks:
            return self._round.since
        return self._memory[0].since if self._memory else float("inf")

    @property
    def sending_since(self) -> float:
        """Since when a round is under way; infinity if none is."""
        return self._round.since if self._round is not None else float("inf")

    def put(self, chunk: Chunk) -> None:
        """Take messages; nothing waits."""
        self.buffered += chunk.size
        if self.spooling:
            self._to_disk(chunk)
        else:
            self._memory.append(chunk)
        self._wake.set()

    def spill(self) -> None:
        """Move to the spool whatever is in memory, and what comes after."""
        if self.spooling:
            return
        self.spooling = True
        flying = self._round
        if flying is not None and flying.chunks:
            for chunk in flying.chunks:
                self._to_disk(chunk)
            flying.chunks = []
            flying.position = self._position
        while self._memory:
            self._to_disk(self._memory.popleft())
        self._wake.set()

    async def settled(self) -> None:
        """Wait until what was spilled is on disk."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    async def stop(self) -> None:
        """End; what is not acknowledged is on disk, if it was spilled before."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self.settled()

    # -- rounds

    async def _run(self) -> None:
        failures = 0
        while True:
            if self._round is None:
                self._round = await self._next()
            try:
                await self._deliver(self._round)
            except Exception as error:
                # A fault of this program or of the library: it must not stop the topic for ever.
                failures += 1
                log.exception("a round failed", topic=self._name, detail=repr(error))
                await asyncio.sleep(_REFUSED_PAUSE)
                if failures < _FAILURES:
                    continue
                self._drop(self._round.messages, "rejected")
                self._round.messages = []
                continue
            failures, self._round = 0, None

    async def _next(self) -> _Round:
        while True:
            self._wake.clear()
            if self.spooling:
                round_ = await self._from_disk()
            else:
                round_ = self._from_memory()
            if round_ is not None:
                return round_
            if self.spooling or not self._memory:
                await self._wake.wait()
            else:
                await self._company()

    async def _company(self) -> None:
        left = self._memory[0].since + self._settings.batch_milliseconds / 1000 - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0.0)):
                await self._wake.wait()
        except TimeoutError:
            return

    def _from_memory(self) -> _Round | None:
        settings, memory = self._settings, self._memory
        if not memory:
            return None
        age = time.monotonic() - memory[0].since
        if (
            self.buffered < settings.batch_bytes
            and age * 1000 < settings.batch_milliseconds
            and sum(len(one.messages) for one in memory) < settings.batch_messages
        ):
            return None
        chunks: list[Chunk] = []
        messages: list[tuple[Message, int]] = []
        size = 0
        while memory:
            chunk = memory[0]
            size += chunk.size
            if chunks and (
                size > settings.batch_bytes
                or len(messages) + len(chunk.messages) > settings.batch_messages
            ):
                break
            chunks.append(memory.popleft())
            milliseconds = chunk.stamp // 1_000_000
            messages += [(message, milliseconds) for message in chunk.messages]
        return _Round(messages, chunks, -1, chunks[0].since)

    async def _from_disk(self) -> _Round | None:
        """Return the next round of the spool; None if nothing is there, or no longer spooling."""
        settings = self._settings
        quiet = self._writing is None
        entries = await self._spools.read(self.topic, settings.batch_messages, settings.batch_bytes)
        if entries:
            messages = [
                (unpacked(self.topic, one.payload), one.stamp // 1_000_000) for one in entries
            ]
            return _Round(messages, [], entries[-1].position, time.monotonic())
        if quiet and self._writing is None:
            if self._spools.empty(self.topic):
                self.spooling = False
                log.info("the spool is empty", topic=self.topic)
            else:  # the disk does not give it back: it says so itself
                await asyncio.sleep(_REFUSED_PAUSE)
            self._wake.set()
        return None

    async def _deliver(self, round_: _Round) -> None:
        left = round_.messages
        while left:
            if time.monotonic() < self._dropping_until:
                self._drop(left, self._reason)
                break
            try:
                left = await self._send(left)
                if self._refused_since and not left:
                    log.info("a topic is taken again", topic=self._name)
                    self._refused_since = 0.0
            except RefusedError as fault:
                await self._refused(fault, left)
        if round_.position >= 0:
            # What is under way may be on its way to the disk, too.
            while self._written < round_.position:
                self._wake.clear()
                await self._wake.wait()
            await self._spools.release(self.topic, round_.position)
        for chunk in round_.chunks:
            self._safe(chunk)
            self._counters.observe(_SECONDS, time.monotonic() - chunk.since)
        round_.chunks = []

    async def _send(self, messages: list[tuple[Message, int]]) -> list[tuple[Message, int]]:
        """Send messages; returns those that must be sent again. Raises RefusedError."""
        count = await self._link.partitions(self._name)
        groups: dict[int, list[tuple[Message, int]]] = {}
        for one in messages:
            groups.setdefault(_hash(one[0].key) % count, []).append(one)
        results = await asyncio.gather(
            *(self._send_partition(number, group) for number, group in groups.items()),
            return_exceptions=True,
        )
        left: list[tuple[Message, int]] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            left += result
        return left

    async def _send_partition(
        self, partition: int, messages: list[tuple[Message, int]]
    ) -> list[tuple[Message, int]]:
        """Send one batch after the other; returns what is left if the producer is replaced.

        In a batch that is rejected, each message is tried alone: only the bad one is dropped.
        """
        at, alone_until = 0, 0
        while at < len(messages):
            try:
                batch = self._link.batch()
                end = self._fill(batch, messages, at, at + 1 if at < alone_until else None)
                await self._link.send(self._name, partition, batch)
            except Away:
                return messages[at:]
            except RefusedError:
                raise
            except RejectedError as fault:
                if end - at > 1:
                    alone_until = end
                else:
                    self._drop(messages[at:end], fault.reason, str(fault))
                    at = end
                await self._link.partitions(self._name)
                continue
            self._counters.add(_ACKNOWLEDGED[self.topic], end - at)
            at = end
        return []

    def _fill(
        self, batch: object, messages: list[tuple[Message, int]], at: int, limit: int | None
    ) -> int:
        """Put messages from `at` on into a batch; returns the place behind the last one."""
        append = batch.append  # type: ignore[attr-defined]
        end = len(messages) if limit is None else limit
        while at < end:
            message, milliseconds = messages[at]
            headers = [
                ("node", self._node),
                ("sequence", b"%d-%d" % (message.origin, message.sequence)),
            ]
            if (
                append(
                    timestamp=milliseconds,
                    key=message.key.encode(),
                    value=message.value,
                    headers=headers,
                )
                is None
            ):
                break
            at += 1
        return at

    # -- what is lost

    async def _refused(self, fault: RefusedError, left: list[tuple[Message, int]]) -> None:
        """The topic is missing or forbidden: be patient for a while, then drop."""
        now = time.monotonic()
        self._reason = fault.reason
        if not self._refused_since:
            self._refused_since = now
            log.error(
                "Kafka refuses a topic; trying on",
                topic=self._name,
                detail=str(fault),
                seconds=self._settings.refused_seconds,
            )
        patience = self._settings.refused_seconds - (now - self._refused_since)
        if patience > 0:
            await asyncio.sleep(min(_REFUSED_PAUSE, patience))
            return
        log.error("events of a refused topic are dropped", topic=self._name, detail=str(fault))
        self._dropping_until = now + _REFUSED_PAUSE

    _reason = "unknown_topic"

    def _drop(self, messages: Sequence[tuple[Message, int]], reason: str, detail: str = "") -> None:
        self._lost([Shed(self.topic, reason, len(messages))])
        if detail:
            message = messages[0][0]
            log.error(
                "Kafka rejected an event; it is dropped",
                topic=self._name,
                serial=message.key,
                bytes=len(message.value),
                detail=detail,
            )

    # -- disk

    def _to_disk(self, chunk: Chunk) -> None:
        self._position += len(chunk.messages)
        self._unwritten.append(chunk)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        while self._unwritten:
            chunks: list[Chunk] = []
            entries: list[Entry] = []
            size = 0
            while self._unwritten and size < _WRITE_BYTES:
                chunk = self._unwritten.popleft()
                chunks.append(chunk)
                size += chunk.size
                first = self._written + len(entries) + 1
                entries += [
                    Entry(first + place, chunk.stamp, packed(message))
                    for place, message in enumerate(chunk.messages)
                ]
            shed = await self._spools.append(self.topic, entries)
            self._written += len(entries)
            if shed:
                self._lost(shed)
            for chunk in chunks:
                self._safe(chunk)
            self._wake.set()
        self._writing = None
        self._wake.set()

    def _safe(self, chunk: Chunk) -> None:
        self.buffered -= chunk.size
        if chunk.ticket is not None:
            chunk.ticket.done()

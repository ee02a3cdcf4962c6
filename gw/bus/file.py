"""A bus that appends its messages to a file: to look at, and for integrations by `tail -F`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from pathlib import Path
from typing import Final

from gw.bus.interface import Message
from gw.ops import logs, metrics

log = logs.get("bus")

_MAX_BUFFERED: Final = 16_777_216
"""Bytes that wait for the disk; more is shed, and counted."""
_DROPPED: Final = metrics.index("gw_bus_dropped_total")


class FileBus:
    """One JSON object a line: topic, key, value; see gw.bus.interface.Bus.

    A file that has reached its size is renamed to `<name>.1`, in place of an earlier one.
    """

    def __init__(
        self, file: Path, max_bytes: int, skip: frozenset[str], counters: metrics.CounterPage
    ) -> None:
        """Open the file for appending. Raises OSError if that is not possible."""
        self._file = file
        self._max_bytes = max_bytes
        self._skip = skip
        self._counters = counters
        self._descriptor = _open(file)
        self._lines: deque[bytes] = deque()
        self._buffered = 0
        self._done: asyncio.Future[None] | None = None
        """For those who wait for what is buffered now."""
        self._writing: asyncio.Task[None] | None = None

    def wants(self, topic: str) -> bool:
        """All but those that the settings leave out."""
        return topic not in self._skip

    def publish(self, message: Message) -> None:
        """Append one message soon."""
        self.publish_batch([message])

    def publish_batch(self, messages: list[Message]) -> asyncio.Future[None]:
        """Append messages soon; done once they are written."""
        loop = asyncio.get_running_loop()
        for one in messages:
            if self._buffered > _MAX_BUFFERED:
                self._counters.add(_DROPPED)
                continue
            # What a device sent may have line breaks, between the parts of its JSON only.
            value = one.value.replace(b"\n", b" ").replace(b"\r", b" ")
            line = b'{"topic":"%b","key":"%b","value":%b}\n' % (
                one.topic.encode(), one.key.encode(), value,
            )  # fmt: skip
            self._lines.append(line)
            self._buffered += len(line)
        if self._done is None:
            self._done = loop.create_future()
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return self._done

    async def _write(self) -> None:
        while self._done is not None:
            lines, self._lines = self._lines, deque()
            done, self._done = self._done, None
            self._buffered = 0
            try:
                await asyncio.to_thread(self._append, b"".join(lines))
            except OSError as error:
                self._counters.add(_DROPPED, len(lines))
                log.error("events were not written", file=str(self._file), detail=str(error))
            done.set_result(None)
        self._writing = None

    def _append(self, data: bytes) -> None:
        if os.fstat(self._descriptor).st_size + len(data) > self._max_bytes:
            self._file.replace(self._file.with_name(self._file.name + ".1"))
            os.close(self._descriptor)
            self._descriptor = _open(self._file)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    async def close(self) -> None:
        """Write what is left."""
        if self._writing is not None:
            await self._writing
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def _open(file: Path) -> int:
    # Events hold what devices tell, passwords too: for the owner only.
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")  # a predecessor was killed in the middle of a line
    return descriptor

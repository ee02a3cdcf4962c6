"""One socket of a viewer, and what waits to be sent to it: bounded, in order, from one sender."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from gw.core.settings import Streams as StreamSettings

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

NORMAL: Final = 1000
POLICY: Final = 1008
TOO_BIG: Final = 1009
SLOW: Final = 1013
"""Codes of close frames (RFC 6455 7.4; 1013 is `try again later`)."""


Count = Callable[[int], object]


def _uncounted(_number: int) -> None:
    """Take no note."""


class Viewer:
    """What waits for one socket.

    Beyond the bound a lossy viewer misses items, and is told how many; any other one is ended.
    """

    def __init__(
        self,
        settings: StreamSettings,
        *,
        lossy: bool = False,
        sent: Count = _uncounted,
        left_out: Count = _uncounted,
    ) -> None:
        """`sent` and `left_out` are called with numbers of items."""
        self._count_sent = sent
        self._count_left_out = left_out
        self.muted: frozenset[int] = frozenset()
        """Types of notifications that are not wanted."""
        self.close_code = 0
        """Set once the gateway ends the socket."""
        self.overrun = asyncio.Event()
        """Set once more waited than may."""
        self._missed = 0
        self._lossy = lossy
        self._max_items = settings.queue_items
        self._max_bytes = settings.queue_bytes
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._ready = asyncio.Event()

    def put(self, text: str) -> None:
        """Send a text soon; never blocks."""
        if self.close_code:
            return
        full = len(self._waiting) >= self._max_items or self._bytes + len(text) > self._max_bytes
        if full and self._waiting:  # one item of any size is always let through
            self._count_left_out(1)
            if not self._lossy:
                self.overrun.set()
                self.end(SLOW)
                return
            self._missed += 1
            return
        if self._missed:
            self._append(f'{{"leftOut":{self._missed}}}')
            self._missed = 0
        self._append(text)

    def _append(self, text: str) -> None:
        self._waiting.append(text)
        self._bytes += len(text)
        self._ready.set()

    @property
    def slow(self) -> bool:
        """True if it was ended because it did not read."""
        return self.overrun.is_set()

    def end(self, code: int) -> None:
        """End the socket once what waits is sent; at once if it is slow."""
        if not self.close_code:
            self.close_code = code
            self._ready.set()

    async def pump(self, send: Send) -> None:
        """Send what waits, until the socket is to end."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._waiting:
                text = self._waiting.popleft()
                self._bytes -= len(text)
                await send({"type": "websocket.send", "text": text})
                self._count_sent(1)
            if self.close_code:
                return

"""Reads that outlast an absence of the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from gw.ops import logs
from gw.store.errors import StoreError

log = logs.get("store")
T = TypeVar("T")

_FIRST_SECONDS: Final = 0.05
_LONGEST_SECONDS: Final = 2.0


async def patiently(attempt: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
    """Return what `attempt` returns; repeat it, ever more slowly, while the store is away.

    Raises StoreError if trying again makes no sense, or after `seconds` (None: never).
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    pause = _FIRST_SECONDS
    while True:
        try:
            return await attempt()
        except StoreError as error:
            if not error.retriable or (deadline is not None and time.monotonic() > deadline):
                raise
            log.warning("the store is away; trying again", detail=str(error), seconds=pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_SECONDS)

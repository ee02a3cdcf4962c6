"""Deletes what is older than it is to be kept: in small steps, between which intake goes on.

Each step deletes the oldest rows of one kind in a transaction of about
`retention.step_milliseconds`; afterwards the janitor pauses so long that deleting takes no more
than `retention.time_share` of the time. Kinds take turns, so that none waits for another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from gw.coordinator.work import Committer
from gw.core.retention import KINDS, Kind, keep_seconds
from gw.core.settings import Settings
from gw.ops import metrics
from gw.store.interface import DeleteExpired

_FIRST_ROWS: Final = 100
_FIRST_FILES: Final = 2
_LOGS: Final[tuple[Kind, ...]] = ("logs", "crash_logs", "reboot_logs")
"""They share a table, whose partitions may go only when all of them may."""

_REMOVED: Final = metrics.indexes("gw_retention_removed_total")
_BYTES: Final = metrics.indexes("gw_retention_removed_bytes_total")
_LAG: Final = metrics.indexes("gw_retention_lag_seconds")
_SECONDS: Final = metrics.index("gw_retention_step_seconds")


class Janitor:
    """Retention of everything that the store keeps for a time."""

    def __init__(self, work: Committer, settings: Settings, counters: metrics.CounterPage) -> None:
        self._work = work
        self._settings = settings
        self._counters = counters
        self._rows: dict[Kind, int] = dict.fromkeys(KINDS, _FIRST_ROWS)
        self._rows["files"] = _FIRST_FILES

    async def run(self) -> None:
        """Delete what is due, for ever."""
        while True:
            await asyncio.sleep(self._settings.retention.round_seconds)
            await self.round(int(time.time()))

    async def round(self, now: int) -> None:
        """Delete everything that is too old at `now`; the kinds take turns."""
        kinds = list(KINDS)
        while kinds:
            for step in self._steps(kinds, now):
                self._work.write(step)
                await self._work.durable()
                self._note(step)
                if not step.more:
                    kinds.remove(step.kind)
                await self._pause(step)

    def _steps(self, kinds: list[Kind], now: int) -> Iterator[DeleteExpired]:
        for kind in list(kinds):
            whole = [now - keep_seconds(self._settings, one) for one in _LOGS]
            yield DeleteExpired(
                kind,
                now - keep_seconds(self._settings, kind),
                self._rows[kind],
                whole_before=min(whole) if kind in _LOGS else None,
            )

    def _note(self, step: DeleteExpired) -> None:
        counters = self._counters
        counters.add(_REMOVED[step.kind], step.removed)
        counters.add(_BYTES[step.kind], step.bytes)
        counters.set(_LAG[step.kind], step.lag)
        counters.observe(_SECONDS, step.seconds)
        wanted = self._settings.retention.step_milliseconds / 1000
        if step.seconds > wanted:
            self._rows[step.kind] = max(1, step.limit // 2)
        elif step.more and step.seconds < wanted / 2:
            self._rows[step.kind] = min(2 * step.limit, self._settings.retention.step_rows)

    async def _pause(self, step: DeleteExpired) -> None:
        share = self._settings.retention.time_share
        if step.removed:
            await asyncio.sleep(step.seconds * (1 / share - 1))

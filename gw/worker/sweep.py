"""Ends sessions that are silent, or that never said `connect`."""

from __future__ import annotations

import asyncio
import time

from picows import WSCloseCode

from gw.worker.context import WorkerContext

_SLICE = 2000
"""Sessions looked at in one turn of the loop."""


async def sweep(context: WorkerContext) -> None:
    """Look at all sessions again and again, for ever. One timer serves them all."""
    limits = context.settings.devices
    pause = max(0.05, min(5.0, limits.idle_seconds / 10, limits.connect_seconds / 10))
    while True:
        await asyncio.sleep(pause)
        for number, session in enumerate(list(context.sessions.values())):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            if session.ended or session.paused:
                continue
            now = time.monotonic_ns()
            if (
                session.connect_head is None
                and now - session.opened_ns > limits.connect_seconds * 1e9
            ):
                text = f"no connect within {limits.connect_seconds:g} s"
                session.end(WSCloseCode.POLICY_VIOLATION, "no_connect", text)
            elif now - session.last_seen > limits.idle_seconds * 1e9:
                session.end(WSCloseCode.GOING_AWAY, "idle", f"silent for {limits.idle_seconds:g} s")

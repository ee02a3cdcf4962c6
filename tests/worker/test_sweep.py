"""Sessions that are silent, or never say `connect`, end."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from gw.core.settings import Devices
from gw.worker.sweep import sweep

LONG = 10_000_000_000


class Session:
    """A session as the sweep sees it."""

    def __init__(self, *, opened: int = 0, seen: int = 0, connected: bool = True) -> None:
        now = time.monotonic_ns()
        self.connect_head = object() if connected else None
        self.opened_ns = now - opened
        self.last_seen = now - seen
        self.ended = False
        self.paused = False
        self.reason = ""
        self.done = asyncio.Event()

    def end(self, code: object, reason: str, text: str) -> None:
        assert not self.ended
        self.ended = True
        self.reason = reason
        self.done.set()


@pytest.mark.parametrize(
    ("session", "reason"),
    [
        ({"opened": LONG, "connected": False}, "no_connect"),
        ({"opened": LONG, "seen": LONG, "connected": False}, "no_connect"),
        ({"opened": LONG, "seen": LONG}, "idle"),
    ],
)
async def test_ends(session, reason):
    limits = Devices(connect_seconds=5.0, idle_seconds=5.0)
    found = Session(**session)
    fresh, connecting = Session(opened=LONG), Session(connected=False)
    sessions = {1: fresh, 2: connecting, 3: found}
    context = SimpleNamespace(settings=SimpleNamespace(devices=limits), sessions=sessions)
    task = asyncio.create_task(sweep(context))
    try:
        await asyncio.wait_for(found.done.wait(), 60)
    finally:
        task.cancel()
    assert found.reason == reason
    assert (fresh.reason, connecting.reason) == ("", "")

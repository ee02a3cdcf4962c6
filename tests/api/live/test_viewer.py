"""What waits for a viewer is bounded; who is too slow misses items or is ended."""

from __future__ import annotations

import asyncio

import pytest

from gw.api.live.viewer import NORMAL, SLOW, Viewer
from gw.core.settings import Streams


class Wire:
    """Takes what is sent, when it may."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.sent: list[str] = []

    async def send(self, message):
        await self.open.wait()
        self.sent.append(message["text"])


class Counted(Viewer):
    """Counts what it sent and left out."""

    sent = left_out = 0

    def note_sent(self, number):
        self.sent += number

    def note_left_out(self, number):
        self.left_out += number


def viewer_of(settings, **more):
    made = Counted(settings, **more)
    made._count_sent, made._count_left_out = made.note_sent, made.note_left_out
    return made


async def drained(viewer: Viewer, wire: Wire) -> list[str]:
    viewer.end(NORMAL)
    async with asyncio.timeout(60):
        await viewer.pump(wire.send)
    return wire.sent


async def test_items_are_sent_in_order():
    viewer, wire = viewer_of(Streams()), Wire()
    for text in ("a", "b", "c"):
        viewer.put(text)
    assert await drained(viewer, wire) == ["a", "b", "c"]
    assert (viewer.sent, viewer.left_out, viewer.close_code) == (3, 0, NORMAL)
    viewer.put("too late")
    assert viewer.sent == 3


@pytest.mark.parametrize("bound", [{"queue_items": 2}, {"queue_bytes": 2}])
async def test_a_viewer_that_does_not_read_is_ended(bound):
    viewer = viewer_of(Streams(**bound))
    for _ in range(2):
        viewer.put("x")
    assert not viewer.slow
    viewer.put("x")
    assert viewer.slow
    assert viewer.overrun.is_set()
    assert (viewer.close_code, viewer.left_out) == (SLOW, 1)


async def test_one_item_of_any_size_is_let_through():
    viewer, wire = viewer_of(Streams(queue_bytes=2)), Wire()
    viewer.put("large")
    assert await drained(viewer, wire) == ["large"]


async def test_a_tail_misses_items_and_is_told_how_many():
    viewer, wire = viewer_of(Streams(queue_items=2), lossy=True), Wire()
    for number in range(5):
        viewer.put(str(number))
    wire.open.clear()
    pump = asyncio.create_task(viewer.pump(wire.send))
    wire.open.set()
    async with asyncio.timeout(60):
        while len(wire.sent) < 2:
            await asyncio.sleep(0)
    viewer.put("5")
    viewer.end(NORMAL)
    await asyncio.wait_for(pump, 60)
    assert wire.sent == ["0", "1", '{"leftOut":3}', "5"]
    assert (viewer.slow, viewer.left_out, viewer.close_code) == (False, 3, NORMAL)

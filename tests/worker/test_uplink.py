"""The uplink over a real ring: order, back-pressure, and the bound of what it holds."""

import asyncio
import os

import pytest

from gw._native import ring
from gw.core.records import Kind
from gw.ops import metrics
from gw.worker.uplink import Uplink

CAPACITY = 65_536
RESERVE = 16_384
BODY = b"x" * 4000
ROOM = CAPACITY - RESERVE


class Owner:
    """A session as the uplink sees it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.resumed = asyncio.Event()

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")
        self.resumed.set()

    def overloaded(self) -> None:
        self.calls.append("overloaded")


class Rig:
    """Both ends of one ring."""

    def __init__(self) -> None:
        self.memfd = ring.create(CAPACITY)
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.producer = ring.Producer(self.memfd, self.wake)
        self.consumer = ring.Consumer(self.memfd, self.wake)
        self.counters = metrics.CounterPage.private()
        self.uplink = Uplink(self.producer, self.counters, reserve=RESERVE, max_held_bytes=40_000)
        self.number = 0
        self.sent: list[tuple[int, int]] = []

    def publish(self, session: int, owner: Owner | None, body: bytes = BODY) -> None:
        self.number += 1
        self.sent.append((session, self.number))
        kind = Kind.MESSAGE if owner else Kind.DISCONNECT
        self.uplink.publish(kind, session, 7, self.number, b"h", body, owner)

    def fill(self, owner: Owner, session: int = 1) -> None:
        """Publish until the session is told to stop."""
        while "pause" not in owner.calls:
            self.publish(session, owner)

    def take(self, count: int = 1000) -> list[tuple[int, int]]:
        found = self.consumer.read(count, CAPACITY)
        self.consumer.commit(self.consumer.position)
        return [(one.session, one.received_ns) for one in found]

    async def take_all(self) -> list[tuple[int, int]]:
        found = self.take()
        async with asyncio.timeout(60):
            while not self.uplink.drained or self.consumer.depth_bytes:
                await asyncio.sleep(0)
                found += self.take()
        return found

    def close(self) -> None:
        self.producer.close()
        self.consumer.close()
        os.close(self.memfd)
        os.close(self.wake)


@pytest.fixture
def rig():
    made = Rig()
    yield made
    made.close()


async def test_with_room_nothing_is_held_or_paused(rig):
    owner = Owner()
    for _ in range(5):
        rig.publish(1, owner)
    assert rig.uplink.drained
    assert rig.take() == rig.sent
    assert owner.calls == []


async def test_sender_stops_at_the_reserve_and_its_record_uses_it(rig):
    owner = Owner()
    rig.fill(owner)
    assert owner.calls == ["pause"]
    assert rig.uplink.drained
    assert rig.producer.used > ROOM
    assert rig.take() == rig.sent


async def test_records_without_an_owner_use_the_reserve_and_stop_nobody(rig):
    owner = Owner()
    while rig.producer.used + len(BODY) + 100 < ROOM:
        rig.publish(1, owner)
    rig.publish(2, None)
    rig.publish(3, None)
    assert rig.uplink.drained
    assert owner.calls == []
    assert rig.take() == rig.sent


async def test_order_is_kept_when_the_ring_is_full(rig):
    one, two = Owner(), Owner()
    rig.fill(one)
    while rig.uplink.drained:
        rig.publish(1, one)
    rig.publish(2, two)
    rig.publish(1, None)
    # A record that would still fit must not pass those that wait.
    rig.publish(3, None, b"")
    rig.publish(1, one, b"")
    assert two.calls == ["pause"]
    assert await rig.take_all() == rig.sent


async def test_reading_goes_on_below_the_low_mark_only(rig):
    owner = Owner()
    rig.fill(owner)
    rig.take(1)
    assert rig.producer.used > ROOM // 2
    # The retry timer runs several times without effect.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(owner.resumed.wait(), 0.05)
    rig.take()
    await asyncio.wait_for(owner.resumed.wait(), 60)
    assert owner.calls == ["pause", "resume"]
    rig.publish(1, owner)
    assert owner.calls == ["pause", "resume"]


async def test_what_is_held_is_bounded_and_its_sender_ends(rig):
    owner = Owner()
    rig.fill(owner)
    while "overloaded" not in owner.calls:
        assert rig.number < 100
        rig.publish(1, owner)
    assert owner.calls == ["pause", "overloaded"]
    lost = rig.sent.pop()
    # The end of the session is told nevertheless, behind what it sent.
    rig.publish(1, None, b"")
    found = await rig.take_all()
    assert found == rig.sent
    assert lost not in found


async def test_session_that_is_gone_is_not_resumed(rig):
    gone, stays = Owner(), Owner()
    rig.fill(gone, session=1)
    rig.fill(stays, session=2)
    rig.uplink.forget(1)
    rig.take()
    await asyncio.wait_for(stays.resumed.wait(), 60)
    assert gone.calls == ["pause"]


async def test_waits_and_refusals_are_counted(rig):
    owner = Owner()
    rig.fill(owner)
    assert rig.counters.get(metrics.index("gw_queue_waits_total")) == 1
    assert rig.counters.get(metrics.index("gw_queue_refused_total")) == 0
    while rig.uplink.drained:
        rig.publish(1, owner)
    assert rig.counters.get(metrics.index("gw_queue_waits_total")) == 1
    assert rig.counters.get(metrics.index("gw_queue_refused_total")) == 1
    assert await rig.take_all() == rig.sent


async def test_record_that_no_ring_takes_does_not_stop_the_others(rig):
    owner = Owner()
    rig.fill(owner)
    while rig.uplink.drained:
        rig.publish(1, owner)
    with pytest.raises(ValueError, match="record"):
        rig.uplink.publish(Kind.MESSAGE, 2, 7, 0, b"h", bytes(CAPACITY), Owner())
    rig.publish(3, None)
    assert await rig.take_all() == rig.sent

"""What is shown to viewers never takes the room of answers."""

from __future__ import annotations

import os

import pytest

from gw._native import ring
from gw.coordinator.links import Links
from gw.core import records
from gw.core.bootstrap import RingEnds
from gw.core.records import RECORD_VERSION, Kind, Stream, StreamItem

CAPACITY = 65_536


@pytest.fixture
def ends():
    files = [
        ring.create(CAPACITY),
        os.eventfd(0, os.EFD_NONBLOCK),
        ring.create(CAPACITY),
        os.eventfd(0, os.EFD_NONBLOCK),
    ]
    yield RingEnds("api", *files)
    for one in files:
        os.close(one)


def test_items_take_half_of_the_queue_and_answers_all_of_it(ends):
    links = Links([ends])
    down = ring.Consumer(ends.down_memfd, ends.down_wake)
    item = StreamItem(RECORD_VERSION, Stream.NOTICE, 6000)
    offered = 0
    while links.offer(item, 0, b"x" * 1000):
        offered += 1
        assert offered < CAPACITY
    assert CAPACITY // 2 - 2000 < down.depth_bytes <= CAPACITY // 2
    response = records.Response(RECORD_VERSION, 1, 0, "", {})
    answered = 0
    while links.respond(response, b"x" * 1000):
        answered += 1
    assert answered > offered // 2
    assert down.depth_bytes > CAPACITY - 2000
    kinds = [record.kind for record in down.read(10_000, 1 << 20)]
    assert kinds == [Kind.STREAM] * offered + [Kind.RESPONSE] * answered


def test_an_item_that_no_queue_can_take_is_left_out(ends):
    links = Links([ends])
    assert not links.offer(StreamItem(RECORD_VERSION, Stream.TAIL), 0, b"x" * CAPACITY)
    assert links.offer(StreamItem(RECORD_VERSION, Stream.TAIL), 0, b"x")

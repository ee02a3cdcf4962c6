"""The bus that is a file, and the one within the process."""

from __future__ import annotations

import json

import pytest

from gw.bus.file import FileBus
from gw.bus.interface import Message
from gw.bus.local import LocalBus
from gw.bus.topics import STATE, TOPICS, WIFISCAN
from gw.ops import metrics

DROPPED = metrics.index("gw_bus_dropped_total")


def message(number: int, topic: str = STATE) -> Message:
    return Message(topic, "02a0e7000001", b'{"n":%d}' % number)


def numbers(file):
    return [json.loads(line)["value"]["n"] for line in file.read_text().splitlines()]


@pytest.fixture
def counters():
    return metrics.CounterPage.private()


async def test_messages_are_lines_in_order_and_told_once_written(tmp_path, counters):
    file = tmp_path / "events"
    bus = FileBus(file, 1 << 20, frozenset(), counters)
    first = bus.publish_batch([message(1), message(2)])
    second = bus.publish_batch([message(3)])
    await second
    assert first.done()
    assert numbers(file) == [1, 2, 3]
    line = json.loads(file.read_text().splitlines()[0])
    assert line == {"topic": "state", "key": "02a0e7000001", "value": {"n": 1}}
    bus.publish(message(4))
    await bus.close()
    assert numbers(file) == [1, 2, 3, 4]
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_message_with_line_breaks_is_one_line(tmp_path, counters):
    bus = FileBus(tmp_path / "events", 1 << 20, frozenset(), counters)
    await bus.publish_batch([Message(STATE, "02a0e7000001", b'{"n":\r\n1,\n"x":"a\\nb"}')])
    await bus.close()
    (line,) = (tmp_path / "events").read_text().splitlines()
    assert json.loads(line)["value"] == {"n": 1, "x": "a\nb"}


async def test_a_line_that_was_cut_off_spoils_no_other(tmp_path, counters):
    file = tmp_path / "events"
    file.write_bytes(b'{"topic":"state","key":"02a0')
    bus = FileBus(file, 1 << 20, frozenset(), counters)
    await bus.publish_batch([message(1)])
    await bus.close()
    assert json.loads(file.read_text().splitlines()[1])["value"] == {"n": 1}


async def test_the_file_is_renamed_at_its_size_and_nothing_is_lost(tmp_path, counters):
    file = tmp_path / "events"
    bus = FileBus(file, 400, frozenset(), counters)
    for number in range(9):
        await bus.publish_batch([message(number)])
    await bus.close()
    old = tmp_path / "events.1"
    assert numbers(old) + numbers(file) == list(range(9))
    assert max(old.stat().st_size, file.stat().st_size) <= 400


async def test_what_waits_is_bounded(tmp_path, counters, monkeypatch):
    monkeypatch.setattr("gw.bus.file._MAX_BUFFERED", 100)
    bus = FileBus(tmp_path / "events", 1 << 20, frozenset(), counters)
    await bus.publish_batch([message(number) for number in range(10)])
    written = numbers(tmp_path / "events")
    assert 0 < len(written) < 10
    assert counters.get(DROPPED) == 10 - len(written)
    await bus.close()


async def test_topics_may_be_left_out(tmp_path, counters):
    bus = FileBus(tmp_path / "events", 1000, frozenset((STATE,)), counters)
    assert [topic for topic in TOPICS if not bus.wants(topic)] == [STATE]
    await bus.close()


def test_subscribers_get_their_topics_also_if_one_fails():
    bus = LocalBus()
    got: list[Message] = []

    def fail(_: Message) -> None:
        raise RuntimeError("a fault")

    bus.subscribe(fail, [STATE])
    bus.subscribe(got.append, [STATE])
    assert bus.wants(STATE)
    assert not bus.wants(WIFISCAN)
    assert bus.publish_batch([message(1), message(2, WIFISCAN)]) is None
    assert got == [message(1)]

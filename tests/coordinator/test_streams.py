"""Live streams on the coordinator's side: only what is looked at, and how much was left out."""

from __future__ import annotations

import json
import time

import pytest

from gw._native.ring import Record
from gw.coordinator import streams as notices
from gw.coordinator.streams import LEASE_SECONDS, MAX_TAIL_BYTES, Streams
from gw.core import records
from gw.core.ids import serial_to_int
from gw.core.records import RECORD_VERSION, Kind, Stream
from gw.ops import metrics

SERIAL, OTHER = "02a0e7500001", "02a0e7500002"
LEFT_OUT = metrics.indexes("gw_stream_left_out_total")


class Links:
    """Takes items while there is room."""

    def __init__(self) -> None:
        self.tap = None
        self.room = True
        self.items = []

    def offer(self, item, serial, text):
        if self.room:
            self.items.append((item, serial, json.loads(text) if text else None))
        return self.room


class Work:
    """Everything is durable at once."""

    def follow(self, effect):
        effect()


@pytest.fixture
def links():
    return Links()


@pytest.fixture
def counters():
    return metrics.CounterPage.private()


@pytest.fixture
def streams(links, counters):
    made = Streams(Work(), links, counters)
    yield made
    made._until = 1.0
    made.expire()


async def interest(streams, **wanted):
    await streams.operations()["stream.interest"]({"generation": 1} | wanted, b"")


def message(method: str, body: bytes, serial: str = SERIAL) -> Record:
    head = records.DeviceMessage(RECORD_VERSION, method, -1, "", 0, 0, 1, 1, 1)
    return Record(Kind.MESSAGE, 0, 1, serial_to_int(serial), 0, records.encode(head), body, 8)


async def test_notifications_are_made_only_for_who_listens(streams, links):
    streams.notify(notices.CONNECTED, {"serialNumber": SERIAL})
    assert links.items == []
    await interest(streams, notices=True)
    streams.notify(notices.CONNECTED, {"serialNumber": SERIAL})
    streams.notify(notices.STATISTICS, {"serialNumber": SERIAL})
    assert [(item.stream, item.type_id) for item, _, _ in links.items] == [
        (Stream.NOTICE, 4000), (Stream.NOTICE, 6000)
    ]  # fmt: skip
    assert links.items[0][2] == {
        "notification": {
            "notification_id": 1, "type_id": 4000, "content": {"serialNumber": SERIAL}
        }
    }  # fmt: skip
    assert links.items[1][2]["notification"]["notification_id"] == 2


async def test_an_interest_ends_unless_it_is_renewed(streams, links, monkeypatch):
    attached = []
    streams.viewers_changed = attached.append
    await interest(streams, notices=True, tails=[SERIAL], telemetry=["u"])
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + LEASE_SECONDS - 1)
    streams.expire()
    assert streams.listening
    monkeypatch.setattr(time, "monotonic", lambda: now + LEASE_SECONDS + 1)
    streams.expire()
    assert not streams.listening
    assert (streams.tails, links.tap) == ({}, None)
    assert attached == [{"u"}, set()]


async def test_a_request_of_an_api_that_is_gone_changes_nothing(streams):
    await interest(streams, generation=2, notices=True)
    await interest(streams, generation=1)
    assert streams.listening
    await interest(streams, generation=2)
    assert not streams.listening


async def test_a_tail_is_told_what_was_left_out_before(streams, links, counters):
    await interest(streams, tails=[SERIAL])
    streams.received(message("log", b'{"log":"a"}', OTHER))
    streams.received(message("log", b'{"log":"a"}'))
    links.room = False
    streams.received(message("log", b'{"log":"b"}'))
    links.tap(SERIAL, "leds", b'{"pattern":"on"}')
    links.room = True
    links.tap(SERIAL, "leds", b'{"pattern":"off"}')
    streams.received(message("log", b'{"log":"c"}'))
    shown = [text for _, _, text in links.items]
    assert [(one["direction"], one["method"], one["leftOut"]) for one in shown] == [
        ("received", "log", 0), ("sent", "leds", 2), ("received", "log", 0)
    ]  # fmt: skip
    assert [one["message"] for one in shown] == [{"log": "a"}, {"pattern": "off"}, {"log": "c"}]
    assert counters.get(LEFT_OUT["tail"]) == 2


async def test_large_messages_and_radius_packets_are_not_shown(streams, links):
    await interest(streams, tails=[SERIAL])
    large = b'{"x":"%b"}' % (b"x" * MAX_TAIL_BYTES)
    streams.received(message("state", large))
    links.tap(SERIAL, "radius", b"\x01\x02secret")
    streams.received(Record(Kind.RADIUS, 0, 1, serial_to_int(SERIAL), 0, b"", b"\xff\xfe", 8))
    assert [(text["size"], text["message"]) for _, _, text in links.items] == [
        (len(large), None), (8, None), (2, None)
    ]  # fmt: skip

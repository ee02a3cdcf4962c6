"""Which services are known from what is announced on the bus."""

from __future__ import annotations

import json

import pytest

from gw.bus.service_events import ServiceEvent, ServiceEventsReader
from gw.coordinator.sisters import MAX_SERVICES, SILENT_SECONDS, Sisters
from gw.core.settings import Kafka, Settings
from gw.ops import metrics

OWN = 7


class Bus:
    """Announcements as they come from the topic."""

    def __init__(self) -> None:
        self.now = 0.0
        self.forgotten: list[str] = []
        self.counters = metrics.CounterPage.private()
        self.sisters = Sisters({OWN}, self.forgotten.append, self.counters, lambda: self.now)
        settings = Settings(kafka=Kafka(bootstrap_servers="localhost:9092"))
        self.reader = ServiceEventsReader(settings, self.counters, self.sisters.heard)

    def say(self, event: str, **more: object) -> None:
        members = {
            "event": event, "id": 1, "type": "owprov", "publicEndPoint": "https://prov:16005",
            "privateEndPoint": "https://prov:17005", "key": "secret", "version": "1.0",
        } | more  # fmt: skip
        self.reader.take(json.dumps(members).encode())

    async def listed(self, kind: str = "") -> list[dict[str, object]]:
        return (await self.sisters.operations()["sisters.list"]({"type": kind}, b""))["services"]

    def count(self, name: str, *labels: str) -> int:
        return self.counters.get(metrics.index(name, *labels))


@pytest.fixture
def bus() -> Bus:
    return Bus()


@pytest.mark.parametrize("event", ["join", "keep-alive"])
async def test_a_service_is_known_until_it_leaves(bus, event):
    bus.say(event)
    assert await bus.listed() == [
        {"type": "owprov", "id": 1, "public": "https://prov:16005",
         "private": "https://prov:17005", "key": ""}
    ]  # fmt: skip
    assert (await bus.listed("owprov"))[0]["key"] == "secret"
    assert await bus.listed("owsec") == []
    bus.say("leave")
    assert await bus.listed() == []
    assert bus.count("gw_sister_services") == 0


async def test_a_silent_service_is_forgotten(bus):
    bus.say("join")
    bus.now = SILENT_SECONDS - 1
    bus.sisters.expire()
    assert await bus.listed()
    bus.say("keep-alive", key="another")
    bus.now += SILENT_SECONDS - 1
    bus.sisters.expire()
    assert (await bus.listed("owprov"))[0]["key"] == "another"
    bus.now += 2
    bus.sisters.expire()
    assert await bus.listed() == []


async def test_our_own_announcements_are_none(bus):
    bus.say("join", id=OWN)
    bus.say("remove-token", id=OWN, token="t")
    assert await bus.listed() == []
    assert bus.forgotten == []


async def test_tokens_that_others_take_back_are_forgotten(bus):
    bus.reader.take(b'{"event":"remove-token","id":3,"token":"abc"}')
    bus.say("remove-token", token="x" * 5000)
    assert bus.forgotten == ["abc"]


@pytest.mark.parametrize(
    "more",
    [
        {"privateEndPoint": "ftp://prov"}, {"privateEndPoint": ""}, {"publicEndPoint": "prov"},
        {"type": ""}, {"type": "a b"}, {"key": ""}, {"key": "k" * 600}, {"key": "a\r\nb"},
        {"privateEndPoint": "https://prov/" + "a" * 300},
    ],
)  # fmt: skip
async def test_what_is_no_announcement_is_not_taken(bus, more):
    bus.say("join", **more)
    assert await bus.listed() == []


@pytest.mark.parametrize("value", [b"", b"[]", b"{", b'{"event":1}', b"\xff" * 10, b"x" * 20_000])
async def test_what_cannot_be_read_is_counted(bus, value):
    bus.reader.take(value)
    assert bus.count("gw_service_events_total", "invalid") == 1


async def test_their_number_is_bounded(bus):
    for number in range(MAX_SERVICES + 50):
        bus.say("join", id=100 + number, privateEndPoint=f"https://prov:{number}")
    assert len(await bus.listed()) == MAX_SERVICES
    assert ServiceEvent("leave").key == ""

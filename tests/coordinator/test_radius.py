"""The coordinator between devices and the RADIUS proxy: who gets what, and what is dropped."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gw._native.ring import Record
from gw.coordinator import radius as module
from gw.coordinator.radius import Radius
from gw.core import records
from gw.core.errors import ApiError
from gw.core.records import RECORD_VERSION, Kind
from gw.core.settings import Radius as Settings
from gw.store.rows import RadiusPoolsRow

SERIAL = "02a0e2000001"
NUMBER = int(SERIAL, 16)
COA = records.encode(records.RadiusPacket(RECORD_VERSION, "coa"))


class Fakes:
    """Links, presence, store and counters, as far as the area can notice."""

    def __init__(self) -> None:
        self.radius: list[tuple[Kind, int, int, bytes, bytes]] = []
        self.workers: list[tuple[int, int, bytes, bytes]] = []
        self.present: dict[str, int] = {}
        self.full = False
        self.counted = 0
        self.row: RadiusPoolsRow | None = None
        self.told = asyncio.Event()

    def to_radius(self, kind, session, serial, head, body, *, wait):
        if self.full and not wait:
            return False
        self.radius.append((kind, session, serial, head, body))
        self.told.set()
        return True

    def send_radius(self, session, serial, head, packet):
        if self.full:
            return False
        self.workers.append((session, serial, head, packet))
        return True

    def of(self, serial):
        found = self.present.get(serial)
        return None if found is None else SimpleNamespace(id=found)

    async def radius_pools(self):
        return self.row

    def add(self, index):
        assert index == module._UNDELIVERED
        self.counted += 1


def area(fakes: Any, *, on: bool = True, **settings: Any) -> Radius:
    ends: Any = SimpleNamespace(name="radius") if on else None
    return Radius(ends, fakes, fakes, fakes, fakes, Settings(**settings), fakes)


def record(kind: Kind, head: bytes, *, session: int = 0, body: bytes = b"") -> Record:
    return Record(kind, 0, session, NUMBER, 0, head, body, 0)


@pytest.fixture
async def fakes() -> Fakes:
    return Fakes()


async def test_an_answer_goes_through_the_session_that_acts_now(fakes):
    radius = area(fakes)
    packet = record(Kind.RADIUS, COA, session=5, body=b"packet")
    await radius._take(packet)
    fakes.present[SERIAL] = 9
    await radius._take(packet)
    assert [one[0] for one in fakes.workers] == [5, 9]
    assert fakes.workers[0] == (5, NUMBER, COA, b"packet")


async def test_the_proxy_is_told_of_what_has_no_session(fakes):
    radius = area(fakes)
    await radius._take(record(Kind.RADIUS, COA))
    assert fakes.radius == [(Kind.RADIUS_UNDELIVERED, 0, NUMBER, COA, b"")]
    fakes.present[SERIAL], fakes.full = 9, True
    await radius._take(record(Kind.RADIUS, COA))
    assert len(fakes.radius) == 1
    assert fakes.counted == 2


async def test_a_full_queue_drops_packets_of_devices(fakes):
    radius = area(fakes)
    radius.from_device(record(Kind.RADIUS, COA, session=5, body=b"x"))
    fakes.full = True
    radius.from_device(record(Kind.RADIUS, COA, session=5, body=b"y"))
    assert fakes.radius == [(Kind.RADIUS, 5, NUMBER, COA, b"x")]
    assert fakes.counted == 1


async def test_a_device_that_is_back_in_time_was_never_away(fakes):
    radius = area(fakes, gone_seconds=0)
    fakes.present[SERIAL] = 9
    radius.device_gone(SERIAL)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert fakes.radius == []
    fakes.present.clear()
    radius.device_gone(SERIAL)
    async with asyncio.timeout(60):
        await fakes.told.wait()
    assert [one[0] for one in fakes.radius] == [Kind.RADIUS_DEVICE_GONE]


async def test_sessions_of_devices_that_left_unseen_are_looked_for_once(fakes, monkeypatch):
    monkeypatch.setattr(module, "_CONNECT_SECONDS", 0.0)
    radius = area(fakes, gone_seconds=0)
    for count in (1, 2):
        head = records.encode(records.RadiusSessions(RECORD_VERSION, count))
        await radius._take(record(Kind.RADIUS_SESSIONS, head))
    assert radius.sessions(SERIAL) == 2
    async with asyncio.timeout(60):
        await fakes.told.wait()
    assert [one[0] for one in fakes.radius] == [Kind.RADIUS_DEVICE_GONE]
    head = records.encode(records.RadiusSessions(RECORD_VERSION, 0))
    await radius._take(record(Kind.RADIUS_SESSIONS, head))
    assert radius.sessions(SERIAL) == 0


async def test_a_proxy_that_starts_gets_what_is_stored(fakes):
    radius = area(fakes)
    started = record(Kind.RADIUS_STARTED, records.encode(records.RadiusStarted(1, 1)))
    await radius._take(started)
    fakes.row = RadiusPoolsRow(document='{"pools":[]}')
    await radius._take(started)
    assert [one[4] for one in fakes.radius] == [b"", b'{"pools":[]}']


async def test_a_record_that_is_none_stops_nothing(fakes):
    await area(fakes)._take(record(Kind.RADIUS_SESSIONS, b"\x00"))


async def test_questions_are_answered_by_the_proxy(fakes):
    radius = area(fakes)
    asking = asyncio.create_task(radius.operations()["radius.sessions"]({"serial": SERIAL}, b""))
    async with asyncio.timeout(60):
        await fakes.told.wait()
    kind, _, _, head, _ = fakes.radius[0]
    asked = records.decode(records.Request, head)
    assert (kind, asked.operation, asked.arguments) == (
        Kind.REQUEST, "sessions", {"serial": SERIAL},
    )  # fmt: skip
    for id in (asked.id + 1, asked.id, asked.id):
        response = records.Response(RECORD_VERSION, id, 0, "", {"items": [], "more": False})
        await radius._take(record(Kind.RESPONSE, records.encode(response)))
    assert await asking == {"items": [], "more": False}
    assert not radius._waiting


async def test_refusals_silence_and_a_full_queue_are_errors(fakes, monkeypatch):
    radius = area(fakes)
    disconnect = radius.operations()["radius.disconnect"]
    asking = asyncio.create_task(disconnect({}, b""))
    async with asyncio.timeout(60):
        await fakes.told.wait()
    asked = records.decode(records.Request, fakes.radius[0][3])
    response = records.Response(RECORD_VERSION, asked.id, 1137, "no such session", {})
    await radius._take(record(Kind.RESPONSE, records.encode(response)))
    with pytest.raises(ApiError) as refused:
        await asking
    assert (refused.value.number, refused.value.extra) == (1137, "no such session")
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.01)
    with pytest.raises(ApiError, match="does not answer"):
        await disconnect({}, b"")
    fakes.full = True
    with pytest.raises(ApiError, match="queue is full") as busy:
        await disconnect({}, b"")
    assert busy.value.http == 503
    assert not radius._waiting


async def test_without_a_proxy_lists_are_empty_and_nothing_ends(fakes):
    radius = area(fakes, on=False)
    radius.device_gone(SERIAL)
    for name in ("sessions", "serials"):
        answer = await radius.operations()[f"radius.{name}"]({}, b"")
        assert answer == {"items": [], "more": False}
    with pytest.raises(ApiError, match=r"radius\.enabled"):
        await radius.operations()["radius.disconnect"]({}, b"")
    assert fakes.radius == []

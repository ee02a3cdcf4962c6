"""Unknown devices that wait for provisioning: whose session counts, and that none is forgotten."""

import asyncio

import msgspec
import pytest

from gw._native.ring import Record
from gw.coordinator.admission import Admission, Arrival
from gw.coordinator.provisioning import Found
from gw.core.ids import serial_to_int
from gw.core.records import RECORD_VERSION, Connect, Kind, PeerCertificate
from gw.core.settings import CaPolicy, Devices, Provisioning, Settings
from gw.protocol.messages import ConnectParams

SERIAL = "02a0e4f10001"


class World:
    """Links, shadows, counters and the service, as far as they are asked."""

    def __init__(self):
        self.closed, self.go_on, self.asked = [], asyncio.Event(), 0

    async def look_up(self, serial):
        self.asked += 1
        await self.go_on.wait()
        return Found("found", b"{}")

    async def get(self, serial):
        return None

    def close(self, session, serial, code, reason):
        self.closed.append((session, code, reason))

    def add(self, index, amount=1):
        pass

    def set(self, index, value):
        pass


@pytest.fixture
def world():
    return World()


class Nowhere:
    """Countries of which nothing has to be asked."""

    def now(self, address):
        return ""

    async def look_up(self, address):
        return ""


def admission(world, countries=None, **settings):
    policies = [CaPolicy(issuer="CA", unknown="quarantine"), CaPolicy(issuer="Other")]
    made = Admission(
        Settings(
            devices=Devices(unknown="ask", ca_policies=policies),
            provisioning=Provisioning(url="https://x", fallback="refuse", **settings),
        ),
        world, world, world, world, countries or Nowhere(),
    )  # fmt: skip
    made.admitted = []
    made.decided = lambda arrival, decision: made.admitted.append((arrival.session, decision))
    return made


def arrival(session=1, at=10, serial=SERIAL, policy=-1):
    certificate = PeerCertificate(serial, "CA", 1, 2, "0a", "VERIFIED", policy)
    head = Connect(RECORD_VERSION, "192.0.2.1:1", certificate, 1, "", 0, at, 1.0)
    record = Record(Kind.CONNECT, 0, session, serial_to_int(serial), at, b"", b"", 0)
    return Arrival(record, head, ConnectParams(serial, 1, "r1", msgspec.Raw(b"{}")))


async def answered(made, world):
    world.go_on.set()
    await asyncio.gather(*list(made._tasks.values()))


@pytest.mark.parametrize(("policy", "action"), [(-1, "ask"), (0, "quarantine"), (1, "ask")])
async def test_the_policy_of_the_issuer_counts_first(world, policy, action):
    made = admission(world)
    assert made.decide(arrival(policy=policy)).action == action
    await made.close()


async def test_what_was_found_is_decided_once(world):
    made = admission(world)
    assert made.decide(arrival()).action == "ask"
    await answered(made, world)
    ((session, decision),) = made.admitted
    assert (session, decision.action, decision.document) == (1, "create", b"{}")


async def test_the_newest_session_counts_in_either_order(world):
    made = admission(world)
    made.decide(arrival(1, at=10))
    made.decide(arrival(2, at=20))
    made.decide(arrival(3, at=15))
    assert [(session, reason) for session, _, reason in world.closed] == [
        (1, "replaced"), (3, "replaced"),
    ]  # fmt: skip
    await answered(made, world)
    assert [session for session, _ in made.admitted] == [2]
    assert world.asked == 1


async def test_who_left_is_not_let_in(world):
    made = admission(world)
    made.decide(arrival(1))
    made.left(SERIAL, 7)  # another session of it
    made.left(SERIAL, 1)
    await answered(made, world)
    assert made.admitted == []


async def test_who_came_back_meanwhile_is(world):
    made = admission(world)
    made.decide(arrival(1))
    made.left(SERIAL, 1)
    made.decide(arrival(2, at=20))
    await answered(made, world)
    assert [session for session, _ in made.admitted] == [2]
    assert world.asked == 1


async def test_sessions_of_a_worker_that_is_gone_are_forgotten(world):
    made = admission(world)
    session = (3 << 56) | (4 << 32) | 9
    made.decide(arrival(session))
    made.worker_gone(2, 5)
    made.worker_gone(3, 4)
    assert made._waiting
    made.worker_gone(3, 5)
    await answered(made, world)
    assert made.admitted == []


async def test_too_many_get_the_fallback_but_not_those_that_wait_already(world):
    made = admission(world, max_waiting=1)
    assert made.decide(arrival(1)).action == "ask"
    assert made.decide(arrival(2, serial="02a0e4f10002")).action == "refuse"
    assert made.decide(arrival(3, at=20)).action == "ask"
    await made.close()


async def test_a_fault_while_letting_in_ends_the_session(world):
    made = admission(world)

    def fail(arrival, decision):
        raise RuntimeError("no")

    made.decided = fail
    made.decide(arrival(1))
    await answered(made, world)
    assert world.closed == [(1, 1011, "error")]

"""Telemetry of one device: what it is told for what is wanted (southbound.md 3.14, 5.6)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.protocol import telemetry
from gw.protocol.telemetry import NOTHING, UNKNOWN, DeviceStream, Subscription, Wanted

SERIAL = "02a0e7300001"


def subscription(uuid: str, interval: int = 5, until: float = 100.0, **more) -> Subscription:
    values = {"kafka": False, "types": ["state"]} | more
    return Subscription(uuid, SERIAL, values.pop("kafka"), interval, values.pop("types"), until,
                        **values)  # fmt: skip


def test_params_are_those_of_the_specification():
    start = Wanted(5, ("dhcp-snooping", "state"))
    assert json.loads(telemetry.params(SERIAL, start)) == {
        "serial": SERIAL, "interval": 5, "types": ["dhcp-snooping", "state"]
    }  # fmt: skip
    assert json.loads(telemetry.params(SERIAL, NOTHING)) == {"serial": SERIAL, "interval": 0}


def test_the_smallest_interval_and_all_types_are_wanted():
    found = telemetry.wanted(
        [subscription("a", 30), subscription("b", 10, types=["x"]), subscription("c", 60)]
    )
    assert found == Wanted(10, ("state", "x"))
    assert telemetry.wanted([]) == NOTHING


def test_a_device_that_runs_is_stopped_before_it_is_told_otherwise():
    stream = DeviceStream(SERIAL)
    stream.add(subscription("a", 30))
    assert stream.orders(1) == [Wanted(30, ("state",))]
    stream.told = Wanted(30, ("state",))
    assert stream.orders(1) == []
    stream.add(subscription("b", 10))
    assert stream.orders(1) == [NOTHING, Wanted(10, ("state",))]
    stream.told = Wanted(10, ("state",))
    stream.subscriptions.clear()
    assert stream.orders(1) == [NOTHING]


def test_another_session_knows_of_nothing_and_after_a_restart_nothing_is_known():
    stream = DeviceStream(SERIAL)
    stream.add(subscription("a"))
    stream.session, stream.told = 1, Wanted(5, ("state",))
    assert stream.orders(2) == [Wanted(5, ("state",))]
    stream.session, stream.told = 2, UNKNOWN
    assert stream.orders(2) == [NOTHING, Wanted(5, ("state",))]


def test_each_subscription_has_its_own_end_and_kind():
    stream = DeviceStream(SERIAL)
    stream.add(subscription("a", until=10.0, attached=True))
    stream.add(subscription("b", until=20.0))
    stream.add(subscription("c", until=30.0, kafka=True))
    assert [one.uuid for one in stream.expired(9.9)] == []
    assert [one.uuid for one in stream.expired(20.0)] == ["a", "b"]
    assert [one.uuid for one in stream.of_kind(kafka=False)] == ["b", "a"]
    stream.kafka_packets = 4
    assert stream.status() == {
        "running": True, "interval": 5, "websocketTimer": 20, "kafkaTimer": 30,
        "websocketClients": 2, "kafkaClients": 1, "websocketPackets": 0, "kafkaPackets": 4,
    }  # fmt: skip


def test_subscriptions_of_a_device_are_bounded():
    stream = DeviceStream(SERIAL)
    for number in range(telemetry.MAX_SUBSCRIPTIONS):
        stream.add(subscription(str(number)))
    with pytest.raises(OverflowError, match=str(telemetry.MAX_SUBSCRIPTIONS)):
        stream.add(subscription("one more"))


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(1, 3)), max_size=20))
def test_whatever_comes_and_goes_the_device_ends_as_is_wanted(steps):
    """An agent as the specification has it: it refuses a start while it runs."""
    stream, running = DeviceStream(SERIAL), NOTHING
    for number, (interval, add, session) in enumerate(steps):
        if add:
            stream.add(subscription(str(number), interval))
        elif stream.subscriptions:
            stream.subscriptions.pop(next(iter(stream.subscriptions)))
        if session != stream.session:
            running = NOTHING
        for order in stream.orders(session):
            assert order == NOTHING or running == NOTHING
            running = stream.told = order
        assert running == telemetry.wanted(stream.subscriptions.values())

"""Requests of devices: identifiers, retries, bounds, and what is dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gw.radius import packet as wire
from gw.radius.configuration import PoolsDocument
from gw.radius.packet import Attr, Attribute, Code

from .rules import SECRET, SERIAL, Bench, access, account, pool, replace, server


def test_an_answer_comes_back_under_the_devices_identifier():
    bench = Bench(pool(server("1")))
    for identifier in (200, 3):
        bench.send(access(identifier))
    assert bench.asked() == ["1", "1"]
    sent = [wire.parse(data) for _, data in bench.last]
    assert [one.identifier for one in sent] == [0, 1]
    assert all(wire.access_request_holds(one, SECRET) for one in sent)
    bench.answer(1)
    bench.answer(0)
    assert [one[3].identifier for one in bench.to_devices] == [3, 200]
    for (serial, session, kind, answer), identifier in zip(bench.to_devices, (3, 200), strict=True):
        assert (serial, session, kind) == (SERIAL, 77, "auth")
        assert wire.answer_holds(answer, access(identifier).authenticator, SECRET)
    assert bench.proxy.in_flight == 0
    assert not bench.last[0][0].in_flight


def test_access_requests_get_a_message_authenticator():
    bench = Bench(pool(server("1")))
    bare = access()
    bare = replace(
        bare, attributes=tuple(one for one in bare.attributes if one.type != 80)
    )  # fmt: skip
    bench.send(bare)
    bench.asked()
    assert len(wire.parse(bench.last[0][1]).all(Attr.MESSAGE_AUTHENTICATOR)) == 1


def test_a_request_that_nobody_can_check_is_dropped_if_so_set():
    bench = Bench(pool(server("1")), require_message_authenticator=True)
    signed = access(1)
    bare = tuple(one for one in signed.attributes if one.type != Attr.MESSAGE_AUTHENTICATOR)
    bench.send(replace(signed, attributes=bare))
    assert bench.drops == {"no_message_authenticator": 1}
    bench.send(signed)
    bench.send(account(1))
    assert bench.asked() == ["1", "1"]
    bench.answer(0)
    bench.answer(1)
    assert bench.drops["no_message_authenticator"] == 2
    assert [one[2] for one in bench.to_devices] == ["acct"]
    bench.answer(0, 0, Attribute(Attr.MESSAGE_AUTHENTICATOR, bytes(16)))
    assert [one[2] for one in bench.to_devices] == ["acct", "auth"]


def test_a_request_is_retried_elsewhere_and_a_late_answer_counts():
    bench = Bench(pool(server("1"), server("2"), server("3")), retries=2)
    bench.send(access())
    first = bench.asked()
    bench.pass_time(5)
    late = list(bench.last)
    second = bench.asked()
    assert (first, second) == (["1"], ["2"])
    bench.last = late
    bench.answer()
    assert len(bench.to_devices) == 1
    bench.pass_time(60)
    assert bench.asked() == []
    assert bench.drops == {"retried": 1}
    assert bench.proxy.in_flight == 0
    assert not any(one.endpoint.in_flight for one in bench.pools.servers())


def test_retries_are_bounded_and_repeat_to_the_letter():
    bench = Bench(pool(server("1")), retries=2)
    bench.send(access())
    bench.pass_time(5)
    bench.pass_time(5)
    assert bench.proxy.in_flight == 1
    bench.pass_time(5)
    assert bench.asked() == ["1", "1", "1"]
    assert len({data for _, data in bench.last}) == 1
    assert bench.drops == {"retried": 2, "gave up": 1, "no_answer": 1}
    assert bench.proxy.in_flight == 0
    bench.answer()
    assert bench.drops["unexpected_answer"] == 1
    assert bench.to_devices == []


def test_a_conversation_is_retried_with_its_server_only():
    bench = Bench(pool(server("1"), server("2")), retries=1, down_after=10)
    bench.send(access(1))
    assert bench.asked() == ["1"]
    bench.answer(-1, Code.ACCESS_CHALLENGE, Attribute(Attr.STATE, b"x"))
    bench.send(access(2, Attribute(Attr.STATE, b"x")))
    bench.pass_time(5)
    assert bench.asked() == ["1", "1"]
    bench.pass_time(5)
    assert bench.drops["no_answer"] == 1
    assert bench.asked() == []


def test_conversations_are_forgotten_beyond_their_number_and_time():
    bench = Bench(pool(server("1"), server("2")), max_conversations=3)
    for number in range(10):
        bench.send(access(number))
        bench.asked()
        state = Attribute(Attr.STATE, bytes([number]))
        bench.answer(-1, Code.ACCESS_CHALLENGE, state)
    assert len(bench.proxy._conversations) == 3
    bench.now += 61
    bench.send(access(20))
    bench.asked()
    bench.answer(-1, Code.ACCESS_CHALLENGE, Attribute(Attr.STATE, b"new"))
    assert len(bench.proxy._conversations) == 1


def test_a_server_that_cannot_be_reached_is_passed_over():
    bench = Bench(pool(server("1"), server("2")))
    bench.unreachable = {"10.0.0.1"}
    bench.send(access(1))
    assert bench.asked() == ["2"]
    bench.unreachable = {"10.0.0.1", "10.0.0.2"}
    bench.send(access(2))
    assert bench.drops == {"unreachable": 1}
    assert bench.proxy.in_flight == 1


def test_a_server_has_256_requests_at_a_time():
    bench = Bench(pool(server("1")), max_in_flight_per_device=256)
    for number in range(300):
        bench.send(access(number, serial=f"02a0e200{number:04x}"), f"02a0e200{number:04x}")
    assert len(bench.asked()) == 256
    assert bench.drops == {"server_busy": 44}
    bench.answer(5)
    bench.send(access(7, serial="02a0e2ffffff"), "02a0e2ffffff")
    assert len(bench.asked()) == 1


def test_a_device_has_its_share_only():
    bench = Bench(pool(server("1")), max_in_flight_per_device=4)
    for number in range(10):
        bench.send(access(number))
    assert bench.drops == {"device_busy": 6}
    bench.asked()
    bench.answer()
    bench.send(access(20))
    assert bench.asked() == ["1"]


def test_a_repetition_of_the_device_is_not_sent_twice():
    bench = Bench(pool(server("1")))
    bench.send(access())
    bench.send(access())
    assert bench.asked() == ["1"]
    assert bench.drops == {"repeated": 1}


def test_the_device_may_have_the_secret_of_any_server_of_the_pool():
    bench = Bench(pool(server("1", secret="another"), server("2")))
    bench.send(access())
    assert bench.asked() == ["1"]
    sent = wire.parse(bench.last[0][1])
    assert wire.access_request_holds(sent, b"another")
    answer = wire.sign_answer(
        wire.Packet(2, sent.identifier, bytes(16)), sent.authenticator, b"another"
    )
    bench.proxy.from_server(bench.last[0][0], answer, bench.now)
    assert wire.answer_holds(bench.to_devices[0][3], access().authenticator, SECRET)


def test_answers_that_do_not_fit_are_dropped():
    bench = Bench(pool(server("1")))
    bench.send(access())
    bench.asked()
    endpoint, data = bench.last[0]
    request = wire.parse(data)
    forged = wire.Packet(2, request.identifier, bytes(16))
    bench.proxy.from_server(endpoint, forged, bench.now)
    bench.answer(-1, Code.ACCOUNTING_RESPONSE)
    other = wire.sign_answer(replace(forged, identifier=99), request.authenticator, SECRET)
    bench.proxy.from_server(endpoint, other, bench.now)
    assert bench.drops == {"bad_answer": 1, "bad_code": 1, "unexpected_answer": 1}
    bench.answer()
    assert len(bench.to_devices) == 1


def test_a_packet_without_room_for_a_signature_is_dropped():
    bench = Bench(pool(server("1")))
    filler = tuple(Attribute(Attr.REPLY_MESSAGE, bytes(253)) for _ in range(15))
    packet = access(1, *filler)
    packet = replace(
        packet,
        attributes=(
            *(one for one in packet.attributes if one.type != 80),
            Attribute(Attr.REPLY_MESSAGE, bytes(210)),
        ),
    )
    assert len(wire.encode(packet)) <= 4096
    bench.send(packet)
    assert bench.drops == {"too_big": 1}
    assert bench.proxy.in_flight == 0


def test_a_device_that_is_gone_gets_a_stop_per_session_at_its_server():
    bench = Bench(pool(server("1"), server("2")))
    for number, session in enumerate(("a", "b")):
        bench.send(account(1, session, number))
        bench.asked()
        bench.answer()
    bench.to_devices.clear()
    bench.proxy.device_gone(SERIAL, bench.now)
    assert bench.asked() == ["1", "2"]
    for _, data in bench.last:
        stop = wire.parse(data)
        assert wire.request_holds(stop, SECRET)
        assert stop.number(Attr.ACCT_STATUS_TYPE) == 2
        assert stop.number(Attr.ACCT_TERMINATE_CAUSE) == 2
    bench.answer(0)
    bench.answer(1)
    assert bench.to_devices == []
    assert len(bench.sessions) == bench.proxy.in_flight == 0


def test_a_stop_is_retried_too():
    bench = Bench(pool(server("1"), server("2")))
    bench.send(account(1))
    bench.asked()
    bench.answer()
    bench.proxy.device_gone(SERIAL, bench.now)
    bench.pass_time(5)
    assert bench.asked() == ["1", "2"]


def test_sessions_of_a_pool_that_is_gone_end_quietly():
    bench = Bench(pool(server("1")))
    bench.send(account(1))
    bench.pools.apply(PoolsDocument())
    bench.proxy.device_gone(SERIAL, bench.now)
    assert bench.drops == {"no_pool": 1}
    assert bench.asked() == ["1"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300)), max_size=60))
def test_whatever_happens_nothing_is_left_behind(steps):
    bench = Bench(pool(server("1"), server("2")), max_in_flight_per_device=8)
    bench.last = []
    for step, number in steps:
        if step in (0, 1):
            bench.send(access(number))
        elif step == 2:
            bench.send(account(number % 4, f"s{number % 3}", number % 256))
        elif step == 3:
            bench.pass_time(number / 10)
        elif step == 4:
            bench.asked()
        elif bench.last:
            bench.answer(number % len(bench.last))
        assert bench.proxy.in_flight <= 8
    bench.pass_time(5)
    bench.pass_time(5)
    bench.pass_time(5)
    assert bench.proxy.in_flight == 0
    assert not any(one.endpoint.in_flight for one in bench.pools.servers())
    assert not bench.proxy._per_device
    assert len(bench.deadlines) == 0
    bench.proxy.device_gone(SERIAL, bench.now)
    assert len(bench.sessions) == 0


def test_attributes_reach_the_server_in_their_order():
    bench = Bench(pool(server("1")))
    packet = access(1, Attribute(200, b"a"), Attribute(18, b"b"), Attribute(200, b"c"))
    bench.send(packet)
    bench.asked()
    sent = wire.parse(bench.last[0][1])
    assert sent.attributes[1:] == packet.attributes[1:]

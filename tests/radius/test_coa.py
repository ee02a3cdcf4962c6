"""Requests to devices: bounds, repetitions, and their ends."""

from __future__ import annotations

from gw.radius import packet as wire
from gw.radius.packet import Attr, Attribute, Code, Packet

from .rules import SECRET, SERIAL, Bench, account, pool, server

SENDER = ("10.0.0.1", 40000)


def request(identifier: int = 9, *more: Attribute, code: int = Code.COA_REQUEST) -> Packet:
    named = wire.vendor_attribute(58888, 1, SERIAL.encode())
    packet = Packet(code, identifier, bytes(16), (named, *more))
    return wire.sign_request(packet, SECRET)


def ask(bench: Bench, packet: Packet, sender: object = SENDER) -> None:
    servers = bench.pools.senders("coa", "10.0.0.1")
    bench.coa.from_server(sender, servers, packet, bench.now)


def reply(bench: Bench, code: int, *attributes: Attribute, place: int = -1) -> None:
    sent = bench.to_devices[place][3]
    answer = Packet(code, sent.identifier, bytes(16), attributes)
    bench.coa.from_device(SERIAL, wire.sign_answer(answer, sent.authenticator, SECRET))


def refusals(bench: Bench) -> list[tuple[int, int]]:
    return [(one.code, one.number(Attr.ERROR_CAUSE)) for _, one in bench.to_senders]


def test_an_answer_goes_to_whoever_asked_under_the_old_identifier():
    bench = Bench(pool(server("1")))
    one, two = request(9), request(9, wire.attribute(Attr.USER_NAME, "x"))
    ask(bench, one, "first")
    ask(bench, two, "second")
    assert len({sent[3].identifier for sent in bench.to_devices}) == 2
    reply(bench, Code.COA_ACK, place=1)
    reply(bench, Code.COA_NAK, wire.attribute(Attr.ERROR_CAUSE, 503), place=0)
    assert [to for to, _ in bench.to_senders] == ["second", "first"]
    assert refusals(bench) == [(Code.COA_ACK, 0), (Code.COA_NAK, 503)]
    for (_, answer), asked in zip(bench.to_senders, (two, one), strict=True):
        assert answer.identifier == 9
        assert wire.answer_holds(answer, asked.authenticator, SECRET)


def test_our_own_proxy_state_is_taken_out_again():
    bench = Bench(pool(server("1")))
    bench.send(account(1))
    ask(bench, request(1, wire.attribute(Attr.ACCT_SESSION_ID, "s")))
    state = Attribute(Attr.PROXY_STATE, bench.to_devices[0][3].get(Attr.PROXY_STATE))
    assert state.value == f"{SERIAL}:0.0.0.0:3799:up0v0".encode()
    reply(bench, Code.COA_ACK, state, Attribute(Attr.PROXY_STATE, b"the server's"))
    assert bench.to_senders[0][1].all(Attr.PROXY_STATE) == [b"the server's"]


def test_a_proxy_state_of_the_server_is_left_alone():
    bench = Bench(pool(server("1")))
    own = Attribute(Attr.PROXY_STATE, f"{SERIAL}:0.0.1.1:1812:up1v1".encode())
    ask(bench, request(1, own))
    assert bench.to_devices[0][3].all(Attr.PROXY_STATE) == [own.value]
    reply(bench, Code.COA_ACK, own)
    assert bench.to_senders[0][1].all(Attr.PROXY_STATE) == [own.value]


def test_a_repetition_is_not_sent_twice_while_the_first_waits():
    bench = Bench(pool(server("1")))
    ask(bench, request())
    ask(bench, request())
    assert len(bench.to_devices) == 1
    assert bench.drops == {"repeated": 1}
    reply(bench, Code.COA_ACK)
    ask(bench, request())
    assert len(bench.to_devices) == 2


def test_a_silent_device_leaves_nothing_behind():
    bench = Bench(pool(server("1")))
    ask(bench, request())
    bench.pass_time(5)
    assert bench.drops == {"device_silent": 1}
    reply(bench, Code.COA_ACK)
    assert bench.drops["unexpected_answer"] == 1
    assert bench.to_senders == []
    assert not bench.coa._devices
    assert not bench.coa._keys


def test_a_device_that_is_away_is_refused_for():
    bench = Bench(pool(server("1")))
    bench.unreachable = {SERIAL}
    ask(bench, request(1, code=Code.DISCONNECT_REQUEST))
    bench.unreachable = set()
    ask(bench, request(2))
    bench.coa.device_gone(SERIAL)
    assert refusals(bench) == [(Code.DISCONNECT_NAK, 502), (Code.COA_NAK, 502)]
    assert bench.drops == {"undeliverable": 2}
    assert not bench.coa._devices


def test_answers_of_another_kind_are_none():
    bench = Bench(pool(server("1")))
    ask(bench, request())
    reply(bench, Code.DISCONNECT_ACK)
    assert bench.drops == {"bad_code": 1}
    reply(bench, Code.COA_ACK)
    assert len(bench.to_senders) == 1


def test_what_waits_for_a_device_is_bounded():
    bench = Bench(pool(server("1")), max_in_flight_per_device=3)
    for identifier in range(5):
        ask(bench, request(identifier))
    assert len(bench.to_devices) == 3
    assert refusals(bench) == [(Code.COA_NAK, 502)] * 2


def test_an_operators_request_has_one_end():
    bench = Bench(pool(server("1")))
    bench.send(account(1))
    (session,) = bench.sessions.of(SERIAL)
    ends = []
    for _ in range(3):
        assert bench.coa.disconnect(session, ends.append, bench.now) == ""
    reply(bench, Code.DISCONNECT_ACK, place=0)
    bench.coa.device_gone(SERIAL)
    bench.pass_time(5)
    assert [getattr(end, "code", end) for end in ends] == [
        Code.DISCONNECT_ACK, *["the device is not connected"] * 2,
    ]  # fmt: skip
    bench.unreachable = {SERIAL}
    assert bench.coa.disconnect(session, ends.append, bench.now) == "undeliverable"
    assert len(ends) == 3

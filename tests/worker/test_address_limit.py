"""Connections per address that wait for a handshake."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gw.worker.address_limit import AddressLimit


def test_an_address_has_its_share_and_others_have_theirs():
    limit = AddressLimit(2)
    first, second = limit.enter("192.0.2.1:1"), limit.enter("[::ffff:192.0.2.1]:2")
    assert first == second == "192.0.2.1"
    assert limit.enter("192.0.2.1:3") is None
    assert limit.enter("192.0.2.2:3") == "192.0.2.2"
    limit.leave("192.0.2.1")
    assert limit.enter("192.0.2.1:4") == "192.0.2.1"
    assert limit.enter("192.0.2.1:5") is None


def test_a_network_of_ipv6_counts_as_one_address():
    limit = AddressLimit(1)
    assert limit.enter("[2001:db8::1]:1") == "2001:db8::/64"
    assert limit.enter("[2001:db8::ffff]:1") is None
    assert limit.enter("[2001:db8:0:1::1]:1") is not None


def test_without_a_limit_nothing_is_counted():
    limit = AddressLimit(0)
    assert [limit.enter("192.0.2.1:1") for _ in range(10)] == [""] * 10
    limit.leave("")
    assert len(limit) == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60), st.integers(1, 3))
def test_as_many_leave_as_entered_and_nothing_is_left(steps, most):
    limit = AddressLimit(most)
    inside: list[str] = []
    for enters, number in steps:
        if enters:
            site = limit.enter(f"192.0.2.{number}:1")
            assert (site is None) == (inside.count(f"192.0.2.{number}") >= most)
            if site is not None:
                inside.append(site)
        elif inside:
            limit.leave(inside.pop(number % len(inside)))
    for site in inside:
        limit.leave(site)
    assert len(limit) == 0

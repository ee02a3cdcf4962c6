"""Strategies and health: which server a packet goes to."""

from __future__ import annotations

from collections import Counter

import pytest

from gw.radius.configuration import KindEntry, PoolsDocument
from gw.radius.packet import Attr, Attribute
from gw.radius.pools import Endpoint, EndpointKey, Health

from .rules import Bench, access, account, pool, server


def spread(bench: Bench, count: int) -> Counter[str]:
    """Send requests that are all answered; returns how many each server got."""
    found: Counter[str] = Counter()
    for identifier in range(count):
        bench.send(access(identifier))
        found.update(bench.asked())
        bench.answer()
    return found


def test_round_robin_takes_turns():
    bench = Bench(pool(server("1"), server("2"), server("3")))
    order = []
    for identifier in range(6):
        bench.send(access(identifier))
        order += bench.asked()
        bench.answer()
    assert order == ["1", "2", "3"] * 2


def test_weights_are_kept_exactly_and_evenly():
    kind = {"strategy": "weighted"}
    bench = Bench(pool(server("1", 5), server("2", 1), server("3", 2), kind=kind))
    order = []
    for identifier in range(80):
        bench.send(access(identifier))
        order += bench.asked()
        bench.answer()
    assert Counter(order) == {"1": 50, "2": 10, "3": 20}
    assert "1111" not in "".join(order)


def test_random_uses_all():
    bench = Bench(pool(server("1"), server("2"), kind={"strategy": "random"}))
    found = spread(bench, 100)
    assert set(found) == {"1", "2"}
    assert min(found.values()) > 20


@pytest.mark.parametrize("strategy", ["random", "round_robin", "weighted"])
def test_servers_that_are_down_or_ignored_get_nothing(strategy):
    ignored = server("9", ignore=True)
    bench = Bench(pool(server("1"), server("2"), ignored, kind={"strategy": strategy}))
    down = next(one for one in bench.pools.servers() if one.name == "1")
    down.endpoint.health.lost(bench.now)
    assert spread(bench, 20) == {"2": 20}


def test_with_all_down_a_packet_is_tried_nevertheless():
    bench = Bench(pool(server("1"), server("2")))
    for one in bench.pools.servers():
        one.endpoint.health.lost(bench.now)
    bench.send(access())
    assert len(bench.asked()) == 1


def test_down_after_some_silence_and_tried_again_later():
    bench = Bench(pool(server("1")), retries=0, down_after=2)
    health = next(iter(bench.pools.servers())).endpoint.health
    bench.send(access(1))
    bench.pass_time(5)
    assert health.up
    bench.send(access(2))
    bench.pass_time(5)
    assert not health.up
    assert bench.changes_of_health == [("10.0.0.1", False)]
    assert not health.may_try(bench.now + 29)
    assert health.may_try(bench.now + 30)
    assert not health.may_try(bench.now + 31)
    bench.asked()
    bench.send(access(3))
    bench.asked()
    bench.answer()
    assert health.up
    assert bench.changes_of_health[-1] == ("10.0.0.1", True)


def test_a_server_that_is_down_gets_one_request_on_trial():
    bench = Bench(pool(server("1"), server("2")), retries=0, down_after=1)
    bench.send(access(1))
    assert bench.asked() == ["1"]
    bench.pass_time(5)
    assert spread(bench, 3) == {"2": 3}
    bench.pass_time(30)
    bench.send(access(10))
    assert bench.asked() == ["1"]
    bench.pass_time(1)
    assert spread(bench, 3) == {"2": 3}


def test_a_monitored_server_is_brought_back_by_its_probe_only():
    kind = {"monitor": True, "monitor_method": "radius"}
    auth_only = pool(server("1"), server("2"), kind=kind, acct_config=KindEntry(),
                     coa_config=KindEntry())  # fmt: skip
    bench = Bench(auth_only, down_after=1)
    bench.proxy.probe(bench.now)
    assert bench.asked() == ["1", "2"]
    bench.answer(1)
    bench.pass_time(5)
    assert bench.drops == {"probe answered": 1, "probe silent": 1}
    bench.pass_time(100)
    assert spread(bench, 3) == {"2": 3}
    bench.proxy.probe(bench.now)
    bench.asked()
    bench.answer(0)
    assert spread(bench, 4) == {"1": 2, "2": 2}


def test_probes_are_due_once_per_interval():
    kind = {"monitor": True, "monitor_method": "radius"}
    bench = Bench(pool(server("1"), kind=kind, acct_config=KindEntry()))
    for _ in range(21):
        bench.proxy.probe(bench.now)
        bench.now += 1
    assert len(bench.asked()) == 3


def test_a_lost_connection_is_not_tried():
    health = Health(down_after=2, down_seconds=1)
    health.lost(0.0)
    assert not health.up
    assert not health.may_try(1e9)
    assert health.answered()
    assert health.up
    assert not health.answered()


def test_identifiers_are_unique_and_bounded():
    endpoint = Endpoint(EndpointKey("auth", "10.0.0.1", 1812), 1, 1.0)
    holders = [object() for _ in range(256)]
    assert sorted(endpoint.take(one) for one in holders) == list(range(256))
    assert endpoint.take(object()) is None
    endpoint.give_back(7, object())
    assert endpoint.take(object()) is None
    endpoint.give_back(7, endpoint.in_flight[7])
    assert endpoint.take(object()) == 7


def test_a_new_document_keeps_what_stays_and_tells_what_goes():
    bench = Bench(pool(server("1"), server("2")))
    bench.send(access(1))
    bench.asked()
    kept = bench.pools.endpoints[EndpointKey("auth", "10.0.0.1", 1812)]
    unused = bench.pools.apply(PoolsDocument(pools=[pool(server("1"), name="new")]))
    assert {one.key.ip for one in unused} == {"10.0.0.2"}
    assert bench.pools.endpoints[EndpointKey("auth", "10.0.0.1", 1812)] is kept
    bench.answer()
    assert len(bench.to_devices) == 1


def test_disabled_pools_and_the_default_one():
    off = pool(server("1"), enabled=False)
    default = pool(server("2"), name="b", pool_proxy_ip="0.0.1.2", use_by_default=True)
    assert Bench(off).pools.find("0.0.1.1") is None
    bench = Bench(off, default)
    bench.send(access())
    assert bench.asked() == ["2"]


REALMS = {
    "1": ["example.org", "Example.com"],
    "2": [],
    "3": ["*"],
    "4": ["example.org"],
}


def served(bench: Bench, user: str) -> set[str]:
    """Return the servers that get the requests of a user."""
    found = set()
    for identifier in range(8):
        bench.send(access(identifier, Attribute(Attr.USER_NAME, user.encode())))
        found |= set(bench.asked())
        for one in bench.pools.servers():
            one.endpoint.in_flight.clear()
    return found


@pytest.mark.parametrize(
    ("user", "servers"),
    [
        ("a@example.org", {"1", "4"}), ("a@EXAMPLE.COM", {"1"}), ("a@other.org", {"2", "3"}),
        ("a", {"2", "3"}), ("a@b@example.org", {"1", "4"}),
    ],
)  # fmt: skip
def test_realms_choose_the_servers(user, servers):
    entries = [server(name, radsec_realms=realms) for name, realms in REALMS.items()]
    bench = Bench(pool(*entries, radsec_pool_type="radsec"), max_in_flight_per_device=256)
    assert served(bench, user) == servers


def test_accounting_of_a_session_stays_with_its_server():
    bench = Bench(pool(server("1"), server("2")))
    for number in range(6):
        bench.send(account(1 if number < 2 else 3, f"s{number % 2}", number))
        bench.asked()
        bench.answer()
    assert {one.session_id: one.destination for one in bench.sessions.find()} == {
        "s0": "10.0.0.1:1812", "s1": "10.0.0.2:1812",
    }  # fmt: skip

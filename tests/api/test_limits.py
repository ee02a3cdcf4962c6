import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.api.authentication import Caller
from gw.api.limits import Buckets, Limits, network_of
from gw.core.errors import ApiError
from gw.core.settings import Api


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_burst_and_then_the_rate():
    clock = Clock()
    buckets = Buckets(10, 2, clock)
    assert [buckets.take("a") for _ in range(20)] == [0.0] * 20
    assert buckets.take("a") == pytest.approx(0.1)
    assert buckets.take("b") == 0.0
    clock.now = 0.1
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0


def test_no_rate_is_no_limit():
    buckets = Buckets(0, 5, Clock())
    assert {buckets.take("a") for _ in range(1000)} == {0.0}


@given(st.integers(1, 50), st.lists(st.floats(0, 0.3), max_size=200))
def test_never_more_than_burst_and_rate_allow(rate, pauses):
    clock = Clock()
    buckets = Buckets(rate, 1, clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        taken += buckets.take("a") == 0.0
    assert taken <= rate + rate * clock.now + 1


def test_buckets_are_bounded():
    buckets = Buckets(1, 1, Clock())
    for n in range(20_000):
        buckets.take(str(n))
    assert len(buckets._buckets) == 10_000


def test_each_limit_says_its_name_and_when_to_come_back():
    refused = []
    settings = Api(requests_per_user=1, requests_per_key=1, requests_per_address=1, burst_seconds=1)
    limits = Limits(settings, refused.append)
    user = Caller("1", "a@x", "root")
    key = Caller("1", "a@x", "root", key="robot", key_id="k")
    limits.check_caller(user)
    limits.check_caller(key)  # apart from its owner
    limits.check_address("192.0.2.1")
    for limit, check in (
        ("user", lambda: limits.check_caller(user)),
        ("key", lambda: limits.check_caller(key)),
        ("address", lambda: limits.check_address("192.0.2.1")),
    ):
        with pytest.raises(ApiError) as caught:
            check()
        assert caught.value.number == 10
        assert f"1 requests a second per {limit}" in caught.value.extra
        assert caught.value.retry_after == 1
    assert refused == ["user", "key", "address"]


def test_a_sister_service_is_not_counted():
    limits = Limits(Api(requests_per_user=1, burst_seconds=1))
    for _ in range(10):
        limits.check_caller(Caller("", "owprov", "", internal=True))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "testclient", False),
    ],
)
def test_networks(one, other, same):
    assert (network_of(one) == network_of(other)) is same

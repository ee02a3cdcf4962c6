"""Addresses and networks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.core.networks import is_within, read_address, read_networks


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_an_address_is_read_with_and_without_port(address, port):
    bare = str(address)
    shown = f"[{bare}]:{port}" if address.version == 6 else f"{bare}:{port}"
    expected = (address.ipv4_mapped if address.version == 6 else None) or address
    assert read_address(bare) == read_address(shown) == expected


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "1.2.3.4:5:6", "example.org:1"])
def test_what_is_no_address(text):
    assert read_address(text) is None
    assert not is_within(text, read_networks(["10.0.0.0/8"]))


def test_an_address_is_within_its_networks_only():
    networks = read_networks(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"])
    for inside in ("10.1.2.3:4", "::ffff:10.1.2.3", "192.0.2.7", "[2001:db8::1]:1"):
        assert is_within(inside, networks)
    for outside in ("11.0.0.1", "192.0.2.8:1", "2001:db9::1", "::1"):
        assert not is_within(outside, networks)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "balancer"])
def test_a_network_that_is_none_is_named(text):
    with pytest.raises(ValueError, match=text.partition("/")[0]):
        read_networks([text])

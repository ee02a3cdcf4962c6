"""Revisions of firmware, as agents report them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.protocol.firmware import is_below, version_of

ORDERED = [
    "TIP-v2.11.0",
    "OpenWrt 24.10 / TIP-v3.2.0-rc1-1a2b3c4",
    "OpenWrt 23.05-SNAPSHOT r20123-1a2b3c / TIP-v3.2.0-rc2",
    "OpenWrt 21.02 / TIP-v3.2.0-1a2b3c4",
    "OpenWrt 23.05 / TIP-v4.2",
    "TIP-OLS-v4.2.1",
    "4.10.0",
]


@pytest.mark.parametrize("low", range(len(ORDERED)))
@pytest.mark.parametrize("high", range(len(ORDERED)))
def test_order(low, high):
    assert is_below(ORDERED[low], ORDERED[high]) is (low < high)


def test_zeros_at_the_end_do_not_count():
    assert version_of("TIP-v4.2") == version_of("v4.2.0") == version_of("x / TIP-OLS-v4.2.0.0")


@pytest.mark.parametrize(
    "text", ["", "TIP-devel-1a2b3c4", "OpenWrt 23.05 / TIP-devel", "r1", "v4", "release", "1..2"]
)
def test_without_a_version_nothing_is_older(text):
    assert version_of(text) is None
    assert not is_below(text, "TIP-v4.2.0")
    assert not is_below("TIP-v4.2.0", text)


@given(st.text(max_size=600))
def test_any_text_is_read(text):
    assert not is_below(text, text)


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=5), st.integers(1, 99))
def test_a_release_candidate_comes_before_its_release(numbers, candidate):
    text = ".".join(map(str, numbers))
    assert is_below(f"TIP-v{text}-rc{candidate}", f"TIP-v{text}")
    assert is_below(f"TIP-v{text}-rc{candidate}", f"TIP-v{text}-rc{candidate + 1}")

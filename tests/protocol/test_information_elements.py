"""Information elements of a Wi-Fi scan."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.protocol.information_elements import decoded, element

KNOWN = [
    (1, "8c129824b048606c", "Supported Rates", {"rates"}),
    (3, "24", "DS Parameter Set", {"channel"}),
    (5, "00010000", "TIM", {"dtim_count", "dtim_period", "group_traffic", "bitmap_offset"}),
    (7, "55532024041795051e", "Country", {"code", "environment", "constraints"}),
    (11, "05003d0000", "QBSS Load", {"stations", "channel_utilization", "admission_capacity"}),
    (48, "0100000fac040100000fac040100000fac028000", "RSN",
     {"version", "group_cipher", "pairwise_ciphers", "key_management",
      "management_frame_protection"}),
    (221, "0050f20401", "Vendor Specific", {"oui", "vendor_type", "data"}),
    (255, "2300", "HE Capabilities", {"extension", "data"}),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "data", "name", "members"), KNOWN)
def test_known_elements(type_, data, name, members):
    found = element(type_, bytes.fromhex(data))
    assert found is not None
    assert (found["name"], found["type"], set(found["content"])) == (name, type_, members)


def test_values():
    rates = element(1, bytes.fromhex("8c12"))["content"]["rates"]
    assert rates == [{"mbps": 6.0, "basic": True}, {"mbps": 9.0, "basic": False}]
    country = element(7, bytes.fromhex("55532024041795051e"))["content"]
    assert country["code"] == "US"
    assert country["constraints"] == [
        {"first_channel": 36, "channels": 4, "max_power": 23},
        {"first_channel": 149, "channels": 5, "max_power": 30},
    ]
    rsn = element(48, bytes.fromhex("0100000fac040100000fac040100000fac02c000"))["content"]
    assert (rsn["pairwise_ciphers"], rsn["key_management"]) == (["CCMP-128"], ["PSK"])
    assert rsn["management_frame_protection"] == "required"


@given(st.integers(0, 255), st.binary(max_size=255))
def test_any_bytes_are_read_or_left(type_, data):
    found = element(type_, data)
    assert found is None or found["type"] == type_
    json.dumps(found)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["status", "scan", "ies", "type", "data"]), inner)
        ),
    )
)
def test_results_of_any_shape_stay_what_they_are(result):
    text = json.dumps(result)
    assert json.loads(decoded(text)) == result or "name" in decoded(text)


def test_scan_keeps_what_is_not_understood():
    ies = [
        {"type": 1, "data": base64.b64encode(b"\x8c").decode()},
        {"type": 250, "data": "AAAA"},
        {"type": 7, "data": "VQ=="},
        {"type": 1, "data": "***"},
        "odd",
    ]
    scan = json.loads(decoded(json.dumps({"status": {"error": 0, "scan": [{"ies": ies}, 7]}})))
    found = scan["status"]["scan"][0]["ies"]
    assert found[0]["name"] == "Supported Rates"
    assert found[1:] == ies[1:]

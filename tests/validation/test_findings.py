"""What crashes agents, what a device cannot do, and what a configuration would change."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw._native import ConfigError, config_hash
from gw.validation.capabilities import warnings
from gw.validation.changes import changes
from gw.validation.refusals import crashers

ABLE = {
    "platform": "ap",
    "network": {"lan": ["eth1", "eth2"], "wan": ["eth0"]},
    "switch_ports": {},
    "wifi": {
        "phy0": {"band": ["5G"], "channels": [36, 40, 165],
                 "htmode": ["HT20", "VHT80", "HE20", "HE80"]},
        "phy1": {"band": ["2G"], "channels": [1, 6, 11], "htmode": ["HT20", "HE20"]},
    },
}  # fmt: skip


def found(document, able=ABLE, device_type="ap"):
    return {
        one.path: one.description
        for one in warnings(document, json.dumps(able).encode(), device_type)
    }


@pytest.mark.parametrize(
    ("document", "paths"),
    [
        ({"unit": {"system-password": 1}}, ["unit/system-password"]),
        ({"unit": {"system-password": None}}, ["unit/system-password"]),
        ({"unit": {"system-password": "x"}}, []),
        ({"unit": [{"system-password": 1}]}, []),
        ({"ethernet": [{"select-ports": ["a", 1, None]}]},
         ["ethernet/0/select-ports/1", "ethernet/0/select-ports/2"]),
        ({"interfaces": [{}, {"ethernet": [{"select-ports": [["x"]]}]}]},
         ["interfaces/1/ethernet/0/select-ports/0"]),
        ({"switch": {"made-up": {"select-ports": {"x": 1, "y": "z"}}}},
         ["switch/made-up/select-ports/x"]),
        ({"select-ports": "WAN*"}, []),
        ({"services": {"quality-of-service": {"select-ports": ["a"]}}}, []),
        ([{"select-ports": [1]}], []),
    ],
)  # fmt: skip
def test_crashers_are_found_wherever_they_are(document, paths):
    assert [one.path for one in crashers(document)] == paths


def test_a_configuration_that_fits_has_no_warnings():
    document = {
        "radios": [
            {"band": "5G", "channel": 36, "channel-mode": "HE", "channel-width": 80},
            {"band": "5G-upper", "channel": 165},
            {"band": "2G", "channel": "auto", "channel-width": 20},
            {"channel": 999},
        ],
        "ethernet": [{"select-ports": ["LAN1", "lan2", "LAN*", "*", "WAN", "eth0", "[LW]AN?"]}],
        "interfaces": [
            {"ethernet": [{"select-ports": ["WAN*"]}], "ssids": [{"wifi-bands": ["2G", "5G"]}]}
        ],
    }
    assert found(document) == {}


@pytest.mark.parametrize(
    ("document", "path", "part"),
    [
        ({"radios": [{"band": "6G"}]}, "radios/0/band", "it has 2G, 5G"),
        ({"radios": [{"band": "2G", "channel": 36}]}, "radios/0/channel", "it has 1, 6, 11"),
        ({"radios": [{"band": "5G", "valid-channels": [36, 38]}]}, "radios/0/valid-channels/1",
         "it has 36, 40, 165"),
        ({"radios": [{"band": "2G", "channel-mode": "VHT"}]}, "radios/0/channel-mode",
         "it does HE20, HT20"),
        ({"radios": [{"band": "5G", "channel-mode": "HE", "channel-width": 160}]},
         "radios/0/channel-width", "it does HE20, HE80"),
        ({"radios": [{"band": "2G", "channel-width": 80}]}, "radios/0/channel-width", "HE20"),
        ({"radios": [{"band": "5G", "channel-mode": "VHT", "channel-width": 8080}]},
         "radios/0/channel-width", "does not do this width"),
        ({"interfaces": [{"ethernet": [{"select-ports": ["WAN*", "LAN3"]}]}]},
         "interfaces/0/ethernet/0/select-ports/1", "it has ETH0, ETH1, ETH2, LAN, LAN1"),
        ({"ethernet": [{"select-ports": ["SFP*"]}]}, "ethernet/0/select-ports/0", "no such port"),
        ({"interfaces": [{"ssids": [{"wifi-bands": ["2G", "6G"]}]}]},
         "interfaces/0/ssids/0/wifi-bands/1", "no such radio"),
    ],
)  # fmt: skip
def test_what_the_device_does_not_have(document, path, part):
    warned = found(document)
    assert list(warned) == [path]
    assert part in warned[path]


def test_a_switch_has_no_radios():
    document = {"radios": [{"band": "2G"}], "interfaces": [{"ssids": [{"name": "x"}]}]}
    for able, kind in (({"platform": "SWITCH"}, "switch"), ({}, "switch")):
        assert list(found(document, able, kind)) == ["radios", "interfaces/0/ssids"]
    assert found({"radios": [], "interfaces": [{}]}, {}, "switch") == {}


def test_ports_of_a_switch():
    able = {
        "platform": "switch",
        "port-list": [{"name": "Ethernet0"}, {"name": 7}, 7],
        "port-capabilities": {"ports-list": [{"type": "RJ45", "ports": ["Ethernet1"]}]},
    }
    document = {"ethernet": [{"select-ports": ["Ethernet0", "Ethernet1", "Ethernet*", "LAN1"]}]}
    assert list(found(document, able, "switch")) == ["ethernet/0/select-ports/3"]


def test_another_platform_than_the_one_that_is_stored():
    warned = found({}, {"platform": "SWITCH"}, "ap")
    assert list(warned) == [""]
    assert "says that it is a switch" in warned[""]
    assert "as an access point" in warned[""]
    assert found({}, {"platform": "unknown"}, "switch") == {}


@pytest.mark.parametrize(
    "able",
    [
        {}, [], None, {"wifi": 1, "network": 2, "platform": 3}, {"wifi": {"phy": 5}},
        {"wifi": {"phy": {"band": "5G", "channels": {}, "htmode": 1}}},
        {"network": {"lan": 5, "": [None]}, "switch_ports": []}, {"port-list": {}},
    ],
)  # fmt: skip
def test_capabilities_of_another_form_are_not_judged(able):
    document = {"radios": [{"band": "6G", "channel": 5, "channel-width": 80}]}
    assert found(document, able) == {}


def test_devices_without_capabilities_are_not_judged():
    assert list(warnings({"radios": [{"band": "6G"}]}, b"", "ap")) == []
    assert list(warnings([], b"{", "ap")) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["radios", "interfaces", "ethernet", "select-ports", "band", "channel", "wifi",
                 "network", "lan", "htmode", "channels", "platform", "port-list", "ssids"]
            ), inner, max_size=3)
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON, JSON, st.sampled_from(["", "ap", "switch", "other"]))
def test_nothing_that_a_device_says_breaks_the_check(document, able, device_type):
    for one in warnings(document, json.dumps(able).encode(), device_type):
        assert one.description


def test_hostile_capabilities_and_configurations_cost_little():
    able = {
        "network": {f"r{number}": ["eth"] * 50 for number in range(5000)},
        "wifi": {str(n): {"band": ["5G"], "channels": list(range(2000))} for n in range(2000)},
    }
    ports = [{"select-ports": [f"*{number}*[a-z]*?*" for number in range(5000)]}] * 50
    document = {"ethernet": ports, "radios": [{"band": "5G", "channel": -1}] * 5000}
    start = time.process_time()
    assert list(warnings(document, json.dumps(able).encode(), "ap"))
    assert time.process_time() - start < 10


def compared(old, new, most=50):
    return changes(json.dumps(old).encode(), json.dumps(new).encode(), most)


def test_changes_are_named_by_their_paths():
    old = {"uuid": 1, "unit": {"name": "a", "x": 1}, "radios": [{"channel": 1}, {}], "gone": {}}
    new = {"uuid": 2, "unit": {"name": "b", "x": 1.0}, "radios": [{"channel": 6}], "a/b": {"c": 1}}
    difference = compared(old, new)
    assert difference.added == ["a~1b"]
    assert difference.removed == ["gone", "radios/1"]
    assert difference.changed == ["unit/name", "radios/0/channel"]
    assert difference.omitted == 0


def test_changes_are_bounded():
    difference = compared({}, {str(number): 1 for number in range(100)}, 7)
    assert len(difference.added) == 7
    assert difference.omitted == 93


def test_true_is_not_one():
    assert compared({"a": True, "b": [0]}, {"a": 1, "b": [False]}).changed == ["a", "b/0"]


def test_nothing_is_stored_yet():
    assert changes(b"", b'{"uuid":1,"unit":{"name":"x"}}', 50).added == ["unit"]


@given(JSON, JSON)
def test_there_are_changes_if_and_only_if_the_hash_differs(old, new):
    before, after = ({"x": one} for one in (old, new))
    try:
        same = config_hash(json.dumps(before).encode()) == config_hash(json.dumps(after).encode())
    except ConfigError:
        return
    difference = compared(before, after)
    assert bool(difference.added or difference.removed or difference.changed) is not same


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ({"select-ports": ["Ethernet0"], "vlan-tag": "un-tagged"}, []),
        ({"select-ports": ["Ethernet0"]}, ["interfaces/0/ethernet/0"]),
        ({"select-ports": ["Ethernet0"], "vlan-tag": 1}, ["interfaces/0/ethernet/0"]),
    ],
)
def test_switches_are_told_what_tag_a_vlan_has(entry, found):
    document = {"interfaces": [{"vlan": {"id": 100}, "ethernet": [entry]}, {"ethernet": [entry]}]}
    assert [one.path for one in warnings(document, b"", "switch")] == found
    assert [one.path for one in warnings(document, b"", "ap")] == []

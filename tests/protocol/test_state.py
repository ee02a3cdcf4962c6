"""What a `state` tells for the live status; parts of odd shapes count as absent."""

import json

import pytest

from gw.protocol.state import summarize

NOTHING = {
    "hasGPS": False, "memoryUsed": 0.0, "load": 0.0, "temperature": 0, "uptime": 0,
    "associations_2G": 0, "associations_5G": 0, "associations_6G": 0,
}  # fmt: skip


def ssids(*pairs: tuple[dict, int]) -> list[dict]:
    """Interfaces with one SSID each: its members and its number of stations."""
    return [
        {"ssids": [members | {"associations": [{"station": n} for n in range(count)]}]}
        for members, count in pairs
    ]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, {}),
        ({"unit": {"memory": {"total": 1000, "free": 750}}}, {"memoryUsed": 25.0}),
        ({"unit": {"memory": {"total": 3, "free": 1}}}, {"memoryUsed": 66.67}),
        ({"unit": {"memory": {"total": 0, "free": 0}}}, {}),
        ({"unit": {"load": [0.5, 0.25, 0.1]}}, {"load": 0.25}),
        ({"unit": {"load": [1, 2, 3]}}, {"load": 2}),
        ({"unit": {"load": [0.5]}}, {}),
        ({"unit": {"temperature": [54, 57]}}, {"temperature": 54}),
        ({"unit": {"temperature": 41}}, {"temperature": 41}),
        ({"unit": {"temperature": []}}, {}),
        ({"unit": {"uptime": 3600.9}}, {"uptime": 3600}),
        ({"gps": {"latitude": 1}}, {"hasGPS": True}),
        ({"gps": None}, {}),
        # Bands: by the radio's channel if radios name none
        (
            {
                "radios": [{"phy": "p0", "channel": 6}, {"phy": "p1", "channel": 36}],
                "interfaces": ssids(({"phy": "p0"}, 2), ({"phy": "p1"}, 3), ({"phy": "p9"}, 1)),
            },
            {"associations_2G": 3, "associations_5G": 3},
        ),
        # else as the SSID says
        (
            {
                "radios": [{"phy": "p0", "channel": 6, "band": ["2G"]}, {"band": "6G"}],
                "interfaces": ssids(({"band": "6G"}, 4), ({"band": "5G"}, 1), ({"band": "?"}, 1)),
            },
            {"associations_2G": 1, "associations_5G": 1, "associations_6G": 4},
        ),
        # Odd shapes
        ({"unit": [], "radios": {}, "interfaces": 7, "gps": "x"}, {}),
        ({"unit": {"load": "high"}, "gps": {}}, {"hasGPS": True}),
        ({"unit": {"uptime": 5}, "interfaces": [{"ssids": 3}]}, {"uptime": 5}),
        ([], {}),
        (None, {}),
    ],
)
def test_summary(state, expected):
    assert summarize(json.dumps(state)).status() == NOTHING | expected


def test_text_that_is_no_json():
    assert summarize("{").status() == NOTHING

"""The content hash of a configuration, native and twin."""

from __future__ import annotations

import json

import pytest

from gw._native import confighash, confighash_py


def document(radios: int) -> bytes:
    """A configuration; its size grows with the number of radios."""
    radio = {
        "band": "5G",
        "channel": 36,
        "channel-width": 80,
        "tx-power": 20.5,
        "rates": {"beacon": 6000},
    }
    ssid = {
        "name": "guest",
        "wifi-bands": ["2G", "5G"],
        "encryption": {"proto": "psk2", "key": "x" * 20},
    }
    interface = {
        "name": "WAN",
        "role": "upstream",
        "ssids": [ssid] * 4,
        "ipv4": {"addressing": "dynamic"},
    }
    unit = {"name": "lobby"}
    parts = {
        "uuid": 1,
        "unit": unit,
        "radios": [radio] * radios,
        "interfaces": [interface] * radios,
    }
    return json.dumps(parts).encode()


@pytest.mark.parametrize("module", [confighash, confighash_py], ids=["native", "twin"])
@pytest.mark.parametrize("radios", [3, 30], ids=["2KB", "20KB"])
def test_config_hash(benchmark, module, radios):
    text = document(radios)
    assert len(benchmark(module.config_hash, text)) == 32
    benchmark.extra_info["bytes"] = len(text)

"""The Envoy example: its form, and that it says what the page about load balancers says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gw.core.settings import Settings

FILE = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["static_resources"]
    return found


def test_devices_go_through_as_tcp_and_may_be_silent(resources: dict[str, Any]) -> None:
    (listener,) = resources["listeners"]
    assert listener["address"]["socket_address"]["port_value"] == Settings().devices.port
    (chain,) = listener["filter_chains"]
    (proxy,) = chain["filters"]
    assert "transport_socket" not in chain, "the gateway ends TLS"
    assert proxy["name"] == "envoy.filters.network.tcp_proxy"
    idle = int(proxy["typed_config"]["idle_timeout"].removesuffix("s"))
    assert idle > Settings().devices.idle_seconds


def test_gateways_get_a_header_and_their_check_gets_none(resources: dict[str, Any]) -> None:
    (cluster,) = resources["clusters"]
    assert cluster["lb_policy"] == "LEAST_REQUEST"
    assert cluster["transport_socket"]["typed_config"]["config"] == {"version": "V2"}
    (check,) = cluster["health_checks"]
    (plain,) = cluster["transport_socket_matches"]
    assert check["transport_socket_match_criteria"] == plain["match"]
    assert plain["transport_socket"]["name"] == "envoy.transport_sockets.raw_buffer"
    for endpoint in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]:
        one = endpoint["endpoint"]
        assert one["address"]["socket_address"]["port_value"] == Settings().devices.port
        assert one["health_check_config"]["port_value"] == Settings().metrics.port

"""A state message from bytes to its typed parameters, the state itself kept raw."""

from __future__ import annotations

import json

import orjson

from gw._native import scan_message
from gw.protocol import jsonrpc, messages


def typed(message: bytes) -> messages.Params:
    envelope = jsonrpc.parse(message)
    return messages.decode(jsonrpc.method_of(envelope), envelope.params)


def test_scan_a_state(benchmark, state):
    assert benchmark(scan_message, state).unreadable == ""
    benchmark.extra_info["bytes"] = len(state)


def test_parse_and_decode_a_state(benchmark, state):
    assert benchmark(typed, state).uuid == 1_700_000_000
    benchmark.extra_info["bytes"] = len(state)


def test_what_the_standard_library_takes_to_read_it(benchmark, state):
    """To compare with, on the same machine."""
    assert benchmark(json.loads, state)["method"] == "state"


def test_what_orjson_takes_to_read_it(benchmark, state):
    assert benchmark(orjson.loads, state)["method"] == "state"

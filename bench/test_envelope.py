"""A state message from bytes to its typed parameters, the state itself kept raw."""

from __future__ import annotations

import json

from gw.protocol import jsonrpc, messages


def typed(message: bytes) -> messages.Params:
    envelope = jsonrpc.parse(message)
    return messages.decode(envelope.method, bytes(envelope.params))


def test_parse_and_decode_a_state(benchmark, state):
    assert benchmark(typed, state).uuid == 1_700_000_000
    benchmark.extra_info["bytes"] = len(state)


def test_what_the_standard_library_takes_to_read_it(benchmark, state):
    """To compare with, on the same machine."""
    assert benchmark(json.loads, state)["method"] == "state"

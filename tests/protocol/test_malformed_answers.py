"""10,000 malformed variants of every answer: each is read as something that can be stored."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import southbound_vectors as vectors
from mutations import Mutator

from gw.protocol import commands, configuration, jsonrpc
from gw.protocol.information_elements import decoded
from gw.protocol.jsonrpc import Form, MalformedMessageError, ProtocolError

VARIANTS = 10_000
ANSWERS = [name for name in vectors.NAMES if name.startswith("result_")]


def storable(text: str) -> bool:
    text.encode()
    return "\0" not in text and len(text) <= 8192


@pytest.mark.parametrize("name", ANSWERS)
def test_whatever_an_answer_holds_can_be_stored(name):
    read = refused = 0
    for variant in Mutator(vectors.load(name), name).variants(VARIANTS):
        try:
            if variant.isascii() or variant.decode():
                envelope = jsonrpc.parse(variant)
            if jsonrpc.form_of(envelope) is not Form.ANSWER:
                continue
            jsonrpc.check_readable(envelope.unreadable)
        except (ProtocolError, MalformedMessageError, UnicodeDecodeError):
            refused += 1
            continue
        read += 1
        assert 0 <= jsonrpc.rpc_id(envelope) <= jsonrpc.MAX_RPC_ID
        for command in ("ping", "script", "leds"):
            outcome = commands.read_answer(command, variant)
            assert -(2**31) <= outcome.error < 2**31
            assert storable(outcome.text)
            json.loads(outcome.results)
        json.loads(decoded(outcome.results))
        result = configuration.read_result(variant)
        if result is not None:
            assert -(2**63) <= result.uuid < 2**63
            assert -(2**31) <= result.error < 2**31
            assert storable(result.text)
            assert result.rejections is not None
            configuration.settle(result, 5)
        uuid, _ = configuration.read_active(variant)
        assert 0 <= uuid < 2**63
    assert read > 1000
    assert refused > 1000

"""10,000 malformed variants of every message through a session of a worker, in process.

None raises; each is published, or counted as a protocol error, or ends its session with a
reason; what is published is storable, and fits an independent reading of the specification.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections import Counter

import orjson
import pytest
import southbound_vectors as vectors
from mutations import Mutator
from sessions import SERIAL, Model, Silent, storable

from gw.worker import session

VARIANTS = 10_000
DEVICE = [name for name in vectors.NAMES if vectors.direction(name) == "device"]
METHODS: dict[str, str] = {}
"""One example per message."""
for _name in DEVICE:
    _message = vectors.load(_name)
    METHODS.setdefault(_message.get("method", _name), _name)

UINT, INT, TEXT, OBJECT, ARRAY, BOOL, ANY = "uint", "int", "text", "object", "array", "bool", "any"
REQUIRED = {
    "connect": {"uuid": UINT, "firmware": TEXT, "capabilities": OBJECT},
    "state": {"uuid": UINT, "state": OBJECT},
    "healthcheck": {"uuid": UINT, "sanity": INT, "data": OBJECT},
    "log": {"log": TEXT, "severity": INT},
    "crashlog": {"uuid": UINT, "loglines": ARRAY},
    "rebootLog": {"uuid": UINT, "type": TEXT, "date": UINT, "info": ARRAY},
    "ping": {},
    "cfgpending": {"uuid": UINT, "active": UINT},
    "deviceupdate": {},
    "recovery": {"uuid": UINT, "firmware": TEXT, "reboot": BOOL, "loglines": ARRAY},
    "event": {"data": OBJECT},
    "alarm": {"data": OBJECT},
    "wifiscan": {"data": ANY},
    "telemetry": {"data": OBJECT},
    "venue_broadcast": {"timestamp": UINT, "data": OBJECT},
}
"""Members that each message must have, by southbound.md section 2, and not by the code."""


def fits(value: object, kind: str) -> bool:
    if kind == UINT and value == -(2.0**63):
        return True  # what a switch makes of a uuid that was a string
    number = isinstance(value, int | float) and not isinstance(value, bool)
    found = {
        UINT: number and value == int(value) and value >= 0 if number else False,
        INT: number,
        TEXT: isinstance(value, str),
        OBJECT: isinstance(value, dict),
        ARRAY: isinstance(value, list),
        BOOL: isinstance(value, bool),
        ANY: True,
    }
    return found[kind]


def is_good(payload: bytes) -> bool:
    """An independent reading of a message that was published."""
    try:
        root = json.loads(payload)
        params = root["params"]
        json.dumps(params, allow_nan=False)
        if isinstance(params, dict) and isinstance(params.get("compress_64"), str):
            params = orjson.loads(zlib.decompress(base64.b64decode(params["compress_64"])))
        return (
            "jsonrpc" in root
            and root["method"] in REQUIRED
            and params["serial"].strip().lower() == SERIAL
            and all(fits(params[key], kind) for key, kind in REQUIRED[root["method"]].items())
        )
    except RecursionError:
        return True  # below the gateway's limit, above that of this reader
    except (KeyError, TypeError, AttributeError, ValueError):
        return False


@pytest.mark.parametrize("method", METHODS)
async def test_no_variant_raises_or_goes_uncounted(method, monkeypatch):
    """Sum of published, errors and ends is the number of messages; none is none of them."""
    log = Silent()
    monkeypatch.setattr(session, "log", log)
    model = Model()
    mutator = Mutator(vectors.load(METHODS[method]), method)
    outcomes: Counter[str] = Counter()
    for _ in range(VARIANTS):
        payload = mutator.variant()
        outcome = model.take(payload)
        outcomes[outcome.kind] += 1
        for record in outcome.records:
            storable(record)
        if outcome.kind == "published" and len(payload) < 60_000:
            assert is_good(payload), payload[:2000]
    assert sum(outcomes.values()) == VARIANTS
    assert outcomes["nothing"] == 0
    assert log.worse == []
    assert model.errors() == outcomes["error"]
    # It is a test of errors, and not of one kind of them.
    assert outcomes["error"] + outcomes["ended"] > VARIANTS // 4
    assert outcomes["ended"] > 500


def test_all_messages_are_varied():
    assert set(REQUIRED) <= set(METHODS)
    assert {"radius_auth"} <= set(METHODS)
    assert any(name.startswith("result_") for name in METHODS)


def test_the_same_seed_makes_the_same_variants():
    message = vectors.load("log")
    assert Mutator(message, 1).variants(100) == Mutator(message, 1).variants(100)
    assert Mutator(message, 1).variants(100) != Mutator(message, 2).variants(100)

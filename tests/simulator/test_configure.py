"""How the two agents answer configure (agents.md), as a table."""

from __future__ import annotations

import base64
import json
import zlib

import msgspec
import pytest

from gw.simulator.configure import OLS_STRING_UUID, Memory, config_hash, configure
from gw.simulator.faults import Faults, Rejection

SERIAL = "02a0c9000001"
CHANNEL = Rejection(at="/radios/0/channel", value=165, reason="not allowed")
SUBSTITUTED = Rejection(at="channel", value=165, substitution=36, reason="not allowed")


def memory(uuid=100, **fields):
    raw = msgspec.Raw(b'{"uuid":%d}' % uuid)
    return Memory(uuid=uuid, config=raw, newest=uuid, newest_config=raw, **fields)


def params(uuid=200, config=None, **more):
    body = {"serial": SERIAL, "uuid": uuid, "when": 0, "config": config or {"uuid": uuid}, **more}
    return json.dumps(body).encode()


def packed(text, size=None):
    data = base64.b64encode(zlib.compress(text)).decode()
    size = len(text) if size is None else size
    return json.dumps({"compress_64": data, "compress_sz": size}).encode()


def ask(platform, text, before=None, faults=None, request_id=5):
    return configure(
        platform, SERIAL, before or memory(), request_id, text, faults=faults or Faults()
    )


def status(outcome):
    result = outcome.answer["result"]
    return result["status"]["error"], result["status"]["text"], result["uuid"]


@pytest.mark.parametrize(
    ("platform", "text", "expected", "active"),
    [
        ("ap", params(), (0, "Success", 200), 200),
        ("ap", packed(params()), (0, "Success", 200), 200),
        ("ap", params(100), (0, "Already applied.", 100), 100),
        ("ap", params(50), (0, "Already applied.", 100), 100),
        ("ap", b'{"uuid":200,"config":{"uuid":200}}', (1, "invalid parameters", 0), 100),
        ("ap", b'{"serial":"x","uuid":"200","config":{}}', (1, "invalid parameters", 0), 100),
        ("ap", b'{"serial":"x","uuid":200,"config":"x"}', (1, "invalid parameters", 0), 100),
        ("ap", params(2**31), (1, "invalid parameters", 0), 100),
        ("ap", params(200, {"unit": {}}), (2, "failed to load/parse the configuration", 0), 100),
        ("ap", packed(params(), 10), (1, "invalid parameters", 0), 100),
        ("ap", b'{"compress_64":"*","compress_sz":9}', (1, "invalid parameters", 0), 100),
        ("ap", b'{"compress_64":"bm8=","compress_sz":9}', (1, "invalid parameters", 0), 100),
        ("switch", params(), (0, "", 200), 200),
        ("switch", params(100), (0, "", 100), 100),
        ("switch", params(50), (0, "", 50), 50),
        ("switch", params(200, {"unit": {}}), (0, "", 200), 200),
        ("switch", params(4294967297), (0, "", 4294967297), 4294967297),
        ("switch", params("200"), (0, "", OLS_STRING_UUID), OLS_STRING_UUID),
        ("switch", b'{"serial":"x","uuid":2}', (2, "invalid parameters", 0), 100),
        ("switch", packed(params()), (2, "invalid parameters", 0), 100),
        ("switch", b'{"serial":"x","uuid":2,"config":[]}', (2, "Configure parse failed", 0), 100),
    ],
)
def test_answers(platform, text, expected, active):
    outcome = ask(platform, text)
    assert status(outcome) == expected
    assert outcome.memory.uuid == active
    assert outcome.answer["result"]["serial"] == SERIAL


def test_memory_given_is_left_alone():
    before = memory()
    ask("ap", params(), before)
    assert before == memory()


@pytest.mark.parametrize(
    ("inner", "active", "applied"), [(1, 1, True), (300, 100, False)], ids=["one", "other"]
)
def test_ap_says_nothing_when_the_inner_uuid_is_not_the_parameter(inner, active, applied):
    outcome = ask("ap", params(200, {"uuid": inner}))
    assert outcome.answer is None
    assert (outcome.memory.uuid, outcome.applied) == (active, applied)


def test_ap_answers_a_missing_inner_uuid_under_a_wrong_id():
    assert ask("ap", params(200, {"unit": {}})).answer["id"] == 100


def test_refused_by_ap():
    bad = {"uuid": 200, "radios": [{"channel": 165}]}
    outcome = ask("ap", params(200, bad), faults=Faults(reject=[CHANNEL]))
    assert status(outcome) == (2, "Failed", 200)
    assert outcome.memory.uuid == 100
    assert outcome.memory.newest_failed
    assert outcome.answer["result"]["status"]["rejected"] == [
        "[E] (In /radios/0/channel) not allowed"
    ]


def test_refused_ap_tries_its_newest_again():
    bad = {"uuid": 200, "radios": [{"channel": 165}]}
    refused = ask("ap", params(200, bad), faults=Faults(reject=[CHANNEL]))
    again = ask("ap", params(150), refused.memory)
    assert status(again) == (0, "Success", 200)
    assert again.memory.uuid == 200
    assert json.loads(bytes(again.memory.config)) == bad


def test_rejection_is_of_the_value_only():
    good = {"uuid": 200, "radios": [{"channel": 36}]}
    assert ask("ap", params(200, good), faults=Faults(reject=[CHANNEL])).applied


def test_substituted_by_ap():
    bad = {"uuid": 200, "radios": [{"channel": 36}, {"channel": 165}]}
    faults = Faults(reject=[SUBSTITUTED], reject_as_objects=True)
    outcome = ask("ap", params(200, bad), faults=faults)
    assert status(outcome) == (1, "Rejects", 200)
    assert outcome.memory.uuid == 200
    assert outcome.rejected == [
        {
            "parameter": {"radios": [{"channel": 165}]},
            "reason": "not allowed",
            "substitution": {"radios": [{"channel": 36}]},
        }
    ]


@pytest.mark.parametrize("rejection", [CHANNEL, SUBSTITUTED])
def test_switch_refuses_all_and_logs_first(rejection):
    bad = {"uuid": 200, "radios": [{"channel": 165}]}
    outcome = ask("switch", params(200, bad), faults=Faults(reject=[rejection]))
    error, text, uuid = status(outcome)
    assert (error, uuid) == (2, 200)
    assert "not allowed" in text
    assert len(outcome.logs) == 1
    assert outcome.memory.uuid == 100
    assert list(outcome.answer["result"]["status"]) == ["text", "error"]


@pytest.mark.parametrize(
    ("platform", "request_id", "answered"),
    [
        ("ap", 5, 5),
        ("ap", 2**31, 0),
        ("ap", "x", 0),
        ("ap", msgspec.UNSET, 0),
        ("switch", 2**53, 2**53),
        ("switch", "x", None),
        ("switch", msgspec.UNSET, 0),
    ],
)
def test_ids(platform, request_id, answered):
    assert ask(platform, params(), request_id=request_id).answer["id"] == answered


def test_ap_keeps_quiet_about_errors_of_id_zero():
    assert ask("ap", b"{}", request_id=0).answer is None


def test_number_spelling_is_kept():
    text = b'{"serial":"x","uuid":200,"config":{"uuid":200,"a":1.10,"b":1e2}}'
    assert bytes(ask("ap", text).memory.config) == b'{"uuid":200,"a":1.10,"b":1e2}'


def test_hash_is_of_the_content():
    first = config_hash(b'{"uuid":1,"a":{"x":1,"y":2}}')
    assert first == config_hash(b'{"a": {"y": 2.0, "x": 1}, "uuid": 2}')
    assert first != config_hash(b'{"a":{"x":1,"y":3}}')
    assert config_hash(b'{"a":1,"a":1}') is None

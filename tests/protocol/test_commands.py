"""Parameters of commands, and what devices answer."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.protocol.commands import (
    BODIES,
    COMMANDS,
    Outcome,
    ParameterError,
    build,
    for_switch,
    read_answer,
)

SERIAL = "02a0d4000001"
UUID = "5f0c2c1e-7d39-4c0b-9a53-2f4f4b7a9d10"
UPLOAD = "https://gw.example.org/v1/upload/" + UUID


def params(name: str, **body: object) -> dict[str, object]:
    return build(name, SERIAL, UUID, msgspec.convert(body, BODIES[name]), UPLOAD)


def test_every_command_has_a_body():
    assert BODIES.keys() | {"rtty"} == COMMANDS.keys(), "a terminal is asked for with GET"


GOOD = [
    ("reboot", {}, {"when": 0}),
    ("reboot", {"when": 5}, {"when": 5}),
    ("factory", {"keepRedirector": False}, {"keep_redirector": 0, "when": 0}),
    ("upgrade", {"uri": "https://x/y", "keepRedirector": False},
     {"uri": "https://x/y", "keep_redirector": 0, "when": 0}),
    ("leds", {"pattern": "on"}, {"pattern": "on", "duration": 30, "when": 0}),
    ("ping", {}, {}),
    ("request", {"message": "healthcheck"},
     {"message": "healthcheck", "request_uuid": UUID, "when": 0}),
    ("wifiscan", {}, {"override_dfs": True, "active": False}),
    ("wifiscan", {"override_dfs": False, "bandwidth": 40, "ies": [1, 7]},
     {"override_dfs": False, "active": False, "bandwidth": 40, "ies": [1, 7]}),
    ("eventqueue", {"types": ["dhcp"]}, {"types": ["dhcp"]}),
    ("powercycle", {"ports": [{"name": "Ethernet8"}]},
     {"ports": [{"name": "Ethernet8", "cycle": 10_000}], "when": 0}),
    ("cable-diagnostics", {"ports": ["Ethernet0"]}, {"ports": ["Ethernet0"], "when": 0}),
    ("trace", {"network": "up"}, {"when": 0, "network": "up", "interface": "",
                                  "uri": UPLOAD, "duration": 30}),
    ("trace", {"interface": "eth0", "numberOfPackets": 9},
     {"when": 0, "network": "", "interface": "eth0", "uri": UPLOAD, "packets": 9}),
    ("script", {"type": "shell", "script": "bHM="},
     {"type": "shell", "script": "bHM=", "timeout": 30, "when": 0}),
    ("script", {"type": "diagnostic", "deferred": True},
     {"type": "diagnostic", "uri": UPLOAD, "when": 0}),
    ("script", {"type": "diagnostic"}, {"type": "diagnostic", "uri": UPLOAD, "when": 0}),
    ("upgrade", {"uri": "https://x/y", "signature": "s"},
     {"uri": "https://x/y", "keep_redirector": 1, "signature": "s", "when": 0}),
    ("script", {"type": "bundle", "script": "bHM=", "deferred": True, "uri": "https://x/y",
                "signature": "s"},
     {"type": "bundle", "script": "bHM=", "uri": "https://x/y", "signature": "s", "when": 0}),
    ("reenroll", {}, {"when": 0}),
    ("fixedconfig", {"country": "US"}, {"country": "US", "when": 0}),
    ("certupdate", {"encodedCertificate": "dGFy"}, {"certificates": "dGFy"}),
    ("transfer", {"server": "gw2.example.org", "port": 15002},
     {"server": "gw2.example.org", "port": 15002}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "expected"), GOOD)
def test_params(name, body, expected):
    """The serial is always `serial`, whatever the body calls it: agents know no other."""
    assert params(name, **body) == {"serial": SERIAL} | expected


BAD = [
    ("upgrade", {"uri": "file:///x"}, 1152),
    ("upgrade", {"uri": "https://" + "x" * 5000}, 1152),
    ("leds", {"pattern": "off", "duration": 0}, 1018),
    ("leds", {"pattern": "red"}, 1018),
    ("request", {"message": "config"}, 1018),
    ("wifiscan", {"bandwidth": 30}, 1018),
    ("eventqueue", {"types": []}, 1018),
    ("trace", {}, 1018),
    ("trace", {"network": "up", "duration": 601}, 1018),
    ("script", {"type": "perl", "script": "bHM="}, 1018),
    ("script", {"type": "shell"}, 1153),
    ("script", {"type": "diagnostic", "script": "bHM="}, 1153),
    ("script", {"type": "shell", "script": "***"}, 1018),
    ("script", {"type": "shell", "script": "bHM=", "timeout": 3601}, 1018),
    ("powercycle", {"ports": []}, 1018),
    ("powercycle", {"ports": [{"name": "a", "cycle": 0}]}, 1018),
    ("cable-diagnostics", {"ports": ["a"] * 1001}, 1018),
    ("fixedconfig", {"country": "USA"}, 1018),
    ("certupdate", {"encodedCertificate": ""}, 1018),
    ("transfer", {"server": "", "port": 1}, 1018),
    ("transfer", {"server": "x", "port": 65_536}, 1018),
]


@pytest.mark.parametrize(("name", "body", "number"), BAD)
def test_wrong_parameters(name, body, number):
    with pytest.raises(ParameterError) as caught:
        params(name, **body)
    assert caught.value.number == number


def test_switches_read_the_signature_by_another_name():
    signed = json.dumps({"serial": SERIAL, "uri": "https://x/y", "signature": "s"}).encode()
    assert json.loads(for_switch("upgrade", signed)) == json.loads(signed) | {"FWsignature": "s"}
    unsigned = b'{"serial":"02a0a3000009","uri":"https://x/\\"signature\\""}'
    assert json.loads(for_switch("upgrade", unsigned)) == json.loads(unsigned)
    assert for_switch("script", signed) == signed


def answer(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 4, **members}).encode()


def status(**members: object) -> bytes:
    return answer(result={"serial": SERIAL, "uuid": 1, "status": members})


ANSWERS = [
    ("leds", status(error=0, text="success"), 0, "success"),
    ("leds", status(error=1, text="no LEDs", resultCode=1), 1, "no LEDs"),
    ("powercycle", status(error=1, text=["a", "b"]), 1, "a; b"),
    ("reenroll", status(error=3, txt="refused"), 3, "refused"),
    ("wifiscan", status(error=0, scan=[]), 0, ""),
    ("leds", status(error="unknown", text="x"), 1, "x"),
    ("leds", status(error=2.0, text="x"), 2, "x"),
    ("leds", status(error=2**40, text="x"), 1, "x"),
    ("leds", status(error=True, text="x"), 1, "x"),
    ("leds", status(text="no error member"), 0, "no error member"),
    ("ping", answer(result={"serial": SERIAL, "deviceUTCTime": 5}), 0, ""),
    ("leds", answer(result={"serial": SERIAL}), 0, "the answer has no status"),
    ("leds", answer(result=[1]), 0, "the answer has no status"),
    ("leds", answer(error={"code": -32601, "message": "Method not found"}), 1,
     "Method not found"),
    ("leds", answer(error="odd"), 1, "the device answered with an error"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "message", "error", "text"), ANSWERS)
def test_answers(name, message, error, text):
    outcome = read_answer(name, message)
    assert (outcome.error, outcome.text) == (error, text)
    assert outcome.failed == (error != 0 or text == "the answer has no status")
    assert isinstance(json.loads(outcome.results), dict | list)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.fixed_dictionaries({}, optional={"error": JSON, "text": JSON, "txt": JSON}), JSON)
def test_any_answer_is_read(members, other):
    for message in (status(**members), answer(result=other), answer(error=other)):
        assert isinstance(read_answer("leds", message), Outcome)


@pytest.mark.parametrize("name", sorted(BODIES))
@pytest.mark.parametrize("when", [2**53 + 1, 2**63, 10**30, -1])
def test_times_that_no_database_takes_are_refused(name, when):
    with pytest.raises(msgspec.ValidationError, match=r"\$\.when"):
        msgspec.json.decode(json.dumps({"when": when}), type=BODIES[name])

"""Messages of devices: what real agents send is taken, what does not fit is a protocol error."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.protocol import compression, messages
from gw.protocol.jsonrpc import MalformedMessageError, ProtocolError

VECTORS = json.loads((Path(__file__).parent.parent / "vectors/device_messages.json").read_text())
BY_METHOD = {vector["method"]: vector["params"] for vector in reversed(VECTORS.values())}

UUID = {"connect", "state", "healthcheck", "crashlog", "rebootLog", "cfgpending", "recovery"}


def encode(params: object) -> bytes:
    return json.dumps(params).encode()


def refused(method: str, params: object) -> str:
    with pytest.raises(ProtocolError) as caught:
        messages.decode(method, encode(params))
    return caught.value.reason


@pytest.mark.parametrize("name", VECTORS)
def test_real_messages(name):
    vector = VECTORS[name]
    params = vector["params"]
    found = messages.decode(vector["method"], encode(params))
    assert type(found) is messages.METHODS[vector["method"]]
    assert found.serial == params["serial"]
    uuid = getattr(found, "uuid", -1)
    assert (-1 if uuid is msgspec.UNSET else uuid) == vector["uuid"]
    for document in ("state", "data", "capabilities"):
        raw = getattr(found, document, None)
        if isinstance(raw, msgspec.Raw):
            assert json.loads(bytes(raw)) == params[document]


@pytest.mark.parametrize("name", VECTORS)
def test_real_messages_compressed(name):
    vector = VECTORS[name]
    plain = encode(vector["params"])
    body = compression.expand(compression.compress(plain), len(plain))
    assert messages.decode(vector["method"], body).serial == vector["params"]["serial"]


def test_every_method_has_a_vector():
    assert BY_METHOD.keys() == messages.METHODS.keys()


@pytest.mark.parametrize("method", messages.METHODS)
def test_members_that_are_unknown_do_not_matter(method):
    params = BY_METHOD[method] | {"more": [1, {"x": None}]}
    assert messages.decode(method, encode(params)) is not None


REQUIRED = [
    (method, member)
    for method, kind in messages.METHODS.items()
    for member in msgspec.structs.fields(kind)
    if member.required
]


@pytest.mark.parametrize(("method", "member"), [(m, f.name) for m, f in REQUIRED])
@pytest.mark.parametrize("change", ["missing", "null", "wrong type"])
def test_required_members(method, member, change):
    params = dict(BY_METHOD[method])
    del params[member]
    if change != "missing":
        params[member] = None if change == "null" else {"serial": 1} if member == "uuid" else 7.5
    assert refused(method, params) == "bad_params"


@pytest.mark.parametrize(
    ("method", "member", "longest"),
    [
        ("connect", "firmware", 512),
        ("connect", "reason", 512),
        ("log", "log", 262_144),
        ("rebootLog", "type", 512),
        ("recovery", "firmware", 512),
        ("deviceupdate", "currentPassword", 512),
    ],
)
def test_length_of_texts(method, member, longest):
    assert messages.decode(method, encode(BY_METHOD[method] | {member: "x" * longest}))
    assert refused(method, BY_METHOD[method] | {member: "x" * (longest + 1)}) == "bad_params"


@pytest.mark.parametrize("method", ["crashlog", "recovery", "rebootLog"])
def test_number_of_lines(method):
    member = "info" if method == "rebootLog" else "loglines"
    assert messages.decode(method, encode(BY_METHOD[method] | {member: [""] * 10_000}))
    assert refused(method, BY_METHOD[method] | {member: [""] * 10_001}) == "bad_params"


@pytest.mark.parametrize("method", messages.LIMITS)
def test_size_of_params(method):
    size = messages.LIMITS[method] - len(encode(BY_METHOD[method] | {"more": ""}))
    assert messages.decode(method, encode(BY_METHOD[method] | {"more": "x" * size}))
    assert refused(method, BY_METHOD[method] | {"more": "x" * (size + 1)}) == "bad_params"


@pytest.mark.parametrize(
    ("method", "change", "tolerated"),
    [
        ("state", {"serial": None}, True),
        ("log", {"serial": None}, True),
        ("state", {"uuid": None}, True),
        ("state", {"state": None}, True),
        ("event", {"data": {"event": []}}, True),
        ("healthcheck", {"sanity": None}, False),
        ("connect", {"capabilities": None}, False),
        ("state", {"uuid": -1}, False),
        ("state", {"state": []}, False),
        ("log", {"severity": 9}, False),
    ],
)
def test_what_owgw_only_warns_of_ends_no_session(method, change, tolerated):
    """None: the member is missing."""
    params = BY_METHOD[method] | change
    params = {name: value for name, value in params.items() if value is not None}
    with pytest.raises(ProtocolError) as caught:
        messages.decode(method, encode(params))
    assert caught.value.tolerated is tolerated


def test_nul_characters_are_replaced():
    for method, member in (("connect", "firmware"), ("log", "log"), ("rebootLog", "type")):
        found = messages.decode(method, encode(BY_METHOD[method] | {member: "a\0b"}))
        assert getattr(found, member) == "a\ufffdb"
    found = messages.decode("crashlog", encode(BY_METHOD["crashlog"] | {"loglines": ["\0", "x"]}))
    assert found.loglines == ["\ufffd", "x"]
    event = {"event": [1, {"type": "a\0", "payload": {"text": "\0"}}]}
    found = messages.decode("event", encode(BY_METHOD["event"] | {"data": event}))
    assert found.data.event[1].type == "a\ufffd"
    assert json.loads(bytes(found.data.event[1].payload)) == {"text": "\0"}
    assert messages.capabilities(encode({"model": "m\0"})).compatible == "m\ufffd"


@pytest.mark.parametrize(
    ("method", "uuid"),
    [("state", 7), ("healthcheck", 7), ("ping", 3), ("cfgpending", -1), ("rebootLog", -1),
     ("crashlog", -1), ("recovery", -1), ("wifiscan", -1), ("log", -1)],
)  # fmt: skip
def test_which_uuid_is_news_of_the_configuration(method, uuid):
    """A log of a crash names what ran then, a notice what is to come: neither is a report."""
    more = {"active": 3} if method in ("ping", "cfgpending") else {}
    found = messages.decode(method, encode(BY_METHOD[method] | {"uuid": 7} | more))
    assert messages.reported(method, found) == (uuid, "")


def test_switch_that_misread_an_id_may_connect():
    """Quirk: it reports the least 64-bit number as a double, and holds nothing of ours."""
    params = encode(BY_METHOD["connect"] | {"uuid": -(2.0**63)})
    assert messages.decode("connect", params).uuid == messages.UNKNOWN_UUID


@pytest.mark.parametrize("method", sorted(UUID))
@pytest.mark.parametrize(
    ("uuid", "fits"),
    [
        ("0", True),
        ("9223372036854775807", True),
        ("9223372036854775808", False),
        ("18446744073709551616", False),
        ("9" * 500, False),
        ("-1", False),
        ("12.0", True),
        ("1.5", False),
        ("1e300", False),
        ("true", False),
        ('"12"', False),
    ],
)
def test_range_of_uuid(method, uuid, fits):
    params = encode(BY_METHOD[method] | {"uuid": "@"}).replace(b'"@"', uuid.encode())
    if fits:
        assert messages.decode(method, params).uuid == int(uuid.removesuffix(".0"))
        assert type(messages.decode(method, params).uuid) is int
    else:
        with pytest.raises(ProtocolError) as caught:
            messages.decode(method, params)
        assert caught.value.reason == "bad_params"


@pytest.mark.parametrize(
    ("method", "member", "value"),
    [
        ("state", "state", []),
        ("state", "state", "{}"),
        ("healthcheck", "data", [{}]),
        ("healthcheck", "sanity", 101),
        ("healthcheck", "sanity", -1),
        ("connect", "capabilities", []),
        ("connect", "capabilities", "ap"),
        ("connect", "password", 5),
        ("connect", "config_hash", "00112233445566778899AABBCCDDEEFF"),
        ("connect", "config_hash", "0011"),
        ("state", "config_hash", 12),
        ("state", "request_uuid", 12),
        ("log", "severity", 8),
        ("log", "severity", -1),
        ("log", "log", ["text"]),
        ("crashlog", "loglines", "one line"),
        ("crashlog", "loglines", [1]),
        ("rebootLog", "date", 2**60),
        ("rebootLog", "info", {}),
        ("recovery", "reboot", 1),
        ("event", "data", {"event": [[1, {"type": "x"}]]}),
        ("event", "data", {"event": [1, {"payload": {}}]}),
        ("event", "data", {"event": ["1", {"type": "x"}]}),
        ("event", "data", {}),
        ("deviceupdate", "currentPassword", 5),
    ],
)
def test_values_that_do_not_fit(method, member, value):
    assert refused(method, BY_METHOD[method] | {member: value}) == "bad_params"


@pytest.mark.parametrize("method", messages.METHODS)
@pytest.mark.parametrize("params", [b"[]", b"null", b"7", b'"x"', b"{", b"", b"{}x"])
def test_params_that_are_no_object(method, params):
    with pytest.raises(ProtocolError) as caught:
        messages.decode(method, params)
    assert caught.value.reason == "bad_params"


@pytest.mark.parametrize("method", ["State", "rebootlog", "configure", "", "x" * 10_000])
def test_unknown_method(method):
    with pytest.raises(ProtocolError) as caught:
        messages.decode(method, b'{"serial":"0a1b2c3d4e5f"}')
    assert caught.value.reason == "unknown_method"
    assert len(str(caught.value)) < 100


def test_params_nested_too_deeply():
    deep = b'{"serial":"a","uuid":1,"state":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    with pytest.raises(MalformedMessageError) as caught:
        messages.decode("state", deep)
    assert caught.value.reason == "depth"


@given(st.sampled_from(sorted(messages.METHODS)), st.binary())
def test_any_bytes_give_params_or_an_error_of_the_protocol(method, tail):
    for params in (tail, b'{"serial":"0a1b2c3d4e5f",' + tail):
        try:
            found = messages.decode(method, params)
        except (ProtocolError, MalformedMessageError):
            continue
        assert isinstance(found, messages.METHODS[method])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({}, {}),
        ({"platform": "SWITCH"}, {"platform": "switch"}),
        ({"model": "m1"}, {"model": "m1", "compatible": "m1"}),
        ({"model": "m1", "compatible": "c1"}, {"model": "m1", "compatible": "c1"}),
        ({"compatible": "c1", "compress_cmd": True}, {"compatible": "c1", "compress_cmd": True}),
        ({"compatible": "c1", "compress_cmd": "yes"}, {"compatible": "c1"}),
        ({"compatible": 7, "platform": "ap", "model": None}, {"platform": "ap"}),
        ({"platform": ["ap"], "developer": True}, {"developer": True}),
        ({"developer": 1, "label_macaddr": {}}, {}),
        ({"wifi": {"phy0": {}}, "version": []}, {}),
    ],
)
def test_capabilities_of_odd_shapes_count_as_absent(text, expected):
    found = msgspec.structs.asdict(messages.capabilities(encode(text)))
    defaults = msgspec.structs.asdict(messages.Capabilities())
    assert found == defaults | expected


@pytest.mark.parametrize("model", [1, "m1"])
def test_restrictions_stay_raw(model):
    found = messages.capabilities(encode({"model": model, "restrictions": {"dfs": True}}))
    assert json.loads(bytes(found.restrictions)) == {"dfs": True}

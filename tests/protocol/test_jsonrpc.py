"""Framing: whatever comes in, parse gives an envelope or one of two errors."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gw._native import Envelope
from gw.protocol import jsonrpc
from gw.protocol.jsonrpc import Form, MalformedMessageError, ProtocolError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
MEMBERS = st.sampled_from(["jsonrpc", "method", "params", "id", "result", "error", "radius"])


@given(st.binary())
@example(b"\xef\xbb\xbf{}")
@example(b'{"method":"\xff"}')
@example(b'{"id":1e999}')
@example(b'{"params":"\\ud800"}')
@example(b'{"params":' + b"[" * 100_000)
def test_parse_of_any_bytes_raises_only_its_two_errors(message):
    try:
        found = jsonrpc.parse(message)
    except (MalformedMessageError, ProtocolError):
        return
    assert isinstance(found, Envelope)
    assert message.lstrip().startswith(b"{")


@given(st.dictionaries(MEMBERS, JSON) | JSON)
def test_parse_and_form_of_any_json_raise_only_their_errors(value):
    message = json.dumps(value).encode()
    try:
        found = jsonrpc.parse(message)
    except MalformedMessageError:
        # NaN and Infinity are no JSON.
        assert not isinstance(value, dict) or b"NaN" in message or b"Infinity" in message
        return
    except ProtocolError:
        return
    assert 0 <= jsonrpc.rpc_id(found) <= jsonrpc.MAX_RPC_ID
    try:
        form = jsonrpc.form_of(found)
    except ProtocolError:
        return
    assert form is not Form.EVENT or {"jsonrpc", "method", "params"} <= value.keys()
    assert form is not Form.ANSWER or {"jsonrpc", "id"} <= value.keys()
    assert form is not Form.RADIUS or "jsonrpc" not in value


@pytest.mark.parametrize(
    ("message", "form"),
    [
        ('{"jsonrpc":"2.0","method":"state","params":{}}', Form.EVENT),
        ('{"jsonrpc":"2.0","method":"state","params":[]}', Form.EVENT),
        ('{"jsonrpc":2,"method":"state","params":{}}', Form.EVENT),
        ('{"jsonrpc":"2.0","method":"state","params":{},"id":7}', Form.EVENT),
        ('{"jsonrpc":"2.0","method":"state","params":{},"id":7,"result":{}}', Form.EVENT),
        ('{"jsonrpc":"2.0","id":4,"result":{}}', Form.ANSWER),
        ('{"jsonrpc":"2.0","id":4,"error":{}}', Form.ANSWER),
        ('{"jsonrpc":"2.0","id":null,"result":null}', Form.ANSWER),
        ('{"radius":"auth","data":"AQ=="}', Form.RADIUS),
        ('{"jsonrpc":"2.0","radius":"auth","id":1,"result":{}}', Form.ANSWER),
    ],
)
def test_form(message, form):
    assert jsonrpc.form_of(jsonrpc.parse(message.encode())) is form


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{}", "not_jsonrpc"),
        ('{"method":"state","params":{}}', "not_jsonrpc"),
        ('{"jsonrpc":"2.0","method":"state"}', "bad_params"),
        ('{"jsonrpc":"2.0","id":4}', "not_jsonrpc"),
        ('{"jsonrpc":"2.0","result":{}}', "not_jsonrpc"),
        ('{"jsonrpc":"2.0","params":{}}', "not_jsonrpc"),
        ('{"jsonrpc":"2.0","radius":"auth"}', "not_jsonrpc"),
    ],
)
def test_message_of_no_known_form(message, reason):
    envelope = jsonrpc.parse(message.encode())
    with pytest.raises(ProtocolError) as caught:
        jsonrpc.form_of(envelope)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "message", ['{"jsonrpc":"2.0","method":7}', '{"method":null}', '{"id":[1]}', '{"id":{}}']
)
def test_envelope_of_wrong_types_is_a_protocol_error(message):
    with pytest.raises(ProtocolError) as caught:
        jsonrpc.parse(message.encode())
    assert caught.value.reason == "not_jsonrpc"


@pytest.mark.parametrize(
    "message", ["", " ", "[]", '"text"', "7", "null", "{", '{"a":1}x', "{'a':1}", '{"a":NaN}']
)
def test_what_is_not_a_json_object_ends_the_session(message):
    with pytest.raises(MalformedMessageError) as caught:
        jsonrpc.parse(message.encode())
    assert caught.value.reason == "bad_json"


@pytest.mark.parametrize("member", ["params", "jsonrpc", "unknown"])
def test_deep_nesting_is_told_apart(member):
    deep = b"[" * 50_000 + b"]" * 50_000
    with pytest.raises(MalformedMessageError) as caught:
        jsonrpc.parse(b'{"%s":%s}' % (member.encode(), deep))
    assert caught.value.reason == "depth"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", 1),
        ("2147483647", 2**31 - 1),
        ("4.0", 4),
        ("2.147483647e9", 2**31 - 1),
        ("2147483648", 0),
        ("2147483648.0", 0),
        ("9" * 400, 0),
        ("0", 0),
        ("-0", 0),
        ("-1", 0),
        ("4.5", 0),
        ("1e300", 0),
        ("true", 0),
        ("null", 0),
        ('"4"', 0),
    ],
)
def test_rpc_id(value, expected):
    found = jsonrpc.rpc_id(jsonrpc.parse(b'{"id":%s}' % value.encode()))
    assert (found, type(found)) == (expected, int)


def test_rpc_id_that_is_missing():
    assert jsonrpc.rpc_id(jsonrpc.parse(b'{"jsonrpc":"2.0"}')) == 0


@given(
    st.integers(1, jsonrpc.MAX_RPC_ID),
    st.sampled_from(["configure", "ping", "reboot"]),
    st.dictionaries(st.text(st.characters(codec="utf-8")), JSON.filter(lambda v: v == v)),
)
def test_request_is_json_and_keeps_id_and_params(rpc_id, method, params):
    text = json.dumps(params)
    found = json.loads(jsonrpc.request(rpc_id, method, text.encode()))
    assert found == {
        "jsonrpc": "2.0", "id": rpc_id, "method": method, "params": json.loads(text),
    } or "NaN" in text  # fmt: skip


@pytest.mark.parametrize(
    ("written", "name"),
    [(r'"st\u0061te"', "state"), ('"ä"', "ä"), (r'"\ud800"', r'"\ud800"'), (r'"a\"b"', 'a"b')],
)
def test_method_with_escapes(written, name):
    assert jsonrpc.method_of(jsonrpc.parse(b'{"method":%s}' % written.encode())) == name


def test_what_is_not_utf8_is_not_json():
    with pytest.raises(MalformedMessageError) as caught:
        jsonrpc.parse(b'{"jsonrpc":"2.0","method":"\xff"}')
    assert caught.value.reason == "bad_json"


@pytest.mark.parametrize("value", ["1e999", '{"a":[-1e999]}', "9" * 400, r'["\ud800"]'])
def test_values_that_many_readers_cannot_read(value):
    envelope = jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"result":%s}' % value.encode())
    with pytest.raises(ProtocolError) as caught:
        jsonrpc.check_readable(envelope.unreadable)
    assert caught.value.reason == "number_range"


@pytest.mark.parametrize("value", ["1e308", "18446744073709551616", "[" * 500 + "]" * 500])
def test_values_that_all_readers_can_read(value):
    envelope = jsonrpc.parse(b'{"jsonrpc":"2.0","id":1,"result":%s}' % value.encode())
    jsonrpc.check_readable(envelope.unreadable)

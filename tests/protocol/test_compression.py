"""`compress_64`: what comes back is what went in, and nothing grows beyond its bound."""

import base64
import json
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gw.protocol import compression
from gw.protocol.jsonrpc import ProtocolError

PLAIN = b'{"serial":"0a1b2c3d4e5f","uuid":12,"state":{"unit":{}}}'
STREAM = zlib.compress(PLAIN)


def form(stream: bytes = STREAM, **members: object) -> bytes:
    return json.dumps({"compress_64": base64.b64encode(stream).decode(), **members}).encode()


@given(st.dictionaries(st.text(), st.text() | st.integers()))
@example({"compress_64": "inside"})
def test_round_trip(params):
    plain = json.dumps(params).encode()
    compressed = compression.compress(plain)
    assert json.loads(compressed)["compress_sz"] == len(plain)
    assert compression.expand(compressed, len(plain)) == plain


@pytest.mark.parametrize("params", [PLAIN, b"{}", b"[]", b"", b'{"log":"\\"compress_64\\""}'])
def test_plain_params_pass_as_they_are(params):
    assert compression.expand(params, 1) == params


@pytest.mark.parametrize("size", [0, -5, 1, len(PLAIN), len(PLAIN) + 1, None])
def test_size_that_agents_state_is_not_relied_on(size):
    params = form() if size is None else form(compress_sz=size)
    assert compression.expand(params, 4096) == PLAIN


def test_limit_is_exact():
    assert compression.expand(form(), len(PLAIN)) == PLAIN
    with pytest.raises(ProtocolError, match="beyond"):
        compression.expand(form(), len(PLAIN) - 1)


def test_bomb_is_not_expanded():
    zeros = zlib.compressobj(9)
    bomb = b"".join(zeros.compress(bytes(1 << 20)) for _ in range(256)) + zeros.flush()
    with pytest.raises(ProtocolError, match="beyond 100000 bytes") as caught:
        compression.expand(form(bomb, compress_sz=10), 100_000)
    assert caught.value.reason == "bad_compression"


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (form(STREAM[:-1]), "incomplete"),
        (form(STREAM[:10]), "incomplete"),
        (form(b""), "incomplete"),
        (form(STREAM + b"x"), "other bytes follow"),
        (form(STREAM + STREAM), "other bytes follow"),
        (form(STREAM[:-1] + bytes([STREAM[-1] ^ 1])), "compress_64: "),
        (form(b"plainly no zlib"), "compress_64: "),
        (form(zlib.compress(b'{"serial":"\xff"}')), "not UTF-8"),
        (form(compress_sz=4097), "above 4096"),
        (form(compress_sz="60"), "compressed params"),
        (form(compress_sz=60.5), "compressed params"),
        (b'{"compress_64":"%s"}' % b"eJw!", "compress_64: "),
        (b'{"compress_64":"eJwDAAAAAAE\xc3\xa9"}', "compress_64: "),
        (b'{"compress_64":"eJwDAAAAAAE"}', "compress_64: "),
        (b'{"compress_64":7}', "compressed params"),
        (b'{"compress_64":null}', "compressed params"),
        (b'["compress_64"]', "compressed params"),
        (b'{"compress_64":"', "compressed params"),
    ],
)
def test_damage_is_a_protocol_error(params, text):
    with pytest.raises(ProtocolError, match=text) as caught:
        compression.expand(params, 4096)
    assert caught.value.reason == "bad_compression"


@given(st.binary())
def test_any_bytes_give_params_or_a_protocol_error(tail):
    params = b'{"compress_64"' + tail
    try:
        found = compression.expand(params, 1000)
    except ProtocolError:
        return
    assert found == params or len(found) <= 1000


def packed(text):
    return base64.b64encode(zlib.compress(text.encode())).decode()


def test_streams_in_answers_are_expanded():
    packages = [{"name": "nano", "version": "7.2-1"}]
    status = {"compress_64": packed(json.dumps(packages)), "text": "ok"}
    result = {"uuid": 1, "result_64": packed("all of it\n"), "result_sz": 10, "status": status}
    assert compression.expand_answer(result)
    status = {"packages": packages, "text": "ok"}
    assert result == {"uuid": 1, "result": "all of it\n", "status": status}
    result = {"status": {"compress_64": packed('{"packages":[1]}')}}
    assert compression.expand_answer(result)
    assert result == {"status": {"packages": [1]}}


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        "",
        "***",
        "eJw",
        packed("not JSON"),
        packed("[" * 9000),
        packed("x" * 4_200_000),
    ],
)
def test_damaged_streams_in_answers_stay(value):
    result = {"status": {"compress_64": value, "compress_sz": 5}}
    before = json.loads(json.dumps(result))
    assert not compression.expand_answer(result)
    assert result == before

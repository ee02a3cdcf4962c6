"""The RADIUS message of devices: read, refused with its reason, written."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.protocol import jsonrpc, radius_tunnel
from gw.protocol.jsonrpc import Form, ProtocolError

FOLDER = Path(__file__).parent.parent / "vectors/southbound"
VECTORS = {
    kind: json.loads((FOLDER / f"radius_{kind}.json").read_text())["message"]["data"]
    for kind in ("auth", "acct", "coa")
}


def message(radius: object = "auth", data: object = VECTORS["auth"]) -> bytes:
    return json.dumps({"radius": radius, "data": data}).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("kind", VECTORS)
def test_vectors_are_read_and_written(kind):
    text = message(kind, VECTORS[kind])
    assert jsonrpc.form_of(jsonrpc.parse(text)) is Form.RADIUS
    found, packet = radius_tunnel.read(text)
    assert (found, packet) == (kind, base64.b64decode(VECTORS[kind]))
    assert json.loads(radius_tunnel.write(kind, packet)) == json.loads(text)


@given(st.sampled_from(radius_tunnel.KINDS), st.binary(max_size=4076))
def test_what_is_written_is_read(kind, rest):
    packet = bytes((1, 2)) + (20 + len(rest)).to_bytes(2, "big") + bytes(16) + rest
    assert radius_tunnel.read(radius_tunnel.write(kind, packet)) == (kind, packet)


def test_padding_is_left_out():
    packet = base64.b64decode(VECTORS["acct"])
    assert radius_tunnel.read(message("acct", b64(packet + bytes(9)))) == ("acct", packet)


SHORT = bytes((1, 2, 0, 20)) + bytes(15)
WRONG = {
    "kind": (message("AUTH"), "radius_type"),
    "kind of another type": (message(1), "radius_fields"),
    "no data": (b'{"radius":"auth"}', "radius_fields"),
    "data of another type": (message(data=None), "radius_fields"),
    "not base64": (message(data="%%%%"), "radius_base64"),
    "padding within": (message(data="AAAA=AAA"), "radius_base64"),
    "not ascii": (message(data="ä" * 40), "radius_base64"),
    "empty": (message(data=""), "radius_size"),
    "too short": (message(data=b64(SHORT)), "radius_size"),
    "too long": (message(data=b64(bytes(4097))), "radius_size"),
    "far too long": (message(data="A" * 100_000), "radius_size"),
    "length below 20": (message(data=b64(b"\1\2\0\x13" + bytes(20))), "radius_length"),
    "length beyond the data": (message(data=b64(b"\1\2\0\x40" + bytes(20))), "radius_length"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_messages_are_refused_with_their_reason(case):
    text, reason = WRONG[case]
    with pytest.raises(ProtocolError) as refused:
        radius_tunnel.read(text)
    assert refused.value.reason == reason
    assert len(str(refused.value)) < 200


@given(st.binary(max_size=120))
def test_any_data_is_read_or_refused(data):
    if len(data) < 20 or not 20 <= int.from_bytes(data[2:4], "big") <= len(data):
        with pytest.raises(ProtocolError, match="bytes"):
            radius_tunnel.read(message("coa", b64(data)))
    else:
        kind, packet = radius_tunnel.read(message("coa", b64(data)))
        assert (kind, packet) == ("coa", data[: len(packet)])

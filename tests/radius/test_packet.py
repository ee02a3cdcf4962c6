"""The RADIUS codec against its vectors, against pyrad, and against anything."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket, AuthPacket, CoAPacket

from gw.radius import packet as wire
from gw.radius.accounting import Session, disconnect_of
from gw.radius.hiding import rehide
from gw.radius.packet import Attr, Attribute, Code, Packet, PacketError
from gw.radius.routing import (
    Route,
    proxy_state,
    read_proxy_state,
    route_of,
    serial_of_request,
)

SECRET = b"testing123"
FOLDER = Path(__file__).parent.parent / "vectors/southbound"
VECTORS = {
    kind: json.loads((FOLDER / f"radius_{kind}.json").read_text())["message"]["data"]
    for kind in ("auth", "acct", "coa")
}
DICTIONARY = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 string
ATTRIBUTE NAS-IP-Address 4 ipaddr
ATTRIBUTE Called-Station-Id 30 string
ATTRIBUTE Acct-Status-Type 40 integer
ATTRIBUTE Acct-Session-Id 44 string
ATTRIBUTE Message-Authenticator 80 octets
"""


def dictionary() -> Dictionary:
    return Dictionary(io.StringIO(DICTIONARY))


def vector(name: str) -> bytes:
    return base64.b64decode(VECTORS[name])


attributes = st.lists(
    st.builds(
        Attribute,
        st.integers(0, 255).filter(lambda one: one != Attr.MESSAGE_AUTHENTICATOR),
        st.binary(max_size=253),
    ),
    max_size=40,
).map(tuple)
packets = st.builds(
    Packet, st.integers(0, 255), st.integers(0, 255), st.binary(min_size=16, max_size=16),
    attributes,
)  # fmt: skip


@given(packets)
def test_what_is_encoded_is_read_back(packet):
    if 20 + sum(2 + len(one.value) for one in packet.attributes) > 4096:
        with pytest.raises(PacketError, match="4096"):
            wire.encode(packet)
        return
    data = wire.encode(packet)
    assert wire.parse(data) == packet
    assert wire.parse(data + b"padding") == packet


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(data):
    try:
        packet = wire.parse(data)
    except PacketError:
        return
    assert wire.encode(packet) == data[: wire.length_of(data)]


@given(st.binary(max_size=60))
def test_vendor_values_never_fail(value):
    for vendor, one in wire.vendor_attributes(value):
        assert vendor < 1 << 32
        assert len(one.value) <= len(value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: data[:19], "19 bytes"),
        (lambda data: data[:-1], "length 181"),
        (lambda data: data[:2] + b"\x00\x13" + data[4:], "length 19"),
        (lambda data: data[:2] + b"\x10\x01" + data[4:], "length 4097"),
        (lambda data: data[:21] + b"\x00" + data[22:], "attribute 1 at byte 20 has length 0"),
        (lambda data: data[:21] + b"\x01" + data[22:], "attribute 1 at byte 20 has length 1"),
        (lambda data: data[:2] + b"\x00\x15" + data[4:21], "cut off at byte 20"),
        (lambda data: data[:2] + b"\x00\x1e" + data[4:30], "attribute 1 at byte 20 has length 19"),
    ],
)
def test_malformed_packets_are_named(change, text):
    with pytest.raises(PacketError) as refused:
        wire.parse(change(vector("auth")))
    assert text in str(refused.value)


def test_more_than_25_attributes_are_read():
    many = tuple(Attribute(Attr.REPLY_MESSAGE, b"x" * 100) for _ in range(39))
    packet = Packet(Code.ACCESS_ACCEPT, 1, bytes(16), many)
    assert wire.parse(wire.encode(packet)).attributes == many


# -- vectors


def test_access_request_of_a_device():
    packet = wire.parse(vector("auth"))
    assert (packet.code, packet.identifier) == (Code.ACCESS_REQUEST, 7)
    assert packet.text(Attr.USER_NAME) == "alice@example.org"
    assert wire.access_request_holds(packet, SECRET)
    assert not wire.access_request_holds(packet, b"testing124")
    assert route_of(packet) == Route("24f5a207a130", "0.0.1.1", 1812, "up0v0")
    assert wire.sign_access_request(packet, SECRET) == packet


def test_accounting_request_of_a_device():
    packet = wire.parse(vector("acct"))
    assert wire.request_holds(packet, SECRET)
    assert not wire.request_holds(packet, b"")
    assert wire.sign_request(packet, SECRET) == packet
    assert packet.number(Attr.ACCT_STATUS_TYPE) == 1


def test_disconnect_request_of_the_gateway_is_that_of_the_vector():
    session = Session(
        serial="24f5a207a130", key="", pool="p", started=0, last_transaction=0, destination="",
        seen=0.0, packet=b"", secret=SECRET, user_name="alice@example.org",
        called_station_id="24-F5-A2-07-A1-32:Corp-Net",
        calling_station_id="3C-22-FB-10-4E-01", session_id="A1B2C3D4E5F60718",
        multi_session_id="99AA88BB77CC66DD", interface="up0v0",
    )  # fmt: skip
    made = disconnect_of(session, 91, proxy_state(session.serial, session.interface))
    assert wire.encode(wire.sign_request(made, SECRET)) == vector("coa")


# -- another implementation


def test_pyrad_reads_what_we_sign():
    ours = wire.sign_access_request(
        Packet(Code.ACCESS_REQUEST, 3, b"0123456789abcdef",
               (wire.attribute(Attr.USER_NAME, "bob"),)),
        SECRET,
    )  # fmt: skip
    theirs = AuthPacket(packet=wire.encode(ours), secret=SECRET, dict=dictionary())
    assert theirs.verify_message_authenticator()
    accounting = wire.sign_request(
        Packet(Code.ACCOUNTING_REQUEST, 4, bytes(16), (wire.attribute(Attr.ACCT_STATUS_TYPE, 1),)),
        SECRET,
    )
    data = wire.encode(accounting)
    theirs = AcctPacket(packet=data, secret=SECRET, dict=dictionary())
    assert theirs.VerifyAcctRequest()
    assert theirs["Acct-Status-Type"] == [1]
    coa = wire.sign_request(
        Packet(Code.COA_REQUEST, 5, bytes(16), (wire.attribute(Attr.USER_NAME, "bob"),)), SECRET
    )
    theirs = CoAPacket(packet=wire.encode(coa), secret=SECRET, dict=dictionary())
    assert theirs.VerifyCoARequest()


def test_we_read_what_pyrad_signs():
    request = AuthPacket(
        id=9, secret=SECRET, dict=dictionary(), message_authenticator=True,
        authenticator=b"0123456789abcdef",
    )  # fmt: skip
    request["User-Name"] = "bob"
    request["User-Password"] = request.PwCrypt("hunter2-hunter2-hunter2")
    ours = wire.parse(request.RequestPacket())
    assert wire.access_request_holds(ours, SECRET)
    answer = request.CreateReply()
    answer.code = Code.ACCESS_ACCEPT
    answer["User-Name"] = "bob"
    accepted = wire.parse(answer.ReplyPacket())
    assert wire.answer_holds(accepted, ours.authenticator, SECRET)
    assert not wire.answer_holds(accepted, bytes(16), SECRET)
    signed = wire.sign_answer(accepted, ours.authenticator, SECRET)
    assert signed.authenticator == accepted.authenticator

    hidden = rehide(ours, ours.authenticator, SECRET, b"another")
    theirs = AuthPacket(
        packet=wire.encode(wire.sign_access_request(hidden, b"another")),
        secret=b"another", dict=dictionary(),
    )  # fmt: skip
    assert theirs.PwDecrypt(theirs["User-Password"][0]) == "hunter2-hunter2-hunter2"


@given(st.binary(min_size=34, max_size=64), st.binary(min_size=1), st.binary(min_size=1))
def test_keys_hidden_anew_and_back_are_the_same(value, one, other):
    key = wire.vendor_attribute(311, 16, value)
    tunnel = Attribute(Attr.TUNNEL_PASSWORD, b"\x01" + value)
    packet = Packet(Code.ACCESS_ACCEPT, 1, bytes(16), (key, tunnel))
    hidden = rehide(packet, b"r" * 16, one, other)
    assert (hidden == packet) == (one == other)
    assert rehide(hidden, b"r" * 16, other, one) == packet


@given(packets, st.binary(min_size=1, max_size=40), st.integers(0, 400))
def test_a_changed_byte_breaks_the_signature(packet, secret, place):
    try:
        data = bytearray(wire.encode(wire.sign_request(packet, secret)))
    except PacketError:
        return
    assert wire.request_holds(wire.parse(data), secret)
    data[place % len(data)] ^= 1
    try:
        changed = wire.parse(data)
    except PacketError:
        return
    assert not wire.request_holds(changed, secret)


def test_two_message_authenticators_hold_never():
    packet = wire.sign_access_request(Packet(1, 1, bytes(16)), SECRET)
    twice = Packet(1, 1, bytes(16), packet.attributes * 2)
    assert not wire.message_authenticator_holds(twice, SECRET)


# -- routing


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("24f5a207a130:0.0.1.1:1812:up0v0", Route("24f5a207a130", "0.0.1.1", 1812, "up0v0")),
        ("24F5A207A130|0.0.1.1|1812|up0:v0", Route("24f5a207a130", "0.0.1.1", 1812, "up0:v0")),
        ("24f5a207a130:0.0.1.1:1812", Route("24f5a207a130", "0.0.1.1", 1812, "")),
        ("24f5a207a130:0.0.1.1:port:x", None),
        ("24f5a207a1:0.0.1.1:1812:x", None),
        ("status:pool", None),
        ("", None),
        ("24f5a207a130|0.0.1.1|1812|a|b", None),
    ],
)
def test_proxy_states(text, route):
    assert read_proxy_state(text.encode()) == route


@given(st.binary(max_size=253))
def test_any_proxy_state_is_read_or_none(value):
    read_proxy_state(value)


def test_the_last_proxy_state_is_the_devices_own():
    states = (proxy_state("02a0e2ffffff", "x"), proxy_state("02a0e2000001", "y"))
    assert route_of(Packet(1, 1, bytes(16), states)) == Route("02a0e2000001", "0.0.0.0", 3799, "y")


def test_vendor_attribute_names_the_device_of_a_request():
    named = wire.vendor_attribute(58888, 1, b"02-A0-E2-00-00-01")
    packet = Packet(Code.COA_REQUEST, 1, bytes(16), (named, proxy_state("02a0e2000002", "x")))
    assert serial_of_request(packet) == "02a0e2000001"
    assert serial_of_request(Packet(43, 1, bytes(16), packet.attributes[1:])) == "02a0e2000002"
    assert serial_of_request(Packet(43, 1, bytes(16))) is None

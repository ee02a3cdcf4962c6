"""The values of all topics, as southbound.md 5.1 to 5.5 has them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gw.bus import envelopes

SERIAL = "02a0e7000001"
CONNECTION = 2**63 - 1025
"""Above 2**53, and not a multiple of what a float could hold."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_the_envelope_names_the_gateway_and_keeps_the_payload_as_it_is():
    envelope = envelopes.Envelope(2**64 - 1, 'https://a"b:17002')
    payload = b'{"a" : 1.0e2,"a":2}'
    value = envelope.wrap(payload)
    assert value.endswith(b',"payload":' + payload + b"}")
    assert json.loads(value)["system"] == {"id": 2**64 - 1, "host": 'https://a"b:17002'}


def test_connected_is_the_whole_connect_with_the_number_of_the_connection():
    params = b'{"serial":"02a0e7000001","uuid":17,"firmware":"f","x":1.50,"capabilities":{"a":[]}}'
    value = envelopes.connected(params, SERIAL, "192.0.2.1:4711", CONNECTION, "DE", 1795503600)
    assert b'"x":1.50' in value
    assert json.loads(value) == {
        "serial": SERIAL, "uuid": CONNECTION, "firmware": "f", "x": 1.5, "capabilities": {"a": []},
        "connectionIp": f"{SERIAL}@192.0.2.1:4711", "locale": "DE", "timestamp": 1795503600,
    }  # fmt: skip


def test_pinged_and_disconnected():
    value = envelopes.pinged(SERIAL, "[::1]:5", CONNECTION, "fw", "acme_ap7", "", 5)
    assert json.loads(value) == {
        "ping": {
            "firmware": "fw", "serialNumber": SERIAL, "compatible": "acme_ap7",
            "connectionIp": f"{SERIAL}@[::1]:5", "timestamp": 5, "uuid": CONNECTION, "locale": "",
        }
    }  # fmt: skip
    assert envelopes.disconnected(SERIAL, CONNECTION, 5) == (
        b'{"disconnection":{"serialNumber":"%b","timestamp":5,"uuid":%d}}'
        % (SERIAL.encode(), CONNECTION)
    )


EVENTS = {
    "unit.firmware_change": (
        envelopes.firmware_change("old", "new", 5), {"oldFirmware": "old", "newFirmware": "new"}
    ),
    "unit.configuration_change": (
        envelopes.configuration_change(b'{"uuid":7}', 5), {"configuration": {"uuid": 7}}
    ),
    "blacklisted_device": (
        envelopes.blacklisted("stolen", "a@b", 3, "192.0.2.1", 5),
        {"reason": "stolen", "author": "a@b", "created": 3, "ipaddress": "192.0.2.1"},
    ),
    "device.not_provisioned": (
        envelopes.not_provisioned(SERIAL, "fw", "ap", "192.0.2.1:4711", 5),
        {"firmware": "fw", "deviceType": "ap", "IP": f"{SERIAL}@192.0.2.1:4711"},
    ),
    "device_log": (
        envelopes.device_log(b'{"x":1}', "text", 6, 5, 0, 9),
        {"data": {"x": 1}, "log": "text", "severity": 6, "recorded": 5, "logType": 0, "UUID": 9},
    ),
    "load-update": (
        envelopes.load_update(4, b'{"numberOfDevices":1}', 5),
        {"notification_id": 4, "type_id": 1000, "content": {"numberOfDevices": 1}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", EVENTS)
def test_events_of_the_queue(kind):
    value, payload = EVENTS[kind]
    assert json.loads(value) == {"type": kind, "timestamp": 5, "payload": payload}


def test_a_large_configuration_is_announced_without_its_content():
    document = b'{"a":"%b"}' % (b"x" * envelopes.MAX_CONFIGURATION_BYTES)
    value = json.loads(envelopes.configuration_change(document, 5))
    assert value["payload"] == {"configuration": "{}", "configurationTooBig": True}


def test_device_deleted():
    assert json.loads(envelopes.device_deleted(5)) == {"command": "device_deleted", "timestamp": 5}


@given(st.dictionaries(st.text() | st.just("timestamp"), JSON, max_size=4), st.booleans())
def test_telemetry_is_the_data_with_a_timestamp(data, spaced):
    text = json.dumps(data, separators=(" , ", " : ") if spaced else (",", ":")).encode()
    value = envelopes.telemetry(text, 1795503600)
    assert json.loads(value, object_pairs_hook=once) == data | {"timestamp": 1795503600}


def once(pairs):
    found = dict(pairs)
    assert len(found) == len(pairs), "a member is there twice"
    return found


@pytest.mark.parametrize("data", [b"[]", b"1", b'"{"', b"null"])
def test_telemetry_of_another_form_is_refused(data):
    with pytest.raises(ValueError, match="not an object"):
        envelopes.telemetry(data, 1)


def test_service_events_have_no_envelope():
    value = envelopes.service_event(
        "keep-alive", 7, "https://p:17002", "https://o:16002", "k", "1.2"
    )
    assert json.loads(value) == {
        "event": "keep-alive", "id": 7, "type": "owgw", "publicEndPoint": "https://o:16002",
        "privateEndPoint": "https://p:17002", "key": "k", "version": "1.2",
    }  # fmt: skip

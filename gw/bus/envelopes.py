"""What is published: the value of every topic, as bytes (southbound.md 5.1 to 5.5).

Documents of devices are spliced in as they came, never decoded and encoded again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

MAX_CONFIGURATION_BYTES: Final = 250_000
"""A larger configuration is announced without its content (southbound.md 5.4)."""

_encode = msgspec.json.Encoder().encode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Envelope:
    """Wraps payloads: `{"system":{"id","host"},"payload"}`."""

    def __init__(self, system_id: int, host: str) -> None:
        """`system_id` is the gateway's number, `host` the URL of its private endpoint."""
        system = _encode({"id": system_id, "host": host})
        self._head = b'{"system":' + system + b',"payload":'

    def wrap(self, payload: bytes) -> bytes:
        """Return the value of a message; `payload` is JSON text."""
        return self._head + payload + b"}"


# -- connection (5.3)


def connected(
    params: bytes, serial: str, address: str, session: int, locale: str, now: int
) -> bytes:
    """Return the params of a `connect`, with what the gateway knows of the connection.

    `uuid` of the configuration gives way to the number of the connection, an integer that may be
    above 2**53. `address` is `ip:port`; `now` is Unix time in seconds.
    """
    members: dict[str, Any] = dict(_decode_members(params))
    members["uuid"] = session
    members["connectionIp"] = f"{serial}@{address}"
    members["locale"] = locale
    members["timestamp"] = now
    return _encode(members)


def pinged(
    serial: str,
    address: str,
    session: int,
    firmware: str,
    compatible: str,
    locale: str,
    now: int,
) -> bytes:
    """Return what tells of a WebSocket PING."""
    return _encode(
        {
            "ping": {
                "firmware": firmware,
                "serialNumber": serial,
                "compatible": compatible,
                "connectionIp": f"{serial}@{address}",
                "timestamp": now,
                "uuid": session,
                "locale": locale,
            }
        }
    )


def disconnected(serial: str, session: int, now: int) -> bytes:
    """Return what tells of the end of a connection."""
    return _encode({"disconnection": {"serialNumber": serial, "timestamp": now, "uuid": session}})


# -- command


def device_deleted(now: int) -> bytes:
    """Return what tells that a device was deleted."""
    return b'{"command":"device_deleted","timestamp":%d}' % now


# -- device_event_queue and rrm (5.4)


def queued(kind: str, timestamp: int | float, payload: bytes) -> bytes:
    """Return an event of the queue; `timestamp` is in the unit of whoever made it."""
    return b'{"type":%b,"timestamp":%b,"payload":%b}' % (
        _encode(kind),
        _encode(timestamp),
        payload,
    )


def firmware_change(old: str, new: str, now: int) -> bytes:
    """Return the event of a device that came back with another firmware."""
    payload = _encode({"oldFirmware": old, "newFirmware": new})
    return queued("unit.firmware_change", now, payload)


def configuration_change(document: bytes, now: int) -> bytes:
    """Return the event of an operator's configuration that a device took."""
    if len(document) > MAX_CONFIGURATION_BYTES:
        payload = b'{"configuration":"{}","configurationTooBig":true}'
    else:
        payload = b'{"configuration":%b}' % document
    return queued("unit.configuration_change", now, payload)


def blacklisted(reason: str, author: str, created: int, address: str, now: int) -> bytes:
    """Return the event of a device on the blacklist that tried to connect."""
    members = {"reason": reason, "author": author, "created": created, "ipaddress": address}
    return queued("blacklisted_device", now, _encode(members))


def not_provisioned(serial: str, firmware: str, device_type: str, address: str, now: int) -> bytes:
    """Return the event of an unknown device that was refused."""
    members = {"firmware": firmware, "deviceType": device_type, "IP": f"{serial}@{address}"}
    return queued("device.not_provisioned", now, _encode(members))


def device_log(data: bytes, text: str, severity: int, recorded: int, kind: int, uuid: int) -> bytes:
    """Return the event of a `log`, `crashlog` or `rebootLog`; `data` is JSON text."""
    members = {
        "data": msgspec.Raw(data),
        "log": text,
        "severity": severity,
        "recorded": recorded,
        "logType": kind,
        "UUID": uuid,
    }
    return queued("device_log", recorded, _encode(members))


def load_update(notification: int, content: bytes, now: int) -> bytes:
    """Return the event that sums up the connections; `content` as in notification 1000."""
    payload = b'{"notification_id":%d,"type_id":1000,"content":%b}' % (notification, content)
    return queued("load-update", now, payload)


# -- device_telemetry (2.11)


def telemetry(data: bytes, now: int) -> bytes:
    """Return the `data` object of a telemetry message, with the time of its receipt, seconds.

    Raises ValueError if `data` is not an object.
    """
    if data[:1] != b"{":
        raise ValueError("`data` is not an object")
    if b'"timestamp"' in data:
        # Perhaps a member of the object itself: it would be there twice.
        members: dict[str, Any] = dict(_decode_members(data))
        members["timestamp"] = now
        return _encode(members)
    inside = data[1:-1].strip()
    comma = b"," if inside else b""
    return b"{" + inside + comma + b'"timestamp":%d}' % now


# -- service_events


def service_event(
    event: str, id: int, private: str, public: str, key: str, version: str, kind: str = "owgw"
) -> bytes:
    """Return an announcement of this gateway to its sister services, which has no envelope.

    `event` is `join`, `keep-alive` or `leave`; `private` and `public` are URLs, `key` is what a
    sister sends as `X-API-KEY` to the private one.
    """
    return _encode(
        {
            "event": event,
            "id": id,
            "type": kind,
            "publicEndPoint": public,
            "privateEndPoint": private,
            "key": key,
            "version": version,
        }
    )


def token_removed(id: int, token: str) -> bytes:
    """Return the event that tells sister services to forget a token: it is not valid any more."""
    return _encode({"event": "remove-token", "id": id, "token": token})

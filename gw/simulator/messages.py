"""What a simulated device says: bodies modelled on the agents' own, as parameters of a method."""

from __future__ import annotations

import base64
import random
import time
import zlib
from typing import Any, Final, Literal

import orjson

from gw.core.ids import mac_address

Platform = Literal["ap", "switch"]

COMPRESS_FROM: Final = 2048
"""An access point compresses a state of this many bytes or more (agents.md)."""

_SEQUENCE: Final = 9_100_000_000_000_001
_LOCALTIME: Final = 9_100_000_000_000_002
_UPTIME: Final = 9_100_000_000_000_003
_STATIONS: Final = 3
_SWITCH_PORTS: Final = 8


def encode(message: Any) -> bytes:
    """Return `message` as JSON text."""
    return orjson.dumps(message)


def notification(method: str, params: Any) -> dict[str, Any]:
    """Return what a device sends unasked; none of it is answered."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def result(request_id: Any, serial: str, uuid: Any, status: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to the request `request_id`."""
    body = {"serial": serial, "uuid": uuid, "status": status}
    return {"jsonrpc": "2.0", "id": request_id, "result": body}


def capabilities(serial: str, platform: Platform, firmware: str, model: str) -> dict[str, Any]:
    """Return the capabilities as the agent of `platform` reports them."""
    version = {"major": 4, "minor": 2, "patch": 0}
    mac = mac_address(serial)
    if platform == "switch":
        return {
            "version": {"switch": version, "schema": version},
            "serial": serial,
            "firmware": firmware,
            "compatible": model,
            "model": model,
            "platform": "switch",
            "label_macaddr": mac,
        }
    channels = [36, 40, 44, 48, 52, 56, 60, 64, 149, 153, 157, 161]
    return {
        "secure-rtty": True,
        "default-config": True,
        "compress_cmd": True,
        "country": "US",
        "country_codes": ["US", "CA"],
        "compatible": model,
        "model": model,
        "version": {"ap": version, "schema": version},
        "platform": "ap",
        "network": {"lan": ["eth1"], "wan": ["eth0"]},
        "macaddr": {"wan": mac, "lan": mac_address(f"{int(serial, 16) ^ 1:012x}")},
        "label_macaddr": mac,
        "wifi": {
            "platform/soc/c000000.wifi": {
                "band": ["5G"],
                "channels": channels,
                "frequencies": [5000 + 5 * c for c in channels],
                "htmode": ["HT20", "HT40", "VHT20", "VHT40", "VHT80", "HE20", "HE40", "HE80"],
                "tx_ant": 15,
                "rx_ant": 15,
            },
            "platform/soc/c000000.wifi+1": {
                "band": ["2G"],
                "channels": list(range(1, 12)),
                "frequencies": [2407 + 5 * c for c in range(1, 12)],
                "htmode": ["HT20", "HT40", "HE20", "HE40"],
                "tx_ant": 3,
                "rx_ant": 3,
            },
        },
    }


def healthcheck(
    serial: str, uuid: Any, sanity: int = 100, request_uuid: str | None = None
) -> dict[str, Any]:
    """Return a healthcheck; below 100 one interface has a warning."""
    data: dict[str, Any] = {"unit": {"memory": 27.4}}
    if sanity < 100:
        warning = {"location": "/interfaces/1", "dhcp": False, "warning": ["no DHCP offer"]}
        data["interfaces"] = {"down1v0": warning}
    body = {"serial": serial, "uuid": uuid, "sanity": sanity, "data": data}
    return body if request_uuid is None else {**body, "request_uuid": request_uuid}


def log(serial: str, text: str, severity: int = 6) -> dict[str, Any]:
    """Return a line of the device's log; severity 0..7."""
    return {"serial": serial, "log": text, "severity": severity}


def event(serial: str, kind: str, payload: dict[str, Any], at: int | None = None) -> dict[str, Any]:
    """Return one event: a single [time, {type, payload}] pair, not a list of them."""
    when = int(time.time()) if at is None else at
    return {"serial": serial, "data": {"event": [when, {"type": kind, "payload": payload}]}}


def ping(serial: str, active: Any, uuid: Any) -> dict[str, Any]:
    """Return the method `ping` of a device, which only tells that it is there."""
    return {"serial": serial, "active": active, "uuid": uuid}


def cfgpending(serial: str, active: Any, uuid: Any) -> dict[str, Any]:
    """Return the notice that `uuid` waits to be applied over `active`."""
    return {"serial": serial, "active": active, "uuid": uuid}


def recovery(
    serial: str, uuid: Any, firmware: str, lines: list[str], *, reboot: bool
) -> dict[str, Any]:
    """Return the notice of a device that could not apply anything; `reboot` asks for one."""
    body = {"serial": serial, "uuid": uuid, "firmware": firmware, "reboot": reboot}
    return {**body, "loglines": lines}


def reboot_log(serial: str, uuid: Any, kind: str, lines: list[str]) -> dict[str, Any]:
    """Return what an access point saved before a crash (`kind` crashlog or console)."""
    body = {"serial": serial, "uuid": uuid, "type": kind, "date": int(time.time())}
    return {**body, "info": lines}


def compressed(params: bytes, level: int = 6) -> dict[str, Any]:
    """Return JSON text of parameters as `compress_64` and `compress_sz`."""
    text = base64.b64encode(zlib.compress(params, level)).decode("ascii")
    return {"compress_64": text, "compress_sz": len(params)}


class StateTemplate:
    """States of one device: 5 to 6 KB each, of which only the numbers are made anew.

    `state.unit.sequence` counts the states, so that a reader can tell that none is missing.
    """

    __slots__ = ("_parts", "_serial")

    def __init__(self, serial: str, platform: Platform, chance: random.Random) -> None:
        self._serial = serial
        body = _switch_state(serial, chance) if platform == "switch" else _ap_state(serial, chance)
        text = orjson.dumps(body)
        head, _, rest = text.partition(str(_SEQUENCE).encode())
        middle, _, rest = rest.partition(str(_LOCALTIME).encode())
        after, _, tail = rest.partition(str(_UPTIME).encode())
        self._parts = (head, middle, after, tail)

    def params(
        self,
        sequence: int,
        uuid: Any,
        config_hash: str | None = None,
        request_uuid: str | None = None,
        clock: int = 0,
    ) -> bytes:
        """Return the JSON text of the parameters of one state; the clock is `clock` s wrong."""
        head, middle, after, tail = self._parts
        more = b"" if config_hash is None else b',"config_hash":"%b"' % config_hash.encode()
        if request_uuid is not None:
            more += b',"request_uuid":' + orjson.dumps(request_uuid)
        return b'{"serial":"%b","uuid":%b%b,"state":%b%d%b%d%b%d%b}' % (
            self._serial.encode(),
            orjson.dumps(uuid),
            more,
            head,
            sequence,
            middle,
            int(time.time()) + clock,
            after,
            int(time.monotonic()),
            tail,
        )


def state_message(params: bytes, *, compress: bool) -> bytes:
    """Return the whole text of a `state`; compressed, its parameters hold nothing else."""
    if compress and len(params) >= COMPRESS_FROM:
        params = orjson.dumps(compressed(params, level=1))
    return b'{"jsonrpc":"2.0","method":"state","params":%b}' % params


def _unit(chance: random.Random) -> dict[str, Any]:
    return {
        "sequence": _SEQUENCE,
        "localtime": _LOCALTIME,
        "uptime": _UPTIME,
        "load": [round(chance.uniform(0.02, 1.5), 3) for _ in range(3)],
        "cpu_load": [round(chance.uniform(1, 40), 1) for _ in range(5)],
        "memory": {
            "total": 973131776,
            "free": chance.randrange(400_000_000, 800_000_000),
            "cached": 48708864,
            "buffered": 9498624,
        },
        "temperature": [chance.randrange(40, 60), chance.randrange(40, 60)],
    }


def _counters(chance: random.Random, scale: int) -> dict[str, int]:
    return {
        "collisions": 0,
        "multicast": chance.randrange(scale),
        "rx_bytes": chance.randrange(scale * 1000),
        "rx_packets": chance.randrange(scale),
        "rx_errors": 0,
        "rx_dropped": 0,
        "tx_bytes": chance.randrange(scale * 1000),
        "tx_packets": chance.randrange(scale),
        "tx_errors": 0,
        "tx_dropped": 0,
    }


def _both_counters(chance: random.Random) -> dict[str, Any]:
    return {"counters": _counters(chance, 9_999_999), "delta_counters": _counters(chance, 9_999)}


def _link(chance: random.Random, speed: int = 1000) -> dict[str, Any]:
    return {"carrier": 1, "speed": speed, "duplex": "full", **_both_counters(chance)}


def _station(chance: random.Random, bssid: str) -> dict[str, Any]:
    rssi = -chance.randrange(40, 80)
    rate = {"bitrate": chance.randrange(72_200, 1_200_000), "chwidth": 80, "sgi": False}
    rate |= {"mcs": 9, "nss": 2, "he": True, "vht": False, "he_gi": 1, "he_dcm": 0}
    return {
        "bssid": bssid,
        "station": mac_address(f"3c22fb{chance.randrange(1 << 24):06x}"),
        "rssi": rssi,
        "connected": chance.randrange(86_400),
        "inactive": chance.randrange(100),
        "rx_bytes": chance.randrange(1 << 30),
        "rx_packets": chance.randrange(1 << 20),
        "rx_duration": chance.randrange(1 << 24),
        "tx_bytes": chance.randrange(1 << 32),
        "tx_packets": chance.randrange(1 << 22),
        "tx_duration": chance.randrange(1 << 26),
        "tx_retries": chance.randrange(1 << 12),
        "tx_failed": chance.randrange(1 << 8),
        "ack_signal": rssi,
        "ack_signal_avg": rssi,
        "rx_rate": rate,
        "tx_rate": rate,
        "ipaddr_v4": f"10.20.5.{chance.randrange(1, 255)}",
    }


def _ssid(chance: random.Random, serial: str, radio: int) -> dict[str, Any]:
    bssid = mac_address(f"{(int(serial, 16) + 2 + radio) % (1 << 48):012x}")
    return {
        "radio": {"$ref": f"#/radios/{radio}"},
        "phy": "platform/soc/c000000.wifi" + ("", "+1")[radio],
        "band": ("5G", "2G")[radio],
        "location": "/interfaces/0/ssids/0",
        "ssid": "Corp-Net",
        "mode": "ap",
        "bssid": bssid,
        "frequency": [[5180, 5210], [2437]][radio],
        "iface": f"wlan{radio}",
        "associations": [_station(chance, bssid) for _ in range(_STATIONS - radio)],
        **_both_counters(chance),
    }


def _radio(chance: random.Random, index: int) -> dict[str, Any]:
    channel, frequency, width = ((36, 5180, 80), (6, 2437, 20))[index]
    busy = chance.randrange(1000)
    survey = {"busy": busy, "frequency": frequency, "noise": -chance.randrange(90, 105)}
    return {
        "channel": channel,
        "frequency": [frequency],
        "channel_width": width,
        "tx_power": 20,
        "phy": "platform/soc/c000000.wifi" + ("", "+1")[index],
        "band": [("5G", "2G")[index]],
        "temperature": chance.randrange(45, 65),
        "chanUtil": busy // 10,
        "survey": [survey | {"time": 1001, "time_rx": busy // 3, "time_tx": busy // 7}],
    }


def _ap_state(serial: str, chance: random.Random) -> dict[str, Any]:
    upstream = {
        "name": "up0v0",
        "location": "/interfaces/0",
        "uptime": 1209660,
        "dns_servers": ["10.20.0.1"],
        "ipv4": {"addresses": ["10.20.4.18/20"], "leasetime": 43200, "dhcp_server": "10.20.0.1"},
        "ssids": [_ssid(chance, serial, radio) for radio in range(2)],
        **_both_counters(chance),
    }
    return {
        "version": 1,
        "unit": _unit(chance),
        "radios": [_radio(chance, index) for index in range(2)],
        "interfaces": [upstream],
        "link-state": {
            "upstream": {"eth0": _link(chance)},
            "downstream": {"eth1": _link(chance, 100)},
        },
        "gps": {"latitude": 45.508888, "longitude": -73.561668, "elevation": 36.1},
    }


def _switch_state(serial: str, chance: random.Random) -> dict[str, Any]:
    ports = {f"Ethernet{n}": _link(chance) for n in range(_SWITCH_PORTS)}
    uplink = ports.pop("Ethernet0")
    vlan = {"name": "VLAN1", "location": "/interfaces/0", "uptime": 86400, "ssids": []}
    vlan |= {"ipv4": {"addresses": ["10.20.4.2/20"]}, **_both_counters(chance)}
    return {
        "version": 1,
        "unit": _unit(chance),
        "interfaces": [vlan],
        "link-state": {"upstream": {"Ethernet0": uplink}, "downstream": ports},
        "mac-forwarding-table": {"Ethernet0": {"1": [mac_address(serial)]}},
    }

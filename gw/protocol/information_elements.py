"""Information elements of neighbours in a Wi-Fi scan, from bytes to names and values.

Source: IEEE Std 802.11-2020, 9.4.2; southbound.md 3.11. What is not known here, or too short for
what it says it is, stays as the device sent it: {type, data}.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final

import msgspec

Content = dict[str, Any]

_CIPHERS: Final = {
    0: "use group cipher", 1: "WEP-40", 2: "TKIP", 4: "CCMP-128", 5: "WEP-104", 6: "BIP-CMAC-128",
    7: "group traffic not allowed", 8: "GCMP-128", 9: "GCMP-256", 10: "CCMP-256",
    11: "BIP-GMAC-128", 12: "BIP-GMAC-256", 13: "BIP-CMAC-256",
}  # fmt: skip
_KEY_MANAGEMENT: Final = {
    1: "802.1X", 2: "PSK", 3: "FT-802.1X", 4: "FT-PSK", 5: "802.1X-SHA256", 6: "PSK-SHA256",
    7: "TDLS", 8: "SAE", 9: "FT-SAE", 11: "802.1X-Suite-B", 12: "802.1X-Suite-B-192",
    13: "FT-802.1X-SHA384", 14: "FILS-SHA256", 15: "FILS-SHA384", 18: "OWE", 24: "SAE-EXT",
}  # fmt: skip
_IEEE_OUI: Final = b"\x00\x0f\xac"
_EXTENSIONS: Final = {
    35: "HE Capabilities", 36: "HE Operation", 37: "UORA Parameter Set",
    38: "MU EDCA Parameter Set", 39: "Spatial Reuse Parameter Set", 56: "Non-Inheritance",
    59: "HE 6 GHz Band Capabilities", 106: "EHT Operation", 107: "Multi-Link",
    108: "EHT Capabilities",
}  # fmt: skip


def _rates(data: bytes) -> Content:
    # The high bit marks a basic rate; the unit is 500 kb/s.
    rates = [{"mbps": (one & 0x7F) / 2, "basic": bool(one & 0x80)} for one in data]
    return {"rates": rates}


def _channel(data: bytes) -> Content:
    return {"channel": data[0]}


def _tim(data: bytes) -> Content:
    return {
        "dtim_count": data[0],
        "dtim_period": data[1],
        "group_traffic": bool(data[2] & 1),
        "bitmap_offset": data[2] >> 1,
    }


def _country(data: bytes) -> Content:
    code = data[:2].decode("ascii")
    triplets = [tuple(data[at : at + 3]) for at in range(3, len(data) - 2, 3)]
    ranges = [
        {"first_channel": first, "channels": count, "max_power": power}
        for first, count, power in triplets
        if first < 201  # from 201 on it is an operating extension
    ]
    where = {0x20: "any", 0x4F: "outdoor", 0x49: "indoor"}.get(data[2], f"table {data[2]}")
    return {"code": code, "environment": where, "constraints": ranges}


def _load(data: bytes) -> Content:
    return {
        "stations": int.from_bytes(data[:2], "little"),
        "channel_utilization": data[2],
        "admission_capacity": int.from_bytes(data[3:5], "little"),
    }


def _power_constraint(data: bytes) -> Content:
    return {"db": data[0]}


def _tpc(data: bytes) -> Content:
    return {"tx_power": _signed(data[0]), "link_margin": _signed(data[1])}


def _erp(data: bytes) -> Content:
    return {
        "non_erp_present": bool(data[0] & 1),
        "use_protection": bool(data[0] & 2),
        "barker_preamble": bool(data[0] & 4),
    }


def _operating_classes(data: bytes) -> Content:
    return {"current": data[0], "supported": list(data[1:])}


def _ht_capabilities(data: bytes) -> Content:
    info = int.from_bytes(data[:2], "little")
    return {
        "ldpc": bool(info & 0x1),
        "channel_width": 40 if info & 0x2 else 20,
        "short_gi_20": bool(info & 0x20),
        "short_gi_40": bool(info & 0x40),
        "tx_stbc": bool(info & 0x80),
        "rx_stbc": info >> 8 & 0x3,
        "max_amsdu": 7935 if info & 0x800 else 3839,
        "streams": sum(1 for one in data[3:7] if one),
    }


def _ht_operation(data: bytes) -> Content:
    offset = {0: "none", 1: "above", 3: "below"}.get(data[1] & 0x3, "reserved")
    return {"primary_channel": data[0], "secondary_channel": offset, "wide": bool(data[1] & 0x4)}


def _vht_capabilities(data: bytes) -> Content:
    info = int.from_bytes(data[:4], "little")
    streams = int.from_bytes(data[4:6], "little")
    return {
        "max_mpdu": {0: 3895, 1: 7991, 2: 11454}.get(info & 0x3, 0),
        "channel_width": {0: 80, 1: 160, 2: "80+80"}.get(info >> 2 & 0x3, 80),
        "ldpc": bool(info & 0x10),
        "short_gi_80": bool(info & 0x20),
        "short_gi_160": bool(info & 0x40),
        "su_beamformer": bool(info & 0x800),
        "su_beamformee": bool(info & 0x1000),
        "mu_beamformer": bool(info & 0x80000),
        "streams": sum(1 for at in range(8) if streams >> 2 * at & 0x3 != 0x3),
    }


def _vht_operation(data: bytes) -> Content:
    width = {0: "20/40", 1: "80", 2: "160", 3: "80+80"}.get(data[0], "reserved")
    return {"channel_width": width, "center_segment_0": data[1], "center_segment_1": data[2]}


def _power_envelope(data: bytes) -> Content:
    count = (data[0] & 0x7) + 1
    # Each is a signed number of half dBm, for 20, 40, 80 and 160 MHz.
    return {"max_power": [_signed(one) / 2 for one in data[1 : 1 + count]]}


def _extended_capabilities(data: bytes) -> Content:
    bits = int.from_bytes(data, "little")
    return {
        "bss_coexistence": bool(bits & 1),
        "extended_channel_switching": bool(bits >> 2 & 1),
        "wnm_sleep": bool(bits >> 17 & 1),
        "bss_transition": bool(bits >> 19 & 1),
        "interworking": bool(bits >> 31 & 1),
        "ftm_responder": bool(bits >> 70 & 1),
    }


def _radio_measurement(data: bytes) -> Content:
    bits = int.from_bytes(data, "little")
    return {
        "link_measurement": bool(bits & 1),
        "neighbor_report": bool(bits >> 1 & 1),
        "beacon_passive": bool(bits >> 4 & 1),
        "beacon_active": bool(bits >> 5 & 1),
        "beacon_table": bool(bits >> 6 & 1),
    }


def _rsn(data: bytes) -> Content:
    version = int.from_bytes(data[:2], "little")
    found: Content = {"version": version, "group_cipher": _suite(data[2:6], _CIPHERS)}
    at = 6
    for name, names in (("pairwise_ciphers", _CIPHERS), ("key_management", _KEY_MANAGEMENT)):
        if at + 2 > len(data):
            return found  # all that follows may be left out
        count = int.from_bytes(data[at : at + 2], "little")
        end = at + 2 + 4 * count
        if end > len(data):
            raise ValueError("the list is longer than the element")
        found[name] = [_suite(data[i : i + 4], names) for i in range(at + 2, end, 4)]
        at = end
    if at + 2 <= len(data):
        bits = int.from_bytes(data[at : at + 2], "little")
        found["management_frame_protection"] = {0: "no", 1: "no", 2: "capable", 3: "required"}[
            bits >> 6 & 0x3
        ]
    return found


def _suite(data: bytes, names: dict[int, str]) -> str:
    if len(data) < 4:
        raise ValueError("a suite has four bytes")
    known = names.get(data[3]) if data[:3] == _IEEE_OUI else None
    return known or data.hex("-")


def _vendor(data: bytes) -> Content:
    return {"oui": data[:3].hex(":"), "vendor_type": data[3], "data": data[4:].hex()}


def _extension(data: bytes) -> Content:
    return {"extension": data[0], "data": data[1:].hex()}


def _ssid(data: bytes) -> Content:
    return {"ssid": data.decode("utf-8", "replace")}


def _signed(value: int) -> int:
    return value - 256 if value > 127 else value


_ELEMENTS: Final[dict[int, tuple[str, int, Callable[[bytes], Content]]]] = {
    0: ("SSID", 0, _ssid),
    1: ("Supported Rates", 1, _rates),
    3: ("DS Parameter Set", 1, _channel),
    5: ("TIM", 4, _tim),
    7: ("Country", 3, _country),
    11: ("QBSS Load", 5, _load),
    32: ("Power Constraint", 1, _power_constraint),
    35: ("TPC Report", 2, _tpc),
    42: ("ERP Information", 1, _erp),
    45: ("HT Capabilities", 26, _ht_capabilities),
    48: ("RSN", 6, _rsn),
    50: ("Extended Supported Rates", 1, _rates),
    59: ("Supported Operating Classes", 1, _operating_classes),
    61: ("HT Operation", 22, _ht_operation),
    70: ("RM Enabled Capabilities", 5, _radio_measurement),
    127: ("Extended Capabilities", 1, _extended_capabilities),
    191: ("VHT Capabilities", 12, _vht_capabilities),
    192: ("VHT Operation", 5, _vht_operation),
    195: ("TX Power Envelope", 2, _power_envelope),
    221: ("Vendor Specific", 4, _vendor),
    255: ("Extension", 1, _extension),
}
"""By element ID: name, shortest length in bytes, and what reads it."""


def element(type_: int, data: bytes) -> Content | None:
    """Return {name, type, content} of an information element; None if it is not understood."""
    known = _ELEMENTS.get(type_)
    if known is None or len(data) < known[1]:
        return None
    name, _, read = known
    try:
        content = read(data)
    except (ValueError, IndexError):
        return None
    if type_ == 255:
        name = _EXTENSIONS.get(data[0], name)
    return {"name": name, "type": type_, "content": content}


def decoded(results: str) -> str:
    """Return the `result` of a scan (JSON text) with its information elements decoded.

    Anything of another shape than expected is left as it is.
    """
    try:
        result = msgspec.json.decode(results)
        scan = result["status"]["scan"]
    except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
        return results
    for entry in scan if isinstance(scan, list) else ():
        elements = entry.get("ies") if isinstance(entry, dict) else None
        if isinstance(elements, list):
            entry["ies"] = [_decoded(one) for one in elements]
    return msgspec.json.encode(result).decode()


def _decoded(one: Any) -> Any:
    if not isinstance(one, dict):
        return one
    type_, data = one.get("type"), one.get("data")
    if not isinstance(type_, int) or isinstance(type_, bool) or not isinstance(data, str):
        return one
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return one
    return element(type_, raw) or one

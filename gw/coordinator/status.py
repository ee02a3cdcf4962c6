"""Live status of a device, as REST shows it (northbound.md 2.7; southbound.md 6.4)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gw.coordinator.presence import DeviceSession
from gw.coordinator.shadow import Shadow
from gw.store.interface import Reader

_LARGEST: Final = 2.0**53


class _Memory(msgspec.Struct):
    total: float = 0
    free: float = 0


class _Unit(msgspec.Struct):
    load: list[float] = []
    memory: _Memory = msgspec.field(default_factory=_Memory)
    temperature: list[float] | float = 0
    uptime: float = 0


class _Radio(msgspec.Struct):
    phy: str = ""
    channel: int = 0
    band: list[str] | str | None = None


class _Ssid(msgspec.Struct):
    associations: list[msgspec.Raw] = []
    band: str = ""
    phy: str = ""


class _Interface(msgspec.Struct):
    ssids: list[_Ssid] = []


class _State(msgspec.Struct):
    unit: msgspec.Raw = msgspec.Raw(b"{}")
    radios: msgspec.Raw = msgspec.Raw(b"[]")
    interfaces: msgspec.Raw = msgspec.Raw(b"[]")
    gps: msgspec.Raw = msgspec.Raw(b"null")


def _lenient(raw: msgspec.Raw, kind: type[Any], otherwise: Any) -> Any:
    """Decode a part of a state; a part of an unexpected shape counts as absent."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return otherwise


def summarize(state: str) -> dict[str, Any]:
    """Return what a `state` tells for the status: load, memory, temperature, associations."""
    try:
        parts = msgspec.json.decode(state, type=_State)
    except (msgspec.DecodeError, RecursionError):
        parts = _State()
    unit: _Unit = _lenient(parts.unit, _Unit, _Unit())
    total = unit.memory.total
    temperature = unit.temperature
    if isinstance(temperature, list):
        temperature = temperature[0] if temperature else 0
    counts = _associations(parts)
    used = 100 * (total - unit.memory.free) / total if total else 0.0
    return {
        "hasGPS": bytes(parts.gps)[:1] == b"{",
        "memoryUsed": round(_sane(used), 2),
        "load": _sane(unit.load[1]) if len(unit.load) > 1 else 0.0,
        "temperature": _sane(temperature),
        "uptime": int(_sane(unit.uptime)),
        "associations_2G": counts["2G"],
        "associations_5G": counts["5G"],
        "associations_6G": counts["6G"],
    }


def _sane(number: float) -> float:
    """Return a number that every client can read: devices send what they like."""
    return number if -_LARGEST < number < _LARGEST else 0.0


def _associations(parts: _State) -> dict[str, int]:
    counts = {"2G": 0, "5G": 0, "6G": 0}
    radios: list[_Radio] = _lenient(parts.radios, list[_Radio], [])
    interfaces: list[_Interface] = _lenient(parts.interfaces, list[_Interface], [])
    by_band = any(radio.band for radio in radios)
    bands = {radio.phy: "2G" if radio.channel <= 16 else "5G" for radio in radios}
    for interface in interfaces:
        for ssid in interface.ssids:
            band = ssid.band if by_band else bands.get(ssid.phy, "2G")
            counts[band if band in counts else "2G"] += len(ssid.associations)
    return counts


async def connection_state(
    session: DeviceSession, shadow: Shadow | None, reader: Reader, radius_sessions: int
) -> dict[str, Any]:
    """Return the ConnectionState of a connected device."""
    state = "{}"
    if session.last_state:
        newest = await reader.statistics(session.serial, limit=1, newest=True)
        state = newest[0].data if newest else "{}"
    found = session.status() | summarize(state)
    found |= {
        "hasRADIUSSessions": radius_sessions,
        "locale": shadow.row.locale if shadow is not None else "",
        "compatible": shadow.row.compatible if shadow is not None else "",
    }
    return found

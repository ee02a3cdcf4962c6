"""What a `state` message tells for summaries: load, memory, associations (southbound.md 6.4)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

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


class StateSummary(msgspec.Struct, frozen=True):
    """What summaries show of one `state`."""

    has_gps: bool
    memory_used: float
    """Percent."""
    loads: tuple[float, float, float]
    """Mean number of running tasks over 1, 5 and 15 minutes."""
    temperature: float
    uptime: int
    """Seconds."""
    associations: dict[str, int]
    """Clients by band: 2G, 5G, 6G."""

    def status(self) -> dict[str, Any]:
        """Return the members of ConnectionState (northbound.md 2.7)."""
        return {
            "hasGPS": self.has_gps,
            "memoryUsed": self.memory_used,
            "load": self.loads[1],
            "temperature": self.temperature,
            "uptime": self.uptime,
            "associations_2G": self.associations["2G"],
            "associations_5G": self.associations["5G"],
            "associations_6G": self.associations["6G"],
        }


def summarize(state: str | bytes) -> StateSummary:
    """Return the summary of a `state` document; what is not there, or odd, counts as 0."""
    try:
        parts = msgspec.json.decode(state, type=_State)
    except (msgspec.DecodeError, RecursionError):
        parts = _State()
    unit: _Unit = _lenient(parts.unit, _Unit, _Unit())
    total = unit.memory.total
    temperature = unit.temperature
    if isinstance(temperature, list):
        temperature = temperature[0] if temperature else 0
    used = 100 * (total - unit.memory.free) / total if total else 0.0
    loads = [_sane(one) for one in unit.load[:3]] + [0.0, 0.0, 0.0]
    return StateSummary(
        has_gps=bytes(parts.gps)[:1] == b"{",
        memory_used=round(_sane(used), 2),
        loads=(loads[0], loads[1], loads[2]),
        temperature=_sane(temperature),
        uptime=int(_sane(unit.uptime)),
        associations=_associations(parts),
    )


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

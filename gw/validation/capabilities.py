"""What a device cannot do of a configuration, by its own capabilities: warnings, never refusals.

Capabilities differ between firmwares (southbound.md 4.6), so what is absent, or of another form
than expected, is not judged.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from gw.validation.problems import Problem, cut, problem

_LOOKED_AT: Final = 1000
"""Entries of one array, and names of ports, that are looked at: no device has as many."""
_RADIOS: Final = 16
_CHANNELS: Final = 256
_PORTS: Final = 256
"""Radios, channels or modes of each, and names of ports, that are taken from capabilities."""
_PATTERNS: Final = 64
"""Different patterns of port names that are tried on the ports; no configuration has as many."""
_NAMED: Final = 24
"""What a device has, in one warning."""
_HALVES: Final = ("5G", "5G-lower", "5G-upper")
"""Radios of one band and of its halves stand for one another."""
_WIDTH: Final = "0123456789+"
"""What stands behind the mode, as in `VHT80+80`."""
_Place = tuple[str | int, ...]


class _Radio(msgspec.Struct):
    """What one radio of a device can do; empty: it does not say."""

    bands: set[str]
    channels: set[int]
    modes: set[str]


def warnings(document: object, capabilities: bytes, device_type: str) -> Iterator[Problem]:
    """Yield what of a decoded configuration the device does not have.

    `capabilities` is the object of its `connect`, `device_type` what is stored about it; empty
    ones are not judged.
    """
    if not isinstance(document, dict):
        return
    able = _decoded(capabilities)
    platform = _text(able.get("platform")).lower()
    if platform in ("ap", "switch") and device_type and platform != _platform(device_type):
        yield problem(
            (),
            f"the device says that it is {_named(platform)}; the gateway knows it, and has "
            f"judged this, as {_named(_platform(device_type))}",
        )
    if (platform or _platform(device_type or "ap")) == "switch":
        yield from _without_radios(document)
        yield from _untagged(document)
    elif radios := _radios(able.get("wifi")):
        yield from _radio_warnings(document, radios)
        yield from _ssid_warnings(document, radios)
    yield from _port_warnings(document, _ports(able))


def _decoded(capabilities: bytes) -> dict[str, Any]:
    try:
        return _object(msgspec.json.decode(capabilities)) if capabilities else {}
    except (msgspec.DecodeError, RecursionError):
        return {}


def _platform(device_type: str) -> str:
    return "switch" if device_type.lower() == "switch" else "ap"


def _named(platform: str) -> str:
    return "a switch" if platform == "switch" else "an access point"


def _without_radios(document: dict[str, Any]) -> Iterator[Problem]:
    if _list(document.get("radios")):
        yield problem(("radios",), "a switch has no radios")
    for index, interface in _entries(document.get("interfaces")):
        if _list(interface.get("ssids")):
            yield problem(("interfaces", index, "ssids"), "a switch has no radios")


def _untagged(document: dict[str, Any]) -> Iterator[Problem]:
    """The switch agent compares a `vlan-tag` that is not there with texts (read, not seen)."""
    for index, interface in _entries(document.get("interfaces")):
        if "vlan" not in interface:
            continue
        for number, port in _entries(interface.get("ethernet")):
            if not isinstance(port.get("vlan-tag"), str):
                yield problem(
                    ("interfaces", index, "ethernet", number),
                    "without a vlan-tag (tagged, un-tagged) in it, agents of switches crash",
                )


def _radios(wifi: object) -> list[_Radio]:
    return [
        _Radio(
            set(_texts(phy.get("band"))),
            {one for one in _list(phy.get("channels"))[:_CHANNELS] if type(one) is int},
            set(_texts(phy.get("htmode"))[:_CHANNELS]),
        )
        for phy in islice(map(_object, _object(wifi).values()), _RADIOS)
    ]


def _of_band(radios: list[_Radio], band: str) -> _Radio | None:
    """Return what the radios of a band can do together; None: there is none."""
    same = _HALVES if band in _HALVES else (band,)
    fitting = [radio for radio in radios if radio.bands.intersection(same)]
    if not fitting:
        return None
    return _Radio(
        _bands(fitting),
        set[int]().union(*(radio.channels for radio in fitting)),
        set[str]().union(*(radio.modes for radio in fitting)),
    )


def _bands(radios: list[_Radio]) -> set[str]:
    return set[str]().union(*(radio.bands for radio in radios))


def _radio_warnings(document: dict[str, Any], radios: list[_Radio]) -> Iterator[Problem]:
    bands = _bands(radios)
    by_band: dict[str, _Radio | None] = {}
    for index, wanted in _entries(document.get("radios")):
        place: _Place = ("radios", index)
        band = _text(wanted.get("band"))
        if not band or not bands:
            continue
        if band not in by_band:
            by_band[band] = _of_band(radios, band)
        fitting = by_band[band]
        if fitting is None:
            yield problem((*place, "band"), f"the device has no such radio; it has {_all(bands)}")
            continue
        yield from _channel_warnings(wanted, fitting, place)
        yield from _mode_warnings(wanted, fitting, place)


def _channel_warnings(wanted: dict[str, Any], radio: _Radio, place: _Place) -> Iterator[Problem]:
    channels = radio.channels
    if not channels:
        return
    text = f"the radio does not have this channel; it has {_all(channels)}"
    channel = wanted.get("channel")
    if type(channel) is int and channel not in channels:
        yield problem((*place, "channel"), text)
    for index, one in enumerate(_list(wanted.get("valid-channels"))):
        if type(one) is int and one not in channels:
            yield problem((*place, "valid-channels", index), text)


def _mode_warnings(wanted: dict[str, Any], radio: _Radio, place: _Place) -> Iterator[Problem]:
    modes = radio.modes
    mode, width = _text(wanted.get("channel-mode")), wanted.get("channel-width")
    if not modes or not (mode or type(width) is int):
        return
    if mode and not any(one.rstrip(_WIDTH) == mode for one in modes):
        text = f"the radio does not do this mode; it does {_all(modes)}"
        yield problem((*place, "channel-mode"), text)
    elif type(width) is int:
        size = "80+80" if width == 8080 else str(width)
        # Without a mode the firmware takes the default one, or an older one that the radio has.
        known = {mode} if mode else {one.rstrip(_WIDTH) for one in modes}
        if not any(f"{one}{size}" in modes for one in known):
            text = f"the radio does not do this width; it does {_all(modes)}"
            yield problem((*place, "channel-width"), text)


def _ssid_warnings(document: dict[str, Any], radios: list[_Radio]) -> Iterator[Problem]:
    bands = _bands(radios)
    if not bands:
        return
    for index, interface in _entries(document.get("interfaces")):
        for number, ssid in _entries(interface.get("ssids")):
            for at, band in enumerate(_texts(ssid.get("wifi-bands"))):
                if not _of_band(radios, band):
                    yield problem(
                        ("interfaces", index, "ssids", number, "wifi-bands", at),
                        f"the device has no such radio; it has {_all(bands)}",
                    )


def _ports(able: dict[str, Any]) -> set[str]:
    """Return the names of the ports in capitals; empty: the device does not say.

    Configurations of access points name them by role and number (`LAN1`, or `LAN` if it is the
    only one) or as the device itself does (`eth0`), those of switches as `port-list` does.
    """
    names: set[str] = set()
    for role, ports in islice(_object(able.get("network")).items(), _PORTS):
        entries = _texts(ports) if isinstance(ports, list) else [_text(ports)]
        names.update((role.upper(), *(one.upper() for one in entries if one)))
        names.update(f"{role.upper()}{number + 1}" for number in range(len(entries)))
    if names:
        for port, members in islice(_object(able.get("switch_ports")).items(), _PORTS):
            names.add(port.upper())
            names.update(one.upper() for one in _texts(members))
    for entry in map(_object, _list(able.get("port-list"))):
        names.add(_text(entry.get("name")).upper())
    by_form = map(_object, _list(_object(able.get("port-capabilities")).get("ports-list")))
    for form in by_form:
        names.update(one.upper() for one in _texts(form.get("ports")))
    names.discard("")
    return set(islice(names, _PORTS))


def _port_warnings(document: dict[str, Any], ports: set[str]) -> Iterator[Problem]:
    if not ports:
        return
    known: dict[str, bool] = {}
    patterns = 0
    for place, name in islice(_selected(document), _LOOKED_AT):
        if name not in known:
            patterns += _is_pattern(name)
            untried = _is_pattern(name) and patterns > _PATTERNS
            known[name] = untried or _matches(name.upper(), ports)
        if not known[name]:
            yield problem(place, f"the device has no such port; it has {_all(ports)}")


def _selected(document: dict[str, Any]) -> Iterator[tuple[_Place, str]]:
    for index, port in _entries(document.get("ethernet")):
        yield from _select(port, ("ethernet", index))
    for index, interface in _entries(document.get("interfaces")):
        for number, port in _entries(interface.get("ethernet")):
            yield from _select(port, ("interfaces", index, "ethernet", number))


def _select(port: dict[str, Any], place: _Place) -> Iterator[tuple[_Place, str]]:
    for at, name in enumerate(_list(port.get("select-ports"))):
        if isinstance(name, str):
            yield (*place, "select-ports", at), name


def _matches(name: str, ports: set[str]) -> bool:
    if name in ports:
        return True
    if not _is_pattern(name):
        return False
    pattern = re.compile(fnmatch.translate(name))
    return any(map(pattern.match, ports))


def _is_pattern(name: str) -> bool:
    # Anything longer is no name of a port, and would be slow as a pattern.
    return len(name) <= 64 and any(sign in name for sign in "*?[")


def _all(values: Iterable[str | int]) -> str:
    found = sorted(values, key=lambda one: (isinstance(one, str), one))
    text = ", ".join(cut(str(one), 32) for one in found[:_NAMED])
    return f"{text}, ..." if len(found) > _NAMED else text


def _entries(value: object) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, entry in enumerate(_list(value)):
        if isinstance(entry, dict):
            yield index, entry


def _list(value: object) -> list[Any]:
    return value[:_LOOKED_AT] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [one for one in _list(value) if isinstance(one, str)]

"""Actions of the `rrm` command: what each has, and its bounds (southbound.md 3.16)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

from gw.protocol.errors import ParameterError

MAX_ACTIONS: Final = 256
_UNKNOWN_ACTION: Final = 1192

Channel = Annotated[int, msgspec.Meta(ge=1, le=233)]
_MAC: Final = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}\Z")


class Kick(msgspec.Struct, tag_field="action", tag="kick"):
    """Disconnect a client, and keep it away for `ban_time` seconds."""

    addr: str
    reason: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 5
    """IEEE 802.11 reason code."""
    ban_time: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 30


class ChannelSwitch(msgspec.Struct, tag_field="action", tag="channel_switch"):
    """Move a BSS to another channel."""

    bssid: str
    channel: Channel


class TxPower(msgspec.Struct, tag_field="action", tag="tx_power"):
    """Set the transmit power, dBm."""

    bssid: str
    level: Annotated[int, msgspec.Meta(ge=0, le=60)]


class BeaconRequest(msgspec.Struct, tag_field="action", tag="beacon_request"):
    """Let a client report the beacons that it hears."""

    addr: str
    ssid: Annotated[str, msgspec.Meta(max_length=32)]
    channel: Annotated[int, msgspec.Meta(ge=0, le=255)]


class BssTransition(msgspec.Struct, tag_field="action", tag="bss_transition"):
    """Ask a client to roam."""

    addr: str
    neighbors: Annotated[list[str], msgspec.Meta(max_length=64)]


class Neighbors(msgspec.Struct, tag_field="action", tag="neighbors"):
    """Set the neighbour report of a BSS: triples of BSSID, SSID and report."""

    bssid: str
    neighbors: Annotated[list[tuple[str, str, str]], msgspec.Meta(max_length=64)]


Action = Kick | ChannelSwitch | TxPower | BeaconRequest | BssTransition | Neighbors
NAMES: Final = (
    "kick",
    "channel_switch",
    "tx_power",
    "beacon_request",
    "bss_transition",
    "neighbors",
)


def actions(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the actions as they go to the device, defaults filled in.

    Raises ParameterError naming the action and the member: 1192 for an unknown action.
    """
    if not 1 <= len(given) <= MAX_ACTIONS:
        raise ParameterError(f"actions has 1 to {MAX_ACTIONS} members")
    found = []
    for number, one in enumerate(given):
        where = f"actions[{number}]"
        if one.get("action") not in NAMES:
            listed = ", ".join(NAMES)
            raise ParameterError(f"{where}.action is one of {listed}", _UNKNOWN_ACTION)
        try:
            action = msgspec.convert(one, Action)
        except msgspec.ValidationError as error:
            raise ParameterError(f"{where}: {error}", _UNKNOWN_ACTION) from None
        for name in ("addr", "bssid"):
            value = getattr(action, name, None)
            if value is not None and not _MAC.match(value):
                raise ParameterError(f"{where}.{name} is not a MAC address", _UNKNOWN_ACTION)
        found.append(msgspec.to_builtins(action))
    return found

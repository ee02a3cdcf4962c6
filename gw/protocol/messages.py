"""Messages of devices as typed structs, one per method (southbound.md section 2).

Documents that are only passed on (`state`, `data`, `capabilities`) stay raw text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from gw.protocol.jsonrpc import MalformedMessageError, ProtocolError

if TYPE_CHECKING:
    Uuid = int
else:
    Uuid = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | float
    """Configuration id as devices report it; `decode` leaves no float."""

UNKNOWN_UUID: Final = 1
"""What agents themselves report when they have no configuration of a gateway."""
_MISREAD_UUID: Final = -(2.0**63)
"""What a switch makes of an id that was a string."""
Severity = Annotated[int, msgspec.Meta(ge=0, le=7)]
ConfigHash = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?$")]


class Params(msgspec.Struct):
    """What every message carries."""

    serial: str


class ConnectParams(Params):
    """`connect` (2.1)."""

    uuid: Uuid
    firmware: str
    capabilities: msgspec.Raw
    password: str | None = None
    reason: str | None = None
    config_hash: ConfigHash = ""


class StateParams(Params):
    """`state` (2.2)."""

    uuid: Uuid
    state: msgspec.Raw
    request_uuid: str | None = None
    config_hash: ConfigHash = ""


class HealthCheckParams(Params):
    """`healthcheck` (2.3)."""

    uuid: Uuid
    sanity: Annotated[int, msgspec.Meta(ge=0, le=100)]
    data: msgspec.Raw
    request_uuid: str | None = None
    config_hash: ConfigHash = ""


class LogParams(Params):
    """`log` (2.4)."""

    log: str
    severity: Severity
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class CrashLogParams(Params):
    """`crashlog` (2.5)."""

    uuid: Uuid
    loglines: list[str]


class RebootLogParams(Params):
    """`rebootLog` (2.6)."""

    uuid: Uuid
    type: str
    date: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    info: list[Any]


class PingParams(Params):
    """`ping` (2.7): `active` is what runs, and then `uuid` is what is to come."""

    uuid: Uuid | msgspec.UnsetType = msgspec.UNSET
    active: Uuid | msgspec.UnsetType = msgspec.UNSET
    config_hash: ConfigHash = ""


class ConfigPendingParams(Params):
    """`cfgpending` (2.8)."""

    uuid: Uuid
    active: Uuid


class DeviceUpdateParams(Params):
    """`deviceupdate` (2.9)."""

    currentPassword: str | None = None  # noqa: N815 - name on the wire


class RecoveryParams(Params):
    """`recovery` (2.10)."""

    uuid: Uuid
    firmware: str
    reboot: bool
    loglines: list[str]


class EventPayload(msgspec.Struct):
    """What happened."""

    type: str
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class EventData(msgspec.Struct):
    """One pair of time and event (2.12)."""

    event: tuple[int | float, EventPayload]


class EventParams(Params):
    """`event` (2.12)."""

    data: EventData


class DataParams(Params):
    """`alarm`, `wifiscan`, `telemetry`, `venue_broadcast` (2.11, 2.13, 2.14)."""

    data: msgspec.Raw


METHODS: Final[dict[str, type[Params]]] = {
    "connect": ConnectParams,
    "state": StateParams,
    "healthcheck": HealthCheckParams,
    "log": LogParams,
    "crashlog": CrashLogParams,
    "rebootLog": RebootLogParams,
    "ping": PingParams,
    "cfgpending": ConfigPendingParams,
    "deviceupdate": DeviceUpdateParams,
    "recovery": RecoveryParams,
    "event": EventParams,
    "alarm": DataParams,
    "wifiscan": DataParams,
    "telemetry": DataParams,
    "venue_broadcast": DataParams,
}

WITHOUT_CONNECT: Final = frozenset(
    ("connect", "log", "crashlog", "rebootLog", "ping", "recovery", "venue_broadcast")
)
"""Methods that may come before `connect`: an agent may send a `log` first (agents.md, connect)."""

DOCUMENTS: Final = {"state": "state", "healthcheck": "data"}
"""Member that must be an object and is stored as the device sent it."""

_decoders = {method: msgspec.json.Decoder(kind).decode for method, kind in METHODS.items()}


def decode(method: str, params: bytes) -> Params:
    """Decode the (expanded) params of `method`.

    Raises ProtocolError if the method is unknown or the params do not fit, and
    MalformedMessageError if expanded params are nested too deeply.
    """
    decoder = _decoders.get(method)
    if decoder is None:
        raise ProtocolError("unknown_method", f"unknown method {method[:40]!r}")
    try:
        result: Params = decoder(params)
    except msgspec.ValidationError as error:
        raise ProtocolError("bad_params", f"{method}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError("bad_params", f"{method}: params are not JSON: {error}") from error
    except RecursionError as error:
        raise MalformedMessageError("depth", f"{method}: params are nested too deeply") from error
    _whole_uuids(result)
    name = DOCUMENTS.get(method)
    if name is not None and not is_object(getattr(result, name)):
        raise ProtocolError("bad_params", f"{method}: `{name}` is not an object")
    if method == "connect" and not is_object(result.capabilities):  # type: ignore[attr-defined]
        raise ProtocolError("bad_params", "connect: `capabilities` is not an object")
    return result


def _whole_uuids(params: Params) -> None:
    """Quirk of switch agents: ids are doubles, and one they misread is -9.2e18 for ever.

    Such a device has no configuration of ours; it is to connect, and to get one (agents.md).
    """
    for name in ("uuid", "active"):
        value = getattr(params, name, None)
        if not isinstance(value, float):
            continue
        if value == _MISREAD_UUID:
            setattr(params, name, UNKNOWN_UUID)
        elif value.is_integer() and 0 <= value < 2**63:
            setattr(params, name, int(value))
        else:
            raise ProtocolError("bad_params", f"{name} {value:g} is not an id")


def is_object(raw: msgspec.Raw) -> bool:
    """Tell whether raw JSON text is an object."""
    view = memoryview(raw)
    return view.nbytes > 0 and view[0] == 0x7B


class Capabilities(msgspec.Struct):
    """The capabilities that the gateway itself uses (4.6); all are optional."""

    compatible: str = ""
    model: str = ""
    platform: str = ""
    compress_cmd: bool = False
    restrictions: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    developer: bool | None = None
    label_macaddr: str = ""


_decode_capabilities = msgspec.json.Decoder(Capabilities).decode


def capabilities(raw: bytes | msgspec.Raw) -> Capabilities:
    """Decode capabilities; members of a wrong type count as absent, as agents differ."""
    try:
        found = _decode_capabilities(raw)
    except msgspec.ValidationError:
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        found = Capabilities()
        for name in Capabilities.__struct_fields__:
            if name in members:
                try:
                    one = _decode_capabilities(msgspec.json.encode({name: members[name]}))
                except msgspec.ValidationError:
                    continue
                setattr(found, name, getattr(one, name))
    found.platform = found.platform.lower()
    found.compatible = found.compatible or found.model
    return found

"""Messages of devices as typed structs, one per method (southbound.md section 2).

Documents that are only passed on (`state`, `data`, `capabilities`) stay raw text. What agents in
the field do otherwise is tolerated by a named quirk each, see `gw.protocol.quirks`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from gw._native import Members, ScanError, scan_object
from gw.protocol import quirks
from gw.protocol.jsonrpc import (
    MalformedMessageError,
    ProtocolError,
    check_readable,
    storable,
)

if TYPE_CHECKING:
    Uuid = int
else:
    Uuid = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | float
    """Configuration id as devices report it; `decode` leaves no float."""

UNKNOWN_UUID: Final = quirks.UNKNOWN_UUID
Severity = Annotated[int, msgspec.Meta(ge=0, le=7)]
ConfigHash = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?$")]
Serial = Annotated[str, msgspec.Meta(max_length=64)]
"""Spaces and upper case are still to be taken off."""
Short = Annotated[str, msgspec.Meta(max_length=512)]
"""Names, versions, reasons, passwords."""
Text = Annotated[str, msgspec.Meta(max_length=262_144)]
"""Log text; the longest of agents has 4 KB."""
Lines = Annotated[list[Text], msgspec.Meta(max_length=10_000)]
Time = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Unix time by the device's clock; its unit is the device's."""


class Params(msgspec.Struct):
    """What every message carries."""

    serial: Serial


class ConnectParams(Params):
    """`connect` (2.1)."""

    uuid: Uuid
    firmware: Short
    capabilities: msgspec.Raw
    password: Short | None = None
    reason: Short | None = None
    config_hash: ConfigHash = ""


class StateParams(Params):
    """`state` (2.2)."""

    uuid: Uuid
    state: msgspec.Raw
    request_uuid: Short | None = None
    config_hash: ConfigHash = ""


class HealthCheckParams(Params):
    """`healthcheck` (2.3)."""

    uuid: Uuid
    sanity: Annotated[int, msgspec.Meta(ge=0, le=100)]
    data: msgspec.Raw
    request_uuid: Short | None = None
    config_hash: ConfigHash = ""


class LogParams(Params):
    """`log` (2.4)."""

    log: Text
    severity: Severity
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class CrashLogParams(Params):
    """`crashlog` (2.5)."""

    uuid: Uuid
    loglines: Lines


class RebootLogParams(Params):
    """`rebootLog` (2.6)."""

    uuid: Uuid
    type: Short
    date: Time
    info: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=10_000)]


class PingParams(Params):
    """`ping` (2.7): `active` is what runs, and then `uuid` is what is to come."""

    uuid: Uuid | msgspec.UnsetType = msgspec.UNSET
    active: Uuid | msgspec.UnsetType = msgspec.UNSET
    config_hash: ConfigHash = ""


class ConfigPendingParams(Params):
    """`cfgpending` (2.8): `active` runs, `uuid` is to come; a notice, and no report."""

    uuid: Uuid
    active: Uuid


class DeviceUpdateParams(Params):
    """`deviceupdate` (2.9)."""

    currentPassword: Short | None = None  # noqa: N815 - name on the wire


class RecoveryParams(Params):
    """`recovery` (2.10)."""

    uuid: Uuid
    firmware: Short
    reboot: bool
    loglines: Lines


class EventPayload(msgspec.Struct):
    """What happened."""

    type: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    payload: msgspec.Raw = msgspec.Raw(b"{}")


class EventData(msgspec.Struct):
    """One pair of time and event (2.12)."""

    event: tuple[int | float, EventPayload]


class EventParams(Params):
    """`event` (2.12)."""

    data: EventData


class AlarmParams(Params):
    """`alarm` (2.13): `data` is an object; a switch sends text in all of its members."""

    data: msgspec.Raw


class WifiScanParams(Params):
    """`wifiscan`, sent unasked (2.13): `data` is an array of cells, `uuid` may be there."""

    data: msgspec.Raw
    uuid: Uuid | msgspec.UnsetType = msgspec.UNSET


class TelemetryParams(Params):
    """`telemetry` (2.11): `data` is an object by type; that `adhoc` is there is what counts."""

    data: msgspec.Raw
    adhoc: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class VenueBroadcastParams(Params):
    """`venue_broadcast` (2.14)."""

    timestamp: Time
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
    "alarm": AlarmParams,
    "wifiscan": WifiScanParams,
    "telemetry": TelemetryParams,
    "venue_broadcast": VenueBroadcastParams,
}

WITHOUT_CONNECT: Final = frozenset(
    ("connect", "log", "crashlog", "rebootLog", "ping", "recovery", "venue_broadcast")
)
"""Methods that may come before `connect`. Quirk: log-before-connect."""

REPORTS: Final = frozenset(("state", "healthcheck", "ping"))
"""Methods whose uuid is news of the configuration, besides `connect`. Others tell what ran when
they were written, or what is to come."""

DOCUMENTS: Final = {"state": "state", "healthcheck": "data"}
"""Member that is stored as the device sent it."""

LIMITS: Final = {
    "connect": 131_072,
    "ping": 4096,
    "cfgpending": 4096,
    "deviceupdate": 4096,
    "alarm": 65_536,
    "event": 262_144,
    "venue_broadcast": 65_536,
}
"""Largest params, expanded, bytes; the others end at `devices.max_expanded_bytes`. The largest
`connect` seen has 3 KB."""

_OBJECT, _ARRAY = b"{", b"["
_SHAPES: Final = {
    "connect": ("capabilities", _OBJECT),
    "state": ("state", _OBJECT),
    "healthcheck": ("data", _OBJECT),
    "alarm": ("data", _OBJECT),
    "wifiscan": ("data", _ARRAY + _OBJECT),
    "telemetry": ("data", _OBJECT),
    "venue_broadcast": ("data", _OBJECT),
}
"""Raw members that must be an object, or an array."""

_TEXTS: Final = {
    "connect": ("firmware", "password", "reason"),
    "log": ("log",),
    "rebootLog": ("type",),
    "deviceupdate": ("currentPassword",),
    "recovery": ("firmware",),
}
"""Members that end in columns of text."""

_decoders = {method: msgspec.json.Decoder(kind).decode for method, kind in METHODS.items()}
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def members_of(params: bytes) -> Members:
    """Scan (expanded) params.

    Raises MalformedMessageError if they are nested too deeply, and ProtocolError if they are no
    JSON object.
    """
    try:
        return scan_object(params)
    except ScanError as error:
        text = f"params: {error}"
        if error.reason == "depth":
            raise MalformedMessageError("depth", text) from error
        # Only params that were compressed come so far, and owgw does not count them (1.6).
        raise ProtocolError("bad_params", text, tolerated=True) from error


def decode(method: str, params: Members | bytes) -> Params:
    """Decode the (expanded) params of `method`.

    Raises ProtocolError if the method is unknown, the params do not fit, or a value in them cannot
    be read everywhere, and MalformedMessageError as `members_of` does.
    """
    decoder = _decoders.get(method)
    if decoder is None:
        raise ProtocolError("unknown_method", f"unknown method {method[:40]!r}")
    members = members_of(params) if isinstance(params, bytes) else params
    text = members.text
    limit = LIMITS.get(method)
    if limit is not None and len(text) > limit:
        raise ProtocolError("bad_params", f"{method} has {len(text)} bytes, above {limit}")
    name, starts = _SHAPES.get(method, ("", b""))
    span = members.span(name) if name else None
    try:
        if span is None:
            result: Params = decoder(text)
        else:
            # The document has been scanned, and nobody looks into it: only the rest is read.
            start, stop = span
            result = decoder(text[:start] + b"0" + text[stop:])
            setattr(result, name, msgspec.Raw(text[start:stop]))
    except msgspec.ValidationError as error:
        reason = f"{method}: {error}"
        raise ProtocolError("bad_params", reason, tolerated=_tolerated(method, text)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        # Valid JSON: what is left is a number or a character that cannot be read.
        raise ProtocolError("number_range", f"{method}: {error}") from error
    check_readable(members.unreadable)
    _whole_uuids(result)
    _storable(method, result)
    if name and memoryview(getattr(result, name))[0] not in starts:
        kind = "an object" if starts == _OBJECT else "an array or object"
        raise ProtocolError("bad_params", f"{method}: `{name}` is not {kind}")
    return result


def document_place(method: str, params: Params, members: Members) -> tuple[int, int]:
    """Return where in the params the document to be stored begins, and its size; (0, 0): none."""
    name = DOCUMENTS.get(method)
    if name is None:
        return 0, 0
    span = members.span(name)
    if span is not None:
        return span[0], span[1] - span[0]
    raw = bytes(getattr(params, name))
    return members.text.rfind(raw), len(raw)


def _tolerated(method: str, params: bytes) -> bool:
    """Tell whether owgw only warns of such params: firmware in the field may live on that.

    A message without `serial` (1.5), a `state` without one of its members (2.2), any `event` that
    is none (2.12). Quirk: missing-members.
    """
    if method == "event":
        return True
    try:
        members = _decode_members(params)
    except (msgspec.DecodeError, RecursionError):
        return False
    return "serial" not in members or (method == "state" and not {"uuid", "state"} <= set(members))


def _whole_uuids(params: Params) -> None:
    for name in ("uuid", "active"):
        value = getattr(params, name, None)
        if isinstance(value, float):
            whole = quirks.whole_uuid(value)
            if whole is None:
                raise ProtocolError("bad_params", f"{name} {value:g} is not an id")
            setattr(params, name, whole)


def _storable(method: str, params: Params) -> None:
    """Replace NUL characters, which columns of text cannot hold in every database."""
    for name in _TEXTS.get(method, ()):
        text = getattr(params, name)
        if text is not None and "\0" in text:
            setattr(params, name, storable(text, len(text)))
    match params:
        case CrashLogParams(loglines=lines) | RecoveryParams(loglines=lines):
            lines[:] = [storable(line, len(line)) for line in lines]
        case EventParams(data=EventData(event=(_, payload))):
            payload.type = storable(payload.type)


def reported(method: str, params: Params) -> tuple[int, str]:
    """Return uuid and hash of the configuration that a message says runs; uuid -1: it says none."""
    if method not in REPORTS:
        return -1, ""
    content: str = getattr(params, "config_hash", "")
    # A `ping` tells what runs (`active`) apart from what is to come.
    for name in ("active", "uuid"):
        uuid: int | msgspec.UnsetType = getattr(params, name, msgspec.UNSET)
        if uuid is not msgspec.UNSET:
            return uuid, content
    return -1, content


def is_object(raw: msgspec.Raw) -> bool:
    """Tell whether raw JSON text is an object."""
    view = memoryview(raw)
    return view.nbytes > 0 and view[0] == 0x7B


class Capabilities(msgspec.Struct):
    """The capabilities that the gateway itself uses (4.6); all are optional."""

    compatible: Short = ""
    model: Short = ""
    platform: Short = ""
    compress_cmd: bool = False
    restrictions: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    developer: bool | None = None
    label_macaddr: Short = ""


_decode_capabilities = msgspec.json.Decoder(Capabilities).decode


def capabilities(raw: bytes | msgspec.Raw) -> Capabilities:
    """Decode capabilities; members of a wrong type count as absent, as agents differ.

    Quirk: odd-capabilities. Quirk: version-shapes. Quirk: platform-case. Quirk: model-only.
    """
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
    for name in ("compatible", "model", "platform", "label_macaddr"):
        setattr(found, name, storable(getattr(found, name)))
    found.platform = found.platform.lower()
    found.compatible = found.compatible or found.model
    return found

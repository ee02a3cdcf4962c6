"""Commands to devices: what each is called, how long it may take, and its parameters.

Pure: REST bodies in, params of the JSON-RPC request out (southbound.md section 3, agents.md).
`configure` has rules of its own, in `gw.protocol.configuration`.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Final

import msgspec

from gw.protocol import jsonrpc, rrm
from gw.protocol.compression import expand_answer
from gw.protocol.errors import ParameterError
from gw.protocol.lifecycle import Kind


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command of the REST API."""

    method: str
    """JSON-RPC method, which is not always the command's name."""
    seconds: float
    """How long a REST call waits for the answer."""
    later: bool = False
    """May wait for a device that is away; the others fail at once."""
    kind: Kind = Kind.IDEMPOTENT
    again: bool = False
    """A second answer may follow under the same id (agents.md, "The other methods")."""
    file: bool = False
    """The device uploads a file for it."""
    administrator: bool = False
    """Only for the roles root and admin."""
    parallel: bool = False
    """May run beside another command of the device."""
    secret: bool = False
    """Its row does not keep its params, so it is not sent again by itself."""
    simulators: bool = False
    """Simulated devices take it (southbound.md 3.4)."""


_ONCE: Final = Kind.AT_MOST_ONCE

COMMANDS: Final[dict[str, Command]] = {
    "reboot": Command(method="reboot", seconds=30, kind=_ONCE, again=True, simulators=True),
    "factory": Command(
        method="factory", seconds=30, later=True, kind=_ONCE, again=True, simulators=True
    ),
    "upgrade": Command(
        method="upgrade", seconds=30, later=True, kind=_ONCE, again=True, simulators=True
    ),
    "leds": Command(method="leds", seconds=120, simulators=True),
    "ping": Command(method="ping", seconds=60, simulators=True),
    "request": Command(method="request", seconds=120),
    "wifiscan": Command(method="wifiscan", seconds=120),
    "eventqueue": Command(method="event", seconds=30),
    "trace": Command(method="trace", seconds=300, file=True),
    "script": Command(method="script", seconds=60, kind=_ONCE, again=True, file=True),
    "rrm": Command(
        method="rrm", seconds=60, kind=Kind.FIRE_AND_FORGET, administrator=True, parallel=True
    ),
    "powercycle": Command(method="powercycle", seconds=60, kind=_ONCE, administrator=True),
    "cable-diagnostics": Command(
        method="cable-diagnostics", seconds=120, kind=_ONCE, administrator=True
    ),
    "reenroll": Command(method="reenroll", seconds=120, kind=_ONCE, administrator=True),
    "fixedconfig": Command(method="fixedconfig", seconds=120, kind=_ONCE),
    "certupdate": Command(method="certupdate", seconds=60, kind=_ONCE, administrator=True),
    "transfer": Command(method="transfer", seconds=60, kind=_ONCE, again=True, administrator=True),
    "package": Command(method="package", seconds=300, kind=_ONCE),
    "rtty": Command(method="rtty", seconds=60, kind=_ONCE, parallel=True, secret=True),
}
"""The commands other than `configure` and `telemetry`, by their name in REST paths."""


Epoch = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Body(msgspec.Struct, kw_only=True):
    """What the bodies have in common: both spellings of the serial number occur."""

    serialNumber: str = ""  # noqa: N815 - name on the wire
    serial: str = ""
    when: Epoch = 0
    """Epoch seconds; 0: now."""


class FactoryBody(Body):
    """Reset to the factory's state."""

    keepRedirector: bool  # noqa: N815


class UpgradeBody(Body):
    """Install firmware."""

    uri: str
    keepRedirector: bool = True  # noqa: N815
    signature: str = ""
    """On the wire `signature`; REST gives it as the query parameter FWsignature."""


class LedsBody(Body):
    """Switch or blink the lights."""

    pattern: str
    duration: int = 30


class RequestBody(Body):
    """Ask for a message now."""

    message: str


class WifiScanBody(Body):
    """Scan the neighbourhood."""

    override_dfs: bool = True
    activeScan: bool = False  # noqa: N815
    bandwidth: int = 0
    ies: list[int] = []


class EventQueueBody(Body):
    """Fetch queued events."""

    types: list[str]


class TraceBody(Body):
    """Capture packets into a file."""

    network: str = ""
    interface: str = ""
    duration: int = 0
    numberOfPackets: int = 0  # noqa: N815


class ScriptBody(Body):
    """Run a script."""

    type: str
    script: str = ""
    """Base64."""
    scriptId: str = ""  # noqa: N815
    timeout: int | msgspec.UnsetType = msgspec.UNSET
    deferred: bool | msgspec.UnsetType = msgspec.UNSET
    uri: str = ""
    signature: str = ""

    @property
    def later(self) -> bool:
        """Whether the device uploads the output instead of answering it.

        A diagnostic is a bundle of files: without an address for it, switches never answer.
        """
        return self.deferred is True or self.type == "diagnostic"

    @property
    def seconds(self) -> int:
        """How long the script may run; 30 unless given."""
        return self.timeout or 30 if isinstance(self.timeout, int) else 30


class Port(msgspec.Struct):
    """A port to be switched off and on."""

    name: str
    cycle: int = 10_000
    """Milliseconds."""


class PowerCycleBody(Body):
    """Cut and restore the power of ports."""

    ports: list[Port]


class CableBody(Body):
    """Test cables."""

    ports: list[str]


class RrmBody(Body):
    """Steer radios and their clients."""

    actions: list[dict[str, Any]]


class Package(msgspec.Struct):
    """A package to be installed or removed."""

    name: str
    url: str = ""


class PackageBody(Body):
    """Install or remove packages."""

    packages: list[Package]


class FixedConfigBody(Body):
    """Set what the factory would have set."""

    country: str


class CertUpdateBody(Body):
    """Replace the device's certificate."""

    encodedCertificate: str  # noqa: N815


class TransferBody(Body):
    """Move the device to another controller."""

    server: str
    port: int


BODIES: Final[dict[str, type[Body]]] = {
    "reboot": Body,
    "factory": FactoryBody,
    "upgrade": UpgradeBody,
    "leds": LedsBody,
    "ping": Body,
    "request": RequestBody,
    "wifiscan": WifiScanBody,
    "eventqueue": EventQueueBody,
    "trace": TraceBody,
    "script": ScriptBody,
    "rrm": RrmBody,
    "powercycle": PowerCycleBody,
    "cable-diagnostics": CableBody,
    "reenroll": Body,
    "fixedconfig": FixedConfigBody,
    "certupdate": CertUpdateBody,
    "transfer": TransferBody,
    "package": PackageBody,
}


def build(name: str, serial: str, command: str, body: Body, upload: str = "") -> dict[str, Any]:
    """Return the params of a command. `command` is its UUID, `upload` where its file is to go.

    Raises ParameterError.
    """
    params: dict[str, Any] = {"serial": serial}
    if name != "ping":
        params["when"] = body.when
    match body:
        case FactoryBody():
            params["keep_redirector"] = int(body.keepRedirector)
        case UpgradeBody():
            _web_address("uri", body.uri)
            params |= {"uri": body.uri, "keep_redirector": int(body.keepRedirector)}
            if body.signature:
                params["signature"] = body.signature
        case LedsBody():
            _one_of("pattern", body.pattern, ("on", "off", "blink"))
            _within("duration", body.duration, 1, 86_400_000)
            params |= {"pattern": body.pattern, "duration": body.duration}
        case RequestBody():
            _one_of("message", body.message, ("state", "healthcheck"))
            params |= {"message": body.message, "request_uuid": command}
        case WifiScanBody():
            del params["when"]
            params |= {"override_dfs": body.override_dfs, "active": body.activeScan}
            if body.bandwidth:
                _one_of("bandwidth", body.bandwidth, (20, 40, 80, 160, 320))
                params["bandwidth"] = body.bandwidth
            if body.ies:
                params["ies"] = body.ies
        case EventQueueBody():
            del params["when"]
            _some("types", body.types)
            params["types"] = body.types
        case TraceBody():
            _trace(params, body, upload)
        case ScriptBody():
            _script(params, body, upload)
        case RrmBody():
            del params["when"]
            params["actions"] = rrm.actions(body.actions)
        case PackageBody():
            del params["when"]
            params |= {"op": "install", "packages": _packages(body)}
        case PowerCycleBody():
            _some("ports", body.ports)
            for port in body.ports:
                _within("ports[].cycle", port.cycle, 1, 60_000)
            params["ports"] = [{"name": port.name, "cycle": port.cycle} for port in body.ports]
        case CableBody():
            _some("ports", body.ports)
            params["ports"] = body.ports
        case FixedConfigBody():
            if len(body.country) != 2 or not body.country.isascii():
                raise ParameterError("country has two letters")
            params["country"] = body.country
        case CertUpdateBody():
            del params["when"]
            if not body.encodedCertificate:
                raise ParameterError("encodedCertificate is empty")
            params["certificates"] = body.encodedCertificate
        case TransferBody():
            del params["when"]
            if not body.server:
                raise ParameterError("server is empty")
            _within("port", body.port, 1, 65_535)
            params |= {"server": body.server, "port": body.port}
    return params


def for_switch(name: str, params: bytes) -> bytes:
    """Return the params of a command as the agent of switches reads them.

    It knows the signature of an image as `FWsignature` only; access points as `signature`.
    """
    if name != "upgrade" or b'"signature"' not in params:
        return params
    members: dict[str, Any] = msgspec.json.decode(params)
    if "signature" in members:
        members["FWsignature"] = members["signature"]
    return msgspec.json.encode(members)


def _trace(params: dict[str, Any], body: TraceBody, upload: str) -> None:
    if not body.network and not body.interface:
        raise ParameterError("network or interface is needed")
    _within("duration", body.duration, 0, 600)
    _within("numberOfPackets", body.numberOfPackets, 0, 1_000_000)
    if body.duration or not body.numberOfPackets:
        params["duration"] = body.duration or 30
    else:
        params["packets"] = body.numberOfPackets
    params |= {"when": 0, "network": body.network, "interface": body.interface, "uri": upload}


def _script(params: dict[str, Any], body: ScriptBody, upload: str) -> None:
    """Scripts, stored ones filled in, and diagnostics; with `uri` the device uploads the output."""
    _one_of("type", body.type, ("shell", "bundle", "diagnostic"))
    if (body.type == "diagnostic") == bool(body.script):
        raise ParameterError("a diagnostic has no script, all else has one", 1153)
    if body.script:
        try:
            base64.b64decode(body.script, validate=True)
        except ValueError:
            raise ParameterError("script is not base64") from None
        params["script"] = body.script
    params["type"] = body.type
    if body.later:
        params["uri"] = body.uri or upload
    else:
        _within("timeout", body.seconds, 1, 3600)
        params["timeout"] = body.seconds
    if body.signature:
        params["signature"] = body.signature


def package_list(serial: str, name: str) -> dict[str, Any]:
    """Return the params that ask for the version of an installed package. Raises ParameterError."""
    _package_name("pkgName", name)
    return {"op": "list", "serial": serial, "package": name}


def package_delete(serial: str, body: PackageBody) -> dict[str, Any]:
    """Return the params that remove packages. Raises ParameterError."""
    _some("packages", body.packages)
    for one in body.packages:
        _package_name("packages[].name", one.name)
    return {"op": "delete", "serial": serial, "packages": [{"name": p.name} for p in body.packages]}


def _packages(body: PackageBody) -> list[dict[str, str]]:
    _some("packages", body.packages)
    for one in body.packages:
        _package_name("packages[].name", one.name)
        if not one.url.startswith(("http://", "https://")) or len(one.url) > 4096:
            raise ParameterError("packages[].url is not an http or https address", 1193)
    return [{"name": one.name, "url": one.url} for one in body.packages]


def _package_name(name: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,127}", value):
        raise ParameterError(f"{name} is not the name of a package")


def file_kind(body: Body) -> str:
    """Return the kind of file that a device uploads here for a command; empty: none."""
    if isinstance(body, TraceBody):
        return "pcap"
    if isinstance(body, ScriptBody) and body.later and not body.uri:
        return "txt" if body.type == "shell" else "tgz"
    return ""


def patience(name: str, body: Body) -> float:
    """Return how long a REST call waits for the answer, seconds."""
    seconds = COMMANDS[name].seconds
    if isinstance(body, ScriptBody) and not body.later:
        return max(seconds, body.seconds + 30.0)
    return seconds


def _one_of(name: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        listed = ", ".join(str(choice) for choice in choices)
        raise ParameterError(f"{name} is one of {listed}")


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ParameterError(f"{name} is from {least} to {most}")


def _some(name: str, values: list[Any]) -> None:
    if not 1 <= len(values) <= 1000:
        raise ParameterError(f"{name} has 1 to 1000 members")


def _web_address(name: str, value: str) -> None:
    if not value.startswith(("http://", "https://", "ftp://")) or len(value) > 4096:
        raise ParameterError(f"{name} is not a web address", 1152)


class Outcome(msgspec.Struct):
    """What a device answered."""

    error: int
    text: str
    results: str
    """The `result`, as JSON text; {"error": ...} for a JSON-RPC error."""
    unclear: bool = False
    """The device did not say how it ended: that is no success, and no error of its either."""

    @property
    def failed(self) -> bool:
        """True unless the device said that it did what was asked."""
        return self.unclear or self.error != 0


NO_STATUS: Final = "the answer has no status"


def read_answer(name: str, message: bytes) -> Outcome:
    """Read the answer to a command: a whole JSON-RPC message that the worker has parsed.

    `error` may be a string (255, "unknown": scripts of access points), and the status of a ping
    may be missing. What cannot be read is error 1 with a text that says so.
    Quirk: error-text. Quirk: text-array. Quirk: ping-without-status. Quirk: compressed-answer.
    """
    answer = jsonrpc.read_answer(message)
    results = answer.text
    if answer.result is msgspec.UNSET:
        fault = _loose(answer.error) if answer.error is not msgspec.UNSET else None
        text = fault.get("message") if isinstance(fault, dict) else None
        return Outcome(
            1, jsonrpc.storable(str(text or "the device answered with an error")), results
        )
    result = _loose(answer.result)
    if isinstance(result, dict) and expand_answer(result):
        results = msgspec.json.encode(result).decode()
    status = result.get("status") if isinstance(result, dict) else None
    if not isinstance(status, dict):
        if name == "ping":
            return Outcome(0, "", results)
        return Outcome(0, NO_STATUS, results, unclear=True)  # northbound.md 3
    error = status.get("error", 0)
    if isinstance(error, str) and isinstance(status.get("result"), int):
        error = status["result"]  # a script that ended with a code, and no name for it
    if isinstance(error, bool) or not isinstance(error, (int, float)):
        error = 0 if error in (None, "", False) else 1
    if not -(2**31) <= error < 2**31:
        error = 1
    text = status.get("text", status.get("txt", ""))
    if not text and error and name == "script":
        text = status.get("result", "")
    if isinstance(text, list):
        text = "; ".join(str(one) for one in text)
    text = jsonrpc.storable(text) if isinstance(text, str) else ""
    return Outcome(int(error), text, results)


def _loose(raw: bytes | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None

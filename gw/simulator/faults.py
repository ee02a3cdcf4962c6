"""Faults on request: what a simulated device does wrong, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import msgspec

from gw.simulator import messages

Drift = Literal["older", "ahead", "content"]
"""How a configuration slips: back to an older uuid, ahead of ours, same uuid but other content."""

Garbage = Literal[
    "not-json",
    "not-object",
    "no-method",
    "no-params",
    "no-serial",
    "unknown-method",
    "bad-base64",
    "bad-zlib",
    "wrong-serial",
    "not-utf8",
    "infinite",
    "deep",
    "oversize",
    "bomb",
    "binary",
    "bad-radius",
    "stray-part",
]
GARBAGE: Final[tuple[Garbage, ...]] = Garbage.__args__  # type: ignore[attr-defined]

_BOMB_BYTES: Final = 64 * 1024 * 1024
_DEPTH: Final = 50_000
_OVERSIZE: Final = 2 * 1024 * 1024


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that the device does not accept.

    `at` is a JSON pointer ("/radios/0/channel"), or a member name wherever it stands. With
    `value` only that value is refused; with `substitution` an access point applies the rest and
    says so (error 1), else it refuses the whole configuration (error 2).
    """

    at: str
    value: Any = msgspec.UNSET
    substitution: Any = msgspec.UNSET
    reason: str = "not accepted by this device"

    def find(self, config: Any) -> str | None:
        """Return the pointer to what is refused in `config`, or None."""
        for pointer, value in _candidates(config, self.at):
            if self.value is msgspec.UNSET or self.value == value:
                return pointer
        return None


class Faults(msgspec.Struct, kw_only=True):
    """What goes wrong by itself. Counts are of states sent; 0 means never."""

    reject: list[Rejection] = []
    reject_as_objects: bool = False
    """Whether `rejected` holds {parameter, reason, substitution} (documented) or text (real)."""
    drop_every: int = 0
    drift_every: int = 0
    drifts: tuple[Drift, ...] = ("older", "ahead", "content")
    reboot_every: int = 0
    garbage_every: int = 0
    answer_delay: float = 0.0
    """Seconds between a request and its answer."""
    silent: frozenset[str] = frozenset()
    """Methods that are done but never answered; "*" is all of them."""
    ignored: frozenset[str] = frozenset()
    """Methods that are neither done nor answered; "*" is all of them."""
    failing: frozenset[str] = frozenset()
    """Methods that fail: at once, or by a second result with the same id where the agent has
    answered already; "*" is all of them. `configure` has `reject`."""
    errors: frozenset[str] = frozenset()
    """Methods that are answered with a JSON-RPC error instead of a result."""
    statusless: frozenset[str] = frozenset()
    """Methods whose results have no `status`."""
    reportless: bool = False
    """States and health checks that are asked for are promised, and never sent."""
    hanging: frozenset[str] = frozenset()
    """Methods that do not end in an access point, until it aborts them."""
    abort_seconds: float = 600.0
    """After how long it does; a scan after 120 s at most."""
    command_seconds: float = 0.0
    """How long each command runs in an access point; the next one waits for it."""
    apply_seconds: float = 0.0
    """How long a configuration takes to apply. A switch reads and answers nothing meanwhile, PINGs
    neither; an access point gives it up after 60 s, and says nothing."""
    drop_on_apply: bool = False
    """Applying restarts the network: the connection is cut, and the result is lost."""
    repeats: int = 0
    """How often each answer is said again."""
    foreign_every: int = 0
    """An answer to a request that nobody made."""
    reject_first: int = 0
    """How many configures are refused, whatever is in them."""
    chatter_every: int = 0
    """One of the other messages that the agent sends unasked."""
    runaway_every: int = 0
    """A packet of telemetry that nobody asked for."""
    early: bool = False
    """A state comes before `connect`, and `connect` comes twice."""
    upload_bytes: int = 1028
    """Size of what is uploaded."""
    silence_after: int = 0
    """After so many states the device stays connected and says nothing more."""
    clock: int = 0
    """Seconds by which the device's clock is wrong."""
    no_capabilities: bool = False
    """The device cannot read its capabilities: it sends a `log` and no `connect`."""

    def is_ignored(self, method: str) -> bool:
        """Tell whether `method` is neither done nor answered."""
        return method in self.ignored or "*" in self.ignored

    def fails(self, method: str) -> bool:
        """Tell whether `method` fails."""
        return method in self.failing or "*" in self.failing

    def is_silent(self, method: str) -> bool:
        """Tell whether the answer to `method` is withheld."""
        return method in self.silent or "*" in self.silent

    @staticmethod
    def due(every: int, count: int, phase: int) -> bool:
        """Tell whether the `count`-th state triggers; `phase` spreads the devices of a fleet."""
        return every > 0 and (count + phase) % every == 0


def rejection_entry(rejection: Rejection, pointer: str, *, as_object: bool) -> Any:
    """Return one member of `rejected`."""
    if not as_object:
        text = f"[E] (In {pointer}) {rejection.reason}"
        if rejection.substitution is not msgspec.UNSET:
            text += f", replaced by {messages.encode(rejection.substitution).decode()}"
        return text
    value = None if rejection.value is msgspec.UNSET else rejection.value
    entry: dict[str, Any] = {"parameter": _nested(pointer, value), "reason": rejection.reason}
    if rejection.substitution is not msgspec.UNSET:
        entry["substitution"] = _nested(pointer, rejection.substitution)
    return entry


def garbage(kind: Garbage, serial: str) -> bytes:
    """Return the payload of a frame that no gateway can make sense of."""
    match kind:
        case "not-json":
            return b'{"jsonrpc":"2.0","method":"state","params":{"serial":"' + serial.encode()
        case "not-object":
            return b"[1,2,3]"
        case "no-method":
            return messages.encode({"jsonrpc": "2.0", "params": {"serial": serial}})
        case "no-params":
            return messages.encode({"jsonrpc": "2.0", "method": "state"})
        case "no-serial":
            return messages.encode(messages.notification("state", {"uuid": 1, "state": {}}))
        case "unknown-method":
            return messages.encode(messages.notification("nonsense", {"serial": serial}))
        case "bad-base64":
            body: dict[str, Any] = {"compress_64": "***", "compress_sz": 100}
        case "bad-zlib":
            body = {"compress_64": "bm90IHpsaWI=", "compress_sz": 100}
        case "bomb":
            body = {**messages.compressed(bytes(_BOMB_BYTES), level=9), "compress_sz": 1000}
        case "binary":
            return bytes(range(256))
        case "stray-part":
            return b'"}}'
        case "bad-radius":
            return messages.encode({"radius": "auth", "data": "***"})
        case "wrong-serial":
            other = f"{int(serial, 16) ^ 0xFF00:012x}"
            return messages.encode(messages.notification("log", messages.log(other, "x", 6)))
        case "not-utf8":
            return b'{"jsonrpc":"2.0","method":"log","params":{"log":"\xff\xfe"}}'
        case "infinite":
            return (
                b'{"jsonrpc":"2.0","method":"state","params":{"serial":"%b","uuid":1,'
                b'"state":{"load":1e999}}}' % serial.encode()
            )
        case "deep":
            return b'{"jsonrpc":"2.0","params":' + b"[" * _DEPTH + b"]" * _DEPTH + b"}"
        case "oversize":
            body = messages.log(serial, "x" * _OVERSIZE, 6)
            return messages.encode(messages.notification("log", body))
    return messages.encode(messages.notification("state", body))


def _candidates(config: Any, at: str) -> Iterator[tuple[str, Any]]:
    if at.startswith("/"):
        value = config
        for part in at[1:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                return
        yield at, value
        return
    pending: list[tuple[str, Any]] = [("", config)]
    while pending:
        pointer, value = pending.pop()
        members: Iterable[tuple[Any, Any]]
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for key, member in members:
            place = f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"
            if key == at:
                yield place, member
            if isinstance(member, dict | list):
                pending.append((place, member))


def _nested(pointer: str, value: Any) -> Any:
    for part in reversed(pointer[1:].split("/")):
        name = part.replace("~1", "/").replace("~0", "~")
        value = [value] if name.isdecimal() else {name: value}
    return value

"""Keeping a device on its stored configuration: the rules, without I/O (design.md, section 4).

Facts about one device go in, one action comes out. `decide` is asked at every report of the
device; `settle` at every answer to a `configure`.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, Literal

import msgspec

from gw.core.ids import MAX_CONFIG_UUID
from gw.protocol import jsonrpc
from gw.protocol.compression import compress

ACCESS_POINT_FRAME: Final = 32_768
"""Receive buffer of access points, bytes: a larger frame is lost (agents.md, transport)."""
SWITCH_FRAME: Final = 4_190_000
"""Largest frame that the switch agent was seen to take, bytes."""


class Source(Enum):
    """Which message of a device told its configuration id."""

    CONNECT = "connect"
    STATE = "state"
    HEALTHCHECK = "healthcheck"
    RESULT = "result"
    OTHER = "other"


class Report(msgspec.Struct, frozen=True):
    """What a device said that it runs."""

    uuid: int
    hash: str
    """Content hash; empty if the agent gives none."""
    source: Source


class Facts(msgspec.Struct):
    """What is known about a device's configuration. Empty hash or uuid 0: there is none."""

    config_uuid: int = 0
    config_hash: str = ""
    pending_uuid: int = 0
    pending_hash: str = ""
    rejected_uuid: int = 0
    rejected_hash: str = ""
    """Empty although there is a rejected id: it was applied with substitutions."""
    applied_hash: str = ""
    """As the device last reported."""
    sends: int = 0
    """Sends of the present target since the device was last in step."""
    last_sent: float = 0.0
    """Unix time, seconds."""
    in_flight: bool = False
    """A `configure` is under way and may still be answered."""
    is_switch: bool = False
    quarantined: bool = False
    barred: str = ""
    """Why nothing may be sent for now; empty: it may."""
    given: int = 0
    """Highest id that the device was sent, as far as is known: also of a cancelled change."""

    @property
    def substituted(self) -> bool:
        """True if the device runs the stored configuration with substitutions."""
        return bool(self.rejected_uuid) and not self.rejected_hash

    @property
    def target_uuid(self) -> int:
        """Id of what the device should run: the change under way, else the stored one."""
        return self.pending_uuid or self.config_uuid

    @property
    def target_hash(self) -> str:
        """Content hash of what the device should run."""
        return self.pending_hash if self.pending_uuid else self.config_hash


class ResendPolicy(msgspec.Struct, frozen=True):
    """How often one configuration is sent again. Times in seconds."""

    at_once: int = 3
    first_delay: float = 30.0
    max_delay: float = 3600.0
    limit: int = 20

    def delay(self, sends: int) -> float:
        """Return the least time between the last send and the next one after `sends` sends."""
        if sends < self.at_once:
            return 0.0
        doublings = min(sends - self.at_once, 32)
        return min(self.first_delay * 2.0**doublings, self.max_delay)


Cause = Literal["connect", "drift", "write", "retry", "hash", "ahead", "operator"]


class InStep(msgspec.Struct, frozen=True):
    """The device runs what is stored."""


class Adopt(msgspec.Struct, frozen=True):
    """The device runs the pending change: it becomes the stored configuration."""


class Send(msgspec.Struct, frozen=True):
    """Send the target under this id, which becomes the target's id."""

    uuid: int
    cause: Cause


class Hold(msgspec.Struct, frozen=True):
    """Not in step, and nothing is sent; `reason` is shown to the operator."""

    reason: str


class Wait(msgspec.Struct, frozen=True):
    """Nothing to do now: an answer is under way, or the report proves nothing."""


class Probe(msgspec.Struct, frozen=True):
    """Ask the device (by `ping`) which configuration is active: its report is ambiguous."""


Action = InStep | Adopt | Send | Hold | Wait | Probe

HOLD_UNMANAGED: Final = "the device asks not to be managed (uuid 0)"
HOLD_NOTHING: Final = "no configuration is stored"
HOLD_QUARANTINED: Final = "the device is in quarantine"
HOLD_REJECTED: Final = "the device rejected this configuration"
HOLD_REJECTED_ID: Final = "the device reports the id of a configuration that it rejected"
HOLD_SPACED: Final = "the configuration was sent several times; the next send waits"
HOLD_LIMIT: Final = "the configuration was sent as often as configuration.resend_limit allows"
HOLD_IDS: Final = "the device reports an id that leaves no higher one below 2147483648"


def next_uuid(now: float, *used: int) -> int:
    """Return a new configuration id: the time, or more if ids in use are as high.

    Raises OverflowError if no id is left that an access point can follow.
    """
    uuid = max((int(now), *(one + 1 for one in used)))
    if uuid > MAX_CONFIG_UUID:
        raise OverflowError(HOLD_IDS)
    return uuid


def decide(report: Report, facts: Facts, policy: ResendPolicy, now: float) -> Action:
    """Tell what follows from a report. Pure; the caller acts and keeps the facts."""
    uuid, content = report.uuid, report.hash
    if facts.quarantined:
        return Hold(HOLD_QUARANTINED)
    if uuid == 0:
        # A restarted switch says 0 in `state` until its next configure; only a connect means it.
        # Quirk: zero-uuid-in-state.
        return Hold(HOLD_UNMANAGED) if report.source is Source.CONNECT else Wait()
    if not facts.target_uuid:
        return Hold(HOLD_NOTHING)

    matches = uuid == facts.target_uuid and (not content or content == facts.target_hash)
    refused = bool(facts.rejected_hash) and facts.rejected_hash == facts.target_hash
    # The state of a switch names the id last asked for, even if it refused it.
    # Quirk: refused-uuid-in-state.
    vague = facts.is_switch and report.source is Source.STATE and not content
    if not facts.pending_uuid:
        if matches and not (vague and (refused or facts.sends)):
            return InStep()
        # What a device substituted shows in its hash, and stays as the operator can read it.
        known = facts.applied_hash in ("", content)
        if uuid == facts.config_uuid == facts.rejected_uuid and facts.substituted and known:
            return InStep()
    if matches and not vague:
        # Also while an answer is due: it may never come, and if it does it can still be told.
        return Adopt()
    if facts.in_flight:
        return Wait()
    if facts.barred:
        return Hold(facts.barred)
    if refused:
        return Hold(HOLD_REJECTED)
    if matches:
        return Probe()
    if (
        not facts.pending_uuid
        and uuid == facts.rejected_uuid
        and content in ("", facts.config_hash, facts.rejected_hash)
    ):
        return Hold(HOLD_REJECTED_ID)
    if facts.sends >= policy.limit:
        return Hold(HOLD_LIMIT)
    # A send that lies in the future was made before the clock was put back.
    if abs(now - facts.last_sent) < policy.delay(facts.sends):
        return Hold(HOLD_SPACED)
    return _send(report, facts, now)


def _send(report: Report, facts: Facts, now: float) -> Action:
    """Choose id and cause of a send. An access point applies only an id that is new to it."""
    target = facts.target_uuid
    uuid = target
    if facts.sends or report.uuid >= target:
        try:
            uuid = next_uuid(now, target, report.uuid, facts.config_uuid, facts.given)
        except OverflowError:
            return Hold(HOLD_IDS)
    cause: Cause
    if report.uuid == target:
        cause = "hash"
    elif report.uuid > target:
        cause = "ahead"
    elif facts.sends:
        cause = "retry"
    else:
        cause = "connect" if report.source is Source.CONNECT else "drift"
    return Send(uuid, cause)


class Rejection(msgspec.Struct, omit_defaults=True):
    """One parameter that a device could not apply."""

    parameter: msgspec.Raw = msgspec.Raw(b"null")
    reason: str = ""
    substitution: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Result(msgspec.Struct):
    """A device's answer to `configure`, read leniently (agents.md, configure)."""

    uuid: int
    """-1 if the answer has none."""
    hash: str
    error: int
    text: str
    rejections: list[Rejection]


class Verdict(Enum):
    """What an answer means."""

    APPLIED = "applied"
    SUBSTITUTED = "substituted"
    """Applied, with differences that the rejections name."""
    REFUSED = "refused"


def settle(result: Result, sent_uuid: int) -> Verdict:
    """Tell what a result means for the configuration that was sent as `sent_uuid`.

    0 is success whatever id comes with it (the next report checks it); 1 only if the device
    names the id that was sent; all else is a refusal. Quirk: refusal-with-uuid-0.
    """
    if result.error == 0:
        return Verdict.SUBSTITUTED if result.rejections else Verdict.APPLIED
    if result.error == 1 and result.uuid == sent_uuid:
        return Verdict.SUBSTITUTED
    return Verdict.REFUSED


class _Status(msgspec.Struct):
    error: int | float | bool | str | None = None
    text: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    rejected: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _ResultBody(msgspec.Struct):
    status: _Status
    uuid: int | float | str | None = None
    config_hash: str | None = None
    rejected: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Error(msgspec.Struct):
    code: int | float | None = None
    message: str | None = None


_decode_result = msgspec.json.Decoder(_ResultBody).decode


def read_result(message: bytes) -> Result | None:
    """Read the answer to a `configure`: a whole JSON-RPC message.

    A JSON-RPC error is a refusal with its text. None if the answer says nothing usable.
    Quirk: error-answer. Quirk: text-before-error.
    """
    try:
        return _read_result(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read_result(message: bytes) -> Result | None:
    answer = jsonrpc.read_answer(message)
    if answer.result is msgspec.UNSET:
        error = msgspec.json.decode(
            answer.error if answer.error is not msgspec.UNSET else b"null", type=_Error
        )
        text = jsonrpc.storable(error.message or f"JSON-RPC error {error.code}")
        return Result(-1, "", 2, text, [])
    body = _decode_result(answer.result)
    status = body.status
    error_code = _integer(status.error)
    if error_code is None:
        return None
    if not -(2**31) <= error_code < 2**31:
        error_code = 2  # none that an agent knows: a refusal
    rejected = status.rejected if status.rejected is not msgspec.UNSET else body.rejected
    uuid = _integer(body.uuid)
    return Result(
        -1 if uuid is None else uuid,
        body.config_hash or "",
        error_code,
        _text(status.text),
        [] if rejected is msgspec.UNSET else read_rejections(rejected),
    )


class _ActiveBody(msgspec.Struct):
    uuid: int | float | str | None = None
    config_hash: str | None = None


def read_active(message: bytes) -> tuple[int, str]:
    """Return the active uuid and hash that any result names; (0, "") if it names none."""
    try:
        answer = jsonrpc.read_answer(message)
        body = msgspec.json.decode(
            answer.result if answer.result is not msgspec.UNSET else b"{}", type=_ActiveBody
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0, ""
    return max(0, _integer(body.uuid) or 0), body.config_hash or ""


def _integer(value: float | str | None) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if -(2**63) <= value < 2**63 else None


def _text(raw: msgspec.Raw | msgspec.UnsetType) -> str:
    """Return a status text; some agents send an array."""
    if raw is msgspec.UNSET:
        return ""
    value = msgspec.json.decode(raw)
    if isinstance(value, list):
        value = "; ".join(str(one) for one in value)
    elif not isinstance(value, str):
        value = "" if value is None else bytes(raw).decode()
    return jsonrpc.storable(value)


def read_rejections(raw: msgspec.Raw) -> list[Rejection]:
    """Read `rejected`: objects, or plain strings (access points), or one of either; null: none.

    Quirk: rejected-strings.
    """
    if bytes(raw) == b"null":
        return []
    try:
        items = msgspec.json.decode(raw, type=list[msgspec.Raw])
    except msgspec.ValidationError:
        items = [raw]
    found = []
    for item in items:
        try:
            found.append(msgspec.json.decode(item, type=Rejection))
        except msgspec.ValidationError:
            value = msgspec.json.decode(item)
            text = value if isinstance(value, str) else bytes(item).decode()
            found.append(Rejection(reason=text))
    return found


_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


def without_uuid(document: bytes) -> bytes:
    """Return a configuration without its top-level `uuid`; all else keeps its spelling."""
    members = _decode_members(document)
    members.pop("uuid", None)
    return _encode(members)


def with_uuid(document: bytes | str, uuid: int) -> bytes:
    """Return a configuration with `uuid` as its first member (agents.md: APs go by it)."""
    members = _decode_members(document)
    members.pop("uuid", None)
    return _encode({"uuid": uuid, **members})


def configure_params(serial: str, uuid: int, when: int, config: bytes, content: str) -> bytes:
    """Return the params of `configure`. `config` is JSON text that carries the same uuid."""
    return b'{"serial":"%s","uuid":%d,"when":%d,"config_hash":"%s","config":%s}' % (
        serial.encode(),
        uuid,
        when,
        content.encode(),
        config,
    )


def frame_limit(platform: str) -> int:
    """Return the largest frame, bytes, that an agent of this platform can receive."""
    return SWITCH_FRAME if platform == "switch" else ACCESS_POINT_FRAME


def compressed_frame(document: bytes) -> bytes:
    """Return about the frame in which a configuration travels compressed (agents.md, configure)."""
    return compress(document) + b" " * 256

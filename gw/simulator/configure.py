"""How an agent answers `configure`: pure functions from memory and request to new memory."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, Final

import msgspec
import orjson

from gw.core.ids import MAX_CONFIG_UUID
from gw.simulator import messages
from gw.simulator.faults import Faults, rejection_entry

OLS_STRING_UUID: Final = -9.223372036854776e18
"""What a switch makes of a uuid that is a string, and reports from then on (agents.md)."""

_INFLATED_MAX: Final = 64 * 1024 * 1024


class Memory(msgspec.Struct, kw_only=True):
    """What a device keeps over a restart. An access point has a file per uuid and takes the one
    with the highest, so the newest is kept beside the active one.
    """

    uuid: Any = 1
    """The active configuration; 1 when there is none."""
    config: msgspec.Raw = msgspec.Raw(b"{}")
    newest: int = 1
    newest_config: msgspec.Raw = msgspec.Raw(b"{}")
    newest_failed: bool = False
    sequence: int = 0
    """Number of the last state sent."""


class ConfigureParams(msgspec.Struct):
    """Parameters of `configure`, untyped as an agent meets them; the configuration stays text."""

    serial: Any = msgspec.UNSET
    uuid: Any = msgspec.UNSET
    config: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    config_hash: Any = msgspec.UNSET
    compress: Any = msgspec.UNSET
    compress_64: Any = msgspec.UNSET
    compress_sz: Any = msgspec.UNSET


class Outcome(msgspec.Struct, kw_only=True):
    """What became of one configure request."""

    memory: Memory
    answer: dict[str, Any] | None
    """The JSON-RPC result; None where the agent says nothing."""
    uuid: Any = 0
    """The configuration id that was asked for; 0 if the request had none."""
    error: int | None = None
    text: str = ""
    applied: bool = False
    """Whether the active configuration was written."""
    rejected: list[Any] = []
    logs: list[str] = []
    """Lines that a switch sends before its answer."""
    compressed: bool = False
    params: ConfigureParams | None = None


class _Uuid(msgspec.Struct):
    uuid: Any = msgspec.UNSET


_decode_params = msgspec.json.Decoder(ConfigureParams).decode
_decode_uuid = msgspec.json.Decoder(_Uuid).decode


def configure(
    platform: messages.Platform,
    serial: str,
    memory: Memory,
    request_id: Any,
    params: bytes | msgspec.Raw,
    *,
    faults: Faults,
) -> Outcome:
    """Return what the agent of `platform` does with a configure request."""
    try:
        decoded = _decode_params(params)
    except msgspec.MsgspecError:
        decoded = ConfigureParams()
    if isinstance(decoded.config, msgspec.Raw):
        # A copy, for it would keep the whole frame alive otherwise.
        decoded.config = decoded.config.copy()
    if platform == "switch":
        return _switch(serial, memory, switch_id(request_id), decoded, faults)
    return _access_point(serial, memory, ap_id(request_id), decoded, faults)


def switch_id(request_id: Any) -> Any:
    """Return the id that a switch writes in the answer of ping and configure."""
    if request_id is msgspec.UNSET:
        return 0
    if isinstance(request_id, bool) or not isinstance(request_id, int | float):
        return None
    return int(float(request_id))


def ap_id(request_id: Any) -> int:
    """Return the id that an access point writes: 32 bits, else 0."""
    if isinstance(request_id, int) and -(2**31) <= request_id <= MAX_CONFIG_UUID:
        return int(request_id)
    return 0


def config_hash(config: bytes | msgspec.Raw) -> str | None:
    """Return the content hash of a configuration, None if it has none or nothing computes it."""
    try:
        from gw._native import ConfigError
        from gw._native import config_hash as compute
    except ImportError:
        return None
    try:
        return compute(bytes(config))
    except ConfigError:
        return None


def _switch(
    serial: str, memory: Memory, answer_id: Any, params: ConfigureParams, faults: Faults
) -> Outcome:
    def outcome(error: int, text: str, uuid: Any, **more: Any) -> Outcome:
        # The switch writes text before error, in this answer only.
        answer = messages.result(answer_id, serial, uuid, {"text": text, "error": error})
        more = {"memory": memory, **more}
        return Outcome(answer=answer, uuid=uuid, error=error, text=text, params=params, **more)

    if msgspec.UNSET in (params.serial, params.uuid) or params.config is msgspec.UNSET:
        return outcome(2, "invalid parameters", 0)
    if not bytes(params.config).startswith(b"{"):
        return outcome(2, "Configure parse failed", 0)
    uuid = params.uuid
    uuid = int(float(uuid)) if isinstance(uuid, int | float) else OLS_STRING_UUID
    refused, substituted, _ = _rejections(params.config, faults)
    reasons = refused + substituted
    if reasons:
        # A switch has no way to apply in part: what would be substituted is refused as well.
        logs = [f"uc-proto: {reason}\n" for reason in reasons[:3]]
        return outcome(2, f"Configure failed: {reasons[0]}", uuid, logs=logs)
    changed = msgspec.structs.replace(memory, uuid=uuid, config=params.config)
    return outcome(0, "", uuid, memory=changed, applied=True)


def _access_point(
    serial: str, memory: Memory, answer_id: int, params: ConfigureParams, faults: Faults
) -> Outcome:
    was_compressed = params.compress_64 is not msgspec.UNSET

    def outcome(error: int, text: str, uuid: Any, **more: Any) -> Outcome:
        status: dict[str, Any] = {"error": error, "text": text}
        if more.get("rejected"):
            status["rejected"] = more["rejected"]
        silent = error and answer_id == 0
        answer = None if silent else messages.result(answer_id, serial, uuid, status)
        more = {"memory": memory, "answer": answer, "params": params, **more}
        return Outcome(uuid=uuid, error=error, text=text, compressed=was_compressed, **more)

    def unanswered(uuid: Any, **more: Any) -> Outcome:
        more = {"memory": memory, **more}
        return Outcome(answer=None, uuid=uuid, compressed=was_compressed, params=params, **more)

    if was_compressed:
        try:
            params = _decode_params(_inflate(params))
        except (msgspec.MsgspecError, ValueError, zlib.error):
            return outcome(1, "invalid parameters", 0)
    uuid = params.uuid
    config = params.config
    if (
        params.serial is msgspec.UNSET
        or not _is_int32(uuid)
        or config is msgspec.UNSET
        or not bytes(config).startswith(b"{")
    ):
        return outcome(1, "invalid parameters", 0)
    inner = _decode_uuid(config).uuid
    if inner is msgspec.UNSET:
        text = "failed to load/parse the configuration"
        # By a slip in the agent the answer's id is the previous configuration's uuid.
        answer = messages.result(memory.uuid, serial, 0, {"error": 2, "text": text})
        return outcome(2, text, 0, answer=answer)
    if inner == 1:
        changed = msgspec.structs.replace(memory, uuid=1, config=config)
        return unanswered(uuid, memory=changed, applied=True)
    if inner != uuid:
        return unanswered(uuid)
    if uuid > memory.newest or (uuid == memory.newest and memory.uuid != uuid):
        memory = msgspec.structs.replace(
            memory, newest=uuid, newest_config=config, newest_failed=False
        )
    if memory.newest == memory.uuid:
        return outcome(0, "Already applied.", memory.newest)
    refused, substituted, entries = _rejections(memory.newest_config, faults)
    if refused:
        changed = msgspec.structs.replace(memory, newest_failed=True)
        return outcome(2, "Failed", memory.newest, memory=changed, rejected=entries)
    changed = msgspec.structs.replace(memory, uuid=memory.newest, config=memory.newest_config)
    error, text = (1, "Rejects") if substituted else (0, "Success")
    return outcome(error, text, memory.newest, memory=changed, applied=True, rejected=entries)


def _rejections(config: msgspec.Raw, faults: Faults) -> tuple[list[str], list[str], list[Any]]:
    """Return reasons that refuse all, reasons with a substitution, and entries of `rejected`."""
    refused: list[str] = []
    substituted: list[str] = []
    entries: list[Any] = []
    if not faults.reject:
        return refused, substituted, entries
    document = orjson.loads(bytes(config))
    for rejection in faults.reject:
        pointer = rejection.find(document)
        if pointer is not None:
            whole = rejection.substitution is msgspec.UNSET
            (refused if whole else substituted).append(f"{pointer}: {rejection.reason}")
            as_object = faults.reject_as_objects
            entries.append(rejection_entry(rejection, pointer, as_object=as_object))
    return refused, substituted, entries


def _inflate(params: ConfigureParams) -> bytes:
    size = params.compress_sz
    if not isinstance(params.compress_64, str) or not isinstance(size, int):
        raise ValueError("compress_64 is text and compress_sz a number")
    try:
        packed = base64.b64decode(params.compress_64, validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from None
    # The agent's buffer has compress_sz bytes: a longer text does not fit.
    inflater = zlib.decompressobj()
    text = inflater.decompress(packed, min(max(size, 0), _INFLATED_MAX) + 1)
    if len(text) > size or not inflater.eof:
        raise ValueError("longer than compress_sz")
    return text


def _is_int32(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_CONFIG_UUID

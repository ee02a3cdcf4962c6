"""How an agent answers the methods other than `configure` (agents.md, "The other methods")."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from gw.simulator import messages
from gw.simulator.configure import ap_id, switch_id

Act = Literal["reboot", "factory", "upgrade"]

_NEED_SERIAL: Final = frozenset({"reboot", "factory", "upgrade", "script", "telemetry"})
_NEED_SERIAL_AP: Final = frozenset(
    {"reboot", "factory", "upgrade", "script", "transfer", "trace", "wifiscan", "rtty"}
)
_RTTY_MEMBERS: Final = frozenset(
    {"id", "token", "server", "port", "user", "timeout", "password", "serial"}
)
_TRIGGERED: Final = frozenset({"reboot", "factory", "transfer"})


class Reaction(msgspec.Struct, kw_only=True):
    """What a device does about one request, in this order."""

    answers: list[dict[str, Any]] = []
    report: Literal["state", "healthcheck"] | None = None
    """What to send with the `request_uuid` of the request."""
    act: Act | None = None
    """What to do after the agent's delay."""
    terminal: bool = False
    """Whether to connect to the remote terminal that the params name."""
    later: list[dict[str, Any]] = []
    """What to send after the agent's delay, before `act`."""


def react(
    platform: messages.Platform,
    serial: str,
    uuid: Any,
    *,
    request_id: Any,
    method: str,
    params: dict[str, Any],
) -> Reaction:
    """Return what the agent of `platform` does about `method`."""
    if platform == "switch":
        return _switch(serial, uuid, request_id, method, params)
    return _access_point(serial, uuid, ap_id(request_id), method, params)


def _switch(
    serial: str, uuid: Any, request_id: Any, method: str, params: dict[str, Any]
) -> Reaction:
    answer_id = switch_id(request_id)
    if method in _NEED_SERIAL and isinstance(answer_id, int):
        answer_id &= 0xFFFFFFFF

    def answer(**status: Any) -> Reaction:
        return Reaction(answers=[messages.result(answer_id, serial, uuid, status)])

    if method == "ping":
        return answer(text="Success", error=0)
    if method in _NEED_SERIAL and "serial" not in params:
        return answer(error=1, text="invalid parameters", resultCode=1)
    if method in {"reboot", "factory"}:
        done = answer(error=0, text=f"{method} requested successfully", resultCode=0)
        done.act = "reboot" if method == "reboot" else "factory"
        return done
    if method == "upgrade":
        done = answer(error=0, text="upgrade requested successfully", resultCode=0)
        done.act = "upgrade"
        done.later = [
            messages.notification(
                "event", messages.event(serial, "firmware_upgrade_status", {"operation": step})
            )
            for step in ("download", "install", "reboot")
        ]
        return done
    if method == "rtty":
        if not params.keys() >= _RTTY_MEMBERS:
            return answer(error=1, text="RTTY cmd parse failed")
        done = answer(error=0, text="Success")
        done.terminal = True
        return done
    if method == "script":
        return _script(answer_id, serial, uuid, params)
    if method == "telemetry":
        if params.get("interval") and not params.get("types"):
            return answer(error=1, text="invalid parameters", resultCode=1)
        return answer(error=0, text="Telemetry configure requested successfully")
    # Any name at all, known or made up: a gateway cannot tell that nothing was done.
    return answer(error=0, text="Success")


def _access_point(
    serial: str, uuid: Any, answer_id: int, method: str, params: dict[str, Any]
) -> Reaction:
    def answer(**status: Any) -> Reaction:
        return Reaction(answers=[messages.result(answer_id, serial, uuid, status)])

    if method in _NEED_SERIAL_AP and "serial" not in params:
        return answer(error=1, text="invalid parameters", resultCode=1)
    if method in _TRIGGERED:
        done = answer(error=0, text="triggered command action")
        done.act = None if method == "transfer" else "reboot" if method == "reboot" else "factory"
        return done
    if method == "upgrade":
        status = {"error": 0, "text": "Triggering FW upgrade"}
        return Reaction(later=[messages.result(answer_id, serial, uuid, status)], act="upgrade")
    if method == "request":
        wanted = params.get("message")
        if not params.get("request_uuid") or wanted not in {"state", "healthcheck"}:
            return answer(error=1, text="invalid parameters")
        done = answer(error=0, text="success")
        done.report = wanted
        return done
    if method == "script":
        return _script(answer_id, serial, uuid, params)
    if method == "event":
        done = answer(error=0, text="Success")
        done.answers[0]["result"]["events"] = {}
        return done
    if method == "wifiscan":
        return answer(error=0, text="Success", resultCode=1, scan=_SCAN)
    if method == "rtty":
        if not params.keys() >= _RTTY_MEMBERS:
            return answer(error=2, text="invalid parameters")
        done = answer(error=0, text="Command was executed")
        done.terminal = True
        return done
    known = {
        "ping": "Success",
        "leds": "success",
        "telemetry": "Success",
        "trace": "Success",
        "package": "Success",
    }
    return answer(error=0, text=known[method]) if method in known else Reaction()


def _script(answer_id: Any, serial: str, uuid: Any, params: dict[str, Any]) -> Reaction:
    # The status of a script has no text. With an uri the output goes there, and the same id is
    # answered twice.
    def answer(text: str) -> dict[str, Any]:
        return messages.result(answer_id, serial, uuid, {"error": 0, "result": text})

    if params.get("uri"):
        return Reaction(answers=[answer("pending")], later=[answer("done")])
    return Reaction(answers=[answer("simulated output\n")])


_SCAN: Final = [
    {
        "bssid": "d8:07:b6:11:90:2a",
        "ssid": "Neighbour",
        "frequency": 5180,
        "channel": 36,
        "signal": -73,
        "tsf": 991223344,
        "last_seen": 120,
        "capability": 4369,
        "sta_count": 5,
        "ch_util": 61,
        "ies": [{"type": 1, "data": "jBKYJLBIYGw="}],
    }
]

"""How an agent answers the methods other than `configure` (agents.md, "The other methods")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from gw.simulator import messages
from gw.simulator.configure import ap_id, switch_id
from gw.simulator.faults import Faults

Act = Literal["reboot", "factory", "upgrade", "transfer"]

_NEED_SERIAL: Final = frozenset({"reboot", "factory", "upgrade", "script", "telemetry"})
_NEED_SERIAL_AP: Final = frozenset(
    {"reboot", "factory", "upgrade", "script", "transfer", "trace", "wifiscan", "rtty"}
)
_RTTY_MEMBERS: Final = frozenset(
    {"id", "token", "server", "port", "user", "timeout", "password", "serial"}
)
_TRIGGERED: Final[dict[str, Act]] = {
    "reboot": "reboot", "factory": "factory", "transfer": "transfer",
}  # fmt: skip


class Reaction(msgspec.Struct, kw_only=True):
    """What a device does about one request, in this order."""

    answers: list[dict[str, Any]] = []
    report: Literal["state", "healthcheck"] | None = None
    """What to send with the `request_uuid` of the request."""
    act: Act | None = None
    """What to do after the agent's delay."""
    upload: str = ""
    """Where to upload a file to; empty: none."""
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
    faults: Faults | None = None,
) -> Reaction:
    """Return what the agent of `platform` does about `method`."""
    if platform == "switch":
        reaction = _switch(serial, uuid, request_id, method, params)
    else:
        reaction = _access_point(serial, uuid, ap_id(request_id), method, params)
    if faults is not None:
        _go_wrong(reaction, faults, platform, serial, uuid, method, request_id)
    return reaction


def _go_wrong(
    reaction: Reaction,
    faults: Faults,
    platform: messages.Platform,
    serial: str,
    uuid: Any,
    method: str,
    request_id: Any,
) -> None:
    """Let a command fail as the agent says it: what was answered at once fails a second time."""
    if faults.reportless:
        reaction.report = None
    if method in faults.statusless:
        for one in reaction.answers:
            del one["result"]["status"]
    if method in faults.errors:
        fault = {"code": -32601, "message": "Method not found"}
        reaction.answers = [{"jsonrpc": "2.0", "id": request_id, "error": fault}]
        reaction.later, reaction.act = [], None
    elif faults.fails(method):
        answer_id = switch_id(request_id) if platform == "switch" else ap_id(request_id)
        code, text = (2, "download failed") if method == "upgrade" else (1, f"{method} failed")
        failed = messages.result(answer_id, serial, uuid, {"error": code, "text": text})
        if platform == "switch" and method == "upgrade":
            # A switch has said yes already, and tells the rest by an event.
            event = messages.event(serial, "firmware_upgrade_status", {"operation": "fail"})
            reaction.later = [messages.notification("event", event)]
        elif reaction.act is not None:
            reaction.later = [failed]
        else:
            reaction.answers, reaction.later, reaction.upload = [failed], [], ""
        reaction.act, reaction.report, reaction.terminal = None, None, False


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
        name = "Reboot" if method == "reboot" else "factory"
        done = answer(error=0, text=f"{name} requested successfully", resultCode=0)
        done.act = "reboot" if method == "reboot" else "factory"
        return done
    if method == "upgrade":
        done = answer(error=0, text="upgrade requested successfully", resultCode=0)
        done.act = "upgrade"
        steps: list[dict[str, Any]] = [
            {"operation": "download", "percentage": 0},
            {"operation": "download", "percentage": 100},
            {"operation": "install"},
            {"operation": "success"},
        ]
        done.later = [
            messages.notification("event", messages.event(serial, "firmware_upgrade_status", step))
            for step in steps
        ]
        return done
    if method == "rtty":
        if not params.keys() >= _RTTY_MEMBERS:
            return answer(error=1, text="RTTY cmd parse failed")
        done = answer(error=0, text="Success")
        done.terminal = True
        return done
    if method == "script":
        if params.get("type") == "diagnostic" and not params.get("uri"):
            return Reaction()  # without a place to upload to it says nothing
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
        done.act = _TRIGGERED[method]
        return done
    if method == "leds" and "pattern" not in params:
        return Reaction()
    if method == "trace":
        done = answer(error=0, text="Success")
        done.upload = params.get("uri") or ""
        return done
    if method == "telemetry":
        if params.get("interval") and not params.get("types"):
            return answer(error=2, text="Invalid Arguments")
        return answer(error=0, text="Success")
    if method == "package":
        return _package(answer, params)
    if method in {"fixedconfig", "reenroll"}:
        done = answer(error=0, text="applied" if method == "fixedconfig" else "Success")
        done.act = "reboot" if method == "fixedconfig" else None
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
        done.answers[0]["result"]["events"] = {}  # the device adds what it keeps
        return done
    if method == "wifiscan":
        return answer(error=0, text="Success", resultCode=1, scan=_SCAN)
    if method == "rtty":
        if not params.keys() >= _RTTY_MEMBERS:
            return answer(error=2, text="invalid parameters")
        done = answer(error=0, text="Command was executed")
        done.terminal = True
        return done
    # What else this version does not know, certupdate and powercycle among it, has no answer.
    known = {"ping": "Success", "leds": "success"}
    return answer(error=0, text=known[method]) if method in known else Reaction()


def _package(answer: Callable[..., Reaction], params: dict[str, Any]) -> Reaction:
    """Ask for, install or delete packages.

    The list is a stream of all packages, whichever was asked for, and its status has no `error`.
    """
    if params.get("op") == "list":
        listed = [{"name": "iperf3", "version": "3.9-1"}, {"name": "nano", "version": "7.2-1"}]
        return answer(**messages.compressed(messages.encode(listed)), text="Success")
    names = [one.get("name") for one in params.get("packages") or [] if isinstance(one, dict)]
    packages = [{"name": name, "result": "Success"} for name in names]
    return answer(packages=packages, error=0, text="Success")


def _script(answer_id: Any, serial: str, uuid: Any, params: dict[str, Any]) -> Reaction:
    # The status of a script has no text. With an uri the output goes there, and the same id is
    # answered twice.
    def answer(text: str) -> dict[str, Any]:
        return messages.result(answer_id, serial, uuid, {"error": 0, "result": text})

    if params.get("uri"):
        return Reaction(
            answers=[answer("pending")], later=[answer("done")], upload=str(params["uri"])
        )
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

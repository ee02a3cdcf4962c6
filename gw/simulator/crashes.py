"""What makes an agent crash (agents.md, "Do not send to OLS"): a gateway must never send it."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from gw.simulator.messages import Platform


def crash_of(platform: Platform, jsonrpc: Any, method: Any, params: Any) -> str:
    """Return why the agent of `platform` crashes at a message; empty: it does not.

    `jsonrpc` and `method` as they came; `params` are the raw parameters, or UNSET.
    """
    if platform == "ap":
        if method == "leds" and not isinstance(_members(params).get("pattern"), str):
            return "leds without pattern"
        return ""
    if jsonrpc is not msgspec.UNSET and not isinstance(jsonrpc, str):
        return "jsonrpc is not a string"
    if method is not msgspec.UNSET and not isinstance(method, str):
        return "method is not a string"
    if method == "configure":
        return _crash_of_configuration(_members(params).get("config"))
    return ""


def _crash_of_configuration(config: Any) -> str:
    if not isinstance(config, dict):
        return ""
    unit = config.get("unit")
    if isinstance(unit, dict) and not isinstance(unit.get("system-password", ""), str):
        return "unit.system-password is not a string"
    pending: list[Any] = [config]
    while pending:
        value = pending.pop()
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for name, member in members:
            if name == "select-ports" and isinstance(member, list):
                if not all(isinstance(port, str) for port in member):
                    return "an entry of select-ports is not a string"
            elif isinstance(member, dict | list):
                pending.append(member)
    return ""


def _members(params: Any) -> dict[str, Any]:
    if not isinstance(params, msgspec.Raw):
        return {}
    try:
        found = orjson.loads(bytes(params))
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}

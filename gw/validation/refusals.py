"""What is never sent, whatever the schema says: it crashes agents (agents.md).

A switch agent ends on a `unit.system-password`, or on an entry of any `select-ports`, that is not
a string. The type of a device may be unknown, or wrong, so every device is spared this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gw.validation.problems import Problem, problem

_PORTS: Final = "select-ports"
_PASSWORD: Final = "system-password"  # noqa: S105 - the name of a member


def crashers(document: object) -> Iterator[Problem]:
    """Yield every value that would end an agent; `document` is a decoded configuration.

    Raises RecursionError beyond the 64 levels that `config_hash` takes, at some hundreds.
    """
    if not isinstance(document, dict):
        return
    unit = document.get("unit")
    if isinstance(unit, dict) and not isinstance(unit.get(_PASSWORD, ""), str):
        yield problem(("unit", _PASSWORD), "must be a string: anything else crashes the agent")
    yield from _inside(document, [])


def _inside(value: dict[str, Any] | list[Any], place: list[str | int]) -> Iterator[Problem]:
    """Recursion is bounded by `config_hash`, which takes 64 levels; `place` is put back."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, member in members:
        if not member or not isinstance(member, (dict, list)):
            continue
        place.append(name)
        if name == _PORTS:
            yield from _entries(member, place)
        yield from _inside(member, place)
        place.pop()


def _entries(ports: dict[str, Any] | list[Any], place: list[str | int]) -> Iterator[Problem]:
    """The agent walks an object as it does an array."""
    entries = ports.items() if isinstance(ports, dict) else enumerate(ports)
    for index, entry in entries:
        if not isinstance(entry, str):
            yield problem((*place, index), "must be a string: anything else crashes the agent")

"""What is never sent, whatever the schema says: it crashes agents (agents.md).

A switch agent ends on a `unit.system-password`, or on an entry of any `select-ports`, that is not
a string. The type of a device may be unknown, or wrong, so every device is spared this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gw.validation.problems import Problem, problem

_PORTS: Final = "select-ports"
_PASSWORD: Final = "system-password"  # noqa: S105 - the name of a member
_Place = tuple[str | int, ...]


def crashers(document: object) -> Iterator[Problem]:
    """Yield every value that would end an agent; `document` is a decoded configuration."""
    if not isinstance(document, dict):
        return
    unit = document.get("unit")
    if isinstance(unit, dict) and not isinstance(unit.get(_PASSWORD, ""), str):
        yield problem(("unit", _PASSWORD), "must be a string: anything else crashes the agent")
    # Without recursion, and with places made only for what is found.
    stack: list[tuple[object, _Place]] = [(document, ())]
    while stack:
        value, place = stack.pop()
        if isinstance(value, dict):
            for name, member in value.items():
                if name == _PORTS:
                    yield from _entries(member, (*place, name))
                if isinstance(member, (dict, list)):
                    stack.append((member, (*place, name)))
        elif isinstance(value, list):
            stack.extend(
                (member, (*place, index))
                for index, member in enumerate(value)
                if isinstance(member, (dict, list))
            )


def _entries(ports: object, place: _Place) -> Iterator[Problem]:
    """The agent walks an object as it does an array."""
    if isinstance(ports, dict):
        entries: Iterator[tuple[str | int, object]] = iter(ports.items())
    elif isinstance(ports, list):
        entries = iter(enumerate(ports))
    else:
        return
    for index, entry in entries:
        if not isinstance(entry, str):
            yield problem((*place, index), "must be a string: anything else crashes the agent")

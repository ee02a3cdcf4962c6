"""Types of settings: reading a value from text, and saying what is wrong with one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import inspect

_SHOWN: Final = 60


_BOOLEANS: Final = {"true": True, "yes": True, "on": True, "1": True,
                    "false": False, "no": False, "off": False, "0": False}  # fmt: skip


def from_text(text: str, kind: inspect.Type) -> Any:
    """Read a value as the environment and `--set` write it. Raises ValueError."""
    stripped = text.strip()
    if isinstance(kind, inspect.BoolType):
        if stripped.lower() not in _BOOLEANS:
            raise ValueError(text)
        return _BOOLEANS[stripped.lower()]
    if isinstance(kind, inspect.IntType):
        return int(stripped)
    if isinstance(kind, inspect.FloatType):
        return float(stripped)
    if isinstance(kind, inspect.ListType):
        return msgspec.json.decode(stripped)
    return text


def type_faults(name: str, value: Any, kind: inspect.Type, origin: str) -> Iterable[str]:
    """Yield what keeps `value` from being of the type, and in its range; `name` is the setting."""
    if isinstance(kind, inspect.StructType):
        yield from _struct_faults(name, value, kind, origin)
        return
    if isinstance(kind, inspect.ListType) and isinstance(value, list):
        for place, item in enumerate(value):
            yield from type_faults(f"{name}[{place}]", item, kind.item_type, origin)
        return
    if not _fits(value, kind):
        yield f"{name}: expected {describe(kind)}, got {shown(value)} ({origin})"


def _struct_faults(name: str, value: Any, kind: inspect.StructType, origin: str) -> Iterable[str]:
    if not isinstance(value, dict):
        yield f"{name}: expected a table, got {shown(value)} ({origin})"
        return
    fields = {field.name: field for field in kind.fields}
    for key, item in value.items():
        if key not in fields:
            yield f"{name}.{key} is not a setting{nearest(key, fields)} ({origin})"
        else:
            yield from type_faults(f"{name}.{key}", item, fields[key].type, origin)
    for key, field in fields.items():
        if field.required and key not in value:
            yield f"{name}.{key} must be set ({origin})"


def _fits(value: Any, kind: inspect.Type) -> bool:
    match kind:
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.StrType():
            return isinstance(value, str) and "\0" not in value
        case inspect.LiteralType(values=values):
            return value in values
        case inspect.IntType(ge=low, le=high):
            return type(value) is int and _between(value, low, high)
        case inspect.FloatType(gt=above, ge=low, le=high):
            return (
                type(value) in (int, float)
                and _between(value, low, high)
                and (above is None or value > above)
            )
        case _:
            return False


def _between(value: float, low: float | None, high: float | None) -> bool:
    # Written so that NaN is never between.
    return (low is None or value >= low) and (high is None or value <= high)


def describe(kind: inspect.Type) -> str:
    """Say what a value of the type looks like, after `expected`."""
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType():
            return "text"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(str(value) for value in values)
        case inspect.IntType(ge=low, le=high):
            return "a whole number" + _range(low, high)
        case inspect.FloatType(gt=above, ge=low, le=high):
            if above is not None:
                return f"a number above {above:g} and up to {high}"
            return "a number" + _range(low, high)
        case inspect.ListType(item_type=inspect.StrType()):
            return 'a list of texts such as ["a", "b"]'
        case _:
            return "a list of tables"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" from {low} to {high}"


def shown(value: Any) -> str:
    """Return a value as a message shows it, cut short."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = f"the text {value!r}"
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a question for the known name nearest to a wrong one, or nothing."""
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""

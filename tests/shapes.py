"""Shapes of JSON answers: members with their types, compared with what a gateway really said.

A shape is a type (`str`, `int`, `float`, `bool`, `dict`, `list`, `None`), a predicate, a list of
one shape for all items, or a dict of members; a member whose name ends in `?` may be absent. A
union is written `(int, str)`. Members that a shape does not name are allowed, as JSON clients allow
them, unless it is an `Exactly`. A float may be a whole number; a bool is no number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Shape = Any


class Exactly(dict[str, Any]):
    """Members that are all there may be."""


def problems(value: Any, shape: Shape, at: str = "$") -> list[str]:
    """Return what does not fit, each with its place."""
    if shape is None:
        return [] if value is None else [f"{at}: {value!r} is not null"]
    if isinstance(shape, type):
        return [] if _is(value, shape) else [f"{at}: {value!r:.80} is no {shape.__name__}"]
    if isinstance(shape, tuple):
        found = [problems(value, one, at) for one in shape]
        return [] if [] in found else min(found, key=len)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{at}: {value!r:.80} is no list"]
        return [
            text for n, one in enumerate(value) for text in problems(one, shape[0], f"{at}[{n}]")
        ]
    if isinstance(shape, dict):
        return _members(value, shape, at)
    assert isinstance(shape, Callable)  # type: ignore[arg-type]
    return [] if shape(value) else [f"{at}: {value!r:.80} is not {shape.__name__}"]


def fits(value: Any, shape: Shape) -> None:
    """Fail unless a value has a shape."""
    found = problems(value, shape)
    assert not found, "\n".join(found)


def names(shape: Shape) -> set[str]:
    """Return the names of the members of an object's shape."""
    return {name.removesuffix("?") for name in shape}


def _is(value: Any, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    return isinstance(value, (int, float) if kind is float else kind)


def _members(value: Any, shape: dict[str, Shape], at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: {value!r:.80} is no object"]
    found = []
    for name, inner in shape.items():
        plain = name.removesuffix("?")
        if plain in value:
            found += problems(value[plain], inner, f"{at}.{plain}")
        elif plain == name:
            found.append(f"{at}.{name} is absent")
    if isinstance(shape, Exactly):
        found += [f"{at}.{name} is not expected" for name in value if name not in names(shape)]
    return found


# -- values that several shapes have


def serial(value: Any) -> bool:
    """12 hex digits, lower case."""
    return isinstance(value, str) and len(value) == 12 and not set(value) - set("0123456789abcdef")


def moment(value: Any) -> bool:
    """Epoch seconds of this century, not milliseconds and not 0."""
    return _is(value, int) and 1_000_000_000 < value < 5_000_000_000


def moment_or_never(value: Any) -> bool:
    """Epoch seconds, or 0."""
    return _is(value, int) and (value == 0 or moment(value))


def filled(value: Any) -> bool:
    """A text that is not empty."""
    return isinstance(value, str) and value != ""


def count(value: Any) -> bool:
    """A number from 0 on."""
    return _is(value, int) and value >= 0

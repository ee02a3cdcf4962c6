"""What a configuration would change, field by field (dry run)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

import msgspec

from gw.validation.problems import path_of

_UUID: Final = "uuid"
_DIGITS: Final = 1000
_NUMBERS: Final = (int, Decimal)
_Place = tuple[str | int, ...]


class Changes(msgspec.Struct):
    """Paths that differ; of a member that is new or gone as a whole only its own."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    omitted: int = 0
    """Further paths that are not listed."""


def changes(old: bytes, new: bytes, most: int) -> Changes:
    """Compare two configurations without their own `uuid`; `most` paths are listed.

    Both have passed `config_hash`; an empty one has no members. Numbers are compared by value,
    array entries by index.
    """
    found = Changes([], [], [])
    before, after = _decode(old), _decode(new)
    for document in (before, after):
        if isinstance(document, dict):
            document.pop(_UUID, None)
    _compare(before, after, (), found, most)
    return found


def _decode(text: bytes) -> Any:
    # Exact, as the content hash is; floats would call different numbers equal.
    return json.loads(text or b"{}", parse_int=_integer, parse_float=Decimal)


def _integer(literal: str) -> int | Decimal:
    # Python refuses to read integers of more than 4300 digits.
    return int(literal) if len(literal) < _DIGITS else Decimal(literal)


def _compare(old: Any, new: Any, place: _Place, found: Changes, most: int) -> None:
    """Recursion is bounded by `config_hash`, which takes 64 levels."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old:
            if name not in new:
                _note(found.removed, (*place, name), found, most)
        for name, value in new.items():
            if name not in old:
                _note(found.added, (*place, name), found, most)
            else:
                _compare(old[name], value, (*place, name), found, most)
    elif isinstance(old, list) and isinstance(new, list):
        shared = min(len(old), len(new))
        for index in range(shared):
            _compare(old[index], new[index], (*place, index), found, most)
        for index in range(shared, len(new)):
            _note(found.added, (*place, index), found, most)
        for index in range(shared, len(old)):
            _note(found.removed, (*place, index), found, most)
    elif not _same_kind(old, new) or old != new:
        _note(found.changed, place, found, most)


def _same_kind(old: object, new: object) -> bool:
    """Tell whether two values may be equal: to Python, true is 1 as well."""
    return type(old) is type(new) or (type(old) in _NUMBERS and type(new) in _NUMBERS)


def _note(paths: list[str], place: _Place, found: Changes, most: int) -> None:
    if len(found.added) + len(found.removed) + len(found.changed) < most:
        paths.append(path_of(place))
    else:
        found.omitted += 1

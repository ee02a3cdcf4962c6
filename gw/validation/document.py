"""Configurations decoded for the checks: exact enough to judge, and no number too large."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

_EXACT_DIGITS: Final = 19
_LARGEST: Final = sys.float_info.max


def decode(text: bytes) -> Any:
    """Decode a configuration whose form `config_hash` has accepted.

    Numbers that no double holds become the largest one: they are out of every range, but they
    are numbers, and an agent would read them so too.
    """
    return json.loads(text, parse_int=_integer, parse_float=_double)


def size(text: bytes) -> int:
    """Return an upper bound of the number of values in a configuration, without decoding it."""
    return text.count(b",") + text.count(b"[") + text.count(b"{") + 1


def _integer(literal: str) -> int | float:
    return int(literal) if len(literal) <= _EXACT_DIGITS else _double(literal)


def _double(literal: str) -> float:
    return max(-_LARGEST, min(_LARGEST, float(literal)))

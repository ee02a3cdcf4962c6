"""What is wrong with a configuration, and where: bounded, and without secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

_LONGEST_TEXT: Final = 200
_LONGEST_NAME: Final = 64
_LONGEST_VALUE: Final = 40
_SECRET: Final = re.compile(
    r"key|pass|secret|token|psk|private|credential|community|pin\b", re.IGNORECASE
)


class Problem(msgspec.Struct, frozen=True):
    """One finding: owgw's `context` and `description` (northbound.md 5), and a path of ours."""

    context: list[str]
    """Names and array indices from the root to the place."""
    description: str
    path: str
    """The same place as one text, such as `interfaces/0/ethernet/0/select-ports/1`."""


def problem(place: Sequence[str | int], description: str) -> Problem:
    """Return a finding about the place; names and texts are cut to a length for people."""
    names = [cut(str(one), _LONGEST_NAME) for one in place]
    return Problem(names, cut(description, _LONGEST_TEXT), path_of(names))


def path_of(place: Sequence[str | int]) -> str:
    """Return a place as one text; a slash in a name is written as in RFC 6901."""
    return "/".join(
        cut(str(one), _LONGEST_NAME).replace("~", "~0").replace("/", "~1") for one in place
    )


def cut(text: str, longest: int) -> str:
    """Return the text, or its start and `...`."""
    return text if len(text) <= longest else text[: longest - 3] + "..."


def shown(place: Sequence[str | int], value: object) -> str:
    """Return a value as a description may quote it; empty if it is a secret or not a scalar."""
    if any(isinstance(one, str) and _SECRET.search(one) for one in place):
        return ""
    if value is None or isinstance(value, (bool, int, float, str)):
        text = msgspec.json.encode(value).decode()
        return text if len(text) <= _LONGEST_VALUE else ""
    return ""

"""Query parameters, read as leniently as owgw does (northbound.md 2.5).

A route describes its parameters by a struct; a value that is not of a field's type counts as
absent, so that the default applies.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar.types import Scope

from gw.core.errors import ApiError

MAX_INTEGER: Final = 2**62
"""Larger numbers are cut to this: they still compare right, and every database takes them."""
_MAX_PARAMETERS: Final = 200
_MAX_DIGITS: Final = 18


class Query(msgspec.Struct, rename="camel", kw_only=True):
    """Base of the structs that describe a route's parameters."""


class Page(Query):
    """Which rows of a list."""

    offset: int = 0
    """Rows to skip."""
    limit: int = 100
    """Rows to return, at most."""


class CountedPage(Page):
    """A page, or only the number of rows."""

    count_only: bool = False
    """Answer only how many there are."""


class Dates(Page):
    """Rows of a time span: epoch seconds, inclusive; 0 is open."""

    start_date: int = 0
    """Epoch seconds, inclusive; 0: open."""
    end_date: int = 0
    """Epoch seconds, inclusive; 0: open."""
    newest: bool = False
    """Newest first, without regard to dates and offset."""


_Q = TypeVar("_Q", bound=Query)


def read(scope: Scope, kind: type[_Q]) -> _Q:
    """Return the parameters of a request. Raises ApiError 1018 if there are absurdly many."""
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("latin-1"),
            keep_blank_values=True,
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise ApiError(1018, f"more than {_MAX_PARAMETERS} parameters") from None
    parsers = _parsers(kind)
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in parsers:
            continue
        field, parse = parsers[name]
        if field not in values and (value := parse(text)) is not None:
            values[field] = value
    return kind(**values)


def bounded(limit: int, largest: int) -> int:
    """Return `limit`. Raises ApiError 1018 if it is above `largest`."""
    if limit > largest:
        raise ApiError(1018, f"limit may be {largest} at most")
    return limit


def chosen(select: list[str], largest: int) -> list[str]:
    """Return `select`. Raises ApiError 1018 if it names more than `largest` ids."""
    if len(select) > largest:
        raise ApiError(1018, f"select may name {largest} at most")
    return select


def integer(text: str) -> int | None:
    """Read a non-negative decimal number, cut to MAX_INTEGER."""
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0") or "0"
    return MAX_INTEGER if len(digits) > _MAX_DIGITS else int(digits)


def _boolean(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text)


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


_PARSE: Final[dict[Any, Callable[[str], Any]]] = {
    int: integer,
    bool: _boolean,
    str: str,
    list[str]: _names,
}


@functools.cache
def _parsers(kind: type[Query]) -> dict[str, tuple[str, Callable[[str], Any]]]:
    return {
        field.encode_name: (field.name, _PARSE[field.type])
        for field in msgspec.structs.fields(kind)
    }

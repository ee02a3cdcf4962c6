"""What the API document says about a route, written beside its handler."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from litestar.handlers import BaseRouteHandler

from gw.api.query import Query


class Combined(msgspec.Struct, frozen=True):
    """An answer that has the members of all, or of any, of some structs."""

    how: Literal["allOf", "anyOf"]
    types: tuple[type[msgspec.Struct], ...]


class Description(msgspec.Struct, frozen=True):
    """One operation of the API document."""

    summary: str
    tag: str
    answer: Any = None
    """Type (or Combined) of the JSON answer; None: the answer has no body."""
    query: type[Query] | None = None
    body: type[msgspec.Struct] | None = None
    details: str = ""
    status: int = 200
    public: bool = False
    """No token is needed."""
    media: str = ""
    """Content type of an answer that is not JSON."""
    also: tuple[tuple[int, str], ...] = ()
    """Further statuses without a body, and what they mean."""


def documented(
    summary: str,
    *,
    tag: str,
    answer: Any = None,
    query: type[Query] | None = None,
    body: type[msgspec.Struct] | None = None,
    details: str = "",
    status: int = 200,
    public: bool = False,
    media: str = "",
    also: tuple[tuple[int, str], ...] = (),
) -> dict[str, Any]:
    """Return the keyword arguments of a route decorator that describe the route."""
    description = Description(
        summary, tag, answer, query, body, details, status, public, media, also
    )
    return {
        "opt": {"description": description, "public": public},
        # The answers carry their own status; a decorator that knew 204 would refuse them.
        "status_code": 200,
        "include_in_schema": False,
    }


def description_of(handler: BaseRouteHandler) -> Description | None:
    """Return the description of a route; None if it is not for the document."""
    found: Description | None = handler.opt.get("description")
    return found

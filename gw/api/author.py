"""On whose behalf the present request is carried out: what the audit is told."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection

from gw.core.records import Author

_SECRET_PARAMETERS: Final = frozenset({"token"})
_KIND: Final = re.compile(r":\w+\}")

_author: ContextVar[Author | None] = ContextVar("author", default=None)


def current() -> Author | None:
    """Return the author of the present request; None outside of requests that have one."""
    return _author.get()


def begin(
    connection: ASGIConnection[Any, Any, Any, Any], *, author: str, role: str, via: str
) -> None:
    """Note who makes the present request."""
    scope = connection.scope
    path = _KIND.sub("}", str(scope.get("path_template", "")))
    values = [
        str(value)
        for name, value in scope.get("path_params", {}).items()
        if name not in _SECRET_PARAMETERS
    ]
    client = connection.client
    method = str(scope.get("method", "GET"))
    _author.set(
        Author(
            entry="",
            author=author,
            role=role,
            via=via,
            address=client.host if client else "",
            request=f"{method} {path}",
            target=" ".join(values),
        )
    )


def identify(author: str, role: str) -> None:
    """Note who it turned out to be, of a request that began without anybody: a sign-in."""
    known = _author.get()
    if known is not None:
        _author.set(msgspec.structs.replace(known, author=author, role=role))

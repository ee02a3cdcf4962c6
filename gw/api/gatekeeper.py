"""Who may pass: the guard of every route of a listener (northbound.md 2.1)."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gw.api.authentication import Authentication, Caller, bearer
from gw.core.errors import ApiError
from gw.security.internal_key import is_key

_NAME: Final = re.compile(r"[\x21-\x7e]{1,200}\Z")
"""Of a sister service: its public URL."""


class Gatekeeper:
    """Finds out who calls. One per listener.

    With `internal_key` it is a private listener: there, sister services that show the key are
    let in, with no user and no role.
    """

    def __init__(self, authentication: Authentication, *, internal_key: str = "") -> None:
        self._authentication = authentication
        self._internal_key = internal_key

    async def admit(
        self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        """Put the caller into the state of the request. Raises ApiError 7 to 9, 13 or 15."""
        if handler.opt.get("public"):
            return
        connection.scope["state"]["caller"] = await self._caller(connection)

    async def _caller(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
        name = connection.headers.get("x-internal-name", "")
        if self._internal_key and name:
            if not is_key(connection.headers.get("x-api-key", ""), self._internal_key):
                raise ApiError(8)
            return Caller("", name if _NAME.match(name) else "internal", "", internal=True)
        return await self._authentication.caller(bearer(connection))


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of every route: ask the gatekeeper of the listener."""
    gatekeeper: Gatekeeper = connection.app.state.gatekeeper
    await gatekeeper.admit(connection, handler)

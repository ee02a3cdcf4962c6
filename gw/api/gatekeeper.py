"""Who may pass: the guard of every route of a listener (northbound.md 2.1)."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gw.api import author, visibility
from gw.api.authentication import Authenticator, Caller, bearer
from gw.api.limits import Limits
from gw.core.errors import ApiError
from gw.security.internal_key import is_key
from gw.security.scopes import allows

_NAME: Final = re.compile(r"[\x21-\x7e]{1,200}\Z")
"""Of a sister service: its public URL."""
_INVALID: Final = 8


class Gatekeeper:
    """Finds out who calls. One per listener.

    With `internal_key` it is a private listener: there, sister services that show the key are
    let in, with no user and no role. `service` is the name that API keys' rights know it by.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        service: str,
        limits: Limits | None = None,
        *,
        internal_key: str = "",
        subscribers: Authenticator | None = None,
    ) -> None:
        """Without `limits` nobody's requests are counted.

        `subscribers` resolves the tokens of subscribers, who may call nothing but what is theirs.
        """
        self._subscribers = subscribers
        self._authenticator = authenticator
        self._service = service
        self._internal_key = internal_key
        self._limits = limits

    async def admit(
        self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        """Put the caller into the state of the request. Raises ApiError 7 to 10, 13 or 15."""
        if self._limits is not None:
            self._limits.check_address(connection.client.host if connection.client else "")
        if handler.opt.get("public"):
            author.begin(connection, author="", role="", via="sign-in")
            return
        caller = await self._caller(connection, subscribers="subscribers" in handler.opt)
        if self._limits is not None:
            self._limits.check_caller(caller)
        connection.scope["state"]["caller"] = caller
        visibility.seen_by(caller.role, email=caller.email, internal=caller.internal)
        via = "internal" if caller.internal else f"key {caller.key}" if caller.key else "token"
        author.begin(connection, author=caller.email, role=caller.role, via=via)

    async def _caller(
        self, connection: ASGIConnection[Any, Any, Any, Any], *, subscribers: bool
    ) -> Caller:
        key = connection.headers.get("x-api-key", "")
        name = connection.headers.get("x-internal-name", "")
        if self._internal_key and name:
            if not is_key(key, self._internal_key):
                raise ApiError(8)
            return Caller("", name if _NAME.match(name) else "internal", "", internal=True)
        if key and not self._internal_key:
            caller = await self._authenticator.key_caller(key)
            method = str(connection.scope.get("method", "GET"))
            if not allows(caller.levels, self._service, method):
                raise ApiError(7, "the rights of the API key do not reach this")
            return caller
        try:
            return await self._authenticator.caller(bearer(connection))
        except ApiError as error:
            if error.number != _INVALID or not subscribers or self._subscribers is None:
                raise
        return await self._subscribers.caller(bearer(connection))


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of every route: ask the gatekeeper of the listener."""
    gatekeeper: Gatekeeper = connection.app.state.gatekeeper
    await gatekeeper.admit(connection, handler)

"""Who is calling: bearer tokens, looked up by their hash, through a bounded cache."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any, Final

import msgspec
from litestar.connection import ASGIConnection

from gw.core.errors import ApiError
from gw.security.roles import Operation, may
from gw.security.tokens import token_hash
from gw.store.interface import Reader
from gw.store.rows import TokenRow, UserRow

CACHE_SIZE: Final = 10_000
CACHE_SECONDS: Final = 30.0
"""How long a change made by another process (`gw user`, another node) may go unnoticed."""
_MAX_TOKEN: Final = 256


class Caller(msgspec.Struct, frozen=True):
    """The user behind a request."""

    id: str
    """Empty for a sister service."""
    email: str
    """Of a sister service: the name that it gives itself."""
    role: str
    """Empty for a sister service: what demands a role is refused to it."""
    internal: bool = False
    """A sister service, not a user."""

    def require(self, operation: Operation) -> None:
        """Raise ApiError 7 unless the caller's role allows `operation`."""
        if not may(self.role, operation):
            raise ApiError(7)


class _Entry(msgspec.Struct, frozen=True):
    caller: Caller
    expires: int
    """End of the token: Unix time, seconds."""
    until: float
    """End of this entry: monotonic."""


class Authentication:
    """Resolves access tokens. One per api process, for both listeners."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._cache: OrderedDict[str, _Entry] = OrderedDict()
        self._epoch = 0

    async def caller(self, token: str) -> Caller:
        """Return the user of an access token.

        Raises ApiError 8 for an unknown token, 9 for an expired one, 15 for a suspended user.
        """
        if not token or len(token) > _MAX_TOKEN:
            raise ApiError(8)
        key = token_hash(token)
        entry = self._cache.get(key)
        if entry is None or entry.until < time.monotonic():
            entry = await self._look_up(key)
        else:
            self._cache.move_to_end(key)
        if entry.expires <= time.time():
            raise ApiError(9)
        return entry.caller

    async def _look_up(self, key: str) -> _Entry:
        epoch = self._epoch
        row: TokenRow | None = await self._reader.token(key)
        user: UserRow | None = None if row is None else await self._reader.user(row.user_id)
        if row is None or user is None:
            self._cache.pop(key, None)
            raise ApiError(8)
        if user.suspended:
            raise ApiError(15)
        entry = _Entry(
            Caller(user.id, user.email, user.role), row.expires, time.monotonic() + CACHE_SECONDS
        )
        # A token dropped while it was being read must not come back through the cache.
        if epoch == self._epoch:
            self._cache[key] = entry
            self._cache.move_to_end(key)
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return entry

    def forget(self, access_hash: str) -> None:
        """Drop a token from the cache: it was logged out or replaced."""
        self._epoch += 1
        self._cache.pop(access_hash, None)

    def forget_user(self, user_id: str) -> None:
        """Drop all tokens of a user from the cache: the user was changed or deleted."""
        self._epoch += 1
        for key in [k for k, entry in self._cache.items() if entry.caller.id == user_id]:
            del self._cache[key]


def bearer(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the token of the Authorization header; empty if there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""

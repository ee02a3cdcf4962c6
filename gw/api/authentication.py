"""Who is calling: tokens and API keys, looked up by their hash, through a bounded cache."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
from litestar.connection import ASGIConnection

from gw.core.errors import ApiError
from gw.security.roles import Operation, may
from gw.security.scopes import levels_of
from gw.security.tokens import token_hash
from gw.store.interface import Reader

CACHE_SIZE: Final = 10_000
CACHE_SECONDS: Final = 30.0
"""How long a change made by another process (`gw user`, another node) may go unnoticed."""
_MAX_TOKEN: Final = 256
_USE_SECONDS: Final = 60
"""The time of the last use of an API key is this precise."""
_KEY: Final = "key:"
"""Keeps API keys apart in the cache: they are no tokens."""


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
    key: str = ""
    """Name of the API key that was shown; empty: none was."""
    key_id: str = ""
    levels: dict[str, int] = {}
    """How far that key reaches: see gw.security.scopes."""

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


NoteUse = Callable[[str, int], None]
"""Told the id of an API key that was used, and when."""


def unnoted(_id: str, _now: int) -> None:
    """Take no note of the use of a key."""


class Authenticator(Protocol):
    """Who resolves tokens and keys: this gateway itself, or an external security service."""

    async def caller(self, token: str) -> Caller:
        """Return the user of an access token."""

    async def key_caller(self, key: str) -> Caller:
        """Return the owner of an API key."""

    def forget(self, access_hash: str) -> None:
        """Drop a token from the cache."""

    def forget_user(self, user_id: str) -> None:
        """Drop all tokens and keys of a user from the cache."""


class Authentication:
    """Resolves tokens and API keys out of the store. One per api process, for all listeners."""

    def __init__(self, reader: Reader, note_use: NoteUse = unnoted) -> None:
        self._reader = reader
        self._note_use = note_use
        self._cache: OrderedDict[str, _Entry] = OrderedDict()
        self._epoch = 0

    async def caller(self, token: str) -> Caller:
        """Return the user of an access token.

        Raises ApiError 8 for an unknown token, 9 for an expired one, 15 for a suspended user.
        """
        return await self._resolve(token, "", self._look_up)

    async def key_caller(self, key: str) -> Caller:
        """Return the owner of an API key, who may do what the key's rights allow.

        Raises ApiError as `caller` does.
        """
        return await self._resolve(key, _KEY, self._look_up_key)

    async def _resolve(
        self, secret: str, kind: str, look_up: Callable[[str, str], Awaitable[_Entry]]
    ) -> Caller:
        if not secret or len(secret) > _MAX_TOKEN:
            raise ApiError(8)
        hashed = token_hash(secret)
        entry = self._cache.get(kind + hashed)
        if entry is None or entry.until < time.monotonic():
            entry = await look_up(hashed, kind + hashed)
        else:
            self._cache.move_to_end(kind + hashed)
        if entry.expires <= time.time():
            raise ApiError(9)
        return entry.caller

    async def _look_up(self, hashed: str, place: str) -> _Entry:
        epoch = self._epoch
        row = await self._reader.token(hashed)
        user = None if row is None else await self._reader.user(row.user_id)
        if row is None or user is None:
            self._cache.pop(place, None)
            raise ApiError(8)
        if user.suspended:
            raise ApiError(15)
        return self._keep(place, epoch, Caller(user.id, user.email, user.role), row.expires)

    async def _look_up_key(self, hashed: str, place: str) -> _Entry:
        epoch = self._epoch
        row = await self._reader.api_key(hashed)
        user = None if row is None else await self._reader.user(row.user_id)
        if row is None or user is None:
            self._cache.pop(place, None)
            raise ApiError(8)
        if user.suspended:
            raise ApiError(15)
        now = int(time.time())
        if row.expires_on > now and now - row.last_use >= _USE_SECONDS:
            self._note_use(row.id, now)
        caller = Caller(
            user.id, user.email, user.role,
            key=row.name, key_id=row.id, levels=levels_of(row.rights),
        )  # fmt: skip
        return self._keep(place, epoch, caller, row.expires_on)

    def _keep(self, place: str, epoch: int, caller: Caller, expires: int) -> _Entry:
        entry = _Entry(caller, expires, time.monotonic() + CACHE_SECONDS)
        # What was dropped while it was being read must not come back through the cache.
        if epoch == self._epoch:
            self._cache[place] = entry
            self._cache.move_to_end(place)
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return entry

    def forget(self, access_hash: str) -> None:
        """Drop a token from the cache: it was logged out or replaced."""
        self._epoch += 1
        self._cache.pop(access_hash, None)

    def forget_user(self, user_id: str) -> None:
        """Drop all tokens and keys of a user: the user was changed or deleted."""
        self._epoch += 1
        for key in [k for k, entry in self._cache.items() if entry.caller.id == user_id]:
            del self._cache[key]


def bearer(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the token of the Authorization header; empty if there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""

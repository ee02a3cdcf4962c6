"""Changes to users and their sessions, made through the coordinator one at a time per user."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import msgspec

from gw.api.authentication import Authenticator
from gw.api.context import Context
from gw.core.errors import ApiError
from gw.security import tokens
from gw.store.rows import ApiKeyRow, TokenRow, UserRow


class Accounts:
    """Reads, changes and stores users and tokens. One per api process."""

    def __init__(self, context: Context, authentication: Authenticator) -> None:
        self._context = context
        self._authentication = authentication
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def exclusive(self, user_id: str) -> asyncio.Lock:
        """Return the lock that is held while a user or the user's sessions are changed."""
        return self._locks.setdefault(user_id, asyncio.Lock())

    @asynccontextmanager
    async def change(self, user_id: str) -> AsyncIterator[UserRow]:
        """Yield a user to be changed, and store it afterwards unless the block raises.

        The whole row is written, so that two changes at a time would lose one of them.
        """
        async with self.exclusive(user_id):
            row = await self._context.reader.user(user_id)
            if row is None:
                raise ApiError(404)
            yield row
            row.modified = int(time.time())
            arguments = {"row": msgspec.to_builtins(row)}
            await self._context.coordinator.request("user.put", arguments)
            self._authentication.forget_user(user_id)

    async def open_session(self, user: UserRow, *, refreshed: bool = False) -> tokens.Issued:
        """Make new tokens for a user, and store them."""
        issued = tokens.issue(
            user.id, self._context.settings.security, int(time.time()), refreshed=refreshed
        )
        arguments = {"row": msgspec.to_builtins(issued.row)}
        await self._context.coordinator.request("token.put", arguments)
        await self._bound_sessions(user.id)
        return issued

    async def _bound_sessions(self, user_id: str) -> None:
        """End the oldest sessions of a user who has more than there may be."""
        most = self._context.settings.security.max_sessions
        for row in (await self._context.reader.tokens_of(user_id))[:-most]:
            await self.close_session(row.access_hash)

    async def close_session(self, access_hash: str, token: str = "") -> None:
        """Drop a token; from here on it is not accepted.

        With the token itself, which nobody keeps, sister services are told to forget it.
        """
        request = self._context.coordinator.request
        await request("token.delete", {"access_hash": access_hash})
        self._authentication.forget(access_hash)
        if token:
            await request("token.removed", {"token": token})

    async def close_sessions(self, user_id: str, *, but: str = "") -> None:
        """Drop all tokens of a user; `but`: hash of the access token that stays."""
        request = self._context.coordinator.request
        kept = await self._context.reader.token(but) if but else None
        await request("token.delete", {"user_id": user_id})
        if kept is not None:
            await request("token.put", {"row": msgspec.to_builtins(kept)})
        self._authentication.forget_user(user_id)

    async def delete(self, user_id: str) -> None:
        """Delete a user with all tokens."""
        await self._context.coordinator.request("user.delete", {"id": user_id})
        self._authentication.forget_user(user_id)

    async def put_api_key(self, row: ApiKeyRow) -> None:
        """Store a new API key, or a changed one."""
        await self._context.coordinator.request("api_key.put", {"row": msgspec.to_builtins(row)})
        self._authentication.forget_user(row.user_id)

    async def delete_api_key(self, row: ApiKeyRow) -> None:
        """Delete an API key; from here on it is not accepted."""
        arguments = {"id": row.id, "user_id": row.user_id}
        await self._context.coordinator.request("api_key.delete", arguments)
        self._authentication.forget_user(row.user_id)

    async def put_avatar(self, user_id: str, media_type: str, image: bytes, now: int) -> None:
        """Store a picture; its date becomes the cache tag that the user's document shows."""
        arguments = {"user_id": user_id, "media_type": media_type, "modified": now}
        await self._context.coordinator.request("avatar.put", arguments, image)
        await self._tag_avatar(user_id, str(now))

    async def delete_avatar(self, user_id: str) -> None:
        """Delete a picture."""
        await self._context.coordinator.request("avatar.delete", {"user_id": user_id})
        await self._tag_avatar(user_id, "0")

    async def _tag_avatar(self, user_id: str, tag: str) -> None:
        async with self.change(user_id) as row:
            rest = msgspec.json.decode(row.document or "{}") | {"avatar": tag}
            row.document = msgspec.json.encode(rest).decode()

    async def session(self, access_token: str) -> TokenRow | None:
        """Return the stored session of an access token."""
        return await self._context.reader.token(tokens.token_hash(access_token))

"""Queries of the security service: API keys, mailed links, pictures, secrets, audit."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final, TypeVar

from gw.store import rows
from gw.store.pages import Paged
from gw.store.tables import TOKEN, USER, Shape

# ruff: noqa: S608 - column lists made from the rows; values are always bound

R = TypeVar("R", bound=rows.Row)

API_KEY: Final = Shape(rows.ApiKeyRow)
LINK: Final = Shape(rows.ActionLinkRow)
AVATAR: Final = Shape(rows.AvatarRow)
SECRET: Final = Shape(rows.SecretRow)
AUDIT: Final = Shape(rows.AuditRow)


class SecurityQueries(Paged):
    """The part of a `Reader` that the security service adds."""

    @abstractmethod
    async def _all(self, shape: Shape[R], sql: str, *values: Any) -> list[R]:
        """Return the rows of a SELECT of the columns of `shape`."""

    @abstractmethod
    async def _one(self, shape: Shape[R], table: str, key: str, value: str) -> R | None:
        """Return the row with a key."""

    async def subscriber(self, id: str) -> rows.UserRow | None:
        """One subscriber."""
        return await self._one(USER, "subscribers", "id", id)

    async def subscriber_by_email(self, email: str) -> rows.UserRow | None:
        """One subscriber, by lower-case e-mail."""
        return await self._one(USER, "subscribers", "email", email)

    async def subscribers(self, *, offset: int = 0, limit: int = 100) -> list[rows.UserRow]:
        """By e-mail."""
        return await self._page(USER, "subscribers", ("email",), offset, limit)

    async def tokens_of(self, user_id: str) -> list[rows.TokenRow]:
        """Sessions of a user, oldest first."""
        sql = f"SELECT {TOKEN.select()} FROM tokens WHERE user_id = ?"
        found = await self._all(TOKEN, sql, user_id)
        return sorted(found, key=lambda row: (row.created, row.expires))

    async def api_keys(self, user_id: str) -> list[rows.ApiKeyRow]:
        """API keys of a user, by name."""
        sql = f"SELECT {API_KEY.select()} FROM api_keys WHERE user_id = ? ORDER BY name"
        return await self._all(API_KEY, sql, user_id)

    async def api_key(self, key_hash: str) -> rows.ApiKeyRow | None:
        """One API key, by the hash of the key."""
        return await self._one(API_KEY, "api_keys", "key_hash", key_hash)

    async def action_link(self, link_hash: str) -> rows.ActionLinkRow | None:
        """One mailed link, by the hash of its id."""
        return await self._one(LINK, "action_links", "link_hash", link_hash)

    async def avatar(self, user_id: str) -> rows.AvatarRow | None:
        """Picture of a user."""
        return await self._one(AVATAR, "avatars", "user_id", user_id)

    async def secrets(self) -> list[rows.SecretRow]:
        """All secrets of the system, by name."""
        return await self._all(
            SECRET, f"SELECT {SECRET.select()} FROM system_secrets ORDER BY name"
        )

    async def audit(
        self,
        *,
        before: int = 0,
        limit: int = 100,
        author: str = "",
        target: str = "",
        start: int = 0,
        end: int = 0,
    ) -> list[rows.AuditRow]:
        """Entries, newest first; `before`: only those with a lower id. Bounds are inclusive."""
        conditions, values = ["true"], list[Any]()
        if before:
            conditions.append("id < ?")
            values.append(before)
        for name, value in (("author", author), ("target", target)):
            if value:
                conditions.append(f"{name} = ?")
                values.append(value)
        if start:
            conditions.append("recorded >= ?")
            values.append(start)
        if end:
            # Ids grow with time: the walk down begins at the last of the interval.
            conditions.append(
                "id <= (SELECT id FROM audit WHERE recorded <= ? "
                "ORDER BY recorded DESC, id DESC LIMIT 1)"
            )
            values.append(end)
        sql = (
            f"SELECT {AUDIT.select()} FROM audit WHERE {' AND '.join(conditions)} "
            "ORDER BY id DESC LIMIT ?"
        )
        return await self._all(AUDIT, sql, *values, limit)

"""Operations on what belongs to users: API keys, mailed links, pictures; secrets of the system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gw.coordinator.operations import Arguments, Operation
from gw.coordinator.work import Committer
from gw.store import rows
from gw.store import security_ops as ops
from gw.store.interface import Op


class Accounts:
    """An area; see gw.coordinator.operations. Users and sessions are in gw.coordinator.tables."""

    def __init__(self, work: Committer, announce_removal: Callable[[str], None]) -> None:
        """`announce_removal` tells sister services of a token that is not valid any more."""
        self._work = work
        self._announce_removal = announce_removal

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names."""
        return {
            "token.removed": self._token_removed,
            "subscriber.put": self._subscriber_put,
            "subscriber.delete": self._subscriber_delete,
            "api_key.put": self._api_key_put,
            "api_key.used": self._api_key_used,
            "api_key.delete": self._api_key_delete,
            "link.put": self._link_put,
            "link.delete": self._link_delete,
            "avatar.put": self._avatar_put,
            "avatar.delete": self._avatar_delete,
            "secret.put": self._secret_put,
            "secret.delete": self._secret_delete,
        }

    async def _write(self, op: Op, size: int = 1024) -> dict[str, Any]:
        self._work.write(op, size)
        await self._work.durable()
        return {}

    async def _token_removed(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        # Only a token that is none any more: what follows is read by others.
        self._work.then(lambda: self._announce_removal(arguments["token"]))
        return {}

    async def _subscriber_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.UserRow)
        return await self._write(ops.PutSubscriber(row))

    async def _subscriber_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._write(ops.DeleteSubscriber(arguments["id"]))

    async def _api_key_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.ApiKeyRow)
        return await self._write(ops.PutApiKey(row))

    async def _api_key_used(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._write(ops.SetApiKeyUse(arguments["id"], arguments["last_use"]))

    async def _api_key_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._write(ops.DeleteApiKey(arguments["id"], arguments["user_id"]))

    async def _link_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.ActionLinkRow)
        return await self._write(ops.PutActionLink(row))

    async def _link_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._write(ops.DeleteActionLinks(arguments["user_id"]))

    async def _avatar_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = rows.AvatarRow(
            user_id=arguments["user_id"],
            media_type=arguments["media_type"],
            image=body,
            modified=arguments["modified"],
        )
        return await self._write(ops.PutAvatar(row), len(body))

    async def _avatar_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._write(ops.DeleteAvatar(arguments["user_id"]))

    async def _secret_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = rows.SecretRow(name=arguments["name"], value=arguments["value"])
        return await self._write(ops.PutSecret(row))

    async def _secret_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._write(ops.DeleteSecret(arguments["name"]))

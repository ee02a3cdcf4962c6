"""Operations on small tables: default configurations, the blacklist, users and their tokens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gw._native import config_hash
from gw.coordinator.handlers import Handlers
from gw.coordinator.links import Links
from gw.coordinator.operations import Arguments, Operation
from gw.coordinator.presence import Presence
from gw.coordinator.work import Committer
from gw.store import interface, rows
from gw.store.interface import Op

_POLICY_VIOLATION: Final = 1008


class Tables:
    """An area; see gw.coordinator.operations."""

    def __init__(
        self, work: Committer, links: Links, presence: Presence, handlers: Handlers
    ) -> None:
        self._work = work
        self._links = links
        self._presence = presence
        self._handlers = handlers

    def operations(self) -> Mapping[str, Operation]:
        """The operations by their names."""
        return {
            "default_configuration.put": self._default_put,
            "default_configuration.delete": self._default_delete,
            "blacklist.put": self._blacklist_put,
            "blacklist.delete": self._blacklist_delete,
            "script.put": self._script_put,
            "script.delete": self._script_delete,
            "user.put": self._user_put,
            "user.delete": self._user_delete,
            "token.put": self._token_put,
            "token.delete": self._token_delete,
        }

    async def _put(self, *ops: Op) -> dict[str, Any]:
        for op in ops:
            self._work.write(op, 1024)
        await self._work.durable()
        return {}

    async def _default_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.DefaultConfigurationRow)
        if body:
            row.configuration = body.decode()
        config_hash(row.configuration.encode())
        self._handlers.defaults[row.name] = row
        return await self._put(interface.PutDefaultConfiguration(row))

    async def _default_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        self._handlers.defaults.pop(arguments["name"], None)
        return await self._put(interface.DeleteDefaultConfiguration(arguments["name"]))

    async def _blacklist_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.BlacklistRow)
        serial = row.serial_number
        self._handlers.blacklist[serial] = row
        self._handlers.admission.drop(serial, "blacklisted")
        session = self._presence.of(serial)
        if session is not None:
            now = int(time.time())
            self._handlers.announcer.blacklisted(session.address, row, now)
            self._work.then(
                lambda: self._links.close(session.id, serial, _POLICY_VIOLATION, "blacklisted")
            )
        return await self._put(interface.PutBlacklist(row))

    async def _blacklist_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        self._handlers.blacklist.pop(arguments["serial"], None)
        return await self._put(interface.DeleteBlacklist(arguments["serial"]))

    async def _script_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.ScriptRow)
        return await self._put(interface.PutScript(row))

    async def _script_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._put(interface.DeleteScript(arguments["id"]))

    async def _user_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.UserRow)
        return await self._put(interface.PutUser(row))

    async def _user_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._put(interface.DeleteUser(arguments["id"]))

    async def _token_put(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        row = msgspec.convert(arguments["row"], rows.TokenRow)
        return await self._put(interface.PutToken(row))

    async def _token_delete(self, arguments: Arguments, body: bytes) -> dict[str, Any]:
        return await self._put(
            interface.DeleteTokens(arguments.get("access_hash", ""), arguments.get("user_id", ""))
        )

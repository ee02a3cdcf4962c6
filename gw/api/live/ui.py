"""`/ws`: notifications for UIs, and their search for serial numbers (northbound.md 4.11)."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from gw.api.authentication import Authenticator, Caller
from gw.api.live.hub import Hub
from gw.api.live.sockets import Socket
from gw.api.live.viewer import NORMAL, Viewer
from gw.core.errors import ApiError
from gw.security.roles import Operation, may
from gw.store.errors import StoreError
from gw.store.interface import Reader

NOTIFICATIONS: Final = {
    1: "log",
    1000: "device_connections_statistics",
    2000: "device_configuration_upgrade",
    3000: "device_firmware_upgrade",
    4000: "device_connection",
    5000: "device_disconnection",
    6000: "device_statistics",
}
_FOUND: Final = 50
_PATTERN: Final = re.compile(r"\*?[0-9a-f]{1,12}\Z")
_NOT_JSON: Final = 1007
_MAX_MUTED: Final = 100
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def _text(value: Any) -> str:
    return _encode(value).decode()


class UiRoute:
    """Sockets of UIs. On the security service's listener there is only the log."""

    stream = "notice"

    def __init__(
        self, authenticator: Authenticator, reader: Reader, hub: Hub, *, devices: bool = True
    ) -> None:
        self._authenticator = authenticator
        self._reader = reader
        self._hub = hub
        self._devices = devices

    async def serve(self, socket: Socket) -> None:
        """Serve one UI: its token comes first, as text."""
        await socket.accept()
        signed_in = await socket.first_token(self._authenticator)
        if signed_in is None:
            return
        token, caller = signed_in
        if not self._hub.enter_user(caller.id):
            await socket.refuse("limit", ApiError(10, "too many sockets of one user"))
            return
        viewer = self._hub.viewer(self.stream)
        try:
            await self._serve(socket, viewer, token, caller)
        finally:
            self._hub.leave_user(caller.id)

    async def _serve(self, socket: Socket, viewer: Viewer, token: str, caller: Caller) -> None:
        types = NOTIFICATIONS if self._devices else {1: NOTIFICATIONS[1]}
        welcome = {
            "notificationTypes": [{"id": number, "helper": name} for number, name in types.items()],
            "success": f"Welcome, {caller.email}.",
        }
        viewer.put(_text(welcome))  # before anything else can come
        if self._devices:
            self._hub.add_notices(viewer)
        if may(caller.role, Operation.READ_LOG):
            self._hub.add_logs(viewer)
        try:
            await self._hub.settled()

            async def heard(text: str) -> None:
                await self._heard(viewer, text)

            await socket.serve(viewer, heard, lambda: self._authenticator.caller(token))
        finally:
            self._hub.remove_notices(viewer)
            self._hub.remove_logs(viewer)

    async def _heard(self, viewer: Viewer, text: str) -> None:
        try:
            frame = _decode(text)
        except (msgspec.DecodeError, RecursionError):
            self._hub.refused("malformed")
            viewer.end(_NOT_JSON)
            return
        if not isinstance(frame, dict):
            viewer.put(_text({"error": "a frame is a JSON object"}))
        elif "drop-notifications" in frame:
            self._mute(viewer, frame["drop-notifications"])
        elif "command" not in frame:
            viewer.put("{}")
        elif frame["command"] == "serial_number_search" and self._devices:
            viewer.put(_text(await self._search(frame.get("serial_prefix"))))
        elif frame["command"] == "exit":
            viewer.put(_text({"success": "Goodbye."}))
            viewer.end(NORMAL)
        else:
            viewer.put(_text({"error": "unknown command"}))

    @staticmethod
    def _mute(viewer: Viewer, types: object) -> None:
        given = types if isinstance(types, list) else []
        if len(given) > _MAX_MUTED or not all(type(one) is int for one in given):
            viewer.put(_text({"error": "drop-notifications is a list of numbers"}))
            return
        viewer.muted = frozenset(given)

    async def _search(self, prefix: object) -> dict[str, object]:
        text = prefix.strip().lower() if isinstance(prefix, str) else ""
        if not _PATTERN.match(text):
            return {"error": "serial_prefix: 1 to 12 hexadecimal digits, a leading * for suffixes"}
        try:
            if text.startswith("*"):
                found = await self._reader.serial_numbers(suffix=text[1:], limit=_FOUND)
            else:
                found = await self._reader.serial_numbers(prefix=text, limit=_FOUND)
        except StoreError:
            return {"error": ApiError(1002).description}
        return {"serialNumbers": found}

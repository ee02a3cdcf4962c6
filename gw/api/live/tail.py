"""`/device/{serialNumber}/tail`: every message from and to one device, as it comes and goes.

An addition to owgw's API. What a device tells and is told may hold passwords, so it is for
administrators. A viewer that is too slow misses messages, and is told how many.
"""

from __future__ import annotations

import msgspec

from gw.api.authentication import Authenticator
from gw.api.context import Context
from gw.api.live.hub import Hub
from gw.api.live.sockets import RefusedError, Socket
from gw.core.errors import ApiError
from gw.core.ids import normalize_serial
from gw.security.roles import Operation


class TailRoute:
    """Sockets of tails. The first frame is `token:<access token>`, as for UIs."""

    stream = "tail"

    def __init__(self, context: Context, authenticator: Authenticator, hub: Hub) -> None:
        self._context = context
        self._authenticator = authenticator
        self._hub = hub

    async def serve(self, socket: Socket) -> None:
        """Serve one viewer until it goes."""
        try:
            serial = normalize_serial(socket.path.split("/")[-2])
        except ValueError as error:
            raise RefusedError(400, "unknown", ApiError(1001, str(error))) from None
        await socket.accept()
        signed_in = await socket.first_token(self._authenticator)
        if signed_in is None:
            return
        token, caller = signed_in
        try:
            caller.require(Operation.TAIL_DEVICE)
        except ApiError as error:
            await socket.refuse("role", error)
            return
        if await self._context.reader.device(serial) is None:
            await socket.refuse("unknown", ApiError(404))
            return
        if not self._hub.enter_user(caller.id):
            await socket.refuse("limit", ApiError(10, "too many sockets of one user"))
            return
        try:
            await self._serve(socket, serial, token)
        finally:
            self._hub.leave_user(caller.id)

    async def _serve(self, socket: Socket, serial: str, token: str) -> None:
        viewer = self._hub.viewer(self.stream, lossy=True)
        if not self._hub.add_tail(viewer, serial):
            await socket.refuse("limit", ApiError(10, "too many devices are looked at"))
            return
        try:
            await self._hub.settled()
            live = await self._context.coordinator.request("device.status", {"serials": [serial]})
            connected = serial in live.result["statuses"]
            start = {"tail": {"serialNumber": serial, "connected": connected}}
            viewer.put(msgspec.json.encode(start).decode())

            async def still() -> None:
                caller = await self._authenticator.caller(token)
                caller.require(Operation.TAIL_DEVICE)

            async def heard(_: str) -> None:
                """Nothing is asked of it."""

            await socket.serve(viewer, heard, still)
        finally:
            self._hub.remove_tail(viewer, serial)

"""`/ws_telemetry`: live telemetry of a device to whoever has the URL (northbound.md 4.10)."""

from __future__ import annotations

from typing import Final

from gw.api.context import Context
from gw.api.live.hub import Hub
from gw.api.live.sockets import RefusedError, Socket
from gw.api.live.viewer import TOO_BIG
from gw.core.errors import ApiError
from gw.core.ids import normalize_serial

MAX_INBOUND: Final = 2048
"""Largest frame of a viewer; what it says is ignored."""


class TelemetryRoute:
    """Sockets of telemetry. The pair of subscription and serial number is the permission."""

    stream = "telemetry"

    def __init__(self, context: Context, hub: Hub) -> None:
        self._coordinator = context.coordinator
        self._hub = hub

    async def serve(self, socket: Socket) -> None:
        """Serve one viewer, until its subscription is over."""
        subscription = socket.query.get("uuid", "")
        try:
            serial = normalize_serial(socket.query.get("serialNumber", ""))
            await self._coordinator.request(
                "telemetry.viewer", {"uuid": subscription[:64], "serial": serial}
            )
        except (ApiError, ValueError) as error:
            away = isinstance(error, ApiError) and error.http == 503
            raise RefusedError(503 if away else 400, "unknown") from None
        await socket.accept()
        socket.known()
        viewer = self._hub.viewer(self.stream)
        self._hub.add_telemetry(viewer, serial, subscription)
        try:

            async def heard(text: str) -> None:
                if len(text) > MAX_INBOUND:
                    viewer.end(TOO_BIG)

            await socket.serve(viewer, heard)
        finally:
            self._hub.remove_telemetry(viewer, serial, subscription)

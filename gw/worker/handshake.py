"""TLS handshakes of a device listener, by the native transport or by uvloop's."""

from __future__ import annotations

import asyncio
import socket

from picows.picows import WSProtocol  # type: ignore[attr-defined]  # as picows.api does

from gw import _native
from gw.core.listeners import ListenerSettings
from gw.worker import tls

try:
    from gw._native.tls import Connection, ServerContext
except ImportError:  # built without OpenSSL's headers, or its library is not here
    available = False
else:
    available = _native.native
"""Whether the native transport is there and wanted (not with GW_PURE_PYTHON=1)."""

_SHUTDOWN_SECONDS = 2.0


class ServerTls:
    """Certificate, key and authorities of a listener, as they are on disk now."""

    def __init__(self, settings: ListenerSettings) -> None:
        """Raises ValueError, which names the setting, if a file cannot be used."""
        self._context = tls.server_context(settings)
        self._native: ServerContext | None = None
        if available:
            self._native = ServerContext(
                settings.certificate, settings.key, settings.ca, settings.crl or ""
            )

    async def accept(
        self, connection: socket.socket, protocol: WSProtocol, seconds: float
    ) -> asyncio.Transport:
        """Do the handshake on an accepted socket; return the transport of `protocol`.

        Raises OSError (ssl.SSLError among them), or TimeoutError after `seconds`.
        """
        loop = asyncio.get_running_loop()
        if self._native is not None:
            transport: asyncio.Transport = Connection(self._native, connection, loop)
            async with asyncio.timeout(seconds):
                await transport.handshake(protocol)  # type: ignore[attr-defined]
            return transport
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=self._context,
            ssl_handshake_timeout=seconds,
            ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        return transport

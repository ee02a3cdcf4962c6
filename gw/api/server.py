"""HTTP servers of the api process: uvicorn on inherited sockets, with limits of our own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn
from cryptography import x509
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_log = structlog.get_logger("gw.api.server")

HEADER_BYTES: Final = 65_536
"""Request line and headers of one request, at most."""
HEADER_SECONDS: Final = 30.0
"""How long a connection may be without a complete request head, also just after its accept."""
KEEP_ALIVE_SECONDS: Final = 30
MAX_CONNECTIONS: Final = 4096
"""Connections of one listener above which requests are answered 503."""


class Certificate:
    """Server certificate of the listeners, and when it ends."""

    def __init__(self, file: str, key: str) -> None:
        """Load the files. Raises OSError, ssl.SSLError or ValueError if they cannot be used."""
        self.file = file
        self._key = key
        self.context = _context()
        self.expires = 0
        self._load()

    def reload(self) -> None:
        """Use the files as they are now for new connections; keep the old if they are unusable."""
        try:
            # In a context that nobody uses: a half loaded pair would refuse every handshake.
            _context().load_cert_chain(self.file, self._key)
            self._load()
        except (OSError, ValueError) as error:
            _log.error("certificate not reloaded", file=self.file, error=str(error))
            return
        _log.info("certificate reloaded", file=self.file)

    def _load(self) -> None:
        self.context.load_cert_chain(self.file, self._key)
        leaf = x509.load_pem_x509_certificate(Path(self.file).read_bytes())
        self.expires = int(leaf.not_valid_after_utc.timestamp())


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a limit on the size and the time of a request head."""

    _head_bytes = 0
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head is longer than it may be."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("Request head too large.")

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        if not self._in_head:
            self._in_head = True
            self._head_bytes = 0
            self._await_head()

    def on_headers_complete(self) -> None:
        """Note that a head is complete."""
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._stop_timer()
        self._head_timer = self.loop.call_later(HEADER_SECONDS, self._head_overdue)

    def _head_overdue(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Listener(uvicorn.Server):
    """One server on one inherited socket. Signals are left to the process."""

    def __init__(
        self,
        app: Any,
        sock: socket.socket,
        certificate: Certificate | None,
        *,
        drain_seconds: float,
    ) -> None:
        config = uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, int(drain_seconds)),
            limit_concurrency=MAX_CONNECTIONS,
            backlog=2048,
            ssl_context_factory=(
                None if certificate is None else lambda _config, _default: certificate.context
            ),
        )
        config.load()
        super().__init__(config)
        self._sock = sock
        self._began = asyncio.Event()

    async def run_until_stopped(self) -> None:
        """Serve until `stop`, then let requests under way finish, within the drain time."""
        await self.serve(sockets=[self._sock])

    async def wait_started(self) -> None:
        """Return once connections are accepted."""
        await self._began.wait()

    def stop(self) -> None:
        """Accept nothing more and end."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        await super().startup(sockets)
        self._began.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signal handlers alone: several servers share this process."""
        yield

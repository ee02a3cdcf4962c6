"""HTTP servers of the api process: uvicorn on inherited sockets, with limits of our own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
import uvicorn
from cryptography import x509
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gw.api.edge import Observe, unobserved
from gw.api.envelope import Failure
from gw.core.errors import ApiError
from gw.core.settings import Streams
from gw.core.watched_files import Signature, WatchedFiles

_log = structlog.get_logger("gw.api.server")

HEADER_BYTES: Final = 65_536
"""Request line and headers of one request, at most."""
HEADER_SECONDS: Final = 30.0
"""How long a connection may be without a complete request head, also just after its accept."""
BODY_SECONDS: Final = 60.0
"""How long a body may take, whether or not somebody reads it."""
UPLOAD_SECONDS: Final = 330.0
"""The same for the files of devices; the application gives up earlier, with an answer."""
LINGER_SECONDS: Final = 5.0
"""How long the rest of a body is still taken after its request was answered."""
WRITE_SECONDS: Final = 30.0
"""In each such time a client must take some 64 KiB of an answer that waits for it."""
MAX_CONNECTIONS: Final = 4096
"""Connections of one listener above which requests are answered 503."""

_NOT_UNDERSTOOD: Final = 1050
_encode = msgspec.json.Encoder().encode


class Certificate:
    """Server certificate of the listeners, and when it ends."""

    def __init__(
        self, file: str, key: str, reloaded: Callable[[bool], object] = lambda good: None
    ) -> None:
        """Load the files. Raises OSError, ssl.SSLError or ValueError if they cannot be used.

        `reloaded` is told of each time that they are read again, and whether it went well.
        """
        self._reloaded = reloaded
        self.file = file
        self._key = key
        self.context = _context()
        self.expires = 0
        self._files = WatchedFiles((file, key))
        self._refused: Signature | None = None
        """The files that could not be used."""
        self._load()

    def reload(self) -> None:
        """Use the files as they are now for new connections; keep the old if they are unusable."""
        before = self._files.signature()
        try:
            # In a context that nobody uses: a half loaded pair would refuse every handshake.
            _context().load_cert_chain(self.file, self._key)
            self._load()
        except (OSError, ValueError) as error:
            self._refused = before
            self._reloaded(False)
            _log.error("certificate not reloaded", file=self.file, error=str(error))
            return
        self._refused = None
        self._files.take(before)
        self._reloaded(True)
        _log.info("certificate reloaded", file=self.file)

    async def follow(self, seconds: float) -> None:
        """Look every `seconds` whether the files have changed, for ever.

        What cannot be used is logged once, and read again when it changes: it may be half written.
        """
        while True:
            await asyncio.sleep(seconds)
            now = self._files.signature()
            if self._files.changed() and now != self._refused:
                self.reload()

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
    """uvicorn's protocol, with limits on the size of a head and on every wait for the client.

    At any time one of these holds: a head is awaited, a body is awaited, an answer is being
    made, or an answer is being read; all but the making have a timer here.
    """

    observe: Observe = staticmethod(unobserved)
    """Told of what is refused before there is a request; set by the listener."""

    body_seconds = BODY_SECONDS

    _head_bytes = 0
    _in_head = True
    _in_body = False
    _refused = False
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._close_in(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, unless the head is longer than it may be."""
        if self._refused:
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEADER_BYTES:
            self._refused = True
        if self._refused and not self.transport.is_closing():
            self.send_400_response(f"the head has more than {HEADER_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, in the shape of every other refusal, and close."""
        self._refused = True
        self.observe(400, 0.0)
        body = _encode(Failure(400, "", ApiError(_NOT_UNDERSTOOD, msg).description))
        self.transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        if not self._in_head:
            self._in_head = True
            self._head_bytes = 0
        if not self._in_body:
            self._close_in(HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        """Note that a head is complete, and begin to wait for the body."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEADER_BYTES or self._refused:
            # It came in one piece, so that nobody could stop it before.
            self._refused = True
            return
        self._in_head = False
        self._head_bytes = 0
        if self._upgrades():
            super().on_headers_complete()
            return
        self._in_body = True
        self._close_in(self.body_seconds)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, unless its head was refused."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop waiting for the body; if it is answered already, wait for the next head."""
        if self._refused or self._upgrades():
            return
        self._in_body = False
        self._stop_timer()
        if self.cycle.response_complete:
            self._await_next()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next head; for the rest of a body that nobody reads only a moment."""
        waiting = bool(self.pipeline)
        super().on_response_complete()
        if self._in_body and not waiting:
            self._close_in(LINGER_SECONDS)
        elif not waiting and not self._in_head:
            self._await_next()

    def pause_writing(self) -> None:
        """See to it that a client that does not read its answer is not waited for forever."""
        super().pause_writing()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self._unread)

    def resume_writing(self) -> None:
        """Stop watching."""
        self._stop_write_timer()
        super().resume_writing()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; its waits are bounded there."""
        self._stop_timer()
        self._stop_write_timer()
        super().handle_websocket_upgrade()

    def _upgrades(self) -> bool:
        return self.parser.should_upgrade() and self._should_upgrade()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if app is not self.app:
            # uvicorn's own answer to too many connections: it goes through ours instead.
            cycle.scope["state"]["overloaded"] = True
        super()._start_asgi_task(cycle, self.app)

    def _await_next(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._close_in(HEADER_SECONDS)

    def _unread(self) -> None:
        self._write_timer = None
        self.transport.abort()

    def _close_in(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self._overdue)

    def timeout_keep_alive_handler(self) -> None:
        """Do nothing: uvicorn's timer would cut off an answer that is still being read."""

    def _overdue(self) -> None:
        self._timer = None
        if self._write_timer is not None:
            self._close_in(WRITE_SECONDS)
        elif not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol; a client that reads nothing for long is cut off."""

    _write_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._stop_write_timer()
        self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        self._stop_write_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_write_timer()
        super().connection_lost(exc)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


class Listener(uvicorn.Server):
    """One server on one inherited socket. Signals are left to the process."""

    def __init__(
        self,
        app: Any,
        sock: socket.socket,
        certificate: Certificate | None,
        *,
        drain_seconds: float,
        body_seconds: float = BODY_SECONDS,
        observe: Observe = unobserved,
        streams: Streams | None = None,
    ) -> None:
        """With `streams`, WebSockets are served as well."""
        members = {"observe": staticmethod(observe), "body_seconds": body_seconds}
        protocol = type("Protocol", (BoundedProtocol,), members)
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none" if streams is None else BoundedWebSocket,
            ws_max_size=0 if streams is None else streams.max_message_bytes,
            ws_ping_interval=None if streams is None else streams.ping_seconds,
            ws_ping_timeout=None if streams is None else streams.ping_seconds,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
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

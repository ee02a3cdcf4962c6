"""The agent's websocket: one client connection, with the habits of its library."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

SUBPROTOCOL: Final = "ucentral-broker"
_END_SECONDS: Final = 5.0
MAX_FRAME: Final = 32 * 1024 * 1024
"""Far above what an agent can take, so that the device can tell what was too much."""


class Closed(msgspec.Struct, frozen=True):
    """How a connection ended."""

    code: int | None
    """Of the peer's close frame; None when the connection was cut without one."""
    reason: str
    by: str
    """"peer", "device" or "lost"."""


class Owner(Protocol):
    """What the connection tells its device."""

    def frame_received(self, kind: WSMsgType, payload: bytes, whole: bool) -> None:
        """Take a text, binary or continuation frame."""

    def connection_closed(self, link: Link, closed: Closed) -> None:
        """Take note of the end; called once."""


class Link(WSListener):
    """One connection of a device."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._owner = owner
        self.transport: WSTransport | None = None
        self.closed: asyncio.Future[Closed] = loop.create_future()
        self.writable = asyncio.Event()
        self.writable.set()
        self._closing = False
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._ping_number = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """See picows."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """See picows."""
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif kind == WSMsgType.PONG:
            waiter = self._pings.pop(frame.get_payload_as_bytes(), None)
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        else:
            self._owner.frame_received(kind, frame.get_payload_as_bytes(), frame.fin)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """See picows."""
        self.writable.set()
        for waiter in self._pings.values():
            if not waiter.done():
                waiter.cancel()
        self._pings.clear()
        handshake = transport.close_handshake
        received = None if handshake is None else handshake.recv
        by = "device" if self._closing else "lost" if received is None else "peer"
        # Codes from 3000 on are no members of the library's enumeration, but plain numbers.
        code: Any = None if received is None else received.code
        code = None if code is None else int(getattr(code, "value", code))
        closed = Closed(code, "" if received is None else received.reason or "", by)
        if not self.closed.done():
            self.closed.set_result(closed)
        self._owner.connection_closed(self, closed)

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        """See picows: only the answer to the library's own ping, which is empty, is its."""
        return bool(frame.msg_type == WSMsgType.PONG and frame.payload_size == 0)

    def pause_writing(self) -> None:
        """See picows."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """See picows."""
        self.writable.set()

    def pause_reading(self) -> None:
        """Read nothing more, PINGs neither."""
        if self.transport is not None:
            self.transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self.transport is not None and not self.closed.done():
            self.transport.underlying_transport.resume_reading()

    def send(self, kind: WSMsgType, payload: bytes, *, fin: bool = True) -> None:
        """Send one frame; raises ConnectionError when there is no connection."""
        if self.transport is None or self._closing or self.closed.done():
            raise ConnectionError("the device is not connected")
        self.transport.send(kind, payload, fin)

    async def ping(self, deadline: float) -> None:
        """Send a PING and wait for its PONG; frames sent before it have then been read."""
        self._ping_number += 1
        payload = b"%d" % self._ping_number
        waiter = asyncio.get_running_loop().create_future()
        self._pings[payload] = waiter
        try:
            self.send(WSMsgType.PING, payload)
            async with asyncio.timeout(deadline):
                await waiter
        except asyncio.CancelledError:
            if waiter.cancelled() and self.closed.done():
                raise ConnectionError("the connection was lost before the PONG") from None
            raise
        finally:
            self._pings.pop(payload, None)

    def close(self, code: int) -> None:
        """Start the closing handshake; the peer's answer ends the connection."""
        if self.transport is not None and not self.closed.done():
            self._closing = True
            self.transport.send_close(WSCloseCode(code))

    def cut(self) -> None:
        """Drop the connection without a close frame."""
        if self.transport is not None and not self.closed.done():
            self._closing = True
            self.transport.disconnect(graceful=False)

    async def end(self) -> Closed:
        """Drop the connection, and count it as lost if its end is not told in time."""
        self.cut()
        try:
            async with asyncio.timeout(_END_SECONDS):
                return await asyncio.shield(self.closed)
        except TimeoutError:
            closed = Closed(None, "", "device")
            if not self.closed.done():
                self.closed.set_result(closed)
            self._owner.connection_closed(self, closed)
            return closed


async def open_link(
    owner: Owner,
    host: str,
    port: int,
    *,
    context: ssl.SSLContext | None,
    path: str,
    deadline: float,
    idle_ping: float,
    preamble: bytes,
    source: str = "",
) -> Link:
    """Connect and upgrade; raises OSError, ssl.SSLError, TimeoutError or WSError.

    `context` None means no TLS. `preamble` is written before TLS, for a PROXY header.
    `source` is the address to connect from; empty: the system chooses.
    """
    loop = asyncio.get_running_loop()
    bare = host.strip("[]")
    authority = f"[{bare}]" if ":" in bare else bare
    options: dict[str, Any] = {}
    made: list[socket.socket] = []
    if preamble or source:
        options["socket_factory"] = _socket_factory(bare, port, preamble, source, made)
    link = Link(owner, loop)
    connecting = asyncio.ensure_future(
        ws_connect(
            lambda: link,
            f"{'ws' if context is None else 'wss'}://{authority}:{port}{path}",
            ssl_context=context,
            websocket_handshake_timeout=deadline,
            # Both agents write Host and Origin without the port.
            extra_headers={
                "Host": authority,
                "Origin": authority,
                "Sec-WebSocket-Protocol": SUBPROTOCOL,
            },
            max_frame_size=MAX_FRAME,
            max_redirects=0,
            read_buffer_init_size=4096,
            enable_auto_ping=idle_ping > 0,
            auto_ping_idle_timeout=idle_ping or 10,
            auto_ping_reply_timeout=10,
            **options,
        )
    )
    try:
        async with asyncio.timeout(deadline):
            await asyncio.shield(connecting)
    except BaseException:
        # Cancelled between TLS and upgrade, picows would leave its transport behind.
        await asyncio.wait([connecting], timeout=_END_SECONDS)
        if not connecting.done():
            connecting.cancel()
        elif not connecting.cancelled() and connecting.exception() is None:
            connecting.result()[0].disconnect(graceful=False)
        for sock in made:  # it was ours, and asyncio leaves it open
            sock.close()
        raise
    if link.transport is None:
        # picows returns also for a connection that ended together with its upgrade.
        raise ConnectionResetError("the connection ended with the upgrade")
    return link


def _socket_factory(
    host: str, port: int, preamble: bytes, source: str, made: list[socket.socket]
) -> Callable[[Any], Any]:
    """Return what makes connected sockets, and puts them into `made`."""

    async def connected(_url: Any) -> socket.socket:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        made.append(sock)
        try:
            sock.setblocking(False)
            if source:
                sock.bind((source, 0))
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, preamble)
        except BaseException:
            sock.close()
            raise
        return sock

    return connected

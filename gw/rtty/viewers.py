"""The browsers' end: the page of a session, and its WebSocket at the same address."""

from __future__ import annotations

import asyncio
import http
import time
from typing import Final
from urllib.parse import urlsplit

import msgspec
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from gw.core.settings import Settings
from gw.ops import logs
from gw.rtty.accept import Stranger
from gw.rtty.counters import Counters
from gw.rtty.frames import FrameError
from gw.rtty.peer import LINGER_SECONDS, Peer
from gw.rtty.sessions import RefusedError, Sessions
from gw.rtty.site import HEADERS, Site, session_of
from gw.rtty.tickets import TicketError, Tickets

log = logs.get("rtty")

_MAX_MESSAGE: Final = 65_536
"""What is typed, or pasted, in one message, bytes."""
_PING_SECONDS: Final = 25.0
"""Proxies close what is silent for a minute."""
_UNSUPPORTED: Final = 1003
_POLICY: Final = 1008
_NORMAL: Final = 1000
_TEXTS: Final = {
    "unknown": "there is no such session",
    "expired": "the session is over",
    "ended": "the session is over",
    "full": "too many sessions",
    "taken": "the session is open in another window",
    "unavailable": "try again later",
}
_encode = msgspec.json.Encoder().encode


class _Told(msgspec.Struct):
    """What a browser says in text."""

    type: str
    cols: int = 0
    rows: int = 0


_decode = msgspec.json.Decoder(_Told).decode


class ViewerEnd(Peer):
    """One connection of a browser."""

    def __init__(
        self,
        stranger: Stranger,
        tickets: Tickets,
        sessions: Sessions,
        counters: Counters,
        settings: Settings,
        live: set[Peer],
        site: Site,
    ) -> None:
        super().__init__(settings.rtty.buffer_bytes, live)
        self._stranger = stranger
        self._tickets = tickets
        self._sessions = sessions
        self._counters = counters
        self._site = site
        self._socket = ServerProtocol(max_size=_MAX_MESSAGE)
        self._parts: list[bytes] = []
        self._is_text = False
        self._checking: asyncio.Task[None] | None = None
        self._ping: asyncio.TimerHandle | None = None

    def connection_lost(self, error: Exception | None) -> None:
        """Stop what is under way."""
        self._stranger.settle()
        if self._checking is not None:
            self._checking.cancel()
        if self._ping is not None:
            self._ping.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._socket.receive_data(data)
        for event in self._socket.events_received():
            if isinstance(event, Request):
                self._asked(event)
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()

    def eof_received(self) -> bool:
        """Take the end of what comes."""
        self._socket.receive_eof()
        self._flush()
        return False

    # -- towards the browser

    def send_data(self, data: bytes) -> None:
        """Send what the terminal shows."""
        if self._socket.state is OPEN:
            self._socket.send_binary(data)
            self._flush()

    def send_login(self, error: int) -> None:
        """Tell that the terminal can be used, or the device's error."""
        self._tell({"type": "login", "err": error})

    def send_end(self, text: str) -> None:
        """Tell why the session has ended."""
        self._tell({"type": "logout", "reason": text})

    def close(self) -> None:
        """Close with the closing handshake, or cut after a moment."""
        self._close(_NORMAL)

    def _close(self, code: int) -> None:
        self.session = None
        self.resume()
        if self._socket.state is OPEN:
            self._socket.send_close(code)
        self._flush()
        if self.transport is not None and self._closing is None:
            loop = asyncio.get_running_loop()
            self._closing = loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _tell(self, document: dict[str, object]) -> None:
        if self._socket.state is OPEN:
            self._socket.send_text(_encode(document))
            self._flush()

    def _flush(self) -> None:
        ends = False
        for piece in self._socket.data_to_send():
            if piece:
                self.write(piece)
            else:
                ends = True
        if (ends or self._socket.close_expected()) and self.transport is not None:
            self.transport.close()

    def _keep_alive(self) -> None:
        if self.transport is None or self._socket.state is not OPEN:
            return
        if not self.transport.get_write_buffer_size():
            self._socket.send_ping(b"")
            self._flush()
        self._ping = asyncio.get_running_loop().call_later(_PING_SECONDS, self._keep_alive)

    # -- HTTP

    def _asked(self, request: Request) -> None:
        session = session_of(request.path)
        if session is None or "Upgrade" not in request.headers:
            found = self._site.find(request.path)
            if found is None:
                self._answer(http.HTTPStatus.NOT_FOUND, b"There is nothing here.\n", "text/plain")
            else:
                self._answer(http.HTTPStatus.OK, found.body, found.media_type)
            return
        if not _same_origin(request.headers):
            self._counters.refused("viewer", "origin", self._stranger.address, "")
            self._answer(http.HTTPStatus.FORBIDDEN, b"Another site's page.\n", "text/plain")
            return
        response = self._socket.accept(request)
        self._socket.send_response(response)
        if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            self._counters.refused("viewer", "protocol", self._stranger.address, "")
            return
        self.pause()
        self._checking = asyncio.get_running_loop().create_task(self._join(session))

    def _answer(self, status: http.HTTPStatus, body: bytes, media_type: str) -> None:
        headers = Headers(HEADERS)
        headers["content-type"] = media_type
        headers["content-length"] = str(len(body))
        headers["connection"] = "close"
        self._socket.send_response(Response(status, status.phrase, headers, body))

    async def _join(self, name: str) -> None:
        now = time.monotonic
        try:
            ticket = await self._tickets.of_viewer(name)
            session = self._sessions.join_viewer(ticket.id, ticket.serial, self, now())
        except (TicketError, RefusedError) as error:
            self._counters.refused("viewer", error.reason, self._stranger.address, "")
            self._tell({"type": "login", "err": 1, "text": _TEXTS[error.reason]})
            self._close(_POLICY)
            return
        self._stranger.settle()
        self.session = session
        log.info("viewer joined", serial=session.serial, address=self._stranger.address)
        self._ping = asyncio.get_running_loop().call_later(_PING_SECONDS, self._keep_alive)
        self.resume()
        session.begin(now())

    # -- messages

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        message = b"".join(self._parts)
        self._parts.clear()
        session = self.session
        if session is None:
            return
        if not self._is_text:
            session.typed(message[1:], time.monotonic())
            return
        try:
            told = _decode(message)
            if told.type == "winsize":
                session.resized(told.cols, told.rows)
        except (msgspec.DecodeError, msgspec.ValidationError, FrameError) as error:
            log.warning("viewer broke the protocol", serial=session.serial, detail=str(error))
            self._socket.fail(_UNSUPPORTED, str(error)[:100])
            session.end("protocol")


def _same_origin(headers: Headers) -> bool:
    """Whether a browser that sends it shows a page of ours; programs say nothing of it."""
    origins = headers.get_all("Origin")
    if not origins:
        return True
    host = headers.get_all("Host")
    return len(origins) == len(host) == 1 and (
        urlsplit(origins[0]).netloc.lower() == host[0].lower()
    )

"""The agent's end of a remote terminal: it registers, and serves a shell that knows a few words.

Framing and order are those of southbound.md 6.2. The words: `exit`, `size`, `flood N` (N KiB).
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from gw.rtty import frames
from gw.rtty.frames import Decoder, Frame, Kind, Registration

_CONNECT_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 1.0
_READ: Final = 65_536
_TERMINAL: Final = 5
"""The agent's number of its one terminal."""
_LINE: Final = bytes(range(32, 127)) + b"\r\n"
_MOST_KIB: Final = 65_536


class RttyAgent:
    """One run of the agent, from its connection to its end."""

    def __init__(
        self,
        host: str,
        port: int,
        told: Registration,
        *,
        context: ssl.SSLContext | None = None,
        heartbeat: float = 5.0,
        login_error: int = 0,
    ) -> None:
        """`heartbeat` is in seconds; with a `login_error` there is no shell."""
        self.registered = asyncio.Event()
        """The gateway has answered the registration; see `answer`."""
        self.answer = b""
        """Body of that answer: an error byte and a text."""
        self.window: tuple[int, int] | None = None
        """Columns and rows as last told."""
        self.resized = asyncio.Event()
        self.typed = bytearray()
        """All that was typed."""
        self.echoes = 0
        """Heartbeats that came back."""
        self.shown = 0
        """Bytes of terminal data handed to the connection."""
        self._host, self._port, self._told = host, port, told
        self._context = context
        self._heartbeat = heartbeat
        self._login_error = login_error
        self._line = bytearray()
        self._writer: asyncio.StreamWriter | None = None

    async def run(self) -> str:
        """Connect and serve; returns why it ended: `refused`, `logout`, `exit` or `closed`."""
        async with asyncio.timeout(_CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                self._host,
                self._port,
                ssl=self._context,
                server_hostname=self._host if self._context else None,
            )
        self._writer = writer
        beating = asyncio.create_task(self._beat())
        try:
            writer.write(frames.registration(self._told))
            return await self._serve(reader)
        except (OSError, ssl.SSLError):
            return "closed"
        finally:
            beating.cancel()
            writer.close()
            try:
                await asyncio.wait_for(writer.wait_closed(), _CLOSE_SECONDS)
            except (OSError, TimeoutError, asyncio.CancelledError):
                writer.transport.abort()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        assert self._writer is not None
        self._writer.write(data)

    async def _serve(self, reader: asyncio.StreamReader) -> str:
        decoder = Decoder()
        while data := await reader.read(_READ):
            for frame in decoder.feed(data):
                end = await self._take(frame)
                if end:
                    return end
        return "closed"

    async def _take(self, frame: Frame) -> str:
        """Act on a frame; returns why the run ends, or nothing."""
        kind, body = frame
        if kind is Kind.REGISTER:
            self.answer = body
            self.registered.set()
            return "" if body[:1] == b"\0" else "refused"
        if kind is Kind.LOGIN:
            self.send(frames.encode(Kind.LOGIN, bytes((self._login_error, _TERMINAL))))
            if not self._login_error:
                await self._show(f"\r\nBusyBox of {self._told.description}\r\n\r\n# ".encode())
        elif kind is Kind.LOGOUT:
            return "logout"
        elif kind is Kind.HEARTBEAT:
            self.echoes += 1
        elif kind is Kind.WINDOW:
            _, *size = frames.read_window(body)
            self.window = (size[0], size[1])
            self.resized.set()
        elif kind is Kind.TERMINAL and body[0] == _TERMINAL:
            return await self._type(body[1:])
        return ""

    async def _type(self, keys: bytes) -> str:
        self.typed += keys
        for key in keys:
            if key in b"\r\n":
                line = self._line.decode("utf-8", "replace").strip()
                self._line.clear()
                await self._show(b"\r\n")
                if line == "exit":
                    self.send(frames.encode(Kind.LOGOUT, bytes((_TERMINAL,))))
                    return "exit"
                await self._obey(line)
                await self._show(b"# ")
            else:
                self._line.append(key)
                await self._show(bytes((key,)))
        return ""

    async def _obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "size":
            columns, rows = self.window or (80, 24)
            await self._show(f"{rows} {columns}\r\n".encode())
        elif word == "flood" and rest.isdigit():
            for _ in range(min(int(rest), _MOST_KIB)):
                await self._show((_LINE * 11)[:1024])
        elif word:
            await self._show(f"-ash: {word}: not found\r\n".encode())

    async def _show(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(frames.terminal(_TERMINAL, data))
        await self._writer.drain()
        self.shown += len(data)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            self.send(frames.encode(Kind.HEARTBEAT))


def agent_of(params: dict[str, Any], context: ssl.SSLContext | None, **more: Any) -> RttyAgent:
    """Return the agent that the params of an `rtty` command ask for.

    Raises KeyError or ValueError if they do not say enough.
    """
    told = Registration(str(params["id"]), str(params["serial"]), str(params["token"]))
    return RttyAgent(str(params["server"]), int(params["port"]), told, context=context, **more)

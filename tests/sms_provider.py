"""A provider of text messages for tests: one HTTPS request per message, which it may refuse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl

DEADLINE = 60.0


class Message(NamedTuple):
    """What was posted."""

    path: str
    headers: dict[str, str]
    fields: dict[str, str]


class Provider:
    """Listens on a free loopback port; an asynchronous context manager."""

    def __init__(self, pki: Path) -> None:
        self._pki = pki
        self.statuses: list[int] = []
        """Of the next answers; then 201."""
        self.taken: asyncio.Queue[Message] = asyncio.Queue()
        self.asked = 0

    async def __aenter__(self) -> Provider:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pki / "server.pem", self._pki / "server.key")
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def settings(self) -> dict[str, object]:
        """Settings of a gateway that sends by this provider."""
        port = self._server.sockets[0].getsockname()[1]
        return {"sms.url": f"https://localhost:{port}/messages?key=url-secret",
                "sms.ca": str(self._pki / "ca.pem"), "sms.retry_seconds": 0.05}  # fmt: skip

    async def message(self) -> Message:
        """Return the next message that was taken."""
        async with asyncio.timeout(DEADLINE):
            return await self.taken.get()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = (line.split(": ", 1) for line in head[1:] if line)
                headers = {name.lower(): value for name, value in pairs}
                body = (await reader.readexactly(int(headers["content-length"]))).decode()
                form = headers["content-type"].startswith("application/x-www-form-urlencoded")
                fields = dict(parse_qsl(body)) if form else json.loads(body)
                self.asked += 1
                status = self.statuses.pop(0) if self.statuses else 201
                if status < 300:
                    self.taken.put_nowait(Message(head[0].split(" ")[1], headers, fields))
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\n{}" % status)
                await writer.drain()
        writer.close()

"""A proxy in front of PostgreSQL that cuts connections at a chosen message of the client."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Literal

Moment = Literal["before", "within", "after"]
"""The message is not passed on; half of it is; it is, and what the server answers is not."""

_ANSWERED = b"QSc"
"""Messages that the server answers: Query, Sync, CopyDone."""


class Proxy:
    """Passes messages on, and counts those of the client that follow the start-up."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self.port = 0
        self.seen: list[tuple[bytes, bytes]] = []
        """Type and body of the client's messages since `listen_to`."""
        self.cuts = 0
        self._cut_at: tuple[int | bytes, Moment] | None = None
        self._held: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def listen_to(self) -> None:
        """Count messages from here on."""
        self.seen = []
        self._cut_at = None

    def cut(self, at: int | bytes, moment: Moment) -> None:
        """Cut the connection at the message of this number, or with this text in it; once."""
        self.listen_to()
        self._cut_at = (at, moment)

    def hold(self, text: bytes) -> asyncio.Event:
        """Cut the client off at the message with this text; it goes on once the event is set."""
        self.listen_to()
        self._cut_at = (text, "after")
        self._held = asyncio.Event()
        return self._held

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        answers = asyncio.create_task(self._down(up_reader, writer))
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                (length,) = struct.unpack("!i", await reader.readexactly(4))
                up_writer.write(struct.pack("!i", length) + await reader.readexactly(length - 4))
                while True:
                    if await self._message(reader, up_writer, up_reader, answers, writer):
                        break
        finally:
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            for one in (writer, up_writer):
                one.transport.abort()
            self._tasks.discard(task)

    async def _message(
        self,
        reader: asyncio.StreamReader,
        up: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        answers: asyncio.Task[None],
        client: asyncio.StreamWriter,
    ) -> bool:
        """Pass one message on; True if the connection is to be cut."""
        kind = await reader.readexactly(1)
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        body = await reader.readexactly(length - 4)
        whole = kind + struct.pack("!i", length) + body
        number = len(self.seen)
        self.seen.append((kind, body))
        at = self._cut_at[0] if self._cut_at is not None else -1
        if self._cut_at is None or (at not in body if isinstance(at, bytes) else at != number):
            up.write(whole)
            return False
        moment, self._cut_at = self._cut_at[1], None
        self.cuts += 1
        held, self._held = self._held, None
        if held is not None:
            client.transport.abort()
            await held.wait()
            up.write(whole)
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(5):
                    await answers
        elif moment == "within":
            up.write(whole[: len(whole) // 2])
        elif moment == "after":
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)
            up.write(whole)
            if kind in _ANSWERED:
                async with asyncio.timeout(60):
                    await up_reader.read(1)
        with contextlib.suppress(ConnectionError):
            await up.drain()
        return True

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

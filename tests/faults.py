"""What a test does to the parts of a gateway: hold, pause, fill the disk, slow, refuse, cut.

PostgreSQL and Kafka are stopped, killed and paused by their own fixtures (`postgres.py`,
`kafka_broker.py`); a connection is cut at a chosen message by `postgres_proxy.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

CHUNK = 65_536


@contextlib.contextmanager
def held(database: Path) -> Iterator[None]:
    """Hold SQLite's write lock: readers go on, whoever writes has to wait."""
    connection = sqlite3.connect(database, isolation_level=None, timeout=60)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.close()


@contextlib.contextmanager
def paused(pid: int) -> Iterator[None]:
    """SIGSTOP a process, and let it go on at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(psutil.Process(pid).memory_info().rss)


class SmallDisk:
    """A file system of its own, of some megabytes, that a test fills; needs root."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if made.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}; run as root")
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no room."""
        with self._ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it, whoever still uses it."""
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


class Wire:
    """A TCP proxy on the way to a server, which can be slow, silent, refused or cut."""

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.port = 0
        self.delay = 0.0
        """Seconds that each piece of data is late, in both directions."""
        self.cut_after = -1
        """Bytes of the client that still pass before all connections are cut; -1: no limit."""
        self.cuts = 0
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Wire:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def accept(self) -> None:
        """Take connections, on the port that it had."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse connections, and cut those that are there."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def silence(self) -> None:
        """Pass nothing on; connections stay."""
        self._open.clear()

    def speak(self) -> None:
        """Pass on what was held back, and go on."""
        self._open.set()

    def cut(self) -> None:
        """Cut all connections now."""
        self.cuts += bool(self._writers)
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        up_writer = None
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # the latter: the end of all
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.server_port)
                self._writers |= {writer, up_writer}
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass(reader, up_writer, counted=True))
                    both.create_task(self._pass(up_reader, writer, counted=False))
        finally:
            self._tasks.discard(task)
            for one in (writer, up_writer):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._open.wait()
                last = counted and 0 <= self.cut_after < len(data)
                if counted and self.cut_after >= 0:
                    data, self.cut_after = data[: self.cut_after], self.cut_after - len(data)
                writer.write(data)
                await writer.drain()
                if last:
                    self.cut_after = -1
                    self.cut()
        writer.transport.abort()  # the other direction ends with it


@contextlib.asynccontextmanager
async def wire(port: int) -> AsyncIterator[Wire]:
    """Return a proxy to a port of this machine."""
    async with Wire(port) as one:
        yield one

"""A device on libwebsockets, the library of the agents in the field; see agents/agent.c."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "agents" / "agent.c"
DEADLINE = 60.0
_PACKAGES = ("libwebsockets", "libssl", "libcrypto", "zlib")
_HOW = (
    "a C compiler and libwebsockets are not on this machine: "
    "`apt-get install gcc pkg-config libwebsockets-dev`"
)


def build(folder: Path) -> Path:
    """Compile the agent; without compiler and library skip, and in CI fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    config = shutil.which("pkg-config")
    found = None
    if compiler is not None and config is not None:
        found = subprocess.run(
            [config, "--cflags", "--libs", *_PACKAGES], capture_output=True, text=True, check=False
        )
    if compiler is None or found is None or found.returncode != 0:
        if os.environ.get("CI"):
            pytest.fail(_HOW, pytrace=False)
        pytest.skip(_HOW)
    program = folder / "agent"
    words = [compiler, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    words += ["-o", str(program), str(SOURCE), *found.stdout.split(), "-lpthread"]
    built = subprocess.run(words, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return program


class Agent:
    """One running agent: what it tells, line by line, and what it is told to do."""

    def __init__(self, program: Path, kind: str, serial: str, port: int, pki: Path) -> None:
        self.kind = kind
        self.serial = serial
        self.lines: list[list[str]] = []
        """What it told, split into words."""
        self._words = [str(program), kind, serial, str(port)]
        self._words += [str(pki / "devices" / f"{serial}.{end}") for end in ("pem", "key")]
        self._words += [str(pki / "ca.pem")]
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()

    async def start(self, *, established: bool = True, **options: object) -> None:
        """Start it, and wait until it is connected."""
        words = self._words + [f"{name}={value}" for name, value in options.items()]
        self._process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._reader = asyncio.create_task(self._read())
        if established:
            await self.wait("established")

    async def stop(self) -> None:
        """End it: at the end of its input it leaves."""
        if self._process is None or self._reader is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(DEADLINE):
            await self._process.wait()
            await self._reader

    async def tell(self, order: str) -> None:
        """Give it an order; see agents/agent.c."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())
        await self._process.stdin.drain()

    def told(self, *start: str) -> list[list[str]]:
        """Return the lines that begin with these words."""
        return [line for line in self.lines if line[: len(start)] == list(start)]

    async def wait(self, *start: str, count: int = 1) -> list[str]:
        """Wait for the `count`-th line that begins with these words, and return it."""
        async with asyncio.timeout(DEADLINE), self._news:
            await self._news.wait_for(lambda: len(self.told(*start)) >= count or self._ended())
        found = self.told(*start)
        assert len(found) >= count, (start, self.lines[-20:])
        return found[count - 1]

    def _ended(self) -> bool:
        return self._reader is not None and self._reader.done()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._news:
                self.lines.append(line.decode(errors="replace").split())
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

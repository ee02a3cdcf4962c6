"""A remote terminal in this process, and the two ends that use it, for its tests."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from gw.core.settings import CaPolicy, Listener, Settings
from gw.ops import metrics
from gw.protocol import rtty
from gw.protocol.rtty import Credentials, Details
from gw.rtty.frames import Registration
from gw.rtty.server import TerminalServer
from gw.simulator.rtty import RttyAgent
from gw.simulator.tls import client_context
from gw.store.errors import StoreError

SERIAL = "02a0e3000001"
OTHER = "02a0e3000002"
DEADLINE = 60.0
PROMPT = b"# "


class FakeReader:
    """Commands and capabilities by hand."""

    def __init__(self) -> None:
        self.commands: dict[str, SimpleNamespace] = {}
        self.secure: set[str] = set()
        self.broken = False

    async def command(self, uuid: str) -> Any:
        if self.broken:
            raise StoreError("out of order")
        return self.commands.get(uuid)

    async def capabilities(self, serial: str) -> Any:
        text = json.dumps({"secure-rtty": serial in self.secure})
        return SimpleNamespace(capabilities=text)


class Station:
    """The server and what a test needs to reach it."""

    def __init__(self, pki: Path, **limits: Any) -> None:
        self.pki = pki
        files: dict[str, Any] = {"certificate": str(pki / "server.pem"),
                                 "key": str(pki / "server.key")}  # fmt: skip
        policies: list[CaPolicy] = limits.pop("policies", [])
        listeners: list[Listener] = limits.pop("listeners", [])
        self.settings: Settings = msgspec.convert(
            {
                "devices": {**files, "ca": str(pki / "ca.pem"), "crl": str(pki / "crl.pem")},
                "api": files,
                "rtty": {"enabled": True, **limits},
            },
            Settings,
        )
        self.settings.devices.ca_policies = policies
        self.settings.devices.listeners = listeners
        self.reader = FakeReader()
        self.page = metrics.CounterPage.private()
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.port, self.viewer_port = (one.getsockname()[1] for one in sockets)
        self.server = TerminalServer(self.settings, self.reader, self.page, *sockets)  # type: ignore[arg-type]
        self._stopping = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.server.start()
        self._running = asyncio.create_task(self.server.run(self._stopping))

    async def close(self) -> None:
        self._stopping.set()
        await self._running
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- sessions

    def session(self, serial: str = SERIAL, *, age: float = 0.0, **columns: Any) -> Credentials:
        """A session that a device was told of."""
        credentials = rtty.new_credentials()
        details = Details(
            server="gw", port=self.port, user="u", timeout=60, proof=rtty.proof(credentials)
        )
        row: dict[str, Any] = {
            "command": "rtty",
            "status": "completed",
            "serial_number": serial,
            "submitted": time.time() - age,
            "details": msgspec.json.encode(details).decode(),
        }
        self.reader.commands[credentials.command] = SimpleNamespace(**{**row, **columns})
        return credentials

    def tls(self, serial: str | None = SERIAL) -> ssl.SSLContext:
        """The context of a device; None: one without a certificate."""
        if serial is not None:
            return client_context(self.pki, serial)
        return ssl.create_default_context(cafile=str(self.pki / "ca.pem"))

    def agent(
        self,
        credentials: Credentials,
        *,
        serial: str | None = SERIAL,
        pki: Path | None = None,
        **more: Any,
    ) -> tuple[RttyAgent, asyncio.Task[str]]:
        """A device's agent that has begun to run, with the certificate of `serial`.

        `pki`: the certificate is of that one, and not of the station's.
        """
        context = self.tls(serial)
        if pki is not None and serial is not None:
            context = client_context(pki, serial)
            context.load_verify_locations(self.pki / "ca.pem")
        told = Registration(credentials.id, "02a0e3", credentials.token)
        agent = RttyAgent("127.0.0.1", self.port, told, context=context, **more)
        task = asyncio.create_task(agent.run())
        self._tasks.add(task)
        return agent, task

    def view(self, session: str, **more: Any) -> connect:
        """A browser's socket; an async context manager."""
        more.setdefault("max_size", None)
        return connect(
            f"wss://127.0.0.1:{self.viewer_port}/connect/{session}",
            ssl=self.tls(None), compression=None, proxy=None, **more,
        )  # fmt: skip

    # -- metrics

    def metric(self, name: str, *labels: str) -> int:
        return self.page.get(metrics.index(name, *labels))

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for what no event tells."""
        async with asyncio.timeout(DEADLINE):
            while not true():
                await asyncio.sleep(0.01)


async def text(viewer: ClientConnection) -> dict[str, Any]:
    """The next message in text; what the terminal shows meanwhile is dropped."""
    async with asyncio.timeout(DEADLINE):
        while True:
            message = await viewer.recv()
            if isinstance(message, str):
                found: dict[str, Any] = json.loads(message)
                return found


async def shown(viewer: ClientConnection, end: bytes) -> bytes:
    """What the terminal shows up to `end`."""
    found = bytearray()
    async with asyncio.timeout(DEADLINE):
        while not found.endswith(end):
            message = await viewer.recv()
            assert isinstance(message, bytes), message
            found += message
    return bytes(found)


async def keys(viewer: ClientConnection, typed: bytes) -> None:
    """Type."""
    await viewer.send(b"\0" + typed)


async def closed(viewer: ClientConnection) -> int | None:
    """Wait for the end of a socket; its close code."""
    async with asyncio.timeout(DEADLINE):
        await viewer.wait_closed()
    return viewer.close_code

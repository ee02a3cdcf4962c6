"""A supervisor with stub roles, for the tests of the process tree."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DEADLINE = 120.0


class Tree:
    """A supervisor process with stub roles, and what they report."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready_file = folder / "ready.json"
        self.seen: list[dict[str, Any]] = []
        self.process: asyncio.subprocess.Process | None = None
        self._events = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._events.setblocking(False)
        self._events.bind(str(folder / "events"))
        self._news = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._events, self.take_events)

    async def start(
        self, behaviour: dict[str, str] | None = None, **settings: dict[str, Any]
    ) -> None:
        told = {
            "settings": {
                "run": {"data": str(self.folder / "data"), "drain_seconds": 10.0},
                "workers": {"count": 2, "ring_bytes": 65536},
                **{
                    name: {"host": "127.0.0.1", "port": 0}
                    for name in (
                        "devices",
                        "api",
                        "security",
                        "private_api",
                        "private_security",
                        "files",
                        "metrics",
                        "security_check",
                    )
                },
            },
            "ready_file": str(self.ready_file),
            "stub": str(HERE / "stub_role.py"),
        }
        for section, values in settings.items():
            told["settings"].setdefault(section, {}).update(values)  # type: ignore[attr-defined]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "run_stubs.py"),
            json.dumps(told),
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "STUB_EVENTS": str(self.folder / "events"),
                "STUB_BEHAVIOUR": json.dumps(behaviour or {}),
                "GW_ADMIN_PASSWORD": "not for everyone",
                "GW_STORE__URL": "sqlite:///secret",
            },
            stderr=asyncio.subprocess.PIPE,
        )

    async def event(self, name: str, event: str, generation: int = 0) -> dict[str, Any]:
        """Return the first event of that kind, once there is one."""

        def wanted(message: dict[str, Any]) -> bool:
            return (message["name"], message["event"]) == (name, event) and (
                generation in (0, message["generation"])
            )

        async with asyncio.timeout(DEADLINE):
            while True:
                for message in self.seen:
                    if wanted(message):
                        return message
                self._news.clear()
                await self._news.wait()

    def take_events(self) -> None:
        """Take what has arrived."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.seen.append(json.loads(self._events.recv(4096)))
                self._news.set()

    async def ready(self, sound: Callable[[dict[str, Any]], bool] = bool) -> dict[str, Any]:
        """Return the content of the ready file once it is there and as wanted."""
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(FileNotFoundError):
                    content = json.loads(self.ready_file.read_text())
                    if sound(content):
                        return dict(content)
                await asyncio.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def end(self) -> tuple[int, str]:
        """Wait for the supervisor: exit code and log."""
        assert self.process is not None
        async with asyncio.timeout(DEADLINE):
            _, log = await self.process.communicate()
        self.take_events()
        assert self.process.returncode is not None
        return self.process.returncode, log.decode()

    def names(self, event: str) -> list[str]:
        return [m["name"] for m in self.seen if m["event"] == event]

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        asyncio.get_running_loop().remove_reader(self._events)
        self._events.close()
        for message in self.seen:
            # A stubborn stub outlives a killed supervisor.
            if message["event"] == "started" and is_alive(message["pid"]):
                os.kill(message["pid"], signal.SIGKILL)
        if self.process is not None:
            await self.process.communicate()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state not in (b"Z", b"X")


async def gone(pid: int) -> None:
    """Wait until a process that is not our child is gone."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), DEADLINE)
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read().decode()

"""The real program, started as a user starts it, for tests that talk to it from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from gw.security import pki
from gw.store.postgres_sql import translated

PASSWORD = "Right-Horse-7!"
DEADLINE = 60.0
"""Generous: the machine may be doing other things."""


class Gateway:
    """A `gw run` with a data directory and a PKI of its own, on free loopback ports."""

    def __init__(self, folder: Path, pki_dir: Path, **settings: object) -> None:
        self.folder = folder
        self.pki = pki_dir
        self.settings = settings
        self.password = PASSWORD
        """Of the administrator; set empty before the start, the gateway makes one up."""
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_file = folder / "ready.json"
        self.log_file = folder / "gw.log"
        self.ready: dict[str, Any] = {}
        self._token = ""
        self._scrape_before = ""
        self._log_before = 0
        self._tls = ssl.create_default_context(cafile=str(pki_dir / "ca.pem"))

    # -- life

    async def start(self) -> None:
        """Start, and wait until every role answers."""
        settings = {
            "devices.port": 0, "api.port": 0, "security.port": 0, "files.port": 0,
            "metrics.port": 0, "private_api.port": 0, "private_security.port": 0,
            "security_check.port": 0, "devices.host": "127.0.0.1", "api.host": "127.0.0.1",
            "security.host": "127.0.0.1", "files.host": "127.0.0.1", "workers.count": 2,
            "devices.unknown": "create", "log.format": "json",
        } | self.settings  # fmt: skip
        command = [sys.executable, "-m", "gw", "run", "--data", str(self.folder / "data")]
        command += ["--pki", str(self.pki), "--ready-file", str(self.ready_file)]
        for key, value in settings.items():
            command += ["--set", f"{key}={json.dumps(value) if isinstance(value, list) else value}"]
        self.ready_file.unlink(missing_ok=True)
        with self.log_file.open("ab") as log:
            given = {"GW_ADMIN_PASSWORD": self.password} if self.password else {}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | given)
        await self.wait_ready()

    async def wait_ready(self, *, without: dict[str, int] | None = None) -> dict[str, Any]:
        """Wait for the ready file; `without` names pids by role that must be gone from it."""
        async with asyncio.timeout(DEADLINE):
            while True:
                assert self.process is not None
                assert self.process.poll() is None, f"gw run ended:\n{self.log()[-4000:]}"
                if self.ready_file.exists():
                    self.ready = json.loads(self.ready_file.read_text())
                    old = set((without or {}).values())
                    if not old & self.pids():
                        return self.ready
                await asyncio.sleep(0.02)  # a file appears: there is no event to await

    def pids(self) -> set[int]:
        """All process ids of the ready file."""
        found: set[int] = set()
        for value in self.ready["pids"].values():
            found.update(value if isinstance(value, list) else [value])
        return found

    async def stop(self) -> int:
        """Ask for the end, and return the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = await asyncio.to_thread(self.process.wait, DEADLINE)
        self.process = None
        return status

    async def kill_everything(self) -> None:
        """End all processes at once, as a power cut does."""
        assert self.process is not None
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.process.wait, DEADLINE)
        for pid in self.pids():
            await gone(pid)
        self.process = None

    async def kill(self, role: str, slot: int = 0) -> None:
        """Kill one role with SIGKILL, and wait until its successor answers."""
        pids = self.ready["pids"]
        pid = pids["workers"][slot] if role == "worker" else pids[role]
        os.kill(pid, signal.SIGKILL)
        await self.wait_ready(without={role: pid})

    def log(self) -> str:
        """What the gateway logged since `mark`."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_before)
            return log.read().decode(errors="replace")

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Lines of the log with this event and these fields."""
        found = []
        for line in self.log().splitlines():
            if not line.startswith("{"):
                continue
            entry = json.loads(line)
            if entry.get("event") == event and fields.items() <= entry.items():
                found.append(entry)
        return found

    # -- addresses

    @property
    def device_port(self) -> int:
        """Port of the device listener."""
        return int(self.ready["devices"].rpartition(":")[2])

    # -- REST

    async def sign_in(self) -> str:
        """Return an access token of the administrator."""
        if not self._token:
            body = {"userId": "admin@localhost", "password": PASSWORD}
            answer = await self.request(
                "POST", "oauth2", json=body, service="security", signed=False
            )
            assert answer.status_code == 200, answer.text
            self._token = answer.json()["access_token"]
        return self._token

    async def request(
        self,
        method: str,
        path: str,
        *,
        service: str = "api",
        signed: bool = True,
        timeout: float = DEADLINE,
        extra_headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """One REST request; `path` is below /api/v1."""
        headers = {"Authorization": f"Bearer {await self.sign_in()}"} if signed else {}
        headers |= extra_headers or {}
        url = f"{self.ready[service]}/api/v1/{path}".replace("//localhost:", "//127.0.0.1:")
        async with httpx.AsyncClient(verify=self._tls, timeout=timeout) as client:
            return await client.request(method, url, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> Any:
        """GET, which must succeed; returns the JSON answer."""
        answer = await self.request("GET", path, **more)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    async def device(self, serial: str) -> dict[str, Any]:
        """Return a device."""
        found: dict[str, Any] = await self.get(f"device/{serial}")
        return found

    async def configure(
        self, serial: str, configuration: object, *, query: str = ""
    ) -> httpx.Response:
        """POST configure; a text is sent as the raw JSON of the configuration."""
        text = configuration if isinstance(configuration, str) else json.dumps(configuration)
        body = f'{{"serialNumber":"{serial}","UUID":1,"when":0,"configuration":{text}}}'
        return await self._post(f"device/{serial}/configure{query}", body)

    async def _post(self, path: str, body: str, method: str = "POST") -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {await self.sign_in()}",
            "Content-Type": "application/json",
        }
        url = f"{self.ready['api']}/api/v1/{path}".replace("//localhost:", "//127.0.0.1:")
        async with httpx.AsyncClient(verify=self._tls, timeout=150.0) as client:
            return await client.request(method, url, headers=headers, content=body)

    async def put_device(self, serial: str, configuration: object) -> httpx.Response:
        """PUT a configuration straight into the device."""
        text = configuration if isinstance(configuration, str) else json.dumps(configuration)
        body = f'{{"serialNumber":"{serial}","configuration":{text}}}'
        return await self._post(f"device/{serial}", body, "PUT")

    async def wait_device(self, serial: str, **fields: object) -> dict[str, Any]:
        """Wait until a device shows these fields."""
        device: dict[str, Any] = {}
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            answer = await self.request("GET", f"device/{serial}")
            if answer.status_code == 200:
                device = answer.json()
                if fields.items() <= device.items():
                    return device
            await asyncio.sleep(0.05)  # REST has no event to await
        shown = {name: device.get(name) for name in (*fields, "configurationState", "hold")}
        raise AssertionError(f"{serial} shows {shown}, not {fields}")

    # -- metrics and store

    async def scrape(self) -> str:
        """Return the metrics as Prometheus gets them."""
        async with httpx.AsyncClient(timeout=DEADLINE) as client:
            return (await client.get(f"{self.ready['metrics']}/metrics")).text

    async def mark(self) -> None:
        """From here on counters and log lines count anew: for tests that share a gateway."""
        self._scrape_before = await self.scrape()
        self._log_before = self.log_file.stat().st_size

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over the series with these labels; counters since `mark`."""
        value = sum_of(await self.scrape(), name, labels)
        if name.endswith("_total"):
            value -= sum_of(self._scrape_before, name, labels)
        return value

    async def wait_metric(
        self, name: str, least: float, *, patience: float = DEADLINE, **labels: str
    ) -> float:
        """Wait until a metric is at least so much, for `patience` seconds at most."""
        value = 0.0
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            value = await self.metric(name, **labels)
            if value >= least:
                return value
            await asyncio.sleep(0.05)  # a scrape has no event to await
        raise AssertionError(f"{name}{labels} is {value}, not {least}")

    def sql(self, query: str, *parameters: object) -> list[Any]:
        """Read the store from beside."""
        url = str(self.settings.get("store.url", ""))
        if url.startswith("postgresql:"):
            # A thread, since the test has a loop of its own running.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, _fetch(url, query, parameters)).result()
        path = url.removeprefix("sqlite:///") if url else self.folder / "data" / "gw.db"
        uri = f"file:{path}?mode=ro"
        with sqlite3.connect(uri, uri=True, timeout=30) as connection:
            rows = connection.execute(query, parameters).fetchall()
        connection.close()
        return rows


async def _fetch(url: str, query: str, parameters: tuple[object, ...]) -> list[Any]:
    connection = await asyncpg.connect(url, timeout=DEADLINE)
    try:
        rows: list[Any] = await connection.fetch(translated(query), *parameters)
        return rows
    finally:
        await connection.close()


def sum_of(text: str, name: str, labels: dict[str, str]) -> float:
    """Return the sum of a family over the series that have these labels."""
    total = 0.0
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        series, _, value = line.rpartition(" ")
        family, _, rest = series.partition("{")
        if family == name and all(f'{key}="{one}"' in rest for key, one in labels.items()):
            total += float(value)
    return total


async def gone(pid: int) -> None:
    """Wait until a process that is not our child is gone."""
    async with asyncio.timeout(DEADLINE):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.02)  # not our child: there is no event to await


def make_pki(folder: Path) -> Path:
    """Make a PKI in `folder`."""
    pki.init(folder)
    return folder

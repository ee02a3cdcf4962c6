"""A PostgreSQL server of our own for tests: Debian's package, an unprivileged user, loopback."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import psutil
import pytest

USER = "gw"
PASSWORD = "p@ss/w:rd"
"""With signs that mean something in URLs."""
DEADLINE = 60.0
_HOW = (
    "PostgreSQL 14 or later is not on this machine: `apt-get install postgresql` "
    "(no server needs to run), or name the folder of its programs in PG_BIN"
)
_numbers = itertools.count()


def programs() -> Path:
    """Return the folder with initdb and postgres; without them skip, and in CI fail."""
    folders = [Path(os.environ["PG_BIN"])] if "PG_BIN" in os.environ else []
    folders += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: -int(one.parent.name)
    )
    on_path = shutil.which("initdb")
    folders += [Path(on_path).resolve().parent] if on_path else []
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    if os.environ.get("CI"):
        pytest.fail(_HOW, pytrace=False)
    pytest.skip(_HOW)


def _as_user() -> list[str]:
    """Return the words in front of a command that must not run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


class Postgres:
    """One server with a folder of its own, on a free loopback port; SCRAM, and TLS if wanted.

    `durable`: with fsync, as in earnest. `pki`: folder of a PKI whose server certificate it shows.
    """

    def __init__(self, *, durable: bool = False, pki: Path | None = None) -> None:
        self._bin = programs()
        self._durable = durable
        self._pki = pki
        self.folder = Path(tempfile.mkdtemp(prefix="gw-postgres-"))
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log_file = self.folder / "server.log"

    # -- life

    def create(self) -> None:
        """Make the cluster, and start it."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self._pki is not None:
            shutil.copy(self._pki / "server.pem", self.folder / "server.pem")
            shutil.copy(self._pki / "server.key", self.folder / "server.key")
            (self.folder / "server.key").chmod(0o600)
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, "nobody", "nogroup")
        command = [self._bin / "initdb", "-D", self.folder / "data", "-U", USER, "-E", "UTF8"]
        command += ["--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"]
        made = subprocess.run(
            [*_as_user(), *map(str, command)],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start the server, on the port that it had, and wait until it takes connections."""
        options: dict[str, Any] = {
            "listen_addresses": "127.0.0.1", "port": self.port,
            "unix_socket_directories": self.folder, "max_connections": 100,
            "fsync": "on" if self._durable else "off", "logging_collector": "off",
            "log_min_messages": "warning", "shared_buffers": "64MB",
        }  # fmt: skip
        if self._pki is not None:
            options |= {
                "ssl": "on", "ssl_cert_file": self.folder / "server.pem",
                "ssl_key_file": self.folder / "server.key",
            }  # fmt: skip
        command = [str(self._bin / "postgres"), "-D", str(self.folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [*_as_user(), *command], stdout=log, stderr=log, cwd=self.folder
            )
        # Ends it should the tests be killed: the pipe closes then.
        end = f"cat >/dev/null; kill -INT {self.process.pid}"
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", end], stdin=subprocess.PIPE, start_new_session=True
        )
        self.wait()

    def _ended(self) -> None:
        """The server is gone: nobody may guard its pid any longer."""
        self.process = None
        self._guard.kill()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(DEADLINE)

    def wait(self) -> None:
        """Wait until the server takes connections."""
        deadline = time.monotonic() + DEADLINE
        command = [str(self._bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(command, check=False).returncode != 0:
            assert self.process is not None
            assert self.process.poll() is None, self.log_file.read_text()
            assert time.monotonic() < deadline, self.log_file.read_text()
            time.sleep(0.02)  # another process gets ready: there is no event to await

    def stop(self) -> None:
        """Stop it at once but in order (clients are cut off); it may be started again."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(DEADLINE)
            self._ended()

    def kill(self) -> None:
        """SIGKILL of all of its processes, as a power cut does but for the page cache."""
        assert self.process is not None
        self.pause()
        processes = self._processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(DEADLINE)
        psutil.wait_procs(processes[1:], DEADLINE)
        self._ended()

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        assert self.process is not None
        # The postmaster first: a stopped one makes no new children.
        self.process.send_signal(signal.SIGSTOP)
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Go on after `pause`."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        assert self.process is not None
        postmaster = psutil.Process(self.process.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def remove(self) -> None:
        """Stop, and delete everything."""
        if self.process is not None:
            self.resume()
            self.stop()
        shutil.rmtree(self.folder)

    # -- databases

    def url(self, database: str, *, port: int = 0, more: str = "") -> str:
        """Return the URL of a database for `store.url`; `more` are further parameters."""
        options = more or "sslmode=disable"
        at = f"127.0.0.1:{port or self.port}"
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@{at}/{database}?{options}"

    async def connect(self, database: str = "postgres") -> asyncpg.Connection:
        """Return a connection of the superuser."""
        return await asyncpg.connect(self.url(database), timeout=DEADLINE)

    async def make_database(self, template: str = "template0") -> str:
        """Make a database, and return its name."""
        name = f"test{next(_numbers)}"
        await self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    async def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        await self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    async def run(self, sql: str, database: str = "postgres") -> list[asyncpg.Record]:
        """Run one statement as superuser, from beside."""
        connection = await self.connect(database)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()

    def sql(self, database: str, query: str) -> list[asyncpg.Record]:
        """`run` for tests that have a loop of their own running."""
        return asyncio.run(self.run(query, database))

"""A real HAProxy (Debian's package) for tests, with the configuration that we ship."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

import pytest

CONFIGURATION: Final = Path(__file__).parents[1] / "deploy" / "haproxy" / "haproxy.cfg"
DEADLINE: Final = 60.0
_HOW: Final = (
    "HAProxy is not on this machine: `apt-get install haproxy` (no server needs to run), "
    "or name its program in HAPROXY"
)


def program() -> str:
    """Return the program; without it skip, and in CI fail."""
    found = os.environ.get("HAPROXY") or shutil.which(
        "haproxy", path="/usr/sbin:" + os.environ["PATH"]
    )
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail(_HOW, pytrace=False)
    pytest.skip(_HOW)


class HaProxy:
    """One balancer on a free loopback port, before some gateways."""

    def __init__(self, folder: Path, gateways: dict[str, tuple[int, int]], *, header: str) -> None:
        """`gateways`: port for devices and port of the check, by name; `header`: as in `server`."""
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = int(self._listening.getsockname()[1])
        self.folder = folder
        self._file = folder / "haproxy.cfg"
        self._file.write_text(self._adapted(gateways, header))
        self._process: subprocess.Popen[bytes] | None = None

    def _adapted(self, gateways: dict[str, tuple[int, int]], header: str) -> str:
        """Put test ports into the shipped file; everything else stays as it is."""
        text = CONFIGURATION.read_text()
        text = self._replace(
            text, r"bind :::15002 v4v6 backlog 4096", f"bind fd@{self._listening.fileno()}"
        )
        text = self._replace(text, "send-proxy-v2", header)
        text = self._replace(text, r"    server gw1 .*\n    server gw2 .*\n", "")
        # What a machine for tests lets a process open.
        text = self._replace(text, "maxconn 100000", "maxconn 1000")
        # Checks in a hurry: what is tested is not how long two seconds are.
        text = self._replace(text, "inter 2s", "inter 100ms")
        for name, (port, check) in gateways.items():
            text += f"    server {name} 127.0.0.1:{port} port {check}\n"
        return text

    @staticmethod
    def _replace(text: str, pattern: str, new: str) -> str:
        changed, count = re.subn(pattern, new, text)
        assert count == 1, f"deploy/haproxy/haproxy.cfg has {count} of {pattern!r}"
        return changed

    def start(self) -> None:
        """Start it; connections wait in the socket until it serves."""
        log = (self.folder / "haproxy.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [program(), "-db", "-f", str(self._file)],
                stdout=log, stderr=log, pass_fds=[self._listening.fileno()],
            )  # fmt: skip

    def log(self) -> str:
        """What it logged."""
        return (self.folder / "haproxy.log").read_text()

    def stop(self) -> None:
        """End it."""
        self._listening.close()
        if self._process is None:
            return
        assert self._process.poll() is None, f"haproxy ended:\n{self.log()}"
        self._process.terminate()
        self._process.wait(DEADLINE)

"""`gw dev`, which `make run` starts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

DEADLINE = 60.0
COMMAND = [sys.executable, "-m", "gw"]
PORTS = [
    f"--set={name}.port=0"
    for name in (
        "devices",
        "api",
        "security",
        "private_api",
        "private_security",
        "files",
        "metrics",
        "security_check",
        "rtty",
    )
]
PORTS.append("--set=rtty.viewer_port=0")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("GW_")} | {"NO_COLOR": "1"}


class Dev:
    """A `gw dev`, and what it says."""

    def __init__(self, folder: Path, devices: int) -> None:
        self.file = folder / "out"
        command = [*COMMAND, "dev", "--data", str(folder / "data"), "--pki", str(folder / "pki")]
        with self.file.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--devices", str(devices), *PORTS],
                stdout=out, stderr=out, cwd=folder, env=ENVIRONMENT, process_group=0,
            )  # fmt: skip

    def greeting(self) -> str:
        """Wait for the greeting."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            text = self.file.read_text()
            if "gw doctor" in text:
                return text
            assert self.process.poll() is None, text
            time.sleep(0.05)  # text appears in a file: there is no event to wait for
        raise AssertionError(self.file.read_text())

    def end(self) -> int:
        """End it as `timeout -s INT` does: the signal goes to it and to its group."""
        self.process.send_signal(signal.SIGINT)
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(DEADLINE)


def test_dev_greets_with_what_is_true(tmp_path: Path) -> None:
    dev = Dev(tmp_path, 3)
    try:
        text = dev.greeting()
        assert "3 of 3 devices connected" in text
        assert "[info" not in text
        shown = re.search(r"^ *Password +(\S+)$", text, re.MULTILINE)
        assert shown
        doctor = next(line.strip() for line in text.splitlines() if "gw doctor" in line)
        subprocess.run(doctor.split(), check=True, capture_output=True, cwd="/", timeout=DEADLINE)
        lines = text.partition("Try:\n")[2].partition(doctor)[0]
        if shutil.which("curl"):
            done = subprocess.run(
                ["bash", "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=True,
                timeout=DEADLINE,
            )  # fmt: skip
            assert '"serialNumber":"02a0c9000000"' in done.stdout
            assert done.stderr == ""
    finally:
        assert dev.end() == 0
    if shutil.which("curl"):
        done = subprocess.run(
            ["bash", "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=False,
            timeout=DEADLINE,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert "curl: " in done.stderr

    reset = [*COMMAND, "user", "reset-password", "--data", str(tmp_path / "data")]
    subprocess.run(reset, check=True, capture_output=True, env=ENVIRONMENT, timeout=DEADLINE)
    dev = Dev(tmp_path, 0)
    try:
        text = dev.greeting()
        assert shown[1] not in text
        assert "user reset-password" in text
    finally:
        assert dev.end() == 0

"""The commands of docs/integrating.md work, and print what the page says."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrating.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "=== end of a block ==="
WAIT = 120.0


def examples() -> list[tuple[str, str]]:
    """Each bash block, with the text block behind it or nothing."""
    found: list[tuple[str, str]] = []
    for language, text in BLOCK.findall(PAGE.read_text("utf-8")):
        if language == "bash":
            found.append((text, ""))
        elif language == "text" and found:
            found[-1] = (found[-1][0], text)
    return found


def pattern(text: str) -> re.Pattern[str]:
    """An expected output; … is any text without a line's end."""
    parts = (re.escape(part) for part in text.strip().split("…"))
    return re.compile(r"[^\n]*".join(parts))


async def test_commands_of_the_page_print_what_it_says(gateway, pki_dir, tmp_path):
    blocks = examples()
    assert len(blocks) > 8, "the page has lost its examples"
    script = "set -euo pipefail\nexec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"
    script += "".join(f"{block}echo; echo '{MARK}'\n" for block, _ in blocks)
    host, _, port = gateway.ready["devices"].rpartition(":")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GW_URL": gateway.ready["api"],
        "GW_SECURITY_URL": gateway.ready["security"],
        "GW_DEVICES_HOST": host,
        "GW_DEVICES_PORT": port,
        "GW_PKI": str(pki_dir),
        "GW_USER": "admin@localhost",
        "GW_PASSWORD": sys.modules["gateway"].PASSWORD,
    }
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=tmp_path, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WAIT):
            output, _ = await shell.communicate()
    finally:
        if shell.returncode is None:
            shell.terminate()
            await shell.wait()
    printed = output.decode().split(MARK)
    for (block, expected), real in zip(blocks, printed, strict=False):
        assert pattern(expected).fullmatch(real.strip()), f"{block}\nprinted:\n{real}"
    assert shell.returncode == 0, printed[-1]

"""docs/endpoints.md names handler and test of every operation that clients know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "dev" / "endpoints-page"


def test_the_committed_page_is_current():
    command = [sys.executable, SCRIPT]
    made = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    page = (ROOT / "docs" / "endpoints.md").read_text("utf-8")
    assert made.stdout in page, f"run `{SCRIPT.relative_to(ROOT)} --write`"

"""The shape of the program: what may import what, and how large a module is."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted([*(ROOT / "gw").rglob("*.py"), *(ROOT / "gw").rglob("*.pyx")])
LONG, TOO_LONG = 500, 800


def test_imports_go_one_way():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout
    assert " 0 kept" not in done.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_long_modules_say_why(path):
    text = path.read_text()
    lines = len(text.splitlines())
    head = text.split('"""')[1] if text.startswith('"""') else ""
    assert lines <= TOO_LONG, f"{lines} lines: split it"
    if lines > LONG:
        assert "long" in head.lower(), (
            f"{lines} lines: the head says why it is so long, or split it"
        )


def test_all_modules_are_found():
    assert len(MODULES) > 50
